import io
import multiprocessing
import os
import random
import stat
import struct
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscl import archives
from fscl.archives import ArchiveError, is_archive, members, open_binary, size

NOISE = random.Random(0).randbytes(200_000)  # does not pack
ENCRYPTED, UTF8 = 0x1, 0x800


@pytest.fixture
def archive(tmp_path):
    with ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("fox/1.jpg", b"fox one", ZIP_DEFLATED)
        packed.writestr("fox/2.jpg", NOISE, ZIP_DEFLATED)
        packed.writestr("hare/1.jpg", NOISE, ZIP_STORED)
    return tmp_path / "a.zip"


def read(path):
    with open_binary(path) as file:
        return file.read()


def altered(path, old, new, at=1):
    """Overwrite the `at`-th place that holds `old`."""
    content = bytearray(path.read_bytes())
    place = -1
    for _ in range(at):
        place = content.index(old, place + 1)
    content[place : place + len(new)] = new
    path.write_bytes(content)


def forged(path, name="fox/1.jpg", **fields):
    """Change what the central directory says of a member: `flags`, `method`, `crc`, `packed`, `size`, `offset`."""
    layout = {"flags": (8, "<H"), "method": (10, "<H"), "crc": (16, "<I"), "packed": (20, "<I"), "size": (24, "<I")}
    layout["offset"] = (42, "<I")
    content = bytearray(path.read_bytes())
    entry = content.rindex(name.encode()) - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    for field, value in fields.items():
        place, form = layout[field]
        struct.pack_into(form, content, entry + place, value)
    path.write_bytes(content)


class TestReading:
    def test_files_and_members_alike(self, archive, tmp_path):
        (tmp_path / "b.jpg").write_bytes(b"loose")
        assert (read(tmp_path / "b.jpg"), size(tmp_path / "b.jpg")) == (b"loose", 5)
        assert (read(archive / "fox/1.jpg"), size(archive / "fox/1.jpg")) == (b"fox one", 7)
        assert read(archive / "fox/2.jpg") == read(archive / "hare/1.jpg") == NOISE
        assert [*members(archive)] == [("fox/1.jpg", None), ("fox/2.jpg", None), ("hare/1.jpg", None)]

    @pytest.mark.parametrize("name", ["fox/2.jpg", "hare/1.jpg"])
    def test_seeking(self, archive, name):
        with open_binary(archive / name) as file:
            assert file.read(10) == NOISE[:10]
            assert file.seek(150_000) == 150_000
            assert file.read(10) == NOISE[150_000:150_010]
            file.seek(-5, os.SEEK_END)
            assert file.read() == NOISE[-5:]
            file.seek(3)
            file.seek(2, os.SEEK_CUR)
            assert (file.read(4), file.tell()) == (NOISE[5:9], 9)
            file.seek(10, os.SEEK_END)
            assert file.read() == b""
            with pytest.raises((ValueError, OSError)):
                file.seek(-1)

    def test_no_more_is_unpacked_than_is_read(self, archive, monkeypatch):
        unpacked = []
        given = zipfile.ZipExtFile.read
        monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n: unpacked.append(n) or given(self, n))
        with open_binary(archive / "fox/2.jpg") as file:
            file.read(100)
            file.seek(0)
            file.read(200)
        assert sum(unpacked) == io.DEFAULT_BUFFER_SIZE

    def test_the_case_of_the_suffix_does_not_count(self, archive, tmp_path):
        archive.rename(tmp_path / "A.ZIP")
        assert is_archive(tmp_path / "A.ZIP")
        assert read(tmp_path / "A.ZIP" / "fox/1.jpg") == b"fox one"

    def test_a_folder_may_be_called_like_an_archive(self, archive, tmp_path):
        folder = tmp_path / "b.zip"
        folder.mkdir()
        archive.rename(folder / "inner.zip")
        (folder / "c.jpg").write_bytes(b"loose")
        assert not is_archive(folder)
        assert read(folder / "c.jpg") == b"loose"
        assert read(folder / "inner.zip" / "fox/1.jpg") == b"fox one"

    def test_what_is_not_there(self, archive, tmp_path):
        for path in (
            archive / "fox/9.jpg",
            archive / "fox",
            tmp_path / "none.zip" / "1.jpg",
            archive / "b.zip/1.jpg",
        ):
            for ask in (read, size):
                with pytest.raises(FileNotFoundError):
                    ask(path)

    def test_the_last_of_one_name_counts(self, archive):
        with ZipFile(archive, "a") as packed, pytest.warns(UserWarning, match="Duplicate"):
            packed.writestr("fox/1.jpg", b"newer")
        assert read(archive / "fox/1.jpg") == b"newer"
        assert len([*members(archive)]) == 3


