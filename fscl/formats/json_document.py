"""JSON of other programs: which keys a file begins with, and the whole of it, in a form that tables can hold."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fscl import archives
from fscl.errors import PhotosError, shown

Record = dict[str, Any]

HEAD_BYTES = 64 * 2**10
# A text, with the colon behind it where it is a key, or a bracket. What is cut off at the end is no text.
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)"\s*(:?)|([\[{])|[\]}]')


def keys_of(source: Path) -> Mapping[str, frozenset[str]]:
    """Return the keys that a JSON object begins with, each with the keys of the records in its list.

    Only the first 64 KiB are read. A file that is no JSON object, or cannot be read, has none.

    >>> import tempfile
    >>> source = Path(tempfile.mkdtemp()) / "any name"
    >>> _ = source.write_text('{"info": {"a": 1}, "images": [{"id": 1, "file_name": "1.jpg"}, {"id"')
    >>> {key: sorted(inner) for key, inner in keys_of(source).items()}
    {'info': [], 'images': ['file_name', 'id']}
    """
    text = head_of(source)
    if not text.startswith("{"):
        return {}
    keys: dict[str, set[str]] = defaultdict(set)
    depth, outer = 0, ""
    for token in TOKEN.finditer(text):
        if token[3]:
            depth += 1
        elif token[1] is None:
            depth -= 1
        elif token[2] and depth == 1:
            outer = token[1]
            keys[outer]  # a key with no list of records is there, too
        elif token[2] and depth == 3:
            keys[outer].add(token[1])
    return {key: frozenset(inner) for key, inner in keys.items()}


def head_of(source: Path) -> str:
    """Return how a file of text begins, up to 64 KiB of it; nothing of one that cannot be read."""
    try:
        with archives.open_binary(source) as file:
            head = file.read(HEAD_BYTES)
    except (OSError, archives.ArchiveError):
        return ""
    return head.decode(json.detect_encoding(head), errors="replace").lstrip("\ufeff \t\r\n")


def load(source: Path) -> Record:
    """Read a JSON object: in UTF-8, UTF-16 or UTF-32, with a byte-order mark or without.

    Halves of characters, which JSON allows and a table cannot hold, are written out; whole numbers beyond 64 bits
    become floats. A zip is gone through, as in `fscl.archives`.

    Raises:
        PhotosError: no JSON, half a file, lists in lists without end, or JSON that is no object.
    """
    try:
        with archives.open_binary(source) as file:
            document = json.loads(file.read(), object_pairs_hook=storable, parse_int=number)
    except (IsADirectoryError, FileNotFoundError, NotADirectoryError):
        raise PhotosError(
            f"{source}: expected a file of JSON, got {'a folder' if source.is_dir() else 'none'}"
        ) from None
    except archives.ArchiveError as error:
        raise PhotosError(f"{source}: expected a file of JSON, which is {error}; unpack the zip") from None
    except UnicodeDecodeError as error:
        raise PhotosError(
            f"{source}: expected JSON in UTF-8, got other bytes at {error.start:,}; save it so"
        ) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        fix = "the file may be cut off, copy or make it again"
        raise PhotosError(f"{source}: expected JSON, which ends at {where} ({error.msg}); {fix}") from None
    except RecursionError:
        raise PhotosError(f"{source}: expected records, got lists in lists without end") from None
    if not isinstance(document, dict):
        raise PhotosError(f"{source}: expected a JSON object, got {shown(document)}")
    return document


def records(document: Record, key: str, source: Path) -> list[Any]:
    """Return the list that an object has under a key.

    Raises:
        PhotosError: there is no such key, or no list under it.
    """
    if key not in document:
        raise PhotosError(f"{source}: expected a list {key}, got the keys {shown(sorted(document))}")
    if not isinstance(document[key], list):
        raise PhotosError(f"{source}: {key}: expected a list, got {shown(document[key])}")
    return list(document[key])


def storable(pairs: list[tuple[str, Any]]) -> Record:
    """Return an object whose texts a table can hold: halves of characters, which JSON allows, are written out."""
    return {text(key): _storable(value) for key, value in pairs}


def _storable(value: Any) -> Any:
    if isinstance(value, list):
        return [_storable(inner) for inner in value] if any(isinstance(i, str | list) for i in value) else value
    return text(value) if isinstance(value, str) else value


def text(given: str) -> str:
    """Return a text with halves of characters written out."""
    return given if given.isascii() else given.encode(errors="backslashreplace").decode()


def number(digits: str) -> int | float:
    """Return a whole number as a column can hold it: beyond 64 bits it is rounded, beyond floats infinite."""
    value = float(digits)
    return int(digits) if abs(value) < 2**63 else value
