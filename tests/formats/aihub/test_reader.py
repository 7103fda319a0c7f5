import json
import os
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from fscl import formats
from fscl.errors import PhotosError
from fscl.formats.aihub import reader
from fscl.formats.reading import Reading
from fscl.manifest import Manifest
from fscl.scanning.scan import scan

ROOT = "175.야생동물 활동 영상 데이터"
TRAINING = "01.데이터/1.Training"
NAME = "A01_F03_C074_C_200114_3001_20S_000001.061"
NIGHT = "A01_F03_C074_I_200114_3002_20S_000004.500"
PHOTO = f"{TRAINING}/원천데이터/TS_01.고라니/{NAME}.jpg"
LABEL = f"{TRAINING}/라벨링데이터/TL_01.고라니/{NAME}.json"


def animal(**changes):
    given = {
        "image_id": 7,
        "bbox": [[2, 1], [10, 7]],
        "category_id": 1,
        "category_name": "inermis",
        "species": "고라니",
    }
    return {key: value for key, value in (given | changes).items() if value is not ...}


def label(*animals, name=NAME, **changes):
    image = {"id": 7, "file_name": f"{name}.jpg", "width": 12, "height": 8, "day": "day"} | changes
    image = {key: value for key, value in image.items() if value is not ...}
    return {"images": [image], "annotations": list(animals or [animal()])}


@pytest.fixture
def ship(draw, tmp_path):
    """Return a function that writes photos and label files (text, bytes or objects) below the folder of the set."""

    def write(photos=(PHOTO,), labels=None, root=ROOT) -> Path:
        (tmp_path / root).mkdir(exist_ok=True)
        if photos:
            draw(*(f"{root}/{path}" for path in photos))
        for path, content in ({LABEL: label()} if labels is None else labels).items():
            file = tmp_path / root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if not isinstance(content, bytes):
                content = json.dumps(content, ensure_ascii=False).encode()
            file.write_bytes(content)
        return tmp_path / root

    return write


def only(root):
    """The only row, as a dictionary with None for what is missing."""
    [row] = rows(root)
    return row


def rows(root):
    table = formats.read(root).rows.astype(object)
    return table.where(table.notna(), None).to_dict("records")


def test_a_photo_and_its_label_file(ship):
    row = only(ship())
    assert row["path"] == PHOTO
    assert row["label_file"] == LABEL
    assert (row["label"], row["split"]) == ("water_deer", "train")
    assert (row["x"], row["y"], row["w"], row["h"]) == (2, 1, 8, 6)
    assert (row["site"], row["sequence"], row["field"]) == ("C074", "C074_200114_3001", "F03")
    assert (row["date"], row["datetime"], row["infrared"]) == ("2020-01-14", None, False)
    assert (row["problem"], row["note"]) == (None, None)


def test_it_survives_scanning_and_writing(ship, tmp_path):
    manifest = scan(ship(labels={LABEL: label(animal(), animal(bbox=[[0, 0], [3, 3]]), weather="맑음")}))
    manifest.write(tmp_path / "photos.parquet")
    back = Manifest.read(tmp_path / "photos.parquet")
    pd.testing.assert_frame_equal(back.rows, manifest.rows)
    assert len(back.usable) == 2
    assert back.rows["aihub_image_weather"].tolist() == ["맑음", "맑음"]


def test_two_animals_in_a_photo_are_two_regions(ship):
    both = rows(ship(labels={LABEL: label(animal(), animal(bbox=[[1, 2], [3, 5]]))}))
    assert [row["region_id"] for row in both] == [f"{PHOTO}#0", f"{PHOTO}#1"]
    assert [row["w"] for row in both] == [8, 2]


def test_training_is_train_and_validation_is_val(ship):
    other = "A11_F03_C010_C_200115_3001_20S_000001.061"
    photos = [PHOTO, f"01.데이터/2.Validation/원천데이터/VS_11.노루/{other}.jpg"]
    labels = {
        LABEL: label(),
        f"01.데이터/2.Validation/라벨링데이터/VL_11.노루/{other}.json": label(
            animal(category_id=11, category_name="pygargus", species="노루"), name=other
        ),
    }
    assert [(r["label"], r["split"]) for r in rows(ship(photos, labels))] == [
        ("water_deer", "train"),
        ("roe_deer", "val"),
    ]


