"""Members of zip archives: which are read, and each as a stream, unpacked as far as it is read."""

import io
import os
import stat
import struct
import zlib
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipExtFile, ZipInfo

from fscl.errors import ArchiveError

# Of the zip format (PKWARE's APPNOTE 6.3, 4.3.7 and 4.4.4).
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, …, bytes of the name and of the extra field that follow
SIGNATURE = b"PK\x03\x04"
ENCRYPTED = 0x0001  # 4.4.4

MAX_BYTES = 512 * 2**20  # of a member, unpacked: the largest photo that `images` takes, uncompressed in RGB
MAX_RATIO = 200  # unpacked : packed, of members from LARGE_BYTES on; photos are below 10, zip bombs near 1000
LARGE_BYTES = 64 * 2**20

# How zipfile tells of damage.
DAMAGES = (BadZipFile, EOFError, NotImplementedError, ValueError, struct.error, zlib.error)


def why_not_read(info: ZipInfo) -> str | None:
    """Say why a member is not read, judged by what the archive declares; None where it is."""
    if info.flag_bits & ENCRYPTED:
        return "encrypted in its zip"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link in its zip"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # the others may unpack any amount at once
        return "not packed by deflate in its zip"
    if info.file_size > MAX_BYTES:
        return f"more than {MAX_BYTES // 2**20} MiB in its zip (zip bomb?)"
    if info.file_size > max(LARGE_BYTES, MAX_RATIO * info.compress_size):
        return f"packed more than {MAX_RATIO}:1 in its zip (zip bomb?)"
    return None


def open_member(archive: str, info: ZipInfo) -> io.BufferedReader:
    """Open a member to read and seek in, behind a file handle of its own.

    Raises:
        ArchiveError: it is damaged; also while reading.
        OSError: the archive may not be opened.
    """
    return io.BufferedReader(_Unpacked(_packed(archive, info), info.file_size))


class _Unpacked(io.RawIOBase):
    """A member as a stream. What is unpacked is kept until it is closed, so that seeking back is free."""

    def __init__(self, packed: ZipExtFile, size: int) -> None:
        self._packed = packed
        self._size = size
        self._content = bytearray()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"expected a place in the file, got {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        end = self._position + len(buffer)
        if end > len(self._content):
            try:
                # No more than the declared size, whatever there is; at the end the checksum is compared.
                self._content += self._packed.read(end - len(self._content))
            except DAMAGES as error:
                raise ArchiveError("damaged in its zip") from error
        content = self._content[self._position : end]
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._packed.close()
        super().close()


def _packed(archive: str, info: ZipInfo) -> ZipExtFile:
    """A member behind a handle of its own, which `ZipFile.open` does not give."""
    file = open(archive, "rb")  # noqa: PTH123, SIM115 - closed by the ZipExtFile
    try:
        file.seek(info.header_offset)
        signature, name_bytes, extra_bytes = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        if signature != SIGNATURE:
            raise BadZipFile("no member where the archive says")
        file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
        return ZipExtFile(file, "r", info, None, close_fileobj=True)
    except (OSError, *DAMAGES) as error:  # of the system, where a place before the start is sought
        file.close()
        raise ArchiveError("damaged in its zip") from error
