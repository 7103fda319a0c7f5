import subprocess
import sys

import pytest
import torch

from fscl.errors import BundleError
from fscl.training.checkpoint import Checkpoint

FULL_DISK = """
import resource, signal
from pathlib import Path
from fscl.bundle import Bundle
from fscl.training.checkpoint import Checkpoint

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
bundle = Bundle.open(Path("run"))
for write in (lambda: bundle.save(Path("copy")), lambda: Checkpoint(Path("a.pt"), {"c": bundle.classifier}).save(1)):
    try:
        write()
    except OSError as error:
        print(type(error).__name__, error.filename)
"""


@pytest.mark.slow
def test_a_full_disk_is_an_error_of_the_disk_and_leaves_nothing(tmp_path, photos, quick):
    pytest.importorskip("resource", reason="limits on the size of a file are a thing of POSIX")
    from fscl.training.loop import fit

    fit(quick(steps=1), photos, tmp_path / "run")
    (tmp_path / "full.py").write_text(FULL_DISK)
    command = [sys.executable, "full.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout.splitlines() == ["OSError copy/weights.safetensors", "OSError a.pt"], found.stderr
    assert not list((tmp_path / "copy").iterdir())
    assert not list(tmp_path.glob("*.pt")) + list(tmp_path.glob(".*"))


def test_the_state_comes_back(tmp_path):
    layer = torch.nn.Linear(2, 2)
    saved = Checkpoint(tmp_path / "checkpoint.pt", {"layer": layer})
    saved.best_log_loss = 0.5
    saved.save(7)
    expected, draw = layer.weight.clone(), torch.rand(1)
    torch.nn.init.zeros_(layer.weight)
    again = Checkpoint(tmp_path / "checkpoint.pt", {"layer": layer})
    assert again.load() == again.saved_step == 7
    assert again.best_log_loss == 0.5
    assert torch.equal(layer.weight, expected)
    assert torch.equal(torch.rand(1), draw)
    assert "of step 7, is kept" in again.kept()


@pytest.fixture
def stepped(tmp_path):
    """Return a checkpoint of a small run after a step, and a function that takes the next one."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 1 / (1 + done))

    def step():
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        schedule.step()

    step()
    checkpoint = Checkpoint(
        tmp_path / "checkpoint.pt", {"layer": layer, "optimizer": optimizer, "schedule": schedule}
    )
    checkpoint.save(1)
    return checkpoint


def change(state, path, value=...):
    """Put a value at a path in the state, or take what is there out."""
    *above, last = path.split("/")
    for key in above:
        state = state[int(key) if key.isdigit() else key]
    if value is ...:
        del state[last]
    else:
        state[int(last) if last.isdigit() else last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("step", ..., "expected the parts step, best_log_loss, rng, layer, optimizer, schedule, got the parts"),
        ("rng", ..., "expected the parts step"),
        ("more", 1, "expected the parts step"),
        ("rng", [], r"rng: expected the parts cpu, got \[\]"),
        ("rng/cpu", torch.zeros(3, dtype=torch.uint8), r"rng.cpu: expected \(5056,\) of torch.uint8, got \(3,\)"),
        ("rng/cpu", torch.zeros(5056, dtype=torch.uint8), "rng: Invalid mt19937 state"),
        ("step", "1", "step: expected a number, got '1'"),
        ("step", 1.5, "step: expected a number, got 1.5"),
        ("step", -1, "step: expected one of the run's 5, got -1"),
        ("step", 6, "step: expected one of the run's 5, got 6"),
        ("best_log_loss", None, "best_log_loss: expected a number, got None"),
        ("best_log_loss", float("nan"), "best_log_loss: expected a number, got nan"),
        ("layer/weight", ..., "layer: expected the parts weight, bias, got the parts bias"),
        ("layer/weight", torch.zeros(2, 3), r"layer.weight: expected \(3, 2\) of torch.float32, got \(2, 3\)"),
        ("layer/weight", torch.zeros(3, 2).double(), r"layer.weight: .*got \(3, 2\) of torch.float64"),
        ("optimizer/state", ..., "optimizer: expected the parts state, param_groups, got the parts param_groups"),
        ("optimizer/state/7", {}, "optimizer.state: expected the parts 0, 1, got the parts 0, 1, 7"),
        ("optimizer/state/0/exp_avg", torch.zeros(1), r"optimizer.state.0.exp_avg: expected \(3, 2\) .*got \(1,\)"),
        ("optimizer/state/1/step", ..., "optimizer.state.1: expected the parts step, exp_avg, exp_avg_sq"),
        ("optimizer/param_groups", [], "optimizer.param_groups: expected 1 values"),
        ("optimizer/param_groups/0/amsgrad", True, "optimizer.param_groups.0.amsgrad: expected False, got True"),
        ("optimizer/param_groups/0/lr", "x", "optimizer.param_groups.0.lr: expected a number, got 'x'"),
        ("optimizer/param_groups/0/params", [0], "optimizer.param_groups.0.params: expected 2 values"),
        ("optimizer/param_groups/0/params", [1, 0], "optimizer.param_groups: expected the settings of this run"),
        ("optimizer/param_groups/0/eps", 0.5, "optimizer.param_groups: expected the settings of this run"),
        ("schedule/last_epoch", ..., "schedule: expected the parts"),
        ("schedule/last_epoch", None, "schedule.last_epoch: expected a number, got None"),
    ],
)
def test_a_state_of_another_shape_is_named_and_nothing_of_it_is_restored(stepped, path, value, message):
    state = torch.load(stepped.path, weights_only=True)
    change(state, path, value)
    torch.save(state, stepped.path)
    layer = stepped.parts["layer"]
    with torch.no_grad():
        layer.weight.fill_(7.0)
    with pytest.raises(BundleError, match=rf"checkpoint.pt: the checkpoint cannot be used, {message}") as caught:
        stepped.load(steps=5)
    assert str(caught.value).endswith("start again with --overwrite")
    assert (layer.weight == 7).all()


def test_tensors_of_another_layout_are_taken_over_as_numbers(stepped):
    state = torch.load(stepped.path, weights_only=True)
    moments = state["optimizer"]["state"][0]
    moments["exp_avg"] = torch.full((1,), 2.0).expand(6).view(3, 2)  # six numbers in the memory of one
    moments["exp_avg_sq"] = moments["exp_avg"]
    torch.save(state, stepped.path)
    stepped.load()
    own = stepped.parts["optimizer"].state[stepped.parts["layer"].weight]
    assert [own[key].stride() for key in ("exp_avg", "exp_avg_sq")] == [(2, 1)] * 2
    assert own["exp_avg"].data_ptr() != own["exp_avg_sq"].data_ptr()
    assert (own["exp_avg"] == 2).all()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02cos\nsystem\n.", b"no checkpoint" * 99])
def test_bytes_that_are_no_checkpoint(stepped, content):
    stepped.path.write_bytes(content)
    with pytest.raises(BundleError, match=r"the checkpoint cannot be used, cut short\? \(") as caught:
        stepped.load()
    assert "weights_only" not in str(caught.value), "no advice to run what is in it"


def test_a_state_that_is_no_dictionary(stepped):
    for state in ([1], torch.zeros(2), None, 5):
        torch.save(state, stepped.path)
        with pytest.raises(BundleError, match="expected the parts step, best_log_loss"):
            stepped.load()
