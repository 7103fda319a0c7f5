import os
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from fscl.errors import OutputError, PhotosError
from fscl.manifest import COLUMNS, VERSION, Manifest
from fscl.manifest.table import MAY_BE_ABSENT, check_new, is_manifest


@pytest.fixture
def manifest(tmp_path):
    for name in ("fox/1.jpg", "hare/ü.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    columns = pd.DataFrame(
        {
            "observer": ["me", None, "you"],
            "path": ["fox/1.jpg", "fox/1.jpg", "hare/ü.jpg"],
            "label": ["fox", "fox", None],
            "x": [1, 5, None],
            "y": [1, 5, None],
            "w": [2, 2, None],
            "h": [2, 2, None],
            "datetime": ["2021-05-31T08:25:38", None, None],
            "width": [10, 10, None],
        }
    )
    return Manifest.build(columns, tmp_path)


def test_the_columns_are_those_of_the_document():
    schema = (Path(__file__).parents[2] / "docs" / "schema.md").read_text(encoding="utf-8")
    section = schema.split("## Manifest", 1)[1].split("\n## ", 1)[0]
    named = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in section.splitlines() if line.startswith("| `")]
    assert [name for names in named for name in names] == [*COLUMNS, *MAY_BE_ABSENT]
    assert f"(version {VERSION})" in section


def test_missing_columns_are_filled_with_their_dtypes(manifest):
    assert {name: str(dtype) for name, dtype in manifest.rows.dtypes.items()} == COLUMNS | {"observer": "str"}
    assert list(manifest.rows.columns) == [*COLUMNS, "observer"]
    assert manifest.rows["region_id"].tolist() == ["fox/1.jpg#0", "fox/1.jpg#1", "hare/ü.jpg#0"]
    assert manifest.rows["photo_id"].tolist() == manifest.rows["path"].tolist()
    assert manifest.rows["width"].tolist() == [10, 10, pd.NA]


def test_only_the_path_is_needed():
    rows = Manifest.build(pd.DataFrame({"path": ["a.jpg"]}), Path()).rows
    assert rows.drop(columns=["photo_id", "region_id", "path"]).isna().all(axis=None)
    assert Manifest.build(pd.DataFrame({"path": []}), Path()).rows.empty


def test_own_identifiers_are_kept(tmp_path):
    columns = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "photo_id": [1, 2]})
    assert Manifest.build(columns, tmp_path).rows["region_id"].tolist() == ["1#0", "2#0"]


def test_build_leaves_the_given_columns_alone(tmp_path):
    columns = pd.DataFrame({"path": ["a.jpg"]}, index=[7])
    Manifest.build(columns, tmp_path)
    assert list(columns.columns) == ["path"]


def test_written_and_read_it_is_the_same(manifest, tmp_path):
    manifest.write(tmp_path / "out" / "photos.parquet")
    read = Manifest.read(tmp_path / "out" / "photos.parquet")
    assert_frame_equal(read.rows, manifest.rows)
    assert read.root == manifest.root == tmp_path.resolve()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["photos.parquet"]


text = st.text(st.characters(codec="utf-8"), max_size=5)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)  # each writes to the disk and waits for it
@given(labels=st.lists(st.none() | text, min_size=1, max_size=4), other=text)
def test_any_text_survives(tmp_path_factory, labels, other):
    folder = tmp_path_factory.mktemp("photos")
    columns = pd.DataFrame({"path": [f"{i}.jpg" for i in range(len(labels))], "label": labels, "other": other})
    manifest = Manifest.build(columns, folder)
    manifest.write(folder / "photos.parquet")
    assert_frame_equal(Manifest.read(folder / "photos.parquet", anywhere=True).rows, manifest.rows)


def test_metadata_says_version_and_root(manifest, tmp_path):
    manifest.write(tmp_path / "photos.parquet")
    metadata = pq.read_schema(tmp_path / "photos.parquet").metadata
    assert metadata[b"fscl_manifest_version"] == b"1"
    assert metadata[b"fscl_root"].decode() == str(tmp_path.resolve())


def test_usable_rows_have_a_label_and_no_problem(manifest):
    rows = manifest.rows.assign(problem=[None, "missing file", None])
    assert Manifest(rows, manifest.root).usable["region_id"].tolist() == ["fox/1.jpg#0"]


