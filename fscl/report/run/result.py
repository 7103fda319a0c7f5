"""What a run folder says of itself, read for its report: JSON, tables and small pictures; no photo, no torch."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.special import softmax

from fscl.errors import FsclError, OutputError, first_line, in_words
from fscl.manifest.names import class_columns
from fscl.manifest.table import Manifest
from fscl.records import PREDICTION_COLUMNS, Evaluation, read_evaluation
from fscl.records.log_lines import read_metrics
from fscl.records.thumbnails import Thumbnail, read_thumbnails
from fscl.run_folder import RunFolder
from fscl.scoring.metrics import confusion

DECISION, DECIDED_PROBABILITY = "decision", "decision_probability"  # columns of predictions.csv, where it has them


class _Threshold(BaseModel):
    minority: str
    margin: float


class _Bias(BaseModel):
    bias: dict[str, float]


class DecisionFacts(BaseModel):
    """What of the decisions of a bundle changes the scores that `fscl predict` gives; there is more."""

    threshold: _Threshold | None = None
    bias: _Bias | None = None

    def scores(self, probabilities: NDArray[np.float64], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return the probabilities that threshold or bias make of those of the logits, (photos, classes)."""
        logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))  # up to a constant of each photo
        if self.threshold is not None:
            logits -= self.threshold.margin * (np.array(classes) == self.threshold.minority)
        if self.bias is not None:
            logits += [self.bias.bias.get(name, 0.0) for name in classes]
        scores: NDArray[np.float64] = softmax(logits, axis=1)
        return scores


class BundleFacts(BaseModel):
    """What the report says of the model; `bundle.json` has more."""

    model_config = ConfigDict(strict=True)

    classes: list[str]
    config: dict[str, Any]
    model: dict[str, Any] = {}
    preprocessing: dict[str, Any] = {}
    start: dict[str, Any] | None = None
    decisions: DecisionFacts | None = None
    created: str | None = None
    versions: dict[str, str] = {}

    def setting(self, section: str, key: str) -> Any:
        """Return a setting of the run; None where it is not known."""
        part = self.config.get(section)
        return part.get(key) if isinstance(part, dict) else None

    @property
    def method(self) -> str:
        """The title of the method."""
        return str(self.setting("method", "title") or self.setting("method", "name") or "unknown method")


@dataclass(frozen=True, eq=False)
class Answers:
    """What the model said of each photo, or box, that was scored: arrays along these.

    `named` is the class of the highest probability, as in the confusion matrix. `decided`, with its `score`, is what
    `fscl predict` answers: by the threshold or bias, and calibrated, where the model has these.
    """

    files: tuple[str, ...]  # below the folder that holds all of them
    regions: tuple[str, ...]
    labels: NDArray[np.integer]  # places in the classes
    named: NDArray[np.integer]
    probability: NDArray[np.float64]  # of the class that is named
    decided: NDArray[np.integer]
    score: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RunResult:
    """A run and one evaluation of it. `notes` say what is missing, and which command would write it."""

    run: Path
    folder: Path  # of the evaluation, where the report goes
    bundle: BundleFacts
    evaluation: Evaluation
    answers: Answers | None
    thumbnails: Mapping[str, Thumbnail]
    metrics: Sequence[Mapping[str, Any]]
    source: Mapping[str, Any]  # photos.json
    photos: Manifest | None
    notes: tuple[str, ...] = field(default=())

    @property
    def classes(self) -> list[str]:
        """The species, in the order of the scores."""
        return self.evaluation.classes

    @property
    def unit(self) -> str:
        """What was scored, in a word: `photo`, or `animal` where photos have several boxes."""
        scored = self.evaluation.scored
        return "animal" if scored is not None and scored.rows != scored.photos else "photo"

    @property
    def scored(self) -> int:
        """How many photos, or boxes, were scored."""
        return sum(self.evaluation.counts.values())

    @property
    def right(self) -> int:
        """How many of them were named rightly."""
        return sum(row[place] for place, row in enumerate(self.evaluation.confusion))


