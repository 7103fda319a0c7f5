import struct
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from zipfile import ZipFile, ZipInfo

import pytest

from fscl import archives
from fscl.archives import ArchiveError, members, open_binary
from fscl.errors import ConfigurationError
from fscl.zip_names import CODE_PAGES


class Unflagged(ZipInfo):
    """A name in a code page, without the UTF-8 flag."""

    code_page: str

    def _encodeFilenameFlags(self):
        return self.filename.encode(self.code_page), self.flag_bits


@pytest.fixture
def pack(tmp_path):
    def write(*parts, name="a.zip", extra=b""):
        """Pack a photo for each name of the parts (names, code page); without one names are in UTF-8 and flagged."""
        with ZipFile(tmp_path / name, "w") as packed:
            for photo, code_page in ((photo, code_page) for names, code_page in parts for photo in names):
                info = ZipInfo(photo) if code_page is None else Unflagged(photo)
                info.extra = extra
                if code_page is not None:
                    info.code_page = code_page
                packed.writestr(info, photo.encode())
        return tmp_path / name

    return write


def names(archive, code_page=None):
    return [name for name, _ in members(archive, code_page)]


def read(path):
    with open_binary(path) as file:
        return file.read().decode()


GERMAN = ["Füchse/1.jpg", "Rehe/1.jpg", "Mäuse/1.jpg", "Störche/1.jpg"]
POLISH = ["łoś/1.jpg", "żubr/1.jpg"]
KOREAN = ["고라니/1.jpg", "노루/1.jpg"]
JAPANESE = ["鹿/1.jpg", "狐/1.jpg", "表ソ/1.jpg"]  # whose last bytes are those of a backslash


@pytest.mark.parametrize(
    ("photos", "code_page"),
    [
        (GERMAN, "cp437"),
        (GERMAN, "cp850"),
        (GERMAN, "utf-8"),
        (["écureuil/1.jpg", "hérisson/1.jpg"], "cp850"),
        (["corzo/1.jpg", "jabalí/1.jpg"], "cp850"),
        (POLISH, "cp852"),
        (KOREAN, "cp949"),
        (KOREAN, "utf-8"),
        (JAPANESE, "cp932"),
    ],
)
def test_names_without_flag_are_read_as_they_were_written(pack, photos, code_page):
    archive = pack((photos, code_page))
    assert names(archive) == photos
    assert [read(archive / name) for name in photos] == photos
    assert (archives.code_page(archive) is None) == (code_page == "utf-8")


def test_all_names_of_an_archive_are_judged_together(pack):
    assert names(pack((["jeleń/1.jpg"], "cp852"), name="one.zip")) != [
        "jeleń/1.jpg"
    ]  # a letter alone says too little
    photos = ["jeleń/1.jpg", "łoś/1.jpg", "żubr/1.jpg"]
    archive = pack((photos, "cp852"))
    assert names(archive) == photos
    assert archives.code_page(archive) == "cp852"


def test_names_that_say_their_encoding_are_not_guessed(pack):
    # The last is not flagged, but of three bytes a letter.
    archive = pack((["żubr/1.jpg"], None), (GERMAN, "cp850"), (["고라니/2.jpg"], "utf-8"))
    assert names(archive) == ["żubr/1.jpg", *GERMAN, "고라니/2.jpg"]
    assert names(archive, "cp850")[1:-1] == GERMAN


def unicode_path(stored, name):
    field = struct.pack("<BL", 1, zlib.crc32(stored)) + name.encode()
    return struct.pack("<HH", 0x7075, len(field)) + field


def test_the_name_in_utf8_beside_that_of_the_code_page_counts(pack):
    archive = pack((["jelen/1.jpg"], "cp437"), extra=unicode_path(b"jelen/1.jpg", "jeleń/1.jpg"))
    other = pack((["jelen/1.jpg"], "cp437"), name="b.zip", extra=unicode_path(b"renamed/1.jpg", "jeleń/1.jpg"))
    broken = pack((["jelen/1.jpg"], "cp437"), name="c.zip", extra=struct.pack("<HH", 0x7075, 1) + b"\1")
    assert [names(each) for each in (archive, other, broken)] == [["jeleń/1.jpg"], ["jelen/1.jpg"], ["jelen/1.jpg"]]


class TestAskedFor:
    @pytest.mark.parametrize("code_page", ["cp852", "CP852", "852"])
    def test_by_the_names_that_python_has(self, pack, code_page):
        assert names(pack((["jeleń/1.jpg"], "cp852")), code_page) == ["jeleń/1.jpg"]

    @pytest.mark.parametrize("name", ["jeleń/1.jpg", "jeleä/1.jpg", "jeleõ/1.jpg"])
    def test_members_are_found_under_their_names_in_any_in_any_process(self, pack, name):
        archive = pack((["jeleń/1.jpg"], "cp852"))
        assert read(archive / name) == "jeleń/1.jpg"
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
            assert processes.submit(read, archive / name).result() == "jeleń/1.jpg"

    def test_names_that_are_not_in_it(self, pack):
        with pytest.raises(ArchiveError, match=r"a\.zip: its names are not in cp932 .*--zip-encoding"):
            names(pack((["łoś.jpg"], "cp852")), "cp932")

    def test_names_that_another_file_has_in_the_best(self, pack):
        photos = [f"{animal}/1.jpg" for animal in ("żubr", "łoś", "ryś", "bóbr", "zając", "łasica", "jeleń")]
        with pytest.warns(UserWarning, match="Duplicate"):
            archive = pack((photos, "cp852"), (["jeleń/1.jpg"], "iso8859-2"))
        assert names(archive)[:-1] == photos
        with pytest.raises(ArchiveError, match="in iso8859-2 its files are called like others in another"):
            names(archive, "iso8859-2")

    @pytest.mark.parametrize(
        ("name", "hint"), [("cp8500", "did you mean 'cp850'"), ("rot13", "choose from|did you mean")]
    )
    def test_an_unknown_one(self, pack, name, hint):
        with pytest.raises(ConfigurationError, match=rf"unknown code page '{name}'.*{hint}"):
            names(pack((GERMAN, "cp850")), name)


def test_python_knows_all_code_pages_by_these_names():
    assert all(archives.known_code_page(name) == name for name in CODE_PAGES)
