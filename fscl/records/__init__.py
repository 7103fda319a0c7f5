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
from fscl.records.explanation import (
    CurvePoint,
    Embedding,
    ExplainedPhoto,
    Explanation,
    LabelToCheck,
    LayerMatrices,
    LayerMeasures,
    Near,
    Tightness,
)
from fscl.records.files import DamagedError, read_cell, read_evaluation, read_explanation, read_header, write_record
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
    "PREDICTION_COLUMNS",
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
    "CurvePoint",
    "DamagedError",
    "Difference",
    "Embedding",
    "Epoch",
    "Evaluation",
    "ExplainedPhoto",
    "Explanation",
    "Failed",
    "FigureIntervals",
    "LabelToCheck",
    "LayerMatrices",
    "LayerMeasures",
    "LikeNone",
    "Metrics",
    "Near",
    "Pair",
    "Provenance",
    "Reason",
    "ReliabilityBin",
    "SetCoverage",
    "StudyHeader",
    "Threshold",
    "Tightness",
    "Unusable",
    "ValidationCurve",
    "read_cell",
    "read_evaluation",
    "read_explanation",
    "read_header",
    "write_record",
]
