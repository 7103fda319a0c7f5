"""Generated camera-trap photos: the embedded default data, drawn by rule and repeatable from a seed.

Three species of the study: water deer and roe deer differ in small marks only, the wild boar in everything.
A dozen cameras, each with its own scenery and its own share of each species, take bursts of 1–3 near-copies
by day and, in infrared, by night.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from fscl.atomic import replacing
from fscl.errors import ConfigurationError, did_you_mean
from fscl.manifest.table import Manifest
from fscl.synthetic.animals import Individual, Pose, draw_animal, furred
from fscl.synthetic.drawing import (
    Canvas,
    Floats,
    Light,
    Scene,
    draw_scene,
    ground_height,
    mottle,
    photograph,
)

SPECIES = ("water_deer", "roe_deer", "wild_boar")
NUM_SITES = 12
LIKENESS = 0.25  # 20 roe deer beside 400 of each other: plain training finds none in 120 steps, oversampling .9
SMALLEST = (80, 60)  # px: below, the animals are blots

SITES, SCENERY, SEQUENCES = range(3)  # streams of random numbers: none shifts with the use of another


def generate(
    folder: Path,
    *,
    counts: Mapping[str, int],
    likeness: float = LIKENESS,
    image_size: tuple[int, int] = (160, 120),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Write `counts[species]` photos as `folder/photos/SITE/SEQUENCE_NN.jpg` and return their manifest.

    The same arguments give the same bytes. The photos of a species depend on no other count, and fewer
    of them are the first of more.

    Args:
        folder: root of the manifest; photos of the same names are replaced.
        counts: photos of each species of `SPECIES`, ≥ 0, one animal each.
        likeness: of water deer and roe deer, in [0, 1]. Size and contrast of every mark (pale rump, antlers,
            nose band; tusks; shape of the ears) are 1 − `likeness` times those of the plainest drawing:
            0 is easy, at 1 both deer are drawn alike.
        image_size: width and height in px.
        seed: of all randomness, ≥ 0.
        progress: called with the photos written and the photos in all, after each.

    Raises:
        ConfigurationError: unknown species, no photos asked for, or a number out of its range.

    >>> import tempfile
    >>> photos = generate(Path(tempfile.mkdtemp()), counts={"wild_boar": 2})
    >>> photos.rows["label"].tolist()
    ['wild_boar', 'wild_boar']
    """
    _check(counts, likeness, image_size, seed)
    scenes: dict[int, Scene] = {}
    rows: list[dict[str, object]] = []
    for species, count in counts.items():
        for sequence in _sequences(species, count, seed):
            if sequence.site not in scenes:
                scenes[sequence.site] = draw_scene(_stream(seed, SCENERY, sequence.site), image_size)
            for row, photo in _take(sequence, scenes[sequence.site], image_size, 1 - likeness):
                with replacing(folder / str(row["path"])) as path:
                    path.write_bytes(photo)
                rows.append(row)
                if progress is not None:
                    progress(len(rows), sum(counts.values()))
    columns = pd.DataFrame(rows)
    columns["content_hash"] = columns["content_hash"].where(columns["bytes"].duplicated(keep=False))
    return Manifest.build(columns, folder)


def _check(counts: Mapping[str, int], likeness: float, image_size: tuple[int, int], seed: int) -> None:
    for species, count in counts.items():
        if species not in SPECIES:
            raise ConfigurationError(f"unknown species '{species}'{did_you_mean(species, SPECIES)}")
        if count < 0:
            raise ConfigurationError(f"expected a count of {species} ≥ 0, got {count}")
    if not sum(counts.values()):
        raise ConfigurationError(
            f"expected at least one photo, got {dict(counts)}; give counts such as {{'roe_deer': 20}}"
        )
    if not 0 <= likeness <= 1:
        raise ConfigurationError(f"likeness must be in [0, 1], got {likeness}; the default is {LIKENESS}")
    if image_size[0] < SMALLEST[0] or image_size[1] < SMALLEST[1]:
        raise ConfigurationError(f"image_size must be at least {SMALLEST} px, got {image_size}")
    if seed < 0:
        raise ConfigurationError(f"seed must be ≥ 0, got {seed}")


