"""Fuzz every reader of photos, guided by the code that an input reaches: rows or one clear error, nothing else.

pip install atheris
python benchmarks/fuzz_readers.py SECONDS [--reader NAME …] [--samples FOLDER] [--out FOLDER]

SECONDS are of each reader. Prints reader, inputs tried, refusals, faults; then each kind of fault. --out has an input
of each kind.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the valid files are those of the tests

import atheris
import pandas as pd
from PIL import Image

with atheris.instrument_imports(
    include=["fscl.formats", "fscl.manifest", "fscl.archives", "fscl.zip_members", "fscl.zip_names"]
):
    from fscl import formats
    from fscl.errors import FsclError
    from fscl.formats import FORMATS
    from fscl.formats.camtrap_dp.deployments import read_deployments
    from fscl.formats.reading import Reading
    from fscl.manifest.table import Manifest
    from fscl.prediction.photos import list_photos
    from fscl.scanning.labels import read_class_map
from tests.fuzz import mutations
from tests.fuzz.valid import AIHUB_NAME, LABEL_FILE

BETWEEN = b"\n=====\n"  # files of one input
MOST_BYTES = 2**15
MEMORY = Path("/dev/shm")  # files there cost no time of a disk
BOX = [0.25, 0.25, 0.5, 0.5]
TABLES = ("deployments", "media", "observations")
MEGADETECTOR = {
    "info": {"format_version": "1.6", "classifier_metadata": {"typical_classification_threshold": 0.75}},
    "detection_categories": {"1": "animal", "2": "person"},
    "classification_categories": {"0": "fox"},
    "images": [
        {
            "file": "fox/1.jpg",
            "detections": [{"category": "1", "conf": 0.9, "bbox": BOX, "classifications": [["0", 0.8]]}],
        },
        {"file": "fox/2.jpg", "detections": None, "failure": "no", "max_detection_conf": 0.1},
    ],
}
SPECIESNET = {
    "predictions": [
        {
            "filepath": "fox/1.jpg",
            "classifications": {"classes": ["u;mammalia;carnivora;canidae;vulpes;vulpes;red fox"], "scores": [0.9]},
            "detections": [{"category": "1", "label": "animal", "conf": 0.9, "bbox": BOX}],
            "prediction": "u;mammalia;carnivora;canidae;vulpes;vulpes;red fox",
            "prediction_score": 0.9,
            "failures": [],
        }
    ]
}
COCO = {
    "info": {"version": 1},
    "images": [
        {
            **{"id": 1, "file_name": "fox/1.jpg", "width": 12, "height": 8, "datetime": "2021-05-31 08:25:38"},
            **{"location": "C1", "seq_id": "s", "frame_num": 1, "corrupt": False},
        }
    ],
    "annotations": [{"id": "a", "image_id": 1, "category_id": 1, "bbox": [3, 2, 6, 4]}],
    "categories": [{"id": 1, "name": "fox"}, {"id": 0, "name": "empty"}],
}
CAMTRAP_DP = [
    {
        "resources": [{"name": name, "path": f"{name}.csv"} for name in TABLES],
        "profile": "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/camtrap-dp-profile.json",
    },
    "deploymentID,locationID\nd1,C1\n",
    "mediaID,deploymentID,timestamp,filePath,fileMediatype\nm1,d1,2021-05-31T08:25:38+02:00,fox/1.jpg,image/jpeg\n",
    "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,scientificName,"
    "bboxX,bboxY,bboxWidth,bboxHeight\no1,d1,m1,e1,,,media,animal,Vulpes vulpes,0.25,0.25,0.5,0.5\n",
]
TABLE = "filepath,label,site,sequence,datetime,split,x,y,w,h\nfox/1.jpg,fox,C1,s,2021-05-31 08:25:38,train,1,1,5,5\n"
DEPLOYMENTS = (
    "deploymentID,latitude,longitude,deploymentStart,deploymentEnd,cameraTilt,baitUse\n"
    "D1,37.5,127,2021-05-01 10:00:00+0900,2021-06-30T10:00:00+09:00,-15.0,TRUE\n"
)
NAMES = "fox/1.jpg\nC1/fox/2.JPG\nval/고라니/3.png\nfox/._4.jpg\nfox/labels.json\nfox/a.zip\nThumbs.db"


def as_bytes(*parts: Any) -> bytes:
    """Return an input of one or several files."""
    texts = (part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)
    return BETWEEN.join(text.encode() for text in texts)


def a_file(name: str) -> Callable[[Path, bytes], Path]:
    """Return what writes an input into a file of that name."""

    def write(folder: Path, content: bytes) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return folder / name

    return write


def a_set(folder: Path, content: bytes) -> Path:
    """Write an input as the label file of AI Hub's photo."""
    photo = folder / f"set/원천데이터/TS_01.고라니/{AIHUB_NAME}.jpg"
    if not photo.exists():
        photo.parent.mkdir(parents=True)
        shutil.copy(folder / "fox/1.jpg", photo)
    a_file(f"set/라벨링데이터/TL_01.고라니/{AIHUB_NAME}.json")(folder, content)
    return folder / "set"


