from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.class_folders import layouts, reader
from fscl.formats.reading import Reading

ROOT = Path("mine")


def words(*paths):
    return "/".join(layouts.guess(ROOT, [tuple(path.split("/")) if path else () for path in paths]).words)


def question(*paths):
    with pytest.raises(PhotosError) as error:
        words(*paths)
    return str(error.value)


def placed(manifest):
    rows = manifest.rows[["label", "site", "split"]].astype(object)
    return sorted(set(rows.where(rows.notna(), "").itertuples(index=False, name=None)))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["fox", "hare"], "class"),
        (["fox/cam1/night", "hare"], "class"),
        (["fox/2020", "fox/2021", "hare/2020", "hare/2021"], "class"),
        (["fox/100RECNX", "fox/101RECNX", "hare/100RECNX", "hare/101RECNX"], "class"),
        (["fox/DCIM/100RECNX", "hare/DCIM/100RECNX"], "class"),
        (["fox/images", "hare/images"], "class"),
        # folders that hold all others
        (["photos/fox", "photos/hare"], "-/class"),
        (["a/b/c/fox", "a/b/c/hare/night"], "-/-/-/class"),
        (["photos/fox", "photos/hare", "photos"], "-/class"),
        (["fox"], "class"),
        (["fox/night"], "class"),
        (["fox", "fox/night"], "class"),
        (["fox/cam01", "fox/cam02"], "class"),
        (["fox/100RECNX", "fox/101RECNX", "fox/102RECNX"], "class"),
        (["fox", "fox", "fox", "fox/day", "fox/night"], "class"),
        (["fox", "hare", ""], "class"),
        # splits
        (["train/fox", "test/hare/deep"], "split/class"),
        (["Training/fox", "Testing/fox", "Validation/hare"], "split/class"),
        (["train/fox", "dev/fox"], "split/class"),
        (["train/fox", "eval/fox"], "split/class"),
        (["train/fox", "train/hare"], "split/class"),
        (["seg_train/fox", "seg_test/fox"], "split/class"),
        (["data/train/fox", "data/test/fox"], "-/split/class"),
        (["data/train/fox"], "-/split/class"),
        (["seg_train/seg_train/fox", "seg_train/seg_train/hare", "seg_test/seg_test/fox"], "split/-/class"),
        (["train/images/fox", "train/images/hare", "val/images/fox"], "split/-/class"),
        (["train/fox/a", "test/fox/b"], "split/class"),
        (["freight_train", "passenger_train"], "class"),
    ],
)
def test_what_folders_mean(paths, expected):
    assert words(*paths) == expected


@pytest.mark.parametrize(
    ("paths", "options"),
    [
        (["cam01/fox", "cam01/hare", "cam02/fox", "cam02/hare"], ["site/class", "class/site", "class"]),
        (["north/fox", "north/hare", "south/hare", "south/fox/night"], ["site/class", "class/site", "class"]),
        (["fox/cam01", "fox/cam02", "hare/cam02", "hare/cam01"], ["class/site", "site/class", "class"]),
        (["cam01/fox", "cam02/hare"], ["site/class", "class/site", "class"]),
        (["fox/train", "fox/test", "hare/train", "hare/test"], ["class/split", "class"]),
        (
            ["train/A/fox", "train/A/hare", "train/B/fox", "train/B/hare", "test/A/fox"],
            ["split/site/class", "split/class/site", "split/class"],
        ),
        (["x/A/fox", "x/A/hare", "x/B/fox", "x/B/hare"], ["-/site/class", "-/class/site", "-/class"]),
        (["photos/cam01/fox", "photos/cam02/fox"], ["-/site/class", "-/class/site", "-/class"]),
        # nearly all hold the same
        (["A/fox", "A/hare", "B/fox", "B/hare", "B/lynx", "C/hare", "C/fox", "D/owl"], ["site/class"]),
    ],
)
def test_folders_that_may_be_either_are_a_question(paths, options):
    text = question(*paths)
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]][: len(options)] == [
        f"--layout{'=' if option.startswith('-') else ' '}{option}" for option in options
    ]
    assert "say which: fscl scan mine" in text


