"""Exported models that are opened: any bytes give a model or one error of ours."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import fscl as package
from fscl.errors import BundleError, ConfigurationError
from fscl.export.graph import with_record
from fscl.onnx_model import OnnxModel, open_model
from fscl.onnx_record import KEY, OnnxRecord


def changed(content, change):
    model = onnx.load_model_from_string(content)
    change(model)
    return model.SerializeToString()


def metadata(model):
    [entry] = [entry for entry in model.metadata_props if entry.key == KEY]
    return entry


def says(before, after):
    def change(model):
        entry = metadata(model)
        assert before in entry.value
        entry.value = entry.value.replace(before, after, 1)

    return change


def elsewhere(place):
    """Move a tensor's data into another file."""

    def change(model):
        tensor = next(tensor for tensor in model.graph.initializer if tensor.HasField("raw_data"))
        Path("secret.bin").write_bytes(tensor.raw_data)
        onnx.external_data_helper.set_external_data(tensor, place)
        tensor.ClearField("raw_data")

    return change


def in_a_branch(model):
    """Put such a tensor into a graph within a node."""
    tensor = onnx.TensorProto(name="t", data_type=1, dims=[1], raw_data=bytes(4))
    onnx.external_data_helper.set_external_data(tensor, "../secret.bin")
    branch = onnx.helper.make_graph([], "branch", [], [], [tensor])
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch))


def fixed_batch(model):
    for given in (*model.graph.input, *model.graph.output):
        given.type.tensor_type.shape.dim[0].dim_value = 4
    del model.graph.value_info[:]


def unnamed(model):
    del model.metadata_props[:]


def no_operator(model):
    model.graph.node[0].op_type = "Nothing"


def other_shape(model):
    """Valid for ONNX, which does not compute; ONNX Runtime finds that the head does not fit its input."""
    [head] = [node for node in model.graph.node if node.op_type == "Gemm"]
    [weight] = [tensor for tensor in model.graph.initializer if tensor.name == head.input[1]]
    weight.CopyFrom(onnx.numpy_helper.from_array(np.ones((3, 7), np.float32), weight.name))


def other_output(model):
    del model.graph.output[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (unnamed, "not a model of ours"),
        (says('"version":1', '"version":7'), "version 7, this fscl reads version 1"),
        (says('"fscl-onnx"', '"fscl-bundle"'), "format"),
        (says('"boar"', '"badger"'), "expected a count for each of the classes"),
        (says('"image_size":32', '"image_size":48'), "do not fit each other"),
        (says('"float32"', '"int8"'), "loss: expected of int8"),
        (says('"changed":0', '"changed":-1'), "checked.changed"),
        (says("{", "["), "metadata 'fscl' is damaged"),
        (elsewhere("secret.bin"), "expected all data in one file"),
        (elsewhere("../../etc/passwd"), "expected all data in one file"),
        (in_a_branch, "expected all data in one file"),
        (fixed_batch, "batches of one size only"),
        (no_operator, "not valid ONNX: No Op registered for Nothing"),
        (other_shape, "ONNX Runtime cannot open it: .*between 7 and"),
        (other_output, "do not fit each other"),
    ],
)
def test_what_is_no_exported_model_is_one_error(exported, tmp_path, monkeypatch, capfd, change, told):
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(changed(exported.path.read_bytes(), change))
    with pytest.raises(BundleError, match=told):
        package.load("m.onnx")
    assert capfd.readouterr().err == ""


