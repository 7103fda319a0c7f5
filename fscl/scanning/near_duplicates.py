"""Near-duplicates across a split: test photos that look like a training photo of another sequence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt64
from PIL import Image

from fscl.atomic import replacing
from fscl.images import UnreadableError, read_region
from fscl.manifest.table import Manifest
from fscl.printable import number_of
from fscl.scanning.scan import in_threads

BITS = 64
MOST_DIFFERENT = 4
"""Bits in which two hashes differ at most, for their photos to look alike."""

LEAST_DEVIATION = 8.0
"""Of the 9 × 8 grey values, 0 to 255: what is flatter, as dark night and fog are, has a hash of noise. The flattest
of 120 photos of camera traps and pets has 15."""

MOST_SEQUENCES = 20
"""A test photo that looks like photos of more training sequences shows the view of a camera: all look like that."""

SIDE_PX = 64  # decoded at least so large
BLOCK, MOST_AT_ONCE = 4096, 2**22  # test hashes, and pairs of hashes, at once: they bound the memory
COLUMNS = ["test_photo", "training_photo", "different_bits", "training_sequences", "test_label", "training_label"]


@dataclass(frozen=True)
class NearDuplicates:
    """What comparing test photos with training photos found.

    Attributes:
        pairs: a row per test photo that looks like a training photo of another sequence, the most similar first: the
            columns of `COLUMNS`, with the training photo that is most similar to it.
        tested: test photos.
        flat: of them, those too flat to be compared.
        common: of them, those like more than `MOST_SEQUENCES` training sequences.
        unreadable: photos of training and test that could not be read.
    """

    pairs: pd.DataFrame
    tested: int
    flat: int
    common: int
    unreadable: int

    def lines(self, file: Path) -> list[str]:
        """Say what was found; `file` has the pairs."""
        found = f"{len(self.pairs):,} of {number_of(self.tested, 'test photo')} look like a training photo of another"
        said = [f"near-duplicates: {found} sequence; nothing was moved, the pairs to look at are in {file}"]
        if self.common:
            said.append(
                f"{number_of(self.common, 'test photo')} like more than {MOST_SEQUENCES} training sequences: the view"
                " of a camera, not counted as near-duplicates"
            )
        if self.flat:
            said.append(f"{number_of(self.flat, 'test photo')} too dark or flat to be compared")
        if self.unreadable:
            said.append(f"{number_of(self.unreadable, 'photo')} could not be read and compared")
        return said

    def write(self, file: Path) -> None:
        """Write the pairs as CSV."""
        with replacing(file) as target:
            self.pairs.to_csv(target, index=False, lineterminator="\n")


def near_duplicates(manifest: Manifest, progress: Callable[[int, int], None] | None = None) -> NearDuplicates:
    """Find the test photos that look like a training photo of another sequence, by the difference hash of both.

    Args:
        manifest: photos with a split.
        progress: called with (photos read, photos) as the work goes on.
    """
    usable = manifest.usable
    photos = usable[usable["split"].isin(["train", "test"])].drop_duplicates("path").sort_values("path")
    photos = photos[["path", "label", "split", "sequence"]].reset_index(drop=True)
    photos["sequence"] = photos["sequence"].fillna("\0" + photos["path"])  # a photo by itself
    hashed: list[tuple[int, float] | None] = []
    for batch in in_threads(lambda path: _hash(manifest.photo(path)), photos["path"].tolist()):
        hashed += batch
        if progress is not None:
            progress(len(hashed), len(photos))
    read = np.array([found is not None for found in hashed], dtype=bool)
    photos["hash"] = np.array([found[0] if found else 0 for found in hashed], dtype=np.uint64)
    flat = np.array([found is not None and found[1] < LEAST_DEVIATION for found in hashed], dtype=bool)
    test = photos["split"] == "test"
    alike = _alike(photos[test & read & ~flat], photos[~test & read & ~flat])
    common = alike["training_sequences"] > MOST_SEQUENCES
    pairs = alike[~common].sort_values(["different_bits", "test_photo"]).reset_index(drop=True)
    for column in ("test_photo", "training_photo"):
        pairs[column] = [str(manifest.photo(path)) for path in pairs[column]]
    return NearDuplicates(pairs, int(test.sum()), int((test & flat).sum()), int(common.sum()), int((~read).sum()))


def difference_hash(image: Image.Image) -> tuple[int, float]:
    """Return the difference hash of an image, and how much its grey values deviate.

    Of the image in 9 × 8 grey values, a bit says whether a value is greater than the one to the left of it: 64 bits,
    row by row, the first one highest (dHash, Krawetz 2013). The deviation is of the 72 values, 0 to 127.5.

    >>> difference_hash(Image.linear_gradient("L").rotate(90))[0] == 2**64 - 1
    True
    >>> difference_hash(Image.new("L", (64, 64), 9))
    (0, 0.0)
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS))
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(bits.tobytes()), float(grey.std())