class TestNames:
    def packed(self, tmp_path, stored, flags=0):
        """An archive with a member whose name is the given bytes, with or without the UTF-8 flag."""
        with ZipFile(tmp_path / "a.zip", "w") as packed:
            info = ZipInfo("x" * len(stored))
            packed.writestr(info, b"content")
        content = (tmp_path / "a.zip").read_bytes().replace(b"x" * len(stored), stored)
        (tmp_path / "a.zip").write_bytes(content)
        forged_flags = bytearray(content)
        struct.pack_into("<H", forged_flags, content.index(b"PK\x01\x02") + 8, flags)
        (tmp_path / "a.zip").write_bytes(forged_flags)
        return tmp_path / "a.zip"

    @pytest.mark.parametrize(
        ("name", "encoding", "flags"),
        [
            ("고라니/뷁.jpg", "utf-8", UTF8),
            ("고라니/뷁.jpg", "utf-8", 0),
            ("고라니/뷁.jpg", "cp949", 0),
            (unicodedata.normalize("NFD", "고라니/1.jpg"), "utf-8", 0),
            ("café.jpg", "cp437", 0),
            ("fox/1.jpg", "ascii", 0),
        ],
    )
    def test_are_decoded(self, tmp_path, name, encoding, flags):
        archive = self.packed(tmp_path, name.encode(encoding), flags)
        assert [*members(archive)] == [(name, None)]
        assert read(archive / name) == b"content"

    @pytest.mark.parametrize(
        ("stored", "name"), [(b"fox\\1.jpg", "fox/1.jpg"), (b"./fox//1.jpg", "fox/1.jpg"), (b"a.jpg\0.exe", "a.jpg")]
    )
    def test_are_brought_into_form(self, tmp_path, stored, name):
        archive = self.packed(tmp_path, stored)
        assert [*members(archive)] == [(name, None)]
        assert read(archive / name) == b"content"

    @pytest.mark.parametrize(
        ("stored", "name"),
        [
            (b"../fox/1.jpg", "(outside)/fox/1.jpg"),
            (b"fox/../../../etc/1.jpg", "(outside)/fox/etc/1.jpg"),
            (b"..\\1.jpg", "(outside)/1.jpg"),
            (b"/etc/1.jpg", "(outside)/etc/1.jpg"),
            (b"C:\\photos\\1.jpg", "(outside)/photos/1.jpg"),
            (b"c:1.jpg", "(outside)/1.jpg"),
        ],
    )
    def test_that_lead_out_of_the_archive_are_not_followed(self, tmp_path, stored, name):
        archive = self.packed(tmp_path, stored)
        assert [*members(archive)] == [(name, "its name leads out of its zip")]
        with pytest.raises(ArchiveError, match="leads out"):
            open_binary(archive / name)
        with pytest.raises(FileNotFoundError):
            open_binary(archive / stored.decode().replace("\\", "/").lstrip("/"))

    def test_folders_are_no_members(self, tmp_path):
        with ZipFile(tmp_path / "a.zip", "w") as packed:
            packed.mkdir("fox")
            packed.writestr("fox/1.jpg", b"")
        assert [*members(tmp_path / "a.zip")] == [("fox/1.jpg", None)]


