import pytest
import torch

from fscl.losses import FeatureSimilarityLoss
from fscl.losses.affinity import affinity_matrix

NAMES = ["water_deer", "roe_deer", "wild_boar", "sika_deer", "red_deer", "heron"]
CSV = """class,genus,family,order,korean
water_deer,Hydropotes,Cervidae,Artiodactyla,고라니
roe_deer,Capreolus,Cervidae,Artiodactyla,노루
wild_boar,Sus,Suidae,Artiodactyla,멧돼지
sika_deer,Cervus,Cervidae,Artiodactyla,꽃사슴
red_deer,cervus,Cervidae,Artiodactyla,붉은사슴
heron,,,Pelecaniformes,왜가리
unused,,,,
"""
TOML = """
[water_deer]
genus = "Hydropotes"
family = "Cervidae"
order = "Artiodactyla"
[wild_boar]
order = "Artiodactyla"
["grey heron"]
genus = "Ardea"
"""
EXPECTED = [
    [1, 0.25, 0.125, 0.25, 0.25, 0],
    [0.25, 1, 0.125, 0.25, 0.25, 0],
    [0.125, 0.125, 1, 0.125, 0.125, 0],
    [0.25, 0.25, 0.125, 1, 0.5, 0],
    [0.25, 0.25, 0.125, 0.5, 1, 0],
    [0, 0, 0, 0, 0, 1],
]


@pytest.fixture
def taxonomy(tmp_path):
    path = tmp_path / "taxonomy.csv"
    path.write_text(CSV, encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_table_gives_the_lowest_shared_rank(taxonomy, kind):
    assert affinity_matrix(kind(taxonomy), 6, NAMES).tolist() == EXPECTED


def test_toml_is_read_likewise_and_in_the_order_of_the_names(tmp_path):
    path = tmp_path / "taxonomy.toml"
    path.write_text(TOML)
    names = ["grey heron", "wild_boar", "water_deer"]
    assert affinity_matrix(path, 3, names).tolist() == [[1, 0, 0], [0, 1, 0.125], [0, 0.125, 1]]
    assert FeatureSimilarityLoss(3, affinity=path, class_names=names).affinity[1, 2] == 0.125


def test_named_affinities():
    assert torch.equal(affinity_matrix("identity", 3), torch.eye(3))
    for classes in (2, 7):
        simplex = affinity_matrix("simplex", classes)
        assert torch.equal(simplex.diagonal(), torch.ones(classes))
        assert simplex.sum(dim=1).abs().max() < 1e-6


def test_a_matrix_is_taken_as_it_is():
    rows = [[1, 0.5], [0.5, 1]]
    assert affinity_matrix(rows, 2).tolist() == rows
    assert affinity_matrix([[1, 0], [0, 1]], 2).dtype == torch.float32
    given = torch.tensor(rows, dtype=torch.float64)
    taken = affinity_matrix(given, 2)
    given[0, 0] = 0
    assert taken.dtype == torch.float64
    assert taken.tolist() == rows


@pytest.mark.parametrize(
    ("affinity", "message"),
    [
        (
            "identty",
            "'identity', 'simplex', a K×K matrix or a taxonomy file .*got 'identty'; did you mean 'identity'",
        ),
        (torch.eye(3), r"affinity must be \(2, 2\), got \(3, 3\)"),
        ([1, 1], r"affinity must be \(2, 2\), got \(2,\)"),
        ([[1, 0.5], [0.25, 1]], r"must be symmetric, got 0\.5 for classes 0, 1 and 0\.25 for 1, 0"),
        ([[1, 2], [2, 1]], r"cosines, −1 … 1, got 1 … 2"),
        ([[1, float("nan")], [float("nan"), 1]], "affinities are cosines"),
        ({"a": 1}, r"affinity must be 'identity', .*got \{'a': 1\}; a matrix is a list of 2 rows of numbers"),
        (None, "a K×K matrix .*got None"),
        ([["1", "0"], ["0", "1"]], "got .*; a matrix is a list of 2 rows of numbers"),
        ([[1, 0], [1]], r"got \[\[1, 0\], \[1\]\]; a matrix is a list of 2 rows"),
        ("nowhere.csv", "nowhere.csv: the taxonomy cannot be read"),
    ],
)
def test_affinities_that_cannot_be(affinity, message):
    with pytest.raises(ValueError, match=message):
        affinity_matrix(affinity, 2, ["a", "b"])


def test_a_species_that_the_taxonomy_lacks(taxonomy):
    with pytest.raises(ValueError, match="no class 'roedeer' in the taxonomy; did you mean 'roe_deer'"):
        affinity_matrix(taxonomy, 2, ["water_deer", "roedeer"])


@pytest.mark.parametrize(
    ("names", "message"),
    [(None, "needs class_names, 2 in the order of the labels, got none"), (["water_deer"], "got 1 of them")],
)
def test_a_taxonomy_needs_the_names(taxonomy, names, message):
    with pytest.raises(ValueError, match=message):
        affinity_matrix(taxonomy, 2, names)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "class,genus,order\na,,\n", "has no column 'family'"),
        ("t.csv", "class,genus,family,order\na,x,y,z\na,x,y,w\n", "class 'a' is there twice"),
        ("t.toml", "a = 1\n", r"expected a table for each class, e\.g\. \[water_deer\], got a = 1"),
        ("t.toml", "a = \n", "cannot be read"),
        ("t.toml", "[a]\ngenus = 3\n[b]\n", "genus of 'a' must be text, got 3; put the name in quotes"),
        ("t.csv", "genus,family,order,class\nx\n", "no class 'a' in the taxonomy"),
    ],
)
def test_a_taxonomy_that_cannot_be_used(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        affinity_matrix(path, 2, ["a", "b"])
