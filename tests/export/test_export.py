"""`fscl export`: the file alone answers as the run does; what does not is not written."""

import json
from dataclasses import replace
from pathlib import Path
from shutil import copy

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from PIL import Image

import fscl as package
from fscl.bundle import Bundle
from fscl.config import Component, Preprocessing
from fscl.decisions import Decisions
from fscl.errors import ConfigurationError, DivergenceError, OutputError, PhotosError
from fscl.export import Limits, export_run
from fscl.export import run as run_module
from fscl.export.checking import Judge, ModelOutputs
from fscl.export.graph import graph_of, without_pooled
from fscl.export.int8 import after, in_int8, int8_of
from fscl.export.photos import ExportPhotos, to_calibrate, to_check
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.models import Classifier
from fscl.models.heads import HEADS
from fscl.onnx_model import OnnxClassifier
from fscl.prediction import Wanted, predict_photos
from fscl.progress import Silent

CLASSES = ("boar", "deer", "hare")
SIDE = {"test_vit": 160}  # px, of backbones of a fixed size


def in_session(graph):
    return OnnxClassifier(graph.SerializeToString(), len(CLASSES))


KINDS = [  # `exported` is a ResNet with a linear head
    ("test_resnet", "cosine"),
    ("cifar_resnet32", "branches"),
    ("test_vit", "class_means"),
    ("test_resnet", "adapter"),
]


def test_every_head_computes_as_one_of_those_that_are_tried():
    tried = {HEADS[head].forward for _, head in KINDS} | {torch.nn.Linear.forward}
    assert {head.forward for head in HEADS.values()} <= tried


@pytest.mark.parametrize(("backbone", "head"), KINDS)
def test_every_kind_of_model_gives_the_same_in_any_batch(backbone, head):
    torch.manual_seed(0)
    side = SIDE.get(backbone, 48)
    classifier = Classifier(backbone, len(CLASSES), image_size=side, head=Component(name=head))
    for name, weight in classifier.head.state_dict().items():  # fitted heads begin as zeros
        if weight.is_floating_point() and not name.endswith("spread"):
            weight.copy_(torch.randn_like(weight))
    if head == "branches":
        classifier.head.is_common[0] = True
    graph = graph_of(classifier.eval(), side)
    exported = in_session(without_pooled(graph))
    for batch in (1, 3, 64):
        photos = torch.randn(batch, 3, side, side)
        with torch.inference_mode():
            logits, features = classifier(photos)
        found = exported(photos)
        torch.testing.assert_close(found.logits, logits, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found.features[0], features[-1], rtol=1e-3, atol=1e-3)

    if backbone == "test_vit":
        attention_outlives_8_bits(graph, exported, side)


def attention_outlives_8_bits(graph, exported, side):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 9, 3), dtype=np.uint8)
    regions = Regions([Image.fromarray(photo) for photo in pixels], np.full((8, 4), np.nan), np.full(8, -1))
    preprocessing = Preprocessing(image_size=side)
    photos = next(iter(inference_loader(regions, preprocessing, batch_size=8, workers=0))).photos
    whole, few = (
        exported(photos).features[0],
        in_session(int8_of(graph, regions, preprocessing)[0])(photos).features[0],
    )
    assert np.corrcoef(whole.ravel(), few.ravel())[0, 1] > 0.99


def test_the_file_alone_predicts_as_the_run_does(exported, trained, class_folders, tmp_path):
    alone = tmp_path / "elsewhere.onnx"
    copy(exported.path, alone)
    model, expected = package.load(alone), package.load(trained).predict(class_folders)
    for batch_size in (1, 3, 64):
        found = model.predict(class_folders, batch_size=batch_size)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-3, atol=1e-5)
    assert model.classes == CLASSES
    assert model.decisions == package.load(trained).decisions
    assert model.decisions.temperature is not None
    with pytest.raises(ConfigurationError, match="on the CPU"):
        package.load(alone, device="cuda")


def test_both_engines_write_the_same_tables(fscl, exported, trained, class_folders):
    ways = {"torch": [trained], "file": [exported.path], "onnx": [trained, "--engine", "onnx"]}
    for name, words in ways.items():
        code, _, err = fscl(
            "predict", *words, class_folders, "--out", f"{name}.csv", "--features", f"{name}.parquet", "--accept"
        )
        assert code == 0, err
    table, other = pd.read_csv("torch.csv"), pd.read_csv("file.csv")
    pd.testing.assert_frame_equal(table, other, atol=2e-4)
    assert Path("file.csv").read_bytes() == Path("onnx.csv").read_bytes()
    features = [np.stack(pd.read_parquet(f"{name}.parquet")["features"]) for name in ways]
    assert features[1] == pytest.approx(features[0], abs=1e-4)
    engines = [json.loads(Path(f"{name}.csv.settings.json").read_text())["scores"]["engine"] for name in ways]
    assert engines == ["torch", "onnx", "onnx"]


