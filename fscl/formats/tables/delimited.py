"""Tables as text, as spreadsheets and scripts write them: any usual separator, encoding, line end and quoting."""

import codecs
import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fscl import archives
from fscl.code_pages import guess
from fscl.errors import PhotosError, first_line
from fscl.printable import number_of

NAMES_OF_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SEPARATORS = "".join(NAMES_OF_SEPARATORS)
SAMPLE = 100  # rows that tell the separator
SEPARATOR_LINE = re.compile(r'^"?sep=(.)"?[,;\t|]*$', re.IGNORECASE)  # which Excel reads and writes
FILE_SUFFIX = re.compile(r"\.\w{2,5}$")

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # which begins like that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
BINARY = {b"PK\x03\x04": "an Excel workbook or a zip", b"\xd0\xcf\x11\xe0": "an Excel workbook", b"PAR1": "parquet"}
# How usual each code page is for text that is not UTF-8: Windows writes files in others than the names in its zips.
CODE_PAGES = {
    **{"cp1252": 1.0, "cp949": 1.0, "cp932": 1.0, "cp1251": 1.0, "gbk": 0.5, "big5": 0.5, "cp1250": 0.2},
    **{"cp1253": 0.1, "cp1254": 0.1, "cp850": 0.05, "cp437": 0.05, "cp866": 0.05, "cp1257": 0.03, "cp852": 0.02},
}
NAMED = 5  # lines in an error
MOST_UNPACKED = 2 * 2**30  # bytes: the observations of some ten million photos


class Delimited(NamedTuple):
    """A table as text, only empty cells missing, and what was done to read it."""

    rows: pd.DataFrame
    remarks: list[str]


