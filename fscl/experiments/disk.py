"""The disk that a comparison takes: nearly all of it is weights of finished cells."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from fscl.experiments.cell import Task
from fscl.models import Classifier
from fscl.printable import number_of

BYTES = 4  # of a weight, float32
SAID_FROM = 1.0  # GB: less than this is no news, if it is free


def disk_note(tasks: Sequence[Task], out: Path) -> str | None:
    """Return what is to be said of the disk before the cells run; None where they take little.

    Args:
        tasks: the cells to run.
        out: the study folder, or where it will be.
    """
    kept = [task for task in tasks if task.keep_weights]
    sizes = {network: _gigabytes(task) for network, task in {_network(task): task for task in kept}.items()}
    gigabytes = 2 * sum(sizes[_network(task)] for task in kept)  # of the last epoch and often of the best
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free / 1e9
    if not kept or gigabytes < min(SAID_FROM, free):
        return None
    short = f"; only {free:.1f} GB are free there" if free < gigabytes else ""
    return (
        f"weights of {number_of(len(kept), 'cell')}: up to {gigabytes:.1f} GB in {out}{short} "
        "(fscl compare --no-keep-weights drops those of finished cells; figures and scores stay)"
    )


def _network(task: Task) -> tuple[str, int, int]:
    return task.config.model.model_dump_json(), len(task.cell.classes), task.config.preprocessing.image_size


def _gigabytes(task: Task) -> float:
    model, size = task.config.model, task.config.preprocessing.image_size
    classifier = Classifier(model.backbone, len(task.cell.classes), model.layers, image_size=size, head=model.head)
    weights: dict[str, Tensor] = classifier.state_dict()
    return BYTES * sum(weight.numel() for weight in weights.values()) / 1e9