def a_package(folder: Path, content: bytes) -> Path:
    """Write an input as the description and the tables of a package."""
    for name in ("datapackage.json", *(f"{table}.csv" for table in TABLES)):
        part, between, content = content.partition(BETWEEN)
        (folder / name).write_bytes(part)
        if not between:
            break
    return folder / "datapackage.json"


def names_of_files(folder: Path, content: bytes) -> Path:
    """Make empty files of the names that the lines of an input are; the last of a path that leads out is taken."""
    root = folder / "photos"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for line in content.split(b"\n")[:20]:
        parts = [part for part in line.replace(b"\0", b"").split(b"/") if part not in (b"", b".", b"..")]
        path = Path(os.fsdecode(b"/".join([os.fsencode(root), *parts])))
        with suppress(OSError):  # a name that the system refuses
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def as_manifest(format: str, **said: Any) -> Callable[[Path], None]:
    """Return what reads a source in a format, and sees that no row is lost when it is kept on the disk."""

    def read(source: Path) -> None:
        photos = formats.read(source, Reading(source_format=format, **said))
        kept = source.parent / "x.parquet"
        photos.write(kept)
        assert len(Manifest.read(kept).rows) == len(photos.rows) > 0, "a row is lost"

    return read


def joined(source: Path) -> None:
    """Read detections of photos, to train on and to predict."""
    with suppress(FsclError):
        formats.read(source.parent / "fox", Reading(layout="-", detections=source))
    list_photos(source.parent / "fox", Reading(detections=source))


class Target(NamedTuple):
    """A reader: a valid input, which becomes a source, which is read; and real files of its kind."""

    valid: bytes
    place: Callable[[Path, bytes], Path]
    read: Callable[[Path], object]
    samples: str = ""


def targets(ground: Path) -> dict[str, Target]:
    """Return the readers behind FORMATS and others of files that users give, by name."""
    formats.read(a_file("t.csv")(ground, TABLE.encode())).write(ground / "photos.parquet")
    manifest = (ground / "photos.parquet").read_bytes()
    pd.DataFrame({"filepath": ["fox/1.jpg"], "label": ["fox"], "x": [1.0]}).to_parquet(ground / "t.parquet")
    with ZipFile(ground / "z.zip", "w") as packed:
        packed.write(ground / "fox/1.jpg", "fox/1.jpg")
        packed.write(ground / "fox/1.jpg", "고라니/2.jpg")
    found = {
        "aihub": Target(as_bytes(LABEL_FILE), a_set, as_manifest("aihub")),
        "camtrap_dp": Target(as_bytes(*CAMTRAP_DP), a_package, as_manifest("camtrap_dp")),
        "megadetector": Target(
            as_bytes(MEGADETECTOR), a_file("a.json"), as_manifest("megadetector"), "megadetector*/*"
        ),
        "speciesnet": Target(as_bytes(SPECIESNET), a_file("a.json"), as_manifest("speciesnet"), "speciesnet*/*.json"),
        "coco": Target(as_bytes(COCO), a_file("a.json"), as_manifest("coco", blanks=True), "coco*/**/*.json"),
        "class_folders": Target(NAMES.encode(), names_of_files, as_manifest("class_folders")),
        "zip": Target((ground / "z.zip").read_bytes(), a_file("a.zip"), as_manifest("zip")),
        "manifest": Target(manifest, a_file("a.parquet"), as_manifest("manifest")),
        "table": Target(TABLE.encode(), a_file("a.csv"), as_manifest("table"), "**/*.csv"),
        "table, parquet": Target((ground / "t.parquet").read_bytes(), a_file("a.parquet"), as_manifest("table")),
        "detections": Target(as_bytes(MEGADETECTOR), a_file("a.json"), joined, "megadetector*/*"),
        "list": Target(b"fox/1.jpg\nfox\\2.jpg\n", a_file("a.txt"), lambda source: list_photos(source, Reading())),
        "deployments": Target(DEPLOYMENTS.encode(), a_file("a.csv"), lambda source: read_deployments(source, None)),
        "class map": Target(b"label,class\nfox,Fox\nhare,\n", a_file("a.csv"), read_class_map),
    }
    assert found.keys() >= FORMATS.keys(), "a reader without an input to begin with"
    return found


