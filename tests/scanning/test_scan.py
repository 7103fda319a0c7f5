import shutil
import threading
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.reading import Reading
from fscl.images import Facts, Header
from fscl.manifest import Manifest
from fscl.scanning.opening import open_photos, scan_with_bar
from fscl.scanning.scan import scan
from fscl.scanning.summary import in_short


def column(manifest, name):
    return [None if pd.isna(value) else value for value in manifest.rows[name]]


def cut(path, fraction=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])


@pytest.fixture
def animals(draw):
    """Three good photos, an empty file, a text and a truncated photo."""
    root = draw("fox/1.jpg", "fox/2.jpg", "hare/1.jpg", size=(60, 40))
    draw("hare/truncated.jpg", size=(300, 200))
    (root / "fox" / "empty.jpg").touch()
    (root / "fox" / "text.jpg").write_text("not a photo")
    cut(root / "hare" / "truncated.jpg", 0.9)
    return root


class TestVerify:
    def test_header(self, animals):
        manifest = scan(animals)
        assert column(manifest, "problem") == [
            None,
            None,
            "unreadable: empty file",
            "unreadable: not an image",
            None,
            "unreadable: truncated file",
        ]
        assert column(manifest, "width") == [60, 60, None, None, 60, 300]
        assert column(manifest, "height") == [40, 40, None, None, 40, 200]
        assert column(manifest, "bytes") == [(animals / path).stat().st_size for path in manifest.rows["path"]]

    def test_decode_also_finds_damage_within(self, draw):
        root = draw("fox/1.png", "hare/1.png", size=(300, 200))
        content = bytearray((root / "hare/1.png").read_bytes())
        content[100:140] = b"\xaa" * 40
        (root / "hare/1.png").write_bytes(content)
        assert column(scan(root), "problem") == [None, None]
        assert column(scan(root, verify="decode"), "problem")[1].startswith("unreadable: damaged file")
        assert column(scan(root, verify="decode"), "width") == [300, 300]

    def test_none_opens_no_photo(self, animals):
        manifest = scan(animals, verify="none")
        assert manifest.rows[["problem", "width", "height"]].isna().all(axis=None)
        assert manifest.rows["bytes"].notna().all()

    def test_none_still_reads_times_in_names(self, draw):
        root = draw("fox/20210531_082538.jpg", "fox/20210531_082540.jpg")
        assert scan(root, verify="none").rows["sequence"].nunique() == 1

    @pytest.mark.parametrize("verify", ["header", "decode"])
    def test_how_pixels_are_understood_is_a_note(self, draw, verify):
        root = draw("fox/1.jpg")
        Image.fromarray(np.full((8, 12), 4000, np.uint16)).save(root / "fox" / "2.tif")
        assert column(scan(root, verify=verify), "note") == [None, "12 bits in a 16-bit file"]

    def test_missing_files(self, draw):
        root = draw("a.jpg")
        (root / "t.csv").write_text("file,label\na.jpg,fox\nb.jpg,\na.jpg/c.jpg,fox\n")
        for verify in ("none", "header", "decode"):
            manifest = scan(root / "t.csv", verify=verify)
            assert column(manifest, "problem") == [None, "no label; missing file", "missing file"]
            assert column(manifest, "bytes")[1] is None

    def test_no_photo_at_all(self, tmp_path):
        (tmp_path / "t.csv").write_text("file,label\na.jpg,fox\nb.jpg,fox\n")
        with pytest.raises(PhotosError, match=r"none of its 2 photos .*a\.jpg \(missing file\); paths are relative"):
            scan(tmp_path / "t.csv")

    def test_a_row_known_to_be_unreadable_is_not_looked_at_again(self, animals):
        found = scan(animals, verify="decode")
        found.write(animals / "photos.parquet")
        again = scan(animals / "photos.parquet", verify="header")
        assert column(again, "problem") == column(found, "problem")
        assert column(again, "width") == column(found, "width")


class TestCopies:
    def test_equal_bytes_have_equal_hashes(self, draw):
        root = draw("fox/1.png", "fox/2.png", "hare/1.png", "hare/other.png")
        shutil.copy(root / "fox" / "1.png", root / "hare" / "1.png")
        (root / "hare" / "other.png").write_bytes((root / "fox" / "1.png").read_bytes() + b"\0" * 100)
        hashes = dict(zip(*(column(scan(root), name) for name in ("path", "content_hash")), strict=True))
        assert len(hashes["fox/1.png"]) == 64
        assert hashes["fox/1.png"] == hashes["hare/1.png"] != hashes["fox/2.png"]
        assert hashes["hare/other.png"] is None  # nothing else is as large

    def test_boxes_of_one_photo_are_no_copies(self, draw):
        root = draw("a.jpg")
        (root / "t.csv").write_text("file,label,x,y,w,h\na.jpg,fox,0,0,3,3\na.jpg,fox,3,3,3,3\n")
        assert column(scan(root / "t.csv"), "content_hash") == [None, None]

    def test_empty_files_are_no_copies(self, draw):
        root = draw("fox/1.jpg")
        for name in ("a", "b"):
            (root / "fox" / f"{name}.jpg").touch()
        assert column(scan(root), "content_hash") == [None] * 3


