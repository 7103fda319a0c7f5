"""The model folder: weights.safetensors + bundle.json. It opens without any flag; nothing is unpickled."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import save

from fscl.atomic import write_bytes, write_text
from fscl.config import Config, Preprocessing
from fscl.errors import BundleError, FsclError
from fscl.models import Classifier
from fscl.models.classifier import read_weights

FORMAT, VERSION = "fscl-bundle", 1
RECORD, WEIGHTS = "bundle.json", "weights.safetensors"


@dataclass(frozen=True)
class Bundle:
    """A classifier with all that is needed to use it: classes, preprocessing, configuration."""

    classifier: Classifier
    classes: tuple[str, ...]
    minority: tuple[str, ...]
    train_counts: Mapping[str, int]
    preprocessing: Preprocessing
    config: Config
    epoch: int
    step: int

    def at(self, epoch: int, step: int) -> "Bundle":
        """Return the same bundle, taken at another moment of training."""
        return replace(self, epoch=epoch, step=step)

    def save(self, folder: Path) -> None:
        """Write the bundle into `folder`: the record last, so that a folder with a record has its weights.

        Raises:
            OSError: the disk is full or cannot be written. (safetensors' own writer raises its own error.)
        """
        weights = save({n: w.detach().cpu().contiguous() for n, w in self.classifier.state_dict().items()})
        write_bytes(folder / WEIGHTS, weights)
        record = {
            "format": FORMAT,
            "version": VERSION,
            "classes": list(self.classes),
            "minority": list(self.minority),
            "train_counts": dict(self.train_counts),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
            "model": {"backbone": self.config.model.backbone, "taps": list(self.config.model.layers)},
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "config": self.config.record(),
            "epoch": self.epoch,
            "step": self.step,
            "created": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
            "versions": versions(),
        }
        write_text(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read a bundle.

        Raises:
            BundleError: no bundle there, a version that is not known, or weights that do not fit the record.
        """
        record = _record(folder)
        if _sha256(folder / WEIGHTS) != record["weights_sha256"]:
            raise BundleError(
                f"{folder / WEIGHTS}: not the weights that {RECORD} describes (other checksum): cut short, or "
                "from another run; copy both files again"
            )
        try:
            config = Config.model_validate(record["config"])
            preprocessing = Preprocessing.model_validate(record["preprocessing"])
            classes = tuple(record["classes"])
            classifier = Classifier(
                config.model.backbone,
                len(classes),
                config.model.layers,
                image_size=preprocessing.image_size,
                head=config.model.head,
            )
            classifier.load_state_dict(read_weights(folder / WEIGHTS))
            return cls(
                classifier=classifier.eval(),
                classes=classes,
                minority=tuple(record["minority"]),
                train_counts=record["train_counts"],
                preprocessing=preprocessing,
                config=config,
                epoch=record["epoch"],
                step=record["step"],
            )
        except (FsclError, ValidationError, RuntimeError, KeyError, TypeError) as error:
            raise BundleError(f"{folder}: {RECORD} and {WEIGHTS} do not fit each other: {error}") from None


def versions() -> dict[str, str]:
    """Return the versions of what computed."""
    return {name: version(name) for name in ("fscl", "torch", "timm")} | {"python": platform.python_version()}


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        raise BundleError(
            f"{folder}: no {RECORD} there; expected the folder of a finished run, as `fscl train` makes"
        )
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{path}: not JSON, cut short? ({error})") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise BundleError(f'{path}: not a model of ours: expected "format": "{FORMAT}"')
    if record.get("version") != VERSION:
        raise BundleError(f"{path}: version {record.get('version')}, this fscl reads version {VERSION}; update fscl")
    if not (folder / WEIGHTS).is_file():
        raise BundleError(f"{folder / WEIGHTS}: missing; copy the whole folder")
    return record


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
