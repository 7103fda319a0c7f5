import io
import struct
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fscl.errors import PhotosError
from fscl.images import UPRIGHT, UnreadableError, read_header, read_region, read_size, turn_box

ORIENTATION = 0x0112


def four_quarters(width=96, height=64):
    """Red, green over blue, white: every turn and flip looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = 255, 0, 0
    pixels[: height // 2, width // 2 :] = 0, 255, 0
    pixels[height // 2 :, : width // 2] = 0, 0, 255
    pixels[height // 2 :, width // 2 :] = 255, 255, 255
    return Image.fromarray(pixels)


def saved(image, path, orientation=None, **options):
    if orientation is not None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    image.save(path, **options)
    return path


def close(image, other, tolerance=12):
    a, b = np.asarray(image).astype(int), np.asarray(other).astype(int)
    return a.shape == b.shape and np.abs(a - b).mean() < tolerance


def upright_of(image, orientation):
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_photos_come_upright(tmp_path, orientation, suffix):
    photo = saved(four_quarters(), tmp_path / f"a{suffix}", orientation)
    expected = upright_of(four_quarters(), orientation)
    assert read_size(photo) == expected.size
    assert close(read_region(photo), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize("min_side", [None, 8])
def test_boxes_are_those_of_the_upright_photo(tmp_path, orientation, suffix, min_side):
    stored = four_quarters(768, 512)
    photo = saved(stored, tmp_path / f"a{suffix}", orientation)
    box = (100, 300, 200, 160)
    x, y, w, h = box
    expected = upright_of(stored, orientation).crop((x, y, x + w, y + h))
    region = read_region(photo, box, min_side=min_side)
    if min_side and suffix == ".jpg":
        assert region.size == (25, 20) or region.size == (26, 21)  # an eighth: draft was used
    assert close(region.resize(expected.size, Image.Resampling.NEAREST), expected)


@given(
    orientation=st.integers(1, 8),
    box=st.tuples(st.integers(0, 20), st.integers(0, 10), st.integers(1, 9), st.integers(1, 9)),
)
def test_turned_boxes_hold_what_they_held(orientation, box):
    x, y, w, h = box
    stored = Image.new("L", (30, 20))
    stored.paste(255, (x, y, x + w, y + h))
    left, top, right, bottom = upright_of(stored, orientation).getbbox()
    assert turn_box(box, orientation, 30, 20) == (left, top, right - left, bottom - top)


def test_header_tells_the_orientation(tmp_path):
    assert read_header(saved(four_quarters(), tmp_path / "a.jpg", 6)) == (64, 96, 6)
    assert read_header(saved(four_quarters(), tmp_path / "b.jpg")) == (96, 64, 1)


@given(
    box=st.tuples(*[st.floats(0, 150)] * 2, *[st.floats(1, 100)] * 2),
    min_side=st.integers(1, 60),
    margin=st.floats(0, 1),
)
def test_reduced_decoding_leaves_enough_pixels(big_jpeg, box, min_side, margin):
    full = read_region(big_jpeg, box, margin=margin)
    reduced = read_region(big_jpeg, box, margin=margin, min_side=min_side)
    assert min(reduced.size) >= min(min_side, min(full.size) - 1)
    assert reduced.width <= full.width
    assert reduced.height <= full.height


@pytest.fixture(scope="module")
def big_jpeg(tmp_path_factory):
    return saved(four_quarters(260, 251), tmp_path_factory.mktemp("photos") / "big.jpg", 8)


def test_margin_is_a_fraction_of_the_longer_side_and_clipped(tmp_path):
    photo = saved(four_quarters(100, 100), tmp_path / "a.png")
    assert read_region(photo, (40, 40, 20, 10), margin=0.5).size == (40, 30)
    assert read_region(photo, (0, 0, 20, 10), margin=0.5).size == (30, 20)
    assert read_region(photo, (-10, -10, 30, 30)).size == (20, 20)
    assert read_region(photo, (99.9, 99.9, 0.05, 0.05)).size == (1, 1)


@pytest.mark.parametrize("box", [(100, 0, 10, 10), (0, -20, 10, 10)])
def test_a_box_outside_the_photo_is_refused(tmp_path, box):
    photo = saved(four_quarters(100, 100), tmp_path / "a.png")
    with pytest.raises(UnreadableError, match=r"^box outside the photo$"):
        read_region(photo, box)


class TestPixels:
    def colour(self, photo):
        region = read_region(photo)
        assert region.mode == "RGB"
        return region.getpixel((1, 1))

    def test_cmyk(self, tmp_path):
        photo = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
        red, green, blue = self.colour(photo)
        assert red > 220
        assert green < 40
        assert blue < 40

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
    def test_transparency_shows_the_background(self, tmp_path, mode):
        image = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
        assert self.colour(saved(image, tmp_path / ("a.tif" if mode == "PA" else "a.png"))) == (255, 255, 255)

    def test_a_palette_with_a_transparent_entry(self, tmp_path):
        image = Image.new("P", (8, 8), 0)
        image.putpalette([10, 20, 30, 40, 50, 60])
        assert self.colour(saved(image, tmp_path / "a.png", transparency=0)) == (255, 255, 255)
        assert self.colour(saved(image, tmp_path / "b.png", transparency=b"\xff\x00")) == (10, 20, 30)

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_16_bits_are_scaled_not_clipped(self, tmp_path, name):
        ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
        photo = saved(Image.fromarray(ramp), tmp_path / name)
        grey = np.asarray(read_region(photo))[..., 0].ravel()
        assert np.abs(grey.astype(int) - np.arange(256)).max() <= 1

    def test_1_bit(self, tmp_path):
        assert self.colour(saved(Image.new("1", (8, 8), 1), tmp_path / "a.png")) == (255, 255, 255)

    def test_the_first_frame_of_an_animation(self, tmp_path):
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        for name in ("a.gif", "a.webp", "a.png"):
            frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
            assert self.colour(tmp_path / name) == (255 if name != "a.webp" else pytest.approx(255, abs=2), 0, 0)

    def test_floating_point_pixels_are_refused(self, tmp_path):
        photo = saved(Image.new("F", (8, 8), 0.5), tmp_path / "a.tif")
        with pytest.raises(UnreadableError, match="pixels of kind F"):
            read_region(photo)


def jpeg_bytes(size=(200, 100)):
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def png_header(width, height):
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(ihdr))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + checksum + b"\0\0\0\x08IDAT" + b"\0" * 12


class TestUnreadable:
    @pytest.mark.parametrize("min_side", [None, 10])
    @pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
    def test_truncated(self, tmp_path, fraction, min_side):
        content = jpeg_bytes()
        photo = tmp_path / "a.jpg"
        photo.write_bytes(content[: int(len(content) * fraction)])
        assert read_size(photo) == (200, 100)
        with pytest.raises(UnreadableError, match=r"^truncated file$"):
            read_region(photo, min_side=min_side)

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("a.jpg", b"", "empty file"),
            ("a.jpg", b"no photo at all", "not an image"),
            ("a.jpg", jpeg_bytes()[:10], "truncated file"),
            ("a.HEIC", b"\0\0\0\x18ftypheic", "HEIC is not supported, convert it to JPEG"),
            ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "not an image"),
            ("a.png", png_header(30_000, 30_000), "more than 178 megapixels (decompression bomb?)"),
        ],
    )
    def test_the_reason_is_short(self, tmp_path, name, content, reason):
        photo = tmp_path / name
        photo.write_bytes(content)
        for read in (read_size, read_region):
            with pytest.raises(UnreadableError) as error:
                read(photo)
            assert str(error.value) == reason

    def test_damage_is_named(self, tmp_path):
        photo = saved(Image.effect_noise((64, 64), 60), tmp_path / "a.png")
        content = bytearray(photo.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 40] = b"\xaa" * 40
        photo.write_bytes(content)
        with pytest.raises(UnreadableError, match="damaged file"):
            read_region(photo)

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(UnreadableError, match=r"^missing file$"):
            read_size(tmp_path / "a.jpg")
        with pytest.raises(PhotosError, match="a folder, not a file"):
            read_size(tmp_path)

    def test_permission(self, tmp_path, monkeypatch):
        def refuse(*_, **__):
            raise PermissionError

        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(UnreadableError, match=r"^permission denied$"):
            read_size(tmp_path / "a.jpg")

    def test_our_own_mistakes_are_no_damaged_files(self, tmp_path):
        photo = saved(four_quarters(), tmp_path / "a.png")
        with pytest.raises(ValueError, match="unpack"):
            read_region(photo, (1, 2, 3))


class TestInArchives:
    @pytest.fixture
    def packed(self, tmp_path):
        """Return a function that packs photos and returns the archive."""

        def pack(*photos, method=zipfile.ZIP_DEFLATED):
            with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
                for photo in photos:
                    archive.write(photo, photo.name)
            return tmp_path / "a.zip"

        return pack

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".gif"])
    def test_photos_are_read_as_if_unpacked(self, tmp_path, packed, suffix, method):
        photo = saved(four_quarters(768, 512), tmp_path / f"a{suffix}")
        inside = packed(photo, method=method) / photo.name
        assert read_header(inside) == read_header(photo)
        box = (100, 300, 200, 160)
        for options in ({}, {"box": box, "margin": 0.1}, {"min_side": 50}):
            assert read_region(inside, **options) == read_region(photo, **options)

    def test_the_reason_is_short(self, tmp_path, packed):
        names = ["empty.jpg", "text.jpg", "cut.jpg", "damaged.jpg"]
        for name, content in zip(names, (b"", b"no photo", jpeg_bytes()[:900], jpeg_bytes()), strict=True):
            (tmp_path / name).write_bytes(content)
        archive = packed(*(tmp_path / name for name in names), method=zipfile.ZIP_STORED)
        content = bytearray(archive.read_bytes())
        content[content.index(b"PK\x01\x02") - 100] ^= 1
        archive.write_bytes(content)
        expected = ["empty file", "not an image", "truncated file", "damaged in its zip", "missing file"]
        assert [reason(read_region, archive / name) for name in [*names, "none.jpg"]] == expected

    def test_a_damaged_archive(self, tmp_path):
        (tmp_path / "a.zip").write_bytes(b"PK")
        assert reason(read_size, tmp_path / "a.zip/a.jpg").startswith("a.zip: expected a whole zip archive")


class TestWarnings:
    @pytest.fixture
    def corrupt_exif(self, tmp_path):
        """Five EXIF entries are announced, two bytes are there."""
        photo = tmp_path / "a.jpg"
        Image.new("RGB", (32, 16)).save(photo, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")
        with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(photo) as image:
            image.getexif()
        return photo

    def test_corrupt_exif_is_ignored_in_silence(self, corrupt_exif):
        assert read_size(corrupt_exif) == (32, 16)
        assert read_region(corrupt_exif).size == (32, 16)

    def test_many_threads_leave_the_filters_as_they_were(self, corrupt_exif):
        filters = list(warnings.filters)
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(read_size, [corrupt_exif] * 200)) == {(32, 16)}
        assert list(warnings.filters) == filters

    def test_a_large_photo_is_no_bomb(self, tmp_path):
        photo = tmp_path / "a.png"
        photo.write_bytes(png_header(12_000, 9_000))
        assert read_size(photo) == (12_000, 9_000)


AWKWARD_HEADERS = {
    "SOURCE.md": "not an image",
    "broken.png": "not an image",
    "error_img.JPG": "empty file",
    "hopper.heif": "HEIC is not supported, convert it to JPEG",
    "decompression_bomb.gif": "more than 178 megapixels (decompression bomb?)",
}
AWKWARD = AWKWARD_HEADERS | {
    "african_elephants_truncated_file.jpg": "truncated file",
    "truncated_jpeg.jpg": "truncated file",
    "truncated_end_chunk.png": "truncated file",
    "broken_data_stream.png": "damaged file (unrecognized data stream contents when reading image file)",
}


def reason(read, photo: Path):
    try:
        read(photo)
    except UnreadableError as error:
        return str(error)
    return None


class TestRealAwkwardPhotos:
    def test_all_read_but_those_that_cannot_be(self, shared_data):
        photos = sorted((shared_data / "awkward").iterdir())
        headers = {p.name: r for p in photos if (r := reason(read_size, p))}
        pixels = {p.name: r for p in photos if (r := reason(read_region, p))}
        assert headers == AWKWARD_HEADERS
        assert pixels == AWKWARD

    def test_sizes_agree_with_pixels(self, shared_data):
        for photo in (shared_data / "awkward").iterdir():
            if photo.name not in AWKWARD:
                region = read_region(photo)
                assert (region.size, region.mode) == (read_size(photo), "RGB"), photo

    def test_orientations(self, shared_data):
        folder = shared_data / "awkward"
        assert read_header(folder / "african_elephants_with_exif_orientation.jpg") == (2048, 1536, 6)
        assert read_header(folder / "exif_Portrait_6.jpg") == (1200, 1800, 6)
        one, other = (read_region(folder / n) for n in ("hopper_orientation_3.webp", "hopper_orientation_8.jpg"))
        assert close(one, other)
        assert not close(one, other.rotate(180))

    def test_16_bit_pixels_stay_dark(self, shared_data):
        assert np.asarray(read_region(shared_data / "awkward" / "16bit.cropped.tif")).max() == 694 // 256
