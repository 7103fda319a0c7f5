"""Several processes train the run of one: the same photos, losses, weights, log; and all of them end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fscl import methods, processes, torchrun
from fscl.batch_share import BatchShare
from fscl.config import resolve, settings
from fscl.errors import ConfigurationError
from fscl.loading.loader import Batch
from fscl.loading.regions import Failure
from fscl.records.log_lines import read_metrics
from fscl.scanning.scan import scan
from fscl.training import start
from fscl.training.step import Step, StepReport
from tests.training import several_processes

ROOT = Path(__file__).parents[2]
COLOURS = {"boar": (90, 60, 40), "deer": (180, 120, 70), "hare": (120, 140, 170)}
PHOTOS = {"boar": 52, "deer": 56, "hare": 45}
LIMIT_S = 240
ALONE = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TORCH_CPP_LOG_LEVEL": "ERROR"}


def own(method, **flags):
    """Return the configuration of a few steps, with SGD: Adam makes of rounding a step of its own length.

    The backbone has group normalisation; 13 photos in a batch make shares of 7 and 6, or of 5, 4 and 4, and an epoch
    ends in smaller ones.
    """
    recipe = methods.read(method)
    recipe.get("model", {}).pop("weights", None)
    small = {"backbone": "test_efficientnet_gn", "image_size": 32, "steps": 4, "batch_size": 13, "workers": 0}
    small |= {"learning_rate": 0.005, "val_fraction": 0.5, "test_fraction": 0.1} | flags
    sgd = {"training": {"optimizer": {"name": "sgd"}, "checkpoint_seconds": 1000.0}}
    return resolve([(method, recipe), ("test", settings(small)), ("test", sgd)])


RECIPES = {name: config for name in methods.names() if not (config := own(name)).frozen}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with photos of three classes, one of which cannot be read, and their manifest."""
    root, generator = tmp_path_factory.mktemp("processes"), np.random.default_rng(0)
    for name, count in PHOTOS.items():
        (root / "photos" / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.clip(np.array(COLOURS[name]) + generator.normal(0, 25, (36, 36, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "photos" / name / f"{i:03}.png")
    for file in sorted((root / "photos/deer").iterdir())[:10]:
        file.write_bytes(file.read_bytes()[:2000])  # its header is whole
    scan(root / "photos", verify="none").write(root / "photos.parquet")
    return root


def start_together(world_size, folder, work):
    """Start the processes of several_processes.py in a folder of their own; return what is to be waited for."""
    place = folder / f"work-{world_size}"
    place.mkdir()
    (place / "work.json").write_text(json.dumps(work))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, several_processes.__file__, str(world_size), str(place), str(port)]
    return place, subprocess.Popen(command, env=os.environ | ALONE, stderr=subprocess.PIPE, text=True)


def finished(world_size, started):
    """Return what came of it in each process."""
    place, process = started
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    return [torch.load(place / f"{rank}.pt") for rank in range(world_size)]


def words(folder, config, name, **more):
    (folder / f"{name}.toml").write_text(config.toml())
    return {"settings": str(folder / f"{name}.toml"), "photos": str(folder / "photos.parquet"), **more}


def assert_close(several, one, where, most=2e-5):
    assert several.keys() == one.keys()
    for name, value in one.items():
        assert (several[name].double() - value.double()).abs().max() < most, (where, name)


@pytest.fixture(scope="module")
def trained(folder):
    """Train with 2 processes, then with one, then with 3; beside it, all of it with one."""
    config = own("fscl_mixup", steps=7, keep="best", average=0.9)
    a_run = words(folder, config, "run", out=str(folder / "several"))
    work = [("steps", words(folder, RECIPES[name], name)) for name in RECIPES]
    two = start_together(2, folder, [("run", a_run | {"stop_after": 2}), *work])
    one = {name: several_processes.steps(**words) for name, (_, words) in zip(RECIPES, work, strict=True)}
    whole = several_processes.run(**a_run | {"out": str(folder / "one")})
    two = finished(2, two)
    alone = several_processes.run(**a_run, resume=True, stop_after=4)
    some = [work[list(RECIPES).index(name)] for name in ("fscl_mixup", "bcl", "cmo", "crt")]
    three = finished(3, start_together(3, folder, [("run", a_run | {"resume": True}), *some]))
    return {"one": one, "two": two, "three": three, "some": some, "alone": alone, "whole": whole}


@pytest.mark.slow
def test_each_recipe_has_the_losses_and_weights_of_one_process(trained):
    for of_process in trained["two"]:
        for name, found in zip(RECIPES, of_process[1:], strict=True):
            one = trained["one"][name]
            for number, (several, losses) in enumerate(zip(found["losses"], one["losses"], strict=True)):
                assert_close(
                    several, losses, (name, "step", number + 1), most=2e-4
                )  # rounding grows from step to step
            assert_close(found["weights"], one["weights"], name)
    for of_process in trained["three"]:
        for found, (_, words) in zip(of_process[1:], trained["some"], strict=True):
            name = Path(words["settings"]).stem
            assert_close(found["weights"], trained["one"][name]["weights"], (name, "3 processes"))


@pytest.mark.slow
def test_a_run_goes_on_in_another_number_of_processes(trained, folder):
    """Interrupted in 2 processes, then in one, it ends in 3 with the weights and the log of one that was not."""
    assert {found[0]["ended"] for found in trained["two"]} == {"stopped after step 2 of 7"}
    assert trained["alone"]["ended"] == "stopped after step 4 of 7"
    assert [found[0]["ended"] for found in trained["three"]] == [None] * 3
    several, one = (load_file(folder / name / "weights.safetensors") for name in ("several", "one"))
    assert_close(several, one, "resumed")
    logs = [read_metrics(folder / name / "metrics.jsonl") for name in ("several", "one")]
    assert [line["kind"] for line in logs[0]] == [line["kind"] for line in logs[1]]
    problems = [sorted((line["step"], line["split"], line["path"]) for line in log if "path" in line) for log in logs]
    assert problems[0] == problems[1]
    assert {split for _, split, _ in problems[0]} == {"train", "val"}
    for line, other in zip(*logs, strict=True):
        if line["kind"] == "step":
            assert line["terms"] == pytest.approx(other["terms"], abs=1e-4)
        if line["kind"] == "epoch":
            for name in ("accuracy", "balanced_accuracy", "balanced_log_loss"):
                assert line["validation"][name] == pytest.approx(other["validation"][name], abs=1e-4)
    assert sorted(path.name for path in (folder / "several").iterdir()) == sorted(
        path.name for path in (folder / "one").iterdir()
    )
    assert (folder / "several/last").exists(), "the best epoch is kept"


@pytest.mark.slow
def test_the_first_process_alone_speaks(trained):
    first, second = (found[0]["notes"] for found in trained["two"])
    assert first == trained["whole"]["notes"]
    assert second == []


def torchrun_of(folder, *command):
    arguments = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*arguments, "-m", "fscl", *command],
        cwd=folder,
        env=os.environ | ALONE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lines_of_ours(said):
    """Return what the program says at its end; torchrun has a traceback of its own, the processes have none."""
    assert said.count("Traceback (most recent call last)") <= 1, said
    return [line for line in said.splitlines() if line.startswith("fscl: ")]


@pytest.fixture(scope="module")
def long_run(folder):
    """Return a function that starts a run in torchrun and gives its process, and those of it, when it takes steps."""

    def begun(out, *flags):
        small = ["--backbone", "test_resnet", "--image-size", "32", "--steps", "90000", "--batch-size", "13"]
        started = torchrun_of(folder, "train", "photos.parquet", "--method", "fscl", "--out", out, *small, *flags)
        metrics, until = folder / out / "metrics.jsonl", time.monotonic() + LIMIT_S
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") > 3):
            assert started.poll() is None, started.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.1)
        return started, children(started.pid)

    return begun


