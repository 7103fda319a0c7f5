import subprocess
import sys

import pytest
import torch

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