class TestFolders:
    @pytest.mark.parametrize(
        "root", [ROOT, "175.야생동물_활동_영상_데이터", unicodedata.normalize("NFD", ROOT), "wildlife", "1.Training"]
    )
    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    @pytest.mark.parametrize(
        "above", ["01.데이터/1.Training", "01. 데이터/1.Training_Image", "01._데이터/1. Training"]
    )
    def test_releases_and_systems_write_them_differently(self, ship, root, form, above):
        photo, file = (path.replace(TRAINING, above) for path in (PHOTO, LABEL))
        photo = unicodedata.normalize(form, photo)
        row = only(ship([photo], {file: label()}, root=root))  # the photo decomposed, the label file not
        assert row["path"] == photo
        assert (row["label"], row["split"], row["problem"]) == ("water_deer", "train", None)

    @pytest.mark.parametrize(
        "species", ["TL_01.고라니", "TL 01. 고라니", "TL_01_고라니", "TL_01.┬│╢≤", "water_deer", "TL_1"]
    )
    def test_of_a_species(self, ship, species):
        file = LABEL.replace("TL_01.고라니", species)
        nameless = label(animal(category_id=..., category_name=..., species=...))
        assert only(ship(labels={file: nameless}))["label"] == "water_deer"

    def test_of_several_species_say_nothing_about_one(self, ship):
        row = only(ship(labels={LABEL.replace("TL_01.고라니", "TL-quadruped"): label()}))
        assert (row["label"], row["split"], row["problem"]) == ("water_deer", "train", None)

    @pytest.mark.parametrize("start", ["", "01.데이터", "01.데이터/1.Training"])
    def test_the_set_may_be_given_from_any_level(self, ship, start):
        row = only(ship() / start)
        assert (row["label"], row["split"]) == ("water_deer", "train")

    def test_species_folders_may_stand_alone(self, ship):
        row = only(ship([f"TS_01.고라니/{NAME}.jpg"], {f"TL_01.고라니/{NAME}.json": label()}, root="mine"))
        assert (row["label"], row["split"], row["problem"]) == ("water_deer", "train", None)

    def test_the_name_of_a_species_says_more_than_its_number(self, ship):
        nameless = label(animal(category_id=..., category_name=..., species=...))
        assert only(ship(labels={LABEL.replace("TL_01", "TL_05"): nameless}))["label"] == "water_deer"

    def test_the_split_is_told_by_the_folders_of_the_photo_or_the_label_file_or_the_root(self, ship):
        apart = ship([f"원천데이터/{NAME}.jpg"])
        assert only(apart)["split"] == "train"
        within = ship([f"원천데이터/{NAME}.jpg"], {f"라벨링데이터/{NAME}.json": label()}, root="2.Validation")
        assert only(within)["split"] == "val"

    def test_linked_folders_are_followed_but_not_in_circles(self, ship, tmp_path):
        (tmp_path / "linked").mkdir()
        root = ship()
        (tmp_path / "linked" / "01.데이터").symlink_to(root / "01.데이터")
        (root / "01.데이터" / "back").symlink_to(root)
        assert only(tmp_path / "linked")["path"] == PHOTO

    def test_class_folders_are_none_of_it(self, draw):
        root = draw("노루/a.jpg", "TS_01/b.jpg", "training/c.jpg")
        assert not reader.recognises(root)


