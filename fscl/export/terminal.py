"""What the terminal shows of an exported model."""

import shlex
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fscl.evaluation.tables import plain_table
from fscl.export.run import Result
from fscl.onnx_record import Int8Loss
from fscl.printable import number_of

MEGABYTE = 10**6


def table(result: Result) -> Group:
    """Return it for the terminal."""
    return Group(*_lines(result))


def _lines(result: Result) -> Iterator[RenderableType]:
    checked, loss = result.record.checked, result.record.loss
    yield Text(
        f"float32 against PyTorch, on {checked.photos:,} {checked.origin}: {number_of(checked.changed, 'answer')} "
        f"changed; a probability differs by at most {checked.largest_difference:.1e}"
    )
    if loss is not None:
        yield Text(
            f"int8 against float32, on {loss.photos:,} {loss.origin}: {number_of(loss.changed, 'answer')} changed; "
            f"a probability differs by {loss.mean_difference:.3f} on average, by at most "
            f"{loss.largest_difference:.3f}; calibrated on {loss.calibrated_on}"
        )
        yield _species(loss)
    size = f"{result.size / MEGABYTE:.1f} MB"
    yield Text(f"written to {result.path}: {result.record.precision}, {size}, classes and decisions in it")
    yield Text(f"next: {shlex.join(['fscl', 'predict', str(result.path), 'PHOTOS', '--out', 'predictions.csv'])}")


def _species(loss: Int8Loss) -> Table:
    shown = plain_table("recall" if loss.labelled else "photos named as float32 names them (no labels are known)")
    shown.add_column("species", overflow="fold")
    for column in ("photos", "float32", "int8", "lost"):
        shown.add_column(column, justify="right")
    for name, one in loss.species.items():
        before, after = one.before / one.photos, one.after / one.photos
        shown.add_row(Text(name), f"{one.photos:,}", f"{before:.3f}", f"{after:.3f}", f"{one.loss + 0.0:.3f}")
    return shown
