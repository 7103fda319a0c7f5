"""Imports only go down; on the floors 1 and 2 rooms do not import each other, except as `OVER` says."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fscl"
FLOORS = [
    {
        *("config", "registry", "errors", "atomic", "lock", "printable", "records", "species"),
        *("runtime", "progress", "run_folder"),
        *("images", "pixels", "decoding", "archives", "zip_names", "code_pages"),
    },
    {"manifest", "scoring", "models", "losses", "methods"},
    {"formats", "scanning", "loading", "synthetic", "decisions"},
    {"bundle", "inference", "parts"},
    {"training", "evaluation", "prediction", "explain"},
    {"experiments", "report", "export"},
    {"cli", "flags", "ending", "serve"},
]
OVER = {"scanning": {"formats"}}  # within floor 2; its other rooms, and those of floor 1, do not import each other
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.name != "__main__.py" and p != PACKAGE / "__init__.py"]


def rooms_imported(path: Path) -> set[str]:
    package = ("fscl", *path.relative_to(PACKAGE).parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("fscl.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert own in FLOOR, f"{own} has no floor yet: add it to FLOORS and CONTRIBUTING.md"
    for other in rooms_imported(path) - {own, "__version__"}:
        assert FLOOR[other] <= FLOOR[own], f"{own} (floor {FLOOR[own]}) imports {other} (floor {FLOOR[other]})"
        beside = FLOOR[own] == FLOOR[other] and FLOOR[own] in (1, 2) and other not in OVER.get(own, ())
        assert not beside, f"siblings on floor {FLOOR[own]}: {own} imports {other}"
        assert not ("training" in (own, other) and FLOOR[own] == FLOOR[other]), (
            f"{own} and {other} stand side by side"
        )


@pytest.mark.parametrize(
    "room",
    [
        *("manifest", "scoring", "report", "formats", "scanning", "synthetic", "records", "config"),
        *("images.py", "pixels.py", "decoding.py", "species.py", "progress.py", "run_folder.py"),
    ],
)
def test_scanning_scoring_and_reporting_do_not_import_torch(room):
    paths = [PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).rglob("*.py"))
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        roots = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        roots |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not roots & {"torch", "torchvision", "timm"}, path