def read_run(folder: Path) -> RunResult:
    """Read a run folder, or the folder of an evaluation on other photos in it.

    Args:
        folder: of `fscl train`, with the files of `fscl evaluate`.

    Raises:
        OutputError: no run, no evaluation, or a damaged one. What else is damaged or missing is left out, and noted.

    >>> read_run(Path("no"))
    Traceback (most recent call last):
    fscl.errors.OutputError: expected a run with bundle.json, or a study with study.json, got no; fscl train makes one
    """
    run = folder.parent.parent if folder.parent.name == "evaluations" and not _is_run(folder) else folder
    if not _is_run(run):
        raise OutputError(
            f"expected a run with bundle.json, or a study with study.json, got {folder}; fscl train makes one"
        )
    bundle, files = _read_bundle(RunFolder(run).record), RunFolder(folder)
    if not files.evaluation.is_file():
        raise OutputError(f"{folder}: is not evaluated yet, and a report shows that; first: fscl evaluate {run}")
    evaluation = read_evaluation(files.evaluation)
    if evaluation.classes != bundle.classes:
        raise OutputError(
            f"{files.evaluation}: is of a model of other classes than {run}; first: fscl evaluate {run}"
        )
    answers, notes = _read_answers(files.predictions, evaluation, bundle.decisions or DecisionFacts()), []
    if answers is None:
        notes.append(f"{files.predictions} is missing, damaged or of another evaluation: the scores are not shown")
    thumbnails = _read_thumbnails(files.thumbnails, notes)
    if notes:
        notes.append(f"fscl evaluate {run} writes these files again")
    return RunResult(
        run=run,
        folder=folder,
        bundle=bundle,
        evaluation=evaluation,
        answers=answers,
        thumbnails=thumbnails,
        metrics=read_metrics(RunFolder(run).metrics) if RunFolder(run).metrics.is_file() else [],
        source=_read_source(RunFolder(run).source),
        photos=_read_photos(RunFolder(run).photos),
        notes=tuple(notes),
    )


def _is_run(folder: Path) -> bool:
    return RunFolder(folder).record.is_file()


def _read_bundle(path: Path) -> BundleFacts:
    try:
        return BundleFacts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise OutputError(f"{path} is damaged: {in_words(error.errors()[0])}; train the model again") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read: {first_line(error)}") from None


def _read_answers(path: Path, evaluation: Evaluation, decisions: DecisionFacts) -> Answers | None:
    """Return what predictions.csv says; None where it is not what was written with the evaluation."""
    place = {name: number for number, name in enumerate(evaluation.classes)}
    columns = class_columns(evaluation.classes, PREDICTION_COLUMNS)
    try:
        # Every text as it is: a class may be called NA.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        table = table[table["prediction"] != ""]
        if not (table["label"].isin(place) & table["prediction"].isin(place)).all():
            return None
        labels, named = (np.array([place[one] for one in table[name]]) for name in ("label", "prediction"))
        probability = table[[columns[name] for name in evaluation.classes]].astype(float).to_numpy()
        decided, score = _decided(table, probability, place, decisions, set(columns.values()))
    except (OSError, ValueError, KeyError):
        return None
    if not len(named) or confusion(named, labels, len(place)).tolist() != evaluation.confusion:
        return None
    if not all(((shares >= 0) & (shares <= 1)).all() for shares in (probability, score)):
        return None
    return Answers(
        _below_their_folder(table["filepath"].tolist()),
        tuple(table["region"]),
        labels,
        named,
        probability[np.arange(len(named)), named],
        decided,
        score,
    )


def _decided(
    table: pd.DataFrame,
    probability: NDArray[np.float64],
    place: Mapping[str, int],
    decisions: DecisionFacts,
    columns: Collection[str],
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Return what fscl predict answers, and the score: as the table says, else by threshold or bias of the model."""
    if {DECISION, DECIDED_PROBABILITY} <= {*table.columns} - {*columns}:
        decided = np.array([place[one] for one in table[DECISION]])
        return decided, table[DECIDED_PROBABILITY].to_numpy(dtype=np.float64)
    scores = decisions.scores(probability, list(place))
    return scores.argmax(axis=1), scores.max(axis=1)


def _below_their_folder(files: Sequence[str]) -> tuple[str, ...]:
    """Return names of files without the folders that all share: where photos lie is nobody's business."""
    plain = [PurePosixPath(file.replace("\\", "/")).as_posix() for file in files]
    try:
        folder = commonpath([file.rpartition("/")[0] for file in plain])
    except ValueError:  # some relative, or none at all
        folder = ""
    return tuple(file.removeprefix(folder).removeprefix("/") for file in plain)


def _read_thumbnails(path: Path, notes: list[str]) -> dict[str, Thumbnail]:
    if not path.is_file():
        notes.append(f"{path} is missing, as in evaluations of earlier releases: no photos are shown")
        return {}
    try:
        return {thumbnail.region: thumbnail for thumbnail in read_thumbnails(path)}
    except OutputError as error:
        notes.append(f"{str(error).split(';')[0]}: no photos are shown")
        return {}


def _read_source(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes().decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _read_photos(path: Path) -> Manifest | None:
    try:
        return Manifest.read(path, anywhere=True)
    except (FsclError, OSError):
        return None
