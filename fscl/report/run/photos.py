"""The small pictures of a run's page: those that it holds, and those that it shows at once."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any, NamedTuple

from fscl.printable import number_of, printable
from fscl.records.thumbnails import Thumbnail
from fscl.report.run.result import Answers, RunResult
from fscl.report.run.species import levels

WORST = 24
MOST_BYTES = 6_000_000  # of pictures and heat maps; as text they take a third more


class Shown(NamedTuple):
    """A picture, and the place of its photo among the answers."""

    place: int
    thumbnail: Thumbnail


def pictures(result: RunResult) -> list[Shown]:
    """Return the pictures that the page has room for, the most telling first, as fscl evaluate stored them."""
    if result.answers is None:
        return []
    place_of = {region: place for place, region in enumerate(result.answers.regions)}
    kept, left = [], MOST_BYTES
    for region, thumbnail in result.thumbnails.items():
        left -= len(thumbnail.jpeg) + len(thumbnail.heat or b"")
        if left < 0:
            break
        if region in place_of:
            kept.append(Shown(place_of[region], thumbnail))
    return kept


def gallery(answers: Answers, shown: list[Shown]) -> list[list[Any]]:
    """Return what the script of the page shows of each picture: file, label, answer, level, JPEG, heat map."""
    level = levels(answers.probability)
    return [
        [
            printable(answers.files[place]),
            int(answers.labels[place]),
            int(answers.named[place]),
            int(level[place]),
            _text(thumbnail.jpeg),
            *([_text(thumbnail.heat)] if thumbnail.heat else []),
        ]
        for place, thumbnail in shown
    ]


def worst_mistakes(result: RunResult, shown: list[Shown]) -> Iterator[dict[str, str]]:
    """Yield the surest wrong answers that have a picture."""
    answers = result.answers
    if answers is None:
        return
    wrong = [one for one in shown if answers.labels[one.place] != answers.named[one.place]]
    for place, thumbnail in sorted(wrong, key=lambda one: -answers.probability[one.place])[:WORST]:
        yield {
            "file": answers.files[place],
            "label": result.classes[answers.labels[place]],
            "named": result.classes[answers.named[place]],
            "probability": f"{answers.probability[place]:.2f}",
            "jpeg": _text(thumbnail.jpeg),
            "heat": _text(thumbnail.heat) if thumbnail.heat else "",
        }


def gallery_note(result: RunResult, shown: list[Shown]) -> str:
    """Say how many photos the page holds, and which are not among them; nothing where it holds none."""
    answers = result.answers
    if answers is None or not shown:
        return ""
    wrong = int((answers.labels != answers.named).sum())
    wrong_shown = sum(answers.labels[place] != answers.named[place] for place, _ in shown)
    right, right_shown = len(answers.labels) - wrong, len(shown) - wrong_shown
    errors = f"all {wrong:,}" if wrong == wrong_shown else f"the surest {wrong_shown:,} of {wrong:,}"
    rights = f"all {right:,}" if right == right_shown else f"{right_shown:,} of {right:,}"
    missing = number_of(len(answers.labels) - len(shown), result.unit)
    more = f" Not shown: {missing}." if len(shown) < len(answers.labels) else ""
    chosen = ", spread from the least sure to the surest" if right_shown < right else ""
    return f"This page holds {errors} wrong answers and {rights} right ones{chosen}.{more}"


def _text(jpeg: bytes) -> str:
    return b64encode(jpeg).decode("ascii")
