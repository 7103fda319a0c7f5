"""What a person sees while a run trains."""

import io
import re

import pytest

from fscl import progress
from fscl.printable import PlainConsole
from fscl.progress import TerminalProgress

TERMS = {"cross_entropy": 0.6931, "feature_similarity": 0.2512, "balanced_supcon": 4.105}


@pytest.fixture
def terminal(monkeypatch):
    """Return a maker of terminals so many columns wide, and what was written to them."""

    def make(width):
        written = io.StringIO()
        console = PlainConsole(file=written, force_terminal=True, width=width, legacy_windows=False, _environ={})
        monkeypatch.setattr(progress, "PlainConsole", lambda **_: console)
        return written

    return make


def last_line(written):
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue()).replace("\r", "\n").splitlines()
    return [line for line in lines if "/4000" in line][-1]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_bar_step_and_time_left_have_their_place_and_terms_the_rest(terminal, width):
    written = terminal(width)
    with TerminalProgress("FSCL → runs/a-folder-with-a-rather-long-name/of-another") as listener:
        for step in range(1, 40):
            listener.advance(step, 4000, 118.4, TERMS)
        listener._bar.refresh()
    line = last_line(written)
    assert len(line) <= width
    assert "FSCL" in line
    assert "39/4000" in line
    assert "━" in line
    assert re.search(r"\d+:\d\d|-:--", line), line
    assert ("118 photos/s" in line) == (width >= 80)
    assert ("feature_similarity 0.251" in line) == (width >= 160)
    assert not re.search(r"(cross_entropy|feature_similarity)(?! \d\.\d{3})", line), "no term is cut in half"


def test_the_time_that_a_run_takes_is_told_after_some_steps(terminal, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    written = io.StringIO()
    monkeypatch.setattr(progress, "PlainConsole", lambda **_: PlainConsole(file=written, width=200))
    with TerminalProgress("FSCL → runs/a") as listener:
        for step in range(101, 140):  # a run that was resumed
            listener.advance(step, 7000, 12.0, TERMS)
    estimates = [line for line in written.getvalue().splitlines() if "left" in line]
    assert len(estimates) == 1
    assert re.fullmatch(r"FSCL → runs/a: about \d h \d+ min left, at 12 photos/s", estimates[0])


def test_of_a_short_run_no_time_is_told(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(progress, "PlainConsole", lambda **_: PlainConsole(file=written, width=200))
    with TerminalProgress("FSCL → runs/a") as listener:
        for step in range(1, 40):
            listener.advance(step, 60, 900.0, TERMS)
    assert written.getvalue() == ""