def close_pairs(
    ours: UInt64[np.ndarray, "ours"], others: UInt64[np.ndarray, "others"], most: int = MOST_DIFFERENT
) -> Int[np.ndarray, "pairs 3"]:
    """Return all pairs of hashes that differ in at most so many bits: position in ours, in others, bits.

    The 64 bits are cut into one band more than bits may differ, so that one band at least is equal in both: only
    hashes with an equal band are compared.

    >>> close_pairs(np.array([0, 255], np.uint64), np.array([7, 254, 2**63], np.uint64)).tolist()
    [[0, 0, 3], [0, 2, 1], [1, 1, 1]]
    """
    found = [np.empty((0, 3), dtype=np.int64)]
    edges = [round(band * BITS / (most + 1)) for band in range(most + 2)]
    for low, high in pairwise(edges):
        mask = np.uint64(2 ** (high - low) - 1)
        for rows, columns in _buckets((ours >> np.uint64(low)) & mask, (others >> np.uint64(low)) & mask):
            bits = np.bitwise_count(ours[rows, None] ^ others[columns])
            row, column = np.nonzero(bits <= most)
            found.append(np.stack([rows[row], columns[column], bits[row, column]], axis=1).astype(np.int64))
    return np.unique(np.concatenate(found), axis=0)


def _buckets(
    ours: UInt64[np.ndarray, "ours"], others: UInt64[np.ndarray, "others"]
) -> Iterator[tuple[Int[np.ndarray, "rows"], Int[np.ndarray, "columns"]]]:
    """Yield the positions in both of each value that both have, not too many at once."""
    order, other_order = np.argsort(ours, kind="stable"), np.argsort(others, kind="stable")
    values, starts = np.unique(ours[order], return_index=True)
    firsts = np.searchsorted(others[other_order], values, "left")
    lasts = np.searchsorted(others[other_order], values, "right")
    for rows, first, last in zip(np.split(order, starts[1:]), firsts, lasts, strict=True):
        pieces = len(rows) * (last - first) // MOST_AT_ONCE + 1
        for piece in np.array_split(rows, pieces) if last > first else []:
            yield piece, other_order[first:last]


def _alike(test: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Return the test photos that look like training photos of other sequences, each with the most similar."""
    seen = train.drop_duplicates(["hash", "sequence"])  # the others of a burst say the same
    hashes, trained = test["hash"].unique(), seen["hash"].unique()
    tables = [pd.DataFrame({name: pd.Series(dtype="object") for name in COLUMNS})]
    for start in range(0, len(hashes), BLOCK):
        block = hashes[start : start + BLOCK]
        ours, others, bits = close_pairs(block, trained).T
        close = pd.DataFrame({"hash": block[ours], "training_hash": trained[others], "different_bits": bits})
        pairs = test.merge(close, on="hash").merge(
            seen, left_on="training_hash", right_on="hash", suffixes=("", "_of_training")
        )
        pairs = pairs[pairs["sequence"] != pairs["sequence_of_training"]]
        pairs = pairs.sort_values(["path", "different_bits", "path_of_training"])
        sequences = pairs.groupby("path")["sequence_of_training"].nunique()
        nearest = pairs.drop_duplicates("path")
        nearest = nearest.assign(training_sequences=nearest["path"].map(sequences))
        names = {"path": "test_photo", "path_of_training": "training_photo"}
        names |= {"label": "test_label", "label_of_training": "training_label"}
        tables.append(nearest.rename(columns=names)[COLUMNS])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _hash(photo: Path) -> tuple[int, float] | None:
    try:
        return difference_hash(read_region(photo, min_side=SIDE_PX))
    except UnreadableError:
        return None