class TestNamesOfFiles:
    def test_site_and_clip(self, ship):
        names = [
            "A01_F03_C074_C_200114_3001_20S_000001.061",
            "A01_F03_C074_C_200114_3001_20S_000002.061",  # the same clip
            "A01_F03_C074_C_200115_3001_20S_000001.061",  # clips are counted anew each day
            "A01_F03_C075_C_200114_3001_20S_000001.061",  # and by each camera
            "a01 f03 c075 c 200114 3001 20s 000002.061",
            "A07_H20_G070_D_211204_2085_59S_000008.010",
        ]
        photos = [PHOTO.replace(NAME, name) for name in names]
        found = rows(ship(photos, {LABEL.replace(NAME, name): label(name=name) for name in names}))
        assert [row["site"] for row in found] == ["C074", "C074", "C074", "C075", "G070", "C075"]  # by path
        clips = [row["sequence"] for row in found]
        assert len(set(clips)) == 4
        assert (clips[0], clips[3]) == (clips[1], clips[5])

    @pytest.mark.parametrize(
        ("name", "changes", "expected"),
        [
            (NAME, {}, False),
            (NIGHT, {}, True),
            (NAME, {"type": "IR"}, True),
            (NIGHT, {"type": "RGB"}, False),
            (NAME.replace("_C_", "_D_"), {}, None),
        ],
    )
    def test_infrared_is_told_by_the_label_file_or_the_name(self, ship, name, changes, expected):
        row = only(ship([PHOTO.replace(NAME, name)], {LABEL.replace(NAME, name): label(name=name, **changes)}))
        assert row["infrared"] is expected

    @pytest.mark.parametrize("name", ["IMG_0001", NAME.replace("200114", "201399")])
    def test_one_that_is_not_understood_is_noted(self, ship, name):
        row = only(ship([PHOTO.replace(NAME, name)], {LABEL.replace(NAME, name): label(name=name)}))
        assert row["date"] is None
        assert row["note"].startswith("file name not understood")
        assert (row["label"], row["problem"]) == ("water_deer", None)

    @pytest.mark.parametrize(
        ("file_name", "json_name"),
        [
            (f"{NAME}.jpg", f"{NAME}.json"),
            (f"{NAME}.jpg", f"{NAME}.jpg.json"),
            (NAME, f"{NAME}.JSON"),
            (f"TS_01.고라니/{NAME}.jpg", f"{NAME}.json"),
            (f"D:\\photos\\{NAME}.JPG", "1.json"),
            (NAME.replace("_", " ") + ".png", f"{NAME}.json"),
            (..., f"{NAME}.json"),
            ("wrong.jpg", f"{NAME}.json"),
        ],
    )
    def test_label_files_find_their_photo(self, ship, file_name, json_name):
        row = only(ship(labels={LABEL.replace(f"{NAME}.json", json_name): label(file_name=file_name)}))
        assert (row["path"], row["label"], row["problem"]) == (PHOTO, "water_deer", None)

    def test_a_point_in_the_name_begins_no_suffix(self, ship):
        names = [NAME, NAME.replace(".061", ".062")]
        labels = {LABEL.replace(NAME, name): label(name=name, file_name=name, day=name) for name in names}
        found = rows(ship([PHOTO.replace(NAME, name) for name in names], labels))
        assert [row["aihub_image_day"] for row in found] == names


class TestTimes:
    @pytest.mark.parametrize("given", ["2020.01.14 20:22:20", "2020-01-14T20:22:20", "2020:01:14 20:22:20"])
    @pytest.mark.parametrize("key", ["date_created", "date_captured", "dateCreated"])
    def test_come_from_the_label_file(self, ship, key, given):
        row = only(ship(labels={LABEL: label(**{key: given})}))
        assert (row["datetime"], row["note"]) == (pd.Timestamp("2020-01-14 20:22:20"), None)

    def test_a_date_is_no_midnight(self, ship):
        row = only(ship(labels={LABEL: label(date_created="2020.01.14")}))
        assert (row["date"], row["datetime"], row["note"]) == ("2020-01-14", None, None)

    def test_of_another_day_are_left_out(self, ship):
        row = only(ship(labels={LABEL: label(date_created="2022.07.01 09:00:00")}))
        assert (row["date"], row["datetime"]) == ("2020-01-14", None)
        assert row["note"] == "time of another day than the file name, left out: 2022.07.01 09:00:00"

    @pytest.mark.parametrize("given", ["yesterday", "2020.01.14 27:00:00", 20200114])
    def test_that_are_none_are_noted(self, ship, given):
        row = only(ship(labels={LABEL: label(date_created=given)}))
        assert row["datetime"] is None
        assert row["note"] == f"time not understood (expected 2021-10-26 20:22:20): {given}"

    def test_date_the_photo_where_its_name_does_not(self, ship):
        row = only(ship([PHOTO.replace(NAME, "a")], {LABEL: label(name="a", date_created="2020.01.14 20:22:20")}))
        assert (row["date"], row["datetime"]) == ("2020-01-14", pd.Timestamp("2020-01-14 20:22:20"))