def test_photo_is_below_the_root(manifest, tmp_path):
    assert manifest.photo("fox/1.jpg") == tmp_path.resolve() / "fox" / "1.jpg"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a.jpg", None]}, "row 1 has no path"),
        ({"path": ["a.jpg"], "x": [1.0]}, "a.jpg: expected all of x, y, w, h or none"),
        ({"path": ["a.jpg"], "x": [1], "y": [1], "w": [0], "h": [3]}, "expected a box with w and h > 0"),
        ({"path": ["a.jpg"], "split": ["dev"]}, "expected the splits train, val and test, got dev"),
        ({"path": ["a.jpg", "b.jpg"], "region_id": ["r", "r"]}, "region_id r .* must be unique"),
    ],
)
def test_rows_that_break_the_schema_are_refused(tmp_path, columns, message):
    with pytest.raises(PhotosError, match=message):
        Manifest.build(pd.DataFrame(columns), tmp_path)


class TestRefusedFiles:
    @pytest.fixture
    def written(self, manifest, tmp_path):
        manifest.write(tmp_path / "photos.parquet")
        return tmp_path / "photos.parquet"

    def rewritten(self, path, table, **metadata):
        changed = {key.encode(): value.encode() for key, value in metadata.items()}
        pq.write_table(table.replace_schema_metadata(table.schema.metadata | changed), path)
        return path

    def test_missing(self, tmp_path):
        with pytest.raises(PhotosError, match=r"does not exist; make it with: fscl scan"):
            Manifest.read(tmp_path / "photos.parquet")

    def test_no_parquet(self, tmp_path):
        (tmp_path / "photos.parquet").write_text("path,label")
        with pytest.raises(PhotosError, match="cannot be read as parquet"):
            Manifest.read(tmp_path / "photos.parquet")

    def test_another_table(self, tmp_path):
        pd.DataFrame({"path": ["a.jpg"]}).to_parquet(tmp_path / "table.parquet")
        assert not is_manifest(tmp_path / "table.parquet")
        with pytest.raises(PhotosError, match="is a table but no manifest"):
            Manifest.read(tmp_path / "table.parquet")

    def test_another_version(self, written):
        self.rewritten(written, pq.read_table(written), fscl_manifest_version="2")
        assert is_manifest(written)
        with pytest.raises(PhotosError, match="expected manifest version 1, got 2; scan the photos again"):
            Manifest.read(written)

    def test_a_lost_column(self, written):
        self.rewritten(written, pq.read_table(written).drop_columns(["site", "problem"]))
        with pytest.raises(PhotosError, match="expected the manifest column site, problem"):
            Manifest.read(written)

    def test_a_column_of_mixed_kinds_cannot_be_written(self, tmp_path):
        columns = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "depth": [1, "deep"]})
        with pytest.raises(PhotosError, match="mixes numbers and text"):
            Manifest.build(columns, tmp_path).write(tmp_path / "photos.parquet")
        assert not list(tmp_path.iterdir())


def test_a_new_manifest_replaces_no_other_file_unasked(tmp_path):
    check_new(tmp_path / "photos.parquet", overwrite=False)
    (tmp_path / "photos.parquet").touch()
    check_new(tmp_path / "photos.parquet", overwrite=True)
    with pytest.raises(OutputError, match="exists; replace it with --overwrite"):
        check_new(tmp_path / "photos.parquet", overwrite=False)
    with pytest.raises(OutputError, match=r"a manifest is a \.parquet file"):
        check_new(tmp_path / "labels.csv", overwrite=True)


def test_a_root_whose_name_is_not_utf8_is_refused(tmp_path):
    root = Path(os.fsdecode(os.fsencode(tmp_path / "photos-") + "노루".encode("euc-kr")))
    with pytest.raises(PhotosError, match=r"photos-\\xb3\\xeb.*the name of the folder is not UTF-8; rename it"):
        Manifest.build(pd.DataFrame({"path": ["1.jpg"]}), root)


