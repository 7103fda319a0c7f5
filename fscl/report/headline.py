"""What happened in a study, in plain words computed from its figures, whoever wins."""

from collections import Counter
from collections.abc import Sequence
from math import ceil, sqrt

from fscl.printable import number_of
from fscl.records import CellRecord, Pair
from fscl.report.paired import BASELINE, SEEDS_WANTED
from fscl.report.spread import Spread, above_guessing, kept_spread, leaders
from fscl.report.study import Study
from fscl.report.tables import ratio_title

PROPOSAL = "fscl"
PAIRS: dict[Pair, str] = {"fine": "Fine pair", "coarse": "Coarse pair", "all": "All classes"}
MOST_NAMES = 3  # more classes than that are counted, not named
Spreads = dict[str, Spread]


def headline(study: Study) -> list[str]:
    """Return a paragraph for each pair, then one on how far the figures can be trusted."""
    return [*(_pair_paragraph(study, pair) for pair in study.pairs), _caution(study)]


def _pair_paragraph(study: Study, pair: Pair) -> str:
    ratios = [ratio for ratio in study.ratios(pair) if _spreads(study, pair, ratio, "minority_recall")]
    if not ratios:
        return f"{PAIRS[pair]}: no method has a result; the reasons are below."
    tried = {method for ratio in ratios for method in _spreads(study, pair, ratio, "minority_recall")}
    complete = [r for r in ratios if _spreads(study, pair, r, "minority_recall").keys() == tried]
    ratio = (complete or ratios)[-1]
    nothing = _nothing_learnt(study, pair, ratio)
    said = [nothing] if nothing else [_found(study, pair, ratio), _balanced(study, pair, ratio)]
    said += [] if nothing else [_guessing(study, pair, ratio)]
    return " ".join(sentence for sentence in [*said, _verdict(study, pair, ratios)] if sentence)


def _nothing_learnt(study: Study, pair: Pair, ratio: float) -> str:
    """Say that no method is above guessing at a ratio, if that is so: who found the most means nothing then."""
    cells = _with_figures(study, pair, ratio)
    if any(above_guessing(own, figure) for own in cells.values() for figure in ("auroc", "balanced_accuracy")):
        return ""
    auroc = _spreads(study, pair, ratio, "auroc")
    highest = f" The highest AUROC is {auroc[_best(auroc)]}; 0.5 is guessing." if auroc else ""
    return (
        f"{_where(study, pair, ratio)}: nothing was learnt. No method is clearly better than guessing, neither in "
        f"AUROC nor in balanced accuracy.{highest}"
    )


def _guessing(study: Study, pair: Pair, ratio: float) -> str:
    """Name the methods whose scores are not above guessing at a ratio, or say that no decisions are."""
    cells = _with_figures(study, pair, ratio)
    lost = [_name(study, method) for method, own in cells.items() if not above_guessing(own, "auroc")]
    if lost:
        return f"Not clearly better than guessing in AUROC: {_list(lost)}."
    if not any(above_guessing(own, "balanced_accuracy") for own in cells.values()):
        return (
            "The scores tell the classes apart, the answers do not: in balanced accuracy no method is clearly better "
            "than guessing."
        )
    return ""


def _found(study: Study, pair: Pair, ratio: float) -> str:
    """Say who found most of the rare class at a ratio, and what that cost the common class."""
    key = study.select(pair, ratio)[0].cell
    rare = _group(key.minority, "rare")
    common = _group([name for name in key.classes if name not in key.minority], "common")
    recalls = _spreads(study, pair, ratio, "minority_recall")
    kept = _spreads(study, pair, ratio, "majority_recall")
    best = _best(recalls)
    where = f"{_where(study, pair, ratio)}: "
    if recalls[best].mean == 0:
        return f"{where}no method found any of the {rare}."
    words = f"{_name(study, best)} found the most of the {rare}, {_percent(recalls[best])}"
    if BASELINE in recalls and best != BASELINE:
        words = (
            f"the baseline found {_percent(recalls[BASELINE])} of the {rare}; {_name(study, best)} found the most, "
        )
        words += _percent(recalls[best])
    peers = sorted(_name(study, method) for method in leaders(recalls) - {best})
    words += f" (not clearly more than {_list(peers)})" if peers else ""
    if best in kept:
        words += f", and named {_percent(kept[best])} of the {common} rightly"
        if best != BASELINE and BASELINE in kept:
            words += f" (the baseline: {_percent(kept[BASELINE])})"
    return where + words + "."


def _balanced(study: Study, pair: Pair, ratio: float) -> str:
    """Say who leads once both classes count alike: minority recall alone can be bought."""
    balanced = _spreads(study, pair, ratio, "balanced_accuracy")
    most = _best(_spreads(study, pair, ratio, "minority_recall"))
    if len(balanced) < 2 or most not in balanced:
        return ""
    best = _best(balanced)
    if most == best:
        return f"It also has the highest balanced accuracy, which counts each class the same: {balanced[best]}."
    if most in leaders(balanced):
        return (
            f"In balanced accuracy, which counts each class the same, it is as good as {_name(study, best)}: "
            f"{balanced[most]} and {balanced[best]}."
        )
    return (
        f"In balanced accuracy, which counts each class the same, {_name(study, best)} leads with {balanced[best]}"
        f" ({_name(study, most)}: {balanced[most]})."
    )