class TestSpecies:
    @pytest.mark.parametrize(
        "names",
        [
            {"speciesString": "Sus scrofa"},
            {"category_String": "멧돼지"},
            {"species_string": "Wild Boar"},
            {"category_name": "scrofa"},
            {"category_name": unicodedata.normalize("NFD", "멧돼지")},
            {"speciesString": "Elk", "species": "멧돼지"},  # a better key with a name that is unknown
            {"category_id": 2},
            {"category_id": "02"},
            {"category_id": 2.0},
        ],
    )
    def test_under_the_keys_of_all_releases(self, ship, names):
        nameless = {"category_id": ..., "category_name": ..., "species": ...}
        file = LABEL.replace("TL_01.고라니", "TL_02.멧돼지")
        row = only(ship(labels={file: label(animal(**(nameless | names)))}))
        assert (row["label"], row["problem"], row["note"]) == ("wild_boar", None, None)

    def test_that_label_file_and_folder_call_differently_are_in_doubt(self, ship):
        boar = animal(category_id=2, category_name="scrofa", species="멧돼지")
        found = rows(ship(labels={LABEL: label(boar, animal())}))
        assert [row["label"] for row in found] == ["wild_boar", "water_deer"]
        assert [row["problem"] for row in found] == ["species in doubt: wild_boar or water_deer", None]

    def test_that_the_label_file_calls_differently_itself_are_in_doubt(self, ship):
        row = only(ship(labels={LABEL: label(animal(category_id=2))}))
        assert row["problem"] == "species in doubt: water_deer or wild_boar"

    def test_outside_the_set_keep_their_name(self, ship):
        file = LABEL.replace("TL_01.고라니", "TL-quadruped")
        row = only(ship(labels={file: label(animal(category_id=12, category_name="otter", species=...))}))
        assert (row["label"], row["problem"]) == ("otter", None)

    def test_that_nobody_names_are_no_label(self, ship):
        file = LABEL.replace("TL_01.고라니", "all")
        row = only(ship(labels={file: label(animal(category_id=..., category_name=..., species=...))}))
        assert (row["label"], row["problem"]) == (None, "no label")


class TestBoxes:
    @pytest.mark.parametrize(
        "corners", [[[2, 1], [10, 7]], [[10, 7], [2, 1]], [[2, 7], [10, 1]], [2, 1, 10, 7], [["2", "1"], ["10", "7"]]]
    )
    def test_are_two_corners_in_any_order(self, ship, corners):
        row = only(ship(labels={LABEL: label(animal(bbox=corners))}))
        assert (row["x"], row["y"], row["w"], row["h"]) == (2, 1, 8, 6)

    @pytest.mark.parametrize(
        ("corners", "problem"),
        [
            ([[2, 1], [10]], "box needs two corners: x1, y1, x2, y2"),
            ([[2, 1], [10, None]], "box needs two corners: x1, y1, x2, y2"),
            ("left", "box needs two corners: x1, y1, x2, y2"),
            ({"x": 1}, "box needs two corners: x1, y1, x2, y2"),
            ([8, 4, 3, 2], "box needs two corners: x1, y1, x2, y2"),  # x, y, w, h
            ([[2, 1], [2, 7]], "box without area"),
        ],
    )
    def test_that_are_none(self, ship, corners, problem):
        row = only(ship(labels={LABEL: label(animal(bbox=corners))}))
        assert (row["x"], row["label"], row["problem"]) == (None, "water_deer", problem)

    @pytest.mark.parametrize("corners", [..., None, []])
    def test_that_are_missing_leave_the_whole_photo(self, ship, corners):
        row = only(ship(labels={LABEL: label(animal(bbox=corners))}))
        assert (row["x"], row["problem"], row["note"]) == (None, None, "label file lacks: bbox")

    def test_are_turned_with_the_photo(self, ship):
        root = ship()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (12, 8)).save(root / PHOTO, exif=exif)
        row = only(root)
        assert (row["x"], row["y"], row["w"], row["h"]) == (1, 2, 6, 8)
        drawn_upright = formats.read(root, Reading(box_frame="upright")).rows.iloc[0]
        assert drawn_upright[["x", "y", "w", "h"]].tolist() == [2, 1, 8, 6]


