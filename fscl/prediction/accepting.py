"""Which answers may be accepted unseen, as certain as the model's calibration photos make it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fscl.decisions import Decisions, set_name
from fscl.errors import ConfigurationError
from fscl.prediction.parts import Parts
from fscl.scoring.prevalence import all_shares, shares_of_unlabelled

ESTIMATE = "estimate"
TABLES = ("csv", "parquet")


class _Wanted(Protocol):
    """What of the wishes is looked at."""

    @property
    def accept(self) -> bool: ...
    @property
    def prevalence(self) -> Sequence[str]: ...
    @property
    def format(self) -> str: ...
    @property
    def decision(self) -> str: ...
    @property
    def by(self) -> str: ...
    @property
    def species(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Accepting:
    """The bar of each class, (classes,), and in words what it holds for."""

    decisions: Decisions
    classes: tuple[str, ...]
    bars: NDArray[np.float64]
    note: str

    def of(self, logits: NDArray[np.floating], probabilities: NDArray[np.floating]) -> list[dict[str, Any]]:
        """Return `accepted`, `species_set` and `unknown` of each animal."""
        accepted = probabilities.max(axis=1) >= self.bars[probabilities.argmax(axis=1)]
        inside = self.decisions.in_sets(probabilities, self.classes)
        like_none = self.decisions.like_none(logits)
        return [
            {
                "accepted": bool(accepted[row]),
                "species_set": None if inside is None else set_name(inside[row], self.classes),
                "unknown": None if like_none is None else bool(like_none[row]),
            }
            for row in range(len(logits))
        ]


def check_accepting(decisions: Decisions | None, wanted: _Wanted) -> None:
    """Make sure that what is wanted is what was certified.

    Raises:
        ConfigurationError: the model has no bars, or the answers would be others than those that were certified.
    """
    if not wanted.accept:
        if wanted.prevalence:
            raise ConfigurationError("--prevalence is for --accept: give both")
        return
    if wanted.format not in TABLES:
        raise ConfigurationError(
            f"--accept marks answers in a table, and {wanted.format} has no field for it: choose a .csv or .parquet"
        )
    if decisions is None or decisions.accept is None:
        raise ConfigurationError(
            "--accept: the model was not calibrated: it takes 20 validation photos at least, and a model of this "
            "release; train it again"
        )
    changed = {
        "--decision argmax": wanted.decision == "argmax" and (decisions.threshold or decisions.bias),
        "--species": bool(wanted.species),
        "--by sequence": wanted.by == "sequence",
    }
    for option, given in changed.items():
        if given:
            raise ConfigurationError(
                f"--accept holds for answers as they were certified, without {option}: leave it out"
            )


def accepting_of(decisions: Decisions, classes: Sequence[str], prevalence: Sequence[str], parts: Parts) -> Accepting:
    """Return the bars for photos.

    Args:
        decisions: of the model, with bars.
        classes: in the order of the logits.
        prevalence: as in `Wanted`.
        parts: of the prediction, all computed: the shares may be estimated on them.

    Raises:
        ConfigurationError: shares that cannot be.
    """
    known = decisions.accept
    assert known is not None, "checked before"
    if not prevalence:
        said = f"in {known.origin}"
        return Accepting(decisions, tuple(classes), known.bars(classes), _note(said, known.bars(classes), classes))
    if list(prevalence) == [ESTIMATE]:
        shares = _estimated(decisions, classes, known.photos, parts)
        said = f"estimated on these photos, {_in_words(shares)}"
    else:
        shares = all_shares(_named(prevalence), classes, known.photos)
        said = _in_words(shares)
    bars = known.bars(classes, shares)
    return Accepting(decisions, tuple(classes), bars, _note(said, bars, classes))


def _named(prevalence: Sequence[str]) -> dict[str, float]:
    shares = {}
    for given in prevalence:
        name, _, share = given.rpartition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise ConfigurationError(f"--prevalence: expected SPECIES=SHARE or {ESTIMATE}, got {given}") from None
    return shares


def _estimated(
    decisions: Decisions, classes: Sequence[str], photos: dict[str, int], parts: Parts
) -> dict[str, float]:
    """Return the shares on the photos that are predicted."""
    read = (parts.read(number).logits for number in range(parts.count))
    probabilities = [decisions.probabilities(one[np.isfinite(one).all(axis=1)], classes) for one in read]
    counts = np.array([photos[name] for name in classes], dtype=np.float64)
    even = decisions.threshold is not None or decisions.bias is not None
    before = np.ones(len(classes)) / len(classes) if even else (counts + 1) / (counts + 1).sum()
    shares = shares_of_unlabelled(np.concatenate(probabilities), before)
    return dict(zip(classes, shares.tolist(), strict=True))


def _in_words(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.2g}" for name, share in shares.items())


def _note(said: str, bars: NDArray[np.float64], classes: Sequence[str]) -> str:
    never = [name for name, bar in zip(classes, bars, strict=True) if not np.isfinite(bar)]
    without = f"; none of {', '.join(never)}, which cannot be certified" if never else ""
    return f"accepted: answers that are right in 95 % at least where species are as common as this: {said}{without}"
