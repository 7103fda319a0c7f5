"""An exported model beside the one that it was made of: the same photos, what differs, is it too much."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fscl.config import Preprocessing
from fscl.decisions import Decisions
from fscl.errors import DivergenceError, OutputError, PhotosError
from fscl.export.photos import ExportPhotos
from fscl.inference import infer
from fscl.onnx_model import AnyClassifier
from fscl.onnx_record import Int8Loss, OnnxCheck, SpeciesLoss
from fscl.printable import number_of

Floats = NDArray[np.float64]
NOT_WRITTEN = "nothing was written"


@dataclass(frozen=True)
class ModelOutputs:
    """What a model says of the photos that can be read: logits (photos, classes), features, and their labels."""

    logits: Floats
    features: Floats
    labels: NDArray[np.int64]


class Judge:
    """Compares what models say of the same photos.

    Args:
        photos: to compare on.
        preprocessing, decisions, classes: of the model.
        progress: called with (photos done, photos, what is done with them).
    """

    def __init__(
        self,
        photos: ExportPhotos,
        preprocessing: Preprocessing,
        decisions: Decisions,
        classes: Sequence[str],
        progress: Callable[[int, int, str], None],
    ) -> None:
        self.photos, self.preprocessing, self.decisions = photos, preprocessing, decisions
        self.classes, self.progress = tuple(classes), progress

    def said(self, classifier: AnyClassifier, by: str) -> ModelOutputs:
        """Return what a model says; the progress calls it `by`.

        Raises:
            PhotosError: no photo can be read.
        """
        regions, parts, done = self.photos.regions, [], 0
        for part in infer(classifier, regions, self.preprocessing, features=True):
            parts.append(part)
            done += len(part.rows) + len(part.failures)
            self.progress(done, len(regions), f"photos checked: {by}")
        rows = [row for part in parts for row in part.rows]
        if not rows:
            why = next((f", such as {regions.name(f.row)}: {f.reason}" for part in parts for f in part.failures), "")
            raise PhotosError(
                f"expected photos to check the exported model on, got none that can be read{why}; "
                "give others: --photos FOLDER"
            )
        read = [part for part in parts if part.rows]
        return ModelOutputs(
            np.concatenate([part.logits.numpy() for part in read]).astype(np.float64),
            np.concatenate([part.features[-1].numpy() for part in read]).astype(np.float64),
            regions.labels[rows],
        )

    def check(self, before: ModelOutputs, after: ModelOutputs, most: float) -> OnnxCheck:
        """Compare the exported model with PyTorch's.

        Args:
            before: of PyTorch.
            after: of ONNX Runtime.
            most: that a probability may differ by, and a feature by, as a share of the largest one.

        Raises:
            DivergenceError: the logits of PyTorch are not finite.
            OutputError: they differ by more.
        """
        if not np.isfinite(before.logits).all():
            raise DivergenceError(
                "expected finite scores, got others: the model's training diverged; train it again with a lower "
                "--learning-rate"
            )
        told = self._differences(before, after)
        of_features = _share(np.abs(before.features - after.features), np.abs(before.features))
        number = number_of(len(before.logits), "photo")
        if not told["largest_difference"] <= most:  # also where it is not a number
            raise OutputError(
                f"expected probabilities within {most:g} of PyTorch's (--max-difference), got a difference of "
                f"{told['largest_difference']:.2g} and {number_of(told['changed'], 'changed answer')} on {number}; "
                f"{NOT_WRITTEN}: predict with the run itself, or allow more"
            )
        if not of_features <= most:
            raise OutputError(
                f"expected features within {most:g} of PyTorch's (--max-difference), as a share of the largest one, "
                f"got a difference of {of_features:.2g} on {number}; {NOT_WRITTEN}: predict with the run itself, or "
                "allow more"
            )
        return OnnxCheck(
            photos=len(before.logits),
            origin=self.photos.name,
            largest_difference=told["largest_difference"],
            changed=told["changed"],
        )

    def loss(self, before: ModelOutputs, after: ModelOutputs, calibrated_on: str, most: float) -> Int8Loss:
        """Compare int8 with float32.

        Args:
            before: of float32.
            after: of int8.
            calibrated_on: which photos, in words.
            most: of its recall that a species may lose.

        Raises:
            OutputError: one loses more, or a species that float32 names is never named by int8. Known exporters
                gave one class for all photos, and nobody noticed.
        """
        labelled = bool((before.labels >= 0).all())
        answers, new = self._answers(before), self._answers(after)
        species = self._recall(before.labels if labelled else answers, answers, new)
        number = number_of(len(new), "photo")
        fix = f"{NOT_WRITTEN}: leave --int8 out, or check it on more photos (--photos)"
        if not np.isfinite(after.logits).all():
            raise OutputError(f"expected finite scores of int8, got others on {number}; {fix}")
        if gone := [self.classes[place] for place in sorted(set(answers.tolist()) - set(new.tolist()))]:
            raise OutputError(
                f"expected int8 to name all species that float32 names, got none of {number} named "
                f"{', '.join(gone)}; {fix}"
            )
        if lost := {name: one for name, one in species.items() if one.loss > most}:
            told = ", ".join(f"{name} {one.before:,} → {one.after:,} of {one.photos:,}" for name, one in lost.items())
            raise OutputError(
                f"expected int8 to lose at most {most:g} of the recall of a species (--max-loss), got more: {told} "
                f"photos found; {fix}, or allow more"
            )
        return Int8Loss(
            photos=len(new),
            origin=self.photos.name,
            calibrated_on=calibrated_on,
            labelled=labelled,
            species=species,
            **self._differences(before, after),
        )

    def _recall(
        self, labels: NDArray[np.integer], before: NDArray[np.intp], after: NDArray[np.intp]
    ) -> dict[str, SpeciesLoss]:
        species = {}
        for place, name in enumerate(self.classes):
            own = labels == place
            if own.any():
                found, still = int((before[own] == place).sum()), int((after[own] == place).sum())
                species[name] = SpeciesLoss(photos=int(own.sum()), before=found, after=still)
        return species

    def _differences(self, before: ModelOutputs, after: ModelOutputs) -> dict[str, Any]:
        of_each = np.abs(self._probabilities(before) - self._probabilities(after)).max(axis=1)
        return {
            "largest_difference": float(of_each.max()),
            "mean_difference": float(of_each.mean()),
            "changed": int((self._answers(before) != self._answers(after)).sum()),
        }

    def _probabilities(self, said: ModelOutputs) -> Floats:
        return self.decisions.probabilities(said.logits, self.classes)

    def _answers(self, said: ModelOutputs) -> NDArray[np.intp]:
        return self.decisions.apply(said.logits, self.classes)


def _share(differences: Floats, values: Floats) -> float:
    """Return the largest difference as a share of the largest value."""
    largest = float(values.max(initial=0))
    return float(differences.max(initial=0)) / largest if largest else float(differences.max(initial=0))
