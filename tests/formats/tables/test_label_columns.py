import pandas as pd
import pytest

from fscl.errors import PhotosError
from fscl.formats.tables import reader
from fscl.formats.tables.label_columns import LabelColumns, read_labels

HEADINGS = "filename,is_blank,class,order,family,genus,species,common_name,deployment_id,location"
ROWS = [
    ("0", "Mammalia", "Carnivora", "Felidae", "Lynx", "rufus", "Bobcat"),
    ("0", "Mammalia", "Carnivora", "Canidae", "Canis", "rufus", "Red Wolf"),
    ("0", "Aves", "Galliformes", "Odontophoridae", "Colinus", "virginianus", "Northern Bobwhite"),
    ("0", "Mammalia", "Artiodactyla", "Suidae", "Sus", "", "Sus Species"),
    ("1", "", "", "", "", "", "Blank"),
    ("1", "No CV Result", "", "", "", "", ""),
    ("0", "", "", "", "", "", "No CV Result"),
    ("1", "", "", "", "", "", "Bobcat"),
]


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return reader.read(tmp_path / "t.csv")

    return read


@pytest.fixture
def export(read):
    """Return a function that reads rows as Wildlife Insights exports them, without some columns."""

    def write(*without):
        lines = [f"{n}.jpg,{','.join(row)},D1,gs://bucket/{n}.jpg" for n, row in enumerate(ROWS)]
        columns = pd.DataFrame([line.split(",") for line in lines], columns=HEADINGS.split(","))
        return read(columns.drop(columns=list(without)).to_csv(index=False))

    return write


def labels(manifest):
    return manifest.rows["label"].fillna("").tolist()


def test_the_common_name_is_the_label_and_blanks_are_left_out(export):
    manifest = export()
    assert labels(manifest)[:4] == ["Bobcat", "Red Wolf", "Northern Bobwhite", "Sus Species"]
    assert labels(manifest)[4:] == ["blank", "blank", "", "Bobcat"]
    blank = "blank, left out (--blanks makes blank photos a class)"
    assert manifest.rows["problem"].fillna("").tolist() == [""] * 4 + [
        blank,
        blank,
        "no label (No CV Result)",
        "said to be blank, and has a label",
    ]
    assert manifest.remarks == (
        "labels are read from common_name, else genus + species: the other ranks are kept as columns",
        "2 rows without an animal are left out; with --blanks they are the class blank",
    )
    assert manifest.rows[["class", "genus", "species"]].iloc[0].tolist() == ["Mammalia", "Lynx", "rufus"]


def test_addresses_are_no_sites(export):
    assert set(export().rows["site"]) == {"D1"}
    assert export("deployment_id").rows["site"].isna().all()


def test_genus_and_species_where_there_is_no_common_name(export):
    manifest = export("common_name")
    assert labels(manifest) == [
        "Lynx rufus",
        "Canis rufus",
        "Colinus virginianus",
        "Sus",
        "blank",
        "blank",
        "",
        "blank",
    ]
    assert manifest.remarks[0] == "labels are read from genus + species: the other ranks are kept as columns"


def test_a_class_beside_a_name_is_a_rank(export):
    without = ("is_blank", "order", "family", "genus", "species")
    assert labels(export(*without))[:5] == ["Bobcat", "Red Wolf", "Northern Bobwhite", "Sus Species", "blank"]


@pytest.mark.parametrize(
    ("headings", "row", "label"),
    [
        ("genus,species", "Lynx,Lynx rufus", "Lynx rufus"),
        ("genus,species", "Lynx,LYNX RUFUS", "LYNX RUFUS"),
        ("genus,species", "Lynx,sp.", "Lynx sp."),
        ("genus,species", "Lynx,NA", "Lynx"),
        ("genus,species", "NA,rufus", ""),
        ("Genus,Species,scientificName", "Lynx,rufus,Lynx rufus Schreber", "Lynx rufus Schreber"),
        ("genus,species,common name", "Lynx,rufus,NA", "Lynx rufus"),
        ("family,species", "Felidae,lynx", "lynx"),
        ("class,order,genus", "Mammalia,Carnivora,Lynx", "Lynx"),
        ("class,order,species,label", "Mammalia,Carnivora,rufus,my lynx", "my lynx"),
        ("class,scientific name", "Mammalia,Lynx rufus", "Lynx rufus"),
        ("species,common name", "Lynx rufus,bobcat", "Lynx rufus"),
        ("class,species", "a lynx,bobcat", "bobcat"),
        ("class,category", "lynx,1", "lynx"),
        ("category,common name", "1,bobcat", "bobcat"),
    ],
)
def test_which_columns_make_the_label(read, headings, row, label):
    assert labels(read(f"file,{headings}\na.jpg,{row}\n")) == [label]


def test_what_else_might_have_been_meant_is_said(read):
    assert read("file,species,category\na.jpg,lynx,1\n").remarks == (
        "labels are read from species, not from category",
    )
    assert read("file,label\na.jpg,lynx\n").remarks == ()


@pytest.mark.parametrize(
    ("said", "label"), [("TRUE", "blank"), ("yes", "blank"), ("0", "lynx"), ("", "lynx"), ("2", "lynx")]
)
def test_blanks_without_a_taxonomy(read, said, label):
    row = f"a.jpg,{said},{'' if label == 'blank' else label}"
    assert labels(read(f"file,is_blank,label\n{row}\n")) == [label]


def test_blank_is_a_label_like_others_where_nothing_else_says_so(read):
    manifest = read("file,label\na.jpg,Blank\nb.jpg,empty\n")
    assert labels(manifest) == ["Blank", "empty"]
    assert manifest.remarks == ()


def test_ranks_alone_are_no_labels(read):
    with pytest.raises(PhotosError, match="expected a column for label"):
        read("file,class,order,family\na.jpg,Mammalia,Carnivora,Felidae\n")


def test_labels_that_differ_in_spaces_alone_are_one_and_that_is_said():
    table = pd.DataFrame({"label": ["fox", "fox ", "roe  deer", "roe deer", "hare", "", None]})
    read = read_labels(table, LabelColumns(["label"], [], None, [], in_ranks=False))
    assert read.labels.tolist()[:5] == ["fox", "fox", "roe deer", "roe deer", "hare"]
    said = "labels that differ in spaces or in the form of letters alone are one class: fox, roe deer"
    assert read.remarks == [said]
