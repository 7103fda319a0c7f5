"""A study as a page: reads JSON and stored scores only, so it rebuilds without torch."""

from fscl.report.page import write_report
from fscl.report.paired import paired_frame
from fscl.report.photos import unreadable_line
from fscl.report.study import Study, read_study
from fscl.report.tables import terminal_table

__all__ = ["Study", "paired_frame", "read_study", "terminal_table", "unreadable_line", "write_report"]
