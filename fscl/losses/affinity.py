"""Affinities: how similar the features of two classes shall be, 1 for the same direction, −1 for opposite ones."""

import csv
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fscl.errors import did_you_mean

RANKS = {"genus": 0.5, "family": 0.25, "order": 0.125}  # halved from rank to rank; our choice, nothing is tuned on it

EXPECTED = "affinity must be 'identity', 'simplex', a K×K matrix or a taxonomy file (.csv, .toml)"

Affinity = str | Path | Sequence[Sequence[float]] | Float[Tensor, "classes classes"]


def affinity_matrix(
    affinity: Affinity, num_classes: int, class_names: Sequence[str] | None = None
) -> Float[Tensor, "classes classes"]:
    """Return the K×K matrix A of an affinity.

    Args:
        affinity: "identity": classes at a right angle, as in the study. "simplex": at equal and widest angles, all
            pairs −1/(K − 1); needs features that can point away from each other, so centred or projected ones. A
            symmetric matrix. Or the path of a taxonomy, see `taxonomy_affinity`.
        num_classes: K ≥ 2.
        class_names: in the order of the labels; needed by a taxonomy.

    Raises:
        ValueError: an unknown name; what is no matrix; a matrix of another size, not symmetric, or not of cosines; a
            taxonomy that cannot be read or lacks a class.

    >>> affinity_matrix("simplex", 3)
    tensor([[ 1.0000, -0.5000, -0.5000],
            [-0.5000,  1.0000, -0.5000],
            [-0.5000, -0.5000,  1.0000]])
    """
    if isinstance(affinity, str | Path):
        if affinity == "identity":
            return torch.eye(num_classes)
        if affinity == "simplex":
            return torch.full((num_classes, num_classes), -1 / (num_classes - 1)).fill_diagonal_(1)
        if Path(affinity).suffix not in READERS:
            raise ValueError(f"{EXPECTED}, got '{affinity}'{did_you_mean(str(affinity), ['identity', 'simplex'])}")
        return taxonomy_affinity(Path(affinity), _names(class_names, num_classes))
    try:
        matrix = torch.as_tensor(affinity)
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(
            f"{EXPECTED}, got {affinity!r}; a matrix is a list of {num_classes} rows of numbers"
        ) from None
    return _checked(matrix, num_classes)


def taxonomy_affinity(path: Path, class_names: Sequence[str]) -> Float[Tensor, "classes classes"]:
    """Return the affinity of classes by the lowest rank that they share: genus .5, family .25, order .125, else 0.

    It pulls related species together. That suits coarse groups, not a pair of relatives to be told apart.

    Args:
        path: a CSV file with the columns `class`, `genus`, `family`, `order`, or a TOML file with a table for each
            class that has the last three. An empty rank is shared with nobody; case does not count.
        class_names: in the order of the labels.

    Raises:
        ValueError: a file that cannot be read, or lacks a column or a class; a rank that is not text.
    """
    try:
        taxonomy = READERS[path.suffix](path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: the taxonomy cannot be read: {error}") from None
    for name in class_names:
        if name not in taxonomy:
            raise ValueError(f"{path}: no class '{name}' in the taxonomy{did_you_mean(name, taxonomy)}")
    matrix = torch.eye(len(class_names))
    for i, one in enumerate(class_names):
        for j, other in enumerate(class_names[:i]):
            matrix[i, j] = matrix[j, i] = _affinity_of(taxonomy[one], taxonomy[other])
    return matrix


def _affinity_of(one: Mapping[str, str], other: Mapping[str, str]) -> float:
    shared = (RANKS[rank] for rank in RANKS if one[rank] and one[rank] == other[rank])
    return next(shared, 0.0)


def _read_csv(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, restval="")
        for column in ("class", *RANKS):
            if column not in (rows.fieldnames or ()):
                raise ValueError(f"{path}: the taxonomy has no column '{column}'; got {rows.fieldnames}")
        taxonomy: dict[str, dict[str, str]] = {}
        for row in rows:
            if taxonomy.setdefault(row["class"].strip(), _ranks(row)) != _ranks(row):
                raise ValueError(f"{path}: class '{row['class']}' is there twice, with different ranks; keep one")
        return taxonomy


def _read_toml(path: Path) -> dict[str, dict[str, str]]:
    with path.open("rb") as file:
        tables = tomllib.load(file)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{path}: expected a table for each class, e.g. [water_deer], got {name} = {table!r}")
        for rank in RANKS:
            if not isinstance(table.get(rank, ""), str):
                raise ValueError(
                    f"{path}: {rank} of '{name}' must be text, got {table[rank]!r}; put the name in quotes, or leave "
                    "an unknown rank out"
                )
    return {name: _ranks(table) for name, table in tables.items()}


READERS = {".csv": _read_csv, ".toml": _read_toml}


def _ranks(row: Mapping[str, str]) -> dict[str, str]:
    return {rank: row.get(rank, "").strip().casefold() for rank in RANKS}


def _names(class_names: Sequence[str] | None, num_classes: int) -> Sequence[str]:
    if class_names is None or len(class_names) != num_classes:
        got = "none" if class_names is None else f"{len(class_names)} of them"
        raise ValueError(f"a taxonomy needs class_names, {num_classes} in the order of the labels, got {got}")
    return class_names


def _checked(matrix: Tensor, num_classes: int) -> Tensor:
    matrix = matrix.detach().clone() if matrix.is_floating_point() else matrix.to(torch.get_default_dtype())
    if matrix.shape != (num_classes, num_classes):
        raise ValueError(f"affinity must be ({num_classes}, {num_classes}), got {tuple(matrix.shape)}")
    if not bool((matrix.abs() <= 1).all()):
        raise ValueError(f"affinities are cosines, −1 … 1, got {matrix.min():.4g} … {matrix.max():.4g}")
    if not torch.equal(matrix, matrix.T):
        i, j = (matrix != matrix.T).nonzero()[0].tolist()
        raise ValueError(
            f"affinity must be symmetric, got {matrix[i, j]:.4g} for classes {i}, {j} and {matrix[j, i]:.4g} for "
            f"{j}, {i}; (A + Aᵀ)/2 is"
        )
    return matrix
