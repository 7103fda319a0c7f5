import pandas as pd
import pytest
from PIL import Image

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.reading import Reading
from fscl.manifest import Manifest
from fscl.manifest.splits import assign_splits
from fscl.scanning import sequences
from fscl.scanning.opening import open_photos
from fscl.scanning.scan import scan


@pytest.fixture
def shoot(tmp_path):
    """Return a function that writes photos with EXIF times: path → time, or (time, model, serial number)."""

    def write(photos):
        for number, (path, told) in enumerate(photos.items()):
            time, model, serial = told if isinstance(told, tuple) else (told, "", "")
            exif = Image.Exif()
            inner = exif.get_ifd(0x8769)
            if time:
                inner[0x9003] = time if len(time) > 8 else f"2021:05:31 {time}"
            if model:
                exif[0x0110] = model
            if serial:
                inner[0xA431] = serial
            target = tmp_path / "mine" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 8), (number % 256, 7, number // 256)).save(target, exif=exif)
        return tmp_path / "mine"

    return write


def bursts(manifest):
    """Return the photos of each sequence, those without one apart."""
    rows = manifest.rows.sort_values(["datetime", "path"])
    groups = rows.groupby("sequence")["path"].agg(list).tolist()
    return sorted(groups) + [[path] for path in rows.loc[rows["sequence"].isna(), "path"]]


def test_photos_shortly_one_after_another_are_one_sequence(shoot):
    root = shoot({"fox/1.jpg": "08:00:00", "fox/2.jpg": "08:00:30", "fox/3.jpg": "08:01:00", "fox/4.jpg": "08:01:31"})
    manifest = scan(root)
    assert bursts(manifest) == [["fox/1.jpg", "fox/2.jpg", "fox/3.jpg"], ["fox/4.jpg"]]
    assert manifest.rows["sequence"].tolist() == ["2021-05-31 08:00:00"] * 3 + ["2021-05-31 08:01:31"]
    assert manifest.rows["datetime"].tolist()[1] == pd.Timestamp("2021-05-31 08:00:30")


@pytest.mark.parametrize(("gap", "count"), [(0, 0), (5, 4), (30, 2), (31, 1), (0.5, 4)])
def test_the_gap_is_the_users(shoot, gap, count):
    root = shoot({"fox/1.jpg": "08:00:00", "fox/2.jpg": "08:00:30", "fox/3.jpg": "08:01:00", "fox/4.jpg": "08:01:31"})
    assert scan(root, gap_s=gap).rows["sequence"].nunique() == count
    scan(root).write(root / "photos.parquet")
    assert open_photos(root / "photos.parquet", gap_s=gap).rows["sequence"].nunique() == count
    assert scan(root / "photos.parquet", gap_s=gap).rows["sequence"].nunique() == count


@pytest.mark.parametrize("gap", [-1, float("nan"), float("inf")])
def test_a_gap_that_is_none_is_refused(shoot, gap):
    root = shoot({"fox/1.jpg": "08:00:00"})
    with pytest.raises(ConfigurationError, match="expected a number of seconds, 0 or more"):
        scan(root, gap_s=gap)


class TestCameras:
    """Only photos of one camera make a burst."""

    def test_folders_below_the_class_part_cameras_and_a_burst_may_have_several_classes(self, shoot):
        paths = ["fox/cam1/1.jpg", "empty/cam1/2.jpg", "fox/cam2/3.jpg", "fox/cam2/100RECNX/4.jpg"]
        assert bursts(scan(shoot(dict.fromkeys(paths, "08:00:00")))) == [
            ["empty/cam1/2.jpg", "fox/cam1/1.jpg"],
            ["fox/cam2/100RECNX/4.jpg", "fox/cam2/3.jpg"],
        ]

    def test_splits_part_no_camera(self, shoot):
        root = shoot(dict.fromkeys(["train/fox/cam1/1.jpg", "test/hare/cam1/1.jpg"], "08:00:00"))
        assert len(bursts(scan(root))) == 1

    def test_sites_do(self, shoot):
        root = shoot(dict.fromkeys(["A/fox/1.jpg", "A/hare/2.jpg", "B/fox/1.jpg"], "08:00:00"))
        manifest = scan(root, reading=Reading(layout="site/class"))
        assert bursts(manifest) == [["A/fox/1.jpg", "A/hare/2.jpg"], ["B/fox/1.jpg"]]
        assert set(manifest.rows["sequence"]) == {"A 2021-05-31 08:00:00", "B 2021-05-31 08:00:00"}

    def test_serial_numbers_and_models_do(self, shoot):
        times = [("08:00:00", "HC600", "A123"), ("08:00:00", "HC600", "B456"), ("08:00:01", "HC600", "A123")]
        root = shoot(
            {f"fox/{i}/x.jpg": told for i, told in enumerate(times)} | {"fox/1.jpg": ("08:00:00", "T70", "")}
        )
        assert bursts(scan(root)) == [["fox/0/x.jpg", "fox/2/x.jpg"], ["fox/1.jpg"], ["fox/1/x.jpg"]]

    def test_stations_in_file_names_do(self, shoot):
        names = ["A__2021-05-31__08-00-00(1).JPG", "A__2021-05-31__08-00-00(2).JPG", "B__2021-05-31__08-00-00(1).JPG"]
        assert len(bursts(scan(shoot({f"fox/{name}": "" for name in names})))) == 2

    def test_a_class_map_changes_no_camera(self, shoot):
        root = shoot(dict.fromkeys(["fox/1.jpg", "Fox/2.jpg"], "08:00:00"))
        (root / "map.csv").write_text("label,class\nFox,fox\n")
        assert len(bursts(scan(root, class_map=root / "map.csv"))) == 1


class TestTimesOfNoUse:
    def test_a_time_that_too_many_share(self, shoot):
        root = shoot(
            {f"fox/{i:02}.jpg": "08:00:01" for i in range(11)} | {"fox/z.jpg": "09:00:01", "fox/y.jpg": "09:00:02"}
        )
        manifest = scan(root)
        assert bursts(manifest)[0] == ["fox/z.jpg", "fox/y.jpg"]
        assert manifest.rows["sequence"].isna().sum() == 11
        assert manifest.rows["note"].value_counts().to_dict() == {sequences.SHARED_TIME: 11}
        assert manifest.rows["datetime"].notna().all()

    def test_ten_in_a_second_are_a_burst(self, shoot):
        assert len(bursts(scan(shoot({f"fox/{i:02}.jpg": "08:00:01" for i in range(10)})))) == 1

    def test_dates_alone(self, shoot):
        root = shoot({f"fox/{i}.jpg": f"2021:05:{i // 2 + 1:02} 00:00:00" for i in range(8)})
        manifest = scan(root)
        assert manifest.rows["sequence"].isna().all()
        assert set(manifest.rows["note"]) == {sequences.DATE_ALONE}

    @pytest.mark.parametrize("time", ["2000:01:01 00:00:05", "0000:00:00 00:00:00", "2098:01:01 00:00:00"])
    def test_clocks_that_were_not_set(self, shoot, time):
        manifest = scan(shoot({f"fox/{i}.jpg": time for i in range(5)}))
        assert manifest.rows[["datetime", "sequence"]].isna().all(axis=None)


class TestMinutes:
    def test_a_clock_that_tells_minutes_joins_neighbouring_ones(self, shoot):
        times = ["08:00:00", "08:00:00", "08:01:00", "08:03:00", "09:00:00"]
        manifest = scan(shoot({f"fox/{i}.jpg": time for i, time in enumerate(times)}))
        assert bursts(manifest) == [["fox/0.jpg", "fox/1.jpg", "fox/2.jpg"], ["fox/3.jpg"], ["fox/4.jpg"]]
        assert "the times of the photos are whole minutes" in manifest.remarks[-1]

    def test_one_second_shows_that_a_clock_tells_them(self, shoot):
        times = ["08:00:00", "08:01:00", "08:03:00", "09:00:01"]
        assert len(bursts(scan(shoot({f"fox/{i}.jpg": time for i, time in enumerate(times)})))) == 4


class TestTables:
    @pytest.fixture
    def table(self, shoot):
        root = shoot({"1.jpg": "08:00:00", "2.jpg": "08:00:10", "3.jpg": "10:00:00", "4.jpg": ""})

        def read(text, **options):
            (root / "t.csv").write_text(text)
            return scan(root / "t.csv", **options)

        return read

    def test_exif_fills_what_the_table_does_not_say(self, table):
        manifest = table("file,label,datetime\n1.jpg,fox,\n2.jpg,fox,2021-05-31 10:00:20\n3.jpg,fox,\n4.jpg,fox,\n")
        assert manifest.rows["datetime"].dt.hour.tolist()[:3] == [8, 10, 10]
        assert bursts(manifest) == [["1.jpg"], ["3.jpg", "2.jpg"], ["4.jpg"]]

    def test_sequences_of_the_source_stay(self, table):
        manifest = table("file,label,sequence\n1.jpg,fox,7\n2.jpg,fox,8\n3.jpg,fox,\n4.jpg,fox,8\n")
        assert manifest.rows["sequence"].tolist() == ["7", "8", "2021-05-31 10:00:00", "8"]

    def test_a_gap_for_sequences_of_the_source_is_refused(self, table, tmp_path):
        table("file,label,sequence\n1.jpg,fox,7\n2.jpg,fox,8\n3.jpg,fox,9\n4.jpg,fox,8\n").write(
            tmp_path / "p.parquet"
        )
        with pytest.raises(PhotosError, match="sequences are made of their times, got none"):
            open_photos(tmp_path / "p.parquet", gap_s=5)

    def test_a_column_that_is_called_as_ours_is_kept_aside(self, table):
        manifest = table("file,label,clock\n1.jpg,fox,5\n2.jpg,fox,6\n3.jpg,fox,\n4.jpg,fox,\n")
        assert manifest.rows["sequence"].nunique() == 2
        assert manifest.rows["source_clock"].tolist()[:2] == ["5", "6"]

    def test_several_boxes_of_a_photo_have_its_sequence(self, table):
        manifest = table("file,label,x,y,w,h\n1.jpg,fox,0,0,2,2\n1.jpg,fox,3,3,2,2\n2.jpg,fox,,,,\n")
        assert manifest.rows["sequence"].nunique() == 1


def test_no_burst_crosses_a_split(shoot):
    photos = {}
    for event in range(30):
        for frame in range(3):
            label = "fox" if event % 2 else "hare"
            photos[f"{label}/{event}_{frame}.jpg"] = f"{event // 2 + 1:02}:{event % 2 * 30:02}:{frame * 4:02}"
    rows = assign_splits(scan(shoot(photos)).rows, by="sequence")
    assert rows.groupby("sequence")["split"].nunique().max() == 1
    assert rows["split"].nunique() == 3
    assert rows["sequence"].nunique() == 30


def test_what_was_found_is_said(shoot):
    times = {f"fox/{i:03}.jpg": f"08:{i // 10:02}:{i % 10 * 5:02}" for i in range(60)}
    manifest = scan(shoot(times | {"hare/1.jpg": ""}))
    assert list(manifest.remarks) == [
        "bursts: 60 photos with a time are 1 sequence (photos of one camera, each at most 30 s after another: --gap)",
        "one sequence holds 60 of 61 photos: if these are of several cameras, give their sites (--layout, or a table "
        "with the column site), or a smaller --gap",
    ]
    assert sequences.untimed(manifest.rows).startswith("1 photo has no time and no sequence")
    assert scan(manifest.root, gap_s=0).remarks == ("bursts are not looked for (--gap 0)",)


def test_bursts_that_cross_the_split_of_the_source_are_said(shoot):
    manifest = scan(
        shoot(dict.fromkeys(["train/fox/1.jpg", "test/fox/2.jpg"], "08:00:00") | {"train/hare/1.jpg": ""})
    )
    assert manifest.remarks[-1] == (
        "the split of the source parts 1 of these sequences: draw it anew (fscl split --redraw), or keep it "
        "with --by photo"
    )
    with pytest.raises(PhotosError, match=r"is in training and test \(1 such\); draw .* or keep it with --by photo"):
        assign_splits(manifest.rows, by="sequence")
    assert set(assign_splits(manifest.rows, by="photo")["split"]) >= {"train", "test"}


def test_manifests_of_before_have_no_clock(shoot, tmp_path):
    manifest = scan(shoot({"fox/1.jpg": "08:00:00", "fox/2.jpg": "08:00:01"}))
    old = manifest.rows.drop(columns="clock").assign(sequence=None, datetime=pd.NaT)
    Manifest.build(old, manifest.root).write(tmp_path / "old.parquet")
    assert scan(tmp_path / "old.parquet").rows["sequence"].nunique() == 1


def test_real_stations(shared_data):
    root = shared_data / "formats" / "station-species-folders-camtrapR"
    rows = scan(root, reading=Reading(layout="site/class")).rows
    assert rows["datetime"].notna().all()
    assert rows.loc[rows["path"].str.contains("04-28__17-4"), "sequence"].nunique() == 1
    divided = assign_splits(rows, by="sequence")
    near = divided.groupby(["site", divided["datetime"].dt.floor("min")])["split"].nunique()
    assert near.max() == 1


def test_a_real_burst(shared_data):
    rows = scan(shared_data / "formats/camtrap-dp/tdwg-example", reading=Reading(layout="class")).rows
    assert (len(rows), rows["sequence"].nunique()) == (10, 1)
