"""Every method has a card, a page that says when it helps and what it costs; every card has a method."""

import re
import shlex
from pathlib import Path

import pytest

from fscl import methods
from fscl.cli import app

CARDS = Path(__file__).resolve().parents[2] / "docs" / "methods"


def text_of(name):
    return (CARDS / f"{name}.md").read_text(encoding="utf-8")


def test_recipes_and_cards_are_the_same():
    assert {card.stem for card in CARDS.glob("*.md")} - {"README"} == set(methods.names())


def test_the_index_has_every_recipe_with_its_summary():
    rows = re.findall(r"^\| \[(\S+)\]\(\1\.md\) \| (.+) \|$", text_of("README"), flags=re.MULTILINE)
    assert sorted(rows) == sorted((name, methods.read(name)["method"]["summary"]) for name in methods.names())


@pytest.mark.parametrize("name", methods.names())
def test_a_card_is_one_page_with_its_parts_and_command(name):
    card = text_of(name)
    assert len(card.splitlines()) <= 25
    assert re.findall(r"^- \*\*(\w+)", card, flags=re.MULTILINE) == ["Source", "Helps", "Costs", "Differs"]
    assert "```text\n" in card
    [command] = re.findall(r"```sh\n(.*)\n```", card)
    assert command == f"fscl train photos.parquet --method {name} --out runs/{name}"
    app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("name", ["README", *methods.names()])
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text_of(name)):
        assert (CARDS / target).exists(), target
