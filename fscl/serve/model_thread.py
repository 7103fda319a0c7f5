"""The model behind one thread: answers first, all that wait together; then heat maps, one at a time."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fscl.bundle import Bundle
from fscl.explain.features import directions
from fscl.loading.regions import Pixels, model_input, stacked
from fscl.saliency import Looked, look

TOGETHER = 16  # photos in one forward pass; of more, the memory of a small machine would be felt

T = TypeVar("T")


class Seen(NamedTuple):
    """What the model makes of a photo.

    Attributes:
        logits: (classes,).
        direction: (dim,) unit vector of its features, by which photos are compared.
    """

    logits: NDArray[np.float32]
    direction: NDArray[np.float32]


class _Asked(NamedTuple, Generic[T]):
    pixels: Pixels
    result: "Future[T]"


class ModelThread:
    """Computes for whoever asks, from any thread; nobody else uses the classifier meanwhile, but in evaluation.

    A future that is cancelled before its turn costs nothing.

    Args:
        bundle: the model, on its device.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._changed = threading.Condition()
        self._answers: deque[_Asked[Seen]] = deque()
        self._looks: deque[_Asked[Looked]] = deque()
        self._working = self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def seen(self, pixels: Pixels) -> "Future[Seen]":
        """Ask what the model makes of a photo, (size, size, 3) uint8 as the model takes it."""
        return self._ask(self._answers, pixels)

    def looked(self, pixels: Pixels) -> "Future[Looked]":
        """Ask where in a photo the model looked; it waits until no answer does."""
        return self._ask(self._looks, pixels)

    def wait_until_idle(self) -> None:
        """Wait until nothing is asked, or the thread is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not (self._working or self._answers or self._looks))

    def close(self) -> None:
        """End the thread; who still waits is told that it is cancelled."""
        with self._changed:
            self._closed = True
            for answer in self._answers:
                answer.result.cancel()
            for asked in self._looks:
                asked.result.cancel()
            self._changed.notify_all()
        self._thread.join()

    def _ask(self, waiting: "deque[_Asked[T]]", pixels: Pixels) -> "Future[T]":
        result: Future[T] = Future()
        with self._changed:
            if self._closed:
                result.cancel()
            else:
                waiting.append(_Asked(pixels, result))
                self._changed.notify_all()
        return result

    def _run(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or self._answers or self._looks)
                if self._closed:
                    return
                self._working = True
                answers = _taken(self._answers, TOGETHER)
                looks = [] if answers else _taken(self._looks, 1)
            _settled(answers, self._see)
            _settled(looks, self._look)

    def _input(self, pixels: Sequence[Pixels]) -> torch.Tensor:
        preprocessing = self._bundle.preprocessing
        photos = model_input(stacked(pixels, preprocessing), preprocessing)
        return photos.to(self._bundle.classifier.device)

    def _see(self, pixels: Sequence[Pixels]) -> list[Seen]:
        classifier = self._bundle.classifier
        with torch.inference_mode():
            maps = classifier.maps(self._input(pixels))
            logits = classifier.pool(maps).logits.float().cpu().numpy()
            pooled = classifier.backbone.forward_head(maps.last, pre_logits=True)
            along = directions(classifier, pooled).float().cpu().numpy()
        return [Seen(*each) for each in zip(logits, along, strict=True)]

    def _look(self, pixels: Sequence[Pixels]) -> list[Looked]:
        looked = look(self._bundle.classifier, self._input(pixels))
        heat = None if looked.heat is None else looked.heat.float().cpu()
        return [Looked(looked.logits.float().cpu(), looked.pooled.cpu(), heat)]


def _taken(waiting: "deque[_Asked[T]]", most: int) -> "list[_Asked[T]]":
    """Take those whose turn it is, at most so many, the first ones first; the cancelled ones are passed over."""
    taken: list[_Asked[T]] = []
    while waiting and len(taken) < most:
        one = waiting.popleft()
        if one.result.set_running_or_notify_cancel():
            taken.append(one)
    return taken


def _settled(asked: "Sequence[_Asked[T]]", compute: Any) -> None:
    """Compute and hand out; what goes wrong is handed out, too, and the thread goes on."""
    if not asked:
        return
    try:
        results = compute([one.pixels for one in asked])
    except Exception as error:
        for one in asked:
            one.result.set_exception(error)
        return
    for one, result in zip(asked, results, strict=True):
        one.result.set_result(result)
