"""A run becomes one ONNX file: made, checked on real photos, and written only if it is the same model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fscl.atomic import write_bytes
from fscl.bundle import Bundle, versions
from fscl.decisions import Decisions
from fscl.errors import OutputError
from fscl.export.checking import Judge
from fscl.export.graph import graph_of, with_record, without_pooled
from fscl.export.int8 import int8_of
from fscl.export.photos import CHECKED, to_calibrate, to_check
from fscl.onnx_model import OnnxClassifier, OnnxModel, installed
from fscl.onnx_record import VERSION, Int8Loss, OnnxCheck, OnnxRecord
from fscl.progress import Listener, Silent
from fscl.run_folder import ONNX, RunFolder
from fscl.runtime import now


@dataclass(frozen=True)
class Limits:
    """Beyond which nothing is written.

    Attributes:
        difference: of a probability, float32 against PyTorch.
        loss: of the recall of a species, int8 against float32.
    """

    difference: float = 1e-3
    loss: float = 0.05


class Result(NamedTuple):
    """The file, what is in its metadata, and its size in bytes."""

    path: Path
    record: OnnxRecord
    size: int


def export_run(
    run: Path,
    out: Path | None = None,
    *,
    int8: bool = False,
    limits: Limits | None = None,
    photos: Path | int | None = None,
    root: Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Result:
    """Write a run as one ONNX file, if it answers as PyTorch does.

    Args:
        run: folder of a run or bundle.
        out: the file; by default `model.onnx` in the folder, or `model-int8.onnx`.
        int8: in 8 bits: a quarter of the size, faster on most processors.
        limits: beyond which nothing is written.
        photos: to check it on, or how many of the run's test photos.
        root: the folder that the run's photos are in now, if they have moved.
        overwrite: replace the file.
        listener: hears how far it is.

    Raises:
        BundleError: no bundle, or a damaged one.
        PhotosError: no photos to check it on, or to calibrate int8 on.
        ConfigurationError: a model that cannot be exported; the extra [export] is not installed.
        OutputError: a file that would be lost; an exported model that is not the same.
    """
    limits, told, folder = limits or Limits(), listener or Silent(), RunFolder(run)
    out = out or (folder.exported_int8 if int8 else folder.exported)
    _check_out(out, overwrite=overwrite)
    bundle = Bundle.open(run)
    source, most = (None, photos) if isinstance(photos, int) else (photos, CHECKED)
    chosen = to_check(run, bundle, source, most, root)
    calibration = to_calibrate(run, bundle, root, chosen) if int8 else None
    judge = Judge(
        chosen,
        bundle.preprocessing,
        bundle.decisions or Decisions(),
        bundle.classes,
        told.prepare,
    )
    whole = graph_of(bundle.classifier, bundle.preprocessing.image_size)
    graph = without_pooled(whole)
    exported = judge.said(_classifier(graph, bundle), "ONNX Runtime")
    checked, loss = judge.check(judge.said(bundle.classifier, "PyTorch"), exported, limits.difference), None
    if calibration is not None:
        graph, number = int8_of(whole, calibration.regions, bundle.preprocessing)
        calibrated_on = f"{number:,} {calibration.name}"
        loss = judge.loss(exported, judge.said(_classifier(graph, bundle), "int8"), calibrated_on, limits.loss)
    record = _record(bundle, checked, loss)
    content = with_record(graph, record)
    OnnxModel.of(content, str(out))  # as it will be opened
    write_bytes(out, content)
    return Result(out, record, len(content))


def _record(bundle: Bundle, checked: OnnxCheck, loss: Int8Loss | None) -> OnnxRecord:
    return OnnxRecord(
        format="fscl-onnx",
        version=VERSION,
        classes=bundle.classes,
        minority=bundle.minority,
        train_counts=dict(bundle.train_counts),
        preprocessing=bundle.preprocessing,
        model=bundle.architecture,
        decisions=bundle.decisions,
        method=bundle.method,
        weights_sha256=bundle.weights_sha256,
        precision="float32" if loss is None else "int8",
        checked=checked,
        loss=loss,
        created=now(),
        versions=versions() | {name: installed(name).__version__ for name in ("onnx", "onnxscript", "onnxruntime")},
    )


def _classifier(graph: Any, bundle: Bundle) -> OnnxClassifier:
    return OnnxClassifier(graph.SerializeToString(), len(bundle.classes))


def _check_out(out: Path, *, overwrite: bool) -> None:
    if out.suffix.lower() != ONNX:
        raise OutputError(f"{out}: an exported model is an {ONNX} file; choose such a name for --out")
    if out.is_dir():
        raise OutputError(f"{out}: expected a file to write, found a folder; choose another --out")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists; replace it with --overwrite, or choose another --out")
