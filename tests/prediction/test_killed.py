"""A prediction that is killed by SIGKILL at any operation on files, and run again, leaves the same bytes.

What is on the disk changes by operations on files alone: a kill before each of them is a kill at any moment, but for
those in the middle of writing a file, which has another name until it is whole.
"""

import os
import random
import signal
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

from fscl.cli import main

DEPLOYMENTS = (
    "deploymentID,latitude,longitude,deploymentStart,deploymentEnd\n"
    "shots,37.5,127,2021-05-01T00:00:00+09:00,2021-07-01T00:00:00+09:00\n"
)
FORMS = {
    "MegaDetector": ["--out", "out/a.json", "--features", "out/f.parquet", "--copy-to", "out/sorted"],
    "links": ["--out", "out/a.csv", "--link-to", "out/sorted"],
    "package folder": ["--format", "camtrap-dp", "--deployments", "../d.csv", "--out", "out/package"],
    "package zip": ["--format", "camtrap-dp", "--deployments", "../d.csv", "--out", "out/package.zip"],
}
STEP = 9  # of all operations each ninth: with 1 it takes minutes
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod", "shutil.rmtree")


@pytest.fixture
def camera(tmp_path, class_folders):
    """Return a folder of a few timed photos, and a table of deployments beside it."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:05:31 08:25:38"
    (tmp_path / "photos/shots").mkdir(parents=True)
    for name in ("boar/000.jpg", "deer/000.jpg", "hare/000.jpg"):
        with Image.open(class_folders / name) as photo:
            photo.save(tmp_path / f"photos/shots/{name.replace('/', '-')}", exif=exif)
    (tmp_path / "photos/shots/half.jpg").write_bytes((class_folders / "deer/001.jpg").read_bytes()[:300])
    (tmp_path / "d.csv").write_text(DEPLOYMENTS)
    return tmp_path


def predict(words, last=None):
    """Predict in a process of its own, killed before its operation number `last`; return how it ended."""
    with warnings.catch_warnings(action="ignore"):  # of a fork beside other threads, which the child does not use
        child = os.fork()
    if child == 0:
        try:
            sys.stdout = sys.stderr = Path("said.txt").open("w")  # noqa: SIM115 - until the process ends
            _end_before(last)
            sys.argv = ["fscl", *map(str, words)]
            main()
            os._exit(0)
        except SystemExit as stop:
            os._exit(stop.code)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end_before(last):
    done = 0

    def count(event, words):
        nonlocal done
        writes = event == "open" and isinstance(words[0], str) and bool(words[2] & (os.O_WRONLY | os.O_RDWR))
        if event in CHANGES or writes:
            done += 1
            if done == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def contents(folder):
    """Return what is in a folder: of a file its bytes, of a link where it leads to; locks of processes left out."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if (path.is_file() or path.is_symlink()) and path.name != ".lock"
    }


def run_killed(words, moments, folder, expected, monkeypatch):
    """Kill a prediction at each of the moments, run it again, and compare; return how many moments there were."""
    killed = 0
    for moment in moments:
        place = folder / f"k{moment}"
        place.mkdir()
        monkeypatch.chdir(place)
        end = predict(words, moment)
        assert end in (0, -signal.SIGKILL), f"operation {moment}: {end}"
        killed += end != 0
        assert predict(words) == 0, f"operation {moment}: {Path('said.txt').read_text()}"
        assert contents(place / "out") == expected, f"operation {moment}"
        if end == 0:
            break
    return killed


@pytest.mark.parametrize("form", FORMS)
def test_killed_at_random_moments_and_run_again_there_are_the_same_bytes(camera, model, form, monkeypatch):
    words, expected = whole(camera, model, form, monkeypatch)
    moments = sorted(random.Random(form).sample(range(1, 50), 3))
    assert run_killed(words, moments, camera, expected, monkeypatch) > 1


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_killed_at_operations_from_the_first_to_the_last_and_run_again_there_are_the_same_bytes(
    camera, model, form, monkeypatch
):
    words, expected = whole(camera, model, form, monkeypatch)
    assert run_killed(words, range(2, 500, STEP), camera, expected, monkeypatch) > 4


def whole(camera, model, form, monkeypatch):
    """Return the words of a command, and what it leaves when nothing happens to it."""
    words = ["predict", model, camera / "photos", "--workers", "0", *FORMS[form]]
    (camera / "whole").mkdir()
    monkeypatch.chdir(camera / "whole")
    assert predict(words) == 0
    left = contents(camera / "whole/out")
    assert not [name for name in left if ".parts" in name or name.endswith(".tmp")]
    return words, left


@pytest.mark.slow
def test_a_package_that_replaces_another_is_the_old_or_the_new_one_whole(camera, model, monkeypatch):
    """Killed between the two renames nothing is lost: the next call, whatever it is, puts the new one there."""
    words, old = whole(camera, model, "package folder", monkeypatch)
    again = [*words, "--unsure-below", "0.9", "--overwrite"]
    assert predict(again) == 0
    new = contents(camera / "whole/out")
    assert new != old
    for moment in range(2, 500, STEP):
        place = camera / f"k{moment}"
        place.mkdir()
        monkeypatch.chdir(place)
        assert predict(words) == 0
        end = predict(again, moment)
        assert predict([*words, "--unsure-below", "0.8"]) in (0, 2)  # another call, without --overwrite
        assert package(contents(place / "out")), f"operation {moment}: the package is lost"
        assert predict(again) == 0, f"operation {moment}"
        assert contents(place / "out") == new, f"operation {moment}"
        if end == 0:
            break


def package(left):
    return {name: content for name, content in left.items() if name.startswith("package/")}
