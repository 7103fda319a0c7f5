"""The report of a folder: of a run, or of a study."""

from pathlib import Path

from fscl.report.page import write_study_report
from fscl.report.run.page import write_run_report
from fscl.report.study import is_study


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a run or of a study and return the path of its page.

    Args:
        folder: of a run that `fscl evaluate` has scored, of its evaluation on other photos, or of `fscl compare`.
        out: the page, ending in `.html`; default `report.html` in the folder.

    Raises:
        OutputError: neither of these, nothing to show in it, or damaged; `out` is not an `.html` file, or a file
            cannot be written.
    """
    return write_study_report(folder, out) if is_study(folder) else write_run_report(folder, out)
