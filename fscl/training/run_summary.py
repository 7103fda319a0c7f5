"""What a finished run says of itself on the terminal."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fscl.bundle import Bundle
from fscl.config import resolve
from fscl.methods import read_toml
from fscl.printable import number_of
from fscl.records.log_lines import Count, read_metrics
from fscl.run_folder import RunFolder
from fscl.scoring.metrics import lacking
from fscl.training.subset import imbalance_line, tie

COUNTS = TypeAdapter(dict[str, Count])
LISTED = 5  # photos that could not be read


def run_summary(out: Path) -> str:
    """Return a few lines: what was trained on, how fast, what validation said, and what to do next."""
    folder, bundle = RunFolder(out), Bundle.open(out)
    method = resolve([(str(folder.settings), read_toml(folder.settings))]).method
    metrics = read_metrics(folder.metrics) if folder.metrics.exists() else []
    epochs = [line for line in metrics if line["kind"] == "epoch"]
    problems = [line for line in metrics if line["kind"] == "problem"]
    photos = _training_photos(folder, bundle)
    both = photos != dict(bundle.train_counts)
    regions = {name: f" ({count})" if both else "" for name, count in bundle.train_counts.items()}
    counts = ", ".join(f"{name} {photos[name]}{regions[name]}" for name in regions)
    lines = [
        f"{method.title}: {_length(epochs)}" + (f"; kept epoch {bundle.epoch + 1}" if bundle.step else ""),
        f"training photos{' (regions)' if both else ''}: {counts}",
        imbalance_line(bundle.train_counts, "regions" if both else "photos"),
    ]
    if not bundle.minority:
        lines.append(f"{tie(bundle.train_counts)}; name some with --minority")
    if epochs and epochs[-1]["validation"]:
        lines += _validation_lines(epochs[-1]["validation"], bundle)
    lines += _unreadable(problems, "train", "training", "replaced by others of their class")
    lines += _unreadable(problems, "val", "validation", "the figures are without them")
    run = shlex.quote(str(out))
    lines.append(f"model: {out}; next: fscl evaluate {run}, then fscl report {run}")
    return "\n".join(lines)


def _training_photos(folder: RunFolder, bundle: Bundle) -> dict[str, int]:
    """Return the training photos of each class; the training regions where the folder does not tell."""
    try:
        said = json.loads(folder.source.read_bytes().decode())["counts"]["train"]["photos"]
        photos = COUNTS.validate_python(said, strict=True)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return dict(bundle.train_counts)
    return photos if photos.keys() == bundle.train_counts.keys() else dict(bundle.train_counts)


def _unreadable(problems: list[dict[str, Any]], split: str, name: str, what_then: str) -> list[str]:
    reasons = {line["path"]: line["reason"] for line in problems if line.get("split", "train") == split}
    lines = [f"  {path}: {reason}" for path, reason in list(reasons.items())[:LISTED]]
    more = [f"  and {len(reasons) - LISTED:,} more"] if len(reasons) > LISTED else []
    photos = "photo" if len(reasons) == 1 else "photos"
    return [f"{len(reasons):,} {name} {photos} could not be read, {what_then}:", *lines, *more] if reasons else []


def _length(epochs: Sequence[Mapping[str, Any]]) -> str:
    if not epochs:
        return "its epochs are not known"
    last = epochs[-1]
    if not last["step"]:
        return "its head was fitted at once, without steps"
    length = f"{number_of(last['step'], 'step')}, {number_of(last['epoch'] + 1, 'epoch')}"
    return f"{length}, {last['photos_per_second']:.0f} photos/s"


def _validation_lines(metrics: Mapping[str, Any], bundle: Bundle) -> list[str]:
    rare = {f"recall of {'/'.join(bundle.minority)}": "minority_recall", "of the others": "majority_recall"}
    names = (rare if bundle.minority else {}) | {"balanced accuracy": "balanced_accuracy"}
    shown = {name: metrics[key] for name, key in names.items()}
    figures = ", ".join(f"{name} {'–' if v is None else f'{v:.2f}'}" for name, v in shown.items())
    without = ", ".join(lacking(metrics))
    more = [f"validation lacks {without}: recall is of the other classes alone"] if without else []
    when = ", last epoch" if bundle.step else ""
    return [f"validation{when}: {figures}", *more]
