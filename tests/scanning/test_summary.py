import io

import pandas as pd
import pytest
from rich.console import Console

from fscl.manifest import Manifest
from fscl.scanning.summary import in_short, summary


def printed(columns, root, *, remarks=(), width=120, **options):
    console = Console(file=io.StringIO(), width=width)
    console.print(summary(Manifest.build(pd.DataFrame(columns), root, remarks), **options))
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
    assert text[-2:] == [
        "Nothing found; pixels were not decoded (--verify decode does, and finds every damaged photo).",
        "1,203 photos have no time and no sequence: bursts among such photos may cross from training to test.",
    ]


@pytest.mark.parametrize(
    ("verify", "limit"),
    [
        ("none", "no photo was opened (--verify header or decode does)."),
        ("header", "pixels were not decoded (--verify decode does, and finds every damaged photo)."),
        ("decode", "every photo was decoded."),
    ],
)
def test_what_was_not_looked_at_is_not_called_right(tmp_path, verify, limit):
    clean = table(fox=3, hare=3).assign(sequence=list("abcdef"))
    assert printed(clean, tmp_path, verify=verify).endswith(f"\nNothing found; {limit}\n")
    remarked = printed(clean, tmp_path, verify=verify, remarks=("passed over: 5 .nef",))
    assert remarked.endswith(f"\nNothing else found; {limit}\n")
    assert lines(remarked)[1] == "• passed over: 5 .nef"
    bad = printed(clean.assign(problem=["x", *[None] * 5]), tmp_path, verify=verify)
    assert "Nothing" not in bad
    assert bad.rstrip().endswith(limit.capitalize()) == (verify != "decode")


def test_long_sentences_are_indented_as_a_whole(tmp_path):
    columns = table(fox=3, hare=3).assign(problem=["word " * 20] + [None] * 5)
    text = printed(columns, tmp_path, width=60, remarks=("word " * 20,))
    assert all(len(line) <= 60 for line in text.splitlines())
    assert sum(line.startswith("  word") for line in text.splitlines()) >= 2


def test_what_was_understood_of_the_source_is_said_first(tmp_path):
    manifest = Manifest.build(table(fox=3, hare=3), tmp_path, ("boxes are read from x, y, w, h, in pixels",))
    console = Console(file=io.StringIO(), width=120)
    console.print(summary(manifest))
    text = lines(console.file.getvalue())
    assert text[1] == "• boxes are read from x, y, w, h, in pixels"
    assert "Nothing else found; pixels were not decoded" in " ".join(text)


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


def test_of_many_copies_a_few_are_shown(tmp_path):
    text = lines(printed(table(fox=9).assign(content_hash="a"), tmp_path))
    assert "fox/0.jpg = fox/1.jpg = fox/2.jpg = 6 more" in text


def test_depths_that_differ_within_a_camera(tmp_path):
    columns = table(fox=4, hare=4).assign(clock=list("AAABBBBB"))
    columns["note"] = ["12 bits in a 16-bit file"] * 4 + ["x; 10 bits in a 16-bit file"] + [None] * 3
    text = lines(printed(columns, tmp_path))
    assert "B: 12 bits in a 16-bit file, 10 bits in a 16-bit file" in text
    assert not [line for line in text if line.startswith("A: ")]
    one = lines(printed(columns.drop(columns="clock").assign(site="C"), tmp_path))
    assert "C: 12 bits in a 16-bit file, 10 bits in a 16-bit file" in one


class TestInShort:
    def shown(self, columns, root, *, remarks=(), scanned=True):
        return in_short(Manifest.build(columns, root, remarks), "mine", scanned=scanned)

    def test_nothing_to_say(self, tmp_path):
        assert self.shown(table(fox=3, hare=3), tmp_path) == []

    def test_counts_by_reason_labels_notes_and_remarks(self, tmp_path):
        columns = table(fox=9, hare=9, Fox=3)
        columns.loc[:4, "problem"] = "missing file"
        columns.loc[9, ["problem", "label"]] = ["missing file; duplicate row", None]
        columns["note"] = ["time not understood (expected x): 1"] * 12 + [None] * 9
        columns["content_hash"] = [None] * 8 + ["a"] + [None] * 9 + ["a", None, None]
        assert self.shown(columns, tmp_path, remarks=("passed over: 5 .nef",)) == [
            "mine, in short (fscl scan mine shows all):",
            "  6 of 21 rows cannot be used: 6 missing file, 1 duplicate row",
            "  labels that may be misspelt: Fox (like fox)",
            "  12 rows: time not understood (expected x)",
            "  1 photo with different labels on its copies",
            "  passed over: 5 .nef",
        ]

    def test_many_reasons_are_a_few(self, tmp_path):
        columns = table(fox=9).assign(problem=[f"reason {i}" for i in range(9)])
        assert self.shown(columns, tmp_path)[1].endswith("1 reason 4, 4 more")

    def test_rows_without_label_cannot_be_used_whatever_the_source_says(self, tmp_path):
        columns = table(fox=3).assign(label=["fox", "fox", None])
        assert self.shown(columns, tmp_path)[1] == "  1 of 3 rows cannot be used: 1 no label"
        assert "• 1 row cannot be used: no label" in lines(printed(columns, tmp_path))

    def test_of_a_manifest_only_rows_that_cannot_be_used_are_worth_a_word(self, tmp_path):
        columns = table(fox=3, hare=3, Fox=3).assign(note="strange")
        assert self.shown(columns, tmp_path, scanned=False) == []
        columns.loc[0, "problem"] = "missing file"
        assert self.shown(columns, tmp_path, scanned=False)[1:] == [
            "  1 of 9 rows cannot be used: 1 missing file",
            "  labels that may be misspelt: Fox (like fox)",
        ]


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
