"""The main job without any data: drawn wildlife, the study's four methods, a report."""

from pathlib import Path

from fscl import methods
from fscl.config import resolve, settings
from fscl.experiments.grid import ClassSet
from fscl.experiments.ledger import DRAWN_PHOTOS, Ledger
from fscl.experiments.run import compare
from fscl.manifest.table import Manifest
from fscl.synthetic.photos import SPECIES, generate

PHOTOS_PER_SPECIES = 540
MINORITY = "roe_deer"
BASE, RATIO = 400, 0.05
STEPS, IMAGE_SIZE = 120, 48


def run_demo(out: Path, *, seed: int = 0, jobs: int | None = None, overwrite: bool = False) -> Path:
    """Draw photos of three species, make one rare, train the four methods; return the study folder.

    Args:
        out: the folder: photos under `photos`, then as in docs/schema.md.
        seed: of the photos and of training.
        jobs: runs at once; one per core by default.
        overwrite: drop what the folder holds of an earlier demo.

    Raises:
        OutputError: the folder holds something else.
    """
    Ledger(out).claim(overwrite=overwrite)
    folder = out / DRAWN_PHOTOS / f"seed{seed}"
    drawn = folder / "photos.parquet"
    if drawn.exists():
        photos = Manifest.read(drawn)
    else:
        photos = generate(folder, counts=dict.fromkeys(SPECIES, PHOTOS_PER_SPECIES), seed=seed)
        photos.write(drawn)
    flags = settings({"steps": STEPS, "image_size": IMAGE_SIZE, "val_fraction": 0.1})
    configs = {name: resolve([(name, methods.read(name)), ("demo", flags)]) for name in methods.STUDY}
    return compare(
        photos,
        configs,
        out,
        pairs=[ClassSet("all", tuple(sorted(SPECIES)), (MINORITY,), BASE)],
        ratios=[RATIO],
        seeds=[seed],
        title="Demo",
        photos="generated",
        jobs=jobs,
        overwrite=overwrite,
        command="fscl demo",
    )
