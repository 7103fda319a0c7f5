"""What `predict` takes: paths, folders, images, arrays; and what it says of anything else."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import fscl
from fscl.errors import ConfigurationError, PhotosError
from fscl.training.loop import fit


@pytest.fixture(scope="module")
def model(tmp_path_factory, photos):
    from fscl import methods
    from fscl.config import resolve, settings

    small = {"backbone": "test_resnet", "image_size": 32, "steps": 20, "batch_size": 16, "workers": 0}
    config = resolve([("baseline", methods.read("baseline")), ("test", settings(small))])
    return fscl.load(fit(config, photos, tmp_path_factory.mktemp("runs") / "run"))


PHOTO = "boar/003.jpg"


def logits_like(model, table):
    return table[list(model.columns.values())].to_numpy()


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_is_one_photo(model, class_folders, kind):
    table = model.predict(kind(class_folders / PHOTO))
    assert table["filepath"].tolist() == [str(class_folders / PHOTO)]
    assert table.equals(model.predict([kind(class_folders / PHOTO)]))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_all_photos_below_it_in_order(model, draw, kind):
    root = draw("b/2.jpg", "b/1.JPG", "a/x/3.png", "4.jpg")
    (root / "b/notes.txt").write_text("mine")
    (root / "a/Thumbs.db").write_bytes(b"x")
    (root / "b/broken.jpg").write_bytes(b"no photo")
    table = model.predict(kind(root))
    below = ["4.jpg", "a/x/3.png", "b/1.JPG", "b/2.jpg", "b/broken.jpg"]
    assert table["filepath"].tolist() == [str(root / name) for name in below]
    assert table["problem"].isna().tolist() == [True, True, True, True, False]


def test_what_of_a_video_is_damaged_is_a_row(model, draw, monkeypatch):
    root = draw("a.jpg", "b.jpg")
    given = [(root / "a.jpg", None), (root / "clip.avi", "cut off"), (root / "b.jpg", None)]
    monkeypatch.setattr("fscl.predictor.frames_of_file", lambda path: given)
    table = model.predict(root / "clip.avi", boxes=[None, None, (1, 1, 4, 4)])
    assert table["problem"].fillna("").tolist() == ["", "cut off", ""]
    assert table["prediction"].notna().tolist() == [True, False, True]


def test_a_zip_is_read_where_it_is(model, draw, pack):
    archive = pack(draw("mine/b/2.jpg", "mine/a/1.jpg") / "mine", keep=True)
    table = model.predict(archive)
    assert table["filepath"].tolist() == [str(archive / "a/1.jpg"), str(archive / "b/2.jpg")]
    assert table["problem"].isna().all()


def test_several_of_every_kind_are_rows_in_the_given_order(model, class_folders, draw):
    root = draw("mine/2.jpg", "mine/1.jpg")
    with Image.open(class_folders / PHOTO) as opened:
        pixels = np.asarray(opened)
        given = [str(class_folders / PHOTO), root / "mine", opened, pixels, pixels[..., 0], opened.convert("L")]
        table = model.predict(given)
    names = [str(class_folders / PHOTO), str(root / "mine/1.jpg"), str(root / "mine/2.jpg")]
    assert table["filepath"].tolist() == [*names, "image 2", "image 3", "image 4", "image 5"]
    assert table["problem"].isna().all()
    of_file, of_image, of_pixels = (logits_like(model, table.iloc[[row]]) for row in (0, 3, 4))
    assert of_image == pytest.approx(of_file, abs=1e-6)
    assert of_pixels == pytest.approx(of_file, abs=1e-6)


def test_an_image_or_an_array_alone_is_one_photo(model, class_folders):
    image = Image.open(class_folders / PHOTO)
    for given in (image, np.asarray(image), np.asarray(image)[::-1, :, 0]):
        assert model.predict(given)["filepath"].tolist() == ["image 0"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_an_image_is_turned_as_its_file_would_be(model, tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        table = model.predict([tmp_path / f"a.{suffix}", image])
    assert logits_like(model, table)[1] == pytest.approx(logits_like(model, table)[0], abs=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_an_image_of_any_mode_is_what_its_file_would_be(model, tmp_path, mode):
    ramp = np.linspace(0, 255, 24 * 40).reshape(24, 40)
    if mode in ("I;16", "I"):
        image = Image.fromarray((ramp * 16).astype(np.uint16 if mode == "I;16" else np.int32))
    elif mode == "F":
        image = Image.fromarray(ramp.astype(np.float32))
    else:
        image = Image.fromarray(np.stack([ramp, ramp[::-1], ramp], axis=-1).astype(np.uint8)).convert(mode)
    assert image.mode == mode
    image.save(tmp_path / "a.tif")
    before = image.tobytes()
    table = model.predict([tmp_path / "a.tif", image])
    assert table["problem"].isna().all()
    assert logits_like(model, table)[1] == pytest.approx(logits_like(model, table)[0], abs=1e-6)
    assert (image.mode, image.tobytes()) == (mode, before)


def test_an_image_that_is_damaged_or_empty_is_a_row_with_a_reason(model, class_folders):
    content = (class_folders / PHOTO).read_bytes()
    table = model.predict([Image.open(BytesIO(content[:-200])), Image.new("RGB", (0, 0)), class_folders / PHOTO])
    assert table["problem"].tolist()[:2] == ["truncated file", "an image without pixels"]
    assert table["prediction"].isna().tolist() == [True, True, False]


@pytest.mark.parametrize("several", [tuple, iter, pd.Series, lambda paths: np.array(paths, dtype=object)])
def test_several_may_be_anything_that_lists_them(model, class_folders, several):
    paths = [str(class_folders / PHOTO), str(class_folders / "deer/003.jpg")]
    assert model.predict(several(paths))["filepath"].tolist() == paths


def test_a_path_that_is_not_there_is_a_row(model):
    assert model.predict("photos")["problem"].tolist() == ["missing file"]


GREY = np.zeros((4, 5), dtype=np.uint8)
WRONG = {
    "number": (5, "expected photos: a path, .* got 5 of type int"),
    "nothing": (None, "got None of type NoneType"),
    "empty text": ("", "got '' of type str"),
    "empty text of several": ([""], "got '' of type str"),
    "nothing among others": (["a.jpg", None], "got None of type NoneType"),
    "missing value": ([float("nan")], "got nan of type float"),
    "bytes": (b"\xff\xd8", "of type bytes"),
    "bytes of several": ([b"\xff\xd8"], "of type bytes"),
    "table": (pd.DataFrame({"filepath": ["a.jpg"]}), "of type DataFrame"),
    "names": ({"a.jpg": 1}, "of type dict"),
    "list in a list": ([["a.jpg"]], r"got \['a.jpg'\] of type list"),
    "tensor": (torch.zeros(3, 4, 5), "of type Tensor"),
    "floats": (GREY.astype(float), r"image 0: expected an array of uint8, .* got float64 of shape \(4, 5\)"),
    "truth": ([GREY, GREY > 0], r"image 1: expected an array of uint8, .* got bool of shape \(4, 5\)"),
    "channels first": (np.zeros((3, 40, 50), dtype=np.uint8), r"got uint8 of shape \(3, 40, 50\)"),
    "four bands": (np.zeros((40, 50, 4), dtype=np.uint8), r"of shape \(height, width, 3\) or \(height, width\)"),
    "batch": (np.zeros((2, 4, 5, 3), dtype=np.uint8), "give several photos as a list of arrays"),
    "row": (np.zeros(5, dtype=np.uint8), r"got uint8 of shape \(5,\)"),
    "no pixels": (np.zeros((0, 5, 3), dtype=np.uint8), r"got uint8 of shape \(0, 5, 3\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_photo_is_a_clear_error(model, name):
    given, message = WRONG[name]
    with pytest.raises(PhotosError, match=f"(?s){message}"):
        model.predict(given)


def test_a_folder_without_photos_is_a_clear_error(model, tmp_path):
    with pytest.raises(PhotosError, match=f"expected photos below {tmp_path}, found none; give another folder"):
        model.predict(tmp_path)
    (tmp_path / "video.wmv").touch()
    with pytest.raises(PhotosError, match=r"found none, only other files \(.wmv\)"):
        model.predict([str(tmp_path)])


def test_boxes_are_cropped_as_in_training_whatever_holds_the_pixels(model, class_folders):
    path = class_folders / PHOTO
    with Image.open(path) as image:
        pixels = np.asarray(image)
        box = (4, 6, 20, 20)
        boxed = model.predict([path, image, pixels, path], boxes=[box, box, box, None])
    logits = logits_like(model, boxed)
    assert logits[0] == pytest.approx(logits[1], abs=1e-5)
    assert logits[1] == pytest.approx(logits[2], abs=1e-5)
    assert logits[3] == pytest.approx(logits_like(model, model.predict(path))[0], abs=1e-5)
    margin = model.bundle.preprocessing.crop_margin * 20
    left, top = int(4 - margin), int(6 - margin)
    cut = pixels[top : int(26 + margin), left : int(24 + margin)]
    assert logits_like(model, model.predict(cut))[0] == pytest.approx(logits[1], abs=1e-5)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "expected a box for each of 1 photo, got 0"),
        ([(1, 2, 3)], "box 0: expected four numbers"),
        ([(1, 2, 0, 3)], "w and h > 0"),
        ([(1, 2, float("nan"), 3)], "four numbers"),
        (["here"], "four numbers"),
    ],
)
def test_boxes_that_are_none_are_a_clear_error(model, class_folders, boxes, message):
    with pytest.raises(PhotosError, match=message):
        model.predict(class_folders / PHOTO, boxes=boxes)


def test_a_box_outside_its_photo_is_a_row_with_a_reason(model, class_folders):
    table = model.predict(class_folders / PHOTO, boxes=[(900, 900, 5, 5)])
    assert table["problem"].tolist() == ["box outside the photo"]


def test_a_device_that_is_not_there_is_a_clear_error(model, tmp_path):
    model.bundle.save(tmp_path / "bundle")
    assert fscl.load(tmp_path / "bundle", device="cpu").classes == model.classes
    with pytest.raises(ConfigurationError, match=r"device 'nowhere' cannot be used.*cpu always can"):
        fscl.load(tmp_path / "bundle", device="nowhere")
