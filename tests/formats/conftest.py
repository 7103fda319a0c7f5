"""Photos to read: small, real files, loose or packed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest
from PIL import Image


@pytest.fixture
def draw(tmp_path):
    """Return a function that writes photos of different colours below `tmp_path`, and returns it."""
    written = 0

    def write(*paths: str, size: tuple[int, int] = (12, 8), **options: object) -> Path:
        nonlocal written
        for path in paths:
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            written += 1
            Image.new("RGB", size, (written * 37 % 256, written * 59 % 256, written % 256)).save(target, **options)
        return tmp_path

    return write


class _KoreanWindows(ZipInfo):
    """A name in cp949 and no flag that says so."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode("cp949"), self.flag_bits


@pytest.fixture
def pack() -> Callable[..., Path]:
    """Return a function that packs a folder into a zip of its name beside it, and returns that."""

    def write(folder: Path, *, below: str = "", korean_windows: bool = False, keep: bool = False) -> Path:
        """Pack the files; their names begin with `below`. The folder goes, unless it is to be kept."""
        kind = _KoreanWindows if korean_windows else ZipInfo
        archive = folder.with_name(f"{folder.name}.zip")
        with ZipFile(archive, "w") as packed:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                packed.writestr(kind(below + file.relative_to(folder).as_posix()), file.read_bytes())
        if not keep:
            shutil.rmtree(folder)
        return archive

    return write
