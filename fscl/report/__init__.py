"""A study or a single run as a page: reads JSON, stored scores and small pictures, so it rebuilds without torch."""

from fscl.report.page import write_report
from fscl.report.paired import paired_frame
from fscl.report.photos import unreadable_line
from fscl.report.run.page import write_run_report
from fscl.report.study import Study, is_study, read_study
from fscl.report.tables import terminal_table

__all__ = [
    "Study",
    "is_study",
    "paired_frame",
    "read_study",
    "terminal_table",
    "unreadable_line",
    "write_report",
    "write_run_report",
]
