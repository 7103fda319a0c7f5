"""What a finished run says of itself on the terminal."""

from pathlib import Path

from fscl.bundle import Bundle
from fscl.training.log import read_metrics
from fscl.training.run_folder import METRICS
from fscl.training.subset import imbalance_line, tie


def run_summary(folder: Path) -> str:
    """Return a few lines: what was trained on, how fast, what validation said, and what to do next."""
    bundle = Bundle.open(folder)
    metrics = read_metrics(folder / METRICS)
    last = [line for line in metrics if line["kind"] == "epoch"][-1]
    unreadable = {line["path"]: line["reason"] for line in metrics if line["kind"] == "problem"}
    counts = ", ".join(f"{name} {count}" for name, count in bundle.train_counts.items())
    lines = [
        f"{bundle.config.method.title}: {last['step']} steps, {last['epoch'] + 1} epochs, "
        f"{last['photos_per_second']:.0f} photos/s; kept epoch {bundle.epoch + 1}",
        f"training photos: {counts}",
        imbalance_line(bundle.train_counts),
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
    if unreadable:
        lines.append(f"{len(unreadable)} photos could not be read and were replaced by others of their class:")
        lines += [f"  {path}: {reason}" for path, reason in list(unreadable.items())[:5]]
    lines.append(f"model: {folder}; next: fscl evaluate {folder}")
    return "\n".join(lines)
