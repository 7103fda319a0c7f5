"""What a split keeps together: photos, videos, sequences, sites, and byte copies as far as they may join those."""

from collections.abc import Container, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

By = Literal["photo", "sequence", "site", "time"]
# Columns whose values stay within one part, those of videos where the manifest has them.
OF_PHOTO = ["photo_id", "video_id", "video_hash", "content_hash"]
KEPT_WHOLE: dict[str, list[str]] = {
    "photo": OF_PHOTO,
    "sequence": ["sequence", *OF_PHOTO],
    "site": ["site", "sequence", *OF_PHOTO],
    "time": ["sequence", *OF_PHOTO],
}
COPIED = {"video_hash": "video", "content_hash": "photo"}  # columns that byte copies share, and what is copied
# Sequences or sites that copies of one photo may make one. A frame that the lens cap made black is on every site.
MOST_JOINED = {"sequence": 2, "site": 1}
FIX = {
    "photo": "add photos",
    "sequence": "add photos of other sequences, or split by photo",
    "site": "add photos of other sites, or split by sequence",
}
LISTED = 3  # examples in a message


class Groups(NamedTuple):
    """The group of each row, by its number, and the rows of byte copies that would join more groups than they may."""

    number: pd.Series
    surplus: pd.Index


def kept_whole(rows: pd.DataFrame, by: By, without: Container[str] = ()) -> list[str]:
    """Return the columns of `KEPT_WHOLE` that the rows have, but some."""
    return [column for column in KEPT_WHOLE[by] if column in rows and column not in without]


def groups(rows: pd.DataFrame, by: By) -> Groups:
    """Return which rows are kept together, and which byte copies are too many.

    Rows that share a photo or a video, or the content of a video, are one group, by sequence also those that share a
    sequence, by site also those that share a site: the connected components. Byte copies of photos join, too, but at
    most `MOST_JOINED` groups that hold other photos. Where a copy is in more of them, the rows of one stay in, and
    those of the others are surplus. By time groups are as by sequence, and copies join nothing, for a copy may be of
    another year.

    Args:
        rows: usable manifest rows, under their region_id; their order decides which copy stays.
        by: what is kept whole.

    >>> rows = pd.DataFrame({"photo_id": list("abcdef"), "site": list("xxyyzz"), "sequence": None})
    >>> rows["content_hash"] = [None, "black", None, "black", None, None]
    >>> groups(rows, "site").number.tolist(), groups(rows, "site").surplus.tolist()
    ([0, 0, 1, 1, 2, 2], [3])
    """
    if by == "photo":
        return Groups(_components(rows, kept_whole(rows, by)), rows.index[:0])
    if by == "time":
        return Groups(_components(rows, kept_whole(rows, by, without=COPIED)), rows.index[:0])
    number = _components(rows, kept_whole(rows, by, without=["content_hash"]))
    hashes = rows["content_hash"]
    pairs = pd.DataFrame({"hash": hashes, "group": number}).dropna().drop_duplicates()
    pairs = pairs[pairs["hash"].duplicated(keep=False)]
    if pairs.empty:
        return Groups(number, rows.index[:0])
    touched_rows = hashes[number.isin(pairs["group"])].groupby(number)
    contents = touched_rows.nunique() + (touched_rows.size() > touched_rows.count())
    joined = _Joined(dict(zip(contents.index.tolist(), (contents > 1).astype(int).tolist(), strict=True)))
    kept_in = {}
    for content, touched in pairs.groupby("hash")["group"]:
        kept_in[content] = touched.iloc[0]
        joined.join(touched.tolist(), MOST_JOINED[by])
    numbers = number.map(joined.root)
    copies = hashes.isin(list(kept_in))
    elsewhere = numbers[copies] != hashes[copies].map(kept_in).map(joined.root)
    return Groups(numbers, elsewhere.index[elsewhere])


