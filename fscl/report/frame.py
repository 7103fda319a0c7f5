"""The figures of a study as one tidy table, for CSV."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from fscl.records import Metrics
from fscl.report.study import Study


def figures_frame(study: Study) -> pd.DataFrame:
    """Return one row per cell, epoch (last, best) and decision (argmax, threshold), with all figures.

    Columns: `cell`, `pair`, `method`, `ratio`, `seed`, `status`, `reason`, `epoch`, `kept` (whether the recipe
    keeps this epoch), `decision`, `threshold`, the figures of docs/schema.md, `recall:BIN` and `recall:CLASS`; of a
    class that is called as a bin, such as `few`, `recall:class:few`.
    Undefined and failed cells are rows without figures.
    """
    rows: list[dict[str, Any]] = []
    for cell in study.cells:
        key = cell.cell
        about = {"cell": key.name, "pair": key.pair, "method": key.method, "ratio": key.ratio, "seed": key.seed}
        about |= {"status": cell.status, "reason": cell.reason}
        if cell.status != "done":
            rows.append(about | dict.fromkeys(("epoch", "kept", "decision", "threshold")))
        for epoch, evaluation in cell.evaluations.items():
            for decision, figures in evaluation.by_decision().items():
                threshold = evaluation.threshold.value if evaluation.threshold and decision == "threshold" else None
                choice = {"epoch": epoch, "kept": evaluation is cell.result, "decision": decision}
                rows.append(about | choice | {"threshold": threshold} | _flat(figures))
    return pd.DataFrame(rows)


def _flat(figures: Metrics) -> dict[str, Any]:
    plain = asdict(figures)
    bins = plain.pop("recall_by_bin") | plain.pop("recall_by_shot")
    classes = {f"class:{n}" if n in bins else n: recall for n, recall in plain.pop("recall_by_class").items()}
    return plain | {f"recall:{name}": value for name, value in (bins | classes).items()}