def test_the_exporter_says_nothing_of_itself(trained, tmp_path, capfd):
    result = export_run(trained, tmp_path / "m.onnx", photos=12)
    assert capfd.readouterr() == ("", "")
    content = result.path.read_bytes()
    for origin in (str(Path(package.__file__).parent), "site-packages", "forward"):
        assert origin.encode() not in content


@pytest.mark.usefixtures("recorded")
def test_the_command_says_what_was_checked(fscl, trained):
    code, out, err = fscl("export", trained, "--out", "m.onnx", "--photos", "12")
    assert code == 0, err
    told = "float32 against PyTorch, on 12 test photos of the run: 0 answers changed; a probability differs by at"
    assert told in " ".join(out.split())
    assert "written to m.onnx: float32, " in out
    assert out.splitlines()[-1] == "next: fscl predict m.onnx PHOTOS --out predictions.csv"
    assert err == ""
    code, _, err = fscl("export", trained, "--out", "m.onnx")
    assert code == 2
    assert "exists; replace it with --overwrite" in err


@pytest.mark.usefixtures("recorded")
def test_what_differs_is_not_written(fscl, trained, tmp_path):
    code, _, err = fscl("export", trained, "--out", "m.onnx", "--max-difference", "0")
    assert code == 2
    assert "expected probabilities within 0 of PyTorch's (--max-difference), got a difference of" in err
    assert "nothing was written: predict with the run itself, or allow more" in err
    assert list(tmp_path.iterdir()) == []


