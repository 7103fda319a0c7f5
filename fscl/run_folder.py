"""Where the files of a run are: paths only. docs/schema.md says what is in them."""

from pathlib import Path
from typing import Literal

from fscl.lock import LOCK

RECORD, WEIGHTS = "bundle.json", "weights.safetensors"  # of a bundle, in a run's folder or elsewhere
EVALUATION, PREDICTIONS = "evaluation.json", "predictions.csv"  # in a run's folder, or one for other photos
ONNX = ".onnx"  # the ending of an exported model
THUMBNAILS = "thumbnails.parquet"  # beside them
STORE = "store"  # decoded photos, in the folder of a run or of a study until it is finished


class RunFolder:
    """The paths of a run's files. Whether they exist is for others to ask.

    Args:
        path: the folder.

    >>> RunFolder(Path("runs/first")).metrics.as_posix()
    'runs/first/metrics.jsonl'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / RECORD
        self.weights = path / WEIGHTS
        self.settings = path / "config.toml"
        self.photos = path / "photos.parquet"
        self.source = path / "photos.json"  # what the run was given, and what of it was used
        self.metrics = path / "metrics.jsonl"
        self.checkpoint = path / "checkpoint.pt"
        self.evaluation = path / EVALUATION
        self.predictions = path / PREDICTIONS
        self.thumbnails = path / THUMBNAILS
        self.page, self.markdown = path / "report.html", path / "report.md"
        self.card = path / "model_card.md"
        self.figures = path / "figures"
        self.fault = path / "error.txt"
        self.lock = path / LOCK
        self.store = path / STORE
        self.evaluations = path / "evaluations"  # on other photos, a folder for each source
        self.explanation = path / "explain"
        self.exported, self.exported_int8 = path / f"model{ONNX}", path / f"model-int8{ONNX}"
        self.best = path / "best"
        self.last = path / "last"

    @property
    def files(self) -> list[Path]:
        """What a run writes into the folder and a new one replaces; the lock is not among them."""
        outcome = [self.record, self.weights, self.metrics, self.evaluation, self.predictions, self.checkpoint]
        shown = [self.thumbnails, self.page, self.markdown, self.card, self.exported, self.exported_int8]
        return [*outcome, *shown, self.settings, self.photos, self.source, self.fault]

    @property
    def folders(self) -> list[Path]:
        """The folders in it that a run makes and a new one replaces."""
        return [self.best, self.last, self.store, self.evaluations, self.figures, self.explanation]

    @property
    def finished(self) -> bool:
        """Whether the run has ended and left its bundle."""
        return self.record.exists() and not self.checkpoint.exists()

    def bundles(self) -> dict[Literal["best", "last"], Path]:
        """Return the folders of the bundles of a finished run, `best` and `last`, the kept one first.

        The kept bundle is in the folder itself; the other one, if there is one, in a folder of its name.
        """
        if self.last.exists():
            return {"best": self.path, "last": self.last}
        if self.best.exists():
            return {"last": self.path, "best": self.best}
        return {"last": self.path}
