"""Answers of a made-up model, for the tests of the writers."""

from datetime import datetime

from hypothesis import strategies as st

from fscl.formats.answers import About, Animal, PhotoAnswer
from fscl.manifest.names import tidy

WORDS = ("file", "File", "species", "problem", "filepath", "animal", "blank fox", "p:file", "고라니", 'the "fox"')
NAMES = st.one_of(
    st.sampled_from(WORDS),
    st.text("ab,\"' ;고라_é(", min_size=1, max_size=8).map(tidy).filter(lambda name: name.strip("-?") != ""),
)
CLASSES = st.lists(NAMES, min_size=2, max_size=7, unique=True)
FOLDERS = st.text("aB,\"' 고라é&%", min_size=1, max_size=6).map(lambda name: f"d{name}x")
FILES = st.lists(
    st.tuples(FOLDERS, FOLDERS).map(lambda parts: f"{parts[0]}/{parts[1]}.jpg"), min_size=1, max_size=5, unique=True
)
TIME = datetime(2021, 5, 31, 8, 25, 38)


def about(classes, **more):
    return About(classes=classes, model="fscl test 12345678", unsure_below=0.6, **more)


def animal(answer, classes, probability=0.7, **more):
    """Return an animal of which the model is so sure."""
    rest = round((1 - probability) / max(len(classes) - 1, 1), 4)
    scores = tuple(probability if place == answer else rest for place in range(len(classes)))
    return Animal(scores=scores, answer=answer, **more)


@st.composite
def answered(draw):
    """Draw classes and answers: whole photos, in one form of names each, sorted as `list_photos` sorts them."""
    classes = draw(CLASSES)
    photos = []
    for file in sorted(draw(FILES)):
        failed = draw(st.booleans()) and photos
        answer = draw(st.integers(0, len(classes) - 1))
        probability = draw(st.sampled_from([0.5, 0.6123, 0.75, 1.0]))
        animals = [] if failed else [animal(answer, classes, probability)]
        time = draw(st.sampled_from([None, TIME]))
        photos.append(PhotoAnswer(file, animals, failure='empty, "file"' if failed else None, time=time))
    return classes, photos
