"""What is predicted so far, on the disk: parts of a fixed number of regions, each whole or not there."""

import json
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fscl.atomic import leftovers, replacing, sweep, write_text
from fscl.errors import OutputError
from fscl.lock import LOCK

PART_REGIONS = 512  # so that a killed call loses half a minute on a laptop; whole batches
PLAN = "plan.json"
SUFFIX = ".parts"  # of the folder, beside the result


class Part(NamedTuple):
    """Scores of some regions, NaN where one could not be read; why those could not; features, where they are kept."""

    logits: NDArray[np.float32]
    problems: dict[int, str]
    features: NDArray[np.float32] | None


class Parts:
    """The parts of one prediction.

    Args:
        folder: of the parts.
        regions: how many there are in all.
        plan: what decides the scores, as JSON types: parts of another plan are another prediction's.
    """

    def __init__(self, folder: Path, regions: int, plan: Mapping[str, Any]) -> None:
        self.folder, self.regions, self.plan = folder, regions, dict(plan)
        self.count = -(-regions // PART_REGIONS)

    def claim(self, *, overwrite: bool) -> None:
        """Make the folder this prediction's: what an interrupted call of it has left is kept.

        Raises:
            OutputError: it is of another prediction.
        """
        path = self.folder / PLAN
        if path.exists() and not self.begun:
            if not overwrite:
                raise OutputError(
                    f"{self.folder}: is of an interrupted prediction with other photos or another model: go on with "
                    "that one by its own command, drop it by --overwrite, or choose another --out"
                )
            rmtree(self.folder)
        elif not path.exists() and set(self.folder.iterdir()) - {self.folder / LOCK, *leftovers(self.folder)}:
            raise OutputError(f"{self.folder}: holds other files; choose another --out")
        write_text(path, json.dumps(self.plan, indent=1) + "\n")
        sweep(self.folder)

    @property
    def begun(self) -> bool:
        """Whether an interrupted call of this very prediction has left something."""
        path = self.folder / PLAN
        return path.exists() and _read(path) == self.plan

    def missing(self) -> list[int]:
        """Return the numbers of the parts that are to be computed yet."""
        return [number for number in range(self.count) if self._opened(number) is None]

    def rows(self, number: int) -> range:
        """Return the regions of a part."""
        return range(number * PART_REGIONS, min((number + 1) * PART_REGIONS, self.regions))

    def write(self, number: int, part: Part) -> None:
        """Keep a part."""
        given = {} if part.features is None else {"features": part.features}
        problems = np.array(json.dumps(part.problems, ensure_ascii=False))
        with replacing(self._path(number)) as path, path.open("wb") as file:
            np.savez(file, allow_pickle=False, logits=part.logits, problems=problems, **given)

    def read(self, number: int) -> Part:
        """Return a part that is there."""
        part = self._opened(number)
        assert part is not None, "read after all are there"
        return part

    def drop(self) -> None:
        """Remove them all, the plan last: the result is written. What another prediction has left stays."""
        if self.begun:
            for number in range(self.count):
                self._path(number).unlink(missing_ok=True)
            rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06}.npz"

    def _opened(self, number: int) -> Part | None:
        """A part; None where it is not there, or damaged."""
        try:
            with np.load(self._path(number), allow_pickle=False) as file:
                problems = {int(row): str(why) for row, why in json.loads(str(file["problems"])).items()}
                part = Part(file["logits"], problems, file.get("features"))
        except (OSError, ValueError, KeyError, BadZipFile, EOFError):
            return None
        return part if len(part.logits) == len(self.rows(number)) else None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None
