"""Which columns of a table say what a photo shows: one column, or a common name and the ranks of a taxonomy."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from fscl.formats.blanks import BLANK, with_blanks
from fscl.formats.tables.cells import as_text, is_missing_word
from fscl.manifest import reasons
from fscl.manifest.names import tidy

NAMES = ("common name", "vernacular name", "scientific name")
ONE_COLUMN = ("label", "species", *NAMES, "class", "category")
"""What others call the label; the first found is taken."""
RANKS = ("genus", "family", "order")  # beside which `class` is a rank, too, and `species` the second word of a name
LISTED = 3  # labels in a remark
TRUE = ("1", "true", "yes")
NO_ANSWER = ("no cv result", "cv failed", "cv needed")  # what Wildlife Insights writes where it has no name


class LabelColumns(NamedTuple):
    """The headings that a label is made of, the better ones first."""

    headings: list[str]
    genus_and_species: list[str]
    """Two headings of which a label is made where the others say nothing, or none."""
    is_blank: str | None
    """Of a column that tells photos without an animal."""
    others: list[str]
    """Columns that might have been meant as well."""
    in_ranks: bool
    """They stand beside the ranks of a taxonomy."""


NO_LABELS = LabelColumns([], [], None, [], in_ranks=False)
"""Of a table of photos that nobody has looked at."""


class Labels(NamedTuple):
    """A label a row, why there is none or none that can be used, and what is to be said of all."""

    labels: pd.Series
    problems: pd.Series
    remarks: list[str]


def find_label_columns(headings: Mapping[str, str]) -> LabelColumns | None:
    """Return the columns with labels, None where there are none.

    A column `label` is the label. Where the ranks of a taxonomy stand beside each other or a name, as in exports of
    Wildlife Insights, `species` and `class` are none: the label is the common name, else the scientific name, else
    genus and species.

    Args:
        headings: those of the table, by their plain form.

    >>> find_label_columns({"class": "class", "genus": "Genus", "species": "species"}).genus_and_species
    ['Genus', 'species']
    """
    present = _there(headings, ONE_COLUMN)
    is_blank = headings.get("isblank")
    in_ranks = bool(_there(headings, RANKS)) or ("class" in headings and bool(_there(headings, NAMES)))
    if "label" in headings or not in_ranks:
        return LabelColumns(present[:1], [], is_blank, present[1:], in_ranks=False) if present else None
    names, both = _there(headings, NAMES), _there(headings, ("genus", "species"))
    if len(both) == 1:
        names, both = names + both, []
    return LabelColumns(names, both, is_blank, [], in_ranks=True) if names or both else None


def _there(headings: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [headings[name] for name in (name.replace(" ", "") for name in names) if name in headings]


def read_labels(
    source: pd.DataFrame, columns: LabelColumns, kept: frozenset[str] = frozenset(), *, blanks: bool = False
) -> Labels:
    """Read labels. Words for nothing, such as NA, are no label, except those that are `kept`.

    Photos without an animal, where the table says so, are the class `blank` if `blanks` are wanted, else left out.

    >>> table = pd.DataFrame({"genus": ["Lynx", "Canis"], "species": ["rufus", "rufus"], "name": [None, "red wolf"]})
    >>> read_labels(table, LabelColumns(["name"], ["genus", "species"], None, [], True)).labels.tolist()
    ['Lynx rufus', 'red wolf']
    """
    no_answer = NO_ANSWER if columns.in_ranks else ()
    read = [_names(source[heading], kept, no_answer) for heading in columns.headings]
    if columns.genus_and_species:
        (genus, word), (species, _) = (
            _names(source[heading], kept, no_answer) for heading in columns.genus_and_species
        )
        read.append((_binomial(genus, species), word))
    labels = words = pd.Series(None, index=source.index, dtype="str")
    for label, word in read:
        labels, words = labels.fillna(label), words.fillna(word)
    labels, problems, remarks = _with_blanks(labels, source, columns, wanted=blanks)
    none = ("no label (" + words + ")").fillna("no label").where(labels.isna())
    remarks += [remark for heading in columns.headings for remark in _spellings(source[heading])]
    return Labels(labels, reasons.added(problems, none), [*_said(columns), *remarks])


def _spellings(column: pd.Series) -> list[str]:
    """Say which labels are made one, for they differ in spaces or in how letters are composed alone."""
    text = column.astype("object")
    text = text[text.map(lambda cell: isinstance(cell, str))]
    spellings = text.groupby(text.map(tidy)).nunique().drop("", errors="ignore")
    several = spellings.index[spellings > 1].tolist()
    if not several:
        return []
    more = f" and {len(several) - LISTED:,} more" if len(several) > LISTED else ""
    listed = ", ".join(several[:LISTED])
    return [f"labels that differ in spaces or in the form of letters alone are one class: {listed}{more}"]


def _names(column: pd.Series, kept: frozenset[str], no_answer: tuple[str, ...]) -> tuple[pd.Series, pd.Series]:
    """Names, and the words that stand where there is none."""
    text = as_text(column).map(tidy, na_action="ignore").astype("str")
    nothing = (is_missing_word(text) & ~text.isin(kept)) | text.str.lower().isin(no_answer)
    return text.mask(nothing | (text == "")), text.where(nothing)


def _binomial(genus: pd.Series, species: pd.Series) -> pd.Series:
    """Genus and species; the column of the species may say both, or nothing."""

    def name(genus: object, species: object) -> object:
        if not (isinstance(genus, str) and isinstance(species, str)):
            return genus
        return species if species.casefold().startswith(f"{genus} ".casefold()) else f"{genus} {species}"

    return pd.Series(list(map(name, genus, species)), index=genus.index, dtype="str")


def _with_blanks(
    labels: pd.Series, source: pd.DataFrame, columns: LabelColumns, *, wanted: bool
) -> tuple[pd.Series, pd.Series, list[str]]:
    """Photos without an animal, however the table says it."""
    blank = pd.Series(False, index=labels.index)
    if columns.in_ranks:
        blank |= labels.str.lower() == BLANK
    said = pd.Series(False, index=labels.index)
    if columns.is_blank is not None:
        said = as_text(source[columns.is_blank]).str.lower().isin(TRUE)
    doubtful = said & labels.notna() & (labels.str.lower() != BLANK)
    blank |= said & ~doubtful
    problem = reasons.where(doubtful, "said to be blank, and has a label")
    rows, remarks = with_blanks(pd.DataFrame({"label": labels, "problem": problem}), blank, wanted=wanted)
    return rows["label"], rows["problem"], remarks


def _said(columns: LabelColumns) -> list[str]:
    pair = " + ".join(columns.genus_and_species)
    made = ", else ".join([*columns.headings, *([pair] if pair else [])])
    if columns.in_ranks:
        return [f"labels are read from {made}: the other ranks are kept as columns"]
    return [f"labels are read from {made}, not from {', '.join(columns.others)}"] if columns.others else []
