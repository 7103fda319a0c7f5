"""Mean and standard deviation over seeds, and which method leads by them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from fscl.records import CellRecord
from fscl.scoring.chance import GUESSED_AUROC, above_chance, auroc_noise, balanced_accuracy_noise

OF_SCORES = {"auroc", "average_precision", "ece"}  # the other figures hang on the decisions


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; the deviation is None for a single seed."""

    mean: float
    sd: float | None
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if self.sd is None else f"{self.mean:.2f} ± {self.sd:.2f}"


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the spread of the defined values; None where there is no such value.

    >>> spread([0.25, None, 0.75])
    Spread(mean=0.5, sd=0.3535533905932738, count=2)
    """
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    return Spread(mean(defined), stdev(defined) if len(defined) > 1 else None, len(defined))


def kept_spread(cells: Iterable[CellRecord], figure: str) -> Spread | None:
    """Return a figure over the seeds of `cells`, at argmax and at the epoch that the recipe keeps."""
    return spread(cell.result.figures.value(figure) for cell in cells if cell.result)


def above_guessing(cells: Iterable[CellRecord], figure: str) -> bool:
    """Return whether the cells of a method are above guessing, so that a good `figure` of theirs means something.

    Figures of the scores need an AUROC above ½, figures of the decisions a balanced accuracy above 1 / classes: its
    95 % interval over seeds and test photos must not reach that.
    """
    measured = []
    for result in (cell.result for cell in cells if cell.result):
        figures, counts = result.figures, result.counts
        if figure in OF_SCORES and figures.auroc is not None:
            measured.append((figures.auroc, auroc_noise(list(counts.values())), GUESSED_AUROC))
        elif figure not in OF_SCORES and figures.balanced_accuracy is not None:
            tested = sum(recall is not None for recall in figures.recall_by_class.values())
            noise = balanced_accuracy_noise(figures.recall_by_class, counts)
            measured.append((figures.balanced_accuracy, noise, 1 / tested))
    if not measured:
        return False
    values, noise_of_each, chance = zip(*measured, strict=True)
    return above_chance(values, noise_of_each, chance[0])


def leading(cells: Mapping[str, Sequence[CellRecord]], figure: str, lower_is_better: bool = False) -> set[str]:
    """Return the `leaders` among the methods that are above guessing, given the cells of each."""
    counted = {method: own for method, own in cells.items() if above_guessing(own, figure)}
    return leaders({method: kept_spread(own, figure) for method, own in counted.items()}, lower_is_better)


def leaders(spreads: Mapping[str, Spread | None], lower_is_better: bool = False) -> set[str]:
    """Return the best method and those not worse: within one standard deviation of the best.

    The deviation is that of the best, so that a method cannot lead by being erratic.

    >>> sorted(leaders({"a": Spread(0.98, 0.02, 3), "b": Spread(0.97, 0.01, 3), "c": Spread(0.9, 0.2, 3)}))
    ['a', 'b']
    """
    sign = -1 if lower_is_better else 1
    scored = {name: sign * value.mean for name, value in spreads.items() if value}
    if not scored:
        return set()
    best = spreads[max(scored, key=scored.__getitem__)]
    assert best is not None
    bound = sign * best.mean - (best.sd or 0.0)
    return {name for name, value in scored.items() if value >= bound}