def mutated(content: bytes, most: int, seed: int) -> bytes:
    """Change values, keys or cells of one file of an input; else bytes, as libFuzzer does."""
    rng = random.Random(seed)
    if content.startswith((b"PK", b"PAR1")) or rng.random() < 0.4:
        return atheris.Mutate(content, most)
    parts = content.split(BETWEEN)
    place = rng.randrange(len(parts))
    try:
        parts[place] = mutations.as_json(rng, mutations.document(rng, json.loads(parts[place])))
    except (ValueError, RecursionError):  # a table
        rows = [line.split(",") for line in parts[place].decode(errors="replace").split("\n")]
        parts[place] = mutations.text_cells(rng, rows).encode(errors="replace")
    return BETWEEN.join(parts)[:most]


def fuzz(name: str, seconds: int, samples: Path, counts: Any, faults: Path) -> None:
    """Try inputs until the time is up; libFuzzer then ends the process."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
    os.dup2(os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT), 2)
    (folder / "fox").mkdir()
    Image.new("RGB", (12, 8)).save(folder / "fox/1.jpg")
    target = targets(folder)[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    real = sorted(samples.glob(target.samples or "none"))
    real = [path for path in real if path.is_file() and path.stat().st_size <= MOST_BYTES]
    for number, content in enumerate([target.valid, *(path.read_bytes() for path in real)]):
        (corpus / str(number)).write_bytes(content)

    def one_input(content: bytes) -> None:
        counts[0] += 1
        try:
            with warnings.catch_warnings(action="ignore"):
                target.read(target.place(folder, content))
        except FsclError:
            counts[1] += 1
        except Exception as error:
            counts[2] += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            kept = faults / f"{name} {kind}".replace("/", "_")
            if not kept.exists():
                kept.write_bytes(content)
                kept.with_name(f"{kept.name}.txt").write_text(traceback.format_exc(), encoding="utf-8")

    limits = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", "-timeout=60", "-rss_limit_mb=6000"]
    atheris.Setup(
        ["fuzz", *limits, f"-artifact_prefix={faults}/{name} ", str(corpus)], one_input, custom_mutator=mutated
    )
    atheris.Fuzz()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("seconds", type=int, help="of each reader")
    options.add_argument("--reader", nargs="*", help="readers (all)")
    options.add_argument("--samples", type=Path, help="a folder of real files to begin with, too")
    options.add_argument("--out", type=Path, default=Path("fuzz_readers"), help="folder for inputs that cause faults")
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "fox").mkdir()
        Image.new("RGB", (12, 8)).save(Path(folder) / "fox/1.jpg")
        names = given.reader or list(targets(Path(folder)))
    print(f"{'reader':<16}{'inputs':>9}{'refusals':>10}{'faults':>8}", flush=True)
    for name in names:
        counts = fork.Array("q", 3)
        samples = given.samples or Path("none")
        process = fork.Process(
            target=fuzz, args=(name, given.seconds, samples, counts.get_obj(), given.out.resolve())
        )
        process.start()
        process.join()
        died = "" if process.exitcode == 0 else f"  the process died: {process.exitcode}"
        print(f"{name:<16}{counts[0]:>9}{counts[1]:>10}{counts[2]:>8}{died}", flush=True)
    for text in sorted(given.out.glob("*.txt")):
        print(f"{text.stem}: {text.read_text(encoding='utf-8').splitlines()[-1]}")


if __name__ == "__main__":
    main()