def test_any_bytes_are_a_model_or_one_error(exported):
    content = exported.path.read_bytes()
    generator = np.random.default_rng(0)
    for cut in (0, 1, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(BundleError):
            OnnxModel.of(content[:cut], "m.onnx")
    for place in generator.integers(0, len(content), 20).tolist():
        damaged = bytearray(content)
        damaged[place : place + 3] = generator.bytes(3)
        try:
            OnnxModel.of(bytes(damaged), "m.onnx")
        except BundleError:
            continue


@pytest.mark.parametrize("content", [b"", b"PK\3\4 a zip", b"<!DOCTYPE html>", bytes(99), "cut short"])
def test_a_file_that_is_no_onnx_or_is_cut_short_says_so(exported, content):
    given = exported.path.read_bytes()[:-9] if content == "cut short" else content
    with pytest.raises(BundleError, match=r"^m\.onnx: not ONNX, or cut short: .+; export the run again"):
        OnnxModel.of(given, "m.onnx")


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["onnx.load_model_from_string", "fscl.onnx_model.session_of"])
def test_what_is_no_fault_of_the_file_is_not_laid_to_it(exported, monkeypatch, place, error):
    def raises(*_):
        raise error

    monkeypatch.setattr(place, raises)
    with pytest.raises(error):
        OnnxModel.of(exported.path.read_bytes(), "m.onnx")


def test_names_of_any_letters_come_back_as_they_were(exported):
    names = {"boar": '멧돼지 "집"', "deer": "c\\erf\t\u2028 \x7f", "hare": "🐇 lièvre"}

    def renamed(model):
        entry = metadata(model)
        for before, after in names.items():
            entry.value = entry.value.replace(json.dumps(before), json.dumps(after, ensure_ascii=False))

    model = OnnxModel.of(changed(exported.path.read_bytes(), renamed), "m.onnx")
    assert list(model.classes) == list(names.values())
    again = onnx.load_model_from_string(with_record(onnx.ModelProto(), model.record))
    assert OnnxRecord.model_validate_json(metadata(again).value, strict=True) == model.record


def test_a_file_of_a_release_that_knew_fewer_settings_opens(exported):
    """Absent is as null there: what an earlier release did not know is not in its files."""

    def older(model):
        entry = metadata(model)
        known = json.loads(entry.value)
        known["decisions"] = {part: value for part, value in known["decisions"].items() if value is not None}
        del known["preprocessing"]["interpolation"], known["model"]["head"]
        entry.value = json.dumps(known)

    assert OnnxModel.of(changed(exported.path.read_bytes(), older), "m.onnx").record == exported.record


def test_a_run_that_is_not_there_or_has_lost_its_weights(run, tmp_path):
    with pytest.raises(BundleError, match=r"no bundle\.json there"):
        open_model(tmp_path / "nowhere", "onnx")
    (run / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match=r"weights\.safetensors: missing"):
        open_model(run, "onnx")


def test_an_exported_model_that_is_not_there_or_of_other_weights(run, fscl, class_folders):
    weights = run / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"of other weights .* fscl export .*run --overwrite"):
        open_model(run, "onnx")
    (run / "model.onnx").unlink()
    code, _, err = fscl("predict", run, class_folders, "--engine", "onnx", "--out", "a.csv")
    assert code == 2
    assert f"make it with: fscl export {run}" in err
    with pytest.raises(BundleError, match="found none"):
        package.load(run / "model.onnx")


def test_pytorch_takes_no_exported_model(exported, fscl):
    with pytest.raises(ConfigurationError, match="leave --engine out"):
        open_model(exported.path, "torch")
    for words in (["explain"], ["evaluate"], ["export"], ["report"]):
        code, _, err = fscl(*words, exported.path)
        assert code == 2
        assert len(err.splitlines()) == 1


def test_a_machine_without_the_extra_says_what_to_install(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match=r"need onnxruntime.*pip install 'fscl\[export\]'"):
        package.load(exported.path)


def test_it_goes_to_another_process_as_its_content(exported):
    model = open_model(exported.path)
    photos = torch.rand(2, 3, *[model.preprocessing.image_size] * 2)
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.classifier(photos).logits, model.classifier(photos).logits)


def test_its_session_has_the_threads_of_torch_when_it_is_first_used(exported, monkeypatch):
    """A worker of Dask gets the model before it knows its share of the cores."""
    again = pickle.loads(pickle.dumps(open_model(exported.path))).classifier
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert again.session.get_session_options().intra_op_num_threads == 3
