"""Photos as a command opens them: with a progress bar, and a few lines on what is wrong with them."""

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from fscl import formats
from fscl.formats import manifest_file
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.manifest.groups import By
from fscl.manifest.splits import has_split
from fscl.manifest.table import Manifest
from fscl.printable import printable
from fscl.scanning import sequences
from fscl.scanning.near_duplicates import near_duplicates
from fscl.scanning.scan import scan
from fscl.scanning.sequences import GAP_S
from fscl.scanning.summary import Verify, in_short


def open_photos(source: Path, reading: Reading = NOTHING_SAID, *, gap_s: float | None = None) -> Manifest:
    """Open a manifest, or scan another source on the fly; stderr has a bar, and what is wrong in a few lines.

    Args:
        source: a manifest, or photos in any format.
        reading: what the user says of the source; a manifest needs nothing.
        gap_s: as of `scan`; of a manifest whose sequences are made of times they are made anew, unless it is None.

    Raises:
        PhotosError: as `scan`; a gap for a manifest whose sequences are not made of times.
        ConfigurationError: as `scan`.
    """
    scanned = not manifest_file.recognises(source)
    if scanned:
        photos = scan_with_bar(source, reading=reading, gap_s=GAP_S if gap_s is None else gap_s)
    else:
        photos = formats.read(source, reading)
        if gap_s is not None:
            photos = Manifest(sequences.regrouped(photos.rows, gap_s), photos.root)
    for line in in_short(photos, source, scanned=scanned):
        print(printable(line), file=sys.stderr)
    return photos


def with_near_duplicates(divided: Manifest, target: Path) -> list[str]:
    """Look for near-duplicates across a split, with a bar; write them beside its manifest and say what was found."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task("comparing photos", total=None)
        found = near_duplicates(divided, lambda done, total: bar.update(task, completed=done, total=total))
    file = target.with_name(f"{target.stem}.near_duplicates.csv")
    found.write(file)
    return found.lines(file)


def scan_with_bar(
    source: Path,
    *,
    verify: Verify = "header",
    class_map: Path | None = None,
    reading: Reading = NOTHING_SAID,
    gap_s: float = GAP_S,
) -> Manifest:
    """Scan with a progress bar on stderr, where that is a terminal."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task("looking at photos", total=None)
        return scan(
            source,
            verify=verify,
            class_map=class_map,
            reading=reading,
            gap_s=gap_s,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def say_untimed(photos: Manifest, source: Path, by: By | None) -> None:
    """Say, where a split is about to be drawn, which photos it may part from others of their burst."""
    if not (manifest_file.recognises(source) and has_split(photos.rows)):
        for note in untimed_notes(photos, by):
            print(printable(note), file=sys.stderr)


def untimed_notes(photos: Manifest, by: By | None) -> list[str]:
    """Say which photos a split may part from others of their burst: none by site, nor by time, which needs times."""
    note = None if by in ("site", "time") else sequences.untimed(photos.rows)
    return [] if note is None else [note]
