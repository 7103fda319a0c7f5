"""How evenly a split has divided the classes, and what is wrong with one."""

import pandas as pd

from fscl.manifest.table import SPLITS, is_usable


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


def _trouble(report: pd.DataFrame) -> pd.Series:
    seen = report.apply(lambda row: f" (sites: {row['sites']}, sequences: {row['sequences']})", axis=1)
    trouble = pd.Series(index=report.index, dtype="str")
    if report["val"].any():
        trouble[report["val"] == 0] = "no validation photo: plays no part in choosing epoch or threshold" + seen
    trouble[report["test"] == 0] = "no test photo: not evaluable" + seen
    trouble[report["train"] == 0] = "no training photo: cannot be learnt" + seen
    return trouble
