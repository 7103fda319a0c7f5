"""`predictions.csv`: what the model said of each photo that was evaluated."""

from pathlib import Path

import pandas as pd

from fscl.atomic import write_text
from fscl.bundle import Bundle
from fscl.decisions import Decisions, decisions_table
from fscl.manifest.names import class_columns
from fscl.manifest.table import BOX, Manifest
from fscl.predictor import answers_table
from fscl.records import PREDICTION_COLUMNS, Evaluation


def predictions(test: Manifest, bundle: Bundle, evaluation: Evaluation, logits: pd.DataFrame) -> pd.DataFrame:
    """Return a row per region that was to be evaluated, see docs/schema.md, "predictions.csv".

    Args:
        test: the photos, those that cannot be used included.
        bundle: the model.
        evaluation: of these photos: it names those that could not be read.
        logits: as `evaluate` returns them.
    """
    rows = test.rows.reset_index(drop=True)
    places = pd.Index(rows["region_id"]).get_indexer(pd.Index(logits["region_id"]))
    scored = logits[[f"logit:{name}" for name in bundle.classes]].to_numpy()
    columns = class_columns(bundle.classes, PREDICTION_COLUMNS)
    at_argmax = (bundle.decisions or Decisions()).at_argmax().probabilities(scored, bundle.classes)
    answers = answers_table(places, at_argmax, scored.argmax(axis=1), bundle.classes, columns).reindex(rows.index)
    decided = decisions_table(bundle.decisions or Decisions(), scored, bundle.classes).set_index(places)
    unread = rows["path"].map({photo.path: photo.reason for photo in evaluation.failed})
    reasons = rows["problem"].fillna(unread.astype("str"))
    boxes = rows[BOX] if rows["x"].notna().any() else rows[[]]
    return pd.concat(
        [
            pd.Series([str(test.photo(path)) for path in rows["path"]], dtype="str", name="filepath"),
            rows["region_id"].rename("region"),
            boxes,
            rows["label"],
            answers,
            reasons.mask(reasons.isna() & rows["label"].isna(), "no label").rename("problem"),
            decided.reindex(rows.index),
        ],
        axis=1,
    )


def write_predictions(path: Path, table: pd.DataFrame) -> None:
    """Write them as CSV, whole or not at all."""
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
