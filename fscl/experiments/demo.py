"""The main job without any data: drawn wildlife, the study's four methods and pretrained features, a report."""

from pathlib import Path

from fscl import methods
from fscl.config import Config, resolve, settings
from fscl.experiments.grid import ClassSet
from fscl.experiments.ledger import DRAWN_PHOTOS, Ledger
from fscl.experiments.run import compare
from fscl.manifest.table import Manifest
from fscl.synthetic.photos import SPECIES, generate

PHOTOS_PER_SPECIES = 540
MINORITY = "roe_deer"
BASE, RATIO = 400, 0.05
STEPS, IMAGE_SIZE = 120, 48
PRETRAINED_SIZE = 128


def run_demo(out: Path, *, seed: int = 0, jobs: int | None = None, overwrite: bool = False) -> Path:
    """Draw photos of three species, make one rare, train the methods; return the study folder.

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
    manifest = folder / "photos.parquet"
    if manifest.exists():
        photos = Manifest.read(manifest)
    else:
        photos = generate(folder, counts=dict.fromkeys(SPECIES, PHOTOS_PER_SPECIES), seed=seed)
        photos.write(manifest)
    configs = {name: _config(name, steps=STEPS, image_size=IMAGE_SIZE) for name in methods.STUDY}
    configs[methods.DEFAULT] = _config(methods.DEFAULT, image_size=PRETRAINED_SIZE)
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


def _config(method: str, **flags: int) -> Config:
    return resolve([(method, methods.read(method)), ("demo", settings({"val_fraction": 0.1, **flags}))])
