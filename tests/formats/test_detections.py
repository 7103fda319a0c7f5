"""Which file of a detector is which photo: frames of videos, and frames that were extracted to photos."""

import pytest

from fscl.formats.detections import matched

CLIP, OTHER = "C1/clip.mp4/frame000001.jpg", "C2/clip.mp4/frame000001.jpg"


@pytest.mark.parametrize(
    "file",
    [
        *(r"D:\photos\C1\clip.mp4\frame000001.jpg", "photos/C1/CLIP.MP4/frame000001.JPG", CLIP),
        *("clip.mp4/frame000001.jpg", "frame000001.jpg", r"clip.mp4\frame000001.jpg"),
        *("photos/c1/CLIP.MP4", r"D:\C1\clip.mp4", "clip.mp4"),
    ],
)
def test_an_extracted_frame_is_found_by_its_name_else_by_its_video(file):
    assert matched([CLIP, "1.jpg"], ["photos/1.jpg", file]) == {CLIP: file, "1.jpg": "photos/1.jpg"}


@pytest.mark.parametrize("file", ["clip.mp4/frame000001.jpg", r"D:\C1\CLIP.mp4\Frame000001.JPG"])
def test_frames_in_a_folder_called_as_a_video_are_found_from_within_it(file):
    assert matched(["frame000001.jpg"], [file, "1.jpg"]) == {"frame000001.jpg": file}


def test_the_frame_itself_counts_before_its_video():
    files = [r"C1\clip.mp4", r"C1\CLIP.mp4\frame000001.jpg"]
    second = CLIP.replace("1.jpg", "2.jpg")
    assert matched([CLIP, second], files) == {CLIP: files[1], second: files[0]}


def test_all_frames_of_a_video_are_of_its_file_and_a_photo_of_their_name_is_not():
    frames = ["clip.mp4/frame000001.jpg", "clip.mp4/frame000002.jpg"]
    found = matched(["frame000001.jpg", *frames], ["frame000001.jpg", "clip.mp4"])
    assert found == {"frame000001.jpg": "frame000001.jpg", **dict.fromkeys(frames, "clip.mp4")}


def test_a_video_that_may_be_either_of_two_is_none():
    assert matched([CLIP, OTHER], ["clip.mp4"]) == {CLIP: None, OTHER: None}
    assert matched([CLIP, OTHER], ["x/C1/clip.mp4", "x/c2/Clip.mp4"]) == {
        CLIP: "x/C1/clip.mp4",
        OTHER: "x/c2/Clip.mp4",
    }
