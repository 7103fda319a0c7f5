"""What `fscl.load` gives: a trained model that predicts photos, wherever they are."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fscl import archives
from fscl.decisions import Decisions
from fscl.errors import ConfigurationError, DivergenceError, PhotosError, first_line, shown
from fscl.formats.videos import frames_of_file
from fscl.formats.walk import escaped, walk
from fscl.inference import scores
from fscl.loading.regions import AnyPhoto, Regions
from fscl.manifest.names import class_columns
from fscl.onnx_model import AnyModel, OnnxModel, open_model
from fscl.printable import number_of

OWN_COLUMNS = ("filepath", "prediction", "probability", "problem")  # of `Predictor.predict`, beside the classes'

OnePhoto = str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any]


class Predictor:
    """A trained model that predicts: what `fscl.load` returns.

    Args:
        bundle: the model folder's contents, or an exported model.
    """

    def __init__(self, bundle: AnyModel) -> None:
        self.bundle = bundle

    @property
    def classes(self) -> tuple[str, ...]:
        """The species, in the order of the probability columns."""
        return self.bundle.classes

    @property
    def columns(self) -> dict[str, str]:
        """Class → the column of `predict` with its probability, in the order of the classes.

        It is called as the class. A class that is called as another column is written with `p:` before its name:
        the probability of a class `problem` is in the column `p:problem`.
        """
        return class_columns(self.classes, OWN_COLUMNS)

    @property
    def decisions(self) -> Decisions:
        """What was chosen on validation; nothing in a bundle of version 1, which does not keep it."""
        return self.bundle.decisions or Decisions(no_threshold="the model is of a version that does not keep one")

    def predict(
        self,
        photos: OnePhoto | Iterable[OnePhoto],
        *,
        boxes: Iterable[Sequence[float] | None] | None = None,
        decision: Literal["argmax", "threshold"] = "argmax",
        batch_size: int = 64,
        workers: int = 0,
    ) -> pd.DataFrame:
        """Classify photos, or boxes of them.

        Args:
            photos: a file (of a video it is its frames, one a second); a folder or a zip, which is all photos
                below it, sorted, other files passed over; an image of Pillow, turned as its EXIF says; an array of
                uint8, (height, width, 3) in RGB or (height, width) in grey; or several of these.
            boxes: of each photo x, y, w, h in pixels of the upright photo, or None for all of it; cropped with the
                margin of training. None: whole photos.
            decision: `argmax` predicts the class of the highest probability; `threshold` the rare one of two classes
                from the probability on that served best on validation, or the class that is first once the
                cross-fitted bias is added, as `decisions` has it.
            batch_size: photos per forward pass.
            workers: processes that read photos.

        Returns:
            Calibrated probabilities, where training could calibrate them.
            A row per photo, in the given order: `filepath` (of an image or array its place among those given, counted
            from 0: `image 0`), `prediction`, its `probability` (0 to 1), one column of probability per class
            (`columns` has their names), and `problem`: missing, or why the photo could not be read.

        Raises:
            PhotosError: something that is no photo, a folder without photos, an array of another shape or type; boxes
                that are not as many as the photos, or none.
            DivergenceError: the model's scores of a photo are not finite.
            ConfigurationError: the model has no threshold.

        >>> from fscl.bundle import Architecture, Bundle
        >>> from fscl.config import Preprocessing
        >>> from fscl.models import Classifier
        >>> model = Predictor(Bundle(
        ...     classifier=Classifier("test_resnet", 2, image_size=32), classes=("boar", "deer"), minority=("deer",),
        ...     train_counts={"boar": 90, "deer": 10}, preprocessing=Preprocessing(image_size=32), config={},
        ...     architecture=Architecture(backbone="test_resnet", taps=(3, 4)), epoch=0, step=0))
        >>> table = model.predict([np.zeros((40, 60, 3), dtype=np.uint8), "gone.jpg"])
        >>> table["filepath"].tolist(), table["problem"].isna().tolist(), table.columns.tolist()[-3:]
        (['image 0', 'gone.jpg'], [True, False], ['boar', 'deer', 'problem'])
        """
        decisions = self.decisions.at_argmax() if decision == "argmax" else self.decisions
        if decision == "threshold" and decisions.threshold is None and decisions.bias is None:
            why = decisions.no_threshold or f"it tells {len(self.classes)} classes apart, a threshold is for two"
            raise ConfigurationError(f'expected a model with a threshold, but {why}; predict with decision="argmax"')
        given = list(_given(photos))
        places = np.array([place for place, one in enumerate(given) if one.problem is None], dtype=np.intp)
        boxed = _boxes(boxes, len(given))[places]
        regions = Regions([given[place].photo for place in places], boxed, np.full(len(places), -1))
        read = scores(
            self.bundle.classifier, regions, self.bundle.preprocessing, batch_size=batch_size, workers=workers
        )
        broken = ~np.isfinite(read.logits).all(axis=1)
        if broken.any():
            raise DivergenceError(
                f"expected finite scores, got others for {broken.sum()} of {number_of(len(read.rows), 'photo')}, "
                f"such as {given[places[read.rows[broken.argmax()]]].name}: the model's training diverged; train it "
                "again with a lower --learning-rate"
            )
        names = pd.Series([one.name for one in given], dtype="str")
        probabilities = self.decisions.at_argmax().probabilities(read.logits, self.classes)
        decided = decisions.apply(read.logits, self.classes)
        answers = answers_table(places[read.rows], probabilities, decided, self.classes, self.columns)
        return pd.concat([names.rename("filepath"), answers.reindex(names.index)], axis=1).assign(
            problem=pd.Series([one.problem for one in given], dtype="str").fillna(
                pd.Series({int(places[place]): why for place, why in read.failures}, dtype="str")
            )
        )


def answers_table(
    rows: np.ndarray[Any, Any],
    probabilities: NDArray[np.float64],
    decided: NDArray[np.integer],
    classes: Sequence[str],
    columns: Mapping[str, str],
) -> pd.DataFrame:
    """Return what was said of the photos that could be read, a row each, by their places among all.

    Args:
        rows: the place of each among all.
        probabilities: (photos, classes).
        decided: the class of each, index into `classes`.
        classes: names, in the order of the probabilities.
        columns: class → the column of its probability.

    Returns:
        `prediction`, its `probability`, and a column of probability per class.
    """
    return pd.DataFrame(
        {
            "prediction": pd.Series([classes[place] for place in decided], dtype="str", index=rows),
            "probability": probabilities[np.arange(len(decided)), decided],
            **{columns[name]: probabilities[:, place] for place, name in enumerate(classes)},
        },
        index=rows,
    )


def load(path: Path | str, device: str | torch.device = "cpu") -> Predictor:
    """Open a run folder or bundle, or a file that `fscl export` has written.

    Args:
        path: the folder, or the `.onnx` file, for which ONNX Runtime computes.
        device: where it computes, such as `cuda`; an exported model computes on the CPU.

    Raises:
        BundleError: no model, or a damaged one.
        ConfigurationError: a device that is not there; the extra [export] is not installed.
    """
    bundle = open_model(Path(path))
    if isinstance(bundle, OnnxModel) and torch.device(device).type != "cpu":
        raise ConfigurationError(f"device '{device}': an exported model computes on the CPU; open its run's folder")
    try:
        bundle.classifier.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"device '{device}' cannot be used: {first_line(error)}; cpu always can") from None
    return Predictor(bundle)


class _Given(NamedTuple):
    """A photo to predict, what the table calls it, and why it cannot be read where that is known."""

    name: str
    photo: AnyPhoto
    problem: str | None = None


def _given(photos: OnePhoto | Iterable[OnePhoto]) -> Iterator[_Given]:
    """Yield the photos of what `predict` is given."""
    if isinstance(photos, str | os.PathLike | Image.Image | np.ndarray) and not _lists_paths(photos):
        yield from _of_one(photos, 0)
    elif isinstance(photos, Iterable) and not isinstance(photos, bytes | bytearray | Mapping | pd.DataFrame | Tensor):
        for place, one in enumerate(photos):
            yield from _of_one(one, place)
    else:
        raise _no_photo(photos)


def _boxes(boxes: Iterable[Sequence[float] | None] | None, photos: int) -> NDArray[np.float64]:
    whole = [np.nan] * 4
    if boxes is None:
        return np.full((photos, 4), np.nan)
    given = [whole if box is None else box for box in boxes]
    fix = "give x, y, w, h in pixels of the upright photo, or None for all of it"
    if len(given) != photos:
        raise PhotosError(f"expected a box for each of {number_of(photos, 'photo')}, got {len(given)}; {fix}")
    for place, box in enumerate(given):
        try:
            sides = np.array(box, dtype=np.float64)
        except (TypeError, ValueError):
            sides = np.empty(0)
        if box is not whole and not (sides.shape == (4,) and np.isfinite(sides).all() and (sides[2:] > 0).all()):
            raise PhotosError(f"box {place}: expected four numbers, w and h > 0, got {shown(box)}; {fix}")
    return np.array(given, dtype=np.float64).reshape(photos, 4)


def _lists_paths(photos: object) -> bool:
    """Tell an array of paths, such as a column of a table, from an array of pixels."""
    return isinstance(photos, np.ndarray) and photos.ndim == 1 and photos.dtype.kind in "OUT"


def _of_one(photo: Any, place: int) -> Iterator[_Given]:
    if isinstance(photo, str | os.PathLike) and os.fspath(photo):
        path = Path(os.fsdecode(photo))
        for below in _photos_below(path) if path.is_dir() or archives.is_archive(path) else [path]:
            for each, problem in frames_of_file(below):
                yield _Given(escaped(str(each)), each, problem)
    elif isinstance(photo, Image.Image):
        yield _Given(f"image {place}", photo)
    elif isinstance(photo, np.ndarray):
        yield _Given(f"image {place}", _image(photo, place))
    else:
        raise _no_photo(photo)


def _photos_below(folder: Path) -> list[Path]:
    """Return the photos below a folder or in a zip, sorted; what cannot be opened among them, to be a row."""
    try:
        contents = walk(folder)
    except archives.ArchiveError:
        return [folder]
    photos = sorted([*contents.files, *contents.unreadable, *contents.closed])
    if not photos:
        others = f", only other files ({', '.join(sorted(contents.others))})" if contents.others else ""
        raise PhotosError(f"expected photos below {escaped(str(folder))}, found none{others}; give another folder")
    return [folder / photo for photo in photos]


def _image(pixels: np.ndarray[Any, Any], place: int) -> Image.Image:
    grey, colour = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[-1] == 3
    if not (grey or colour) or pixels.dtype != np.uint8 or not pixels.size:
        several = "; give several photos as a list of arrays" if pixels.ndim == 4 else ""
        raise PhotosError(
            f"image {place}: expected an array of uint8, 0 to 255, of shape (height, width, 3) or (height, width), "
            f"got {pixels.dtype} of shape {pixels.shape}{several}"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def _no_photo(given: object) -> PhotosError:
    return PhotosError(
        "expected photos: a path, a folder, an image of Pillow, an array (height, width, 3) of uint8, or a list of "
        f"these; got {shown(given)} of type {type(given).__name__}"
    )
