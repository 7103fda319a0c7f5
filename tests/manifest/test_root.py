"""A manifest and its photos move: together, apart, to another system."""

import os
import shutil
from zipfile import ZipFile

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fscl import archives
from fscl.errors import PhotosError
from fscl.manifest.table import Manifest

NAMES = ("fox/1.jpg", "hare/2.jpg")


def photos_in(root, size=100):
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes(size))
    return root


def written(root, target, **columns):
    columns = {"path": NAMES, "label": ["fox", "hare"], "bytes": 100} | columns
    Manifest.build(pd.DataFrame(columns), root).write(target)
    return target


def changed(path, **metadata):
    """Write metadata of a manifest anew; None drops a key."""
    table = pq.read_table(path)
    new = {**table.schema.metadata, **{key.encode(): value and value.encode() for key, value in metadata.items()}}
    pq.write_table(
        table.replace_schema_metadata({key: value for key, value in new.items() if value is not None}), path
    )
    return path


@pytest.mark.parametrize("place", ["here", "here/below", "photos"])
def test_manifest_and_photos_move_together(tmp_path, place):
    root = photos_in(tmp_path / "a" / "photos")
    manifest = written(root, tmp_path / "a" / place / "photos.parquet")
    assert Manifest.read(manifest).root == root
    shutil.move(tmp_path / "a", tmp_path / "elsewhere")
    moved = Manifest.read(tmp_path / "elsewhere" / place / "photos.parquet")
    assert moved.root == tmp_path / "elsewhere/photos"
    assert moved.photo("fox/1.jpg").is_file()


def test_a_copy_of_both_has_its_own_photos(tmp_path):
    manifest = written(photos_in(tmp_path / "a/photos"), tmp_path / "a/photos.parquet")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert Manifest.read(manifest).root == tmp_path / "a/photos"
    assert Manifest.read(tmp_path / "b/photos.parquet").root == tmp_path / "b/photos"


def test_a_manifest_that_moves_alone_finds_its_photos_where_they_were(tmp_path):
    root = photos_in(tmp_path / "photos")
    written(root, tmp_path / "photos.parquet")
    (tmp_path / "x/photos").mkdir(parents=True)  # of the name that the photos have beside the manifest
    shutil.move(tmp_path / "photos.parquet", tmp_path / "x/photos.parquet")
    assert Manifest.read(tmp_path / "x/photos.parquet").root == root
    photos_in(tmp_path / "x/photos", size=7)  # other photos of the same names
    assert Manifest.read(tmp_path / "x/photos.parquet").root == root


def test_photos_that_moved_alone_are_asked_for_and_found_under_the_root_given(tmp_path):
    manifest = written(photos_in(tmp_path / "photos"), tmp_path / "photos.parquet")
    shutil.move(tmp_path / "photos", tmp_path / "disk")
    with pytest.raises(PhotosError, match=r"photos, which is not there; say where they are now with --root FOLDER"):
        Manifest.read(manifest)
    (tmp_path / "photos").mkdir()  # such as the mount point of a disk that is not there
    with pytest.raises(PhotosError, match=r"where none of them is, such as fox/1.jpg; .* --root FOLDER"):
        Manifest.read(manifest)
    assert Manifest.read(manifest, root=tmp_path / "disk").root == tmp_path / "disk"
    assert Manifest.read(manifest, anywhere=True).root == tmp_path / "photos"


def test_a_root_given_that_holds_none_of_the_photos_is_an_error_even_where_others_would(tmp_path):
    manifest = written(photos_in(tmp_path / "photos"), tmp_path / "photos.parquet")
    with pytest.raises(
        PhotosError, match=r"photos/fox \(--root\), which has none of them; give the folder that holds fox/1"
    ):
        Manifest.read(manifest, root=tmp_path / "photos/fox")
    with pytest.raises(PhotosError, match=r"nowhere \(--root\), which is no folder and no zip"):
        Manifest.read(manifest, root=tmp_path / "nowhere")


