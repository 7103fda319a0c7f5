import io

import pandas as pd
import pytest
from rich.console import Console

from fscl.formats.scan import summary
from fscl.manifest import Manifest


def printed(columns, root):
    console = Console(file=io.StringIO(), width=120)
    console.print(summary(Manifest.build(pd.DataFrame(columns), root)))
    return console.file.getvalue()


def table(**counts):
    """Some photos of each class, in a frame that tests change."""
    paths = [(f"{label}/{number}.jpg", label) for label, count in counts.items() for number in range(count)]
    return pd.DataFrame(paths, columns=["path", "label"])


def lines(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_photos_per_class_most_first(tmp_path):
    text = lines(printed(table(fox=3, hare=1200), tmp_path))
    assert text[0] == f"1,203 usable photos, 2 classes, in {tmp_path}"
    assert text[1:4] == ["class photos", "hare 1,200", "fox 3"]
    assert text[-1] == "Nothing is wrong."


def test_what_was_understood_of_the_source_is_said_first(tmp_path):
    manifest = Manifest.build(table(fox=3, hare=3), tmp_path, ("boxes are read from x, y, w, h, in pixels",))
    console = Console(file=io.StringIO(), width=120)
    console.print(summary(manifest))
    text = lines(console.file.getvalue())
    assert text[1] == "boxes are read from x, y, w, h, in pixels"
    assert text[-1] == "Nothing is wrong."


def test_sites_and_sequences_that_are_written_in_two_ways(tmp_path):
    columns = table(fox=4, hare=4).assign(
        site=["Cam0", "cam 0", "Cam1", "Cam1"] * 2, sequence=["1", "2", "3", "4", "01", "5", "6", "7"]
    )
    text = " ".join(lines(printed(columns, tmp_path)))
    said = "that differ in case, spaces, signs or zeros only, and count as several: a split may part what belongs"
    said += " together"
    assert f"sites {said} cam 0 (2 rows), like Cam0 (2)" in text
    assert f"sequences {said} 01 (1 row), like 1 (1)" in text


def test_sites_splits_boxes_and_unusable_rows_have_columns_where_there_are_any(tmp_path):
    columns = table(fox=4, hare=3).assign(
        site=list("AABBABB"), split=["train", "val", "test", "train"] + ["train"] * 3
    )
    columns["problem"] = [None] * 6 + ["missing file"]
    columns.loc[0, ["x", "y", "w", "h"]] = 1
    text = lines(printed(columns, tmp_path))
    assert text[1:4] == [
        "class photos boxes sites train val test unusable",
        "fox 4 1 2 2 1 1 0",
        "hare 2 0 2 2 0 0 1",
    ]


def test_the_sites_with_most_photos(tmp_path):
    columns = table(fox=20, hare=20).assign(site=[f"[red]{n // 2:02}" for n in range(20)] * 2)
    columns.loc[39, "site"] = "[red]05"
    text = lines(printed(columns, tmp_path))
    at = text.index("site photos classes")
    assert text[at + 1] == "[red]05 5 2"
    assert text[at + 2] == "[red]00 4 2"
    assert text[at + 10 : at + 12] == ["[red]09 3 2", ""]
    more = columns.assign(site=range(40)).astype({"site": "str"})
    text = lines(printed(more, tmp_path))
    assert text[text.index("site photos classes") + 13] == "and 28 more"
    assert "site photos" not in printed(table(fox=3, hare=3), tmp_path)


def test_two_boxes_of_a_photo_are_one_photo(tmp_path):
    columns = pd.concat([table(fox=3)] * 2).assign(x=1, y=1, w=2, h=2)
    assert "fox 3 6" in lines(printed(columns, tmp_path))


def test_problems_are_counted_with_their_first_paths(tmp_path):
    columns = table(fox=9, hare=9)
    columns.loc[:4, "problem"] = "missing file"
    columns.loc[9, "problem"] = "no label; missing file"
    text = lines(printed(columns, tmp_path))
    at = text.index("• 6 rows cannot be used: missing file")
    assert text[at + 1 : at + 5] == ["fox/0.jpg", "fox/1.jpg", "fox/2.jpg", "and 3 more"]
    assert "• 1 row cannot be used: no label" in text


def test_notes_are_counted_by_kind(tmp_path):
    columns = table(fox=9, hare=9)
    columns["note"] = ["time not understood (expected x): 1.1.21", "time not understood (expected x): 2.1.21"] + [
        None
    ] * 16
    assert "• 2 rows: time not understood (expected x)" in lines(printed(columns, tmp_path))


def test_byte_copies_and_those_with_different_labels(tmp_path):
    columns = table(fox=5, hare=5).assign(content_hash=[*"aabc", None, *"cdefg"])
    text = lines(printed(columns, tmp_path))
    at = text.index("• 2 byte copies of other photos; a split keeps copies together")
    assert text[at + 1 : at + 3] == ["fox/0.jpg = fox/1.jpg", "fox/3.jpg = hare/0.jpg"]
    at = text.index("• 1 photo with different labels on its copies")
    assert text[at + 1] == "fox/3.jpg (fox) = hare/0.jpg (hare)"


def test_labels_that_may_be_misspelt(tmp_path):
    text = lines(printed(table(badger=100, bader=1, hare=3), tmp_path))
    assert "bader (1 row), like badger (100)" in text


def test_a_species_at_a_single_site(tmp_path):
    columns = table(fox=4, hare=4).assign(site=list("AAAA") + list("ABBB"))
    text = lines(printed(columns, tmp_path))
    assert "• 1 class at a single site: a model may learn the place" in text
    assert "fox (only at A)" in text
    assert "single site" not in printed(columns.assign(site="A"), tmp_path)


def test_rare_classes(tmp_path):
    text = lines(printed(table(fox=3, hare=2), tmp_path))
    assert "• 1 class with fewer than 3 photos: too few to learn" in text
    assert "hare (2)" in text


@pytest.mark.parametrize(
    ("columns", "count"), [(table(fox=5), "1 class"), (table(fox=5).assign(problem="x"), "0 classes")]
)
def test_fewer_than_two_classes(tmp_path, columns, count):
    assert f"• {count}: training needs two or more" in lines(printed(columns, tmp_path))


def test_square_brackets_are_no_markup(tmp_path):
    folder = tmp_path / "[bold]photos"
    columns = table(fox=4, **{"[red]deer": 4}).replace({"fox/0.jpg": "fox/[blue]1[/].jpg"})
    columns["problem"] = ["[green]bad"] + [None] * 7
    text = printed(columns, folder)
    for name in ("[bold]photos", "[red]deer", "fox/[blue]1[/].jpg", "[green]bad"):
        assert name in text
