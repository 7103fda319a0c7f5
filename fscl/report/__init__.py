"""A study or a single run as a page: reads JSON, stored scores and small pictures, so it rebuilds without torch."""

from fscl.report.paired import paired_frame
from fscl.report.photos import unreadable_line
from fscl.report.study import Study, read_study
from fscl.report.tables import terminal_table
from fscl.report.writing import write_report

__all__ = [
    "Study",
    "paired_frame",
    "read_study",
    "terminal_table",
    "unreadable_line",
    "write_report",
]
