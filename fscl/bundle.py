"""The model folder: weights.safetensors + bundle.json. It opens without any flag; nothing is unpickled."""

import hashlib
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from safetensors.torch import save

from fscl.atomic import write_bytes, write_text
from fscl.config import Component, Preprocessing, Section
from fscl.decisions import Decisions
from fscl.errors import BundleError, FsclError, first_line, in_words, shown
from fscl.models import Classifier
from fscl.models.classifier import NOT_BUILT
from fscl.models.weights import read_weights
from fscl.run_folder import ONNX, RECORD, WEIGHTS, RunFolder

VERSION: Literal[2] = 2
AGAIN = "copy the whole folder again"
Count = Annotated[int, Field(ge=0, le=2**53)]


class Architecture(Section):
    """What the classifier is built of; its number of classes and photo size stand beside it in the record."""

    backbone: str
    head: Component | None = None  # absent in version 1, where the configuration has it
    taps: tuple[int | str, ...]  # stages whose features the losses saw; in version 1 they may be names


class Start(Section):
    """Where the weights that training started from were from, and what of them was taken."""

    origin: str  # a name of `PACKAGES`, a file, a folder of a run, a model on timm's hub
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None  # of the file; None: fetched by timm
    taken: Count | None  # weights, by count; None: as above
    by_order: bool = False  # their names differ from the backbone's
    new: tuple[str, ...] = ()  # of the backbone, drawn at random: its head
    left_over: tuple[str, ...] = ()  # of the file


class BundleRecord(Section):
    """`bundle.json`, as it is written and read; docs/schema.md has every key."""

    format: Literal["fscl-bundle"]
    version: Literal[1, 2]
    classes: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=2)]
    minority: tuple[str, ...]
    train_counts: dict[str, Count]
    preprocessing: Preprocessing
    model: Architecture
    start: Start | None = None  # absent: from scratch, or of an earlier release
    decisions: Decisions | None = None  # absent in version 1
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    config: dict[str, Any]  # where the model comes from: a bundle opens whatever is there
    epoch: Count
    step: Count
    created: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _agrees(self) -> "BundleRecord":
        check_classes(self.classes, self.minority, self.train_counts, self.decisions)
        if (self.version == 1) != ("decisions" not in self.model_fields_set):
            raise ValueError("decisions: expected in version 2, and not in version 1")
        if (self.version == 1) != ("head" not in self.model.model_fields_set):
            raise ValueError("model.head: expected in version 2, and not in version 1")
        return self

    @property
    def head(self) -> Component | None:
        """What stands in place of the backbone's own linear layer; version 1 has it in the configuration alone."""
        if self.version == VERSION:
            return self.model.head
        model = self.config.get("model")
        head = model.get("head") if isinstance(model, dict) else None
        return None if head is None else Component.model_validate(head)


def check_classes(
    classes: Sequence[str], minority: Sequence[str], train_counts: Mapping[str, int], decisions: Decisions | None
) -> None:
    """Make sure that all that is said of classes is said of these.

    Raises:
        ValueError: something that is not.

    >>> check_classes(["boar", "deer"], ["hare"], {"boar": 9, "deer": 3}, None)
    Traceback (most recent call last):
    ValueError: minority: expected some of the classes, and not all of them
    """
    names = set(classes)
    if len(names) < len(classes):
        raise ValueError("classes: expected each class once")
    if not set(minority) < names:
        raise ValueError("minority: expected some of the classes, and not all of them")
    if set(train_counts) != names:
        raise ValueError("train_counts: expected a count for each of the classes")
    threshold = decisions and decisions.threshold
    if threshold and (len(classes) != 2 or threshold.minority not in names):
        raise ValueError("decisions.threshold: expected two classes, and the rare one of them")
    for part, given in (decisions.by_class() if decisions else {}).items():
        if set(given) != names:
            raise ValueError(f"decisions.{part}: expected one for each of the classes")


