"""Answers as the table ImageData.csv of Timelapse: a row per photo."""

import csv
from collections.abc import Iterable
from pathlib import Path

from fscl.formats.answers import About, PhotoAnswer

COLUMNS = (
    *("File", "RelativePath", "DateTime", "DeleteFlag"),
    *("Species", "Probability", "Unsure", "Animals", "OtherSpecies", "Problem"),
)
SEPARATOR = "; "  # of other species


def write(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write answers; folders are written as Windows has them, which is where Timelapse runs.

    The species of a photo is that of its main animal, or what the detector found; those of its other animals are in
    `OtherSpecies`. A time that is not known is empty.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerows(_row(photo, about) for photo in answers)


def _row(photo: PhotoAnswer, about: About) -> list[object]:
    folder, _, name = photo.file.rpartition("/")
    main = photo.main
    species = photo.found or ""
    others: list[str] = []
    if main is not None and main.answer is not None:
        species = about.classes[main.answer]
        answers = {each.answer for each in photo.animals if each.answer is not None} - {main.answer}
        others = [about.classes[answer] for answer in sorted(answers)]
    return [
        *(name, folder.replace("/", "\\"), "" if photo.time is None else f"{photo.time:%Y-%m-%d %H:%M:%S}", "false"),
        *(species, "" if main is None else main.probability, str(photo.unsure(about.unsure_below)).lower()),
        *(len(photo.animals), SEPARATOR.join(others), photo.failure or ""),
    ]
