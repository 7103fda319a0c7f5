from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fscl.errors import ConfigurationError
from fscl.manifest.table import Manifest
from fscl.synthetic import photos as synthetic
from fscl.synthetic.animals import Individual, Pose, draw_animal
from fscl.synthetic.drawing import Canvas, photograph
from fscl.synthetic.photos import SPECIES, generate

SMALL = (80, 60)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return generate(tmp_path_factory.mktemp("wood"), counts=dict.fromkeys(SPECIES, 50), image_size=SMALL)


def pixels(manifest: Manifest, path: str) -> NDArray[np.int16]:
    with Image.open(manifest.photo(path)) as photo:
        return np.asarray(photo).astype(np.int16)


def contents(manifest: Manifest) -> dict[str, bytes]:
    return {path: manifest.photo(path).read_bytes() for path in manifest.rows["path"]}


def drawn(species: str, likeness: float, seed: int) -> NDArray[np.float32]:
    """Draw some animal; the same seed gives the same individual in the same pose."""
    rng = np.random.default_rng(seed)
    pose = Pose(head=rng.random(), gait=rng.uniform(0, 6), stride=0.15, ear=rng.normal(0, 0.2))
    canvas = Canvas((110, 80), (45, 75), (40, 40))
    draw_animal(canvas, species, Individual.met(rng), pose, 1 - likeness, by_night=False)
    return canvas.layer()


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    once, again, other = (
        contents(generate(tmp_path / name, counts={"roe_deer": 4, "wild_boar": 2}, image_size=SMALL, seed=seed))
        for name, seed in (("once", 3), ("again", 3), ("other", 4))
    )
    assert once == again
    assert set(once.values()).isdisjoint(other.values())


def test_a_species_depends_on_no_other_count(tmp_path: Path) -> None:
    few = generate(tmp_path / "few", counts={"roe_deer": 5, "wild_boar": 3}, image_size=SMALL)
    many = generate(tmp_path / "many", counts={"water_deer": 2, "roe_deer": 9}, image_size=SMALL)
    roe_deer = few.rows.query("label == 'roe_deer'")["path"].tolist()
    assert roe_deer == many.rows.query("label == 'roe_deer'")["path"].tolist()[:5]
    assert all(contents(few)[path] == contents(many)[path] for path in roe_deer)


def test_the_rows_tell_the_truth(photos: Manifest) -> None:
    rows = photos.rows
    assert rows["label"].value_counts().to_dict() == dict.fromkeys(SPECIES, 50)
    assert rows["bytes"].tolist() == [photos.photo(path).stat().st_size for path in rows["path"]]
    assert {pixels(photos, path).shape for path in rows["path"]} == {(SMALL[1], SMALL[0], 3)}
    assert set(zip(rows["width"], rows["height"], strict=True)) == {SMALL}
    assert len(photos.usable) == len(rows)
    assert rows["content_hash"].notna().tolist() == rows["bytes"].duplicated(keep=False).tolist()
    assert rows["content_hash"].dropna().is_unique
    folders = rows["path"].str.split("/", expand=True)
    assert (folders[1] == rows["site"]).all()
    assert (folders[2].str.rpartition("_")[0] == rows["sequence"]).all()


def test_bursts_are_short_and_alike(photos: Manifest) -> None:
    within, between = [], []
    for _, burst in photos.rows.groupby("sequence"):
        assert 1 <= len(burst) <= 3
        assert burst[["site", "label"]].nunique().tolist() == [1, 1]
        seconds = (burst["datetime"] - burst["datetime"].iloc[0]).dt.total_seconds()
        assert seconds.tolist() == list(range(len(burst)))
        frames = [pixels(photos, path) for path in burst["path"]]
        within += [np.abs(first - second).mean() for first, second in pairwise(frames)]
    for first, second in pairwise(photos.rows.drop_duplicates("sequence")["path"]):
        between.append(np.abs(pixels(photos, first) - pixels(photos, second)).mean())
    assert np.quantile(within, 0.9) < np.quantile(between, 0.1)


def test_species_differ_in_their_sites(photos: Manifest) -> None:
    visits = photos.rows.groupby(["label", "site"]).size().unstack(fill_value=0)
    assert ((visits > 0).sum(axis="columns") > synthetic.NUM_SITES / 2).all()
    assert visits.std(axis="columns").gt(1).all()
    assert len(visits.drop_duplicates()) == len(SPECIES)


