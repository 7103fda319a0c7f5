"""What a finished run says of itself on the terminal."""

import json
from pathlib import Path
from typing import Any

from fscl.bundle import Bundle
from fscl.scoring.metrics import lacking
from fscl.training.log import read_metrics
from fscl.training.run_folder import METRICS, SOURCE
from fscl.training.subset import imbalance_line, tie

LISTED = 5  # photos that could not be read


def run_summary(folder: Path) -> str:
    """Return a few lines: what was trained on, how fast, what validation said, and what to do next."""
    bundle = Bundle.open(folder)
    metrics = read_metrics(folder / METRICS)
    last = [line for line in metrics if line["kind"] == "epoch"][-1]
    problems = [line for line in metrics if line["kind"] == "problem"]
    photos = _training_photos(folder, bundle)
    both = photos != dict(bundle.train_counts)
    regions = {name: f" ({count})" if both else "" for name, count in bundle.train_counts.items()}
    counts = ", ".join(f"{name} {photos[name]}{regions[name]}" for name in regions)
    lines = [
        f"{bundle.config.method.title}: {last['step']} steps, {last['epoch'] + 1} epochs, "
        f"{last['photos_per_second']:.0f} photos/s; kept epoch {bundle.epoch + 1}",
        f"training photos{' (regions)' if both else ''}: {counts}",
        imbalance_line(bundle.train_counts, "regions" if both else "photos"),
    ]
    if not bundle.minority:
        lines.append(f"{tie(bundle.train_counts)}; name some with --minority")
    if last["validation"]:
        shown = {
            f"recall of {'/'.join(bundle.minority)}": last["validation"]["minority_recall"],
            "of the others": last["validation"]["majority_recall"],
        }
        shown = (shown if bundle.minority else {}) | {"balanced accuracy": last["validation"]["balanced_accuracy"]}
        figures = ", ".join(f"{name} {'–' if v is None else f'{v:.2f}'}" for name, v in shown.items())
        lines.append(f"validation, last epoch: {figures}")
        without = lacking(last["validation"])
        if without:
            lines.append(f"validation lacks {', '.join(without)}: recall is of the other classes alone")
    lines += _unreadable(problems, "train", "training", "replaced by others of their class")
    lines += _unreadable(problems, "val", "validation", "the figures are without them")
    lines.append(f"model: {folder}; next: fscl evaluate {folder}")
    return "\n".join(lines)


def _training_photos(folder: Path, bundle: Bundle) -> dict[str, int]:
    """Return the training photos of each class; the regions where a run of an earlier version does not say more."""
    path = folder / SOURCE
    if not path.exists():
        return dict(bundle.train_counts)
    photos: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))["counts"]["train"]["photos"]
    return photos


def _unreadable(problems: list[dict[str, Any]], split: str, name: str, what_then: str) -> list[str]:
    found = {line["path"]: line["reason"] for line in problems if line.get("split", "train") == split}
    lines = [f"  {path}: {reason}" for path, reason in list(found.items())[:LISTED]]
    more = [f"  and {len(found) - LISTED:,} more"] if len(found) > LISTED else []
    photos = "photo" if len(found) == 1 else "photos"
    return [f"{len(found):,} {name} {photos} could not be read, {what_then}:", *lines, *more] if found else []
