"""Names of files in zips: in UTF-8 where they say so, else in the code page that suits all of an archive best."""

import codecs
import re
import struct
import zlib
from collections.abc import Iterable
from zipfile import ZipInfo

from fscl.code_pages import guess
from fscl.errors import ConfigurationError, did_you_mean

# How usual each code page is for names that do not say theirs: Windows packs them in those of DOS.
GUESSED = {
    **{"cp949": 1.0, "cp932": 1.0, "cp850": 1.0, "cp437": 1.0, "cp865": 1.0, "gbk": 0.5, "big5": 0.5, "cp852": 0.3},
    **{"cp866": 0.3, "cp857": 0.1, "cp737": 0.1, "cp1252": 0.05, "cp1251": 0.05, "cp775": 0.03, "cp1250": 0.02},
    **{"cp1253": 0.01, "cp1254": 0.01, "cp1257": 0.001},
}
ON_REQUEST = (
    *("utf-8", "cp858", "cp860", "cp861", "cp862", "cp863", "cp864", "cp869", "cp874", "cp1255", "cp1256", "cp1258"),
    *("gb18030", "euc_kr", "johab", "shift_jis", "euc_jp", "koi8-r", "koi8-u", "iso8859-1", "iso8859-2", "mac-roman"),
)
CODE_PAGES = (*GUESSED, *ON_REQUEST)

# Of the zip format (PKWARE's APPNOTE 6.3, 4.4.4 and 4.6.9).
UTF8_FLAG = 0x0800
UNICODE_PATH = 0x7075  # an extra field: the name in UTF-8, beside that of a code page
EXTRA_FIELD, UNICODE_PATH_START = struct.Struct("<HH"), struct.Struct("<BL")

DRIVE = re.compile(r"^[A-Za-z]:")
NAMELESS = "(no name)"  # the member under which those are listed that have none
OUTSIDE = "(outside)"  # the folder under which members are listed whose names lead out of the archive

UTF8_OF_THREE = re.compile(rb"[\xe0-\xef][\x80-\xbf]{2}")


def known_code_page(name: str) -> str:
    """Return a code page of `CODE_PAGES` by any name that Python has for it.

    Raises:
        ConfigurationError: an unknown one.

    >>> known_code_page("UTF8"), known_code_page("ms949")
    ('utf-8', 'cp949')
    """
    try:
        code_page = codecs.lookup(name).name
    except (LookupError, ValueError):
        code_page = name
    if code_page not in CODE_PAGES:
        raise ConfigurationError(f"unknown code page '{name}'{did_you_mean(name, CODE_PAGES)}")
    return code_page


def says_its_encoding(info: ZipInfo) -> bool:
    """Tell whether the name of a member has one form only: in ASCII, or in UTF-8 and said so."""
    return _unsaid(info) is None


def guessed_code_page(infos: Iterable[ZipInfo]) -> str | None:
    """Return the code page that suits the names of an archive best; None where all are in UTF-8 or say theirs."""
    names = [name for name in map(_unsaid, infos) if name is not None]
    if all(map(_is_utf8, names)):
        return None
    # Each folder once, however many photos it holds; a byte of / is never half a letter.
    best = guess((part for name in names for part in name.split(b"/")), GUESSED)
    return None if best is None else best.code_page


def decoded(info: ZipInfo, guessed: str | None, asked_for: str | None = None) -> str:
    """Return the name of a member, with forward slashes.

    Args:
        info: of the member.
        guessed: the code page of the archive, for a name that does not say its own and is not in UTF-8.
        asked_for: the code page of all names that do not say their own, in place of a guess.

    Raises:
        UnicodeDecodeError: a name that is not in the code page asked for.
    """
    stored = _unsaid(info)
    if stored is None:
        name = _unicode_path(info) or info.orig_filename.partition("\0")[0]
    elif asked_for is not None:
        name = stored.decode(asked_for)
    elif guessed is None or (UTF8_OF_THREE.search(stored) and _is_utf8(stored)):
        # An archive may come from several systems. Three bytes a letter are hardly met by chance.
        name = stored.decode("utf-8")
    else:
        name = stored.decode(guessed)
    return name.replace("\\", "/")


def _unsaid(info: ZipInfo) -> bytes | None:
    """The bytes of a name that does not say its encoding and needs one."""
    name = info.orig_filename.partition("\0")[0]
    if name.isascii() or info.flag_bits & UTF8_FLAG or _unicode_path(info) is not None:
        return None
    return name.encode("cp437")  # as zipfile has read it


def _unicode_path(info: ZipInfo) -> str | None:
    """The name in UTF-8 that packers like WinZip write beside the other, if it is still of that one."""
    extra = info.extra
    while len(extra) >= EXTRA_FIELD.size:
        kind, length = EXTRA_FIELD.unpack_from(extra)
        field, extra = extra[EXTRA_FIELD.size : EXTRA_FIELD.size + length], extra[EXTRA_FIELD.size + length :]
        if kind == UNICODE_PATH and len(field) > UNICODE_PATH_START.size:
            version, checksum = UNICODE_PATH_START.unpack_from(field)
            name = field[UNICODE_PATH_START.size :]
            of_this = checksum == zlib.crc32(info.orig_filename.encode("cp437", "replace"))
            if version == 1 and of_this and _is_utf8(name):
                return name.decode().partition("\0")[0]
    return None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def safe(name: str) -> tuple[str, bool]:
    """Return the name as a relative path, and whether it would lead out of the archive."""
    relative = DRIVE.sub("", name).lstrip("/")
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if not any(part != ".." for part in parts):
        return NAMELESS, False
    if relative == name and ".." not in parts:
        return "/".join(parts), False
    return "/".join([OUTSIDE, *(part for part in parts if part != "..")]), True