def _verdict(study: Study, pair: Pair, ratios: list[float]) -> str:
    """Say at how many ratios the proposal leads, or is not worse than the leader."""
    contests = [r for r in ratios if {PROPOSAL} < _spreads(study, pair, r, "minority_recall").keys()]
    if not contests:
        return ""
    learnt = [ratio for ratio in contests if above_guessing(study.select(pair, ratio, PROPOSAL), "auroc")]
    recall, balanced = (
        sum(PROPOSAL in leaders(_spreads(study, pair, ratio, figure)) for ratio in learnt)
        for figure in ("minority_recall", "balanced_accuracy")
    )
    title = study.title(PROPOSAL)
    if len(contests) > 1:
        return (
            f"{title}, the proposed method, is the best or as good as the best in minority recall at {recall} of "
            f"{len(contests)} ratios, in balanced accuracy at {balanced} of {len(contests)} (as good: at most one "
            "standard deviation below)."
        )
    lost = [name for name, led in (("minority recall", recall), ("balanced accuracy", balanced)) if not led]
    if len(lost) == 2:
        return f"{title}, the proposed method, is the best here neither in {lost[0]} nor in {lost[1]}."
    return f"{title}, the proposed method, is not the best here in {lost[0]}." if lost else ""


def _caution(study: Study) -> str:
    """Say how far the figures can be trusted: seeds, test photos, missing cells, kind of photos."""
    sentences = []
    recalls = [
        recall
        for pair in study.pairs
        for ratio in study.ratios(pair)
        for recall in _spreads(study, pair, ratio, "minority_recall").values()
    ]
    seeds = [recall.count for recall in recalls]
    if max(seeds, default=0) == 1:
        sentences.append(f"Each method was trained once (one seed). {_noise(study)}; another seed can change more.")
    elif seeds:
        widest = max(recall.sd or 0.0 for recall in recalls)
        few = f" Fewer than {SEEDS_WANTED} seeds are a first try, not a result." if min(seeds) < SEEDS_WANTED else ""
        number = f"{max(seeds)}" if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
        sentences.append(
            f"Each figure is the mean over {number} seeds. Their standard deviation in minority recall is up to "
            f"{widest:.2f}.{few}"
        )
    states = Counter(cell.status for cell in study.cells) + Counter({"not run yet": len(list(study.missing()))})
    lacking = [f"{count} {state}" for state, count in states.items() if state != "done"]
    if lacking:
        sentences.append(f"Of {number_of(states.total(), 'cell')}: {', '.join(lacking)}; the reasons are below.")
    if study.header.photos == "generated":
        sentences.append(
            "The photos are drawn by the program: the figures show that it works, not how well it knows animals."
        )
    return " ".join(sentences)


def _noise(study: Study) -> str:
    """Say below which difference two recalls on the same few test photos may differ by chance alone."""
    photos = [
        sum(cell.result.counts.get(name, 0) for name in cell.cell.minority) for cell in study.cells if cell.result
    ]
    fewest = max(1, min(photos))
    chance = 1.96 * sqrt(2 * 0.5 * 0.5 / fewest)  # two independent shares near one half, 95 %
    return f"With {fewest:,} rare test photos, differences below {ceil(100 * chance)} percentage points may be chance"


def _where(study: Study, pair: Pair, ratio: float) -> str:
    return f"{PAIRS[pair]}, at {ratio_title(ratio, study.profile)} ({_photos(study, pair, ratio)})"


def _with_figures(study: Study, pair: Pair, ratio: float) -> dict[str, list[CellRecord]]:
    cells = study.by_method(pair, ratio)
    return {method: own for method, own in cells.items() if any(cell.result for cell in own)}


def _spreads(study: Study, pair: Pair, ratio: float, figure: str) -> Spreads:
    """Return the methods that have the figure at this pair and ratio."""
    spreads = {method: kept_spread(cells, figure) for method, cells in study.by_method(pair, ratio).items()}
    return {method: value for method, value in spreads.items() if value}


def _name(study: Study, method: str) -> str:
    return "the baseline" if method == BASELINE else study.title(method)


def _best(spreads: Spreads) -> str:
    return max(spreads, key=lambda method: spreads[method].mean)


def _photos(study: Study, pair: Pair, ratio: float) -> str:
    key = study.select(pair, ratio)[0].cell
    counts = next(cell.train_counts for cell in study.select(pair, ratio) if cell.train_counts)
    groups = (key.minority, [name for name in key.classes if name not in key.minority])
    return " against ".join(_group_photos(counts, names) for names in groups) + " in training"


def _group_photos(counts: dict[str, int], names: Sequence[str]) -> str:
    if len(names) <= MOST_NAMES:
        return _list([f"{counts[name]:,} {name}" for name in names])
    fewest, most = min(counts[name] for name in names), max(counts[name] for name in names)
    return f"{fewest:,}{'' if fewest == most else f' to {most:,}'} of each of {len(names)} classes"


def _group(names: Sequence[str], kind: str) -> str:
    return _list(names) if len(names) <= MOST_NAMES else f"{len(names)} {kind} classes"


def _percent(share: Spread) -> str:
    return f"{100 * share.mean:.0f} %"


def _list(names: Sequence[str]) -> str:
    """Join names as prose: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