class TestProblems:
    def test_a_photo_without_label_file(self, ship):
        other = PHOTO.replace("000001", "000002")
        found = rows(ship([PHOTO, other]))
        assert [(row["path"], row["label"], row["problem"]) for row in found] == [
            (PHOTO, "water_deer", None),
            (other, None, "no label"),
        ]

    def test_a_label_file_without_photo(self, ship):
        other = LABEL.replace("000001", "000002")
        labels = {LABEL: label(), other: label(animal(), animal(), name=NAME.replace("000001", "000002"))}
        found = rows(ship(labels=labels))[1:]
        assert {row["path"] for row in found} == {PHOTO.replace("000001", "000002")}
        assert {(row["label"], row["split"], row["problem"]) for row in found} == {
            ("water_deer", "train", "missing file")
        }
        assert {row["site"] for row in found} == {"C074"}

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b'{"images": [', "label file is not JSON in UTF-8"),
            (b"", "label file is not JSON in UTF-8"),
            ('{"species": "고라니"}'.encode("cp949"), "label file is not JSON in UTF-8"),
            (b"[1]", "label file without images and annotations"),
            (label() | {"annotations": []}, "no animal in the label file"),
            ({"images": None}, "no animal in the label file"),
        ],
    )
    def test_a_label_file_that_says_nothing(self, ship, content, problem):
        row = only(ship(labels={LABEL: content}))
        assert (row["path"], row["label"], row["problem"]) == (PHOTO, None, problem)
        assert (row["site"], row["label_file"]) == ("C074", LABEL)

    def test_a_byte_order_mark_is_none(self, ship):
        content = json.dumps(label()).encode("utf-8-sig")
        assert only(ship(labels={LABEL: content}))["problem"] is None

    def test_a_damaged_photo(self, ship):
        root = ship()
        (root / PHOTO).write_bytes(b"")
        assert only(root)["problem"] == "unreadable: empty file"

    def test_folders_whose_names_are_no_utf_8(self, ship):
        root = ship()
        folder = (root / LABEL).parent
        garbled = os.fsdecode("TL_01.고라니".encode("cp949"))
        try:
            folder.rename(folder.with_name(garbled))
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        row = only(root)
        assert (row["path"], row["label"], row["problem"]) == (PHOTO, "water_deer", None)
        assert row["label_file"].split("/")[3].startswith("TL_01.\\xb0")

    def test_two_label_files_of_a_photo(self, ship):
        copy = LABEL.replace("TL_01.고라니", "TL_01.고라니 (1)")
        found = rows(ship(labels={LABEL: label(), copy: label()}))
        assert [row["problem"] for row in found] == ["several label files"] * 2

    def test_a_photo_in_both_splits_has_the_label_file_of_each(self, ship):
        other_photo, other_label = (
            path.replace("1.Training", "2.Validation").replace("/T", "/V").replace("V1", "T1")
            for path in (PHOTO, LABEL)
        )
        found = rows(ship([PHOTO, other_photo], {LABEL: label(), other_label: label()}))
        assert [(row["split"], row["label_file"], row["problem"]) for row in found] == [
            ("train", LABEL, None),
            ("val", other_label, None),
        ]


class TestFields:
    def test_that_are_not_ours_are_kept_after_their_place(self, ship):
        file = label(animal(hazardous="yes", color="담갈적색"), weather="맑음", GPS={"lat": 37.5}, tags=["a"])
        row = only(ship(labels={LABEL: file | {"info": {"version": 1}}}))
        kept = {name: value for name, value in row.items() if name.startswith("aihub_")}
        expected = {
            "aihub_image_weather": "맑음",
            "aihub_image_GPS_lat": 37.5,
            "aihub_annotation_hazardous": "yes",
            "aihub_annotation_color": "담갈적색",
            "aihub_info_version": 1,
        }
        assert {name: kept.get(name) for name in expected} == expected
        assert "aihub_image_tags" not in kept

    def test_that_are_missing_are_noted(self, ship):
        row = only(ship(labels={LABEL: label(animal(bbox=...), width=..., day=None)}))
        assert row["note"] == "label file lacks: width, day, bbox"

    def test_of_mixed_kinds_become_text(self, ship, tmp_path):
        other = NAME.replace("000001", "000002")
        labels = {LABEL: label(temperature=12), LABEL.replace(NAME, other): label(name=other, temperature="cold")}
        manifest = formats.read(ship([PHOTO, PHOTO.replace(NAME, other)], labels))
        assert manifest.rows["aihub_image_temperature"].tolist() == ["12", "cold"]
        manifest.write(tmp_path / "photos.parquet")

    def test_several_images_in_a_label_file_have_their_own_animals(self, ship):
        other = NAME.replace("000001", "000002")
        first, second = label(), label(animal(image_id=8, bbox=[[0, 0], [4, 4]]), name=other, id=8)
        both = {key: first[key] + second[key] for key in first}
        found = rows(ship([PHOTO, PHOTO.replace(NAME, other)], {LABEL: both}))
        assert [row["w"] for row in found] == [8, 4]


