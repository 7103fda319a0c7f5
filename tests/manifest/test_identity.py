from zipfile import ZipFile

import pandas as pd
import pytest

from fscl.errors import PhotosError
from fscl.manifest.identity import check_unchanged, differences, replaced
from fscl.manifest.table import Manifest


class TestDifferences:
    @pytest.fixture
    def was(self, tmp_path):
        columns = pd.DataFrame({"path": [f"{n}.jpg" for n in range(4)], "label": "fox", "split": "train"})
        columns[["width", "height", "bytes"]] = [40, 30, 1000]
        columns["content_hash"] = ["a", "b", None, None]
        columns.loc[:1, ["x", "y", "w", "h"]] = 5.0
        return Manifest.build(columns, tmp_path)

    def changed(self, was, **columns):
        rows = was.rows.copy()
        for name, values in columns.items():
            for row, value in values.items():
                rows.loc[row, name] = value
        return Manifest(rows, was.root)

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            ({"label": {1: "hare"}}, "label of 1 region (1.jpg#0 was fox, is hare)"),
            ({"label": {1: None}}, "label of 1 region (1.jpg#0 was fox, is nan)"),
            ({"split": {1: "val", 2: "val"}}, "split of 2 regions (1.jpg#0 was train, is val)"),
            ({"path": {3: "x/3.jpg"}}, "path of 1 region (3.jpg#0 was 3.jpg, is x/3.jpg)"),
            ({"w": {0: 6, 1: 6}}, "boxes of 2 regions (0.jpg#0)"),
            ({"x": {2: 1}, "y": {2: 1}, "w": {2: 1}, "h": {2: 1}}, "boxes of 1 region (2.jpg#0)"),
            ({"bytes": {0: 1001, 3: 900}}, "2 photos were replaced: other size (0.jpg)"),
            ({"bytes": {0: 1001}, "content_hash": {0: "c"}}, "1 photo was replaced: other size (0.jpg)"),
            ({"content_hash": {1: "c"}}, "1 photo was replaced: other content (1.jpg)"),
            ({"height": {2: 31}}, "1 photo was replaced: other width or height (2.jpg)"),
        ],
    )
    def test_each_is_named_once(self, was, columns, said):
        assert differences(was, self.changed(was, **columns)) == [said]

    def test_what_one_of_them_does_not_know_is_no_difference(self, was):
        unknown = self.changed(was, bytes={0: None}, content_hash={1: None, 2: "c"}, width={3: None})
        assert differences(was, unknown) == differences(unknown, was) == []
        assert differences(was, Manifest(was.rows.assign(site="C1", note="x"), was.root)) == []

    def test_rows_and_root(self, was, tmp_path):
        rows = was.rows
        assert differences(was, Manifest(rows[1:], was.root)) == ["1 region gone (0.jpg#0)"]
        assert differences(Manifest(rows[2:], was.root), was) == ["2 regions new (0.jpg#0)"]
        assert differences(was, Manifest(rows[::-1], was.root)) == ["the order of the rows"]
        assert differences(was, Manifest(rows[::-1].reset_index(drop=True), was.root)) == ["the order of the rows"]

    def test_photos_may_move_where_both_know_the_sizes_of_all_files(self, was, tmp_path):
        elsewhere = Manifest(was.rows, tmp_path / "copy")
        assert differences(was, elsewhere) == []
        other = self.changed(elsewhere, bytes={1: 9})
        assert differences(was, other) == ["1 photo was replaced: other size (1.jpg)"]
        unknown = self.changed(elsewhere, bytes={1: None, 2: None})
        said = f"the root was {was.root}, is {tmp_path / 'copy'}, and the sizes of 2 regions are not known"
        assert (
            differences(was, unknown) == differences(self.changed(was, bytes={1: None, 2: None}), elsewhere) == [said]
        )
        assert differences(was, Manifest(unknown.rows, was.root)) == []

    def test_written_and_read_again_nothing_differs(self, was, tmp_path):
        was.write(tmp_path / "photos.parquet")
        assert differences(was, Manifest.read(tmp_path / "photos.parquet", anywhere=True)) == []

    def test_photos_that_moved_can_be_compared(self, was, tmp_path):
        moved = Manifest(was.rows, tmp_path / "gone")
        moved.write(tmp_path / "photos.parquet")
        with pytest.raises(PhotosError, match="which is not there"):
            Manifest.read(tmp_path / "photos.parquet")
        assert differences(Manifest.read(tmp_path / "photos.parquet", anywhere=True), moved) == []


def test_photos_that_were_replaced_are_told_by_their_size(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"0" * 2000)
    with ZipFile(tmp_path / "d.zip", "w") as packed:
        packed.writestr("fox/1.jpg", "12345")
    paths = ["a.jpg", "a.jpg", "b.jpg", "c.jpg", "gone.jpg", "d.zip/fox/1.jpg", "d.zip/fox/2.jpg"]
    rows = pd.DataFrame({"path": paths, "bytes": [1000, 1000, 2000, None, 7, 4, 7]})
    assert replaced(Manifest.build(rows, tmp_path)) == {
        "a.jpg": "1,000 bytes at the scan, 2,000 now",
        "d.zip/fox/1.jpg": "4 bytes at the scan, 5 now",
    }


def test_what_changed_since_the_scan_is_an_error(tmp_path):
    names = [f"{n}.jpg" for n in range(5)]
    for name in names:
        (tmp_path / name).write_bytes(b"0" * 2000)
    rows = pd.DataFrame({"path": names, "bytes": 2000})
    check_unchanged(Manifest.build(rows, tmp_path))
    message = (
        r"4 files changed: 1\.jpg: 1,999 bytes at the scan, 2,000 now; 2\.jpg.*; and 1 more; .* scan the photos again"
    )
    with pytest.raises(PhotosError, match=message):
        check_unchanged(Manifest.build(rows.assign(bytes=[2000, *[1999] * 4]), tmp_path))
