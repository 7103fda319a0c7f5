"""`fscl parts`: what a recipe can be made of."""

import io

import pytest
from rich.console import Console

from fscl import parts
from fscl.models.heads import HEADS, POSTHOC
from fscl.registry import OF_THE_RUN, build
from fscl.runtime import Runtime
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset


def shown(width):
    console = Console(width=width, file=io.StringIO())
    console.print(parts.table())
    return console.file.getvalue()


@pytest.mark.parametrize("kind", parts.PARTS)
def test_every_part_is_listed_with_what_it_does_and_its_options(kind):
    text = shown(400)
    for name, entry in parts.PARTS[kind].items():
        line = next(line for line in text.splitlines() if line.split()[:2] == [kind, name])
        assert parts.summary(entry) in line
        assert len(parts.summary(entry)) > 10
        assert all(option in line for option in parts.options(kind, entry))


def test_what_is_listed_as_an_option_can_be_set():
    listed = [option.split(" = ")[0] for option in parts.options("head", HEADS["cosine"])]
    assert listed == ["scale"]
    build(HEADS, "head", "cosine", {"in_features": 4, "out_features": 2}, {"scale": 16.0})
    assert not set(OF_THE_RUN["posthoc"]) & {
        option.split(" = ")[0] for entry in POSTHOC.values() for option in parts.options("posthoc", entry)
    }


def test_on_a_narrow_terminal_no_name_is_cut():
    text = shown(80)
    assert "label_aware_smoothing" in text
    assert "tau_normalisation" in text
    assert "…" not in text


def test_what_a_run_tells_its_parts_is_no_option(monkeypatch, photos, quick):
    """The table of what a run tells is what a plan gives."""
    told = {}

    def recording(table, kind, name, context, options, **more):
        told[kind] = set(context)
        return build(table, kind, name, context, options, **more)

    config, runtime = quick("cmo"), Runtime.start(0)
    chosen = subset(photos, config)
    bundle = untrained(config, chosen, runtime)
    monkeypatch.setattr("fscl.training.plan.build", recording)
    Plan(config, bundle, chosen, runtime)
    assert told == {kind: set(OF_THE_RUN[kind]) for kind in ("loss", "sampler", "mixing")}
