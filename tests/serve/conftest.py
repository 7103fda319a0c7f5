"""A model of three colours, and its page on a free port of this machine."""

import threading
from contextlib import contextmanager

import httpx
import pytest

from fscl.serve.run import opened
from fscl.training.loop import fit


@pytest.fixture(scope="session")
def run(tmp_path_factory, photos):
    """Return a run of a few steps on `photos`; nothing is written into it."""
    from fscl import methods
    from fscl.config import resolve, settings

    small = {"backbone": "test_resnet", "image_size": 32, "steps": 30, "batch_size": 16, "workers": 0}
    config = resolve([("oversampling", methods.read("oversampling")), ("test", settings(small))])
    return fit(config, photos, tmp_path_factory.mktemp("runs") / "run")


class Asking(httpx.Client):
    """Asks as the page does: its own address stands in Origin."""

    def __init__(self, page):
        origin = page.address.rstrip("/")
        super().__init__(base_url=origin, headers={"origin": origin}, timeout=30, trust_env=False)
        self.page = page


@contextmanager
def serving(run, **options):
    """Serve a page while the block lasts; yield who asks it."""
    with opened(run, port=0, **options) as page:
        thread = threading.Thread(target=page.run)
        thread.start()
        try:
            with Asking(page) as asking:
                asking.get("/api/about").raise_for_status()
                yield asking
        finally:
            page.stop()
            thread.join()


@pytest.fixture(scope="session")
def page(run, class_folders):
    """Return who asks a page of the run, with the training photos as its folder."""
    with serving(run, folder=class_folders) as asking:
        asking.page.served.training.wait()
        yield asking
