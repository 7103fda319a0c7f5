"""The table that says which genus, family and so on the classes of a model are in.

class,species,genus,family,order
red_fox,Vulpes vulpes,Vulpes,Canidae,Carnivora
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.tables import delimited
from fscl.manifest.names import tidy
from fscl.scoring.taxonomy import Taxonomy
from fscl.species import plain

CLASS = "class"
NAMED = 5  # classes in an error


def read_taxonomy(path: Path, classes: Sequence[str]) -> Taxonomy:
    """Return the taxonomy of classes from a table: the column `class`, then ranks from the finest to the coarsest.

    A cell is the name of the group, or empty. Case, spaces, `_` and `-` do not count. Rows of other classes are
    passed over.

    Args:
        path: of the table, separated by comma, semicolon, tab or bar.
        classes: of the model.

    Raises:
        PhotosError: no such table, no column `class`, or no rank.
        ConfigurationError: a class that is not there or there twice, or a name that is in two groups of a rank.
    """
    rows = delimited.read(path).rows.rename(columns=lambda name: tidy(str(name)))
    of_class = [place for place, name in enumerate(rows.columns) if name.lower() == CLASS]
    ranks = [name for name in rows.columns if name and name.lower() != CLASS]
    if len(of_class) > 1 or len(set(ranks)) < len(ranks):
        raise PhotosError(
            f"{path}: has two columns of one name, {', '.join(rows.columns)}: the column class has the names of the "
            "model, a rank of that name is called class_name"
        )
    if not of_class or not ranks:
        raise PhotosError(
            f"{path}: expected the column class, then ranks from the finest to the coarsest, such as "
            f"class,species,genus,family,order; got {', '.join(map(str, rows.columns))}"
        )
    own = [_row(path, rows, rows.iloc[:, of_class[0]], name) for name in classes]
    missing = [name for name, row in zip(classes, own, strict=True) if row is None]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise ConfigurationError(
            f"{path}: has no row for {', '.join(missing[:NAMED])}{more}, which the model names: add one for each, "
            "with empty cells where there is no name"
        )
    spellings: dict[tuple[str, str], str] = {}
    lineages = [[_name(spellings, rank, row[rank]) for rank in ranks] for row in own if row is not None]
    try:
        return Taxonomy.of(ranks, lineages)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _row(path: Path, rows: pd.DataFrame, names: pd.Series, name: str) -> pd.Series | None:
    """Return the row of a class: of that very name, else of one that is written a little otherwise."""
    tidied = names.fillna("").map(tidy)
    found = rows[tidied == tidy(name)]
    if found.empty:
        found = rows[tidied.map(plain) == plain(name)]
    if len(found) > 1:
        raise ConfigurationError(f"{path}: has {len(found)} rows for the class {name}: keep one of them")
    return None if found.empty else found.iloc[0]


def _name(spellings: dict[tuple[str, str], str], rank: str, cell: object) -> str | None:
    """Return the name of a group as it is spelled first; None of an empty cell."""
    name = tidy(cell) if isinstance(cell, str) else ""
    return spellings.setdefault((rank, plain(name)), name) if plain(name) else None
