"""Why does a model say what it says? Heat maps, nearest training photos, layers, labels to check."""

from fscl.explain.run import PAGE, check_folder, explain_run

__all__ = ["PAGE", "check_folder", "explain_run"]
