"""Any JSON value in place of any field, and any bytes: what readers of JSON are held to."""

import json
from copy import deepcopy

import pytest
from hypothesis import strategies as st

from fscl.errors import FsclError
from fscl.manifest import Manifest
from fscl.scanning.scan import scan
from tests.fuzz.mutations import places

NASTY = (
    "",
    " ",
    "..",
    "../../1.jpg",
    "/",
    "C:\\1.jpg",
    "a\0b",
    "\ud800",
    "http://a/1.jpg",
    "nan",
    "1e999",
    "x" * 5000,
)
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(NASTY)),
    st.sampled_from((10**400, -1, 2**63, 1e308, 1e-320)),
)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def damaged(document):
    """Return a strategy of documents of which one value, at any place, is another one, missing or there twice."""

    @st.composite
    def draw_one(draw):
        changed = deepcopy(document)
        *above, last = draw(st.sampled_from(places(changed)))
        parent = changed
        for key in above:
            parent = parent[key]
        change = draw(st.sampled_from(("value", "value", "value", "missing", "twice")))
        if change == "missing":
            del parent[last]
        elif change == "twice" and isinstance(parent, list):
            parent.append(deepcopy(parent[last]))
        else:
            parent[last] = draw(ANY_JSON)
        return changed

    return draw_one()


def written(document, path):
    """Write a document as JSON, halves of characters and NaN as they are."""
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return path


def rows_or_one_error(source, reading=None):
    """Scan a source and keep its rows on the disk; return them, or None where it is refused by an error of ours."""
    try:
        photos = scan(source) if reading is None else scan(source, reading=reading)
    except FsclError:
        return None
    photos.write(source.parent / "x.parquet")
    assert len(Manifest.read(source.parent / "x.parquet").rows) == len(photos.rows) > 0
    return photos.rows


def check_bad_files(document, source, read):
    """Check the one error of files that are no JSON objects: each names the file and what helps."""
    whole = json.dumps(document, ensure_ascii=False).encode()
    for content, message in [
        (whole[: len(whole) // 2], r"expected JSON, which ends at line \d+, column \d+ .*cut off"),
        (b"[" * 100_000, "lists in lists without end"),
        (json.dumps([document]).encode(), "expected a JSON object, got"),
        (whole.replace(b"fox", "füchse".encode("cp1252")), "expected JSON in UTF-8"),
        (b"", "expected JSON"),
    ]:
        source.write_bytes(content)
        with pytest.raises(FsclError, match=message) as caught:
            read(source)
        assert str(source) in str(caught.value)
