import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscl.errors import PhotosError
from fscl.scanning.labels import (
    _edits,
    _is_slip,
    _plain,
    apply_class_map,
    read_class_map,
    suspicions,
    written_apart,
)


def labels(**counts):
    return pd.Series([name.replace("__", " ") for name, count in counts.items() for _ in range(count)])


def found(**counts):
    return {s.label: s.meant for s in suspicions(labels(**counts))}


class TestSuspicions:
    def test_case_spaces_and_signs(self):
        table = pd.Series(["red fox"] * 9 + ["Red Fox"] * 8 + ["red_fox"] * 7 + ["red-fox "] * 6 + ["hare"])
        assert {s.label for s in suspicions(table)} == {"Red Fox", "red_fox", "red-fox "}
        assert {s.meant for s in suspicions(table)} == {"red fox"}

    def test_rare_slips_of_a_letter(self):
        assert found(badger=100, bader=1, hare=100, harre=5, wolverine=100, wolvirene=2) == {
            "bader": "badger",
            "harre": "hare",
            "wolvirene": "wolverine",
        }

    @given(st.lists(st.tuples(st.text("abA _", max_size=9), st.sampled_from([1, 2, 5, 20, 40, 100])), max_size=12))
    def test_the_most_frequent_label_alike_is_meant_as_a_search_of_all_pairs_finds(self, drawn):
        table = pd.Series([name for name, count in drawn for _ in range(count)], dtype="str")
        counts = table.value_counts()
        expected = {}
        for place, (label, rows) in enumerate(counts.items()):
            for other, other_rows in counts.iloc[:place].items():
                rare = rows <= 5 and rows <= 0.05 * other_rows
                if _plain(label) == _plain(other) or (rare and _is_slip(_plain(label), _plain(other))):
                    expected[label] = other
                    break
        assert {s.label: s.meant for s in suspicions(table)} == expected

    def test_ten_thousand_labels_take_seconds(self):
        generator = np.random.default_rng(0)
        names = ["".join(word) for word in generator.choice(list("abcdefghijklmnopqrstuvwxyz"), (10_000, 14))]
        names[5000] = names[0][:-1]
        start = time.process_time()
        [slip] = suspicions(pd.Series(names[:5000] * 20 + names[5000:]))
        assert time.process_time() - start < 8
        assert (slip.label, slip.meant) == (names[5000], names[0])

    def test_frequent_or_different_labels_are_none(self):
        assert found(roe__deer=100, red__deer=40, fox=100, ox=6, hare=30, care=2) == {}
        assert found(area1=100, area2=1) == {}
        assert found(cat=100, dog=1) == {}

    def test_counts(self):
        [slip] = suspicions(labels(badger=100, bader=1))
        assert slip == ("bader", 1, "badger", 100)

    @given(st.text("abc", max_size=5), st.text("abc", max_size=5), st.text("abc", max_size=5))
    def test_edits_are_a_distance(self, a, b, c):
        assert _edits(a, a) == 0
        assert _edits(a, b) == _edits(b, a) >= abs(len(a) - len(b))
        assert _edits(a, c) <= _edits(a, b) + _edits(b, c)
        assert _edits(a, a + "x") == _edits("x" + a, a) == 1


class TestWrittenApart:
    def names(self, **counts):
        return {s.label: s.meant for s in written_apart(labels(**counts))}

    def test_case_spaces_signs_and_zeros(self):
        table = pd.Series(
            ["Cam01"] * 9 + ["cam 1"] * 8 + ["CAM_001"] * 7 + ["cam-1.0"] * 6 + ["cam 10"] * 5 + ["cam 11"]
        )
        assert {s.label for s in written_apart(table)} == {"cam 1", "CAM_001", "cam-1.0"}
        assert {s.meant for s in written_apart(table)} == {"Cam01"}
        assert [
            s.label for s in written_apart(pd.Series(["001"] * 4 + ["1"] * 3 + ["1.0"] * 2 + ["01", "10", "100"]))
        ] == [
            *("1", "1.0", "01"),
        ]

    def test_slips_and_other_numbers_are_none(self):
        for apart in (
            ["1-12", "11-2"],
            ["badger"] * 100 + ["bader"],
            ["1.5", "15"],
            ["1.1", "1.10"],
            ["+", "-"],
            ["C1", "C10"],
        ):
            assert written_apart(pd.Series(apart)) == []

    def test_a_hundred_thousand_take_seconds(self):
        start = time.process_time()
        assert written_apart(pd.Series([f"C{number // 1000}/{number}" for number in range(100_000)])) == []
        assert time.process_time() - start < 8


def test_labels_that_differ_in_zeros_are_suspicious():
    assert found(**{"001": 4, "1": 3, "1.0": 2, "2": 9}) == {"1": "001", "1.0": "001"}


class TestClassMap:
    @pytest.fixture
    def written(self, tmp_path):
        def write(text):
            (tmp_path / "map.csv").write_text(text, encoding="utf-8")
            return tmp_path / "map.csv"

        return write

    def test_labels_are_renamed_merged_and_dropped(self, written):
        path = written("label,class,why\nroebuck, roe deer ,same\nRoe,roe deer,\nblank,,\n")
        class_map = read_class_map(path)
        assert class_map == {"roebuck": "roe deer", "Roe": "roe deer", "blank": None}
        mapped = apply_class_map(pd.Series(["roebuck", "Roe", "fox", "blank", None]), class_map, path)
        assert mapped.fillna("").tolist() == ["roe deer", "roe deer", "fox", "", ""]

    def test_names_have_one_form(self, written):
        assert read_class_map(written("label;class\r\n fox ;red  fox\u200b\r\nFu\u0308chse;x\r\n")) == {
            "fox": "red fox",
            "Füchse": "x",
        }

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("label;name\na;b\n", "expected the columns label,class, got label,name"),
            ("label,class\na,b\na,c\n", "expected each label once, got 'a' twice"),
            ("label,class\n,c\n", "got a row without label"),
        ],
    )
    def test_maps_that_cannot_be_read(self, written, text, message):
        with pytest.raises(PhotosError, match=message):
            read_class_map(written(text))

    def test_labels_that_are_not_there(self, written):
        path = written("label,class\nbager,badger\nyeti,\nfox,fox\n")
        with pytest.raises(
            PhotosError, match=r"(?s)'bager'; did you mean 'badger'.*'yeti'; choose from: badger, fox"
        ):
            apply_class_map(pd.Series(["badger", "fox"]), read_class_map(path), path)
