import pytest

from fscl import formats
from fscl.errors import PhotosError
from fscl.formats.reading import Reading
from fscl.scanning.scan import scan
from tests.formats.damage import check_bad_files, written

FOX = "6c09;mammalia;carnivora;canidae;vulpes;vulpes;red fox"
BLANK = "f1856211-cfb7-4a5b-9158-c0f72fd09ee6;;;;;;blank"
HUMAN = "990ae9dd-7a59-4344-afcb-1b7b21368000;mammalia;primates;hominidae;homo;sapiens;human"
ANIMAL = {"category": "1", "label": "animal", "conf": 0.9, "bbox": [0.25, 0.25, 0.5, 0.5]}
PERSON = ANIMAL | {"category": "2", "label": "human"}


def predicted(prediction=FOX, *detections, **changes):
    record = {
        "filepath": "C1/1.jpg",
        "classifications": {"classes": [FOX], "scores": [0.97]},
        "detections": list(detections),
        "prediction": prediction,
        "prediction_score": 0.97,
        "prediction_source": "classifier",
        "model_version": "4.0.1a",
    } | changes
    return {key: value for key, value in record.items() if value is not ...}


WHOLE = {
    "predictions": [predicted(FOX, ANIMAL, PERSON), predicted(BLANK, filepath="C1/2.jpg", failures=["DETECTOR"])]
}
INSTANCES = {"instances": [{"filepath": "C1/1.jpg", "country": "KOR", "latitude": 37.5}, {"filepath": "C1/2.jpg"}]}


@pytest.fixture
def read(draw, tmp_path):
    draw("C1/1.jpg", "C1/2.jpg")

    def of(document, **said):
        photos = formats.read(written(document, tmp_path / "s.json"), Reading(source_format="speciesnet", **said))
        return photos.rows.astype(object).where(photos.rows.notna(), None).to_dict("records")

    return of


def test_instances_are_photos_without_labels(read):
    found = read(INSTANCES)
    assert [(row["path"], row["label"], row["problem"]) for row in found] == [
        ("C1/1.jpg", None, None),
        ("C1/2.jpg", None, None),
    ]
    assert (found[0]["speciesnet_country"], found[0]["speciesnet_latitude"]) == ("KOR", 37.5)


def test_a_prediction_labels_the_animal_and_not_the_person(read):
    [row] = read({"predictions": [predicted(FOX, PERSON, ANIMAL)]})
    assert (row["label"], row["x"], row["w"], row["detection_conf"]) == ("red fox", 3, 6, 0.9)
    assert (row["speciesnet_prediction_score"], row["speciesnet_model_version"]) == (0.97, "4.0.1a")


@pytest.mark.parametrize(
    ("record", "label", "problem"),
    [
        (predicted(BLANK), "blank", "blank, left out (--blanks makes blank photos a class)"),
        (predicted(FOX), "red fox", "no animal was found"),
        (predicted(HUMAN, PERSON), "human", "no animal was found, a person"),
        (
            predicted(FOX, ANIMAL, ANIMAL | {"conf": 0.8}),
            "red fox",
            "several animals, and nothing says which of them is",
        ),
        (predicted(FOX, ANIMAL | {"bbox": [0, 0, 0, 1]}), "red fox", "detections: box without area"),
        (predicted(FOX, ANIMAL | {"conf": None}), None, "unreadable record predictions[0]: detections.0.conf: Input"),
        (predicted(FOX, failures=["DETECTOR", "CLASSIFIER"]), "red fox", "SpeciesNet failed: DETECTOR, CLASSIFIER"),
        (predicted(..., failures=["CLASSIFIER"], detections=...), None, "SpeciesNet failed: CLASSIFIER"),
        (predicted(failures=["\ud800"]), "red fox", "SpeciesNet failed: \\ud800"),
        (predicted(filepath=""), "red fox", "unreadable record predictions[0]: filepath: expected a path, got ''"),
        (predicted(filepath=...), None, "unreadable record predictions[0]: filepath: Field required"),
    ],
)
def test_what_cannot_be_used_is_a_row_with_its_reason(read, record, label, problem):
    [row] = read({"predictions": [record]})
    assert row["label"] == label
    assert row["problem"].startswith(problem)


def test_an_animal_without_an_answer_is_a_row_without_label(read):
    [row] = read({"predictions": [predicted("f2e7;;;;;;no cv result", ANIMAL)]})
    assert (row["label"], row["w"], row["problem"]) == (None, 6, None)


def test_blanks_are_a_class_where_wanted(read):
    [row] = read({"predictions": [predicted(BLANK)]}, blanks=True)
    assert (row["label"], row["problem"]) == ("blank", None)


def test_bad_files(tmp_path):
    check_bad_files(
        WHOLE, tmp_path / "s.json", lambda source: formats.read(source, Reading(source_format="speciesnet"))
    )
    with pytest.raises(PhotosError, match=r"s.json: predictions: expected a list, got 3"):
        formats.read(written({"predictions": 3}, tmp_path / "s.json"))


def test_real_instances(shared_data):
    folder = shared_data / "formats/speciesnet-instances"
    photos = formats.read(folder / "instances.json").rows
    assert (len(photos), photos["label"].notna().sum()) == (16, 0)
    # The photos lie beside the file, not in test_data/ as the paths say.
    with pytest.raises(PhotosError, match="none of its 14 photos can be opened"):
        scan(folder / "instances.json")
