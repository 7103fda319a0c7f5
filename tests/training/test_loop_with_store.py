"""Runs with and without a store."""

import shutil

import pytest

from fscl.loading.regions import Regions
from fscl.progress import Silent
from fscl.records.log_lines import read_metrics
from fscl.training.loop import fit
from fscl.training.subset import subset


class Told(Silent):
    """Remembers what a run says and whether it had a store when training began."""

    def __init__(self, out):
        self.out = out
        self.notes, self.prepared, self.had_store = [], [], None

    def prepare(self, done, photos):
        self.prepared.append((done, photos))

    def note(self, text):
        self.notes.append(text)

    def advance(self, step, steps, photos_per_second, terms):
        self.had_store = (self.out / "store").exists()


def run(config, photos, out, **options):
    told = Told(out)
    fit(config, photos, out, listener=told, **options)
    metrics = [line for line in read_metrics(out / "metrics.jsonl") if line["kind"] == "step"]
    return told, metrics, (out / "weights.safetensors").read_bytes()


def test_a_store_changes_nothing_but_time(tmp_path, photos, quick):
    decoded, *without = run(quick(steps=12, store=False), photos, tmp_path / "decoded")
    stored, *with_store = run(quick(steps=12, store=True), photos, tmp_path / "stored")
    assert without == with_store
    assert not decoded.had_store
    assert not decoded.prepared
    assert stored.had_store
    config = quick()
    used = sum(len(subset(photos, config).rows(split)) for split in ("train", "val"))
    assert stored.prepared[-1] == (used, used)
    assert not (tmp_path / "stored" / "store").exists()


@pytest.mark.parametrize(("steps", "stored"), [(5, False), (12, True)])
def test_by_default_photos_read_more_than_once_are_stored(tmp_path, photos, quick, steps, stored):
    told, *_ = run(quick(steps=steps), photos, tmp_path / "run")
    assert told.had_store == stored


def test_a_full_disk_is_said_and_photos_are_decoded(tmp_path, photos, quick, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    told, metrics, _ = run(quick(steps=12), photos, tmp_path / "run")
    assert len(metrics) == 12
    assert [note.split(": ")[-1] for note in told.notes] == ["photos are decoded each time they are drawn"]
    assert "0.0 GB are free" in told.notes[0]


def test_an_interrupted_run_keeps_it_and_a_resumed_one_decodes_nothing(tmp_path, photos, quick, monkeypatch):
    import os
    import signal

    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 7:
                os.kill(os.getpid(), signal.SIGINT)

    config, out = quick(steps=12), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, out, listener=Presser())
    assert (out / "store").exists()
    monkeypatch.setattr(Regions, "read", lambda *_: pytest.fail("decoded again"))
    fit(config, photos, out, resume=True)
    monkeypatch.undo()
    whole = fit(config, photos, tmp_path / "whole")
    assert (out / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_overwriting_drops_it(tmp_path, photos, quick):
    out = tmp_path / "run"

    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(quick(steps=12), photos, out, listener=Presser())
    assert (out / "store").exists()
    fit(quick(steps=1), photos, out, overwrite=True)
    assert not (out / "store").exists()
