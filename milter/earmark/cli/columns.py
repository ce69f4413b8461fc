"""Tables for people."""

from collections.abc import Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 100) -> Iterator[str]:
    """Yield the rows as lines with their cells below each other; those after the first `left` columns end alike.

    A column in which nothing stands is left out.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            if width
        ]
        yield "  ".join(cells).rstrip()
