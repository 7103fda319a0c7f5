"""What is written and read back, as docs/schema.md says: evaluations, cells, `study.json`. One definition of each.

Who writes builds these objects, who reads parses them; both check every value. Nothing here imports torch or pandas.
"""

from fscl.records.cell import CellKey, CellRecord, CosineMatrices, Curve, Provenance, ValidationCurve
from fscl.records.evaluation import (
    Amounts,
    Beside,
    Bias,
    Difference,
    Evaluation,
    Failed,
    Metrics,
    Reason,
    Threshold,
    Unusable,
)
from fscl.records.files import DamagedError, read_cell, read_header, write_record
from fscl.records.reliance import (
    Acceptance,
    AcceptedAnswers,
    Calibration,
    CalibrationErrors,
    FigureIntervals,
    LikeNone,
    ReliabilityBin,
    SetCoverage,
)
from fscl.records.study import Axes, StudyHeader
from fscl.records.values import PAIRS, VERSION, Epoch, Pair

__all__ = [
    "PAIRS",
    "VERSION",
    "Acceptance",
    "AcceptedAnswers",
    "Amounts",
    "Axes",
    "Beside",
    "Bias",
    "Calibration",
    "CalibrationErrors",
    "CellKey",
    "CellRecord",
    "CosineMatrices",
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
    "SetCoverage",
    "StudyHeader",
    "Threshold",
    "Unusable",
    "ValidationCurve",
    "read_cell",
    "read_header",
    "write_record",
]
