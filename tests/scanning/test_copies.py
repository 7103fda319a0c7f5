"""Photos that were seen before: told by content under any name, by name and size only where a hash is missing."""

from shutil import copy, copytree, rmtree

import pandas as pd
import pytest

from fscl.scanning import copies
from fscl.scanning.copies import seen_before
from fscl.scanning.scan import scan


@pytest.fixture
def drawn(draw):
    """Two classes of photos in `a`, each file of a size of its own."""
    root = draw(*(f"a/{name}/{number}.jpg" for name in ("fox", "hare") for number in range(4)))
    for number, photo in enumerate(sorted(root.glob("a/*/*.jpg"))):
        photo.write_bytes(photo.read_bytes() + b"\0" * 1000 * number)
    return root


def seen(photos, before):
    return dict(zip(photos.rows["path"], seen_before(photos, before), strict=True))


def test_byte_copies_under_other_names_are_seen(drawn, draw):
    before = scan(drawn / "a")
    draw("b/fox/new.jpg", "b/hare/new.jpg", size=(60, 40))
    copy(drawn / "a/fox/1.jpg", drawn / "b/hare/IMG_1.JPG")
    assert before.rows["content_hash"].isna().all()
    found = seen(scan(drawn / "b"), before)
    assert found == {"fox/new.jpg": False, "hare/IMG_1.JPG": True, "hare/new.jpg": False}


@pytest.mark.parametrize("side", ["photos", "before", "both"])
def test_photos_in_zips_are_compared(drawn, pack, side):
    copytree(drawn / "a", drawn / "b")
    (drawn / "b/fox/1.jpg").rename(drawn / "b/fox/renamed.jpg")
    (drawn / "b/fox/2.jpg").write_bytes((drawn / "a/fox/2.jpg").read_bytes()[:-1] + b"\1")
    sources = {name: drawn / name for name in "ab"}
    for name, packed in (("a", side != "photos"), ("b", side != "before")):
        if packed:
            sources[name] = pack(drawn / name)
    found = seen(scan(sources["b"]), scan(sources["a"]))
    assert [path for path, was in found.items() if not was] == ["fox/2.jpg"]


def test_new_photos_of_the_same_names_and_sizes_are_new(drawn, draw):
    for season, side in (("s1", 1), ("s2", 2)):
        draw(f"{season}/fox/1.bmp", f"{season}/fox/2.bmp", f"{season}/hare/1.bmp")
        for number, photo in enumerate(sorted((drawn / season).rglob("*.bmp"))):
            content = bytearray(photo.read_bytes())
            content[-3:] = bytes([side, number, 7])
            photo.write_bytes(content)
    first = scan(drawn / "s1")
    assert not any(seen_before(scan(drawn / "s2"), first))
    assert all(seen_before(scan(drawn / "s1"), first))
    rmtree(drawn / "s1")
    assert not any(seen_before(scan(drawn / "s2"), first))  # their hashes are known
    first.rows["content_hash"] = None
    assert all(seen_before(scan(drawn / "s2"), first))  # name and size are all there is


def test_photos_put_in_the_place_of_others_are_new(drawn):
    before = scan(drawn / "a")
    assert all(seen_before(scan(drawn / "a"), before))
    (drawn / "a/fox/1.jpg").write_bytes((drawn / "a/fox/1.jpg").read_bytes() + b"longer than before")
    assert [path for path, was in seen(scan(drawn / "a"), before).items() if not was] == ["fox/1.jpg"]


def test_a_hash_of_what_lies_there_now_is_not_taken_for_that_of_then(drawn):
    before = scan(drawn / "a")
    copytree(drawn / "a", drawn / "b")
    for photo in (drawn / "a").rglob("*.jpg"):
        photo.write_bytes(b"something else")
    assert all(seen_before(scan(drawn / "b"), before))  # the same names and sizes, and nothing to compare
    (drawn / "b/fox/1.jpg").rename(drawn / "b/fox/renamed.jpg")
    assert not seen(scan(drawn / "b"), before)["fox/renamed.jpg"]


def test_photos_are_told_where_they_lie_whatever_the_root(drawn):
    before = scan(drawn / "a")
    (drawn / "t.csv").write_text("file,label\na/fox/1.jpg,fox\na/hare/2.jpg,hare\n")
    assert all(seen_before(scan(drawn / "t.csv"), before))


def test_sizes_that_no_scan_has_asked_for_are_asked_of_the_files(drawn):
    unknown = scan(drawn / "a")
    unknown.rows["bytes"] = pd.NA
    copytree(drawn / "a", drawn / "b")
    (drawn / "b/fox/1.jpg").rename(drawn / "b/fox/renamed.jpg")
    assert all(seen_before(scan(drawn / "b"), unknown))


def test_only_files_of_a_size_on_both_sides_are_read(drawn, monkeypatch):
    read = []
    real = copies.hashes
    monkeypatch.setattr(copies, "hashes", lambda photos, paths: (read.extend(paths), real(photos, paths))[1])
    before = scan(drawn / "a")
    assert all(seen_before(scan(drawn / "a"), before))
    assert read == []  # nothing tells more of a file that stays where it was
    (drawn / "b/fox").mkdir(parents=True)
    copy(drawn / "a/fox/2.jpg", drawn / "b/fox/new.jpg")
    assert seen_before(scan(drawn / "b"), before) == [True]
    assert read == ["fox/2.jpg", "fox/new.jpg"]