def children(pid):
    """Return the processes that torchrun has started, by rank."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        ranks = [entry.removeprefix(b"RANK=") for entry in environment if entry.startswith(b"RANK=")]
        found |= {int(rank): int(child) for rank in ranks}
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_process_ends_all_with_one_line(folder, long_run):
    started, of_rank = long_run("killed")
    os.kill(of_rank[1], signal.SIGKILL)
    said, _ = started.communicate(timeout=60)
    [line] = lines_of_ours(said)
    assert "one of the 2 processes of this run is gone" in line
    assert "go on with: torchrun --standalone --nproc-per-node 2 -m fscl train --resume killed" in line
    assert not any(Path(f"/proc/{pid}").exists() for pid in of_rank.values())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_torchrun_is_stopped_with_one_checkpoint(folder, long_run):
    """The signal reaches the processes that read photos, too."""
    started, of_rank = long_run("stopped", "--workers", "1")
    started.send_signal(signal.SIGTERM)
    said, _ = started.communicate(timeout=60)
    [line] = lines_of_ours(said)
    assert "stopped after step" in line
    assert "what was done is kept: a checkpoint of step" in line
    assert (folder / "stopped/checkpoint.pt").exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in of_rank.values())


@pytest.mark.slow
def test_an_error_is_said_once_and_ends_all(folder):
    (folder / "taken").mkdir()
    (folder / "taken/thesis.txt").touch()
    small = ["--backbone", "test_resnet", "--image-size", "32"]
    command = ["train", "photos.parquet", "--method", "fscl", "--out", "taken", *small]
    said, _ = torchrun_of(folder, *command).communicate(timeout=LIMIT_S)
    [line] = lines_of_ours(said)
    assert "taken: the folder is not empty" in line
    assert said.count("exitcode  : 2 ") == 2


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (own("frozen_lda"), r"'frozen_lda' leaves the backbone as it is, .* got 3; .* without torchrun"),
        (own("fscl_plus"), "takes one process, got 3"),
        (
            own("fscl").model_copy(
                update={
                    "stage": (
                        own("fscl")
                        .stage[0]
                        .model_copy(
                            update={
                                "loss": [
                                    own("fscl")
                                    .stage[0]
                                    .loss[1]
                                    .model_copy(update={"options": {"across_processes": True}})
                                ]
                            }
                        ),
                    )
                }
            ),
            "loss 'feature_similarity': .* leave across_processes out",
        ),
    ],
    ids=["fitted at once", "fscl_plus", "across_processes"],
)
def test_what_several_processes_cannot_train_is_refused(config, said, monkeypatch):
    start.check_processes(config)
    monkeypatch.setattr(start.processes, "count", lambda: 3)
    with pytest.raises(ConfigurationError, match=said):
        start.check_processes(config)


def test_torchrun_is_for_training_alone(fscl, monkeypatch):
    environment = dict.fromkeys(torchrun.NAMES, "1") | {"WORLD_SIZE": "1"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert fscl("methods")[0] == 0, "of one process it starts anything"


def test_what_one_process_has_to_tell_all_hear(monkeypatch):
    def step(failures, exhausted):
        batch = Batch(torch.empty(0, 3, 8, 8), torch.empty(0, dtype=torch.int64), [], failures, exhausted)
        return Step(1, None, batch, None, BatchShare(0))

    lost = Failure(3, "truncated file")
    steps, told = [step([], ""), step([lost], "no photo of a class")], []
    monkeypatch.setattr(processes, "any_of", lambda own: told.append(own) or True)
    monkeypatch.setattr(processes, "gathered", lambda own: [own, StepReport([lost], "no photo of a class", True)])
    assert StepReport.of(steps[0], stop=False) == StepReport([lost], "no photo of a class", True)
    assert StepReport.of(steps[1], stop=False).failures == [lost, lost]
    StepReport.of(steps[0], stop=True)
    assert told == [False, True, True], "what a process has to tell it asks for"


def test_a_lost_process_is_told_with_what_the_library_says_of_it():
    """It may be the network that was set up wrongly."""
    said = str(processes._of_a_lost_process(RuntimeError("NCCL error: no socket interface found\nLast error: …")))
    assert "so all of them end (NCCL error: no socket interface found)" in said
    assert processes._of_a_lost_process(RuntimeError("sizes do not match")) is None


def test_shares_are_nearly_equal_and_together_the_batch():
    for photos in range(3, 14):
        shares = [BatchShare(photos, views=2, rank=rank, processes=3).of(np.arange(2 * photos)) for rank in range(3)]
        assert max(map(len, shares)) - min(map(len, shares)) in (0, 2)
        assert sorted(np.concatenate(shares).tolist()) == list(range(2 * photos))


def test_the_program_says_how_it_was_started(monkeypatch):
    for name in (*torchrun.NAMES, "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "4")
    assert torchrun.starter() == ["torchrun", "--standalone", "--nproc-per-node", "4", "-m", "fscl"]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # of two machines
    assert torchrun.starter() == ["fscl"]
    monkeypatch.delenv("RANK")
    assert torchrun.starter() == ["fscl"]
