"""The README's commands and examples run as they are written."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fscl
from fscl.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ["--steps", "2", "--image-size", "32", "--backbone", "test_resnet", "--batch-size", "16", "--workers", "0"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    lines = "\n".join(blocks("sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("fscl ") and "demo" not in line]


@pytest.fixture
def photos_folder(tmp_path):
    generator = np.random.default_rng(0)
    for label, name in enumerate(("water_deer", "roe_deer", "wild_boar")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(60):
            pixels = generator.integers(60 * label, 60 * label + 100, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:04}.jpg")
    return tmp_path


@pytest.mark.slow
def test_commands_and_python_run(photos_folder, monkeypatch, capsys):
    monkeypatch.chdir(photos_folder)
    ran = []
    for words in commands():
        quick = {"train": ["--image-size", "32", "--workers", "0"], "compare": QUICK}.get(words[1], [])
        few = ["--jobs", "1", "--ratios", "1", "--methods", "fscl"] if words[1] == "compare" else []
        monkeypatch.setattr(sys, "argv", [*words, *quick, *few])
        main()
        ran.append(words[1])
    assert ran == ["scan", "train", "evaluate", "report", "predict", "predict", "explain", "compare"]
    prediction, loss_alone = blocks("python")
    exec(prediction, {})
    assert "roe_deer" in capsys.readouterr().out

    import torch

    scope = {"features": torch.randn(4, 8), "labels": torch.tensor([0, 1, 2, 0])}
    exec(loss_alone, scope)
    assert scope["loss"](scope["features"], scope["labels"]).item() > 0


def test_every_command_of_the_table_exists():
    for name in re.findall(r"^\| `fscl (\w+)`", README, flags=re.MULTILINE):
        assert name in fscl.cli.app


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_map_has_every_file_of_the_package_and_no_other():
    words = set(re.findall(r"[\w*]+(?:\.\w+)?", README.partition("## Every file")[2]))
    package = ROOT / "fscl"
    modules = [path for path in package.rglob("*.py") if not path.name.startswith("__")]
    for path in modules:
        assert {path.name, path.stem} & words, f"the map lacks {path.relative_to(package)}"
        assert path.parent == package or path.parent.name in words
    named = {word for word in words if word.endswith(".py")}
    assert named <= {path.name for path in modules}


def test_the_walks_name_what_is_there():
    """Each `file.py` exists, and each name is defined in a file of the package."""
    walks = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Three walks")[2].partition("\n## ")[0]
    )
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "fscl").rglob("*.py"))
    for name in re.findall(r"`([^`]+)`", walks):
        if name.endswith(".py"):
            assert (ROOT / "fscl" / name).exists(), name
        elif re.fullmatch(r"(\w+\.)?\w+", name) and not name.endswith(".toml"):
            assert re.search(rf"(def|class) {name.rpartition('.')[2]}\b|^{name}\b", source, flags=re.MULTILINE), name
