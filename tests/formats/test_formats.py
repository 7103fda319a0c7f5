import pandas as pd
import pytest

from fscl import formats
from fscl.errors import PhotosError
from fscl.manifest import Manifest


def test_the_source_decides(draw, tmp_path):
    root = draw("fox/1.jpg")
    folder = formats.read(root)
    pd.DataFrame({"file": ["fox/1.jpg"], "label": ["fox"]}).to_csv(tmp_path / "a.csv")
    pd.DataFrame({"file": ["fox/1.jpg"], "label": ["fox"]}).to_parquet(tmp_path / "a.parquet")
    Manifest(folder.rows.assign(site="C1"), root).write(tmp_path / "photos.parquet")
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


@pytest.mark.parametrize(("name", "fix"), [("a.zip", "unzip it first"), ("a.jpg", "give one of these")])
def test_a_source_of_no_known_kind(tmp_path, name, fix):
    (tmp_path / name).touch()
    with pytest.raises(PhotosError, match=rf"{name}: expected a folder of class folders, a .csv or .*; {fix}"):
        formats.read(tmp_path / name)
