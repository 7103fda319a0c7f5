"""Valid content made wrong: bytes, documents (JSON, TOML), tables and tensors, each by a seeded draw."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import tomli_w
import torch

HUGE_NUMBER = "@huge@"  # stands for a number of 5,000 digits, which Python does not print
SURROGATE = "lone \ud800"
NASTY_TEXTS = (
    *(
        "",
        " ",
        "x",
        "0",
        "nan",
        "true",
        "null",
        "../..",
        "/",
        "a/b",
        "\x1b[31mred",
        "a\nb",
        "a\x00b",
        "\u2028",
        "\x85",
    ),
    *("é" * 40, "x" * 3000, "<script>&", "$x_1$", "%s{}", "p:x", "problem", "-1", "1e999", SURROGATE),
)
NUMBERS = (0, -1, 1, 2, 0.5, -0.5, 1e308, 1e-320, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 99999999999999999999)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))
NESTED: list[Any] = [[], {}, [[]], [{}], {"a": 1}, {"": None}, [1, "a"], [None], ["x"] * 3, [[1, 2], [3, 4]]]
MOST_ROWS = 60


def junk(rng: random.Random) -> Any:
    """Return a value that hardly any reader expects."""
    kinds = (NASTY_TEXTS, NUMBERS, NOT_FINITE, NESTED, (None, True, False, HUGE_NUMBER))
    return deepcopy(rng.choice(rng.choice(kinds)))


def deep(depth: int = 3000) -> Any:
    """Return lists in lists, deeper than a recursive reader goes."""
    nested: Any = []
    for _ in range(depth):
        nested = [nested]
    return nested


def raw(rng: random.Random, content: bytes) -> bytes:
    """Return bytes that were cut, flipped, filled, repeated or drawn anew."""
    size = max(len(content), 1)
    start, stop = sorted((rng.randrange(size), rng.randrange(size) + 1))
    changes: list[Callable[[], bytes]] = [
        lambda: content[:start],
        lambda: content[start:],
        lambda: content[:start] + content[stop:],
        lambda: content[:stop] + content[start:],
        lambda: content[:start] + rng.randbytes(rng.randrange(1, 40)) + content[start:],
        lambda: content[:start] + rng.randbytes(stop - start) + content[stop:],
        lambda: content[:start] + bytes([content[start] ^ (1 << rng.randrange(8))]) + content[start + 1 :],
        lambda: rng.randbytes(rng.randrange(300)),
        lambda: b"",
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.decode("utf-8", "replace").encode("utf-16"),
        lambda: content.decode("utf-8", "replace").encode("cp949", "replace"),
        lambda: b"PK\x03\x04" + content,
        lambda: content.replace(b"\n", b"\r"),
        lambda: content.replace(b"1", b"\x00"),
    ]
    return rng.choice(changes if content else changes[-8:-1])()


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a document, itself left out."""
    inner = list(document.items()) if isinstance(document, dict) else []
    inner += list(enumerate(document)) if isinstance(document, list) else []
    found = []
    for key, value in inner[:MOST_ROWS]:
        found += [(*path, key), *places(value, (*path, key))]
    return found


def document(rng: random.Random, valid: Any, draw: Callable[[random.Random], Any] = junk) -> Any:
    """Return a copy of a document with one to three changes: keys lost, renamed or added, values of other kinds."""
    changed = deepcopy(valid)
    if rng.random() < 0.03:
        return draw(rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = places(changed)
        if not found:
            return changed
        *above, last = rng.choice(found)
        parent = changed
        for key in above:
            parent = parent[key]
        _changed_at(rng, parent, last, draw)
    return changed


def _changed_at(rng: random.Random, parent: Any, key: Any, draw: Callable[[random.Random], Any]) -> None:
    value = parent[key]
    change = rng.choice(("drop", "rename", "add", "draw", "draw", "draw", "retype", "retype", "repeat"))
    if change == "drop":
        del parent[key]
    elif change == "rename" and isinstance(parent, dict):
        parent[rng.choice(("x", "", f"{key}s", *map(str, parent)))] = parent.pop(key)
    elif change == "add" and isinstance(value, dict):
        value[rng.choice(("x", "", "version", "options"))] = draw(rng)
    elif change == "add" and isinstance(value, list):
        value.insert(rng.randrange(len(value) + 1), draw(rng))
    elif change == "retype":
        parent[key] = _retyped(rng, value)
    elif change == "repeat" and isinstance(value, list):
        parent[key] = value * rng.choice((0, 2, 3))
    else:
        parent[key] = draw(rng)


def _retyped(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict):
        return rng.choice((list(value.items()), list(value), [value], str(value), len(value)))
    if isinstance(value, list):
        return rng.choice((dict(enumerate(value)) and {str(n): v for n, v in enumerate(value)}, [value], str(value)))
    if isinstance(value, str):
        return rng.choice(([value], {value: value}, list(value), len(value), bool(value), value + "x"))
    if isinstance(value, int | float):
        return rng.choice((str(value), [value], -value, value + 1, 0.5, bool(value)))
    return "x"


def as_json(rng: random.Random, value: Any) -> bytes:
    """Return JSON as Python writes it: with NaN, lone surrogates and numbers of any size."""
    try:
        text = json.dumps(value, ensure_ascii=rng.random() < 0.7)
    except RecursionError:
        text = "[" * 3000 + "]" * 3000
    return text.replace(f'"{HUGE_NUMBER}"', "1" + "0" * 5000).encode("utf-8", "surrogatepass")


def toml_junk(rng: random.Random) -> Any:
    """Return a value that TOML can hold and hardly any setting expects."""
    others = (date(2021, 5, 31), datetime(2021, 5, 31, tzinfo=UTC), 10**40, -(10**40), "MODULE:NAME", ["a", 1], {})
    drawn = junk(rng) if rng.random() < 0.8 else rng.choice(others)
    return "x" if drawn is None or drawn == SURROGATE or _holds_none(drawn) else drawn


def _holds_none(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_holds_none, inner))


