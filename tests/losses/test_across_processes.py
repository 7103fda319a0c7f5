"""Processes that share a batch have the loss and the gradient of one process with all of it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fscl.losses import FeatureSimilarityLoss
from fscl.losses.across_processes import SharingProcesses

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "several_processes.py"
OPTIONS = [{}, {"affinity": "simplex", "centring": "batch"}]


def cases(sizes, dim):
    """Return a case for each of the options, with hard and with soft labels."""
    generator = torch.Generator().manual_seed(0)
    n, found = sum(sizes), []
    for options in OPTIONS:
        for soft in (False, True):
            shares = torch.rand(n, 3, generator=generator, dtype=torch.float64)
            labels = shares / shares.sum(dim=1, keepdim=True) if soft else shares.argmax(dim=1)
            photos = torch.randn(n, 6, generator=generator, dtype=torch.float64)
            found.append({"options": options, "dim": dim, "sizes": sizes, "batch": (photos, labels)})
    return found


def run(sizes, cases, folder):
    torch.save(cases, folder / "cases.pt")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), str(len(sizes)), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(len(sizes))]


def script_module():
    spec = importlib.util.spec_from_file_location("several_processes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Rows of 8 numbers are gathered at 10 photos; rows of 2 are summed: 4 + 2·3 + 3 numbers instead of 30.
@pytest.mark.parametrize("sizes", [[7, 3], [2, 1, 4, 3]], ids=["2", "4"])
def test_several_processes_are_one(sizes, tmp_path):
    together = cases(sizes, dim=8) + cases(sizes, dim=2)
    script = script_module()
    expected = [script.step(script.Model(case["options"], case["dim"]), *case["batch"]) for case in together]
    for rank, results in enumerate(run(sizes, together, tmp_path)):
        for case, one, several in zip(together, expected, results, strict=False):
            assert several.keys() == one.keys()
            for name, value in one.items():
                assert (several[name] - value).abs().max() < 1e-11, (rank, name, case["options"])
        if len(sizes) == 2:
            photos, labels = together[0]["batch"]
            torch.manual_seed(0)
            backbone = torch.nn.Linear(6, 4).double()
            FeatureSimilarityLoss(3)(backbone(photos), labels).backward()
            torch.testing.assert_close(results[-1], backbone.weight.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("photos", "gathers"), [(64, True), (1024, False)])
def test_what_moves_fewer_numbers_is_moved(photos, gathers):
    group = SharingProcesses(alone=False, sizes=[photos // 2] * 2)
    labels = torch.zeros(photos // 2, dtype=torch.int64)
    assert group._gathering_is_cheaper(512, labels, 3) is gathers
    assert not SharingProcesses(alone=False, sizes=())._gathering_is_cheaper(512, labels, 3)


def test_without_a_process_group_this_process_is_alone():
    features, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1] * 3)
    across = FeatureSimilarityLoss(2, across_processes=True)
    assert across(features, labels).item() == FeatureSimilarityLoss(2)(features, labels).item()
