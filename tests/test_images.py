import io
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from fscl.decoding import Budget
from fscl.errors import PhotosError
from fscl.images import UPRIGHT, UnreadableError, read_facts, read_header, read_region, read_size, turn_box

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


RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16)


def read_grey(photo, *region):
    return np.asarray(read_region(photo, *region))[..., 0]


def notes_of(photo):
    return read_facts(photo).notes


def tiff(path, values, tags=(), bits=16):
    """Write an uncompressed grey TIFF by hand, with any tags: (number, value) pairs of shorts."""
    height, width = values.shape
    data = values.astype("<u2").tobytes()
    if bits == 12:  # two values in three bytes
        pairs = values.reshape(-1, 2)
        packed = [(a >> 4, (a & 15) << 4 | b >> 8, b & 255) for a, b in pairs.tolist()]
        data = np.array(packed, np.uint8).tobytes()
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries |= dict(tags)
    directory = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in sorted(entries.items()))
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, 8 + len(data))
        + data
        + struct.pack("<H", len(entries))
        + directory
        + b"\0" * 4
    )
    return path


def with_significant_bits(png, bits):
    """Put the chunk sBIT behind the header of a PNG."""
    content = png.read_bytes()
    body = b"sBIT" + bytes(bits)
    chunk = struct.pack(">I", len(bits)) + body + struct.pack(">I", zlib.crc32(body))
    png.write_bytes(content[:33] + chunk + content[33:])
    return png