class TestRefused:
    def test_links(self, tmp_path):
        with ZipFile(tmp_path / "a.zip", "w") as packed:
            link = ZipInfo("fox/1.jpg")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            packed.writestr(link, "/etc/passwd")
        with pytest.raises(ArchiveError, match=r"^a link in its zip$"):
            open_binary(tmp_path / "a.zip" / "fox/1.jpg")

    def test_other_methods_of_packing(self, tmp_path):
        with ZipFile(tmp_path / "a.zip", "w") as packed:
            packed.writestr("fox/1.jpg", b"0" * 9999, ZIP_BZIP2)
        with pytest.raises(ArchiveError, match=r"^not packed by deflate in its zip$"):
            size(tmp_path / "a.zip" / "fox/1.jpg")

    @pytest.mark.parametrize(
        ("declared", "reason"),
        [
            ({"flags": ENCRYPTED}, "encrypted in its zip"),
            ({"size": 600 * 2**20}, r"more than 512 MiB in its zip \(zip bomb\?\)"),
            ({"size": 100 * 2**20}, r"packed more than 200:1 in its zip \(zip bomb\?\)"),
        ],
    )
    def test_what_the_archive_declares(self, archive, declared, reason):
        forged(archive, **declared)
        assert [name for name, _ in members(archive)] == ["fox/1.jpg", "fox/2.jpg", "hare/1.jpg"]
        for ask in (open_binary, size):
            with pytest.raises(ArchiveError, match=f"^{reason}$"):
                ask(archive / "fox/1.jpg")
        assert read(archive / "fox/2.jpg") == NOISE

    def test_of_little_however_well_it_packs_are_read(self, tmp_path):
        with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as packed:
            packed.writestr("fox/1.jpg", bytes(1_000_000))  # 1000:1
        assert read(tmp_path / "a.zip" / "fox/1.jpg") == bytes(1_000_000)

    def test_a_bomb_that_declares_little_yields_no_more_than_that(self, tmp_path):
        with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as packed:
            packed.writestr("fox/1.jpg", bytes(50_000_000))
        forged(tmp_path / "a.zip", size=1000)
        with open_binary(tmp_path / "a.zip" / "fox/1.jpg") as file:
            raw = file.raw
            with pytest.raises(ArchiveError, match="damaged"):
                file.read()
            assert len(raw._content) <= 1000


class TestDamage:
    @pytest.mark.parametrize("name", ["fox/2.jpg", "hare/1.jpg"])
    def test_of_a_member_is_told_when_it_is_read_to_the_end(self, archive, name):
        with ZipFile(archive) as packed:
            start = packed.getinfo(name).header_offset
        content = bytearray(archive.read_bytes())
        content[start + 100_000] ^= 1
        archive.write_bytes(content)
        assert size(archive / name) == len(NOISE)
        with pytest.raises(ArchiveError, match=r"^damaged in its zip$"):
            read(archive / name)
        assert read(archive / "fox/1.jpg") == b"fox one"

    @pytest.mark.parametrize(
        "declared", [{"crc": 1}, {"size": 6}, {"offset": 10}, {"offset": 10**9}, {"packed": 3}, {"method": 0}]
    )
    def test_of_what_is_declared(self, archive, declared):
        forged(archive, **declared)
        with pytest.raises(ArchiveError, match=r"^damaged in its zip$"):
            read(archive / "fox/1.jpg")

    @pytest.mark.parametrize("length", [0, 10, 100_000, -10])
    def test_of_the_archive(self, archive, length):
        archive.write_bytes(archive.read_bytes()[:length])
        for ask in (lambda: [*members(archive)], lambda: open_binary(archive / "fox/1.jpg")):
            with pytest.raises(ArchiveError, match=r"a\.zip: expected a whole zip archive, got a damaged one"):
                ask()

    def test_is_told_once_looked_for(self, archive, monkeypatch):
        archive.write_bytes(b"nothing")
        opened = []
        monkeypatch.setattr(archives, "ZipFile", lambda file: opened.append(file) or ZipFile(file))
        for _ in range(3):
            with pytest.raises(ArchiveError):
                size(archive / "fox/1.jpg")
        assert len(opened) == 1

    @given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
    def test_anywhere_is_a_clear_error(self, tmp_path_factory, changes, at_the_end):
        archive = tmp_path_factory.mktemp("fuzz") / "a.zip"
        with ZipFile(archive, "w", ZIP_DEFLATED) as packed:
            for i in range(3):
                packed.writestr(f"fox/{i}.jpg", NOISE[: 50 * i])
        content = bytearray(archive.read_bytes())
        for place, byte in changes:
            start = content.index(b"PK\x01\x02") if at_the_end and b"PK\x01\x02" in content else 0
            content[start + int(place * (len(content) - start))] = byte
        archive.write_bytes(content)
        try:
            for name, _ in [*members(archive)]:
                try:
                    read(archive / name)
                except ArchiveError:
                    continue
        except ArchiveError:
            pass


