import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscl.errors import PhotosError
from fscl.formats.class_folders import reader
from fscl.scanning.scan import scan


def table(manifest, *columns):
    rows = manifest.rows[["path", *columns]].astype(object)
    return list(rows.where(rows.notna(), None).itertuples(index=False, name=None))


def test_labels_are_the_class_folders_in_sorted_path_order(draw):
    root = draw("hare/b.jpg", "fox/2020/may/1.JPG", "fox/1.png")
    manifest = reader.read(root)
    assert table(manifest, "label") == [
        ("fox/1.png", "fox"),
        ("fox/2020/may/1.JPG", "fox"),
        ("hare/b.jpg", "hare"),
    ]
    assert manifest.root == root.resolve()
    assert manifest.rows["problem"].isna().all()


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Val", "val"), ("valid", "val"), ("validation", "val"), ("test", "test")],
)
def test_split_folders(draw, name, split):
    manifest = reader.read(draw(f"{name}/fox/1.jpg", f"{name}/hare/deep/1.jpg"))
    assert table(manifest, "label", "split") == [
        (f"{name}/fox/1.jpg", "fox", split),
        (f"{name}/hare/deep/1.jpg", "hare", split),
    ]


def test_files_that_are_no_photos_are_passed_over(draw):
    root = draw("fox/1.jpg")
    for name in [
        "SOURCE.md",
        "fox/Thumbs.db",
        "fox/._1.jpg",
        "fox/clip.wmv",
        "__MACOSX/fox/1.jpg",
        ".cache/1.jpg",
    ]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    assert reader.read(root).rows["path"].tolist() == ["fox/1.jpg"]


def test_names_in_decomposed_letters_are_one_label(draw):
    root = draw(unicodedata.normalize("NFD", "노루") + "/1.jpg")
    assert reader.read(root).rows["label"].tolist() == [unicodedata.normalize("NFC", "노루")]


def test_links_are_followed_but_not_in_circles(draw, tmp_path_factory):
    root = draw("fox/1.jpg")
    elsewhere = tmp_path_factory.mktemp("disk")
    (root / "fox" / "1.jpg").rename(elsewhere / "1.jpg")
    (root / "fox" / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    assert reader.read(root).rows["path"].tolist() == ["fox/linked/1.jpg"]


def test_a_folder_that_may_not_be_opened_becomes_a_row(draw, monkeypatch):
    root = draw("fox/1.jpg", "hare/night/1.jpg")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("night"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert table(reader.read(root), "label", "problem") == [
        ("fox/1.jpg", "fox", None),
        ("hare/night", "hare", "unreadable folder: permission denied"),
    ]


def test_a_photo_beside_the_class_folders_has_no_label(draw):
    manifest = reader.read(draw("fox/1.jpg", "loose.jpg"))
    assert table(manifest, "label", "problem") == [("fox/1.jpg", "fox", None), ("loose.jpg", None, "no label")]


@pytest.fixture
def rename_euc_kr():
    """Return a function that renames a file or folder to the bytes that an archive packed in Korea leaves."""

    def rename(path, name):
        path.rename(path.with_name(os.fsdecode(name.encode("euc-kr"))))

    return rename


def test_names_that_are_not_utf8_become_rows_that_can_be_written(draw, rename_euc_kr, tmp_path_factory):
    root = draw("fox/1.jpg", "fox/2.jpg", "hare/1.jpg", "loose.jpg")
    rename_euc_kr(root / "fox" / "2.jpg", "여우.jpg")
    rename_euc_kr(root / "hare", "고라니")
    rename_euc_kr(root / "loose.jpg", "노루.jpg")
    manifest = scan(root)
    problem = "file name is not UTF-8, rename it"
    assert table(manifest, "label", "problem") == [
        (r"\xb0\xed\xb6\xf3\xb4\xcf/1.jpg", r"\xb0\xed\xb6\xf3\xb4\xcf", problem),
        (r"\xb3\xeb\xb7\xe7.jpg", None, problem),
        ("fox/1.jpg", "fox", None),
        (r"fox/\xbf\xa9\xbf\xec.jpg", "fox", problem),
    ]
    manifest.write(tmp_path_factory.mktemp("out") / "photos.parquet")


def test_only_names_that_are_not_utf8(draw, rename_euc_kr):
    root = draw("loose.jpg")
    rename_euc_kr(root / "loose.jpg", "노루.jpg")
    with pytest.raises(PhotosError, match=r"got 1 photo without a class folder, such as \\xb3"):
        reader.read(root)


class TestRefused:
    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(PhotosError, match=r"CLASS/photo.jpg, got none \(it is empty\)"):
            reader.read(tmp_path)

    def test_a_folder_of_other_files(self, tmp_path):
        for name in ["a.wmv", "b.wmv", "c.txt"]:
            (tmp_path / name).touch()
        with pytest.raises(PhotosError, match=r"got none \(2 .wmv, 1 .txt\)"):
            reader.read(tmp_path)

    @pytest.mark.parametrize(("path", "expected"), [("1.jpg", "/CLASS/photo"), ("train/1.jpg", "/train/CLASS/photo")])
    def test_photos_without_class_folders(self, draw, path, expected):
        with pytest.raises(PhotosError, match=f"{expected}.jpg, got 1 photo without a class folder, such as {path}"):
            reader.read(draw(path))

    def test_classes_beside_splits(self, draw):
        with pytest.raises(PhotosError, match="got both: train beside fox"):
            reader.read(draw("train/fox/1.jpg", "fox/1.jpg"))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), min_size=1, unique=True))
