import pytest

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.taxonomy_file import read_taxonomy

CLASSES = ["red_fox", "wolf", "blank"]
TABLE = """class,species,genus,family
Red fox,Vulpes vulpes,Vulpes,Canidae
wolf,Canis lupus,Canis, canidae
blank,,,
otter,Lutra lutra,Lutra,Mustelidae
"""


@pytest.fixture
def taxonomy_file(tmp_path):
    def written(text):
        path = tmp_path / "taxonomy.csv"
        path.write_text(text)
        return path

    return written


def test_names_are_found_however_they_are_spelled(taxonomy_file):
    taxonomy = read_taxonomy(taxonomy_file(TABLE), CLASSES)
    assert taxonomy.ranks == ("species", "genus", "family")
    assert taxonomy.lineages == (
        ("Vulpes vulpes", "Vulpes", "Canidae"),
        ("Canis lupus", "Canis", "Canidae"),
        (None, None, None),
    )


def test_the_very_name_comes_before_one_that_is_alike(taxonomy_file):
    path = taxonomy_file("class,genus\nred_fox,A\nred fox,B\n")
    assert read_taxonomy(path, ["red_fox", "red fox"]).lineages == (("A",), ("B",))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (TABLE.replace("wolf,", "fish,"), ConfigurationError, "has no row for wolf, which the model names"),
        (TABLE + "Wolf,,,\n" + "wolf,,,\n", ConfigurationError, "has 2 rows for the class wolf"),
        (
            TABLE.replace("Red fox", "Wolf_").replace("wolf,", "WOLF,"),
            ConfigurationError,
            "no row for red_fox|2 rows",
        ),
        (
            TABLE.replace("Vulpes,Canidae", "Canis,Felidae"),
            ConfigurationError,
            "genus Canis is in family Felidae and",
        ),
        ("name,genus\nred_fox,Vulpes\n", PhotosError, "expected the column class"),
        ("class\nred_fox\nwolf\nblank\n", PhotosError, "then ranks from the finest"),
        ("class,genus,Class\nwolf,Canis,Mammalia\n", PhotosError, "a rank of that name is called class_name"),
        ("", PhotosError, "is empty"),
        ("\0\1\2binary\0", PhotosError, "text"),
        ("class,genus\nwolf,Canis,more\n", PhotosError, "name every column"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_file(taxonomy_file, text, error, message):
    path = taxonomy_file(text)
    with pytest.raises(error, match=message) as raised:
        read_taxonomy(path, CLASSES)
    assert str(path) in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PhotosError, match=r"gone\.csv does not exist"):
        read_taxonomy(tmp_path / "gone.csv", CLASSES)
    with pytest.raises(PhotosError, match="expected a table, got a folder"):
        read_taxonomy(tmp_path, CLASSES)
