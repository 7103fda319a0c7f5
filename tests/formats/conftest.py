"""Photos to read: small, real files."""

from pathlib import Path

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
