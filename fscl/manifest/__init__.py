"""Which photos there are: the table, its splits and its ratios. No torch, so scanning starts at once."""

from fscl.manifest.table import COLUMNS, VERSION, Manifest

__all__ = ["COLUMNS", "VERSION", "Manifest"]
