"""Files and functions are short; imports go down, never in a circle; `OVER` says which rooms stand on which."""

import ast
from collections.abc import Container
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fscl"
FLOORS = [
    {
        *("config", "registry", "errors", "atomic", "lock", "printable", "records", "species", "words", "published"),
        *(
            "runtime",
            "progress",
            "run_folder",
            "processes",
            "torchrun",
            "batch_share",
            "futures",
            "cluster",
            "dask_worker",
        ),
        *("images", "pixels", "decoding", "archives", "zip_members", "zip_names", "code_pages"),
        *("frames", "video", "video_frames"),
    },
    {"manifest", "scoring", "models", "losses", "methods"},
    {"formats", "scanning", "loading", "synthetic", "decisions"},
    {"bundle", "onnx_model", "onnx_record", "inference", "parts", "predictor", "saliency"},
    {"training"},
    {"evaluation", "prediction", "explain"},
    {"experiments", "report", "export"},
    {"cli", "study_commands", "model_commands", "flags", "starting", "ending", "serve"},
]
OVER = {"scanning": {"formats"}}  # within floor 2; its other rooms, and those of floor 1, do not import each other
MODULE_LINES, FUNCTION_LINES = 320, 60
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


@pytest.mark.parametrize(
    "room",
    [
        *("manifest", "scoring", "report", "formats", "scanning", "synthetic", "records", "config"),
        *(
            "images.py",
            "pixels.py",
            "decoding.py",
            "video.py",
            "video_frames.py",
            "species.py",
            "progress.py",
            "run_folder.py",
            "words.py",
        ),
    ],
)
def test_scanning_scoring_and_reporting_do_not_import_torch(room):
    paths = [PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).rglob("*.py"))
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        roots = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        roots |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not roots & {"torch", "torchvision", "timm"}, path


def module_name(path: Path) -> str:
    return ".".join(("fscl", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def modules_imported(path: Path, modules: Container[str]) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: import from fscl, not from a dot"
            names.update(
                whole if (whole := f"{node.module}.{alias.name}") in modules else str(node.module)
                for alias in node.names
            )
    return {name for name in names if name in modules}


def test_no_module_imports_one_that_imports_it_not_even_for_types():
    modules = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    imports = {name: modules_imported(path, modules) - {name} for name, path in modules.items()}
    assert "fscl.training.plan" in imports["fscl.training.loop"]
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_and_modules_are_short(path):
    """At most 320 lines a module, 60 a function, its docstring not counted: it may be as long as it takes."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES, f"{path} is too long: give a part of it a file of its own"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            documented = ast.get_docstring(node) is not None
            lines = node.end_lineno - node.lineno + 1 - (lines_of(node.body[0]) if documented else 0)
            assert lines <= FUNCTION_LINES, f"{path}: {node.name} has {lines} lines: split it"


def lines_of(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1