class TestArchives:
    def test_say_what_the_unpacked_folder_says(self, animals, pack):
        shutil.copy(animals / "fox" / "1.jpg", animals / "hare" / "copy.jpg")
        unpacked = scan(animals, verify="decode").rows
        packed = scan(pack(animals), verify="decode").rows
        assert unpacked["content_hash"].notna().sum() >= 2
        pd.testing.assert_frame_equal(packed, unpacked)

    def test_are_paths_in_a_table(self, draw, pack):
        root = pack(draw("TS_노루/노루/a.jpg") / "TS_노루", korean_windows=True).parent
        (root / "t.csv").write_text("file,label\nTS_노루.zip/노루/a.jpg,노루\nTS_노루.zip/b.jpg,노루\n")
        manifest = scan(root / "t.csv")
        assert column(manifest, "problem") == [None, "missing file"]
        assert column(manifest, "width") == [12, None]

    def test_that_change_or_vanish_are_told(self, animals, pack, tmp_path):
        archive = pack(animals)
        scan(archive).write(tmp_path / "photos.parquet")
        whole = archive.read_bytes()
        archive.write_bytes(whole[:-20])
        with pytest.raises(PhotosError, match=r"none of its 4 photos .* \(.*: expected a whole zip archive"):
            scan(tmp_path / "photos.parquet")
        archive.unlink()
        with pytest.raises(PhotosError, match=r"its photos were in .*\.zip, which is not there"):
            Manifest.read(tmp_path / "photos.parquet")


class TestBoxes:
    @pytest.fixture
    def boxed(self, draw):
        root = draw("a.jpg", size=(100, 50))

        def scanned(box, **options):
            (root / "t.csv").write_text(f"file,label,x,y,w,h\na.jpg,fox,{box}\na.jpg,fox,10,10,20,20\n")
            return scan(root / "t.csv", **options)

        return scanned

    def box(self, manifest):
        return manifest.rows[["x", "y", "w", "h"]].iloc[0].tolist()

    def test_partly_outside_is_clipped_and_noted(self, boxed):
        manifest = boxed("90,-5,20,30")
        assert self.box(manifest) == [90, 0, 10, 25]
        assert column(manifest, "note") == ["box clipped to the photo", None]
        assert column(manifest, "problem") == [None, None]

    def test_rounding_is_clipped_without_a_note(self, boxed):
        manifest = boxed("90.2,0,10.5,50.4")
        assert self.box(manifest) == pytest.approx([90.2, 0, 9.8, 50])
        assert column(manifest, "note") == [None, None]

    @pytest.mark.parametrize("box", ["100,0,20,20", "0,60,20,20", "-30,0,20,20"])
    def test_outside_is_a_problem(self, boxed, box):
        assert column(boxed(box), "problem") == ["box outside the photo", None]

    def test_a_box_inside_stays_exactly(self, boxed):
        assert self.box(boxed("0.1,0.2,0.3,10.7")) == [0.1, 0.2, 0.3, 10.7]


class TestClassMap:
    def test_renames_merges_and_drops(self, draw):
        root = draw("fox/1.jpg", "Fox/1.jpg", "hare/1.jpg", "blank/1.jpg", "loose.jpg")
        (root / "map.csv").write_text("label,class\nFox,fox\nblank,\n")
        manifest = scan(root, class_map=root / "map.csv")
        assert column(manifest, "label") == ["fox", "fox", "hare", None]
        assert column(manifest, "path")[-1] == "loose.jpg"

    def test_keeps_a_word_for_nothing_that_it_names(self, draw):
        root = draw("a.jpg", "b.jpg", "c.jpg")
        (root / "t.csv").write_text("file,label\na.jpg,None\nb.jpg,NA\nc.jpg,fox\n")
        (root / "map.csv").write_text("label,class\nNone,nothing there\n")
        assert column(scan(root / "t.csv"), "label") == [None, None, "fox"]
        assert column(scan(root / "t.csv", class_map=root / "map.csv"), "label") == ["nothing there", None, "fox"]
        assert column(scan(root / "t.csv", class_map=root / "map.csv"), "problem") == [None, "no label (NA)", None]

    def test_nothing_left(self, draw):
        root = draw("fox/1.jpg")
        (root / "map.csv").write_text("label,class\nfox,\n")
        with pytest.raises(PhotosError, match="leaves no photo"):
            scan(root, class_map=root / "map.csv")


def test_what_was_understood_of_the_source_is_kept(draw):
    root = draw("a.jpg", size=(100, 50))
    (root / "t.csv").write_text("file,label,x,y,w,h\na.jpg,fox,0.1,0.1,0.5,0.5\n")
    assert scan(root / "t.csv").remarks == ("boxes are read from x, y, w, h, in fractions",)
    asked = scan(root / "t.csv", reading=Reading(box_unit="percent"))
    assert asked.remarks == ("boxes are read from x, y, w, h, in percent",)
    assert column(asked, "note") == ["box smaller than 2 px"]


