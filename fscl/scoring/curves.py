"""What a run noted of its steps and epochs, as curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fscl.records import Curve, ValidationCurve
from fscl.scoring.metrics import lacking

CURVE_POINTS = 200


def curve(metrics: Sequence[Mapping[str, Any]]) -> Curve:
    """Return the losses of a run as at most 200 points, each the mean of the steps since the one before.

    A term is None where it has no steps: a stage may train with another loss. Without steps the curve is empty.
    """
    steps = [line for line in metrics if line["kind"] == "step"]
    if not steps:
        return Curve(step=[], loss=[], terms={})
    table = pd.DataFrame([{"step": s["step"], "loss": s["loss"], **s["terms"]} for s in steps])
    part = np.arange(len(table)) * min(CURVE_POINTS, len(table)) // len(table)
    means = table.groupby(part).mean()
    names = [name for name in means.columns if name not in ("step", "loss")]
    return Curve(
        step=table["step"].groupby(part).max().tolist(),
        loss=means["loss"].round(5).tolist(),
        terms={name: means[name].round(5).astype(object).where(means[name].notna(), None).tolist() for name in names},
    )


def validation_curve(metrics: Sequence[Mapping[str, Any]]) -> ValidationCurve:
    """Return the validation metrics by epoch, and the classes of which validation lacks photos."""
    epochs = [line for line in metrics if line["kind"] == "epoch" and line["validation"]]
    return ValidationCurve(
        epoch=[line["epoch"] for line in epochs],
        lacking=lacking(epochs[-1]["validation"]) if epochs else [],
        balanced_accuracy=[line["validation"]["balanced_accuracy"] for line in epochs],
        balanced_log_loss=[line["validation"]["balanced_log_loss"] for line in epochs],
        minority_recall=[line["validation"]["minority_recall"] for line in epochs],
    )
