"""Every script in examples/ runs."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning", "ignore:.*num_workers")  # of Lightning
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_it_runs(script, capsys):
    runpy.run_path(str(script), run_name="__main__")
    losses = [float(line.split(": ")[1]) for line in capsys.readouterr().out.splitlines()]
    assert losses[-1] < losses[0]
