"""Why does a model say what it says? Heat maps, nearest training photos, layers, labels to check."""

from fscl.explain.run import explain_run, results_folder

__all__ = ["explain_run", "results_folder"]