@dataclass(frozen=True)
class Bundle:
    """A classifier with all that is needed to use it: classes, preprocessing, decisions.

    `config` says how it was made, as JSON types; no answer is decided by it. `decisions` are None where none were
    chosen yet: in a bundle of version 1, and of an epoch while its run goes on.
    """

    classifier: Classifier
    classes: tuple[str, ...]
    minority: tuple[str, ...]
    train_counts: Mapping[str, int]
    preprocessing: Preprocessing
    architecture: Architecture
    config: Mapping[str, Any]
    epoch: int
    step: int
    decisions: Decisions | None = None
    start: Start | None = None  # None: from scratch, or not known
    weights_sha256: str = ""  # of the file that it was opened from

    def at(self, epoch: int, step: int) -> "Bundle":
        """Return the same bundle, taken at another moment of training."""
        return replace(self, epoch=epoch, step=step)

    @property
    def method(self) -> str | None:
        """The name of the method that it was trained by."""
        method = self.config.get("method")
        name = method.get("name") if isinstance(method, Mapping) else None
        return name if isinstance(name, str) else None

    def save(self, folder: Path) -> None:
        """Write the bundle into `folder`: the record last, so that a folder with a record has its weights.

        Raises:
            OSError: the disk is full or cannot be written. (safetensors' own writer raises its own error.)
        """
        weights = save({n: w.detach().cpu().contiguous() for n, w in self.classifier.state_dict().items()})
        write_bytes(folder / WEIGHTS, weights)
        record = BundleRecord(
            format="fscl-bundle",
            version=VERSION,
            classes=self.classes,
            minority=self.minority,
            train_counts=dict(self.train_counts),
            preprocessing=self.preprocessing,
            model=self.architecture,
            start=self.start,
            decisions=self.decisions,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            config=dict(self.config),
            epoch=self.epoch,
            step=self.step,
            created=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
            versions=versions(),
        )
        content = record.model_dump(mode="json")
        later = ("bias", "temperature", "accept", "sets", "unknown")
        for section, key in (
            (content, "start"),
            (content["preprocessing"], "interpolation"),
            *((content["decisions"], name) for name in later),
        ):
            if section is not None and section[key] is None:  # so that earlier releases open the bundle
                del section[key]
        write_text(folder / RECORD, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read a bundle.

        Raises:
            BundleError: no bundle there, a version that is not known, a record that is damaged, or weights that do
                not fit the record or are not finite.
        """
        record = _record(folder)
        if file_sha256(folder / WEIGHTS) != record.weights_sha256:
            raise BundleError(
                f"{folder / WEIGHTS}: not the weights that {RECORD} describes (other checksum): cut short, or "
                "from another run; copy both files again"
            )
        try:
            classifier = Classifier(
                record.model.backbone,
                len(record.classes),
                record.model.taps,
                image_size=record.preprocessing.image_size,
                head=record.head,
            )
            weights = read_weights(folder / WEIGHTS)
            classifier.load_state_dict(weights)
        except (FsclError, ValidationError, *NOT_BUILT) as error:
            raise BundleError(
                f"{folder}: {RECORD} and {WEIGHTS} do not fit each other: {first_line(error)}"
            ) from None
        broken = next((name for name, weight in weights.items() if not weight.isfinite().all()), None)
        if broken is not None:
            raise BundleError(
                f"{folder / WEIGHTS}: expected finite weights, but '{broken}' has NaN or infinity: the run diverged; "
                "train again with a lower --learning-rate"
            )
        return cls(
            classifier=classifier.eval(),
            classes=record.classes,
            minority=record.minority,
            train_counts=record.train_counts,
            preprocessing=record.preprocessing,
            architecture=Architecture(
                backbone=record.model.backbone, head=record.head, taps=tuple(classifier.layers)
            ),
            config=record.config,
            epoch=record.epoch,
            step=record.step,
            decisions=record.decisions,
            start=record.start,
            weights_sha256=record.weights_sha256,
        )


def versions() -> dict[str, str]:
    """Return the versions of what computed."""
    return {name: version(name) for name in ("fscl", "torch", "timm")} | {"python": platform.python_version()}


def backbone_of(folder: Path) -> str:
    """Return the name of a bundle's backbone, without opening its weights.

    Raises:
        BundleError: no bundle, or a damaged one.
    """
    return _record(folder).model.backbone


def _record(folder: Path) -> BundleRecord:
    path = folder / RECORD
    if folder.suffix.lower() == ONNX and folder.is_file():
        raise BundleError(
            f"{folder}: is an exported model, which fscl predict and fscl.load take; expected the folder of its run"
        )
    if not path.is_file() and RunFolder(folder).settings.is_file():
        again = shlex.join(["fscl", "train", "--resume", str(folder)])
        raise BundleError(f"{folder}: its training has not ended, so there is no model yet; go on with it: {again}")
    if not path.is_file():
        raise BundleError(
            f"{folder}: no {RECORD} there; expected the folder of a finished run, as `fscl train` makes"
        )
    try:
        record = BundleRecord.model_validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        raise BundleError(f"{path}: {_why(error)}") from None
    if not (folder / WEIGHTS).is_file():
        raise BundleError(f"{folder / WEIGHTS}: missing; copy the whole folder")
    return record


def _why(error: ValidationError) -> str:
    """Say why a record is none, its format and version first."""
    problems = {problem["loc"]: problem for problem in reversed(error.errors())}
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"not JSON, cut short? ({first['msg']})"
    if (first["type"] == "model_type" and not first["loc"]) or ("format",) in problems:
        return 'not a model of ours: expected "format": "fscl-bundle"'
    if unknown := problems.get(("version",)):
        version = "none" if unknown["type"] == "missing" else shown(unknown["input"])
        return f"version {version}, this fscl reads versions 1 and {VERSION}; update fscl"
    return f"damaged, or its parts do not fit each other: {in_words(first)}; {AGAIN}"


def file_sha256(path: Path) -> str:
    """Return the checksum of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
