import json
from zipfile import ZipFile, ZipInfo

import pandas as pd
import pytest

from fscl import formats
from fscl.errors import ConfigurationError, FsclError, PhotosError
from fscl.formats import FORMATS
from fscl.formats.reading import Reading
from fscl.images import read_size
from fscl.manifest import Manifest


def test_the_source_decides(draw, pack, tmp_path):
    root = draw("fox/1.jpg")
    folder = formats.read(root)
    pd.DataFrame({"file": ["fox/1.jpg"], "label": ["fox"]}).to_csv(tmp_path / "a.csv")
    pd.DataFrame({"file": ["fox/1.jpg"], "label": ["fox"]}).to_parquet(tmp_path / "a.parquet")
    Manifest(folder.rows.assign(site="C1"), root).write(tmp_path / "photos.parquet")
    assert formats.read(pack(root / "fox", below="fox/", keep=True)).rows["label"].tolist() == ["fox"]
    assert formats.read(tmp_path / "a.csv").rows["label"].tolist() == ["fox"]
    assert formats.read(tmp_path / "a.parquet").rows["label"].tolist() == ["fox"]
    assert formats.read(tmp_path / "photos.parquet").rows["site"].tolist() == ["C1"]


class TestReading:
    def test_code_pages_of_zips_are_said_and_asked_for(self, draw, tmp_path):
        root = draw("gęś/1.jpg", "łoś/1.jpg")
        for name in ("a.zip", "b.zip"):
            with ZipFile(tmp_path / name, "w") as packed:
                for label in ("gęś", "łoś"):
                    info = _Polish(f"{label}/1.jpg")
                    packed.writestr(info, (root / label / "1.jpg").read_bytes())
        read = formats.read(tmp_path / "a.zip")
        assert sorted(read.rows["label"]) == ["gęś", "łoś"]
        assert read.remarks == ("names in a.zip are read as cp852; name another code page with --zip-encoding",)
        asked = formats.read(tmp_path / "a.zip", Reading(zip_encoding="cp850"))
        assert sorted(asked.rows["label"]) == sorted(
            label.encode("cp852").decode("cp850") for label in ("gęś", "łoś")
        )
        assert asked.remarks == ()
        assert all(read_size(asked.photo(path)) == (12, 8) for path in asked.rows["path"])

    @pytest.mark.parametrize(
        ("source", "said", "kind"),
        [
            ("photos", {"box_unit": "pixel"}, "class folders"),
            ("photos", {"date_order": "dmy"}, "class folders"),
            ("photos", {"zip_encoding": "cp850"}, "class folders"),
            ("t.csv", {"zip_encoding": "cp850"}, "a table"),
            ("photos.parquet", {"box_frame": "upright"}, "a manifest"),
            ("TS_01.고라니", {"box_unit": "pixel"}, "AI Hub's wildlife set"),
            ("fox.zip", {"date_order": "dmy"}, "class folders in a zip"),
        ],
    )
    def test_what_is_without_effect_is_refused(self, draw, pack, tmp_path, source, said, kind):
        draw("photos/fox/1.jpg", "TS_01.고라니/1.jpg", "fox/1.jpg")
        pack(tmp_path / "fox", below="fox/")
        pd.DataFrame({"file": ["photos/fox/1.jpg"], "label": ["fox"]}).to_csv(tmp_path / "t.csv")
        formats.read(tmp_path / "t.csv").write(tmp_path / "photos.parquet")
        [flag] = (name.replace("_", "-") for name in said)
        with pytest.raises(ConfigurationError, match=f"--{flag} says nothing of {kind}: leave it out for .*{source}"):
            formats.read(tmp_path / source, Reading(**said))

    def test_what_the_user_says_decides_between_formats(self, draw):
        root = draw("TS_01.고라니/fox/1.jpg", "TS_01.고라니/hare/2.jpg")
        with pytest.raises(PhotosError, match="label files"):
            formats.read(root)
        assert formats.read(root, Reading(layout="-/class")).rows["label"].tolist() == ["fox", "hare"]


JSON = {
    "coco.json": {"images": [{"id": 1, "file_name": "fox/1.jpg"}], "annotations": [], "categories": []},
    "megadetector.json": {"images": [{"file": "fox/1.jpg", "detections": []}]},
    "speciesnet.json": {"instances": [{"filepath": "fox/1.jpg"}]},
    "camtrap_dp.json": {"profile": "camtrap-dp", "resources": []},
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "source", ["photos", "empty", "fox.zip", "broken.zip", "t.csv", "t.parquet", "empty.csv", "fox/1.jpg", *JSON]
)
def test_a_wrong_format_that_the_user_names_is_one_error_or_rows(draw, pack, tmp_path, name, source):
    draw("photos/fox/1.jpg", "fox/1.jpg")
    pack(tmp_path / "fox", below="fox/", keep=True)
    pd.DataFrame({"file": ["photos/fox/1.jpg"], "label": ["fox"]}).to_csv(tmp_path / "t.csv")
    pd.DataFrame({"file": ["photos/fox/1.jpg"], "label": ["fox"]}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.csv").touch()
    (tmp_path / "broken.zip").write_bytes(b"PK")
    for file, document in JSON.items():
        (tmp_path / file).write_text(json.dumps(document))
    try:
        assert len(formats.read(tmp_path / source, Reading(source_format=name)).rows)
    except FsclError as error:
        assert str(tmp_path) in str(error) or source in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize("detections", ["none.json", "fox", "t.csv"])
def test_detections_that_are_none(draw, tmp_path, detections):
    draw("photos/fox/1.jpg", "fox/1.jpg")
    (tmp_path / "t.csv").write_text("file,label\n")
    with pytest.raises(PhotosError, match=f"{detections}( does not exist|: expected)"):
        formats.read(tmp_path / "photos", Reading(detections=tmp_path / detections))


def test_a_source_is_in_one_format(draw, pack, tmp_path):
    draw("photos/fox/1.jpg", "fox/1.jpg", "TS_01.고라니/1.jpg")
    pd.DataFrame({"file": ["photos/fox/1.jpg"], "label": ["fox"]}).to_csv(tmp_path / "t.csv")
    formats.read(tmp_path / "t.csv").write(tmp_path / "photos.parquet")
    formats.read(tmp_path / "t.csv").rows[["path", "label"]].to_parquet(tmp_path / "t.parquet")
    sources = {"photos": "class_folders", "t.csv": "table", "t.parquet": "table", "photos.parquet": "manifest"}
    sources[pack(tmp_path / "fox", below="fox/").name] = "zip"
    for name, document in JSON.items():
        (tmp_path / name).write_text(json.dumps(document))
        sources[name] = name.partition(".")[0]
    for source, name in sources.items():
        assert [key for key, format in FORMATS.items() if format.recognises(tmp_path / source)] == [name]
    assert next(key for key, format in FORMATS.items() if format.recognises(tmp_path / "TS_01.고라니")) == "aihub"


class _Polish(ZipInfo):
    """A name in cp852 and no flag that says so."""

    def _encodeFilenameFlags(self):
        return self.filename.encode("cp852"), self.flag_bits


@pytest.mark.parametrize(
    ("name", "message"),
    [("photos", "photos does not exist"), ("a.csv", "a.csv does not exist"), ("a.parquet", "does not exist")],
)
def test_a_source_that_is_not_there(tmp_path, name, message):
    with pytest.raises(PhotosError, match=message):
        formats.read(tmp_path / name)


def test_a_source_of_no_known_kind(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(PhotosError, match=r"a.jpg: expected a folder or .zip of .*, a .csv or .*; give one"):
        formats.read(tmp_path / "a.jpg")
