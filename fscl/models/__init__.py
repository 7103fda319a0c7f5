"""The classifier: a timm backbone with feature taps and a linear head."""

from fscl.models.classifier import Classifier, Maps, Outputs

__all__ = ["Classifier", "Maps", "Outputs"]
