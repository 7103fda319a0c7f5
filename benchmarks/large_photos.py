"""Photos as large as camera traps take them, drawn for the benchmarks: few distinct ones, linked under many names."""

from pathlib import Path

from fscl.manifest.table import Manifest
from fscl.scanning.scan import scan
from fscl.synthetic.photos import generate

SIZE = (2048, 1536)
DISTINCT = 4  # of each class: drawing one takes a second


def large_photos(folder: Path, each: int) -> tuple[Path, Manifest]:
    """Return class folders of `each` JPEGs of 2,048 × 1,536 for two classes, and their manifest."""
    drawn = generate(folder / "drawn", counts={"water_deer": DISTINCT, "wild_boar": DISTINCT}, image_size=SIZE)
    classes = folder / "classes"
    for label, rows in drawn.rows.groupby("label"):
        (classes / label).mkdir(parents=True)
        for number in range(each):
            photo = drawn.photo(rows["path"].iloc[number % DISTINCT])
            (classes / label / f"{number:04}.jpg").hardlink_to(photo)
    return classes, scan(classes)