VALIDATION = "01.데이터/2.Validation"
OTHER = "A11_F03_C010_C_200115_3001_20S_000001.061"
ROE_PHOTO = f"{VALIDATION}/원천데이터/VS_11.노루/{OTHER}.jpg"
ROE_LABEL = f"{VALIDATION}/라벨링데이터/VL_11.노루/{OTHER}.json"
PARTS = [str(Path(path).parent) for path in (PHOTO, LABEL, ROE_PHOTO, ROE_LABEL)]


@pytest.fixture
def both_splits(ship):
    """The set with a water deer in Training and a roe deer in Validation."""
    roe_deer = label(animal(category_id=11, category_name="pygargus", species="노루"), name=OTHER)
    return ship([PHOTO, ROE_PHOTO], {LABEL: label(), ROE_LABEL: roe_deer})


class TestPacked:
    def check(self, root):
        """Water deer and roe deer are found, wherever they are; return their rows."""
        manifest = scan(root)
        assert manifest.rows["problem"].isna().all()
        assert manifest.rows["note"].isna().all()
        found = manifest.rows[["label", "split", "site", "x", "w", "width"]].to_numpy().tolist()
        assert found == [["water_deer", "train", "C074", 2, 8, 12], ["roe_deer", "val", "C010", 2, 8, 12]]
        return manifest.rows

    @pytest.mark.parametrize("korean_windows", [True, False])
    @pytest.mark.parametrize("below", ["", "고라니 노루/", "사진/2020/"])
    def test_the_set_as_it_ships(self, both_splits, pack, below, korean_windows):
        for part in PARTS:
            pack(both_splits / part, below=below, korean_windows=korean_windows)
        found = self.check(both_splits)
        assert found["path"].tolist()[0] == f"{TRAINING}/원천데이터/TS_01.고라니.zip/{below}{NAME}.jpg"
        assert found["label_file"].tolist()[0] == f"{TRAINING}/라벨링데이터/TL_01.고라니.zip/{below}{NAME}.json"

    @pytest.mark.parametrize("packed", [PARTS[:1], PARTS[1:2], PARTS[:3]])
    def test_a_mixture(self, both_splits, pack, packed):
        for part in packed:
            pack(both_splits / part)
        self.check(both_splits)

    @pytest.mark.parametrize("names", ["{}{}_{}", "{}{}", "{}{} {}", "{}{}.{}", "{}{}-{}"])
    def test_odd_names_side_by_side(self, both_splits, pack, tmp_path, names):
        (tmp_path / "mine").mkdir()
        for part, (split, kind, species) in zip(
            PARTS, [("T", "S", "고라니"), ("T", "L", "고라니"), ("V", "S", "노루"), ("V", "L", "노루")], strict=True
        ):
            folder = (both_splits / part).rename(tmp_path / "mine" / names.format(split, kind, species))
            pack(folder, korean_windows=True)
        self.check(tmp_path / "mine")

    def test_all_in_one_archive(self, both_splits, pack):
        self.check(pack(both_splits, below="set/"))

    def test_what_is_packed_and_unpacked_is_read_once(self, both_splits, pack):
        for part in PARTS:
            pack(both_splits / part, keep=True)
        assert not self.check(both_splits)["path"].str.contains(".zip").any()

    def test_what_is_unpacked_beside_its_archive(self, both_splits, pack):
        for part in PARTS:
            pack(both_splits / part, keep=True)
            for file in list((both_splits / part).iterdir()):
                file.rename(both_splits / part / ".." / file.name)
            (both_splits / part).rmdir()
        manifest = scan(both_splits)
        loose = [PHOTO.replace("TS_01.고라니/", ""), ROE_PHOTO.replace("VS_11.노루/", "")]
        assert manifest.rows["path"].tolist() == loose
        assert manifest.rows["problem"].isna().all()

    def test_a_label_file_without_photo_says_where_it_should_be(self, both_splits, pack):
        pack(both_splits / PARTS[1])
        (both_splits / PHOTO).unlink()
        [row] = [row for row in rows(both_splits) if row["problem"]]
        expected = f"{TRAINING}/원천데이터/TS_01.고라니.zip/{NAME}.jpg"
        assert (row["path"], row["label"], row["problem"]) == (expected, "water_deer", "missing file")

    def test_a_damaged_archive_is_a_row_and_the_others_are_read(self, both_splits, pack):
        archive = pack(both_splits / PARTS[2])
        archive.write_bytes(archive.read_bytes()[:50])
        found = {row["path"]: row["problem"] for row in rows(both_splits)}
        assert found.pop(PHOTO) is None
        assert found.pop(f"{PARTS[2]}.zip").startswith("unreadable archive: VS_11.노루.zip: expected a whole zip")
        assert [*found.values()] == ["missing file"]

    def test_members_that_cannot_be_read_are_rows(self, both_splits, pack):
        for part, byte in ((PARTS[0], 1), (PARTS[3], 1)):
            archive = pack(both_splits / part)
            content = bytearray(archive.read_bytes())
            content[content.rindex(b"PK\x01\x02") + 8] |= byte  # encrypted
            archive.write_bytes(content)
        found = [(row["label"], row["problem"]) for row in rows(both_splits)]
        assert found == [
            ("water_deer", "unreadable: encrypted in its zip"),
            (None, "label file cannot be opened: encrypted in its zip"),
        ]


