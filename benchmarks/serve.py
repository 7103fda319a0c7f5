"""The page of `fscl serve`: how long a dropped photo waits for its species, and 20 clients at once.

    python benchmarks/serve.py [--photos 40] [--side 2048] [--clients 20]

Each photo is posted to the page, and decoded and classified without it, in turn, in one process and with the same
threads. Bounds: the median of the ratios is at most 1.2; all clients get all their answers, without an error.
"""

import argparse
import io
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import torch
from PIL import Image

from fscl.bundle import Architecture, Bundle
from fscl.config import Preprocessing
from fscl.loading.regions import model_input, stacked
from fscl.models import Classifier
from fscl.serve.answers import pixels_of
from fscl.serve.run import Page, opened


def main() -> None:
    """Print the ratio, and what the clients met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--side", type=int, default=2048, help="px, of the long side")
    parser.add_argument("--clients", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = _model(Path(folder) / "run")
        photos = [_photo(arguments.side, seed) for seed in range(arguments.photos)]
        with opened(run, port=0) as page:
            thread = threading.Thread(target=page.run)
            thread.start()
            try:
                page.served.training.wait()
                _ratio(page, photos)
                _clients(page, photos, arguments.clients)
            finally:
                page.stop()
                thread.join()


def _ratio(page: Page, photos: list[bytes]) -> None:
    bundle = page.served.bundle
    ratios = []
    with _asking(page) as asking:
        for number, photo in enumerate([photos[0], *photos]):
            start = time.perf_counter()
            asking.post("/api/answer", content=photo).raise_for_status()
            through_page, start = time.perf_counter() - start, time.perf_counter()
            pixels = pixels_of(photo, bundle)
            with torch.inference_mode():
                bundle.classifier(model_input(stacked([pixels], bundle.preprocessing), bundle.preprocessing))
            if number:  # the first one warms up
                ratios.append(through_page / (time.perf_counter() - start))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(
        f"answer through the page / (decode + model): median {statistics.median(ratios):.3f} ({spread}), bound <= 1.2"
    )


def _clients(page: Page, photos: list[bytes], count: int) -> None:
    start = threading.Barrier(count)

    def client(number: int) -> list[int]:
        with _asking(page) as asking:
            start.wait()
            own = photos[number::count] or photos[:1]
            return [asking.post("/api/answer", content=photo).status_code for photo in own]

    with ThreadPoolExecutor(count) as clients:
        codes = [code for own in clients.map(client, range(count)) for code in own]
    errors = sum(code != 200 for code in codes)
    print(f"{count} clients at once: {len(codes)} answers asked for, {errors} errors, bound 0")


def _asking(page: Page) -> httpx.Client:
    origin = page.address.rstrip("/")
    return httpx.Client(base_url=origin, headers={"origin": origin}, timeout=300, trust_env=False)


def _model(folder: Path) -> Path:
    preprocessing = Preprocessing()
    Bundle(
        classifier=Classifier("resnet18", 3, image_size=preprocessing.image_size),
        classes=("boar", "deer", "hare"),
        minority=(),
        train_counts={"boar": 1, "deer": 1, "hare": 1},
        preprocessing=preprocessing,
        config={},
        architecture=Architecture(backbone="resnet18", head=None, taps=(3, 4)),
        epoch=0,
        step=0,
    ).save(folder)
    return folder


def _photo(side: int, seed: int) -> bytes:
    """Return a JPEG of large shapes with some noise, as a camera's."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((side, side * 3 // 4), Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = np.clip(pixels + generator.integers(-9, 9, pixels.shape), 0, 255).astype(np.uint8)
    written = io.BytesIO()
    Image.fromarray(noisy).save(written, "JPEG", quality=88)
    return written.getvalue()


if __name__ == "__main__":
    main()