def test_times_of_a_table_that_cannot_be_are_left_out_and_counted(draw):
    root = draw(*(f"{n}.jpg" for n in range(4)))
    times = ["1970-01-01 00:00:00", "9999-12-31 23:59:59", "2021-05-31 08:25:38", ""]
    table = root / "t.csv"
    table.write_text("file,label,datetime\n" + "".join(f"{n}.jpg,fox,{time}\n" for n, time in enumerate(times)))
    rows = scan(table).rows
    assert rows["datetime"].isna().tolist() == [True, True, False, True]
    said = "time left out, the clock was not set: "
    assert rows["note"].fillna("").tolist() == [said + times[0], said + times[1], "", ""]
    assert rows["sequence"].notna().tolist() == [False, False, True, False]
    short = in_short(scan(table), table, scanned=True)
    assert any("2 rows: time left out, the clock was not set" in line for line in short), short


def test_progress_counts_up_to_all_photos(draw):
    root = draw(*(f"fox/{i}.jpg" for i in range(150)))
    seen = []
    scan(root, progress=lambda done, total: seen.append((done, total, threading.current_thread())))
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1] == (150, 150, threading.main_thread())


def test_an_interrupt_does_not_wait_for_the_rest(draw, monkeypatch):
    root = draw("fox/1.jpg")
    for number in range(3000):
        (root / "fox" / f"x{number}.jpg").touch()
    looked_at = []

    def slow(photo, decode):
        looked_at.append(photo)
        time.sleep(0.001)
        return Facts(Header(1, 1, 1), {}, None, (), decode)

    monkeypatch.setattr("fscl.scanning.scan.read_facts", slow)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(root, progress=interrupt)
    assert len(looked_at) < 3000


def test_a_scan_is_written_and_read_again(animals):
    manifest = scan(animals)
    manifest.write(animals / "photos.parquet")
    pd.testing.assert_frame_equal(Manifest.read(animals / "photos.parquet").rows, manifest.rows)


def test_a_manifest_is_opened_as_it_is_and_other_sources_are_scanned(animals):
    manifest = open_photos(animals)
    assert column(manifest, "width")[0] == 60
    Manifest(manifest.rows.assign(site="C1", width=None), manifest.root).write(animals / "photos.parquet")
    opened = open_photos(animals / "photos.parquet")
    assert set(column(opened, "site")) == {"C1"}
    assert set(column(opened, "width")) == {None}


def test_a_layout_is_for_folders_alone(draw):
    root = draw("a.jpg")
    (root / "t.csv").write_text("file,label\na.jpg,fox\n")
    scan(root / "t.csv").write(root / "photos.parquet")
    for source, kind in (("t.csv", "a table"), ("photos.parquet", "a manifest")):
        for read in (scan, open_photos):
            with pytest.raises(ConfigurationError, match=f"--layout says nothing of {kind}"):
                read(root / source, reading=Reading(layout="class"))


def test_a_bar_is_only_shown_in_a_terminal(animals, capfd):
    assert len(scan_with_bar(animals, verify="decode").usable) == 3
    assert capfd.readouterr() == ("", "")


def test_real_awkward_photos_each_get_their_fate(shared_data, tmp_path):
    (tmp_path / "awkward").symlink_to(shared_data / "awkward")
    manifest = scan(tmp_path, verify="decode")
    problems = manifest.rows.set_index("path")["problem"].dropna()
    assert len(manifest.rows) == 30
    assert len(problems) == 8
    assert problems["awkward/truncated_jpeg.jpg"] == "unreadable: truncated file"
    assert problems["awkward/error_img.JPG"] == "unreadable: empty file"
    assert manifest.usable[["width", "height"]].notna().all(axis=None)


def test_real_tables(shared_data):
    for name, count in [("pets3/metadata.csv", 600), ("formats/coco/zamba-ena24-small/labels.csv", 21)]:
        manifest = scan(shared_data / name)
        assert len(manifest.usable) == count
        assert manifest.rows["width"].notna().all()


def test_the_camera_is_the_site_where_that_is_asked_for(draw):
    exif = Image.Exif()
    exif[0x0110], exif[0xA431] = "HC500", "H500HG0815"
    draw("fox/1.jpg", exif=exif)
    root = draw("fox/2.jpg", "fox/StationA__2009-04-21__00-40-00(1).jpg")
    assert column(scan(root), "site") == [None, None, None]
    asked = scan(root, reading=Reading(site_from="camera"))
    assert column(asked, "site") == ["HC500 H500HG0815", None, "StationA"]
    assert "the site of 2 photos is the camera that EXIF or the file name tells; 1 photo without" in asked.remarks
    pd.DataFrame({"file": ["fox/1.jpg"], "label": ["fox"], "site": ["C1"]}).to_csv(root / "t.csv")
    assert column(scan(root / "t.csv", reading=Reading(site_from="camera")), "site") == ["C1"]