def test_the_question_names_what_it_is_about():
    text = question("cam01/fox", "cam01/hare", "cam02/fox", "cam02/hare")
    assert text.startswith(
        "mine: the folders cam01, cam02 hold folders of the same names (fox, hare), so that either"
    )
    assert "--layout site/class: classes such as fox, hare, at the sites cam01, cam02" in text


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["train/fox", "fox"], "got both: train beside fox; move one kind elsewhere"),
        (["seg_train/fox", "seg_test/fox", "seg_pred/x"], "got both: seg_test, seg_train beside seg_pred"),
    ],
)
def test_splits_beside_classes_are_refused_with_a_way_out(paths, message):
    text = question(*paths)
    assert message in text
    assert "fscl scan mine --layout class" in text


def test_folders_that_hold_all_and_classes_called_as_cameras_are_said():
    paths = [("photos", "cam01"), ("photos", "cam02")]
    for folders_in_it, what in ((["fox", "hare"], "classes"), (["train", "test"], "splits")):
        [remark] = layouts.guess(ROOT, [("a", name, "deep") for name in folders_in_it]).remarks
        assert remark == f"a/ holds all photos: the folders in it are the {what}"
    [remark] = layouts.guess(ROOT, [path[1:] for path in paths]).remarks
    assert remark == "the class folders have names like cameras (cam01, cam02): are these the classes?"
    for names in (["camel", "cat"], ["siteless", "stationary"], ["plover", "ct"]):
        assert layouts.guess(ROOT, [(name,) for name in names]).remarks == ()


class TestGiven:
    @pytest.mark.parametrize(
        ("layout", "path", "expected"),
        [
            ("class", "cam01/fox/1.jpg", ("cam01", "", "")),
            ("site/class", "cam01/fox/night/1.jpg", ("fox", "cam01", "")),
            ("class/site", "fox/cam01/1.jpg", ("fox", "cam01", "")),
            ("split/site/class", "Training/cam01/fox/1.jpg", ("fox", "cam01", "train")),
            ("-/split/-/class", "a/seg_test/b/fox/1.jpg", ("fox", "", "test")),
            ("/site/class/", "cam 01 /fox/1.jpg", ("fox", "cam 01", "")),
        ],
    )
    def test_each_word_is_a_folder(self, draw, layout, path, expected):
        assert placed(reader.read(draw(path), Reading(layout=layout))) == [expected]

    def test_photos_above_the_class_have_no_label(self, draw):
        rows = reader.read(draw("cam01/fox/1.jpg", "cam01/loose.jpg"), Reading(layout="site/class")).rows
        assert rows["problem"].tolist()[1] == "no label"
        assert rows["site"].tolist() == ["cam01", "cam01"]

    def test_in_archives(self, draw, pack):
        archive = pack(draw("mine/cam01/fox/1.jpg", "mine/cam02/fox/1.jpg") / "mine", below="set/")
        with pytest.raises(PhotosError, match="--layout=-/site/class"):
            reader.read(archive)
        assert placed(reader.read(archive, Reading(layout="-/site/class"))) == [
            ("fox", "cam01", ""),
            ("fox", "cam02", ""),
        ]

    @pytest.mark.parametrize(
        ("layout", "message"),
        [
            ("site/clas", "unknown word 'clas'; did you mean 'class'"),
            ("site", "with class once.*got no class"),
            ("class/class", "got class twice"),
            ("", "unknown word ''"),
        ],
    )
    def test_other_words_are_refused(self, layout, message):
        with pytest.raises(ConfigurationError, match=message):
            layouts.parse(layout)

    def test_a_folder_that_should_be_a_split_is_named(self, draw):
        with pytest.raises(PhotosError, match=r"folders of splits to be called train, .*, got fox; rename it"):
            reader.read(draw("fox/1.jpg"), Reading(layout="split/class"))

    def test_no_photo_so_deep(self, draw):
        with pytest.raises(PhotosError, match=r"/SITE/CLASS/photo.jpg, got 1 photo without a class folder"):
            reader.read(draw("fox/1.jpg"), Reading(layout="site/class"))