def as_toml(value: Any) -> bytes:
    """Return TOML of a table, or text that is none."""
    if not isinstance(value, dict):
        return repr(value).encode("utf-8", "replace")
    return tomli_w.dumps(value).replace(f'"{HUGE_NUMBER}"', "1" + "0" * 5000).encode("utf-8", "replace")


def table(rng: random.Random, valid: pa.Table) -> pa.Table:
    """Return a table with columns lost, renamed, twice there, of other types or values, or with other metadata."""
    changed = valid
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        try:
            changed = rng.choice((_other_columns, _other_type, _other_type, _other_values, _other_metadata))(
                rng, changed
            )
        except (pa.ArrowException, ValueError, TypeError, OverflowError, IndexError, NotImplementedError):
            continue  # no such type for these values: as it was
    return changed


def _other_columns(rng: random.Random, valid: pa.Table) -> pa.Table:
    place = rng.randrange(max(valid.num_columns, 1))
    names = list(valid.column_names)
    change = rng.choice(("drop", "rename", "twice", "swap", "no rows", "rows twice", "nothing"))
    if change == "drop":
        return valid.remove_column(place)
    if change == "twice":
        return valid.append_column(names[place], valid.column(rng.randrange(len(names))))
    if change == "no rows":
        return valid.slice(0, 0)
    if change == "rows twice":
        return pa.concat_tables([valid, valid])
    if change == "nothing":
        return valid.select([])
    names[place] = rng.choice(("x", "", "label", "\x1b[1m", *names)) if change == "rename" else names[-1 - place]
    return valid.rename_columns(names)


def _other_type(rng: random.Random, valid: pa.Table) -> pa.Table:
    place = rng.randrange(valid.num_columns)
    column = valid.column(place).combine_chunks()
    kinds = (
        *(
            pa.string(),
            pa.large_string(),
            pa.binary(),
            pa.float16(),
            pa.float32(),
            pa.float64(),
            pa.int8(),
            pa.int64(),
        ),
        *(pa.uint64(), pa.bool_(), pa.null(), pa.date32(), pa.timestamp("ns"), pa.timestamp("s", "Asia/Seoul")),
        *(
            pa.duration("s"),
            pa.time64("us"),
            pa.decimal128(38, 3),
            pa.list_(pa.string()),
            pa.dictionary(pa.int32(), pa.string()),
        ),
        *(pa.struct([("a", pa.int64())]), pa.map_(pa.string(), pa.int64())),
    )
    kind = rng.choice(kinds)
    try:
        other = column.cast(kind)
    except (pa.ArrowException, TypeError):
        size = len(column)
        values = rng.choice(([None] * size, [1] * size, ["x"] * size, [1.5] * size, [[1]] * size, [{"a": 1}] * size))
        other = pa.array(values, rng.choice((None, kind)))
    return valid.set_column(place, valid.column_names[place], other)


