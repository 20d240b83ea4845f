"""Digits in cells of one width: a million identifiers in a few megabytes, read back in order or found one by one."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import chain, count, filterfalse, groupby, islice, repeat
from operator import lt, mod
from typing import Any, Final, TypeVar

NONE: Final = "-"
"""What stands in a cell without digits."""
LONGEST: Final = 20
"""Digits of the longest number that a row can have."""
AT_ONCE: Final = 5_000  # rows that are read at once: other threads wait meanwhile
SORTED_AT_ONCE: Final = 5_000  # the same
SAMPLE: Final = 8_000
PARTS: Final = 61  # in which a number is looked for twice: a prime, as numbers may come in steps

Value = TypeVar("Value", int, str)
T = TypeVar("T")


def in_parts(rows: range) -> Iterator[range]:
    """The same rows, as many at a time as are read at once."""
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def every(step: int, values: Iterable[T]) -> Iterator[T]:
    """The first of the values, and each so many further on; other threads need not wait until all are passed."""
    rest = iter(values)
    for value in rest:
        yield value
        next(islice(rest, step - 1, step - 1), None)


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
        if _ascend(numbers):
            return True
        parts = _dealt(numbers, map(mod, numbers, repeat(PARTS)), PARTS, _no_numbers)
        return all(len(set(part)) == len(part) for part in parts)

    def fill(self, rows: int) -> None:
        """Cells without digits, up to a number of rows."""
        self._cells += NONE.ljust(self._width).encode() * (rows - len(self))

    def texts(self, rows: range) -> list[str]:
        """What stands in these cells, one after the other."""
        return self._cells[rows.start * self._width : rows.stop * self._width].decode().split()


class Numbers:
    """Numbers by row. As many as are added in even steps take next to nothing."""

    def __init__(self) -> None:
        self._pieces: list[range | array[int]] = []
        self._starts: list[int] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> int:
        piece = bisect_right(self._starts, row) - 1
        return self._pieces[piece][row - self._starts[piece]]

    def extend(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        last = self._pieces[-1] if self._pieces else None
        if isinstance(numbers, range):
            self._add(numbers)
        elif isinstance(last, array):
            last.extend(numbers)
        else:
            self._add(array("Q", numbers))
        self._length += len(numbers)

    def _add(self, piece: range | array[int]) -> None:
        self._pieces.append(piece)
        self._starts.append(self._length)


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
            ascending: array[int] = array("Q")
            bounds = _bounds(numbers)
            for rows in _dealt(count(), _places(numbers, bounds), len(bounds) + 1, lambda: array("I")):
                listed = sorted(rows, key=numbers.__getitem__)
                self._order.extend(listed)
                ascending.extend(map(numbers.__getitem__, listed))
            numbers = ascending
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
    """All values in their order, some thousands at a time.

    To sort a million at once would take a second or more, for which every other thread would wait.
    """
    bounds = _bounds(values)
    part: Callable[[], Any] = _no_numbers if isinstance(values, array) else list
    return filter(None, map(sorted, _dealt(values, _places(values, bounds), len(bounds) + 1, part)))


def _dealt(values: Iterable[T], places: Iterable[int], parts: int, part: Callable[[], Any]) -> Iterator[Any]:
    """The values in so many parts, each in the one that has its place."""
    dealt = [part() for _ in range(parts)]
    append = [each.append for each in dealt]
    for value, place in zip(values, places, strict=False):
        append[place](value)
    del append
    dealt.reverse()
    while dealt:
        yield dealt.pop()


def _places(values: Iterable[Value], bounds: Sequence[Value]) -> Iterator[int]:
    """How many of the bounds are not above a value, for each of them."""
    return map(partial(bisect_right, bounds), values)


def _no_numbers() -> array[int]:
    return array("Q")


def _bounds(values: Collection[Value]) -> Sequence[Value]:
    """Values between which there are about as many of them as are sorted at once."""
    if len(values) <= SORTED_AT_ONCE:
        return ()
    sample = sorted(every(len(values) // SAMPLE + 1, values))
    parts = len(values) // SORTED_AT_ONCE + 1
    return [sample[len(sample) * part // parts] for part in range(1, parts)]
