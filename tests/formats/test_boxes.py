import pandas as pd
import pytest
from PIL import Image

from fscl.formats.boxes import read_headers, turn_upright
from fscl.images import read_region


def columns(path, box):
    return pd.DataFrame(
        {"path": [path, path], "problem": None, "note": None}
        | {n: [v, None] for n, v in zip("xywh", box, strict=True)}
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_the_corner_of_the_stored_pixels_is_found_in_the_upright_photo(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (160, 80), "black")
    stored.paste("white", (0, 0, 48, 16))
    stored.save(tmp_path / name, exif=exif)
    for box, unit in [((0, 0, 48, 16), "pixel"), ((0, 0, 0.3, 0.2), "fraction"), ((0, 0, 30, 20), "percent")]:
        given = columns(name, box)
        turned = turn_upright(given, read_headers(given, tmp_path), unit=unit)[["x", "y", "w", "h"]]
        region = read_region(tmp_path / name, tuple(turned.iloc[0]))
        assert sorted(region.size) == [16, 48]
        assert min(region.resize((1, 1)).getpixel((0, 0))) > 240
        assert turned.iloc[1].isna().all()


def test_a_photo_that_cannot_be_read_loses_its_boxes_and_says_so(tmp_path):
    (tmp_path / "a.jpg").touch()
    given = columns("a.jpg", (0, 0, 1, 1))
    turned = turn_upright(given, read_headers(given, tmp_path), unit="fraction")
    assert turned["x"].isna().all()
    assert turned["problem"].fillna("").tolist() == ["unreadable: empty file", ""]