def _stream(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


@dataclass(frozen=True)
class _Sequence:
    """A burst: one animal passing one camera."""

    name: str
    species: str
    site: int
    frames: int
    start: datetime
    rng: np.random.Generator

    @property
    def by_night(self) -> bool:
        return not 6 <= self.start.hour < 19


def _sequences(species: str, count: int, seed: int) -> Iterator[_Sequence]:
    """Yield bursts with `count` photos in all; the last may be cut short."""
    number = SPECIES.index(species)
    visits = _stream(seed, SITES, number).gamma(3, size=NUM_SITES)
    visits[np.argsort(visits)[:2]] = 0  # each species is unknown at two sites
    index = 0
    while count > 0:
        rng = _stream(seed, SEQUENCES, number, index)
        site = int(rng.choice(NUM_SITES, p=visits / visits.sum()))
        frames = int(rng.integers(1, 4))
        start = datetime(2023, 3, 1) + timedelta(days=int(rng.integers(400)), seconds=_second_of_day(rng))
        name = f"seq{index * len(SPECIES) + number:06d}"  # unique over all species
        yield _Sequence(name, species, site, min(frames, count), start, rng)
        count -= frames
        index += 1


def _second_of_day(rng: np.random.Generator) -> int:
    """Draw a time: mostly around dawn and dusk."""
    return int(3600 * rng.normal(rng.choice([6, 19]), 3)) % 86400


@dataclass(frozen=True)
class _Passage:
    """How the animal crosses the picture: its whereabouts in one frame."""

    animal: Individual
    pose: Pose
    depth: float  # 0 far … 1 at the lens
    x: float  # of the middle of its back, px
    facing: int  # 1 right, -1 left
    side: float  # how much of its flank is turned to the camera, 1 all


def _enter(rng: np.random.Generator, width: int) -> _Passage:
    pose = Pose(
        head=float(rng.beta(0.6, 0.5)),
        gait=rng.uniform(0, 2 * np.pi),
        stride=rng.uniform(0.03, 0.2),
        ear=rng.normal(0, 0.2),
    )
    return _Passage(
        animal=Individual.met(rng),
        pose=pose,
        depth=rng.uniform(0.3, 0.85),
        x=rng.uniform(0.18, 0.82) * width,
        facing=int(rng.choice([-1, 1])),
        side=rng.uniform(0.75, 1),
    )


def _step(passage: _Passage, rng: np.random.Generator, width: int) -> _Passage:
    """Return the passage about a second later."""
    pose = passage.pose
    head = float(np.clip(pose.head + rng.normal(0, 0.12), 0, 1))
    moved = replace(pose, head=head, gait=pose.gait + rng.uniform(0.4, 1.6), ear=pose.ear + rng.normal(0, 0.1))
    stride = passage.facing * pose.stride * rng.uniform(0.1, 0.5) * width
    return replace(passage, pose=moved, x=float(np.clip(passage.x + stride, 0.15 * width, 0.85 * width)))


def _take(
    burst: _Sequence, scene: Scene, size: tuple[int, int], marked: float
) -> Iterator[tuple[dict[str, object], bytes]]:
    """Yield a manifest row and the JPEG bytes of each frame."""
    rng, site = burst.rng, f"CAM{burst.site + 1:02d}"
    passage = _enter(rng, size[0])
    light = Light.drawn(rng, size, by_night=burst.by_night)
    temperature = rng.normal(12, 4)
    hair = 0.07 * mottle(rng, size, (2.5, 1)) + 0.05 * mottle(rng, size, (8, 5))
    for frame in range(burst.frames):
        stand = passage.x, size[1] * (1 - ground_height(scene.horizon, passage.depth))
        animal = _appear(burst.species, passage, stand, size, marked, light, hair)
        photo = photograph(scene, animal, stand, passage.depth, light, rng)
        time = burst.start + timedelta(seconds=frame)
        strip = _strip(f"{site}  {time:%Y-%m-%d  %H:%M:%S}  {temperature:.0f}°C", size)
        photo.paste(strip, (0, size[1] - strip.height))
        stored = BytesIO()
        photo.save(stored, "JPEG", quality=light.quality)
        yield (
            {
                "path": f"photos/{site}/{burst.name}_{frame + 1:02d}.jpg",
                **_box(animal[: size[1] - strip.height, :, 3]),
                "label": burst.species,
                "site": site,
                "sequence": burst.name,
                "datetime": time,
                "width": size[0],
                "height": size[1],
                "bytes": len(stored.getvalue()),
                "content_hash": hashlib.sha256(stored.getvalue()).hexdigest(),
            },
            stored.getvalue(),
        )
        passage = _step(passage, rng, size[0])


def _appear(
    species: str,
    passage: _Passage,
    stand: tuple[float, float],
    size: tuple[int, int],
    marked: float,
    light: Light,
    hair: Floats,
) -> Floats:
    """Return the layer of the animal where it stands, at the size that its distance gives it."""
    scale = size[1] * (0.13 + 0.43 * passage.depth)
    canvas = Canvas(size, stand, (passage.facing * passage.side * scale, scale))
    draw_animal(canvas, species, passage.animal, passage.pose, marked, by_night=light.by_night)
    return furred(canvas.layer(blur=(light.shake, 0)), hair, scale)


def _box(cover: Floats) -> dict[str, float]:
    """Return the box in px around what covers at least a third of a pixel."""
    x, y = (np.flatnonzero((cover > 1 / 3).any(axis=axis)) for axis in (0, 1))
    return {"x": x[0], "y": y[0], "w": x[-1] + 1 - x[0], "h": y[-1] + 1 - y[0]}


def _strip(text: str, size: tuple[int, int]) -> Image.Image:
    """Return the black strip that cameras print below a photo."""
    strip = Image.new("RGB", (size[0], max(9, round(0.085 * size[1]))))
    ImageDraw.Draw(strip).text((3, strip.height / 2), text, font=_font(0.8 * strip.height), anchor="lm")
    return strip


_font = cache(ImageFont.load_default)