class TestDepth:
    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    @pytest.mark.parametrize("name", ["a.png", "a.tif", "big-endian.tif"])
    def test_greys_are_scaled_by_the_bits_that_hold_them(self, tmp_path, name, bits):
        values = RAMP << (bits - 8)
        image = Image.fromarray(values.astype(">u2")) if "big" in name else Image.fromarray(values)
        photo = saved(image, tmp_path / name)
        assert (read_grey(photo) == RAMP).all()
        assert notes_of(photo) == (() if bits == 16 else (f"{bits} bits in a 16-bit file",))

    @pytest.mark.parametrize("bits", [8, 12, 16, 24])
    def test_integers_of_32_bits(self, tmp_path, bits):
        photo = saved(Image.fromarray(RAMP.astype(np.int32) << (bits - 8)), tmp_path / "a.tif")
        assert (read_grey(photo) == RAMP).all()
        assert notes_of(photo) == (f"{bits} bits in a 32-bit file",)

    def test_a_part_is_as_bright_as_it_is_in_the_whole(self, tmp_path):
        photo = saved(Image.fromarray(RAMP << 4), tmp_path / "a.tif")
        assert (read_grey(photo, (0, 0, 16, 1)) == RAMP[:1]).all()

    def test_negative_values_are_black(self, tmp_path):
        photo = saved(Image.fromarray(RAMP.astype(np.int32) - 128), tmp_path / "a.tif")
        assert (read_grey(photo) == np.clip(RAMP.astype(int) - 128, 0, 255)).all()

    def test_black_is_black_without_a_note(self, tmp_path):
        photo = saved(Image.new("I;16", (8, 8)), tmp_path / "a.png")
        assert read_grey(photo).max() == 0
        assert notes_of(photo) == ()

    @pytest.mark.parametrize("tag", [281, 341])
    def test_a_tiff_that_says_its_highest_value_stays_dark(self, tmp_path, tag):
        photo = tiff(tmp_path / "a.tif", RAMP, [(tag, 4095)])
        assert (read_grey(photo) == RAMP >> 4).all()
        assert notes_of(photo) == ()

    def test_a_tiff_that_says_less_than_it_holds_is_not_believed(self, tmp_path):
        photo = tiff(tmp_path / "a.tif", RAMP << 8, [(281, 4095)])
        assert (read_grey(photo) == RAMP).all()

    def test_a_tiff_of_12_bits(self, tmp_path):
        photo = tiff(tmp_path / "a.tif", RAMP, bits=12)
        assert (read_grey(photo) == RAMP >> 4).all()
        assert notes_of(photo) == ()

    def test_significant_bits_of_a_png(self, tmp_path):
        upper = with_significant_bits(saved(Image.fromarray(RAMP << 4), tmp_path / "upper.png"), [12])
        assert (read_grey(upper) == RAMP >> 4).all(), "the upper 12 bits, as the specification has it: a dark photo"
        lower = with_significant_bits(saved(Image.fromarray(RAMP * 16 + 15), tmp_path / "lower.png"), [12])
        assert (read_grey(lower) == RAMP).all()
        repeated = with_significant_bits(saved(Image.fromarray(RAMP * 257), tmp_path / "repeated.png"), [12])
        assert (read_grey(repeated) == RAMP).all(), "lower bits are set, as they repeat the upper ones"
        assert notes_of(upper) == notes_of(lower) == notes_of(repeated) == ()

    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    @pytest.mark.parametrize("name", ["a.tif", "deflate.tif", "a.png", "alpha.png"])
    def test_colours_of_16_bits(self, tmp_path, name, bits):
        colours = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1) << (bits - 8)
        photo = deep_colours(tmp_path / name, colours)
        assert (np.asarray(read_region(photo)) == colours >> (bits - 8)).all()
        assert notes_of(photo) == (() if bits == 16 else (f"{bits} bits in a 16-bit file",))

    @pytest.mark.parametrize(("alpha", "opaque"), [(65535, 1), (32768, 128 / 255), (4095, 1), (2048, 128 / 255)])
    def test_alpha_has_a_depth_of_its_own(self, tmp_path, alpha, opaque):
        colours = np.stack([RAMP] * 3, axis=-1) << 4
        photo = deep_colours(tmp_path / "alpha.png", colours, alpha)
        assert np.abs(read_grey(photo) - (RAMP * opaque + 255 * (1 - opaque))).max() <= 1

    @pytest.mark.parametrize(
        ("values", "expected", "note"),
        [
            (RAMP / 255, RAMP, "floats of 0 to 1"),
            (RAMP, RAMP, "floats of 0 to 255"),
            (RAMP // 8, RAMP // 8, "floats of 0 to 255"),
            (RAMP * 0.9, np.rint(RAMP * 0.9), "floats of 0 to 255"),
        ],
    )
    def test_floats(self, tmp_path, values, expected, note):
        photo = saved(Image.fromarray(values.astype(np.float32)), tmp_path / "a.tif")
        assert (read_grey(photo) == expected).all()
        assert notes_of(photo) == (note,)

    @pytest.mark.parametrize("values", [RAMP / 7, RAMP * 2, RAMP - 1.0, RAMP * np.nan, RAMP + np.inf])
    def test_floats_that_may_be_anything_are_refused(self, tmp_path, values):
        photo = saved(Image.fromarray(values.astype(np.float32)), tmp_path / "a.tif")
        for found in (reason(read_region, photo), read_facts(photo).problem):
            assert found.startswith("pixels of kind F are not supported (expected floats of 0 to 1 or 0 to 255, got")

    def test_lab(self, tmp_path):
        rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        muted = Image.blend(four_quarters(), Image.new("RGB", (96, 64), "grey"), 0.5)
        image = ImageCms.applyTransform(muted, ImageCms.buildTransform(rgb, lab, "RGB", "LAB"))
        assert close(read_region(saved(image, tmp_path / "a.tif")), muted, tolerance=3)


def deep_colours(path, colours, opacity=65535):
    """Write colours of 16 bits, which Pillow cannot: a TIFF (perhaps compressed) or a PNG (perhaps with alpha)."""
    height, width, _ = colours.shape
    if path.suffix == ".png":
        alpha = "alpha" in path.name
        samples = np.concatenate([colours, np.full((height, width, 1), opacity)], axis=-1) if alpha else colours
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 6 if alpha else 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        ]
        packed = [struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
        return path
    data = colours.astype("<u2").tobytes()
    compression = 1
    if "deflate" in path.name:
        data, compression = zlib.compress(data), 8
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, compression), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 14), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data))]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = struct.pack("<2sHI", b"II", 42, 14 + len(data)) + struct.pack("<HHH", 16, 16, 16)
    path.write_bytes(start + data + struct.pack("<H", len(entries)) + directory + b"\0" * 4)
    return path


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
            ("a.WMV", b"\x30\x26\xb2\x75", ".wmv videos are not read, convert it to .mp4"),
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

    def test_damage_of_a_chunk_is_named_without_marks_of_python(self, tmp_path):
        photo = saved(Image.effect_noise((400, 400), 60), tmp_path / "a.png")
        content = photo.read_bytes()
        photo.write_bytes(content[:50] + content[50:].replace(b"IDAT", b"ID\xabT", 1))
        with pytest.raises(UnreadableError, match=r"damaged file \(broken PNG file \(chunk ID.*T\)\)$"):
            read_region(photo)

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(UnreadableError, match=r"^missing file$"):
            read_size(tmp_path / "a.jpg")
        with pytest.raises(PhotosError, match="a folder, not a file"):
            read_size(tmp_path)

    def test_permission(self, tmp_path, monkeypatch):
        def refuse(*_, **__):
            raise PermissionError

        photo = saved(four_quarters(), tmp_path / "a.jpg")
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(UnreadableError, match=r"^permission denied$"):
            read_size(photo)

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

    def test_corrupt_exif_is_no_warning_but_a_note(self, corrupt_exif):
        assert read_size(corrupt_exif) == (32, 16)
        assert read_region(corrupt_exif).size == (32, 16)
        assert read_facts(corrupt_exif).notes == (
            "EXIF is damaged: its time may be missing, and how the photo is turned",
        )

    def test_other_warnings_are_shown_as_ever(self, tmp_path, monkeypatch):
        def decode(image, file):
            warnings.warn("of somebody else", stacklevel=1)
            return image, None

        monkeypatch.setattr("fscl.pixels.decode", decode)
        with pytest.warns(UserWarning, match="of somebody else"):
            read_facts(saved(four_quarters(), tmp_path / "a.jpg"), decode=True)

    def test_many_threads_leave_the_filters_as_they_were(self, corrupt_exif):
        filters = list(warnings.filters)
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(read_size, [corrupt_exif] * 200)) == {(32, 16)}
        assert list(warnings.filters) == filters

    def test_a_large_photo_is_no_bomb(self, tmp_path):
        photo = tmp_path / "a.png"
        photo.write_bytes(png_header(12_000, 9_000))
        assert read_size(photo) == (12_000, 9_000)
        assert read_facts(photo).notes == ()


