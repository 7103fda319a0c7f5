"""Records of cells that were never run, for tests of what is done with them."""

from fscl.config import Config
from fscl.records import VERSION, CellKey, CellRecord, Evaluation, Metrics, Provenance

METRICS = (
    *("minority_recall", "majority_recall", "balanced_accuracy", "macro_f1", "accuracy"),
    *("auroc", "average_precision", "ece", "log_loss", "balanced_log_loss"),
)


def done(cell: CellKey, config: Config, **provenance) -> CellRecord:
    """Return the record of a cell as if it had been run with a configuration."""
    metrics = Metrics(**dict.fromkeys(METRICS, 0.5), recall_by_class={}, recall_by_bin={})
    classes = list(cell.classes)
    evaluation = Evaluation(
        version=VERSION,
        classes=classes,
        counts=dict.fromkeys(classes, 2),
        figures=metrics,
        threshold=None,
        confusion=[[1] * len(classes)] * len(classes),
        failed=[],
    )
    return CellRecord(
        version=VERSION,
        cell=cell,
        method=config.method,
        status="done",
        evaluations={"last": evaluation},
        provenance=Provenance(config_sha256=config.sha256(), **provenance),
    )
