"""The figures of a study as tables for the page, for Markdown and for the terminal."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as TerminalTable
from rich.text import Text

from fscl.records import CellRecord, Metrics, Pair
from fscl.report.published import published_recalls
from fscl.report.spread import Spread, kept_spread, leading, spread
from fscl.report.study import Study

FIGURES = {
    "minority_recall": "minority recall",
    "majority_recall": "majority recall",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "ece": "ECE",
    "accuracy": "accuracy",
}
BINS = {"<10": "<10", "10-99": "10–99", "100-999": "100–999", ">=1000": "≥1000"}
SHOTS = {"many": ">100", "medium": "20–100", "few": "<20"}
EPOCHS = {"last": "the last one", "best": "the best one on validation"}
LOWER_IS_BETTER = {"ece"}
TERMINAL_FIGURES = ("minority_recall", "majority_recall", "balanced_accuracy", "auroc")
MOST_CLASSES_LISTED = 4
DASH = "–"


@dataclass(frozen=True)
class Entry:
    """One place in a table: a figure or words, what stands small beneath it, and whether it is marked.

    `value` sorts it; `cell` is the row and column of the confusion matrix that it counts.
    """

    text: str = DASH
    detail: str = ""
    best: bool = False
    worse: bool = False
    words: bool = False
    value: float | None = None
    cell: tuple[int, int] | None = None


@dataclass(frozen=True)
class Row:
    """A titled row; where it has fewer entries than the table has columns, the last one spans the rest."""

    title: str
    detail: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class TableSection:
    """Rows under a common title, which is empty where a table has one section only."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A table with a caption that says how to read it."""

    caption: str
    corner: str
    columns: tuple[str, ...]
    sections: tuple[TableSection, ...]


def ratio_title(ratio: float, profile: str | None = None) -> str:
    """Return a ratio as majority : minority, under a profile as its name and imbalance.

    >>> ratio_title(0.005), ratio_title(0.01, "exp")
    ('1:0.005', 'exp 100')
    """
    return f"1:{ratio:g}" if profile is None else f"{profile} {1 / ratio:g}"


def pair_title(study: Study, pair: Pair) -> str:
    """Return what a pair compares, e.g. `Fine pair: water_deer (common), roe_deer (rare)`."""
    key = study.select(pair)[0].cell
    name = {"fine": "Fine pair", "coarse": "Coarse pair", "all": "All classes"}[pair]
    if study.profile is not None:
        return f"{name}, from {key.classes[0]} (most photos) to {key.classes[-1]} (fewest)"
    if len(key.classes) > MOST_CLASSES_LISTED:
        few = len(key.minority) <= MOST_CLASSES_LISTED
        rare = f"rare: {', '.join(key.minority)}" if few else f"{len(key.minority)} of them rare"
        return f"All {len(key.classes)} classes; {rare}"
    return f"{name}: " + ", ".join(f"{c} ({'rare' if c in key.minority else 'common'})" for c in key.classes)


def study_table(study: Study, pair: Pair) -> Table:
    """Return the study's table: minority recall, a row per ratio, a column per method."""
    published = published_recalls(study, pair)
    rows = []
    for ratio in study.ratios(pair):
        cells = study.by_method(pair, ratio)
        recalls = {method: kept_spread(own, "minority_recall") for method, own in cells.items()}
        best = leading(cells, "minority_recall")
        entries = tuple(
            Entry(
                str(recall or _status(cells[method])),
                _study_detail(cells[method], published.get(method, {}).get(ratio)),
                method in best,
            )
            for method, recall in recalls.items()
        )
        rows.append(Row(ratio_title(ratio, study.profile), _train_photos(study.select(pair, ratio)), entries))
    caption = "Minority recall: the share of the rare class's test photos that was found; mean ± sd over seeds."
    columns = tuple(study.title(method) for method in study.methods)
    return Table(caption, "ratio", columns, (TableSection("", tuple(rows)),))


