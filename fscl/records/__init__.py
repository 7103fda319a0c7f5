"""What is written and read back, as docs/schema.md says: evaluations, cells, `study.json`. One definition of each.

Who writes builds these objects, who reads parses them; both check every value. Nothing here imports torch or pandas.
"""

from fscl.records.cell import CellKey, CellRecord, CosineMatrices, Curve, ValidationCurve
from fscl.records.evaluation import (
    PREDICTION_COLUMNS,
    Amounts,
    Beside,
    Bias,
    Difference,
    Evaluation,
    Failed,
    Metrics,
    Provenance,
    Reason,
    Threshold,
    Unusable,
)
from fscl.records.files import DamagedError, read_cell, read_evaluation, read_header, write_record
from fscl.records.reliance import (
    Acceptance,
    AcceptedAnswers,
    AnsweredAt,
    Calibration,
    CalibrationErrors,
    Credit,
    FigureIntervals,
    LikeNone,
    ReliabilityBin,
    RollUp,
    SetCoverage,
)
from fscl.records.study import Axes, StudyHeader
from fscl.records.values import PAIRS, VERSION, Epoch, Pair

__all__ = [
    "PAIRS",
    "PREDICTION_COLUMNS",
    "VERSION",
    "Acceptance",
    "AcceptedAnswers",
    "Amounts",
    "AnsweredAt",
    "Axes",
    "Beside",
    "Bias",
    "Calibration",
    "CalibrationErrors",
    "CellKey",
    "CellRecord",
    "CosineMatrices",
    "Credit",
    "Curve",
    "DamagedError",
    "Difference",
    "Epoch",
    "Evaluation",
    "Failed",
    "FigureIntervals",
    "LikeNone",
    "Metrics",
    "Pair",
    "Provenance",
    "Reason",
    "ReliabilityBin",
    "RollUp",
    "SetCoverage",
    "StudyHeader",
    "Threshold",
    "Unusable",
    "ValidationCurve",
    "read_cell",
    "read_evaluation",
    "read_header",
    "write_record",
]
