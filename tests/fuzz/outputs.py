"""What fscl has written: models, runs, studies."""

import json
import random
import shutil
from hashlib import sha256
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from tests.fuzz import mutations
from tests.fuzz.attacks import Attack, Kind, change_json, change_metrics, change_state, change_table
from tests.fuzz.valid import COMPARE, RESUME, TRAIN


def _bundle(rng: random.Random, folder: Path) -> Attack:
    change_json(rng, folder / "finished/run/bundle.json")
    commands = [
        ["evaluate", "finished/run"],
        ["evaluate", "finished/run", "photos.parquet"],
        [*TRAIN, "--from", "finished/run"],
    ]
    return Attack(
        rng.choices(commands, (2, 1, 1))[0], ["finished/run/bundle.json", "finished/run/weights.safetensors"]
    )


def _weights(rng: random.Random, folder: Path) -> Attack:
    run = folder / "finished/run"
    path = run / "weights.safetensors"
    if rng.random() < 0.4:
        path.write_bytes(mutations.raw(rng, path.read_bytes()))
    else:
        changed = mutations.state(rng, load_file(path))
        tensors = (
            {n: w.contiguous() for n, w in changed.items() if isinstance(w, torch.Tensor)}
            if isinstance(changed, dict)
            else {}
        )
        path.write_bytes(save({str(name): weight for name, weight in tensors.items()}))
    record = json.loads((run / "bundle.json").read_text(encoding="utf-8"))
    record["weights_sha256"] = sha256(path.read_bytes()).hexdigest()
    (run / "bundle.json").write_text(json.dumps(record), encoding="utf-8")
    commands = [["evaluate", "finished/run"], [*TRAIN, "--weights", "finished/run/weights.safetensors"]]
    return Attack(rng.choice(commands), ["finished/run/weights.safetensors"])


def _state_dict(rng: random.Random, folder: Path) -> Attack:
    change_state(rng, folder / "stopped/run/checkpoint.pt")
    return Attack([*TRAIN, "--weights", "stopped/run/checkpoint.pt"], ["stopped/run/checkpoint.pt"])


def _checkpoint(rng: random.Random, folder: Path) -> Attack:
    change_state(rng, folder / "run/checkpoint.pt")
    return Attack(RESUME)


def _run_file(rng: random.Random, folder: Path) -> Attack:
    run = folder / "run"
    name = rng.choice(("metrics.jsonl", "metrics.jsonl", "config.toml", "photos.parquet", "store", "store"))
    if name == "metrics.jsonl":
        change_metrics(rng, run / name)
    elif name == "photos.parquet":
        change_table(rng, run / name)
    elif name == "config.toml":
        (run / name).write_bytes(mutations.raw(rng, (run / name).read_bytes()))
    else:
        _change_store(rng, run / "store")
    return Attack(RESUME)


def _change_store(rng: random.Random, store: Path) -> None:
    [path] = store.rglob(rng.choice(("store.json", "regions.parquet", "done.bin", "pixels.bin")))
    if path.name == "store.json":
        change_json(rng, path)
    elif path.name == "regions.parquet":
        change_table(rng, path)
    else:
        path.write_bytes(mutations.raw(rng, path.read_bytes()))


def _finished_run(rng: random.Random, folder: Path) -> Attack:
    shutil.move(folder / "finished/run", folder / "run")
    name = rng.choice(("metrics.jsonl", "bundle.json", "photos.json"))
    (change_metrics if name == "metrics.jsonl" else change_json)(rng, folder / "run" / name)
    return Attack(RESUME)


def _study(rng: random.Random, folder: Path) -> Attack:
    change_json(rng, folder / "study" / "study.json")
    return Attack(rng.choice((["report", "study"], COMPARE)))


def _cell(rng: random.Random, folder: Path) -> Attack:
    path = rng.choice(sorted((folder / "study/cells").glob("*.json")))
    change_json(rng, path)
    if rng.random() < 0.1:
        shutil.copy(path, path.with_name("copy.json"))
    return Attack(rng.choices((["report", "study"], COMPARE), (3, 1))[0])


def _scores(rng: random.Random, folder: Path) -> Attack:
    study = folder / "paired"
    change_table(rng, rng.choice([*sorted((study / "scores").glob("*.parquet")), study / "photos.parquet"]))
    return Attack(["report", "paired"])


KINDS = [
    Kind("bundle", ("photos.parquet", "finished"), _bundle, 12),
    Kind("weights", ("photos.parquet", "finished"), _weights, 12),
    Kind("state dict", ("photos.parquet", "stopped"), _state_dict, 6),
    Kind("checkpoint", ("photos.parquet", "recipe.toml", "settings.toml", "stopped/run"), _checkpoint, 8),
    Kind("run folder", ("photos.parquet", "recipe.toml", "settings.toml", "stopped/run"), _run_file, 8),
    Kind("finished run", ("photos.parquet", "recipe.toml", "settings.toml", "finished"), _finished_run, 8),
    Kind("study", ("photos.parquet", "study"), _study, 6),
    Kind("scores", ("paired",), _scores, 5),
    Kind("cell", ("photos.parquet", "study"), _cell, 6),
]