def test_names_differing_in_white_space_are_one(draw):
    root = draw("fox/1.jpg", "fox /1.jpg", " fox\u200b/1.jpg", "roe deer/1.jpg", "roe\u00a0  deer/1.jpg", " /1.jpg")
    manifest = reader.read(root)
    assert set(manifest.rows["label"].dropna()) == {"fox", "roe deer"}
    assert manifest.rows.set_index("path")["problem"].dropna().to_dict() == {" /1.jpg": "no label"}
    assert all((root / path).exists() for path in manifest.rows["path"])


NAMES = [
    "fox",
    "hare",
    "Fox ",
    "train",
    "Test",
    "seg_train",
    "seg_val",
    "cam1",
    "cam 2",
    "2021",
    "100RECNX",
    "images",
]


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.lists(st.lists(st.sampled_from(NAMES), max_size=4).map("/".join), min_size=1, max_size=12, unique=True),
    st.sampled_from([None, "class", "site/class", "-/class"]),
)
def test_any_tree_is_read_whole_or_is_a_question(tmp_path_factory, places, layout):
    root = tmp_path_factory.mktemp("tree") / "mine"
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "1.jpg").touch()
    with ZipFile(root.with_suffix(".zip"), "w") as packed:
        for place in places:
            packed.writestr(f"{place}/1.jpg".lstrip("/"), "")
    try:
        rows = reader.read(root, Reading(layout=layout)).rows
    except PhotosError:
        with pytest.raises(PhotosError):
            reader.read(root.with_suffix(".zip"), Reading(layout=layout))
        return
    assert rows["path"].tolist() == sorted(f"{place}/1.jpg".lstrip("/") for place in places)
    assert (rows["problem"].isna() == rows["label"].notna()).all()
    pd.testing.assert_frame_equal(reader.read(root.with_suffix(".zip"), Reading(layout=layout)).rows, rows)


def test_real_stations(shared_data):
    root = shared_data / "formats" / "station-species-folders-camtrapR"
    with pytest.raises(
        PhotosError, match=r"StationA, StationB, StationC hold folders of the same names \(PBE, VTA\)"
    ):
        reader.read(root)
    rows = reader.read(root, Reading(layout="site/class")).rows
    assert rows["site"].value_counts().to_dict() == {"StationC": 37, "StationB": 23, "StationA": 8}
    assert set(rows["label"]) == {"PBE", "VTA", "MNE", "UNID", "EGY", "TRA"}


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev", "eval"])
def test_every_name_of_validation_is_validation(draw, name):
    root = draw("train/fox/1.jpg", "train/hare/2.jpg", f"{name}/fox/3.jpg", f"{name}/hare/4.jpg")
    assert {split for _, _, split in placed(reader.read(root))} == {"train", "val"}


@pytest.mark.parametrize(
    ("between", "word"),
    [("DCIM", "-"), ("2021-05-01", "-"), ("sorted", "-"), ("train", "split"), ("DCIM/100RECNX", "-/-")],
)
@pytest.mark.parametrize("sites", [("Nordwald", "Suedwald"), ("cam01", "cam02")])
def test_sites_with_a_folder_between_them_and_the_species_are_asked_about(between, word, sites):
    folders = [(site, *between.split("/"), name) for site in sites for name in ("fox", "hare")]
    with pytest.raises(PhotosError, match="so that either may be the classes") as caught:
        layouts.guess(Path("photos"), folders)
    answer = f"--layout site/{word}/class: classes such as fox, hare, at the sites {', '.join(sites)}"
    assert answer in str(caught.value)


def test_folders_of_cameras_in_class_folders_are_no_question():
    folders = [(name, "DCIM", f"10{i}RECNX") for name in ("fox", "hare") for i in range(3)]
    assert layouts.guess(Path("photos"), folders).words == ("class",)
    burst = [(name, "sorted", f"{name}{i}") for name in ("fox", "hare") for i in range(3)]
    assert layouts.guess(Path("photos"), burst).words == ("class",)
