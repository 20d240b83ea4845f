"""Digits in cells of one width: a million identifiers in a few megabytes, read back in order or found one by one."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, filterfalse, groupby, islice, pairwise
from operator import lt
from typing import Any, Final, TypeVar

NONE: Final = "-"
"""What stands in a cell without digits."""
LONGEST: Final = 20
"""Digits of the longest number that a row can have."""
AT_ONCE: Final = 20_000  # rows that are read at once: other threads wait meanwhile
SORTED_AT_ONCE: Final = 200_000
SAMPLE: Final = 1_000

Value = TypeVar("Value", int, str)


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
        return _ascend(numbers) or all(map(_ascend, in_order(numbers)))

    def fill(self, rows: int) -> None:
        """Cells without digits, up to a number of rows."""
        self._cells += NONE.ljust(self._width).encode() * (rows - len(self))

    def texts(self, rows: range) -> list[str]:
        """What stands in these cells, one after the other."""
        return self._cells[rows.start * self._width : rows.stop * self._width].decode().split()


class Packed(AbstractSet[str]):
    """A set of texts of which those that are numbers, as identifiers are, take eight bytes each."""

    def __init__(self, parts: Iterable[Sequence[str]]) -> None:
        numbers: array[int] = array("Q")
        others: set[str] = set()
        for texts in parts:
            fit = list(filter(_fits, texts))
            others.update(filterfalse(_fits, texts))
            numbers.extend(map(int, map("1".__add__, fit)))  # a digit before it keeps its zeros
        if not _ascend(numbers):
            numbers = array("Q", chain.from_iterable(map(_unique, in_order(numbers))))
        self._numbers, self._others = numbers, others

    @classmethod
    def _from_iterable(cls, texts: Iterable[str]) -> AbstractSet[str]:  # type: ignore[override]  # not of its own kind
        """What is made of this set and another is an ordinary one."""
        return frozenset(texts)

    def __contains__(self, text: object) -> bool:
        if not isinstance(text, str) or not _fits(text):
            return text in self._others
        number = int(f"1{text}")
        at = bisect_left(self._numbers, number)
        return at < len(self._numbers) and self._numbers[at] == number

    def __iter__(self) -> Iterator[str]:
        yield from (str(number)[1:] for number in self._numbers)
        yield from self._others

    def __len__(self) -> int:
        return len(self._numbers) + len(self._others)


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


def _fits(text: str) -> bool:
    """Whether it is a number of which eight bytes hold all digits."""
    return len(text) < LONGEST - 1 and text.isdecimal() and text.isascii()


def _unique(ascending: list[int]) -> Iterator[int]:
    return (number for number, _ in groupby(ascending))


def _ascend(numbers: Sequence[int]) -> bool:
    """Whether every number is larger than the one before."""
    return all(map(lt, numbers, islice(numbers, 1, None)))


def in_order(values: Collection[Value]) -> Iterator[list[Value]]:
    """All values in their order, some ten thousands at a time; they are gone through once for each.

    To sort a million at once would take a hundred megabytes, and every other thread would wait for it.
    """
    for low, high in _ranges(values):
        if part := sorted(value for value in values if low <= value < high):
            yield part


def _ranges(values: Collection[Value]) -> Iterator[tuple[Value, Value]]:
    """Ranges, each from a value up to another, that hold about as many of the values each, and together all."""
    if not values:
        return iter(())
    sample: list[Value] = sorted(islice(values, 0, None, len(values) // SAMPLE + 1))
    step: int = SAMPLE * SORTED_AT_ONCE // len(values) + 1
    last: Any = max(values)
    beyond: Any = f"{last}\0" if isinstance(last, str) else last + 1
    bounds: list[Value] = [min(values)]
    bounds += sample[step::step]
    bounds.append(beyond)
    return pairwise(bounds)