def figures_table(study: Study, pair: Pair) -> Table:
    """Return every figure at argmax: a section per ratio, a row per method, a column per figure or bin."""
    bins = {name: f"recall at {title}" for name, title in BINS.items() if kept_spread(study.select(pair), name)}
    if study.profile is not None:
        shots = {name: f"{name}-shot ({photos})" for name, photos in SHOTS.items()}
        bins |= {name: title for name, title in shots.items() if kept_spread(study.select(pair), name)}
    names = FIGURES | bins
    sections = []
    for ratio in study.ratios(pair):
        cells = study.by_method(pair, ratio)
        columns = {name: {method: kept_spread(own, name) for method, own in cells.items()} for name in names}
        best = {name: leading(cells, name, name in LOWER_IS_BETTER) for name in names}
        rows = []
        for method, own in cells.items():
            entries = tuple(_figure_entry(columns[name][method], method in best[name]) for name in names)
            if not any(cell.result for cell in own):
                entries = (Entry(_status(own), _reasons(own), words=True),)
            rows.append(Row(study.title(method), _seed_count(own), entries))
        counts = [f"{count:,} {name}" for name, count in _train_counts(study.select(pair, ratio)).items()]
        trained_on = counts if len(counts) <= MOST_CLASSES_LISTED else [_train_photos(study.select(pair, ratio))]
        sections.append(TableSection(" · ".join([ratio_title(ratio, study.profile), *trained_on]), tuple(rows)))
    caption = (
        f"The class with the highest score is the answer (argmax), at the epoch kept, {_kept(study, pair)}; mean "
        "over seeds, sd below."
    )
    return Table(caption, "method", tuple(names.values()), tuple(sections))


def choices_table(study: Study, pair: Pair) -> Table | None:
    """Return balanced accuracy by epoch (last, best) and decision (argmax, threshold); None without a choice."""
    choices: dict[str, dict[tuple[float, str], list[Metrics]]] = {}
    for cell in study.select(pair):
        for epoch, evaluation in cell.evaluations.items():
            for decision, figures in evaluation.by_decision().items():
                places = choices.setdefault(f"{epoch} epoch, {decision}", {})
                places.setdefault((cell.cell.ratio, cell.cell.method), []).append(figures)
    if len(choices) < 2:
        return None
    columns = sorted(choices, key=lambda choice: (not choice.startswith("last"), choice))
    sections = []
    for ratio in study.ratios(pair):
        rows = [
            Row(
                study.title(method),
                "",
                tuple(_choice_entry(choices[c].get((ratio, method), [])) for c in columns),
            )
            for method, cells in study.by_method(pair, ratio).items()
            if any(cell.result for cell in cells)
        ]
        sections += [TableSection(ratio_title(ratio, study.profile), tuple(rows))] if rows else []
    caption = (
        "Balanced accuracy by epoch and by threshold or bias. A threshold is chosen on the validation photos, if "
        "there are at least 20 of each class; a bias of the classes is cross-fitted on the training photos of a "
        "frozen backbone, if there are fewer. Below: minority recall | majority recall."
    )
    return Table(caption, "method", tuple(columns), tuple(sections))


def unfinished_table(study: Study) -> Table | None:
    """Return the undefined and failed cells with their reason, and those not run yet; None without any."""
    rows = [
        Row(cell.cell.name, "", (Entry(cell.status, words=True), Entry(cell.reason or DASH, words=True)))
        for cell in study.cells
        if cell.status != "done"
    ]
    rows += [
        Row(name, "", (Entry("not run", words=True), Entry("run fscl compare again", words=True)))
        for name in study.missing()
    ]
    if not rows:
        return None
    return Table(
        "Undefined: fewer than 3 minority training photos. Failed: stopped by an error. Not run: not finished.",
        "cell",
        ("status", "reason"),
        (TableSection("", tuple(rows)),),
    )


def effort_table(study: Study) -> Table:
    """Return what each method cost: steps, photos per second and minutes per cell."""
    rows = []
    for method in study.methods:
        runs = [cell.provenance for cell in study.select(method=method) if cell.status == "done"]
        steps = sorted({run.steps for run in runs if run.steps is not None})
        speed = spread(run.photos_per_second for run in runs)
        minutes = spread(run.seconds / 60 if run.seconds is not None else None for run in runs)
        shown = (f"{steps[0]:,}–{steps[-1]:,}" if len(steps) > 1 else f"{steps[0]:,}") if steps else DASH
        entries = (
            Entry(str(len(runs))),
            Entry(shown),
            _plain_entry(speed, ".0f"),
            _plain_entry(minutes, ".1f"),
        )
        rows.append(Row(study.title(method), "", entries))
    columns = ("finished cells", "steps", "photos per second", "minutes per cell")
    return Table("What training cost; mean ± sd over cells.", "method", columns, (TableSection("", tuple(rows)),))


def terminal_table(study: Study) -> RenderableType:
    """Return what `fscl compare` prints at its end: minority recall and what it costs, per ratio and method."""
    tables: list[RenderableType] = []
    for pair in study.pairs:
        table = TerminalTable(
            title=Text(pair_title(study, pair)), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        table.add_column("ratio", no_wrap=True)
        table.add_column("method", overflow="fold")
        for column in ("seeds", *(FIGURES[name] for name in TERMINAL_FIGURES)):
            table.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
        published = published_recalls(study, pair)
        if published:
            table.add_column("published\nminority", justify="right", no_wrap=True, style="dim")
        for ratio in study.ratios(pair):
            cells = study.by_method(pair, ratio)
            best = {name: leading(cells, name) for name in TERMINAL_FIGURES}
            for place, (method, own) in enumerate(cells.items()):
                figures = [
                    Text(str(kept_spread(own, name) or DASH).replace(" ", ""), "bold" if method in best[name] else "")
                    for name in TERMINAL_FIGURES
                ]
                if not any(cell.result for cell in own):
                    figures = [Text(_status(own), style="dim"), *[Text("")] * (len(TERMINAL_FIGURES) - 1)]
                if published:
                    recall = published.get(method, {}).get(ratio)
                    figures.append(Text(DASH if recall is None else f"{recall:.2f}"))
                shown = ratio_title(ratio, study.profile) if place == 0 else ""
                table.add_row(shown, Text(study.title(method)), _seed_count(own).split(" ")[0], *figures)
            table.add_section()
        tables.append(table)
    return Group(*tables)


def _status(cells: list[CellRecord]) -> str:
    return ", ".join(sorted({cell.status for cell in cells})) or "not run"


def _reasons(cells: list[CellRecord]) -> str:
    return "; ".join(sorted({cell.reason for cell in cells if cell.reason}))


def _seed_count(cells: list[CellRecord]) -> str:
    done, asked = sum(cell.status == "done" for cell in cells), len(cells)
    of = f" of {asked}" if done < asked else ""
    return f"{done}{of} seed{'' if asked == 1 else 's'}"


def _study_detail(cells: list[CellRecord], published: float | None) -> str:
    parts = [_seed_count(cells)] if any(cell.result for cell in cells) else []
    parts += [f"published {published:.2f}"] if published is not None else []
    return " · ".join(parts)


def _kept(study: Study, pair: Pair) -> str:
    """Say which epoch each method kept; names are left out where all kept the same."""
    keepers: dict[str, list[str]] = {}
    for method, title in ((method, study.title(method)) for method in study.methods):
        kept = {cell.kept for cell in study.select(pair, method=method) if cell.result}
        if kept:
            keepers.setdefault(" or ".join(EPOCHS[epoch] for epoch in EPOCHS if epoch in kept), []).append(title)
    if len(keepers) == 1:
        return next(iter(keepers))
    return "; ".join(f"{epoch}: {', '.join(titles)}" for epoch, titles in keepers.items()) or EPOCHS["last"]


def _train_counts(cells: Iterable[CellRecord]) -> dict[str, int]:
    return next((cell.train_counts for cell in cells if cell.train_counts), {})


def _train_photos(cells: Iterable[CellRecord]) -> str:
    counts = list(_train_counts(cells).values())
    if len(counts) > MOST_CLASSES_LISTED:
        counts = sorted({min(counts), max(counts)})
        return " to ".join(f"{count:,}" for count in counts) + " photos each"
    return " + ".join(f"{count:,}" for count in counts) + (" photos" if counts else "")


def _figure_entry(value: Spread | None, best: bool) -> Entry:
    if value is None:
        return Entry()
    return Entry(f"{value.mean:.3f}", "" if value.sd is None else f"± {value.sd:.3f}", best)


def _plain_entry(value: Spread | None, digits: str) -> Entry:
    if value is None:
        return Entry()
    return Entry(f"{value.mean:{digits}}" + (f" ± {value.sd:{digits}}" if value.sd is not None else ""))


def _choice_entry(figures: list[Metrics]) -> Entry:
    balanced = spread(each.balanced_accuracy for each in figures)
    if balanced is None:
        return Entry()
    recalls = (
        spread(each.minority_recall for each in figures),
        spread(each.majority_recall for each in figures),
    )
    return Entry(str(balanced), " | ".join(f"{recall.mean:.2f}" if recall else DASH for recall in recalls))
