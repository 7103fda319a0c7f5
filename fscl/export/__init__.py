"""`fscl export`: a trained model as one ONNX file, checked against PyTorch on real photos."""

from fscl.export.run import Limits, Result, export_run

__all__ = ["Limits", "Result", "export_run"]