def test_every_photo_is_a_row(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("photos")
    for label, number in names:
        (root / label).mkdir(exist_ok=True)
        (root / label / f"{number}.jpg").touch()
    paths = [f"{label}/{number}.jpg" for label, number in names]
    assert reader.read(root).rows["path"].tolist() == sorted(paths)


def test_real_class_folders(shared_data):
    rows = reader.read(shared_data / "pets3").rows
    assert rows["label"].value_counts().to_dict() == dict.fromkeys(["abyssinian", "american_bulldog", "bengal"], 200)


class TestInArchives:
    @pytest.mark.parametrize("top", ["", "CIFAR-10-images/"])
    @pytest.mark.parametrize("split", [None, "train", "val", "test"])
    def test_class_folders_with_or_without_splits_and_a_folder_above(self, draw, pack, top, split):
        inner = f"{split}/" if split else ""
        root = pack(draw(f"mine/{inner}fox/1.jpg", f"mine/{inner}hare/deep/1.jpg") / "mine", below=top)
        manifest = reader.read(root)
        assert table(manifest, "label", "split", "problem") == [
            (f"{top}{inner}fox/1.jpg", "fox", split, None),
            (f"{top}{inner}hare/deep/1.jpg", "hare", split, None),
        ]
        assert manifest.root == root.resolve()

    def test_a_single_class_is_no_folder_above(self, draw, pack):
        root = pack(draw("mine/fox/1.jpg", "mine/fox/night/1.jpg") / "mine")
        assert set(reader.read(root).rows["label"]) == {"fox"}

    def test_a_photo_beside_the_class_folders_has_no_label(self, draw, pack):
        root = pack(draw("mine/fox/1.jpg", "mine/hare/1.jpg", "mine/preview.png") / "mine", below="set/")
        assert table(reader.read(root), "label", "problem") == [
            ("set/fox/1.jpg", "fox", None),
            ("set/hare/1.jpg", "hare", None),
            ("set/preview.png", None, "no label"),
        ]

    def test_korean_names(self, draw, pack):
        decomposed = unicodedata.normalize("NFD", "노루")
        new = reader.read(pack(draw(f"new/{decomposed}/1.jpg", "new/고라니/1.jpg") / "new"))
        old = reader.read(pack(draw("old/노루/1.jpg", "old/고라니/1.jpg") / "old", korean_windows=True))
        assert set(new.rows["label"]) == set(old.rows["label"]) == {"노루", "고라니"}
        assert f"{decomposed}/1.jpg" in set(new.rows["path"])

    def test_files_that_are_no_photos_are_passed_over(self, draw, pack):
        root = draw("mine/fox/1.jpg", "mine/__MACOSX/fox/1.jpg", "mine/.cache/1.jpg", "mine/fox/._1.jpg") / "mine"
        (root / "SOURCE.md").touch()
        assert reader.read(pack(root)).rows["path"].tolist() == ["fox/1.jpg"]

    def test_what_cannot_be_read_becomes_a_row(self, draw, pack):
        root = draw("mine/fox/1.jpg", "mine/hare/1.jpg", "mine/hare/2.jpg") / "mine"
        (root / "hare/more.zip").touch()
        archive = pack(root)
        content = bytearray(archive.read_bytes())
        content[content.rindex(b"hare/2.jpg") - 46 + 8] = 1  # encrypted, says the central directory
        archive.write_bytes(content)
        manifest = scan(archive)
        assert table(manifest, "label", "problem") == [
            ("fox/1.jpg", "fox", None),
            ("hare/1.jpg", "hare", None),
            ("hare/2.jpg", "hare", "unreadable: encrypted in its zip"),
            ("hare/more.zip", "hare", "unreadable: a zip in a zip is not opened"),
        ]
        assert len(manifest.usable) == 2

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["a.txt"], r"got none \(1 .txt\)"),
            (["1.jpg"], "got 1 photo without a class folder, such as 1.jpg;"),
            (["a.zip"], r"such as a.zip \(unreadable: a zip in a zip is not opened\)"),
            (["train/fox/1.jpg", "fox/1.jpg"], "got both: train beside fox"),
        ],
    )
    def test_what_is_refused(self, tmp_path, pack, names, message):
        for name in names:
            (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mine" / name).touch()
        with pytest.raises(PhotosError, match=message):
            reader.read(pack(tmp_path / "mine"))

    def test_a_damaged_one_is_refused(self, tmp_path):
        (tmp_path / "mine.zip").write_bytes(b"PK")
        with pytest.raises(PhotosError, match=r"mine.zip: expected a whole zip archive, got a damaged one"):
            reader.read(tmp_path / "mine.zip")

    def test_a_folder_of_them_is_refused(self, draw, pack):
        root = pack(draw("mine/fox/1.jpg") / "mine").parent
        with pytest.raises(PhotosError, match=r"got none \(1 .zip\); give one zip at a time"):
            reader.read(root)
