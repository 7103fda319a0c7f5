"""`thumbnails.parquet`: small pictures of the regions that a report shows, beside evaluation.json."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fscl.atomic import replacing
from fscl.errors import OutputError, first_line

VERSION_KEY, THUMBNAILS_VERSION = b"fscl_thumbnails_version", b"1"
JPEG_START = b"\xff\xd8\xff"
HEAT = "heat"
FIELDS = [pa.field("region", pa.string(), nullable=False), pa.field("jpeg", pa.binary(), nullable=False)]


class Thumbnail(NamedTuple):
    """A region as the model saw it, as a JPEG, and the same with a heat map over it where one was made."""

    region: str
    jpeg: bytes
    heat: bytes | None = None


def write_thumbnails(path: Path, thumbnails: Iterable[Thumbnail]) -> None:
    """Write them in their order, whole or not at all; without any heat map there is no column for them."""
    rows = [thumbnail._asdict() for thumbnail in thumbnails]
    fields = [*FIELDS, pa.field(HEAT, pa.binary())] if any(row[HEAT] for row in rows) else FIELDS
    schema = pa.schema(fields, metadata={VERSION_KEY: THUMBNAILS_VERSION})
    with replacing(path) as target:
        # JPEG does not compress again, and no two are the same.
        pq.write_table(pa.Table.from_pylist(rows, schema), target, compression="NONE", use_dictionary=False)


def read_thumbnails(path: Path) -> list[Thumbnail]:
    """Read what `write_thumbnails` wrote, in its order.

    Raises:
        OutputError: of another version, or damaged.
    """
    try:
        with path.open("rb") as file:  # a path with a colon would be taken for the address of a store
            table = pq.ParquetFile(file).read()
        table.validate(full=True)
        version = (table.schema.metadata or {}).get(VERSION_KEY)
        if version not in (None, THUMBNAILS_VERSION):
            said = version.decode(errors="backslashreplace")
            raise OutputError(
                f"{path}: expected version 1 of thumbnails, got {said}; read it with the fscl that wrote it"
            )
        names = [*(field.name for field in FIELDS), *([HEAT] if HEAT in table.column_names else [])]
        kinds = pa.schema([*FIELDS, pa.field(HEAT, pa.binary())][: len(names)])
        rows = table.select(names).cast(kinds).to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise OutputError(_damaged(path, first_line(error))) from None
    thumbnails = [Thumbnail(**row) for row in rows]
    for region, *pictures in thumbnails:
        if not all(picture is None or picture.startswith(JPEG_START) for picture in pictures):
            raise OutputError(_damaged(path, f"the picture of {region} is no JPEG"))
    return thumbnails


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is damaged: {reason}; write it again with fscl evaluate"