def test_a_camera_keeps_its_scenery(photos: Manifest) -> None:
    def is_grey(path: str) -> bool:
        return bool(np.ptp(pixels(photos, path), axis=2).mean() < 3)

    firsts = photos.rows.drop_duplicates("sequence")
    by_day = firsts[firsts["datetime"].dt.hour.between(6, 18)]
    by_night = firsts[~firsts["datetime"].dt.hour.between(6, 18)]
    assert all(map(is_grey, by_night["path"]))
    assert not any(map(is_grey, by_day["path"]))

    detail = {path: np.diff(pixels(photos, path)[:25].mean(axis=2), axis=1).ravel() for path in by_day["path"]}
    alike = np.corrcoef(list(detail.values()))
    same = by_day["site"].to_numpy()[:, None] == by_day["site"].to_numpy()
    assert alike[same & (alike < 0.999)].mean() > alike[~same].mean() + 0.3


def test_boxes_hold_the_animal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changes = []

    def with_and_without(scene, animal, stand, depth, light, rng):  # type: ignore[no-untyped-def]
        empty = photograph(scene, np.zeros_like(animal), stand, depth, light, deepcopy(rng))
        photo = photograph(scene, animal, stand, depth, light, rng)
        changes.append(np.abs(np.asarray(photo).astype(int) - np.asarray(empty)).max(axis=2) > 25)
        return photo

    monkeypatch.setattr(synthetic, "photograph", with_and_without)
    rows = generate(tmp_path, counts=dict.fromkeys(SPECIES, 8)).rows
    for row, change in zip(rows.itertuples(), changes, strict=True):
        x, y, right, bottom = (int(edge) for edge in (row.x, row.y, row.x + row.w, row.y + row.h))
        assert 0 <= x < right <= row.width
        assert 0 <= y < bottom <= row.height - synthetic._strip("", (160, 120)).height
        assert change[y:bottom, x:right].sum() > 0.97 * change[:bottom].sum()
    filled = [change.sum() / (row.w * row.h) for row, change in zip(rows.itertuples(), changes, strict=True)]
    assert np.median(filled) > 0.2


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_at_likeness_1_the_deer_are_one(seed: int) -> None:
    np.testing.assert_array_equal(drawn("water_deer", 1, seed), drawn("roe_deer", 1, seed))


def test_likeness_shrinks_the_marks() -> None:
    differences = [
        np.mean([np.abs(drawn("water_deer", likeness, k) - drawn("roe_deer", likeness, k)).mean() for k in range(9)])
        for likeness in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert all(more > 1.3 * less for more, less in pairwise(differences))
    boar = np.mean([np.abs(drawn("wild_boar", 0, k) - drawn("roe_deer", 0, k)).mean() for k in range(9)])
    assert boar > 3 * differences[0]


def test_likeness_changes_nothing_but_the_deer(tmp_path: Path) -> None:
    counts = {"water_deer": 3, "wild_boar": 3}
    plain, alike = (generate(tmp_path / str(k), counts=counts, likeness=k, image_size=SMALL) for k in (0, 1))
    same = [contents(plain)[path] == contents(alike)[path] for path in plain.rows["path"]]
    assert not all(same[:3])
    assert all(same[3:])
    columns = ["path", "site", "sequence", "datetime"]
    assert plain.rows[columns].equals(alike.rows[columns])


def test_progress_counts_up(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(
        tmp_path,
        counts={"wild_boar": 2, "roe_deer": 1},
        image_size=SMALL,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": {"roe_dear": 3}}, "unknown species 'roe_dear'; did you mean 'roe_deer'?"),
        ({"counts": {"roe_deer": -1}}, "expected a count of roe_deer ≥ 0, got -1"),
        ({"counts": {}}, "expected at least one photo"),
        ({"likeness": 1.5}, r"likeness must be in \[0, 1\], got 1.5"),
        ({"likeness": float("nan")}, "likeness must be in"),
        ({"image_size": (16, 120)}, "image_size must be at least"),
        ({"seed": -1}, "seed must be ≥ 0, got -1"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        generate(tmp_path, **{"counts": {"roe_deer": 1}, **options})  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())
