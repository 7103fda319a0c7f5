"""`fscl explain` as typed: what is printed, what is there, and what is said of a mistake."""

import re

import pytest


def test_the_command_prints_a_line_per_photo_and_leaves_a_page(fscl, run, class_folders, tmp_path):
    photo = class_folders / "boar" / "003.jpg"
    code, out, err = fscl("explain", run, photo, class_folders / "hare" / "001.jpg", "--out", tmp_path / "out")
    assert code == 0, err
    lines = out.splitlines()
    assert "the 2 photos that were given" in out
    line = next(line for line in lines if "003.jpg" in line)
    assert len(re.findall(r"\d\.\d\d", line)) == 1
    assert sum(int(count) for count in re.findall(r"(\d+) (?:boar|deer|hare)", line)) == 5, "nearest training photos"
    assert (tmp_path / "out" / "explain.html").is_file()
    assert str(tmp_path / "out" / "explain.html") in lines[-1]


def test_with_labels_a_table_is_written_and_its_first_rows_are_shown(fscl, run):
    code, out, err = fscl("explain", run, "--labels")
    assert code == 0, err
    assert (run / "explain" / "labels_to_check.csv").is_file()
    assert "label" in out
    assert "Labels to check" in (run / "explain" / "explain.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "a.jpg"], "a.jpg"),
        (["RUN", "gone.jpg"], "gone.jpg"),
        (["RUN", "--workers", "-1"], "workers"),
        (["RUN", "--root", "nowhere"], "--root FOLDER"),
        (["RUN", "--out", "RUN"], "choose another --out"),
        (["nowhere"], "bundle.json"),
    ],
)
def test_a_mistake_is_said_and_writes_nothing(fscl, run, words, said):
    code, _, err = fscl("explain", *(run if word == "RUN" else word for word in words))
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert not (run / "explain").exists()
