"""How good is a model? A bundle on labelled photos: its metrics, what was not scored, and what is printed of them."""

from fscl.evaluation.evaluate import evaluate
from fscl.evaluation.of_run import evaluate_run
from fscl.evaluation.terminal import table

__all__ = ["evaluate", "evaluate_run", "table"]