class TestListing:
    @pytest.fixture
    def opened(self, monkeypatch):
        """The archives that were listed."""
        names = []
        monkeypatch.setattr(archives, "ZipFile", lambda file: names.append(file.name) or ZipFile(file))
        return names

    def test_is_made_once_by_many_threads(self, archive, opened):
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(lambda _: read(archive / "fox/1.jpg"), range(200))) == {b"fox one"}
        assert opened == [str(archive)]

    def test_is_made_anew_for_a_changed_archive(self, archive, opened):
        assert size(archive / "fox/1.jpg") == 7
        with ZipFile(archive, "w") as packed:
            packed.writestr("fox/1.jpg", b"another fox")
        assert size(archive / "fox/1.jpg") == 11
        assert len(opened) == 2

    def test_is_made_anew_for_an_archive_of_the_same_size(self, archive, opened):
        assert read(archive / "fox/1.jpg") == b"fox one"
        found = archive.stat()
        altered(archive, b"fox/1.jpg", b"fox/7.jpg")
        altered(archive, b"fox/1.jpg", b"fox/7.jpg")
        os.utime(archive, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))
        assert archive.stat().st_size == found.st_size
        assert next(name for name, _ in members(archive)) == "fox/7.jpg"

    @pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here")
    def test_forked_processes_inherit_it_and_read_without_disturbing_each_other(self, archive, opened):
        with open_binary(archive / "fox/2.jpg") as half_read:
            half_read.read(10)
            with multiprocessing.get_context("fork").Pool(2) as processes:
                found = processes.map(_read_and_count, [(archive, opened)] * 20)
            assert half_read.read(10) == NOISE[10:20]
        assert found == [1] * 20

    def test_of_many_members_is_quick_to_look_up(self, tmp_path):
        with ZipFile(tmp_path / "a.zip", "w") as packed:
            for i in range(3000):
                packed.writestr(f"fox/{i}.jpg", b"")
        listing = archives._listing(str(tmp_path / "a.zip"))
        assert len(listing) == 3000
        assert archives._listing(str(tmp_path / "a.zip")) is listing


def _read_and_count(given):
    archive, opened = given
    assert read(archive / "fox/2.jpg") == read(archive / "hare/1.jpg") == NOISE
    return len(opened)


def test_real_photos(shared_data):
    archive = shared_data / "cifar10.zip"
    names = [name for name, problem in members(archive) if problem is None]
    assert len(names) == 60_000
    with ZipFile(archive) as packed:
        for name in names[::6000]:
            assert read(archive / name) == packed.read(name)


@pytest.mark.parametrize("nameless", ["", ".", "./", "C:", "\0.jpg"])
def test_a_member_without_a_name_is_listed_and_not_read(tmp_path, nameless):
    member = ZipInfo("x")
    with ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("fox/1.jpg", b"fox")
        member.filename = nameless  # which ZipInfo itself would change
        packed.writestr(member, b"?")
    listed = dict(members(tmp_path / "a.zip"))
    if nameless.endswith("/"):
        assert listed == {"fox/1.jpg": None}
        return
    assert listed == {"fox/1.jpg": None, "(no name)": "it has no name in its zip"}
    with pytest.raises(ArchiveError, match="it has no name in its zip"):
        open_binary(tmp_path / "a.zip" / "(no name)")


def test_a_path_that_no_file_can_have_is_of_no_file(tmp_path):
    for look in (size, open_binary):
        with pytest.raises(FileNotFoundError):
            look(tmp_path / "a\0b.jpg")


@pytest.mark.parametrize("on_windows", [False, True])
def test_a_photo_in_a_zip_or_video_that_is_replaced_has_another_version(archive, monkeypatch, on_windows):
    inner = Path.stat

    def stat_of_windows(path, **given):
        try:
            return inner(path, **given)
        except NotADirectoryError as error:  # a path through a file, which Windows says does not exist
            raise FileNotFoundError(*error.args) from None

    if on_windows:
        monkeypatch.setattr(Path, "stat", stat_of_windows)
    clip = archive.with_name("clip.mp4")
    clip.write_bytes(NOISE)
    for file, photo in ((archive, archive / "fox/1.jpg"), (clip, clip / "frame000025.jpg")):
        before = archives.photo_version(photo)
        assert before == (file.stat().st_size, file.stat().st_mtime_ns)
        file.write_bytes(file.read_bytes() + b"another")
        assert archives.photo_version(photo)[0] == before[0] + 7
    for gone in ("gone.jpg", "gone/a.jpg", "gone.zip/a.jpg", "gone.mp4/frame000025.jpg", "a\0b.jpg"):
        assert archives.photo_version(archive.with_name("x") / gone) == (-1, -1)
