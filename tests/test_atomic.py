import pytest

from fscl.atomic import replacing, write_text


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "figures.json"
    write_text(target, "old")

    def fail_half_way():
        with replacing(target) as path:
            path.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folders_are_made_and_the_file_can_be_read_by_others(tmp_path):
    target = tmp_path / "a" / "b.txt"
    write_text(target, "ä")
    assert target.read_text(encoding="utf-8") == "ä"
    assert target.stat().st_mode & 0o044