def test_features_are_checked_too(trained, recorded, monkeypatch, tmp_path):
    """Their output is swapped for what is nearly them."""

    def other(classifier, side):
        graph = recorded(classifier, side)
        graph.graph.node.append(onnx.helper.make_node("Abs", ["features"], ["positive"]))
        graph.graph.node.append(onnx.helper.make_node("Add", ["positive", "positive"], ["double"]))
        graph.graph.output[1].name = "double"
        for node in graph.graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name in ("features", "double"):
                        names[place] = {"features": "as_before", "double": "features"}[name]
        graph.graph.output[1].name = "features"
        return graph

    monkeypatch.setattr(run_module, "graph_of", other)
    with pytest.raises(OutputError, match="expected features within"):
        export_run(trained, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_int8_says_what_it_loses_of_each_species(exported_int8, exported, fscl, class_folders):
    record, loss = exported_int8.record, exported_int8.record.loss
    assert exported_int8.path.name == "model-int8.onnx"
    assert (record.precision, record.weights_sha256) == ("int8", exported.record.weights_sha256)
    assert exported_int8.size < 0.5 * exported.size
    assert sum(one.photos for one in loss.species.values()) == loss.photos == record.checked.photos
    assert set(loss.species) == set(CLASSES)
    assert all(one.loss <= 0.05 for one in loss.species.values())
    assert loss.labelled
    assert loss.calibrated_on.endswith("training photos of the run")
    assert 0 < loss.mean_difference <= loss.largest_difference < 0.3
    code, _, err = fscl("predict", exported_int8.path, class_folders, "--out", "answers.json")
    assert code == 0, err
    assert "certified" not in err
    document = json.loads(Path("answers.json").read_text())
    assert document["info"]["classifier"].endswith("int8")


def test_int8_says_that_accepted_answers_were_certified_of_float32(exported_int8, exported, class_folders, tmp_path):
    for model, notes in ((exported_int8, 1), (exported, 0)):
        told = []
        listener = Silent()
        listener.note = told.append
        out = tmp_path / f"{model.record.precision}.csv"
        predict_photos(model.path, class_folders / "deer", out, Wanted(format="csv", accept=True), listener=listener)
        assert len([text for text in told if "certified with the model in float32; int8 changed" in text]) == notes


def test_int8_is_right_on_processors_without_vnni(exported_int8):
    """Weights have 7 bits with a sign, each channel its scale, and the head is float32."""
    model = onnx.load(exported_int8.path)
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    read = {node.input[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    made = {node.output[0]: node for node in model.graph.node}
    for node in convolutions:
        weight = made[node.input[1]].input
        assert tensors[weight[0]].dtype == np.int8
        assert np.abs(tensors[weight[0]].astype(int)).max() <= 64
        assert tensors[weight[1]].shape == (len(tensors[weight[0]]),)
    assert len(convolutions) > 3
    assert {entry.domain for entry in model.opset_import} == {node.domain for node in model.graph.node}
    [head] = [node for node in model.graph.node if node.op_type == "Gemm"]
    assert tensors[head.input[1]].dtype == np.float32
    assert head.output[0] == "logits"
    assert read


def test_the_head_is_found_behind_a_copy():
    node = onnx.helper.make_node
    nodes = [
        node("Relu", ["photos"], ["map"], name="map"),
        node("Identity", ["map"], ["pooled"], name="copy"),
        node("Gemm", ["map", "w"], ["logits"], name="head"),
        node("Relu", ["photos"], ["other"], name="beside"),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [], [])
    assert after(onnx.helper.make_model(graph), "pooled") == ["copy", "head"]


def test_of_a_transformer_only_products_with_weights_become_int8():
    node = onnx.helper.make_node
    nodes = [
        node("LayerNormalization", ["photos", "scale"], ["x"], name="norm"),
        node("MatMul", ["x", "w"], ["q"], name="weighted"),
        node("MatMul", ["q", "x"], ["pooled"], name="attention"),
        node("Gemm", ["pooled", "w"], ["logits"], name="head"),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [], [], [onnx.numpy_helper.from_array(np.eye(2), "w")])
    assert in_int8(onnx.helper.make_model(graph)) == (["Conv", "Gemm", "MatMul"], ["head", "attention"])
    del graph.node[0]
    assert in_int8(onnx.helper.make_model(graph)) == (None, ["head"])


def judge(labels):
    regions = Regions([], np.empty((0, 4)), np.array(labels))
    return Judge(ExportPhotos(regions, "photos"), Preprocessing(), Decisions(), CLASSES, Silent().prepare)


def said(answers, labels):
    logits = 8.0 * np.eye(len(CLASSES))[answers]
    return ModelOutputs(logits, np.ones((len(answers), 2)), np.array(labels))


def test_int8_that_loses_a_species_is_refused():
    labels = [0] * 10 + [1] * 10 + [2] * 10
    before = said(labels, labels)
    lost = said([0] * 10 + [1] * 8 + [0] * 2 + [2] * 10, labels)
    with pytest.raises(OutputError, match=r"at most 0.05 .*got more: deer 10 → 8 of 10 photos found"):
        judge(labels).loss(before, lost, "", 0.05)
    loss = judge(labels).loss(before, lost, "", 0.2)
    assert loss.species["deer"].loss == 0.2
    assert loss.changed == 2
    gone = said([0] * 30, labels)
    with pytest.raises(OutputError, match="got none of 30 photos named deer, hare"):
        judge(labels).loss(before, gone, "", 1.0)
    broken = ModelOutputs(before.logits * np.nan, before.features, before.labels)
    with pytest.raises(OutputError, match="expected finite scores of int8"):
        judge(labels).loss(before, broken, "", 1.0)


def test_without_labels_the_answers_of_float32_stand_for_them():
    unknown = [-1] * 20
    before = said([0] * 10 + [1] * 10, unknown)
    with pytest.raises(OutputError, match="deer 10 → 9 of 10"):
        judge(unknown).loss(before, said([0] * 11 + [1] * 9, unknown), "", 0.05)
    loss = judge(unknown).loss(before, before, "", 0.05)
    assert (loss.labelled, set(loss.species)) == (False, {"boar", "deer"})


def test_a_diverged_model_says_so():
    before = said([0, 1], [0, 1])
    broken = ModelOutputs(before.logits * np.nan, before.features, before.labels)
    with pytest.raises(DivergenceError, match="training diverged"):
        judge([0, 1]).check(broken, broken, 1.0)


def test_int8_is_never_calibrated_on_the_photos_that_it_is_checked_on(trained, monkeypatch):
    bundle = Bundle.open(trained)
    own = Manifest.read(trained / "photos.parquet")
    split = {own.photo(path): split for path, split in zip(own.rows["path"], own.rows["split"], strict=True)}
    checked = to_check(trained, bundle, None, 256, None)
    assert {split[path] for path in checked.regions.photos} == {"test"}
    few = to_calibrate(trained, bundle, None, checked)
    assert ({split[path] for path in few.regions.photos}, few.name) == ({"train"}, "training photos of the run")
    monkeypatch.setattr("fscl.export.photos.FEWEST", 1)
    enough = to_calibrate(trained, bundle, None, checked)
    assert ({split[path] for path in enough.regions.photos}, enough.name) == ({"val"}, "validation photos of the run")
    on_validation = to_calibrate(trained, bundle, None, replace(checked, split="val"))
    assert {split[path] for path in on_validation.regions.photos} == {"train"}


@pytest.mark.usefixtures("recorded")
def test_photos_that_are_given(trained, class_folders, tmp_path):
    bundle = Bundle.open(trained)
    labelled = to_check(trained, bundle, class_folders, 9, None)
    assert np.bincount(labelled.regions.labels).tolist() == [3, 3, 3]
    (tmp_path / "flat").mkdir()
    for number, path in enumerate(sorted(class_folders.rglob("*.jpg"))[:7]):
        copy(path, tmp_path / "flat" / f"{number}.jpg")
    flat = to_check(trained, bundle, tmp_path / "flat", 5, None)
    assert flat.regions.labels.tolist() == [-1] * 5
    assert flat.regions.photos[0].exists()
    for path in (tmp_path / "flat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(PhotosError, match=r"none that can be read, such as .*empty file"):
        export_run(trained, tmp_path / "m.onnx", photos=tmp_path / "flat")


def test_photos_of_the_run_that_are_gone(run, class_folders, tmp_path):
    rows = Manifest.read(run / "photos.parquet").rows
    Manifest(rows, tmp_path / "nowhere").write(run / "photos.parquet")
    with pytest.raises(PhotosError, match="--root FOLDER, or check it on others: --photos FOLDER"):
        export_run(run, tmp_path / "m.onnx")
    (run / "photos.parquet").unlink()
    with pytest.raises(PhotosError, match=r"photos\.parquet does not exist; check it on others: --photos FOLDER"):
        export_run(run, tmp_path / "m.onnx")
    with pytest.raises(PhotosError, match=r"photos\.parquet does not exist; leave --int8 out, which is calibrated"):
        export_run(run, tmp_path / "m.onnx", int8=True, photos=class_folders)
    assert not (tmp_path / "m.onnx").exists()


def test_photos_of_the_run_that_were_replaced(run, tmp_path):
    own = Manifest.read(run / "photos.parquet")
    Manifest(own.rows.assign(bytes=own.rows["bytes"] + 1), own.root).write(run / "photos.parquet")
    with pytest.raises(PhotosError, match=r"expected the test photos .* as they were, got none, .*replaced"):
        export_run(run, tmp_path / "m.onnx")


def test_a_model_that_the_exporter_cannot_follow_says_so(monkeypatch):
    def fails(*given, **more):
        print("step 1 of 3")
        raise torch.onnx.errors.OnnxExporterError("step 1 of 3 failed") from RuntimeError("no operator for this\nat")

    monkeypatch.setattr("torch.onnx.export", fails)
    classifier = Classifier("test_resnet", 2, image_size=32).eval()
    told = "cannot make ONNX of backbone 'test_resnet': no operator for this; train with another"
    with pytest.raises(ConfigurationError, match=told):
        graph_of(classifier, 32)


def test_a_model_that_one_file_cannot_hold_says_so_at_once(monkeypatch):
    monkeypatch.setattr("fscl.export.graph.MOST_BYTES", 1000)
    monkeypatch.setattr("torch.onnx.export", None)
    with pytest.raises(ConfigurationError, match=r"at most 1,000 bytes, .* got .*; train a smaller backbone"):
        graph_of(Classifier("test_resnet", 2, image_size=32).eval(), 32)


def test_a_machine_without_memory_is_not_laid_to_the_model(monkeypatch):
    def fails(*given, **more):
        raise torch.onnx.errors.OnnxExporterError("step 1 of 3 failed") from MemoryError()

    monkeypatch.setattr("torch.onnx.export", fails)
    with pytest.raises(MemoryError):
        graph_of(Classifier("test_resnet", 2, image_size=32).eval(), 32)


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device")])
def test_nor_is_a_full_disk(trained, tmp_path, monkeypatch, error):
    def fails(*given, **more):
        raise error

    monkeypatch.setattr("onnxruntime.quantization.quantize_static", fails)
    with pytest.raises(type(error)):
        export_run(trained, tmp_path / "m.onnx", int8=True)


@pytest.mark.parametrize("name", ["m.pt", "folder.onnx", "taken.onnx"])
def test_files_that_cannot_be_written(trained, tmp_path, name):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "taken.onnx").write_text("kept")
    with pytest.raises(OutputError, match=name):
        export_run(trained, tmp_path / name)
    assert (tmp_path / "taken.onnx").read_text() == "kept"


def test_the_example_of_the_document_runs(exported, class_folders, monkeypatch, tmp_path, capsys):
    document = Path(package.__file__).parent.parent / "docs" / "export.md"
    code = document.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    (tmp_path / "runs/first").mkdir(parents=True)
    copy(exported.path, tmp_path / "runs/first/model.onnx")
    Image.open(class_folders / "deer/003.jpg").save(tmp_path / "photo.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    answer, probability = capsys.readouterr().out.split()
    expected = package.load(exported.path).predict("photo.jpg", decision="argmax").iloc[0]
    assert answer == expected["prediction"]
    assert float(probability) == pytest.approx(expected["probability"], abs=2e-3)


def test_limits_that_are_given(fscl, trained):
    assert Limits() == Limits(difference=1e-3, loss=0.05)
    for words in (["--max-loss", "2"], ["--photos", "0"], ["--photos", "nowhere"]):
        code, _, err = fscl("export", trained, "--out", "m.onnx", *words)
        assert code == 2, err
    assert not Path("m.onnx").exists()