def read(path: Path) -> Delimited:
    """Read a table: separated by comma, semicolon, tab or bar, in UTF-8, UTF-16 or a code page of Windows.

    It may be packed by gzip, where its name says so, and lie in a zip.

    A first line `sep=;` and lines of comment, `# …`, before the header are passed over. A quotation mark that opens
    and is not closed on its line, so that rows would become one cell, is left out.

    Raises:
        PhotosError: missing, empty, no text, an encoding that is not known, or rows longer than the header.
    """
    text, remarks = _decoded(path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start, separator, said = _header_place(lines)
    if start == len(lines):
        raise PhotosError(f"{path} is empty; expected a header such as filepath,label and a row per photo")
    if said not in (None, separator):
        remarks.append(f"{path.name}: its line sep={said} does not fit, read with {NAMES_OF_SEPARATORS[separator]}")
    lines[start] = lines[start].lstrip("#")
    stray: list[int] = []
    try:
        header, *records = _records(lines, start, separator, stray)
    except csv.Error as error:
        raise PhotosError(f"{path}: {error}") from None
    records = [record for record in records if any(map(str.strip, record.cells))]  # Excel leaves blank rows
    names = _names(header.cells, records)
    too_long = [record.line for record in records if any(record.cells[len(names) :])]
    if too_long:
        raise PhotosError(
            f"{path}: rows have more than the {number_of(len(names), 'field')} of the header "
            f"(line {_listed(too_long)}); name every column, and put texts that hold '{separator}' in quotation marks"
        )
    if stray:
        records = [record._replace(cells=list(map(_without_closing_mark, record.cells))) for record in records]
        remarks.append(f"{path.name}: a quotation mark is not closed, read without it (line {_listed(stray)})")
    cells = [(record.cells + [""] * len(names))[: len(names)] for record in records]
    table = pd.DataFrame(cells, columns=names, dtype="str")
    return Delimited(table.mask(table == ""), remarks)


class _Record(NamedTuple):
    """A row, and the number of the line that it begins on."""

    line: int
    cells: list[str]


def _listed(lines: list[int]) -> str:
    return ", ".join(map(str, lines[:NAMED])) + (", …" if len(lines) > NAMED else "")


def _decoded(path: Path) -> tuple[str, list[str]]:
    """The text of a file, and what is to be said of its encoding."""
    try:
        with archives.open_binary(path) as file:
            content = file.read() if path.suffix.lower() != ".gz" else gzip.GzipFile(fileobj=file).read(MOST_UNPACKED)
    except (FileNotFoundError, NotADirectoryError):
        raise PhotosError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise PhotosError(f"{path}: expected a table, got a folder") from None
    except (archives.ArchiveError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PhotosError(f"{path} cannot be unpacked: {first_line(error)}; copy or make it again") from None
    if len(content) == MOST_UNPACKED and path.suffix.lower() == ".gz":
        raise PhotosError(f"{path}: expected less than {MOST_UNPACKED // 2**30} GiB, got more (a bomb?); unpack it")
    for start, kind in BINARY.items():
        if content.startswith(start):
            raise PhotosError(f"{path}: expected text, got {kind}; in Excel, save it as 'CSV UTF-8'")
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    try:
        text = content.decode(encoding or _without_mark(content))
    except UnicodeDecodeError:
        if encoding is not None:
            raise PhotosError(f"{path}: damaged, it says that it is {encoding} and is not") from None
        code_page = _code_page(content, path)
        text = content.decode(code_page)
        return text, [f"{path.name} is not UTF-8: read as {code_page}"]
    if "\0" in text:
        raise PhotosError(f"{path}: expected text, got a file with zero bytes; in Excel, save it as 'CSV UTF-8'")
    return text, []


def _without_mark(content: bytes) -> str:
    """UTF-16 without a mark has a zero in every other byte of ASCII."""
    zeros = content[::2].count(0), content[1::2].count(0)
    if max(zeros) * 4 < len(content):
        return "utf-8"
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _code_page(content: bytes, path: Path) -> str:
    telling = [line for line in re.split(rb"[\r\n]+", content) if not line.isascii()]
    bad = [line for line in telling if not _is_utf8(line)]
    fix = "in Excel, save it as 'CSV UTF-8'"
    if not bad:  # so many zeros that it was taken for UTF-16
        raise PhotosError(f"{path}: expected UTF-8, got a file with zero bytes; {fix}")
    if len(bad) < len(telling) / 2:
        number = content[: content.index(bad[0])].count(b"\n") + 1
        raise PhotosError(f"{path}: expected UTF-8, which line {number} is not while others are; {fix}")
    # Comma, semicolon and tab are never half a letter.
    guessed = guess((cell for line in telling for cell in re.split(rb"[,;\t]", line)), CODE_PAGES)
    if guessed is None or not guessed.is_plausible:
        raise PhotosError(f"{path}: expected UTF-8; {fix}")
    return guessed.code_page


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _header_place(lines: list[str]) -> tuple[int, str, str | None]:
    """The index of the line with the header, len(lines) where there is none, the separator, and that of `sep=`."""
    said = None
    for place, line in enumerate(lines):
        match = SEPARATOR_LINE.match(line) if said is None else None
        if match:
            said = match[1]
        elif line.strip():
            separator = _separator(lines[place:])
            if said is not None and (said in line or separator not in line):
                separator = said
            if not line.startswith("#") or _is_header(lines[place:], separator):
                return place, separator, said
    return len(lines), ",", said


def _is_header(lines: list[str], separator: str) -> bool:
    """Tell a header that begins with #, such as `#file,label`, from a comment: it names the fields below it."""
    names, *row = (next(csv.reader([line], delimiter=separator)) for line in lines[:2])
    return bool(row) and len(names) == len(row[0]) > 1 and not lines[0].startswith("# ") and all(names)


def _separator(lines: list[str]) -> str:
    """The one that parts most rows into as many fields as the header, the more fields the better."""

    def fit(separator: str) -> tuple[float, int]:
        try:
            rows = [row for row in csv.reader(sample, delimiter=separator, skipinitialspace=True) if any(row)]
        except csv.Error:  # a cell of more than 131,072 letters
            return 0.0, 0
        fields = len(rows[0]) if rows else 0
        return sum(len(row) == fields for row in rows) / len(rows) if fields > 1 else 0.0, fields

    sample = [f"{line}\n" for line in lines[: SAMPLE + 1]]
    return max(SEPARATORS, key=fit)


def _records(lines: list[str], start: int, separator: str, stray: list[int]) -> Iterator[_Record]:
    """The rows from a line on; notes in `stray` the lines with a quotation mark that is not closed.

    Raises:
        csv.Error: a cell of more than 131,072 letters.
    """

    def parsed() -> Any:
        rest = (f"{lines[place]}\n" for place in range(start, len(lines)))
        return csv.reader(rest, delimiter=separator, skipinitialspace=True)

    reader, read = parsed(), 0
    while start + read < len(lines):
        try:
            cells, error = next(reader), None
        except csv.Error as too_long:
            cells, error = [], too_long
        spanned = lines[start + read : start + reader.line_num]
        line = start + read + 1
        if len(spanned) > 1 and _are_rows(spanned, separator):
            stray.append(line)
            yield _Record(line, spanned[0].replace('"', "").split(separator))
            start, read = line, 0
            reader = parsed()
        elif error is not None:
            raise error
        else:
            yield _Record(line, cells)
            read = reader.line_num


def _without_closing_mark(cell: str) -> str:
    """What a mark may have closed that was left out."""
    return cell[:-1] if cell.endswith('"') and cell.count('"') == 1 else cell


def _are_rows(lines: list[str], separator: str) -> bool:
    """Tell rows that a quotation mark swallowed from a cell of several lines: most look like the first of them."""
    first, *others = (line.split(separator) for line in lines if line)
    files = [place for place, cell in enumerate(first) if FILE_SUFFIX.search(cell.strip('" '))]
    alike = [
        len(other) == len(first) and all(FILE_SUFFIX.search(other[place].strip('" ')) for place in files)
        for other in others
    ]
    return len(first) > 1 and sum(alike) * 2 > len(alike)


def _names(header: list[str], records: list[_Record]) -> list[str]:
    """The names of the columns, each once; without the nameless and empty ones at the end."""
    names = [name.strip() for name in header]
    while names and not names[-1] and not any(any(record.cells[len(names) - 1 :]) for record in records):
        names.pop()
    used: Counter[str] = Counter()
    for place, name in enumerate(names):
        names[place] = name = name or f"column {place + 1}"
        if used[name]:
            names[place] = f"{name}.{used[name]}"
        used[name] += 1
    return names
