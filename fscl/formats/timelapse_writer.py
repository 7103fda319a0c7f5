"""Answers as the table ImageData.csv of Timelapse: a row per photo or video."""

import csv
from collections.abc import Iterable
from pathlib import Path

from fscl.formats.answers import About, PhotoAnswer, by_media, surest

COLUMNS = (
    *("File", "RelativePath", "DateTime", "DeleteFlag"),
    *("Species", "Probability", "Unsure", "Animals", "OtherSpecies", "Problem"),
)
SEPARATOR = "; "  # of other species


def write(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write answers; folders are written as Windows has them, which is where Timelapse runs.

    The species of a photo is that of its main animal, or what the detector found; those of its other animals are in
    `OtherSpecies`. A video has the answer of its surest frame, and `Problem` says what of it is damaged.
    A time that is not known is empty.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerows(_row(surest(frames), about) for frames in by_media(answers))


def _row(photo: PhotoAnswer, about: About) -> list[object]:
    folder, _, name = photo.file.rpartition("/")
    main = photo.main
    said = None if main is None else about.said(main)
    answered = sorted((each for each in photo.animals if each.answer is not None), key=lambda each: each.answer or 0)
    names = dict.fromkeys(one.name for one in map(about.said, answered) if one is not None)
    others = [name for name in names if said is not None and name != said.name]
    unsure = any(one.unsure for one in about.all_said(photo))
    return [
        *(name, folder.replace("/", "\\"), "" if photo.time is None else f"{photo.time:%Y-%m-%d %H:%M:%S}", "false"),
        *((photo.found or "", "") if said is None else (said.name, said.probability)),
        str(unsure).lower(),
        *(len(photo.animals), SEPARATOR.join(others), photo.problem or ""),
    ]
