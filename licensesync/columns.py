"""Digits in cells of one width: a million identifiers in a few megabytes, read back in order or found one by one."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from operator import lt
from typing import Final

NONE: Final = "-"
"""What stands in a cell without digits."""
LONGEST: Final = 20
"""Digits of the longest number that a row can have."""
MORE_THAN_ANY: Final = 10**LONGEST
AT_ONCE: Final = 20_000  # rows that are read at once: other threads wait meanwhile
SORTED_AT_ONCE: Final = 100_000
SAMPLE: Final = 1_000


def in_parts(rows: range) -> Iterator[range]:
    """The same rows, as many at a time as are read at once."""
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


class Digits:
    """Identifiers by row. Every cell ends with a blank, so that many of them are read by one split."""

    def __init__(self, longest: int) -> None:
        self._width = longest + 1
        self._cells = bytearray()

    def __len__(self) -> int:
        return len(self._cells) // self._width

    def __getitem__(self, row: int) -> str:
        start = row * self._width
        return self._cells[start : start + self._width].rstrip().decode()

    def extend(self, texts: Sequence[str]) -> None:
        if not texts:
            return
        width = len(texts[0])
        if len("".join(texts)) == width * len(texts) and set(map(len, texts)) == {width}:
            blanks = " " * (self._width - width)
            self._cells += f"{blanks.join(texts)}{blanks}".encode()
        else:
            self._cells += "".join(text.ljust(self._width) for text in texts).encode()

    def numbers(self) -> array[int]:
        """What stands in the cells as numbers: equal where the texts are, and perhaps where one has more zeros."""
        parts = (self.texts(rows) for rows in in_parts(range(len(self))))
        return array("Q", map(int, chain.from_iterable(parts)))

    def are_unique(self) -> bool:
        """Whether all are different numbers: then no text stands here twice."""
        numbers = self.numbers()
        return _ascend(numbers) or all(_ascend(part) for part in _sorted_parts(numbers))

    def fill(self, rows: int) -> None:
        """Cells without digits, up to a number of rows."""
        self._cells += NONE.ljust(self._width).encode() * (rows - len(self))

    def texts(self, rows: range) -> list[str]:
        """What stands in these cells, one after the other."""
        return self._cells[rows.start * self._width : rows.stop * self._width].decode().split()


class Index:
    """Tells in which rows of a column a text may stand."""

    def __init__(self, column: Digits) -> None:
        numbers = column.numbers()
        self._order: array[int] | None = None
        if not _ascend(numbers):
            self._order = array("I")
            for low, high in _ranges(numbers):
                rows = [row for row, number in enumerate(numbers) if low <= number < high]
                rows.sort(key=numbers.__getitem__)
                self._order.extend(rows)
            numbers = array("Q", map(numbers.__getitem__, self._order))
        self._numbers = numbers

    def rows(self, text: str) -> Iterator[int]:
        """The rows with this number, from the first on."""
        if not text.isdecimal() or len(text) > LONGEST:
            return
        number = int(text)
        at = bisect_left(self._numbers, number)
        while at < len(self._numbers) and self._numbers[at] == number:
            yield at if self._order is None else self._order[at]
            at += 1


def _ascend(numbers: Sequence[int]) -> bool:
    """Whether every number is larger than the one before."""
    return all(map(lt, numbers, islice(numbers, 1, None)))


def _sorted_parts(numbers: Sequence[int]) -> Iterator[list[int]]:
    """All numbers in their order, a part at a time."""
    return (sorted(number for number in numbers if low <= number < high) for low, high in _ranges(numbers))


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges, each from a number up to another, that hold some thousands of these numbers each, and together all.

    To sort a million at once would take a hundred megabytes, and every other thread would wait for it.
    """
    sample = sorted(numbers[:: len(numbers) // SAMPLE + 1])
    step = SAMPLE * SORTED_AT_ONCE // len(numbers) + 1
    return pairwise((0, *sample[step::step], MORE_THAN_ANY))