def _other_values(rng: random.Random, valid: pa.Table) -> pa.Table:
    place = rng.randrange(valid.num_columns)
    column = valid.column(place)
    if pa.types.is_string(column.type) and rng.random() < 0.2:  # bytes that are no UTF-8 in a column of text
        binary = pa.array([b"\xff\xfe\xb3"] * valid.num_rows)
        other = pa.Array.from_buffers(pa.string(), valid.num_rows, binary.buffers())
        return valid.set_column(place, valid.column_names[place], other)
    values = column.to_pylist()
    for _ in range(rng.choice((1, 2, len(values)))):
        if values:
            drawn = junk(rng)
            values[rng.randrange(len(values))] = None if drawn == SURROGATE else drawn
    try:
        other = pa.array(values, column.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        other = pa.array([junk(rng) if v is None else str(v) for v in values], pa.string())
    return valid.set_column(place, valid.column_names[place], other)


def _other_metadata(rng: random.Random, valid: pa.Table) -> pa.Table:
    metadata = dict(valid.schema.metadata or {})
    if not metadata:
        return valid
    key = rng.choice(list(metadata))
    if rng.random() < 0.3:
        del metadata[key]
    elif key == b"pandas" and rng.random() < 0.7:
        metadata[key] = as_json(rng, document(rng, json.loads(metadata[key])))
    else:
        metadata[key] = rng.choice(
            (b"", b"0", b"\xff\xfe", b"/nowhere", b".", b"a\x00b", b"9" * 30, raw(rng, metadata[key]))
        )
    return valid.replace_schema_metadata(metadata)


def state(rng: random.Random, valid: dict[str, Any]) -> Any:
    """Return a checkpoint or state dict with parts lost, of other kinds, or tensors of other shapes and values."""
    changed = deepcopy(valid)
    if rng.random() < 0.05:
        return rng.choice(([], {}, "x", 5, torch.zeros(2), None, [changed]))
    for _ in range(rng.choice((1, 1, 2))):
        found = _state_places(changed)
        if not found:
            return changed
        *above, last = rng.choice(found)
        parent: Any = changed
        for key in above:
            parent = parent[key]
        change = rng.choice(("drop", "rename", "junk", "tensor", "tensor"))
        if change == "drop":
            del parent[last]
        elif change == "rename" and isinstance(parent, dict):
            parent[rng.choice(("x", 0, "step"))] = parent.pop(last)
        elif change == "tensor" and isinstance(parent[last], torch.Tensor):
            parent[last] = _other_tensor(rng, parent[last])
        else:
            drawn = rng.choice(NUMBERS[:9] + NOT_FINITE + ("x", None, True, [], {}, [1], {"a": 1}, torch.zeros(3)))
            parent[last] = deepcopy(drawn)
    return changed


def _state_places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    found = []
    for key, one in inner:
        found += [(*path, key), *_state_places(one, (*path, key))]
    return found


def _other_tensor(rng: random.Random, tensor: torch.Tensor) -> torch.Tensor:
    changes: list[Callable[[], torch.Tensor]] = [
        lambda: tensor.flatten()[: tensor.numel() // 2],
        lambda: tensor.flatten()[:1].expand(tensor.numel()).view(tensor.shape),
        lambda: tensor.flatten().flip(0).view(tensor.shape).transpose(0, -1).contiguous().transpose(0, -1),
        lambda: tensor[None],
        lambda: tensor.to(rng.choice((torch.float64, torch.int64, torch.bool, torch.float16))),
        lambda: torch.full(tensor.shape, float("nan")),
        lambda: torch.full(tensor.shape, float("inf")),
        lambda: torch.full(tensor.shape, 1e38),
        lambda: torch.empty(0),
        lambda: torch.zeros(tensor.shape, dtype=torch.complex64),
    ]
    return rng.choice(changes)()


def text_cells(rng: random.Random, rows: list[list[str]]) -> str:
    """Return a CSV with cells, separators, quotes and rows changed."""
    rows = [list(row) for row in rows]
    for _ in range(rng.choice((1, 2, 4))):
        row = rng.choice(rows)
        change = rng.choice(("cell", "cell", "cell", "lose", "more", "header", "again"))
        if change == "cell" and row:
            drawn = junk(rng)
            row[rng.randrange(len(row))] = "" if drawn == SURROGATE else str(drawn)
        elif change == "lose" and row:
            row.pop()
        elif change == "more":
            row.append("x")
        elif change == "header":
            rows[0] = list(rng.sample(rows[0], len(rows[0])))
        else:
            rows.append(list(row))
    separator = rng.choice(",,,,;\t|")
    quote = (lambda cell: f'"{cell}"') if rng.random() < 0.2 else (lambda cell: cell)
    return rng.choice(("", "", "", "sep=,\n")) + "\n".join(separator.join(map(quote, row)) for row in rows) + "\n"


def numbers(seed: int) -> np.random.Generator:
    """Return the generator of photos."""
    return np.random.default_rng(seed)
