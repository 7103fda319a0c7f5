import pandas as pd
import pytest

from fscl import formats
from fscl.errors import PhotosError
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
