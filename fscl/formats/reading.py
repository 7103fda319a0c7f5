"""What the user says about a source, because the source itself does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fscl.formats.boxes import Frame, Unit
from fscl.formats.detections import Detected
from fscl.formats.tables.times import DateOrder

SiteFrom = Literal["camera"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read a source.

    Attributes:
        layout: what the folders of class folders mean, such as site/class (classes, in splits or not); see
            `fscl.formats.class_folders.layouts`
        root: the folder or zip that the photos of a manifest or table are in now (where it says)
        box_unit: of the boxes of a table: pixel, fraction or percent (what fits nearly all of them)
        box_frame: what boxes were drawn on: the stored pixels, or the photo upright as EXIF turns it (stored)
        date_order: of dates in a table that do not begin with the year: dmy, mdy or ymd (they are left out)
        zip_encoding: of file names in zips that do not say theirs: cp949, cp850, … (what suits all names best)
        source_format: a name of `fscl.formats.FORMATS` (the first that recognises the source)
        blanks: photos without an animal are the class `blank` (rows that are left out)
        detections: a file of MegaDetector, whose animal boxes take the labels of their photos (none)
        detection_confidence: of the boxes of a detector, from 0 to 1; those below are left out (0.3)
        frames_per_second: that are taken of videos (1, or all that a detector looked at)
        site_from: `camera` takes the camera that EXIF names as the site where the source has none
    """

    layout: str | None = None
    root: Path | None = None
    box_unit: Unit | None = None
    box_frame: Frame | None = None
    date_order: DateOrder | None = None
    zip_encoding: str | None = None
    source_format: str | None = None
    blanks: bool = False
    detections: Path | None = None
    detection_confidence: float | None = None
    frames_per_second: float | None = None
    site_from: SiteFrom | None = None
    frames_of: Mapping[str, Detected] | None = None
    """What a detector says of which frames of videos are taken, by its names, where it is not `detections`."""
    unlabelled: bool = False
    """A table needs no column of labels: its photos are to be predicted."""
    labels: frozenset[str] = field(default_factory=frozenset)
    """Labels that a class map names: they are labels even where they look like words for nothing, such as None."""


NOTHING_SAID = Reading()