class TestRefused:
    @pytest.mark.parametrize(
        ("suffix", "also"),
        [
            (".zip", r".zip: expected a whole zip archive.*; give the folder that holds both"),
            (".zip.part0", r"\(also 1 .part0\); join the parts of each zip to one file"),
        ],
    )
    def test_what_is_still_packed(self, ship, suffix, also):
        root = ship((), None)
        packed = root / TRAINING / f"원천데이터/TS_01.고라니{suffix}"
        packed.parent.mkdir(parents=True)
        packed.touch()
        with pytest.raises(PhotosError, match=f"got 0 photos and 1 label file .*{also}"):
            formats.read(root)

    def test_an_archive_of_one_part(self, ship, pack):
        with pytest.raises(PhotosError, match="got 1 photo and 0 label files; give the folder that holds both"):
            formats.read(pack(ship() / PARTS[0]))

    def test_half_of_the_set(self, ship):
        with pytest.raises(PhotosError, match="got 1 photo and 0 label files; give the folder that holds both"):
            formats.read(ship() / f"{TRAINING}/원천데이터")


class TestStrangeJson:
    def written(self, ship, tmp_path, text):
        from fscl.scanning.scan import scan

        photos = scan(ship(labels={LABEL: text.encode("utf-8", "surrogatepass")}))
        photos.write(tmp_path / "photos.parquet")
        [row] = type(photos).read(tmp_path / "photos.parquet").rows.to_dict("records")
        return row

    @pytest.mark.parametrize(
        ("digits", "kept"),
        [
            ("12", 12),
            (str(2**62), 2**62),
            (str(-(2**70)), -(2.0**70)),
            ("1" + "0" * 400, float("inf")),
            ("1" + "0" * 5000, float("inf")),
        ],
    )
    def test_numbers_of_any_size_are_kept_as_a_column_can(self, ship, tmp_path, digits, kept):
        text = json.dumps(label(animal(age="AGE"))).replace('"AGE"', digits)
        assert self.written(ship, tmp_path, text)["aihub_annotation_age"] == kept

    @pytest.mark.parametrize("corner", ["1" + "0" * 400, "-1" + "0" * 5000, "1e999", "NaN"])
    def test_a_box_beyond_numbers_is_none(self, ship, tmp_path, corner):
        text = json.dumps(label(animal(bbox=[["X", 1], [10, 7]]))).replace('"X"', corner)
        row = self.written(ship, tmp_path, text)
        assert row["problem"] == "box needs two corners: x1, y1, x2, y2"

    def test_half_a_character_is_written_out(self, ship, tmp_path):
        text = json.dumps(label(animal(age="half \ud83d"), weather="KEY")).replace("KEY", "\\udc00")
        row = self.written(ship, tmp_path, text)
        assert row["aihub_annotation_age"] == "half \\ud83d"
        assert row["aihub_image_weather"] == "\\udc00"

    def test_a_photo_whose_name_no_file_can_have_is_missing(self, ship):
        from fscl.scanning.scan import scan

        rows = scan(ship(labels={LABEL: label(), LABEL.replace(NAME, "b"): label(name="a\0b")})).rows
        assert rows["problem"].dropna().tolist() == ["missing file"]