def joints(rows: pd.DataFrame, by: By) -> list[str]:
    """Say what makes several sites, or sequences, one group: the values of other columns that are in more than one.

    >>> rows = pd.DataFrame({"photo_id": list("abc"), "site": list("xyz"), "sequence": ["7", "7", "7"]})
    >>> joints(rows, "site")
    ["sequence '7' joins 3 sites (x, y, z)"]
    """
    if by == "photo":  # it is no news that a video has several frames
        return []
    whole, *others = kept_whole(rows, by, without=["content_hash"])
    sentences = []
    for column in others:
        pairs = rows[[whole, column]].dropna().drop_duplicates()
        for value, places in pairs.groupby(column)[whole]:
            if len(places) > 1:
                sentence = f"{called(rows, column, value)} joins {len(places)} {whole}s ({_listed(sorted(places))})"
                sentences.append((len(places), sentence))
    return [sentence for _, sentence in sorted(sentences, key=lambda counted: -counted[0])]


def called(rows: pd.DataFrame, column: str, value: object) -> str:
    """Return what rows share in the user's words: of byte copies their names, for nobody knows a hash.

    >>> rows = pd.DataFrame({"photo_id": ["a.jpg", "b.jpg"], "content_hash": "9f86d0", "site": "x"})
    >>> called(rows, "site", "x"), called(rows, "content_hash", "9f86d0")
    ("site 'x'", "the photo 'a.jpg' (copies: b.jpg)")
    """
    if column not in COPIED:
        return f"{column} '{value}'"
    names = rows.loc[rows[column] == value, "video_id" if column == "video_hash" else "photo_id"]
    first, *copies = names.drop_duplicates().tolist()
    return f"the {COPIED[column]} '{first}'" + (f" (copies: {_listed(copies)})" if copies else "")


def why_no_test(rows: pd.DataFrame, by: By, parts: int) -> str:
    """Say why no class could be tested: how many groups there are, and what joins them.

    Args:
        rows: that were divided.
        by: what was kept whole.
        parts: that were wanted: training, validation, test, as far as the source had none of them.

    >>> rows = pd.DataFrame({"photo_id": list("abc"), "label": "fox", "site": list("xyz"), "sequence": "7"})
    >>> rows["content_hash"] = None
    >>> why_no_test(rows, "site", 3)[:77]
    'no test photos: a class is tested where it has 3 groups or more, by site none'
    """
    most = groups(rows, by).number.groupby(rows["label"]).nunique().max()
    joining = joints(rows, by)
    sentence = (
        f"no test photos: a class is tested where it has {parts} groups or more, by {by} none has more than {most}"
    )
    return "; ".join([sentence, *joining[:LISTED], FIX[by]])


class _Joined:
    """Groups that become one: a union-find that knows how many groups with other photos each component has."""

    def __init__(self, holding: dict[int, int]) -> None:
        self._above = {group: group for group in holding}
        self._holding = dict(holding)

    def root(self, group: int) -> int:
        """Return the number of the component: the lowest of its groups."""
        while self._above.get(group, group) != group:
            group = self._above[group]
        return group

    def join(self, touched: Sequence[int], most: int) -> None:
        """Join the components of a copy; where they hold too many other photos, those that hold none to the first."""
        roots = list(dict.fromkeys(self.root(group) for group in touched))
        if sum(self._holding[root] for root in roots) > most:
            roots = [roots[0], *(root for root in roots[1:] if not self._holding[root])]
        lowest = min(roots)
        self._holding[lowest] = sum(self._holding[root] for root in roots)
        for root in roots:
            self._above[root] = lowest


def _components(rows: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Number the connected components of rows and the values that they share, in the order of their first rows."""
    row_nodes, value_nodes = [], []
    nodes = len(rows)
    for column in columns:
        codes, values = pd.factorize(rows[column])
        known = np.flatnonzero(codes >= 0)
        row_nodes.append(known)
        value_nodes.append(nodes + codes[known])
        nodes += len(values)
    edges = (np.concatenate(row_nodes), np.concatenate(value_nodes))
    graph = csr_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    return pd.Series(component[: len(rows)], index=rows.index)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(map(str, names[:LISTED])) + more
