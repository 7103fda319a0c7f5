"""One valid file of each kind, small, and the commands that read them."""

import json
import shutil
from pathlib import Path
from typing import Any

import tomli_w
from PIL import Image

from fscl import methods
from fscl.config import Config, resolve, settings
from fscl.experiments.grid import ClassSet
from fscl.experiments.run import compare
from fscl.manifest.table import Manifest
from fscl.progress import Silent
from fscl.scanning.scan import scan
from fscl.training.loop import fit
from tests.fuzz import mutations

QUICK = {"backbone": "test_resnet", "image_size": 32, "batch_size": 4, "workers": 0, "by": "photo"}
FLAGS = [
    "--steps",
    "1",
    "--jobs",
    "1",
    *(word for k, v in QUICK.items() for word in (f"--{k.replace('_', '-')}", str(v))),
]
TRAIN = ["train", "photos.parquet", "--method", "fscl", "--out", "new", *FLAGS[:2], *FLAGS[4:]]
RESUME = [
    "train",
    "photos.parquet",
    "--method",
    "recipe.toml",
    "--config",
    "settings.toml",
    "--out",
    "run",
    "--resume",
]
COMPARE = ["compare", "photos.parquet", "--fine", "boar:deer", "--methods", "baseline", "fscl", "--out", "study"]
COMPARE += ["--ratios", "0.75", *FLAGS]
TABLE = [["filepath", "label", "site", "datetime", "split", "x", "y", "w", "h"]]
TABLE += [
    [f"photos/{name}/{n}.jpg", name, f"cam{n % 3}", f"2021-05-3{n % 2} 08:25:38", "", "1", "2", "9", "8"]
    for n in range(6)
    for name in ("boar", "deer")
]
LABEL_FILE = {
    "images": [
        {
            "id": 1,
            "file_name": "A.jpg",
            "width": 24,
            "height": 20,
            "date_created": "2020.01.14 10:00:00",
            "type": "RGB",
        }
    ],
    "annotations": [{"image_id": 1, "category_id": 1, "category_name": "고라니", "bbox": [[1, 2], [9, 8]], "age": 2}],
    "info": {"version": 1.0, "weather": {"sky": "clear", "wind": 3}},
}
AIHUB_NAME = "A01_F03_C074_C_200114_3001_20S_000001.061"


def prepare(ground: Path) -> None:
    """Make one valid file of each kind below `ground`, small: photos, tables, runs, a study."""
    _draw_photos(ground / "photos")
    photos = scan(ground / "photos")
    photos.write(ground / "photos.parquet")
    (ground / "photos.csv").write_text("\n".join(map(",".join, TABLE)) + "\n", encoding="utf-8")
    (ground / "map.csv").write_text("label,class\nboar,pig\ndeer,deer\n", encoding="utf-8")
    part = ground / "aihub" / "원천데이터" / "TS_01.고라니"
    part.mkdir(parents=True)
    shutil.copy(ground / "photos/boar/0.jpg", part / f"{AIHUB_NAME}.jpg")
    labels = ground / "aihub" / "라벨링데이터" / "TL_01.고라니"
    labels.mkdir(parents=True)
    (labels / f"{AIHUB_NAME}.json").write_text(json.dumps(LABEL_FILE, ensure_ascii=False), encoding="utf-8")
    recipe = methods.read("fscl")
    (ground / "recipe.toml").write_text(tomli_w.dumps(recipe), encoding="utf-8")
    small = settings(QUICK | {"steps": 4, "store": True, "checkpoint_seconds": 0.0})
    (ground / "settings.toml").write_text(tomli_w.dumps(small), encoding="utf-8")
    config = resolve([("recipe", recipe), ("settings", small)])
    fit(config, photos, ground / "finished" / "run")
    _stop(config, photos, ground / "stopped" / "run")
    cells = {
        name: resolve([(name, methods.read(name)), ("", settings(QUICK | {"steps": 1}))])
        for name in ("baseline", "fscl")
    }
    pairs = [ClassSet("fine", ("boar", "deer"), ("deer",))]
    compare(
        photos, cells, ground / "study", pairs=pairs, ratios=[0.75], seeds=[0], title="photos", jobs=1, quiet=True
    )
    _with_seeds(ground / "study", ground / "paired")


def _with_seeds(study: Path, out: Path) -> None:
    """Copy a study of one seed to one of five, so that its report tests methods against each other."""
    header = json.loads((study / "study.json").read_text(encoding="utf-8"))
    header["axes"]["seeds"] = list(range(5))
    (out / "cells").mkdir(parents=True)
    (out / "scores").mkdir()
    (out / "study.json").write_text(json.dumps(header), encoding="utf-8")
    shutil.copy(study / "photos.parquet", out)
    for path in (study / "cells").glob("*.json"):
        cell = json.loads(path.read_text(encoding="utf-8"))
        for seed in header["axes"]["seeds"]:
            name = path.stem.replace("-s0", f"-s{seed}")
            cell["cell"]["seed"] = seed
            (out / "cells" / f"{name}.json").write_text(json.dumps(cell), encoding="utf-8")
            shutil.copy(study / "scores" / f"{path.stem}.parquet", out / "scores" / f"{name}.parquet")


def _draw_photos(folder: Path) -> None:
    generator = mutations.numbers(0)
    for name, count in (("boar", 12), ("deer", 9)):
        (folder / name).mkdir(parents=True)
        for n in range(count):
            pixels = generator.integers(0, 255, (20, 24, 3), dtype="uint8")
            Image.fromarray(pixels).save(folder / name / f"{n}.jpg")


def _stop(config: Config, photos: Manifest, out: Path) -> None:
    class Stopper(Silent):
        def advance(self, step: int, *_: Any) -> None:
            if step == 3:
                raise KeyboardInterrupt

    try:
        fit(config, photos, out, listener=Stopper())
    except KeyboardInterrupt:
        return
