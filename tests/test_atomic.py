import pytest

from fscl.atomic import leftovers, replacing, sweep, write_text


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


def test_what_a_kill_leaves_is_known_by_its_name_and_swept(tmp_path):
    (tmp_path / ".notes.tmp").write_text("someone else's")
    with replacing(tmp_path / "weights.safetensors") as path:
        assert leftovers(tmp_path) == {path}
        sweep(tmp_path)
        assert not path.exists()
        path.touch()
    assert {file.name for file in tmp_path.iterdir()} == {".notes.tmp", "weights.safetensors"}
    sweep(tmp_path / "absent")


def test_a_failed_write_names_the_file_that_was_wanted(tmp_path):
    def fill():
        with replacing(tmp_path / "figures.json"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.filename == str(tmp_path / "figures.json")
