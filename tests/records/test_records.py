"""A record is written and read by one definition; nobody needs torch or pandas for it."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from fscl.errors import OutputError
from fscl.experiments.grid import ClassSet
from fscl.records import VERSION, Axes, CellRecord, DamagedError, Evaluation, StudyHeader, read_cell, read_header
from fscl.records import write_record as write
from tests.experiments.records import done

KEY = ClassSet.parse("fine", "boar:deer").cell("fscl", 0.01, 0)
HEADER = StudyHeader(
    version=VERSION,
    title="mine",
    photos="real",
    settings={"base.fine": 30},
    axes=Axes(pairs={"fine": ["boar", "deer"]}, methods=["fscl"], ratios=[0.01], seeds=[0]),
)


def test_what_is_written_is_read_back(tmp_path, quick):
    cell = done(KEY, quick())
    write(tmp_path / "cell.json", cell)
    write(tmp_path / "study.json", HEADER)
    assert read_cell(tmp_path / "cell.json") == cell
    assert read_header(tmp_path / "study.json") == HEADER


def test_a_cell_without_metrics_says_why_and_nothing_else(tmp_path, quick):
    cell = CellRecord(version=VERSION, cell=KEY, method=quick().method, status="failed", reason="no memory")
    write(tmp_path / "cell.json", cell)
    assert list(json.loads((tmp_path / "cell.json").read_text())) == ["version", "cell", "method", "status", "reason"]
    assert read_cell(tmp_path / "cell.json") == cell


@pytest.mark.parametrize(
    ("version", "error", "why"),
    [
        (2, OutputError, "expected version 1, got 2; read it with the fscl that wrote it"),
        (10**30, OutputError, "expected version 1, got 1000"),
        ("1", DamagedError, "is damaged: version"),
        (None, DamagedError, "is damaged: version"),
    ],
)
def test_a_version_that_is_not_known(tmp_path, version, error, why):
    write(tmp_path / "study.json", HEADER)
    plain = json.loads((tmp_path / "study.json").read_text()) | {"version": version}
    (tmp_path / "study.json").write_text(json.dumps(plain))
    with pytest.raises(OutputError, match=why) as raised:
        read_header(tmp_path / "study.json")
    assert type(raised.value) is error


@pytest.mark.parametrize("kind", [Evaluation, CellRecord, StudyHeader])
def test_a_version_has_to_be_said(kind):
    with pytest.raises(ValidationError, match=r"version\n  Field required"):
        TypeAdapter(kind).validate_python({})


def test_no_record_can_be_made_that_no_reader_takes(quick):
    cell = done(KEY, quick())
    with pytest.raises(ValidationError, match="confusion: expected 2 rows of 2"):
        replace(cell.evaluations["last"], confusion=[[1]])
    with pytest.raises(ValidationError, match="a cell that is done has an evaluation"):
        replace(cell, evaluations={})
    with pytest.raises(ValidationError, match=r"expected a number of photos as base\.fine"):
        replace(HEADER, settings={"base.fine": "30"})


def test_reading_needs_neither_torch_nor_pandas():
    loaded = "import sys, fscl.records; print(*{'torch', 'pandas', 'numpy'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).strip() == ""