class TestWrongShapes:
    """Manifests that other programs have changed."""

    @pytest.fixture
    def written(self, manifest, tmp_path):
        manifest.write(tmp_path / "photos.parquet")
        return tmp_path / "photos.parquet"

    def changed(self, path, change):
        pq.write_table(change(pq.read_table(path)), path)
        return path

    def column(self, name, values):
        return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values))

    @pytest.mark.parametrize(
        ("name", "values", "message"),
        [
            ("path", [1, 2, 3], "expected str in the column path, got int64"),
            ("label", [["fox"], [], None], "expected str in the column label, got list"),
            ("x", ["1", "2", "3"], "expected float64 in the column x, got string"),
            ("x", [{"a": 1}] * 3, "expected float64 in the column x, got struct"),
            (
                "datetime",
                ["2021-05-31", None, None],
                r"expected datetime64\[us\] in the column datetime, got string",
            ),
            ("width", [1.5, 2.0, 3.0], r"its columns cannot be read \(Float value 1\.5"),
            ("bytes", [True, False, None], "expected Int64 in the column bytes, got bool"),
            ("problem", [0, 0, 0], "expected str in the column problem, got int64"),
            ("w", [float("inf"), 2.0, None], "fox/1.jpg: expected a box of finite numbers, got"),
            ("x", [float("-inf"), 2.0, None], "fox/1.jpg: expected a box of finite numbers, got"),
        ],
    )
    def test_a_column_of_another_type_is_named(self, written, name, values, message):
        self.changed(written, self.column(name, values))
        with pytest.raises(PhotosError, match=message):
            Manifest.read(written)

    @pytest.mark.parametrize(
        ("name", "values", "read"),
        [
            ("width", pa.array([10, 10, None], pa.int16()), [10, 10, pd.NA]),
            ("width", pa.array([10.0, 10.0, None]), [10, 10, pd.NA]),
            ("x", pa.array([1, 5, None], pa.int8()), [1.0, 5.0, None]),
            ("label", pa.array(["fox", "fox", None], pa.dictionary(pa.int8(), pa.string())), ["fox", "fox", None]),
            ("site", pa.nulls(3), [None] * 3),
            ("datetime", pa.array([0, None, None], pa.timestamp("s")), [pd.Timestamp(0), None, None]),
        ],
    )
    def test_a_narrower_type_will_do(self, written, name, values, read):
        self.changed(written, self.column(name, values))
        rows = Manifest.read(written).rows
        assert str(rows[name].dtype) == COLUMNS[name]
        assert all(pd.isna(a) if pd.isna(b) else a == b for a, b in zip(rows[name], read, strict=True))

    def test_numbers_that_do_not_fit_are_named_where_no_pandas_wrote_them(self, written):
        identity = {k: v for k, v in pq.read_schema(written).metadata.items() if k.startswith(b"fscl")}
        widths = self.column("width", [1.5, 2.0, 3.0])
        self.changed(written, lambda table: widths(table).replace_schema_metadata(identity))
        with pytest.raises(PhotosError, match=r"expected Int64 in the column width \(cannot safely cast"):
            Manifest.read(written)

    def test_a_note_is_text(self, written):
        self.changed(written, lambda table: table.append_column("note", pa.array([1, 2, 3])))
        with pytest.raises(PhotosError, match="expected str in the column note, got int64"):
            Manifest.read(written)

    def test_a_column_that_is_there_twice(self, written):
        self.changed(written, lambda table: table.append_column("label", table.column("label")))
        with pytest.raises(PhotosError, match="expected each column once, got label twice"):
            Manifest.read(written)

    def test_text_that_is_no_utf8(self, written):
        binary = pa.array([b"\xb3\xeb"] * 3)
        text = pa.Array.from_buffers(pa.string(), 3, binary.buffers())
        self.changed(written, lambda table: table.set_column(table.column_names.index("site"), "site", text))
        with pytest.raises(PhotosError, match="cannot be read as parquet"):
            Manifest.read(written)

    @pytest.mark.parametrize("root", [None, b"", b"photos", b"\xff\xfe", b"/a\0b"])
    def test_a_root_that_is_none(self, written, root):
        def change(table):
            metadata = {k: v for k, v in table.schema.metadata.items() if k != b"fscl_root"}
            return table.replace_schema_metadata(metadata | ({} if root is None else {b"fscl_root": root}))

        self.changed(written, change)
        with pytest.raises(PhotosError, match="expected the folder of its photos as `fscl_root`, got"):
            Manifest.read(written)

    @pytest.mark.parametrize(
        "metadata",
        [b"{", b"[]", b'{"columns": 5}', b'{"columns": [5]}'],
    )
    def test_metadata_of_pandas_that_is_none(self, written, metadata):
        self.changed(
            written, lambda table: table.replace_schema_metadata({**table.schema.metadata, b"pandas": metadata})
        )
        with pytest.raises(PhotosError, match="its columns cannot be read"):
            Manifest.read(written)

    @pytest.mark.parametrize("version", [b"\xff", b"", b"1.0", b"1" * 40])
    def test_a_version_that_is_none(self, written, version):
        self.changed(
            written,
            lambda table: table.replace_schema_metadata({**table.schema.metadata, b"fscl_manifest_version": version}),
        )
        with pytest.raises(PhotosError, match="expected manifest version 1, got"):
            Manifest.read(written)


def test_a_folder_may_have_a_colon_in_its_name(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest.write(Path("deer:boar/photos.parquet"))
    assert is_manifest(Path("deer:boar/photos.parquet"))
    assert_frame_equal(Manifest.read(Path("deer:boar/photos.parquet")).rows, manifest.rows)
