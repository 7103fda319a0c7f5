"""What a finished prediction says of itself: how many photos of what, and which have no answer."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fscl.formats.answers import CLASS_RANK, About, PhotoAnswer
from fscl.printable import number_of

LISTED = 5  # photos without an answer


COUNTED = ("species", "unsure", "rolled_up", "accepted", "found")


@dataclass
class Summary:
    """Counts of answers; `counted` fills it while they are written.

    Attributes:
        photos: all of the source.
        animals: that were classified: photos, or boxes of a detector.
        species: class → photos that show it, the commonest first in the table.
        unsure: class → those of them whose answer is unsure.
        rolled_up: `NAME (RANK)` → photos with an unsure answer that became this genus, family and so on.
        accepted: class → those of them with an animal whose answer may be accepted unseen.
        like_none: photos with an animal that is like none of the classes.
        found: what a detector found that is no animal → photos: `blank`, `person`, `vehicle`.
        failed: name → why, of photos without an answer.
    """

    photos: int = 0
    animals: int = 0
    species: Counter[str] = field(default_factory=Counter)
    unsure: Counter[str] = field(default_factory=Counter)
    rolled_up: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    like_none: int = 0
    found: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)

    def counted(self, answers: Iterable[PhotoAnswer], about: About) -> Iterator[PhotoAnswer]:
        """Yield the answers as they are, and count them."""
        for photo in answers:
            self.photos += 1
            if photo.failure is not None:
                self.failed[photo.file] = photo.failure
            if photo.found is not None and photo.failure is None:
                self.found[photo.found] += 1
            said = about.all_said(photo)
            self.animals += len(said)
            self.species.update({one.name for one in said if one.rank == CLASS_RANK})
            self.unsure.update({one.name for one in said if one.unsure})
            self.rolled_up.update({f"{one.name} ({one.rank})" for one in said if one.rank != CLASS_RANK})
            self.accepted.update(
                {about.classes[a.answer] for a in photo.animals if a.accepted and a.answer is not None}
            )
            self.like_none += any(animal.unknown for animal in photo.animals)
            yield photo

    def record(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {name: dict(value) if isinstance(value, dict) else value for name, value in vars(self).items()}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return what `record` gave."""
        counters = {name: Counter(record.get(name, {})) for name in COUNTED}
        counts = {name: record.get(name, 0) for name in ("photos", "animals", "like_none")}
        return cls(**{"failed": dict(record["failed"]), **counts, **counters})

    def table(self, about: About) -> Group:
        """Return it for the terminal."""
        shown = Table(box=None, pad_edge=False)
        shown.add_column("species", overflow="fold")
        shown.add_column("photos", justify="right")
        shown.add_column(f"unsure (below {about.unsure_below:g})", justify="right")
        if about.accepting:
            shown.add_column("accepted", justify="right")
        for name, count in self.species.most_common():
            accepted = [f"{self.accepted[name]:,}"] if about.accepting else []
            shown.add_row(Text(name), f"{count:,}", f"{self.unsure[name]:,}", *accepted)
        for name, count in self.rolled_up.most_common():
            shown.add_row(Text(f"rolled up to {name}"), f"{count:,}", "")
        for name, count in sorted(self.found.items()):
            shown.add_row(Text(f"no animal: {name}"), f"{count:,}", "")
        like_none = [f"like none of the species: {number_of(self.like_none, 'photo')}"] if about.accepting else []
        return Group(Text(self._first_line()), shown, *map(Text, [*like_none, *self._failures()]))

    def _first_line(self) -> str:
        boxes = f", {number_of(self.animals, 'animal')}" if self.animals + len(self.failed) != self.photos else ""
        failed = f", {len(self.failed):,} without an answer" if self.failed else ""
        return f"{number_of(self.photos, 'photo')}{boxes}{failed}"

    def _failures(self) -> Iterator[str]:
        if self.failed:
            yield "without an answer:"
        for file, why in list(self.failed.items())[:LISTED]:
            yield f"    {file}: {why}"
        if len(self.failed) > LISTED:
            yield f"    and {len(self.failed) - LISTED:,} more"
