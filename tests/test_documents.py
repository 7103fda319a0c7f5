"""Documents that nobody runs every day: their commands parse, their code runs, their links lead somewhere."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from fscl.cli import app
from fscl.config import Stage, resolve

ROOT = Path(__file__).resolve().parents[1]
OF_DASK = {"--scheduler-file", "--nthreads", "--nworkers", "--gres"}  # and of SLURM
KOREAN, REPRODUCE = "README.ko.md", "docs/reproduce.md"
NAMES = ("index", "recipes", "tables", "formats", "explain", "export", "serve", "dask")
DOCUMENTS = [KOREAN, REPRODUCE, *(f"docs/{name}.md" for name in NAMES)]


def text_of(document):
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document, language):
    return re.findall(rf"```{language}\n(.*?)```", text_of(document), flags=re.DOTALL)


def commands(document):
    """Return the words of every command in the document's shell blocks, without comments."""
    lines = "".join(blocks(document, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def fscl_commands():
    found = [(document, words[1:]) for document in DOCUMENTS for words in commands(document) if words[0] == "fscl"]
    return [pytest.param(words, id=f"{document}: {' '.join(words)}") for document, words in found]


def test_the_recipes_of_the_guide_are_valid():
    for block in blocks("docs/recipes.md", "toml"):
        resolve([("docs/recipes.md", tomllib.loads(block))])


def test_the_guide_names_every_key_of_a_stage():
    keys = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/recipes.md").partition("\n## ")[0], flags=re.MULTILINE))
    assert keys == set(Stage.model_fields)


def code_with(word):
    [code] = [block for block in blocks(REPRODUCE, "python") if word in block]
    return code


def known_flags():
    options = [app[name].assemble_argument_collection() for name in app.resolved_commands() if name[0] != "-"]
    return {name for arguments in options for argument in arguments for name in argument.names}


@pytest.mark.parametrize("words", fscl_commands())
def test_commands_parse(words):
    command, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert command.__name__ == words[0]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_flags_exist(document):
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text_of(document)))
    assert flags <= known_flags() | {"--help"} | OF_DASK


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text_of(document))
    assert targets
    for target in targets:
        assert ((ROOT / document).parent / target).exists(), target


def test_the_korean_readme_has_the_commands_of_the_english_one():
    assert commands(KOREAN) == commands("README.md")
    assert blocks(KOREAN, "python") == blocks("README.md", "python")
    rows = [re.findall(r"^\| `fscl (\w+)`", text_of(name), flags=re.MULTILINE) for name in (KOREAN, "README.md")]
    assert rows[0] == rows[1]


def test_the_table_of_cropped_animals_is_one_that_scan_reads(tmp_path, monkeypatch):
    from fscl.formats.tables import reader

    monkeypatch.chdir(tmp_path)
    names = ["A11_F02_C081_C_211026_6002_20S_000010.235.jpg", "A01_F03_C074_C_200114_3001_20S_000001.061.jpg"]
    for label, name in zip(("roe_deer", "water_deer"), names, strict=True):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / name).touch()
    exec(code_with("photos.csv"), {})
    rows = reader.read(tmp_path / "photos/photos.csv").rows
    assert rows["label"].tolist() == ["roe_deer", "water_deer"]
    assert rows["site"].tolist() == ["C081", "C074"]
    assert rows["sequence"].tolist() == ["C081_211026_6002", "C074_200114_3001"]
