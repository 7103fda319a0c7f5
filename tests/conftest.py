"""What several test rooms share."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import hypothesis
import numpy as np
import pytest
from PIL import Image

from fscl import methods
from fscl.cli import main
from fscl.config import Config, resolve, settings
from fscl.manifest.table import Manifest

# A busy machine is no failure, and the same commit passes or fails everywhere alike; `--hypothesis-profile explore`
# looks for new counterexamples.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Compute with one thread: the same bits everywhere, and no fight over cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real photos beside the checkout; skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real photos (../shared/data) are not here")
    return folder


COLOURS = {"boar": (90, 60, 40), "deer": (180, 120, 70), "hare": (120, 140, 170)}
COUNTS = {"boar": 60, "deer": 30, "hare": 30}


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory) -> Path:
    """Return folders of small photos, a colour per class with noise on it: easy to learn."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name, count in COUNTS.items():
        (root / name).mkdir()
        for i in range(count):
            noise = generator.normal(0, 25, (40, 48, 3))
            pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:03}.jpg", quality=90)
    return root


@pytest.fixture(scope="session")
def photos(class_folders) -> Manifest:
    """Return the manifest of `class_folders`."""
    from fscl.scanning.scan import scan

    return scan(class_folders)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_tests(tmp_path_factory):
    """Keep features of tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSCL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Let a test see no features that another has left."""
    monkeypatch.setenv("FSCL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def decoded(monkeypatch):
    """Return the names of the photos that are decoded from now on, as it happens."""
    from fscl.loading.regions import Regions

    names, resized = [], Regions.resized

    def watched(self, row, preprocessing):
        names.append(self.name(row))
        return resized(self, row, preprocessing)

    monkeypatch.setattr(Regions, "resized", watched)
    return names


@pytest.fixture
def quick():
    """Return a maker of configurations that train in a second: a small backbone on 32 px, one reader."""

    def make(method: str = "fscl", **flags) -> Config:
        small = {
            "backbone": "test_resnet",
            "image_size": 32,
            "steps": 6,
            "batch_size": 16,
            "workers": 0,
            "checkpoint_seconds": 1000.0,
        }
        recipe = methods.read(method)
        recipe.get("model", {}).pop("weights", None)  # of another backbone
        return resolve([(method, recipe), ("test", settings(small | flags))])

    return make


@pytest.fixture
def draw(tmp_path):
    """Return a function that writes photos of different colours below `tmp_path`, and returns it."""
    written = 0

    def write(*paths: str, size: tuple[int, int] = (12, 8), **options: object) -> Path:
        nonlocal written
        for path in paths:
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            written += 1
            Image.new("RGB", size, (written * 37 % 256, written * 59 % 256, written % 256)).save(target, **options)
        return tmp_path

    return write


class _KoreanWindows(ZipInfo):
    """A name in cp949 and no flag that says so."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode("cp949"), self.flag_bits


@pytest.fixture
def pack() -> Callable[..., Path]:
    """Return a function that packs a folder into a zip of its name beside it, and returns that."""

    def write(folder: Path, *, below: str = "", korean_windows: bool = False, keep: bool = False) -> Path:
        """Pack the files; their names begin with `below`. The folder goes, unless it is to be kept."""
        kind = _KoreanWindows if korean_windows else ZipInfo
        archive = folder.with_name(f"{folder.name}.zip")
        with ZipFile(archive, "w") as packed:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                packed.writestr(kind(below + file.relative_to(folder).as_posix()), file.read_bytes())
        if not keep:
            shutil.rmtree(folder)
        return archive

    return write


@pytest.fixture
def fscl(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["fscl", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium; skip where none is installed."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright  # of the dev extra: where it is missing the test fails

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser):
    """Return a function that opens an address in a window of its own, and returns the page.

    At the end no page has had an error, a dialog or a message of the browser, but those that match `expected`, or has
    asked for an address that does not begin with one of `own`.
    """
    contexts, faults = [], []

    def open_it(address, *, own, expected="(?!)", routes=(), **options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)

        def note(kind, text):
            if not re.search(expected, text):
                faults.append(f"{kind}: {text}")

        page.on("pageerror", lambda error: note("error", str(error)))
        page.on("console", lambda message: note("console", message.text))
        page.on("dialog", lambda dialog: (note("dialog", dialog.message), dialog.dismiss()))
        page.on("request", lambda request: request.url.startswith(own) or faults.append(f"request: {request.url}"))
        for pattern, answer in routes:
            page.route(pattern, answer)
        page.goto(address)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert faults == []
