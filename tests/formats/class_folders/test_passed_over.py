import pytest

from fscl.formats.class_folders import reader


@pytest.fixture
def remarks(draw):
    """Return a function that adds empty files and folders to some photos, reads, and returns what was said."""

    def read(*others, photos=("fox/1.jpg", "hare/1.jpg"), packed=None):
        root = draw(*(f"mine/{photo}" for photo in photos)) / "mine"
        for name in others:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).mkdir() if name.endswith("/") else (root / name).touch()
        return list(reader.read(packed(root) if packed else root).remarks)

    return read


def test_nothing_was_passed_over(remarks):
    assert remarks() == []


def test_what_lies_beside_photos_anyway_is_not_said(remarks):
    names = ["SOURCE.md", "fox/Thumbs.db", "fox/._1.jpg", ".DS_Store", "fox/.DS_Store", "desktop.ini", "README"]
    hidden = ["__MACOSX/fox/1.jpg", ".git/1.jpg", "fox/.ipynb_checkpoints/1.jpg", "@eaDir/1.jpg"]
    assert remarks(*names, *hidden, "metadata.json", "fox/1.xmp") == []


def test_a_class_without_a_photo_is_named(remarks):
    others = [f"wolf/{number}.CR2" for number in range(9)] + ["owl/"]
    assert remarks(*others) == [
        "class folders without a photo: owl (empty), wolf (9 .cr2)",
        "passed over: 9 .cr2; camera raw is not read, convert it to JPEG",
    ]


def test_folders_without_a_photo_that_are_no_classes_are_not(remarks):
    assert remarks("annotations/1.json", "fox/night/", "docs/paper.pdf") == []


@pytest.mark.parametrize("in_zip", [False, True])
def test_other_kinds_of_photos_and_videos_are_counted_by_class(remarks, pack, in_zip):
    others = [f"hare/{number}.NEF" for number in range(12)]
    others += ["fox/a.wmv", "fox/b.JPG_original", "hare/c", "x.jxl", "fox/.d.jpg"]
    assert remarks(*others, packed=pack if in_zip else None) == [
        "passed over: 12 .nef, 1 .jpg_original, 1 .jxl, 1 .wmv, 1 hidden, 1 without a suffix (13 in hare, 3 in fox); "
        "camera raw is not read, convert it to JPEG; "
        "of videos .mp4, .m4v, .mov, .avi, .asf, .mkv are read, convert the others"
    ]


def test_under_splits_the_class_counts(remarks):
    photos = ["train/fox/1.jpg", "test/fox/1.jpg", "train/hare/1.jpg"]
    assert remarks("train/hare/1.nef", "test/hare/2.nef", "test/wolf/1.nef", "docs/x.wmv", photos=photos)[0] == (
        "class folders without a photo: wolf (1 .nef)"
    )


def test_hidden_folders_are_said(remarks):
    assert remarks(".lynx/1.jpg") == ["hidden folders are passed over: .lynx"]


class TestLinks:
    def classes(self, root):
        return reader.read(root).rows.groupby("label").size().to_dict()

    def test_a_real_folder_wins_over_its_link(self, draw):
        root = draw("fox/1.jpg", "fox/2.jpg", "hare/1.jpg")
        (root / "a_link").symlink_to("fox")
        (root / "zz_link").symlink_to(root / "hare")
        (root / "hare" / "up").symlink_to("..")
        assert self.classes(root) == {"fox": 2, "hare": 1}
        assert list(reader.read(root).remarks) == [
            "linked folders whose photos are read where they lie: a_link → fox, hare/up → ., zz_link → hare"
        ]

    def test_a_folder_within_a_linked_one_too(self, draw):
        root = draw("mine/fox/night/1.jpg", "mine/fox/1.jpg", "mine/hare/1.jpg") / "mine"
        (root / "a_link").symlink_to("fox/night")
        (root / "b_link").symlink_to("..")
        assert self.classes(root) == {"fox": 2, "hare": 1}

    def test_links_that_lead_elsewhere_are_entered_once(self, draw):
        root = draw("mine/hare/1.jpg", "disk/1.jpg", "disk/2.jpg") / "mine"
        (root / "fox").symlink_to("../disk")
        (root / "wolf").symlink_to("../disk")
        assert self.classes(root) == {"fox": 2, "hare": 1}
        assert list(reader.read(root).remarks) == ["linked folders whose photos are read where they lie: wolf → fox"]

    def test_the_root_may_be_a_link(self, draw):
        root = draw("disk/fox/1.jpg", "disk/hare/1.jpg")
        (root / "mine").symlink_to("disk")
        assert self.classes(root / "mine") == {"fox": 1, "hare": 1}

    def test_a_link_to_nothing_is_a_missing_file(self, draw):
        root = draw("fox/1.jpg", "hare/1.jpg")
        (root / "fox" / "broken.jpg").symlink_to("gone.jpg")
        (root / "lynx").symlink_to("gone")
        assert self.classes(root) == {"fox": 2, "hare": 1}
