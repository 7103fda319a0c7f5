import errno
import os
import subprocess
import sys

import pytest

from fscl import atomic
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


KILLED = """
import os, signal, sys
from pathlib import Path
from fscl.atomic import replacing

with replacing(Path(sys.argv[1])) as path:
    path.write_text("half")
    print("writing", flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writer(target, then):
    command = [sys.executable, "-c", KILLED, str(target), then]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_writer_left_goes_with_the_next_writing_of_that_file(tmp_path):
    target = tmp_path / "photos.parquet"
    with writer(target, "die") as process:
        process.wait()
    [left] = leftovers(tmp_path)
    other = tmp_path / ".other.parquet.a1b2c3d4.tmp"  # perhaps of another program
    other.touch()
    write_text(tmp_path / "notes.txt", "another file")
    assert left.exists()
    write_text(target, "whole")
    assert {file.name for file in tmp_path.iterdir()} == {"photos.parquet", "notes.txt", other.name}


def test_what_another_process_is_writing_stays(tmp_path):
    target = tmp_path / "photos.parquet"
    with writer(target, "live") as process:
        [theirs] = leftovers(tmp_path)
        write_text(target, "ours")
        assert theirs.exists()
        process.communicate("")
    assert process.returncode == 0
    assert target.read_text() == "half", "the last to finish wins, whole"
    assert not leftovers(tmp_path)


def test_what_this_process_is_writing_stays(tmp_path):
    target = tmp_path / "photos.parquet"
    with replacing(target) as path:
        path.write_text("outer")
        write_text(target, "inner")
        assert path.exists()
    assert target.read_text() == "outer"


def test_where_files_cannot_be_locked_age_decides(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(atomic.fcntl, "flock", refuse)
    old, young = tmp_path / ".a.json.a1b2c3d4.tmp", tmp_path / ".a.json.e5f6g7h8.tmp"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    write_text(tmp_path / "a.json", "{}")
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_takes_no_file_is_named(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".a.json.a1b2c3d4.tmp"))

    monkeypatch.setattr(atomic.tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError) as caught:
        write_text(tmp_path / "a.json", "{}")
    assert caught.value.filename == str(tmp_path)
    monkeypatch.undo()
    with pytest.raises(OSError, match="File name too long") as caught:
        write_text(tmp_path / ("a" * 300), "{}")
    assert caught.value.filename == str(tmp_path / ("a" * 300))


def left_between_the_renames(target):
    """Make what a process leaves that is killed when the old folder is away and the new one is not there yet."""
    around = target.with_name(f".{target.name}.a1b2c3d4.tmp")
    for name in (atomic.NEW, atomic.OLD):
        (around / name).mkdir(parents=True)
        (around / name / "a.txt").write_text(name)
    return around


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    target = tmp_path / "package"
    for content in ("first", "second"):
        with atomic.replacing_folder(target) as folder:
            (folder / "a.txt").write_text(content)

    def breaks_off():
        with atomic.replacing_folder(target) as folder:
            (folder / "a.txt").write_text("third")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks_off()
    assert (target / "a.txt").read_text() == "second"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_killed_between_its_renames_is_mended(tmp_path):
    target = tmp_path / "package"
    left_between_the_renames(target)
    atomic.mend_folder(tmp_path / "other")
    assert not target.exists()
    atomic.mend_folder(target)
    assert (target / "a.txt").read_text() == atomic.NEW
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_left_of_a_folder_goes_and_what_is_written_stays(tmp_path):
    target = tmp_path / "package"
    target.mkdir()
    around = left_between_the_renames(target)
    (target / "a.txt").write_text("there")
    with atomic.FileLock(around / atomic.LOCK):
        atomic.mend_folder(target)
        assert around.exists(), "another process is writing it"
    atomic.mend_folder(target)
    assert list(tmp_path.iterdir()) == [target]
    assert (target / "a.txt").read_text() == "there"


def test_the_longest_names_are_written(tmp_path):
    for name in ("a" * 255, "노" * 83 + ".jpg"):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"
