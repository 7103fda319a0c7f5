"""What the study published, and the figures of ours that it may stand beside."""

from fscl.records import Pair
from fscl.report.study import Study
from fscl.species import find_species

# "Feature Similarity Contrastive Learning", table of results: minority recall by method and ratio.
RECALLS: dict[str, dict[float, float]] = {
    "baseline": {1.0: 0.99, 0.1: 0.87, 0.01: 0.34, 0.005: 0.15, 0.001: 0.00},
    "oversampling": {1.0: 0.99, 0.1: 0.96, 0.01: 0.94, 0.005: 0.77, 0.001: 0.43},
    "contrastive": {1.0: 0.99, 0.1: 0.93, 0.01: 0.00, 0.005: 0.00, 0.001: 0.00},
    "fscl": {1.0: 0.99, 0.1: 0.96, 0.01: 0.89, 0.005: 0.91, 0.001: 0.31},
}
ARROWS: dict[str, dict[Pair, str]] = {  # its ablation
    "baseline": {"coarse": "↓", "fine": "↓↓↓"},
    "oversampling": {"coarse": "↑", "fine": "↔"},
    "contrastive": {"coarse": "↔", "fine": "↓"},
    "fscl": {"coarse": "↑↑↑", "fine": "↑↑↑"},
}
CLASSES: dict[Pair, set[str]] = {"coarse": {"water_deer", "wild_boar"}, "fine": {"water_deer", "roe_deer"}}


def is_published(study: Study, pair: Pair) -> bool:
    """Return whether the pair is one of the study's: its species, by any name that fscl knows, on real photos.

    A published figure says nothing about other animals, so it does not stand beside theirs.
    """
    species = {find_species(name) for name in study.select(pair)[0].cell.classes}
    return study.header.photos == "real" and study.profile is None and species == CLASSES.get(pair)


def published_recalls(study: Study, pair: Pair) -> dict[str, dict[float, float]]:
    """Return the published minority recalls, method → ratio → recall; none where they do not belong beside ours."""
    if not is_published(study, pair):
        return {}
    ratios = set(study.ratios(pair))
    return {method: RECALLS[method] for method in study.methods if ratios & RECALLS.get(method, {}).keys()}