class TestFacts:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tif", ".bmp"])
    def test_a_whole_photo_is_not_decoded(self, tmp_path, suffix):
        photo = saved(four_quarters(300, 200), tmp_path / f"a{suffix}")
        facts = read_facts(photo)
        assert (facts.header[:2], facts.decoded, facts.problem) == ((300, 200), False, None)
        assert read_facts(photo, decode=True).decoded

    @pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
    def test_a_photo_cut_off_is_found_by_its_end(self, tmp_path, suffix, fraction):
        photo = saved(Image.effect_noise((200, 160), 60).convert("RGB"), tmp_path / f"a{suffix}")
        content = photo.read_bytes()
        photo.write_bytes(content[: int(len(content) * fraction)])
        found = reason(read_facts, photo) or read_facts(photo).problem
        assert found is not None

    def test_a_photo_whose_end_is_empty_is_found_too(self, tmp_path):
        content = jpeg_bytes()
        for name, end in (("jpg", content[:1500]), ("padded.jpg", content)):
            (tmp_path / f"a.{name}").write_bytes(end + b"\0" * 5000)
        assert read_facts(tmp_path / "a.jpg").problem == "truncated file"
        assert read_facts(tmp_path / "a.padded.jpg").problem is None

    def test_what_a_camera_adds_behind_is_no_damage(self, tmp_path):
        photo = tmp_path / "a.jpg"
        photo.write_bytes(jpeg_bytes() + b"\0" * 500)
        assert not read_facts(photo).decoded
        photo.write_bytes(jpeg_bytes() + b"trailer" * 1000)
        assert read_facts(photo)[2:] == (None, (), True), "decoded to know"

    def test_exif_of_both_directories(self, tmp_path):
        exif = Image.Exif()
        exif[0x0110] = "HC500"
        exif.get_ifd(0x8769)[0x9003] = "2021:05:31 08:25:38"
        found = read_facts(saved(four_quarters(), tmp_path / "a.jpg", exif=exif)).exif
        assert (found[0x0110], found[0x9003]) == ("HC500", "2021:05:31 08:25:38")