def test_photos_in_a_zip_move_too(tmp_path):
    (tmp_path / "a").mkdir()
    with ZipFile(tmp_path / "a/photos.zip", "w") as packed:
        for name in NAMES:
            packed.writestr(name, bytes(100))
    written(tmp_path / "a/photos.zip", tmp_path / "a/photos.parquet")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert Manifest.read(tmp_path / "b/photos.parquet").root == tmp_path / "b/photos.zip"
    shutil.move(tmp_path / "b/photos.zip", tmp_path / "other.zip")
    with pytest.raises(PhotosError, match="--root FOLDER"):
        Manifest.read(tmp_path / "b/photos.parquet")
    assert Manifest.read(tmp_path / "b/photos.parquet", root=tmp_path / "other.zip").root == tmp_path / "other.zip"


def test_a_zip_is_listed_once_for_all_manifests_of_it(tmp_path):
    with ZipFile(tmp_path / "photos.zip", "w") as packed:
        for name in NAMES:
            packed.writestr(name, bytes(100))
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
        Manifest.read(written(tmp_path / "photos.zip", folder / "photos.parquet"))
    assert [name for name in archives._directories if name.startswith(str(tmp_path))] == [
        str(tmp_path / "photos.zip")
    ]


@pytest.mark.skipif(os.name == "nt", reason="there a drive is an absolute path")
@pytest.mark.parametrize("root", [r"D:\photos", r"\\server\share\photos", "C:/photos"])
def test_a_manifest_of_windows_asks_for_the_root(tmp_path, root):
    manifest = written(photos_in(tmp_path / "photos"), tmp_path / "photos.parquet")
    changed(manifest, fscl_root=root)
    assert Manifest.read(manifest).root == tmp_path / "photos"  # both were copied
    changed(manifest, fscl_root_relative=None)
    with pytest.raises(PhotosError) as caught:
        Manifest.read(manifest)
    assert f"its photos were in {root}, which is no folder of this system; say where" in str(caught.value)
    assert "--root FOLDER" in str(caught.value)
    assert Manifest.read(manifest, root=tmp_path / "photos").root == tmp_path / "photos"
    assert len(Manifest.read(manifest, anywhere=True).rows) == 2


def test_a_manifest_of_an_earlier_release_is_read_as_before(tmp_path):
    manifest = changed(written(photos_in(tmp_path / "photos"), tmp_path / "p.parquet"), fscl_root_relative=None)
    assert Manifest.read(manifest).root == tmp_path / "photos"
    shutil.move(tmp_path / "photos", tmp_path / "disk")
    with pytest.raises(PhotosError, match="which is not there; say where they are now with --root FOLDER"):
        Manifest.read(manifest)


@pytest.mark.parametrize("relative", ["", "/etc", r"C:\x", "C:x", "a\0b"])
def test_a_relative_root_that_is_none(tmp_path, relative):
    manifest = written(photos_in(tmp_path / "photos"), tmp_path / "photos.parquet")
    with pytest.raises(PhotosError, match="expected the folder of its photos as `fscl_root_relative`, got"):
        Manifest.read(changed(manifest, fscl_root_relative=relative))


def test_rows_without_a_usable_photo_are_no_reason_to_ask(tmp_path):
    (tmp_path / "photos").mkdir()
    manifest = written(tmp_path / "photos", tmp_path / "photos.parquet", problem="missing file")
    assert Manifest.read(manifest).root == tmp_path / "photos"
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(PhotosError, match="--root FOLDER"):
        Manifest.read(manifest)


def test_one_photo_among_many_is_enough_and_sizes_need_not_be_known(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    names = [f"{n}.jpg" for n in range(150)]
    written(root, tmp_path / "photos.parquet", path=names, label="fox", bytes=None)
    (root / "149.jpg").touch()
    assert Manifest.read(tmp_path / "photos.parquet").root == root
