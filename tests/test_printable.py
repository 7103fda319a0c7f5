import io

import pytest
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fscl.printable import PlainConsole, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("over\rwritten", "over\\rwritten"),
        ("\x9b31m", "\\x9b31m"),  # the same in one byte
        ("bell\x07\x7f", "bell\\x07\\x7f"),
        ("evil\u202etxt.exe", "evil\\u202etxt.exe"),
        ("half \ud83d", "half \\ud83d"),
        ("none \uffff", "none \\uffff"),
        ("노루 🦊 é", "노루 🦊 é"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_what_steers_is_written_out_and_the_rest_stays(text, shown):
    assert printable(text) == shown


def test_tables_and_texts_are_printed_without_what_steers_and_whole():
    file = io.StringIO()
    console = PlainConsole(file=file, width=40)
    table = Table("class")
    table.add_column(Text("as \x1b[31mfox"))
    table.add_row(Text("roe\x1b]0;title\x07 deer"), "1")
    console.print(Group(Padding(Text("indented \x1b[2Jand whole"), (0, 4)), table))
    console.print("note: \x1b[1m[bold] :fox:", soft_wrap=True)
    assert not {"\x1b", "\x07"} & set(file.getvalue())
    assert "note: \\x1b[1m[bold] :fox:\n" in file.getvalue()
    assert "indented \\x1b[2Jand whole" in file.getvalue()
    squeezed = "".join(file.getvalue().split()).replace("│", "")
    assert "roe\\x1b]0;title" in squeezed
