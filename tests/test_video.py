"""Videos as photos: which frames are taken, that each is always the same picture, and what becomes of damage."""

import csv
import gc
import json
import multiprocessing
import os
import random
import sys
from pathlib import Path
from shutil import copytree
from zipfile import ZipFile

import numpy as np
import pytest

from fscl import formats
from fscl.archives import content_hash
from fscl.errors import ConfigurationError, PhotosError, UnreadableError
from fscl.formats import answers, megadetector_writer, timelapse_writer
from fscl.formats.answers import Animal, PhotoAnswer
from fscl.formats.reading import Reading
from fscl.formats.videos import frames_of_file
from fscl.frames import frame_name
from fscl.images import read_facts, read_region
from fscl.manifest.groups import joints
from fscl.manifest.splits import assign_splits, check_disjoint
from fscl.prediction.photos import list_photos
from fscl.prediction.sorting import Sorting
from fscl.scanning.copies import seen_before
from fscl.scanning.scan import scan
from fscl.video_frames import open_frame, times_of
from tests.formats.writing import about

av = pytest.importorskip("av", reason="PyAV, the extra [video], is not installed")

CODECS = {
    "h264.mp4": ("libx264", {"g": "7", "bf": "2"}),
    "h265.mov": ("libx265", {"x265-params": "log-level=none:keyint=8"}),
    "mjpeg.avi": ("mjpeg", {}),
    "mpeg4.avi": ("mpeg4", {"bf": "2", "g": "6"}),
    "h264.avi": ("libx264", {"bf": "2", "g": "9"}),
    "h264.mkv": ("libx264", {"g": "5"}),
    "wmv.asf": ("msmpeg4", {"g": "5"}),
}


