"""What users give: flags, tables, photos, zips, label files, settings."""

import random
import shutil
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pyarrow.parquet as pq

from fscl import methods
from fscl.config import resolve
from tests.fuzz import mutations
from tests.fuzz.attacks import Attack, Kind, change_json, change_table
from tests.fuzz.valid import COMPARE, FLAGS, TABLE, TRAIN

NUMBERS = (
    "-1",
    "0",
    "1",
    "0.5",
    "1.5",
    "99999999999999999999",
    "1000000000000",
    "-99999999999999999999",
    "2147483648",
)
NUMBERS += ("1e999", "1e300", "nan", "inf", "-inf", "9" * 5000, "0x10", "1_0", "²", "1e-320")
TEXTS = ("", " ", "x", "a\nb", "\x1b[31mred", "\udcff", "photos", "photo.jpg", "no/such", "/dev/null", "/dev/null/x")
TEXTS += (
    "--",
    "-",
    "a" * 300,
    "🦊",
    "%s",
    ".",
    "..",
    "/proc/none/x",
    "boar",
    "deer",
    "boar:deer",
    "boar,deer",
    ",",
    "True",
)
NAMES = (
    "\x1b[31mred",
    "a\nb",
    "problem",
    "p:problem",
    "filepath",
    "few",
    "<b>&",
    "x" * 120,
    "$x^2$",
    "\x85",
    "\u202eabc",
)
NAMES += ("[red]", "a|b", "#1", "노루", "nan", "None", "a,b", '"', " ", "1", "\x07", "a\tb", "\u2028", "\ufffe", "é")
FLAGS_OF = {
    "scan": ("verify", "class-map", "out"),
    "split": ("by", "out", "val-fraction", "test-fraction"),
    "train": (
        *(
            "method",
            "out",
            "classes",
            "minority",
            "ratio",
            "imbalance",
            "seed",
            "from",
            "config",
            "epochs",
        ),
        *("steps", "batch-size", "learning-rate", "weight-decay", "image-size", "crop-margin", "backbone", "layers"),
        *("weight", "weights", "base", "by", "val-fraction", "test-fraction", "keep", "workers"),
    ),
    "evaluate": ("workers",),
    "compare": (
        "out",
        "fine",
        "coarse",
        "minority",
        "methods",
        "ratios",
        "imbalance",
        "seeds",
        "jobs",
        "title",
    ),
    "report": ("out",),
    "demo": ("jobs",),
}


def _flags(rng: random.Random, folder: Path) -> Attack:
    shutil.copytree(folder / "stopped/run", folder / "run")
    base = {
        "scan": ["scan", "photos.parquet", "--out", "x.parquet"],
        "split": ["split", "photos.parquet", "--out", "x.parquet"],
        "train": TRAIN,
        "evaluate": ["evaluate", "finished/run"],
        "compare": ["compare", "photos.parquet", "--out", "new", "--methods", "baseline", *FLAGS],
        "report": ["report", "study"],
        "demo": ["demo", "--seed", "-1"],  # which would take long if it ran
    }
    command = rng.choices(list(base), (1, 2, 6, 1, 4, 1, 1))[0]
    words = list(base[command])
    for flag in rng.sample(FLAGS_OF[command], min(rng.choice((1, 1, 2)), len(FLAGS_OF[command]))):
        values = [rng.choice(rng.choice((NUMBERS, TEXTS))) for _ in range(rng.choice((1, 1, 1, 2)))]
        if f"--{flag}" in words:  # a flag given twice is an error by itself
            place = words.index(f"--{flag}")
            del words[place : place + 2]
        words += [f"--{flag}={values[0]}"] if rng.random() < 0.6 else [f"--{flag}", *values]
    if rng.random() < 0.15:
        words[1] = rng.choice(TEXTS)
    return Attack(words, ["photos.parquet"])


def _reading(rng: random.Random, folder: Path) -> Attack:
    """Flags that say how a source is to be read."""
    with ZipFile(folder / "photos.zip", "w") as packed:
        for name in ("노루", "boar"):
            packed.write(folder / "photo.jpg", f"{name}/1.jpg")
    words = ["scan", rng.choice(("photos", "photos.csv", "photos.zip")), "--out", "x.parquet"]
    for flag in rng.sample(("layout", "gap", "box-unit", "box-frame", "date-order", "zip-encoding"), 2):
        values = {
            "layout": ("class", "site/class", "-/class", "class/", "/", "split/site/class", "class/class", "-"),
            "box-unit": ("pixel", "fraction", "percent"),
            "box-frame": ("stored", "upright"),
            "date-order": ("dmy", "mdy"),
            "zip-encoding": ("cp949", "utf-8", "rot13", "base64", "idna", "utf-16", "x" * 300),
        }.get(flag, NUMBERS)
        words.append(f"--{flag}={rng.choice(rng.choice((values, values, TEXTS)))}")
    return Attack(words, ["photos.csv", "photos.zip"])


def _manifest(rng: random.Random, folder: Path) -> Attack:
    change_table(rng, folder / "photos.parquet")
    commands = [["split", "photos.parquet", "--out", "x.parquet"], ["scan", "photos.parquet", "--out", "x.parquet"]]
    commands += [TRAIN, ["evaluate", "finished/run", "photos.parquet"], [*COMPARE[:-2], "0"]]
    return Attack(rng.choices(commands, (4, 4, 2, 2, 1))[0], ["photos.parquet"])


def _photo_table(rng: random.Random, folder: Path) -> Attack:
    pq.write_table(
        mutations.table(rng, pq.read_table(folder / "photos.parquet").replace_schema_metadata(None)),
        folder / "t.parquet",
    )
    return Attack(["scan", "t.parquet", "--out", "x.parquet"], ["t.parquet"])


