"""An exported graph in 8 bits: static, per channel, calibrated on photos; the head stays as it is."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fscl.config import Preprocessing
from fscl.errors import ConfigurationError, FsclError, PhotosError, first_line
from fscl.export.graph import POOLED, quiet, without_pooled
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Regions
from fscl.onnx_model import PHOTOS, installed

WEIGHTED, NORMALISED = ("Conv", "Gemm", "MatMul"), "LayerNormalization"
BATCH = 8  # photos at once: the calibration keeps what every layer makes of them


class CalibrationBatches:
    """Photos for ONNX Runtime's calibration, batch by batch.

    Args:
        regions: photos that show what the model will see.
        preprocessing: of the model.
    """

    def __init__(self, regions: Regions, preprocessing: Preprocessing) -> None:
        self._batches = self._read(regions, preprocessing)
        self.photos, self.asked = 0, False

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch as the input of the graph; None after the last."""
        self.asked = True
        batch = next(self._batches, None)
        return None if batch is None else {PHOTOS: batch}

    def _read(self, regions: Regions, preprocessing: Preprocessing) -> Iterator[NDArray[np.float32]]:
        for batch in inference_loader(regions, preprocessing, batch_size=BATCH, workers=0):
            if batch.rows:
                self.photos += len(batch.rows)
                yield np.ascontiguousarray(batch.photos.numpy())


def int8_of(model: Any, regions: Regions, preprocessing: Preprocessing) -> tuple[Any, int]:
    """Return the ONNX model in 8 bits, and how many photos it was calibrated on.

    Weights have 7 bits and a sign, activations 8 without: processors without VNNI add two products of these in 16
    bits, which products of 8 and 8 bits would overflow.

    Args:
        model: of `graph_of`, with `POOLED`: the nodes after it, which are the head, stay in float32.
        regions: photos to calibrate on.
        preprocessing: of the model.

    Raises:
        PhotosError: none of the photos can be read.
        ConfigurationError: ONNX Runtime cannot quantise this model.
    """
    onnx = installed("onnx")
    quantization, shapes = (installed(f"onnxruntime.quantization{part}") for part in ("", ".shape_inference"))
    photos = CalibrationBatches(regions, preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        whole, prepared, made = (Path(folder) / name for name in ("whole.onnx", "prepared.onnx", "int8.onnx"))
        try:
            with quiet():
                onnx.save_model(model, whole)
                # Batch normalisation goes into the weights before it; shapes are those that the exporter wrote.
                shapes.quant_pre_process(whole, prepared, skip_symbolic_shape=True)
                graph = onnx.load_model(prepared)
                kinds, exact = in_int8(graph)
                onnx.save_model(without_pooled(graph), prepared)
                quantization.quantize_static(
                    prepared,
                    made,
                    photos,
                    quant_format=quantization.QuantFormat.QDQ,
                    per_channel=True,
                    reduce_range=True,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                    op_types_to_quantize=kinds,
                    nodes_to_exclude=exact,
                )
                return _without_unused_domains(onnx.load_model(made)), photos.photos
        except (MemoryError, OSError, FsclError):
            raise
        except Exception as error:  # of any kind: its calibration raises what NumPy and the operators do
            if photos.asked and not photos.photos:
                raise PhotosError("expected photos to calibrate int8 on, got none that can be read") from None
            raise ConfigurationError(
                f"ONNX Runtime cannot make int8 of this model: {first_line(error)}; export it without --int8"
            ) from None


def _without_unused_domains(model: Any) -> Any:
    """Leave out operator sets that no node is of: older ONNX Runtimes refuse versions that they do not know."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def in_int8(model: Any) -> tuple[list[str] | None, list[str]]:
    """Return the kinds of nodes that become int8 (None: all that can), and the names of those that stay as they are.

    The head stays. Where layers are normalised as in transformers, only products with weights become int8: what
    attention multiplies and softmax makes does not fit into 8 bits.
    """
    head = after(model, POOLED)
    if all(node.op_type != NORMALISED for node in model.graph.node):
        return None, head
    weights = {tensor.name for tensor in model.graph.initializer}
    return list(WEIGHTED), head + [
        node.name for node in model.graph.node if node.op_type in WEIGHTED and not weights & set(node.input)
    ]


def after(model: Any, tensor: str) -> list[str]:
    """Return the names of the nodes that what a tensor holds goes into, directly or through others.

    >>> from types import SimpleNamespace as Of
    >>> pool = Of(name="pool", op_type="Pool", input=["map"], output=["pooled"])
    >>> nodes = [pool, Of(name="head", op_type="Gemm", input=["pooled"], output=["f"])]
    >>> after(Of(graph=Of(node=nodes)), "pooled")
    ['head']
    """
    copies = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
    made, names = {tensor, copies.get(tensor, tensor)}, []
    for node in model.graph.node:  # in the order in which they are computed
        if made & set(node.input):
            names.append(node.name)
            made |= set(node.output)
    return names
