"""`fscl predict`: a trained model on any number of photos; each of them is in the result."""

from fscl.decisions import UNSURE_BELOW
from fscl.prediction.run import Wanted, predict_photos
from fscl.prediction.sorting import Sorting
from fscl.prediction.summary import Summary

__all__ = ["UNSURE_BELOW", "Sorting", "Summary", "Wanted", "predict_photos"]
