"""An exported model: one ONNX file that has all that predicting takes; ONNX Runtime computes."""

import hashlib
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fscl.bundle import Bundle, backbone_of, file_sha256
from fscl.config import Preprocessing
from fscl.decisions import Decisions
from fscl.errors import BundleError, ConfigurationError, first_line
from fscl.models import Classifier, Outputs
from fscl.onnx_record import EXPORT_AGAIN, OnnxRecord, read_record
from fscl.run_folder import ONNX, RunFolder

PHOTOS, LOGITS, FEATURES = "photos", "logits", "features"  # input and outputs of the graph
Engine = Literal["torch", "onnx"]


class OnnxClassifier(nn.Module):
    """A graph in place of a classifier: photos in, logits and features out, on the CPU.

    Args:
        content: of the file.
        num_classes: K.
    """

    def __init__(self, content: bytes, num_classes: int) -> None:
        super().__init__()
        self._content = content
        self.num_classes = num_classes
        self.device = torch.device("cpu")

    def __reduce__(self) -> tuple[type["OnnxClassifier"], tuple[bytes, int]]:
        """Go to another process as the file's content: a session cannot."""
        return OnnxClassifier, (self._content, self.num_classes)

    @cached_property
    def session(self) -> Any:
        """As `session_of`, built at its first use: on a worker of Dask torch has its share of the threads then."""
        return session_of(self._content)

    def forward(self, photos: Float[Tensor, "batch 3 height width"]) -> Outputs:
        """Return the logits and the features of the last tap.

        Raises:
            BundleError: ONNX Runtime cannot compute it.
        """
        session, given = self.session, {PHOTOS: np.ascontiguousarray(photos.cpu().numpy())}
        with _refused("ONNX Runtime cannot compute the model"):
            logits, features = session.run([LOGITS, FEATURES], given)
        return Outputs(torch.from_numpy(logits), [torch.from_numpy(features)])


@dataclass(frozen=True)
class OnnxModel:
    """An exported model with all that is needed to use it: classes, preprocessing, decisions.

    `sha256` is of the file, 64 hexadecimal digits.
    """

    classifier: OnnxClassifier
    record: OnnxRecord
    sha256: str

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return self.record.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """What turns photos into the input."""
        return self.record.preprocessing

    @property
    def decisions(self) -> Decisions | None:
        """How logits become an answer."""
        return self.record.decisions

    @property
    def method(self) -> str | None:
        """The name of the method that it was trained by."""
        return self.record.method

    @property
    def weights_sha256(self) -> str:
        """Of the weights that it was made of."""
        return self.record.weights_sha256

    @classmethod
    def open(cls, path: Path) -> "OnnxModel":
        """Read an exported model.

        Raises:
            BundleError: no such file, none that `fscl export` has written, or a damaged one.
            ConfigurationError: the extra [export] is not installed.
        """
        if not path.is_file():
            raise BundleError(f"{path}: expected a file that fscl export has written, found none")
        return cls.of(path.read_bytes(), str(path))

    @classmethod
    def of(cls, content: bytes, name: str) -> "OnnxModel":
        """Return the model that a file's content is; messages call it by `name`. Raises as `open`."""
        onnx, _ = (installed(module) for module in ("onnx", "onnxruntime"))
        with _refused(f"{name}: not ONNX, or cut short"):
            graph = onnx.load_model_from_string(content)
            if not graph.HasField("graph"):  # protobuf takes no bytes at all, too
                raise ValueError("it has no graph")
        record = read_record({entry.key: entry.value for entry in graph.metadata_props}, name)
        if any(onnx.external_data_helper.uses_external_data(tensor) for tensor in _tensors(graph)):
            raise BundleError(f"{name}: expected all data in one file, got some in other files; {EXPORT_AGAIN}")
        with _refused(f"{name}: not valid ONNX"):
            onnx.checker.check_model(graph)
        with _refused(f"{name}: ONNX Runtime cannot open it"):
            classifier = OnnxClassifier(content, len(record.classes))
            session = classifier.session
        _check_shapes(session, record, name)
        return cls(classifier, record, hashlib.sha256(content).hexdigest())


AnyClassifier = Classifier | OnnxClassifier
AnyModel = Bundle | OnnxModel
"""What predicts: a bundle by PyTorch, an exported model by ONNX Runtime."""


def open_model(run: Path, engine: Engine | None = None) -> AnyModel:
    """Open what is to predict.

    Args:
        run: folder of a run or bundle, or an exported model.
        engine: `torch` takes the folder's bundle, `onnx` its `model.onnx`, which must be of the same weights; None:
            ONNX Runtime for an exported model, else PyTorch.

    Raises:
        BundleError: no such model, a damaged one, or an exported one that is of other weights than the folder's.
        ConfigurationError: PyTorch for an exported model; the extra [export] is not installed.
    """
    if run.suffix.lower() == ONNX and not run.is_dir():
        if engine == "torch":
            raise ConfigurationError(f"{run}: is for ONNX Runtime; leave --engine out, or give the run's folder")
        return OnnxModel.open(run)
    if engine != "onnx":
        return Bundle.open(run)
    folder, again = RunFolder(run), ["fscl", "export", str(run)]
    backbone_of(run)  # raises where there is no run
    if not folder.exported.is_file():
        raise BundleError(f"{folder.exported}: not there yet; make it with: {shlex.join(again)}")
    model = OnnxModel.open(folder.exported)
    if file_sha256(folder.weights) != model.record.weights_sha256:
        raise BundleError(
            f"{folder.exported}: of other weights than {folder.weights}, which are newer: export it again with "
            f"{shlex.join([*again, '--overwrite'])}"
        )
    return model


def session_of(content: bytes) -> Any:
    """Return ONNX Runtime's session of a file's content, with as many threads as torch has here.

    Raises:
        ConfigurationError: the extra [export] is not installed.
        Exception: ONNX Runtime cannot compute it; its errors have no class of their own.
    """
    runtime = installed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised, too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # readers need the cores in between
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def installed(module: str) -> Any:
    """Return a module of the extra [export].

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"exported models need {module}, which cannot be imported ({first_line(error)}): "
            "pip install 'fscl[export]'"
        ) from None


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Raise as our error what onnx or ONNX Runtime raises: it may be of any class. Too little memory is another's."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise BundleError(f"{what}: {first_line(error)}; {EXPORT_AGAIN}") from None


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield the tensors of a model, also those of graphs within nodes."""
    yield from _of_graph(graph.graph)
    for function in graph.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _of_graph(graph)


def _check_shapes(session: Any, record: OnnxRecord, name: str) -> None:
    """Make sure that the graph takes photos, any number of them, and gives a logit for each class."""
    side = record.preprocessing.image_size
    inputs = {given.name: (given.type, given.shape[1:]) for given in session.get_inputs()}
    outputs = {given.name: (given.type, given.shape[1:]) for given in session.get_outputs()}
    batches = [given.shape[:1] for given in (*session.get_inputs(), *session.get_outputs())]
    photos, logits = ("tensor(float)", [3, side, side]), ("tensor(float)", [len(record.classes)])
    fits = inputs == {PHOTOS: photos} and set(outputs) == {LOGITS, FEATURES} and outputs[LOGITS] == logits
    if not fits or outputs[FEATURES][0] != "tensor(float)" or len(outputs[FEATURES][1]) != 1:
        raise BundleError(f"{name}: its graph and its metadata do not fit each other; {EXPORT_AGAIN}")
    if any(isinstance(size, int) for batch in batches for size in batch):
        raise BundleError(f"{name}: takes batches of one size only; {EXPORT_AGAIN}")