def _csv(rng: random.Random, folder: Path) -> Attack:
    text = mutations.text_cells(rng, TABLE).encode("utf-8", "replace")
    (folder / "photos.csv").write_bytes(mutations.raw(rng, text) if rng.random() < 0.4 else text)
    return Attack(["scan", "photos.csv", "--out", "x.parquet"], ["photos.csv"])


def _class_map(rng: random.Random, folder: Path) -> Attack:
    rows = [["label", "class"], ["boar", "pig"], ["deer", "deer"]]
    text = mutations.text_cells(rng, rows).encode("utf-8", "replace")
    (folder / "map.csv").write_bytes(mutations.raw(rng, text) if rng.random() < 0.3 else text)
    return Attack(["scan", "photos.parquet", "--class-map", "map.csv", "--out", "x.parquet"], ["map.csv"])


def _label_file(rng: random.Random, folder: Path) -> Attack:
    [path] = (folder / "aihub").rglob("*.json")
    change_json(rng, path)
    return Attack(["scan", "aihub", "--out", "x.parquet"], [str(path.relative_to(folder))])


def _zip(rng: random.Random, folder: Path) -> Attack:
    names = [f"{name}/{n}.jpg" for name in ("boar", "deer") for n in range(2)]
    strange = (
        "",
        "/",
        ".",
        "./",
        "..",
        "C:",
        "C:\\a.jpg",
        "//x.jpg",
        "\x00.jpg",
        "boar/\x1b[31m.jpg",
        "boar/a\nb.jpg",
    )
    strange += (
        "boar//0.jpg",
        "boar/0.jpg",
        "boar",
        "a.zip/b.jpg",
        "x" * 60000,
        "boar\\0.jpg",
        "\u2028/1.jpg",
        "boar/../../x.jpg",
    )
    with ZipFile(folder / "photos.zip", "w", rng.choice((0, ZIP_DEFLATED))) as packed:
        for name in [*names, *rng.sample(strange, rng.randrange(4))]:
            member = ZipInfo("x")
            member.filename = name  # ZipInfo itself would clean it
            member.flag_bits = rng.choice((0, 0, 0, 0, 1, 0x800))
            _write_member(packed, member, (folder / "photo.jpg").read_bytes())
    if rng.random() < 0.6:
        path = folder / "photos.zip"
        path.write_bytes(mutations.raw(rng, path.read_bytes()))
    return Attack(["scan", "photos.zip", "--out", "x.parquet"], ["photos.zip"])


def _write_member(packed: ZipFile, member: ZipInfo, content: bytes) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):  # of a name twice
            packed.writestr(member, content)
    except (ValueError, NotImplementedError, RuntimeError, KeyError):
        return  # a name that the writer itself refuses


def _photo(rng: random.Random, folder: Path) -> Attack:
    path = folder / "photos/boar/0.jpg"
    path.write_bytes(mutations.raw(rng, path.read_bytes()))
    words = ["scan", "photos", "--verify", rng.choice(("none", "header", "decode")), "--out", "x.parquet"]
    return Attack(words, ["photos/boar/0.jpg"])


def _recipe(rng: random.Random, folder: Path) -> Attack:
    name = rng.choice(methods.names())
    valid = methods.read(name)
    words = _with_toml(rng, folder / "mine.toml", valid)
    return Attack([*TRAIN, "--method", *words], ["mine.toml"])


def _settings(rng: random.Random, folder: Path) -> Attack:
    config = resolve([("fscl", methods.read("fscl"))]).record()
    part = {key: config[key] for key in rng.sample(sorted(config), 3)}
    words = _with_toml(rng, folder / "mine.toml", rng.choice((config, part)))
    return Attack([*TRAIN, "--config", *words], ["mine.toml"])


def _with_toml(rng: random.Random, path: Path, valid: dict[str, Any]) -> list[str]:
    content = mutations.as_toml(mutations.document(rng, valid, mutations.toml_junk))
    path.write_bytes(mutations.raw(rng, content) if rng.random() < 0.2 else content)
    return [path.name]


def _names(rng: random.Random, folder: Path) -> Attack:
    """Classes and photos of names that steer terminals, break lines or are those of columns."""
    names = rng.sample(NAMES, 2)
    for name, count in zip(names, (6, 5), strict=True):
        (folder / "mine" / name).mkdir(parents=True)
        for n in range(count):
            shutil.copy(folder / "photos/boar" / f"{n}.jpg", folder / "mine" / name / f"{n}{rng.choice(NAMES)}.jpg")
    compare = ["compare", "mine", "--out", "study", "--methods", "baseline", "--ratios", "0.5", *FLAGS]
    commands = [["scan", "mine", "--out", "x.parquet"], ["split", "mine", "--out", "x.parquet"], compare]
    commands += [["train", "mine", "--method", "fscl", "--out", "run", *FLAGS[:2], *FLAGS[4:]]]
    return Attack(rng.choices(commands, (4, 3, 1, 2))[0])


KINDS = [
    Kind("flags", ("photos.parquet", "finished", "stopped", "study"), _flags, 40),
    Kind("reading", ("photos", "photos.csv"), _reading, 15),
    Kind("names", ("photos",), _names, 8),
    Kind("manifest", ("photos.parquet", "finished"), _manifest, 30),
    Kind("photo table", ("photos.parquet",), _photo_table, 25),
    Kind("csv", ("photos",), _csv, 30),
    Kind("class map", ("photos.parquet",), _class_map, 20),
    Kind("label file", ("aihub",), _label_file, 20),
    Kind("zip", (), _zip, 30),
    Kind("photo", ("photos",), _photo, 10),
    Kind("recipe", ("photos.parquet",), _recipe, 25),
    Kind("settings", ("photos.parquet",), _settings, 25),
]
