"""What the page is told of a photo: the species as `fscl predict` has it, and where the model looked."""

import base64
from collections.abc import Sequence

import numpy as np
from PIL import Image
from pydantic import BaseModel

from fscl.bundle import Bundle
from fscl.decisions import UNSURE_BELOW, Decisions
from fscl.errors import PhotosError
from fscl.explain.pictures import jpeg
from fscl.formats.answers import PLACES
from fscl.loading.regions import AnyPhoto, Pixels, Regions
from fscl.prediction.deciding import Deciding
from fscl.saliency import Looked, drawn, enlarged
from fscl.serve.model_thread import Seen
from fscl.species import SPECIES, find_species

LIKELIEST = 3
SIDE_PX = 480  # of pictures on the page, at most
NO_MAPS = "this model has no maps that say where, so there are no heat maps"
NOTHING = "nothing in the map of this photo speaks for the answer"


class ClassName(BaseModel):
    """A class, and what the animal is called besides; None where that is not known."""

    name: str
    korean: str | None
    scientific: str | None


class Answer(BaseModel):
    """Which species is on a photo.

    Attributes:
        species: the class decided for.
        probability: of it, calibrated where the model is.
        unsure: that is below `UNSURE_BELOW`, as in `fscl predict`.
        unknown: it is like none of the classes; None where the model cannot say.
        likeliest: the classes of the highest probability, and that, at most `LIKELIEST`.
        direction: unit vector of features, base64 of little-endian float32; the cosine of two is their similarity.
    """

    species: str
    probability: float
    unsure: bool
    unknown: bool | None
    likeliest: list[tuple[str, float]]
    direction: str


class Heat(BaseModel):
    """Where in a photo the model looked.

    Attributes:
        picture: the photo in grey with heat over it, as an address `data:`; None where there is none.
        note: what it shows, or why there is none.
    """

    picture: str | None
    note: str


def class_names(classes: Sequence[str]) -> list[ClassName]:
    """Return the classes with the names of those that are species of AI Hub's set.

    >>> class_names(["roe deer", "fox"])[0].korean
    '노루'
    """
    known = {species.english: species for species in SPECIES}
    found = [(name, known.get(find_species(name) or "")) for name in classes]
    return [
        ClassName(name=name, korean=None, scientific=None)
        if species is None
        else ClassName(name=name, korean=species.korean, scientific=species.scientific)
        for name, species in found
    ]


def regions_of(photo: AnyPhoto) -> Regions:
    """Return a whole photo as it is read for a model."""
    return Regions([photo], np.full((1, 4), np.nan), np.array([-1]))


def pixels_of(photo: AnyPhoto, bundle: Bundle) -> Pixels:
    """Return a photo as the model takes it.

    Raises:
        UnreadableError: as `read_region`.
    """
    return regions_of(photo).resized(0, bundle.preprocessing)


def answer_of(seen: Seen, bundle: Bundle) -> Answer:
    """Return what `fscl predict` says of a photo.

    Raises:
        PhotosError: the scores are not finite.
    """
    if not np.isfinite(seen.logits).all():
        raise PhotosError("the model's scores are not finite: its training diverged, train it again")
    decisions = bundle.decisions or Decisions()
    logits = seen.logits[None]
    scores = Deciding(bundle.classes, decisions)(logits)[0].round(PLACES)
    like_none = decisions.like_none(logits)
    order = np.argsort(-scores, kind="stable")
    first = int(order[0])
    return Answer(
        species=bundle.classes[first],
        probability=float(scores[first]),
        unsure=bool(scores[first] < UNSURE_BELOW),
        unknown=None if like_none is None else bool(like_none[0]),
        likeliest=[(bundle.classes[place], float(scores[place])) for place in order[:LIKELIEST].tolist()],
        direction=base64.b64encode(seen.direction.astype("<f4").tobytes()).decode(),
    )


def direction_in(content: bytes, dim: int) -> np.ndarray[tuple[int], np.dtype[np.float32]] | None:
    """Return the direction that the page sends back, in bytes; None where it is none."""
    if len(content) != 4 * dim:
        return None
    direction = np.frombuffer(content, dtype="<f4").astype(np.float32)
    length = np.linalg.norm(direction.astype(np.float64))
    return direction if abs(length - 1) < 0.01 else None  # NaN is not near 1


def heat_of(looked: Looked, photo: AnyPhoto, bundle: Bundle) -> Heat:
    """Return the heat map over a photo that has been read before, in its own proportions."""
    logits = looked.logits[0].numpy()
    first, second = np.argsort(-logits, kind="stable")[:2].tolist()
    if looked.heat is None:
        return Heat(picture=None, note=NO_MAPS)
    heat = enlarged(looked.heat, bundle.preprocessing.image_size)[0].numpy()
    if not heat.max() > 0:
        return Heat(picture=None, note=NOTHING)
    picture = jpeg(drawn(small(photo, bundle), heat))
    note = f"heat: what spoke for {bundle.classes[first]} over {bundle.classes[second]}"
    return Heat(picture=f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}", note=note)


def small(photo: AnyPhoto, bundle: Bundle) -> Image.Image:
    """Return a photo as a picture of at most `SIDE_PX`.

    Raises:
        UnreadableError: as `read_region`.
    """
    preprocessing = bundle.preprocessing.model_copy(update={"image_size": SIDE_PX // 2})
    image = regions_of(photo).read(0, preprocessing)
    image.thumbnail((SIDE_PX, SIDE_PX))
    return image
