"""The readers themselves, without a command around them: many inputs in little time."""

import random
from pathlib import Path

import torch

import fscl
from fscl import methods
from fscl.config import resolve
from fscl.errors import PhotosError
from fscl.experiments.ledger import Ledger
from fscl.loading.store import PhotoStore
from fscl.manifest.table import Manifest
from fscl.records.log_lines import read_metrics
from fscl.report import read_study
from fscl.scoring.curves import CURVE_POINTS, curve, validation_curve
from fscl.training.checkpoint import Checkpoint
from fscl.training.log import MetricsLog
from fscl.training.subset import split_photos
from tests.fuzz import mutations
from tests.fuzz.attacks import Attack, Kind, change_json, change_metrics, change_table


def _manifest(rng: random.Random, folder: Path) -> Attack:
    path = folder / "photos.parquet"
    change_table(rng, path)

    def read() -> None:
        photos = Manifest.read(path)
        split_photos(photos, resolve([("", methods.read("fscl"))]).split).write(folder / "x.parquet")
        assert len(Manifest.read(folder / "x.parquet").rows) == len(photos.rows)

    return Attack(reader=read, users=["photos.parquet"])


def _bundle(rng: random.Random, folder: Path) -> Attack:
    change_json(rng, folder / "finished/run/bundle.json")

    def read() -> None:
        answer = fscl.load(folder / "finished/run").predict([folder / "photo.jpg"])
        assert answer["probability"].notna().all()

    return Attack(reader=read, users=["finished/run/bundle.json"])


def _settings(rng: random.Random, folder: Path) -> Attack:
    recipe = methods.read(rng.choice(methods.names()))
    above = mutations.document(rng, resolve([("recipe", recipe)]).record(), mutations.toml_junk)
    (folder / "mine.toml").write_bytes(mutations.as_toml(above))

    def read() -> None:
        resolved = resolve([("recipe", recipe), ("mine.toml", methods.read_toml(folder / "mine.toml"))])
        assert resolve([("again", resolved.record())]) == resolved

    return Attack(reader=read)


def _checkpoint(rng: random.Random, folder: Path) -> Attack:
    layer = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)

    def step() -> None:
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()

    step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 1 / (1 + done))
    checkpoint = Checkpoint(folder / "a.pt", {"layer": layer, "optimizer": optimizer, "schedule": schedule})
    checkpoint.save(3)
    torch.save(mutations.state(rng, torch.load(folder / "a.pt", weights_only=True)), folder / "a.pt")

    def read() -> None:
        assert 0 <= checkpoint.load(steps=5) <= 5
        step()
        schedule.step()

    return Attack(reader=read)


def _metrics(rng: random.Random, folder: Path) -> Attack:
    path = folder / "run/metrics.jsonl"
    change_metrics(rng, path)

    def read() -> None:
        assert len(curve(read_metrics(path)).step) <= CURVE_POINTS
        validation_curve(read_metrics(path))
        MetricsLog(path, flush_every=1, after=2)
        assert all(line["step"] <= 2 for line in read_metrics(path))

    return Attack(reader=read)


def _study(rng: random.Random, folder: Path) -> Attack:
    paths = [folder / "study/study.json", *sorted((folder / "study/cells").glob("*.json"))]
    change_json(rng, rng.choice(paths))

    def read() -> None:
        Ledger(folder / "study").before()
        read_study(folder / "study")

    return Attack(reader=read)


def _store(rng: random.Random, folder: Path) -> Attack:
    [record] = (folder / "run/store").rglob("store.json")
    if rng.random() < 0.6:
        change_json(rng, record)
    else:
        change_table(rng, record.with_name("regions.parquet"))

    def read() -> None:
        store = PhotoStore(record.parent)
        for place in range(len(store)):
            try:
                store[place]
            except PhotosError:
                continue

    return Attack(reader=read)


KINDS = [
    Kind("read manifest", ("photos.parquet",), _manifest, 150),
    Kind("read bundle", ("finished",), _bundle, 60),
    Kind("read settings", (), _settings, 200),
    Kind("read checkpoint", (), _checkpoint, 150),
    Kind("read metrics", ("stopped/run",), _metrics, 80),
    Kind("read study", ("study",), _study, 100),
    Kind("read store", ("stopped/run",), _store, 60),
]
