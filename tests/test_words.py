"""The list of words: whole, short, and shown by the terminal, the report and the docs."""

import re
from pathlib import Path

import pytest

from fscl.words import meanings, sections

WANTED = (
    *("recall", "precision", "balanced accuracy", "AUROC", "average precision", "log loss", "ECE", "threshold"),
    *("ratio", "seed", "epoch", "step", "batch", "checkpoint", "bundle", "manifest", "run folder", "oversampling"),
    *("similarity term", "majority, minority", "argmax", "guessing", "sd", "p"),
)


def test_every_line_of_the_list_is_read():
    lines = (Path(__file__).parents[1] / "fscl/words.md").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("- ") for line in lines) == len(meanings()) == sum(map(len, sections().values()))


@pytest.mark.parametrize("word", WANTED)
def test_a_word_of_the_output_is_explained(word):
    assert meanings()[word].endswith(".")


def test_the_terminal_lists_them(fscl):
    code, out, _ = fscl("words")
    assert code == 0
    shown = " ".join(out.split())
    for word in WANTED:
        assert word in shown


def test_sentences_are_short():
    sentences = [s for meaning in meanings().values() for s in re.split(r"(?<=[.:;]) ", meaning)]
    assert max(len(sentence.split()) for sentence in sentences) <= 25
