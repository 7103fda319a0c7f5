"""How evenly a split has divided the classes, what is wrong with one, and what the source had left open."""

from collections.abc import Mapping

import pandas as pd

from fscl.manifest.table import SPLITS, is_usable
from fscl.printable import number_of

PARTS = {"val": "validation", "test": "test"}


def balance_report(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per class, most photos first, and what is wrong with it.

    Columns: `label`; `train`, `val`, `test` (photos); `train_regions`, `val_regions`, `test_regions` (their boxes, or
    1 for a photo without); `sites`, `sequences` (how many its photos come from); `evaluable` (it has training and
    test photos); `trouble` (a sentence, missing where all is well). A class without validation photos is in trouble
    only where other classes have some.

    >>> rows = pd.DataFrame({"photo_id": list("abc"), "label": ["boar", "boar", "bear"], "site": list("xyx")})
    >>> rows["sequence"], rows["problem"], rows["split"] = None, None, ["train", "test", "train"]
    >>> balance_report(rows)[["label", "train", "test", "sites", "evaluable"]].values.tolist()
    [['boar', 1, 1, 2, True], ['bear', 1, 0, 1, False]]
    """
    labelled = rows[is_usable(rows)]
    photos = labelled.drop_duplicates(["label", "photo_id"])
    report = labelled.groupby("label").agg(sites=("site", "nunique"), sequences=("sequence", "nunique"))
    for position, part in enumerate(SPLITS):
        counts = photos.loc[photos["split"] == part, "label"].value_counts()
        report.insert(position, part, counts.reindex(report.index, fill_value=0))
        regions = labelled.loc[labelled["split"] == part, "label"].value_counts()
        report[f"{part}_regions"] = regions.reindex(report.index, fill_value=0)
    report["evaluable"] = (report["train"] > 0) & (report["test"] > 0)
    report["trouble"] = _trouble(report)
    most_first = photos["label"].value_counts().reindex(report.index).sort_values(ascending=False, kind="stable")
    return report.loc[most_first.index].reset_index()


def at_single_site(usable: pd.DataFrame) -> dict[str, str]:
    """Return the classes that are at one site alone, with that site, where there are several; by name.

    Of a class with a photo whose site is not known nothing is said.

    >>> rows = pd.DataFrame({"label": ["fox", "fox", "hare", "hare", "otter"], "site": ["A", "B", "A", None, "B"]})
    >>> at_single_site(rows)
    {'otter': 'B'}
    """
    if usable["site"].nunique() < 2:
        return {}
    by_class = usable.groupby("label")["site"]
    single = (by_class.nunique() == 1) & (by_class.count() == by_class.size())
    return dict(by_class.first()[single])


def filled_in(
    source: pd.DataFrame, divided: pd.DataFrame, shares: Mapping[str, float], *, by_time: bool = False
) -> list[str]:
    """Say what a split has filled in that some photos had already: parts that it lacked, photos that had none.

    Args:
        source: manifest rows as they were given.
        divided: the same, each usable one in a part.
        shares: part, `val` or `test` → the share of each class that it takes of training where no photo is in it.
        by_time: the share is of the last training photos, of whatever class.

    >>> rows = pd.DataFrame({"photo_id": list("abcd"), "label": "fox", "problem": None, "split": "train"})
    >>> filled_in(rows, rows.assign(split=["train", "train", "train", "val"]), {"val": 0.25, "test": 0})
    ['no photo is marked val: 25 % of each class of the training photos are the validation (1 photo)']
    """
    marked = source.loc[is_usable(source), ["photo_id", "split"]]
    if marked["split"].isna().all():
        return []
    notes, photos = [], divided[is_usable(divided)].groupby("split")["photo_id"].nunique()
    unmarked = marked.loc[marked["split"].isna(), "photo_id"].nunique()
    if unmarked:
        notes.append(
            f"{number_of(unmarked, 'photo')} of {marked['photo_id'].nunique():,} without a split: for training, but "
            "for those of a photo, sequence or site that is held out"
        )
    lacking = [part for part, share in shares.items() if share > 0 and not (marked["split"] == part).any()]
    taken = [part for part in lacking if part in photos]
    if taken:
        which = "the last {share:g} % of" if by_time else "{share:g} % of each class of"
        said = [f"{which.format(share=100 * shares[p])} the training photos are the {PARTS[p]}" for p in taken]
        counts = [f" ({number_of(photos[part], 'photo')})" for part in taken]
        sentence = ", ".join(words + count for words, count in zip(said, counts, strict=True))
        notes.append(f"no photo is marked {' or '.join(taken)}: {sentence}")
    return notes


def _trouble(report: pd.DataFrame) -> pd.Series:
    seen = report.apply(lambda row: f" (sites: {row['sites']}, sequences: {row['sequences']})", axis=1)
    trouble = pd.Series(index=report.index, dtype="str")
    if report["val"].any():
        trouble[report["val"] == 0] = "no validation photo: plays no part in choosing epoch or threshold" + seen
    trouble[report["test"] == 0] = "no test photo: not evaluable" + seen
    trouble[report["train"] == 0] = "no training photo: cannot be learnt" + seen
    return trouble
