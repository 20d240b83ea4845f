"""What people read text on: lines and tables that fit a width, and hold nothing that could steer a terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.cells import cell_len, chop_cells, set_cell_size

from licensesync.model import PlanVerdict, RunVerdict
from licensesync.render.words import clean

MIN_WIDTH = 80
NARROWEST = 6  # a cell that gives way keeps this much, as long as others have more
GAP = "  "


class Style(StrEnum):
    """How a piece of text looks: the parameter of its escape code."""

    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"


VERDICT_STYLES: Mapping[PlanVerdict | RunVerdict, Style] = {
    PlanVerdict.UNREAD: Style.RED,
    PlanVerdict.REFUSED: Style.RED,
    PlanVerdict.CHANGES: Style.YELLOW,
    PlanVerdict.IN_STEP: Style.GREEN,
    RunVerdict.UNREAD: Style.RED,
    RunVerdict.REFUSED: Style.RED,
    RunVerdict.INCOMPLETE: Style.RED,
    RunVerdict.STOPPED: Style.YELLOW,
    RunVerdict.DONE: Style.GREEN,
    RunVerdict.IN_STEP: Style.GREEN,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: numbers stand on the right, and what `gives` way is cut first where not all fits."""

    title: str
    right: bool = False
    gives: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table, with what there is to say of it beside its cells."""

    cells: Sequence[str]
    note: str = ""
    style: Style | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """It knows its width and whether it has colours."""

    colour: bool
    width: int

    def prose(self, text: str, *styles: Style, indent: int = 0) -> list[str]:
        """A sentence on as many lines as it needs."""
        return [" " * indent + self.paint(line, *styles) for line in _wrapped(clean(text), self.width - indent)]

    def table(self, columns: Sequence[Column], lines: Sequence[Line], indent: int = 0) -> Iterator[str]:
        """A head, and a line for each row; notes stand at its end where there is room for all of them, else below."""
        texts = [[clean(cell) for cell in line.cells] for line in lines]
        notes = [clean(line.note) for line in lines]
        titles = [column.title for column in columns]
        giving = {number for number, column in enumerate(columns) if column.gives}
        natural = [max(map(cell_len, column)) for column in zip(titles, *texts, strict=True)]
        widths = _fitting(natural, giving, self.width - indent)
        room = self.width - indent - sum(widths) - len(GAP) * len(widths)
        beside = max(map(cell_len, notes), default=0) <= room
        margin = " " * indent
        yield margin + self.paint(_row(columns, titles, widths), Style.DIM)
        for line, cells, note in zip(lines, texts, notes, strict=True):
            row = _row(columns, cells, widths, note if beside else "")
            yield margin + self.paint(row, *filter(None, [line.style]))
            yield from self.prose(note, Style.DIM, indent=indent + 4) if note and not beside else ()

    def paint(self, text: str, *styles: Style) -> str:
        return f"\033[{';'.join(styles)}m{text}\033[0m" if self.colour and styles else text


def fit(text: str, width: int) -> str:
    """The beginning of a text, filled up with spaces."""
    return set_cell_size(text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…", width)


def fit_end(text: str, width: int) -> str:
    """The end of a text: of a place, the line matters most."""
    return text if cell_len(text) <= width else f"…{set_cell_size(text[::-1], width - 1)[::-1]}"


def _row(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], note: str = "") -> str:
    fitted = [
        " " * (width - cell_len(cell)) + cell if column.right and cell_len(cell) <= width else fit(cell, width)
        for column, cell, width in zip(columns, cells, widths, strict=True)
    ]
    return GAP.join([*fitted, note]).rstrip()


def _fitting(natural: Sequence[int], giving: Collection[int], width: int) -> list[int]:
    """How wide the columns are: the widest of those that give way give first, then whatever is widest."""
    widths = list(natural)
    surplus = sum(widths) + len(GAP) * (len(widths) - 1) - width

    def room(number: int) -> tuple[bool, int]:
        return number in giving and widths[number] > NARROWEST, widths[number]

    for _ in range(surplus):
        widths[max(range(len(widths)), key=room)] -= 1
    return widths


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for piece in (piece for word in text.split() for piece in chop_cells(word, width)):
        longer = f"{lines[-1]} {piece}".lstrip()
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines
