"""The model card of a run: what it is for, what it was trained on, how good it is, and what nobody has checked."""

import shlex
from collections.abc import Iterator
from typing import Any

import pandas as pd

from fscl.printable import number_of
from fscl.report.run.headline import FEW_TESTED, headline, weak_species
from fscl.report.run.result import RunResult
from fscl.report.run.species import interval, list_of, percent, species_of
from fscl.report.tables import DASH, Entry, Row, Table, TableSection

FEW_TRAINED = 20  # training photos: fewer are few-shot (Liu et al. 2019)


def card(result: RunResult) -> dict[str, Any]:
    """Return what the template of the card shows."""
    run = str(result.run)
    return {
        "name": result.run.resolve().name,
        "method": result.bundle.method,
        "backbone": result.bundle.model.get("backbone", "not recorded"),
        "start": (result.bundle.start or {}).get("origin") or "from scratch",
        "created": result.bundle.created or "not recorded",
        "classes": result.classes,
        "headline": headline(result),
        "data": list(_data(result)),
        "photos_table": _photos_table(result),
        "figures_table": _figures_table(result),
        "limits": list(_limits(result)),
        "use": shlex.join(["fscl", "predict", run, "PHOTOS", "--out", "predictions.json"]),
        "python": f"model = fscl.load({run!r})",
        "versions": ", ".join(f"{name} {version}" for name, version in result.bundle.versions.items()),
    }


def _trained(result: RunResult) -> pd.DataFrame | None:
    """Return the training rows; None where they are not known."""
    if result.photos is None:
        return None
    rows = result.photos.usable
    return rows[(rows["split"] == "train") & rows["label"].isin(result.classes)]


def _data(result: RunResult) -> Iterator[str]:
    """Yield what is known of the photos: where they are from, how they were divided."""
    trained = _trained(result)
    if trained is None or result.photos is None:
        yield "The table of the photos is not in the folder of the run."
        return
    photos = number_of(int(trained["photo_id"].nunique()), "photo")
    yield f"Trained on {photos} of {result.photos.root.name}."
    sites = trained["site"].dropna().nunique()
    yield f"Sites: {sites:,} in training." if sites else "The sites of the photos are not known."
    times = trained["datetime"].dropna()
    if len(times):
        yield f"Times: from {times.min():%Y-%m-%d} to {times.max():%Y-%m-%d}, known of {len(times):,} regions."
    by = result.bundle.setting("split", "by")
    kept = f"by {by}" if by else "so that no burst and no byte copy is on both sides, where bursts are known"
    yield f"Training and test photos were divided {kept}."


def _photos_table(result: RunResult) -> Table:
    """Return how many photos and sites each species has."""
    trained, rows = _trained(result), []
    for one in species_of(result.evaluation):
        own = None if trained is None else trained[trained["label"] == one.name]
        photos = DASH if own is None else f"{own['photo_id'].nunique():,}"
        sites = DASH if own is None or own["site"].isna().all() else f"{own['site'].nunique():,}"
        entries = (Entry(photos), Entry(sites), Entry(f"{one.tested:,}"))
        rows.append(Row(one.name, "rare" if one.rare else "", entries))
    columns = ("training photos", "sites of these", f"test {result.unit}s")
    return Table("Photos of each species.", "species", columns, (TableSection("", tuple(rows)),))


def _figures_table(result: RunResult) -> Table:
    """Return recall and precision of each species, as they were counted."""
    rows = []
    for one in species_of(result.evaluation):
        recall = Entry(percent(one.recall), _share(one.found, one.tested))
        precision = Entry(percent(one.precision), _share(one.found, one.called))
        rows.append(Row(one.name, "", (recall, precision)))
    caption = (
        "Recall: of the photos of a species, how many were found. Precision: of those given its name, how many are "
        "right. With the numbers counted and the 95 % interval."
    )
    return Table(caption, "species", ("recall", "precision"), (TableSection("", tuple(rows)),))


def _share(hits: int, trials: int) -> str:
    return f"{hits:,} of {trials:,}, {interval(hits, trials)}" if trials else ""


def _limits(result: RunResult) -> Iterator[str]:
    """Yield what the model cannot do, and what was not measured, as far as the run tells."""
    everyone, trained = species_of(result.evaluation), _trained(result)
    yield (
        f"It gives every photo one of these {len(everyone)} names, also a photo of another species or of no animal."
    )
    if weak := weak_species(result):
        yield f"Found too rarely: {list_of([f'{one.name} ({percent(one.recall)})' for one in weak], 20)}."
    if few := [f"{one.name} ({one.trained})" for one in everyone if one.trained < FEW_TRAINED]:
        yield f"Trained on fewer than {FEW_TRAINED} {result.unit}s: {list_of(few, 20)}."
    if few := [f"{one.name} ({one.tested})" for one in everyone if one.tested < FEW_TESTED]:
        yield f"Tested on fewer than {FEW_TESTED} {result.unit}s, which says little: {list_of(few, 20)}."
    if (accept := result.evaluation.accept) is not None:
        certified = [f"{name} from {own.score:.2f}" for name, own in accept.species.items() if own.score is not None]
        yield (
            f"Answers that need no second look, where species are as common as in {accept.origin}: "
            f"{list_of(certified, 20) if certified else 'of no species'}."
        )
    yield from _limits_of_sites(result, trained)
    others = result.run / "evaluations"
    elsewhere = sorted(path.parent.name for path in others.glob("*/evaluation.json"))
    if elsewhere:
        yield f"Also evaluated on other photos: {list_of(elsewhere, 20)}."
    else:
        yield "It was evaluated on no photos but those of its own source."


def _limits_of_sites(result: RunResult, trained: pd.DataFrame | None) -> Iterator[str]:
    if trained is None or result.photos is None or trained["site"].isna().all():
        yield "Sites are not known: how it does at a place that it was not trained at has not been measured."
        return
    sites = trained.dropna(subset=["site"]).groupby("label")["site"].nunique()
    if trained["site"].nunique() == 1:
        yield "All training photos with a known site are from one site; elsewhere it may do much worse."
    elif len(single := sorted(sites.index[sites == 1])):
        yield f"From a single site each, which may have been learnt in place of the animal: {list_of(single, 20)}."
    rows = result.photos.usable
    tested = set(rows.loc[rows["split"] == "test", "site"].dropna())
    shared = tested & set(trained["site"].dropna())
    if shared:
        yield (
            f"{len(shared):,} of {number_of(len(tested), 'test site')} are training sites, too: at new sites it may "
            "do worse than these figures say."
        )
    elif tested:
        yield "No test site is a training site: the figures are for new sites."
