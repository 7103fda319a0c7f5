"""A classifier becomes an ONNX graph; the metadata that makes the file enough to predict goes into it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fscl.errors import ConfigurationError, first_line
from fscl.models import Classifier
from fscl.onnx_model import FEATURES, LOGITS, PHOTOS, installed
from fscl.onnx_record import KEY, OnnxRecord

POOLED = "pooled"  # what the head takes: an output that int8 finds the head by
TRACED = 2  # photos that the graph is recorded with; 1 would be taken for a constant
MOST_BYTES = 2**31 - 2**24  # of weights: protobuf ends at 2 GiB, and the graph takes some of it, too


class Graph(nn.Module):
    """What is exported: photos become logits, the features of the last tap, and what the head takes.

    Args:
        classifier: in evaluation mode.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, photos: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, features and pooled features."""
        maps = self.classifier.maps(photos)
        pooled = self.classifier.backbone.forward_head(maps.last, pre_logits=True)
        outputs = self.classifier(pooled)
        features = outputs.features[-1] if outputs.features else maps.tapped[-1].mean(dim=(2, 3))
        return outputs.logits, features, pooled


def graph_of(classifier: Classifier, image_size: int) -> Any:
    """Return the ONNX model of a classifier on the CPU: its outputs are logits, features and `POOLED`.

    Args:
        classifier: left as it is, in evaluation mode.
        image_size: px, both sides.

    Raises:
        ConfigurationError: PyTorch's exporter cannot follow this model, or it is too large for one file; the extra
            [export] is not installed.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        installed(module)
    size = sum(weight.nbytes for weight in classifier.state_dict().values())
    if size > MOST_BYTES:
        raise ConfigurationError(
            f"backbone '{classifier.architecture}': expected weights of at most {MOST_BYTES:,} bytes, which one ONNX "
            f"file can hold, got {size:,}; train a smaller backbone, or predict with the run itself"
        )
    example = torch.zeros(TRACED, 3, image_size, image_size)
    try:
        with quiet():
            program = torch.onnx.export(
                Graph(classifier).eval(),
                (example,),
                dynamo=True,
                input_names=[PHOTOS],
                output_names=[LOGITS, FEATURES, POOLED],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                verbose=False,
            )
            assert program is not None, "the exporter that records models returns a program"
            model = program.model_proto
    except Exception as error:  # whatever the code of the model raises when it is recorded
        why = error.__cause__ if isinstance(error.__cause__, Exception) else error  # else which of its steps it was
        if isinstance(why, MemoryError):
            raise why from None
        raise ConfigurationError(
            f"PyTorch's exporter cannot make ONNX of backbone '{classifier.architecture}': {first_line(why)}; "
            "train with another backbone, such as resnet18, or predict with the run itself"
        ) from None
    return _without_origins(model)


def without_pooled(model: Any) -> Any:
    """Return the same model without the output `POOLED`."""
    copy = type(model)()
    copy.CopyFrom(model)
    kept = [output for output in copy.graph.output if output.name != POOLED]
    del copy.graph.output[:]
    copy.graph.output.extend(kept)
    return copy


def with_record(model: Any, record: OnnxRecord) -> bytes:
    """Return the file of a model: its metadata is the record."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, record.model_dump_json()
    content: bytes = model.SerializeToString()
    return content


@contextmanager
def quiet() -> Iterator[None]:
    """Let libraries that export say nothing: what goes wrong they raise.

    They print steps, log remarks on every operator, and warn of their own deprecated calls.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
            for kind in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=kind, module=r"(torch|onnx|onnxscript|onnxruntime)\b")
            yield
    finally:
        logging.disable(before)


def _without_origins(model: Any) -> Any:
    """Drop what says from which lines of which files of this machine each node is."""
    del model.metadata_props[:], model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for part in model.graph.input:
        del part.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    return model