class TestLibtiff:
    @pytest.fixture
    def damaged(self, tmp_path):
        """Return a photo that cannot be read, and one that can in part; of both libtiff complains."""
        for name, mode, compression in (("none.tif", "L", "tiff_adobe_deflate"), ("part.tif", "1", "group4")):
            Image.effect_noise((64, 64), 60).convert(mode).save(tmp_path / name, compression=compression)
            content = bytearray((tmp_path / name).read_bytes())
            content[60:90] = b"\xaa" * 30
            (tmp_path / name).write_bytes(content)
        return tmp_path / "none.tif", tmp_path / "part.tif"

    def test_its_complaints_become_reasons_and_notes_and_not_noise(self, damaged, capfd):
        none, part = damaged
        assert "Decode: " in reason(read_region, none)
        assert read_facts(none, decode=True).problem == reason(read_region, none)
        read_region(part)
        [note] = read_facts(part, decode=True).notes
        assert note.startswith("damaged in part: Fax4Decode: ")
        assert capfd.readouterr() == ("", "")

    def test_they_name_no_file_that_nobody_knows(self, tmp_path):
        photo = saved(Image.effect_noise((64, 64), 60), tmp_path / "a.tif", compression="tiff_lzw")
        content = bytearray(photo.read_bytes())
        content[400:440] = b"\xff" * 40
        photo.write_bytes(content)
        assert reason(read_region, photo) == "damaged file (Using code not yet in table)"

    def test_each_thread_gets_its_own(self, damaged, tmp_path):
        good = saved(four_quarters(), tmp_path / "good.tif", compression="tiff_lzw")
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda photo: read_facts(photo, decode=True), [*damaged, good] * 40))
        assert {(facts.problem is None, len(facts.notes)) for facts in found[::3]} == {(False, 0)}
        assert {(facts.problem is None, len(facts.notes)) for facts in found[1::3]} == {(True, 1)}
        assert {(facts.problem is None, len(facts.notes)) for facts in found[2::3]} == {(True, 0)}


class TestBudget:
    def test_threads_never_take_more(self):
        budget, highest = Budget(100), []

        def take(pixels):
            with budget.of(pixels):
                highest.append((budget.taken, pixels))
                time.sleep(0.001)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(take, [30, 60, 250, 10, 100, 45] * 10))
        assert len(highest) == 60
        assert all(taken <= 100 or taken == pixels for taken, pixels in highest)
        assert budget.taken == 0

    def test_a_failure_gives_back(self):
        budget = Budget(100)
        with pytest.raises(ValueError, match="x"), budget.of(70):
            raise ValueError("x")
        assert budget.taken == 0

    @pytest.mark.parametrize("read", ["read_region(photo)", "read_facts(photo, decode=True)"])
    def test_photos_take_their_pixels(self, tmp_path, monkeypatch, read):
        taken = []
        monkeypatch.setattr("fscl.images.PIXELS.of", lambda pixels: taken.append(pixels) or nullcontext())
        for name in ("a.png", "a.jpg", "progressive.jpg"):
            photo = saved(four_quarters(160, 80), tmp_path / name, progressive="progressive" in name)
            eval(read, {"photo": photo, "read_region": read_region, "read_facts": read_facts})
        assert taken == [12800, 12800 if "region" in read else 200, 12800]

    def test_transparent_pixels_of_a_large_photo_need_little_beside_it(self, tmp_path):
        image = Image.new("P", (5000, 5000), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        image.save(tmp_path / "a.png", transparency=0)
        script = (
            "import resource, sys; from pathlib import Path; from fscl.images import read_region\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
            "before = peak(); assert read_region(Path(sys.argv[1])).getpixel((9, 9)) == (10, 20, 30)\n"
            "print(peak() - before)"
        )
        done = subprocess.run([sys.executable, "-c", script, tmp_path / "a.png"], capture_output=True, text=True)
        if "resource" in done.stderr:
            pytest.skip("peaks of memory are not told here")
        assert int(done.stdout) < 250, "MB: 25 of indices, 100 of the result, the rest by strips"


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

    def test_16_bit_pixels_are_no_longer_near_black(self, shared_data):
        photo = shared_data / "awkward" / "16bit.cropped.tif"
        assert np.asarray(read_region(photo)).max() == 694 >> 2
        assert read_facts(photo).notes == ("10 bits in a 16-bit file",)
