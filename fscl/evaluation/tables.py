"""What the tables of the terminal look like."""

from rich.table import Table


def plain_table(title: str) -> Table:
    """Return a table that leaves the width of a terminal to its columns."""
    return Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=None,
        padding=(0, 1),
    )


def rounded(figure: float | None) -> str:
    """Return a figure as it is shown.

    >>> rounded(0.5), rounded(None)
    ('0.500', '–')
    """
    return "–" if figure is None else f"{figure:.3f}"
