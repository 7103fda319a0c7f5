"""What is read back of a study: whatever a file holds, a cell is finished, missing or an error that names it."""

import json
from dataclasses import asdict

import pytest

from fscl.errors import OutputError
from fscl.experiments.grid import ClassSet
from fscl.experiments.ledger import Ledger
from tests.experiments.records import done

CELL = ClassSet.parse("fine", "boar:deer").cell("fscl", 1.0, 0)
STUDY = {
    "version": 1,
    "title": "mine",
    "photos": "real",
    "settings": {"base.fine": 30, "split.by": "photo"},
    "axes": {"pairs": {"fine": ["boar", "deer"]}, "methods": ["fscl"], "ratios": [1.0], "seeds": [0]},
}


@pytest.fixture
def ledger(tmp_path, quick):
    """Return the ledger of a study with one cell, done by the settings `quick()`."""
    written = Ledger(tmp_path)
    written.write(done(CELL, quick()))
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    return written


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: [cell],
        lambda cell: 5,
        lambda cell: {},
        lambda cell: {k: v for k, v in cell.items() if k != "status"},
        lambda cell: {**cell, "status": "finished"},
        lambda cell: {**cell, "status": ["done"]},
        lambda cell: {k: v for k, v in cell.items() if k != "provenance"},
        lambda cell: {**cell, "provenance": None},
        lambda cell: {**cell, "provenance": "none"},
        lambda cell: {**cell, "provenance": {}},
        lambda cell: {**cell, "provenance": {"config_sha256": 5}},
        lambda cell: {**cell, "cell": "fine-fscl-r1-s0"},
        lambda cell: {**cell, "version": "1"},
    ],
)
def test_a_cell_of_another_shape_is_run_again(ledger, quick, change):
    assert ledger.finished(CELL, quick())
    path = ledger.folder / "cells" / f"{CELL.name}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    assert not ledger.finished(CELL, quick())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"null", b"[" * 5000, b"1" * 5000])
def test_bytes_that_are_no_cell_are_run_again(ledger, quick, content):
    (ledger.folder / "cells" / f"{CELL.name}.json").write_bytes(content)
    assert not ledger.finished(CELL, quick())


def test_a_cell_of_another_version_is_not_overwritten(ledger, quick):
    path = ledger.folder / "cells" / f"{CELL.name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(
        OutputError, match=r"fine-fscl-r1-s0\.json: expected version 1, got 2; read it with the fscl that"
    ):
        ledger.finished(CELL, quick())


def test_what_the_study_says_is_read_back(ledger):
    assert (ledger.before().settings, asdict(ledger.before().axes)) == (STUDY["settings"], STUDY["axes"])


@pytest.mark.parametrize(
    "changes",
    [
        {"axes": 5},
        {"axes": {**STUDY["axes"], "pairs": ["fine"]}},
        {"axes": {**STUDY["axes"], "methods": {"fscl": 1}}},
        {"axes": {**STUDY["axes"], "seeds": ["0"]}},
        {"axes": {**STUDY["axes"], "ratios": [None]}},
        {"settings": ["base.fine"]},
        {"settings": {"base.fine": "30"}},
        {"settings": {"base.fine": True}},
        {"title": 5},
    ],
)
def test_a_study_of_another_shape_is_named(ledger, changes):
    (ledger.folder / "study.json").write_text(json.dumps(STUDY | changes))
    with pytest.raises(OutputError, match=r"study\.json is damaged: .*drop the study with --overwrite"):
        ledger.before()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"null", b"{}"])
def test_bytes_that_are_no_study_are_named(ledger, content):
    (ledger.folder / "study.json").write_bytes(content)
    with pytest.raises(OutputError, match=r"study\.json is damaged: .*drop the study with --overwrite"):
        ledger.before()
