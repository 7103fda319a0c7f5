"""Which photos are explained: those that are given, else the worst mistakes on the run's test photos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fscl.errors import PhotosError
from fscl.formats import manifest_file
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.walk import PHOTO_SUFFIXES
from fscl.loading.regions import Regions
from fscl.manifest.table import BOX, Manifest
from fscl.prediction.photos import list_photos
from fscl.printable import number_of
from fscl.records import Failed

MOST_MISTAKES, MOST_GIVEN = 24, 100


@dataclass(frozen=True)
class Chosen:
    """Photos to explain.

    Attributes:
        rows: a row each: `path` of the file, `region` of the manifest and `label`, both missing where not known, and
            the box.
        how: they were chosen, in words.
        failed: photos that cannot be explained.
        fractions: boxes are fractions of the photo, not pixels.
    """

    rows: pd.DataFrame
    how: str
    failed: list[Failed] = field(default_factory=list)

    def regions(self) -> Regions:
        """Return them as photos to be read."""
        paths = [Path(path) for path in self.rows["path"]]
        boxes = self.rows[BOX].to_numpy(dtype=np.float64, na_value=np.nan)
        return Regions(paths, boxes, np.full(len(paths), -1))


def given_photos(sources: Sequence[Path], reading: Reading = NOTHING_SAID) -> Chosen:
    """Return the photos that a user names: files, folders, zips, manifests, or any format that can be read.

    Raises:
        PhotosError: nothing is there, or no photo in it.
    """
    parts, failed = [], []
    for source in sources:
        if source.suffix.lower() in PHOTO_SUFFIXES and not source.is_dir():
            parts.append(pd.DataFrame({"path": [str(source)]}))
        elif source.is_file() and manifest_file.recognises(source):
            manifest = manifest_file.read(source, reading)
            parts.append(_rows_of(manifest.rows[manifest.rows["problem"].isna()], manifest))
            broken = manifest.rows[manifest.rows["problem"].notna() & manifest.rows["label"].notna()]
            failed += [Failed(*each) for each in zip(broken["path"], broken["problem"], strict=True)]
        else:
            listing = list_photos(source, reading)
            photos = listing.photos.iloc[listing.regions["photo"]].reset_index(drop=True)
            parts.append(photos[["path"]].join(listing.regions[BOX]))
            broken = listing.photos[listing.photos["problem"].notna()]
            failed += [Failed(*each) for each in zip(broken["file"], broken["problem"], strict=True)]
    rows = pd.concat(parts, ignore_index=True).reindex(columns=["path", "region", "label", *BOX])
    if rows.empty:
        why = f"{failed[0].path}: {failed[0].reason}" if failed else "they hold none"
        raise PhotosError(f"expected photos to explain, got none that can be used ({why}); give others")
    how = f"the {number_of(len(rows), 'photo')} that were given" if len(rows) > 1 else "the photo that was given"
    if len(rows) > MOST_GIVEN:
        how = f"the first {MOST_GIVEN} of {number_of(len(rows), 'photo')} that were given"
    return Chosen(rows.iloc[:MOST_GIVEN], how, failed)


def worst_mistakes(test: Manifest, predictions: pd.DataFrame, train_counts: Mapping[str, int]) -> Chosen:
    """Return at most `MOST_MISTAKES` test photos that were named wrongly, the rare classes first.

    Each class in turn gives the photo whose wrong answer is surest, from the rarest class on, so that neither the
    mistakes on a common class nor those on one rare class fill the page. Without a mistake they are the photos whose
    right answer is least sure.

    Args:
        test: the photos.
        predictions: of these: `region`, `label`, `prediction`, `probability`; a missing prediction is none.
        train_counts: of each class.
    """
    named = predictions[predictions["prediction"].notna() & predictions["label"].notna()]
    wrong = named[named["prediction"] != named["label"]]
    mistakes = len(wrong) > 0
    ranked = (wrong if mistakes else named).sort_values("probability", ascending=not mistakes, kind="stable")
    ranked = ranked.assign(rank=ranked.groupby("label").cumcount(), count=ranked["label"].map(train_counts))
    shown = ranked.sort_values(["rank", "count", "label"], kind="stable").iloc[:MOST_MISTAKES]
    shown = shown.sort_values(["count", "label", "rank"], kind="stable")
    rows = test.rows.set_index("region_id", drop=False)
    known = [region for region in shown["region"] if region in rows.index]
    if mistakes:
        how = f"the worst mistakes, {len(known)} of {len(wrong):,}, on {number_of(len(named), 'test photo')}"
    else:
        how = f"no mistake on {number_of(len(named), 'test photo')}: those whose right answer is least sure"
    return Chosen(_rows_of(rows.loc[known], test), how)


def _rows_of(rows: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    table = rows[["label", *BOX]].reset_index(drop=True)
    paths = [str(manifest.photo(path)) for path in rows["path"]]
    return table.assign(path=paths, region=rows["region_id"].to_numpy())
