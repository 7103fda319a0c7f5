"""From logits to an answer: what was chosen for a model, saved with it and used wherever it decides."""

from fscl.decisions.calibrating import ENOUGH, CalibrationPhotos, CrossFitted, calibrated
from fscl.decisions.deciding import UNSURE_BELOW, Decisions, decisions_table, set_name, why_no_threshold
from fscl.decisions.parts import (
    Accept,
    AcceptedSpecies,
    AcceptRung,
    CrossFittedBias,
    MinorityThreshold,
    Sets,
    Temperature,
    Unknown,
)

__all__ = [
    "ENOUGH",
    "UNSURE_BELOW",
    "Accept",
    "AcceptRung",
    "AcceptedSpecies",
    "CalibrationPhotos",
    "CrossFitted",
    "CrossFittedBias",
    "Decisions",
    "MinorityThreshold",
    "Sets",
    "Temperature",
    "Unknown",
    "calibrated",
    "decisions_table",
    "set_name",
    "why_no_threshold",
]