def write_video(path: Path, codec="mjpeg", options=None, *, seconds=3, rate=10, turned=None, times=None, **metadata):
    """Draw a video, each frame greyer than the one before, with a red corner on the top left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        file.metadata.update(metadata)
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = 64, 32  # x265 writes out of bounds where sides are not whole 32s
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if turned is not None:
            stream.set_display_rotation(turned)
        for number in range(seconds * rate):
            pixels = np.full((32, 64, 3), 40 + 6 * number, np.uint8)
            pixels[:12, :12] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if times is not None:
                frame.pts = times[number]
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    made = {}
    for name, (codec, options) in CODECS.items():
        try:
            made[name] = write_video(folder / name, codec, options)
        except av.FFmpegError:  # this build of PyAV lacks the encoder
            continue
    return made


def pixels(video: Path, number: int) -> np.ndarray:
    return np.asarray(read_region(Path(frame_name(str(video), number))))


@pytest.mark.parametrize("name", CODECS)
def test_a_frame_is_the_same_picture_whatever_was_read_before(videos, name):
    if name not in videos:
        pytest.skip("PyAV lacks the encoder")
    video = videos[name]
    assert times_of(video).sampled(1) == [0, 10, 20]
    with av.open(str(video)) as file:
        in_order = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(in_order) == 30
    numbers = list(range(30)) * 2
    random.Random(0).shuffle(numbers)
    assert all((pixels(video, number) == in_order[number]).all() for number in numbers)
    with pytest.raises(UnreadableError, match="no such frame, the video has 30"):
        pixels(video, 30)


def test_there_is_nothing_before_a_frame_as_in_any_file(videos):
    video = next(iter(videos.values()))
    with open_frame(video, 0) as file:
        assert file.read(2) == b"BM"
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)


@pytest.mark.parametrize(("turned", "corner"), [(None, (2, 2)), (-90, (2, -3)), (90, (-3, 2)), (180, (-3, -3))])
def test_a_video_is_turned_upright(tmp_path, turned, corner):
    video = write_video(tmp_path / "a.mp4", "libx264", turned=turned, seconds=1)
    picture = pixels(video, 0)
    assert picture.shape == ((64, 32, 3) if turned in (90, -90) else (32, 64, 3))
    assert picture[corner][0] > 200
    assert picture[corner][1] < 60
    assert read_facts(Path(frame_name(str(video), 0))).header[:2] == picture.shape[1::-1]


def test_frames_in_order_are_decoded_once(videos, monkeypatch):
    from fscl import video_frames

    decoded = []
    inner = video_frames._decode

    def counted(*given):
        for each in inner(*given):
            decoded.append(each[0])
            yield each

    monkeypatch.setattr(video_frames, "_decode", counted)
    monkeypatch.setattr(video_frames, "_of_thread", type("Empty", (), {})())
    for number in range(0, 30, 3):
        pixels(videos["h264.mp4"], number)
    assert len(decoded) <= 30 + 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_is_forked_from_one_that_reads_videos_reads_them_too(videos):
    expected = pixels(videos["h264.mp4"], 12).tobytes()

    def read() -> None:
        gc.collect()  # frees what the parent has left, which hung where FFmpeg had threads
        os._exit(0 if pixels(videos["h264.mp4"], 12).tobytes() == expected else 1)

    child = multiprocessing.get_context("fork").Process(target=read)
    child.start()
    child.join(20)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0


def test_frames_are_taken_by_their_times_not_their_numbers(tmp_path):
    video = write_video(
        tmp_path / "a.mkv", "libx264", {"g": "4"}, seconds=1, times=[0, 1, 2, 30, 31, 32, 33, 50, 51, 52]
    )
    times = times_of(video)
    assert times.sampled(1) == [0, 3, 7]
    assert times.offsets_s[7] == pytest.approx(5.0, abs=0.01)
    assert times.sampled(1, among=[1, 2, 4, 5, 900]) == [1, 4]


class TestScan:
    @pytest.fixture
    def folder(self, draw):
        root = draw("photos/fox/1.jpg", "photos/hare/2.jpg") / "photos"
        write_video(root / "fox/clip.mp4", "libx264", creation_time="2021-05-31T08:25:38Z")
        write_video(root / "hare/20210601_101500.avi")
        return root

    def test_a_frame_a_second_is_a_row_and_the_video_the_sequence(self, folder):
        found = scan(folder)
        rows = found.rows.set_index("path")
        names = [f"fox/clip.mp4/frame{number:06d}.jpg" for number in (0, 10, 20)]
        assert rows.index.tolist()[1:4] == names
        assert rows.loc[names, "label"].tolist() == ["fox"] * 3
        assert rows.loc[names, "sequence"].tolist() == ["fox/clip.mp4"] * 3
        assert rows.loc[names, "datetime"].astype("str").tolist() == [f"2021-05-31 08:25:{s}" for s in (38, 39, 40)]
        assert rows.loc[names, "frame_rate"].tolist() == [10.0] * 3
        assert rows.loc[names, ["width", "height"]].drop_duplicates().values.tolist() == [[64, 32]]
        assert rows.loc[names[0], "bytes"] == (folder / "fox/clip.mp4").stat().st_size
        assert str(rows["datetime"].iloc[-1]) == "2021-06-01 10:15:02"
        assert rows["problem"].isna().all()
        assert "2 videos, 6 frames: 1 a second (--fps)" in found.remarks

    def test_the_rate_is_the_users(self, folder):
        assert len(scan(folder, reading=Reading(frames_per_second=5)).rows) == 2 + 2 * 15
        assert len(scan(folder, reading=Reading(frames_per_second=0.2)).rows) == 2 + 2

    def test_a_rate_that_changes_nothing_is_said(self, folder, tmp_path):
        for video in folder.rglob("*.avi"):
            video.unlink()
        (tmp_path / "photos.csv").write_text("filepath,label\nphotos/fox/clip.mp4/frame000003.jpg,fox")
        remarks = formats.read(tmp_path / "photos.csv", Reading(frames_per_second=2)).remarks
        assert "1 video, 1 frame: those that the source names, whatever --fps says" in remarks
        (folder / "fox/clip.mp4").unlink()
        assert (
            "there are no videos: --fps 2 changes nothing"
            in scan(folder, reading=Reading(frames_per_second=2)).remarks
        )

    def test_a_manifest_has_its_frames(self, folder, tmp_path):
        scan(folder).write(tmp_path / "photos.parquet")
        assert len(formats.read(tmp_path / "photos.parquet").rows) == 8
        with pytest.raises(ConfigurationError, match="--frames-per-second says nothing of a manifest"):
            formats.read(tmp_path / "photos.parquet", Reading(frames_per_second=2))

    def test_a_copy_of_a_video_does_not_cross_a_split(self, folder):
        for number in range(6):
            write_video(folder / f"fox/{number}.avi", seconds=2, rate=5 + number)
            write_video(folder / f"hare/{number}.avi", seconds=2, rate=12 + number)
        (folder / "fox/copy.avi").write_bytes((folder / "fox/1.avi").read_bytes())
        found = scan(folder)
        videos = found.rows[found.rows["frame_rate"].notna()]
        hashes = videos.dropna(subset="content_hash").groupby("content_hash")["path"].agg(list).tolist()
        assert sorted(paths for paths in hashes if len(paths) > 1) == [
            [f"fox/1.avi/frame{number:06d}.jpg", f"fox/copy.avi/frame{number:06d}.jpg"] for number in (0, 6)
        ]
        for seed in range(5):
            rows = assign_splits(found.rows, by="sequence", seed=seed)
            assert rows[rows["path"].str.contains("fox/1.avi|copy")].dropna(subset="split")["split"].nunique() == 1
            assert (rows.dropna(subset="split").groupby("sequence")["split"].nunique() == 1).all()

    @pytest.fixture
    def copied(self, tmp_path):
        """Six videos of a site each, of which each two frames are taken; of a copy of the first there are others."""
        lines = ["path,label,site,datetime"]
        for number in range(6):
            write_video(tmp_path / f"{number}.avi", rate=5 + number)
            for at in (0, 10):
                lines.append(f"{number}.avi/frame{at:06d}.jpg,{'fox' if number % 2 else 'hare'},{number},")
        (tmp_path / "copy.avi").write_bytes((tmp_path / "0.avi").read_bytes())
        lines += [f"copy.avi/frame{at:06d}.jpg,hare,6," for at in (3, 10)]
        (tmp_path / "photos.csv").write_text("\n".join(lines))
        return scan(tmp_path / "photos.csv").rows

    @pytest.mark.parametrize("by", ["photo", "sequence", "site"])
    def test_no_frame_of_a_video_or_its_copies_crosses_a_split(self, copied, by):
        rows = copied.assign(sequence=copied["path"]) if by == "photo" else copied
        for seed in range(8):
            split = assign_splits(rows, by=by, seed=seed, val_fraction=0, test_fraction=0.4)
            assert split["problem"].isna().all()
            videos = split["video_id"].replace("copy.avi", "0.avi")
            assert (split["split"].groupby(videos).nunique() == 1).all()
            assert split["split"].nunique() == 2

    def test_a_split_by_time_keeps_the_later_copy_of_a_video(self, copied):
        days = copied["video_id"].map({"copy.avi": 9} | {f"{number}.avi": number for number in range(6)})
        times = np.datetime64("2023-05-01", "us") + days.to_numpy() * np.timedelta64(1, "D")
        rows = copied.assign(datetime=times, sequence=None)
        split = assign_splits(rows, by="time", val_fraction=0, test_fraction=0.3).set_index("path")
        earlier = split["video_id"] == "0.avi"
        assert split.loc[earlier, "problem"].tolist() == ["byte copy of a test video"] * 2
        assert split.loc[~earlier, "split"].groupby(split["video_id"]).nunique().eq(1).all()
        assert split.loc["copy.avi/frame000003.jpg", "split"] == "test"

    def test_copies_of_videos_are_named_not_hashed(self, copied):
        joined = joints(copied.assign(sequence=None), "site")
        assert joined == ["the video '0.avi' (copies: copy.avi) joins 2 sites (0, 6)"]
        parts = copied["video_id"].map(lambda video: "test" if video == "copy.avi" else "train")
        with pytest.raises(PhotosError, match=r"the video '0\.avi' \(copies: copy\.avi\) is in training and test"):
            check_disjoint(copied.assign(split=parts), "site")

    def test_a_source_that_parts_a_video_is_refused_and_one_that_parts_its_copies_loses_one(self, copied):
        parts = copied["video_id"].map(lambda video: "test" if video in ("copy.avi", "1.avi") else "train")
        split = assign_splits(copied.assign(split=parts), by="photo")
        assert split.loc[split["problem"].notna(), "video_id"].tolist() == ["0.avi"] * 2
        parts[4] = "test"
        with pytest.raises(PhotosError, match=r"share no video_id, but video_id '2\.avi' is in training and test"):
            assign_splits(copied.assign(split=parts, sequence=None), by="photo")

    def test_videos_in_a_zip(self, folder, tmp_path):
        with ZipFile(tmp_path / "photos.zip", "w") as packed:
            for file in sorted(folder.rglob("*.*")):
                packed.write(file, file.relative_to(folder))
        in_zip, in_folder = scan(tmp_path / "photos.zip", verify="decode").rows, scan(folder).rows
        assert in_zip["path"].tolist() == in_folder["path"].tolist()
        assert in_zip["problem"].isna().all()
        path = in_folder["path"].iloc[2]
        assert (
            np.asarray(read_region(tmp_path / "photos.zip" / path)) == np.asarray(read_region(folder / path))
        ).all()

    def test_frames_in_a_folder_called_as_a_video_are_photos(self, draw):
        root = draw("p/fox/clip.mp4/frame000025.jpg", "p/hare/1.jpg") / "p"
        found = scan(root)
        assert found.rows["path"].tolist() == ["fox/clip.mp4/frame000025.jpg", "hare/1.jpg"]
        assert found.rows["problem"].isna().all()
        assert "frame_rate" not in found.rows

    def test_byte_copies_of_frames_in_a_folder_called_as_a_video_are_known(self, draw):
        root = draw("p/fox/clip.mp4/frame000000.jpg", "p/fox/clip.mp4/frame000002.jpg", "p/hare/1.jpg") / "p"
        (root / "fox/clip.mp4/frame000000.jpg").write_bytes(b"of another size")
        (root / "hare/copy.jpg").write_bytes((root / "fox/clip.mp4/frame000002.jpg").read_bytes())
        rows = scan(root).rows.set_index("path")
        assert rows.loc["hare/copy.jpg", "content_hash"] is not None
        assert rows.loc["hare/copy.jpg", "content_hash"] == rows.loc["fox/clip.mp4/frame000002.jpg", "content_hash"]

    def test_without_pyav_photos_are_read_and_the_fix_is_said(self, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "av", None)
        rows = scan(folder).rows
        assert rows["problem"].isna().tolist() == [True, False, False, True] or rows["problem"].isna().sum() == 2
        assert set(rows["problem"].dropna()) == {
            "unreadable: videos need PyAV, which is not installed: pip install 'fscl[video]'"
        }

    def test_a_video_without_a_picture(self, folder):
        (folder / "fox/clip.mp4").write_bytes(b"")
        with av.open(str(folder / "hare/sound.mp4"), "w") as file:
            stream = file.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 16000
            file.mux(stream.encode(frame))
            file.mux(stream.encode())
        for name, codec in (("none.avi", "mjpeg"), ("none.mkv", "mjpeg")):
            with av.open(str(folder / "hare" / name), "w") as file:
                stream = file.add_stream(codec, rate=10)
                stream.width, stream.height, stream.pix_fmt = 64, 32, "yuvj420p"
                file.start_encoding()
        (folder / "hare/text.mov").write_text("hello")
        problems = scan(folder).rows.set_index("path")["problem"].dropna().to_dict()
        assert problems == {
            "fox/clip.mp4": "unreadable: empty file",
            "hare/none.avi": "unreadable: a video without pictures",
            "hare/none.mkv": "unreadable: damaged video (it ends at its beginning)",
            "hare/sound.mp4": "unreadable: a video without pictures",
            "hare/text.mov": "unreadable: damaged video (cut off, or no video)",
        }

    @pytest.mark.parametrize("tenth", range(1, 10))
    @pytest.mark.parametrize("name", ["mjpeg.avi", "h264.mkv", "h264.mp4"])
    def test_a_video_that_is_cut_off_gives_what_can_be_read_and_a_reason(self, videos, draw, name, tenth):
        root = draw("p/fox/1.jpg", "p/hare/2.jpg") / "p"
        content = videos[name].read_bytes()
        (root / f"fox/{name}").write_bytes(content[: len(content) * tenth // 10])
        rows = scan(root, verify="decode", reading=Reading(frames_per_second=10)).rows
        of_video = rows[rows["path"].str.contains(name)]
        assert of_video["problem"].notna().any()
        assert of_video["problem"].dropna().str.startswith("unreadable: ").all()
        if name == "mjpeg.avi" and tenth > 4:
            assert of_video["problem"].isna().sum() >= 5


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["mjpeg.avi", "h264.mp4", "h264.mkv"])
def test_whatever_bytes_a_video_has_it_is_a_row_or_frames(videos, draw, name, seed):
    root = draw("p/fox/1.jpg", "p/hare/2.jpg") / "p"
    content, chance = bytearray(videos[name].read_bytes()), random.Random(seed)
    for _ in range(1 + 4 * seed):
        content[chance.randrange(len(content))] = chance.randrange(256)
    (root / f"fox/{name}").write_bytes(content)
    rows = scan(root, verify="decode", reading=Reading(frames_per_second=2)).rows
    assert rows["path"].str.contains(name).any()
    assert rows["problem"].dropna().str.startswith("unreadable: ").all()


def test_other_frames_of_a_video_that_was_seen_were_seen(tmp_path, draw):
    root = draw("p/fox/1.jpg") / "p"
    write_video(root / "fox/clip.avi")
    write_video(root / "hare/clip.avi", rate=11)
    before = scan(root, reading=Reading(frames_per_second=0.1))
    after = Reading(frames_per_second=3)
    assert all(seen_before(scan(root, reading=after), before))
    copytree(root, tmp_path / "q")
    (tmp_path / "q/fox/clip.avi").rename(tmp_path / "q/fox/renamed.avi")
    write_video(tmp_path / "q/hare/new.avi", rate=12)
    photos = scan(tmp_path / "q", reading=after)
    assert len(photos.rows) == 1 + 9 + 9 + 9
    new = photos.rows["path"][[not each for each in seen_before(photos, before)]]
    assert new.str.startswith("hare/new.avi").sum() == len(new) == 9


class TestDetections:
    @pytest.fixture
    def folder(self, tmp_path, draw):
        root = draw("photos/1.jpg") / "photos"
        write_video(root / "C1/clip.avi")
        detection = {"category": "1", "conf": 0.9, "bbox": [0.1, 0.1, 0.5, 0.5]}
        images = [
            {"file": "1.jpg", "detections": [detection]},
            {
                "file": "C1/clip.avi",
                "frame_rate": 10.0,
                "frames_processed": [0, 5, 10, 15],
                "detections": [
                    {**detection, "frame_number": 15},
                    {**detection, "frame_number": 5, "conf": 0.8},
                    {**detection, "frame_number": 5, "conf": 0.1},
                ],
            },
        ]
        document = {"info": {"format_version": "1.6"}, "detection_categories": {"1": "animal"}, "images": images}
        (tmp_path / "md.json").write_text(json.dumps(document))
        return root

    def test_boxes_go_to_the_frames_that_the_detector_looked_at(self, folder, tmp_path):
        listing = list_photos(folder, Reading(detections=tmp_path / "md.json"))
        names = ["1.jpg", *(f"C1/clip.avi/frame{number:06d}.jpg" for number in (0, 5, 10, 15))]
        assert listing.photos["file"].tolist() == names
        assert listing.photos["found"].isna().tolist() == [True, False, True, False, True]
        assert listing.regions[["photo", "confidence", "place"]].values.tolist() == [
            [0, 0.9, 0],
            [2, 0.8, 1],
            [4, 0.9, 0],
        ]
        assert listing.photos["sequence"].tolist()[1:] == ["C1/clip.avi"] * 4

    def test_the_file_itself_is_a_source(self, folder, tmp_path):
        (tmp_path / "md.json").rename(folder / "md.json")
        rows = formats.read(folder / "md.json", Reading(blanks=True)).rows
        assert rows["path"].nunique() == 5
        assert rows.loc[rows["x"].notna(), "path"].tolist()[1:] == [
            "C1/clip.avi/frame000005.jpg",
            "C1/clip.avi/frame000015.jpg",
        ]
        assert rows["frame_rate"].notna().sum() == 4

    def test_fps_thins_the_frames_of_the_file_itself(self, folder, tmp_path):
        (tmp_path / "md.json").rename(folder / "md.json")
        found = formats.read(folder / "md.json", Reading(blanks=True, frames_per_second=1))
        videos = found.rows[found.rows["frame_rate"].notna()]
        assert videos["path"].tolist() == [f"C1/clip.avi/frame{number:06d}.jpg" for number in (0, 10)]
        assert "1 video, 2 frames: 1 a second at most (--fps)" in found.remarks

    def test_the_file_is_parsed_once(self, folder, tmp_path, monkeypatch):
        from fscl.formats import json_document

        loaded = []
        load = json_document.load
        monkeypatch.setattr(json_document, "load", lambda source: loaded.append(source) or load(source))
        list_photos(folder, Reading(detections=tmp_path / "md.json"))
        formats.read(tmp_path / "md.json", Reading(root=folder))
        assert len(loaded) == 2

    def test_answers_go_back_to_their_detections(self, folder, tmp_path):
        listing = list_photos(folder, Reading(detections=tmp_path / "md.json"))
        answered = [
            PhotoAnswer(
                file,
                [
                    Animal((0.1, 0.1, 0.5, 0.5), (0.9, 0.1), 0, confidence, int(at))
                    for photo, confidence, at in listing.regions[["photo", "confidence", "place"]].values
                    if photo == place
                ],
                detected_as=name,
                frame_rate=None if np.isnan(rate) else rate,
            )
            for place, (file, name, rate) in enumerate(listing.photos[["file", "detected_as", "frame_rate"]].values)
        ]
        out = tmp_path / "out.json"
        megadetector_writer.write(out, answered, about(["fox", "hare"], document=listing.document))
        clip = json.loads(out.read_text())["images"][1]
        assert clip["frames_processed"] == [0, 5, 10, 15]
        assert [(d["frame_number"], "classifications" in d) for d in clip["detections"]] == [
            (15, True),
            (5, True),
            (5, False),
        ]


def frame(number: int, probability: float | None, failure: str | None = None) -> PhotoAnswer:
    animals = [] if probability is None else [Animal(scores=(probability, 1 - probability), answer=0)]
    return PhotoAnswer(frame_name("C1/clip.mp4", number), animals, failure, sequence="C1/clip.mp4", frame_rate=30.0)


FRAMES = [
    PhotoAnswer("C1/1.jpg", [Animal(scores=(0.6, 0.4), answer=0)]),
    frame(0, 0.7),
    frame(30, 0.9),
    frame(60, None, "gone"),
]


def test_a_video_is_one_image_of_megadetectors_format(tmp_path):
    megadetector_writer.write(tmp_path / "out.json", FRAMES, about(["fox", "hare"]))
    photo, clip = json.loads((tmp_path / "out.json").read_text())["images"]
    assert "frame_rate" not in photo
    assert (clip["file"], clip["frame_rate"], clip["frames_processed"]) == ("C1/clip.mp4", 30.0, [0, 30])
    assert [detection["frame_number"] for detection in clip["detections"]] == [0, 30]
    assert clip["classification_failure"] == "gone"


def test_a_video_has_the_answer_of_its_surest_frame_where_a_format_has_one_row(tmp_path):
    whole = [answers.surest(frames) for frames in answers.by_media(FRAMES)]
    assert [(photo.file, photo.main.probability) for photo in whole] == [("C1/1.jpg", 0.6), ("C1/clip.mp4", 0.9)]
    timelapse_writer.write(tmp_path / "out.csv", FRAMES, about(["fox", "hare"]))
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["1.jpg", "C1"], ["clip.mp4", "C1"]]


def test_the_damage_of_a_video_is_beside_its_answer():
    cut = PhotoAnswer("C1/clip.mp4", failure="the video ends after 70 of 90 frames", time=None)
    gone = [frame(number, None, "damaged video (this frame)") for number in (60, 90)]
    (whole,) = [answers.surest(frames) for frames in answers.by_media([cut, frame(0, 0.7), frame(30, 0.9), *gone])]
    assert (whole.file, whole.main.probability, whole.failure) == ("C1/clip.mp4", 0.9, None)
    assert whole.problem == f"{cut.failure}; 2 frames: damaged video (this frame)"
    assert answers.surest([frame(0, 0.7), frame(30, 0.9)]).problem is None


def test_timelapse_has_the_damage_of_a_video(tmp_path):
    timelapse_writer.write(tmp_path / "out.csv", FRAMES, about(["fox", "hare"]))
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(row["Species"], row["Problem"]) for row in rows] == [("fox", ""), ("fox", "1 frame: gone")]


def test_the_frames_of_a_damaged_video_come_with_what_is_wrong(videos, tmp_path):
    cut = tmp_path / "cut.avi"
    cut.write_bytes(videos["mjpeg.avi"].read_bytes()[:-4000])
    *frames, last = frames_of_file(cut)
    assert [(path.name, problem) for path, problem in frames] == [
        (f"frame{number:06d}.jpg", None) for number in (0, 10, 20)
    ]
    assert last[0] == cut
    assert last[1].startswith("the video ends after ")


def test_reasons_of_videos_and_photos_are_worded_alike_in_predictions(videos, draw):
    folder = draw("photos/1.jpg") / "photos"
    for name in ("2.jpg", "3.mp4"):
        (folder / name).touch()
    (folder / "4.avi").write_bytes(videos["mjpeg.avi"].read_bytes()[:-4000])
    problems = list_photos(folder, Reading()).photos.set_index("file")["problem"].dropna()
    assert problems["3.mp4"] == "empty file"
    assert problems["4.avi"].startswith("the video ends after ")


def test_videos_are_sorted_whole(tmp_path):
    write_video(tmp_path / "photos/clip.avi")
    listing = list_photos(tmp_path / "photos", Reading())
    said = [
        PhotoAnswer(file, [Animal(scores=(0.9, 0.1), answer=0)], frame_rate=10.0) for file in listing.photos["file"]
    ]
    Sorting(tmp_path / "sorted").sort(listing, said, about(["fox", "hare"]))
    files = [file.relative_to(tmp_path).as_posix() for file in (tmp_path / "sorted").rglob("*.*")]
    assert files == ["sorted/fox/clip.avi"]
    assert (tmp_path / files[0]).read_bytes() == (tmp_path / "photos/clip.avi").read_bytes()


def test_frames_of_one_video_have_hashes_of_their_own(videos):
    hashes = {content_hash(Path(frame_name(str(videos["h264.mp4"]), number))) for number in range(3)}
    assert len(hashes) == 3
    assert None not in hashes


def test_more_pixels_than_a_photo_may_have_are_refused(tmp_path, monkeypatch):
    from fscl import video

    monkeypatch.setattr(video, "MOST_OF_PHOTO", 1000)
    with pytest.raises(UnreadableError, match="decompression bomb"):
        times_of(write_video(tmp_path / "a.avi", seconds=1))
