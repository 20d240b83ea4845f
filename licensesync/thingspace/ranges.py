"""Knows the ranges of a sorted list that are walked side by side: together they are all of it, and no two overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from licensesync.errors import IncompleteObservation
from licensesync.thingspace.fota_calls import StatusPage

LONGEST_IDENTIFIER = 64


class OrderInDoubt(IncompleteObservation):
    """The pages are not in the order that several cursors need."""


@dataclass(frozen=True, slots=True)
class Order:
    """How a service sorts identifiers, and where on a line of numbers each of them stands."""

    key: Callable[[str], str]
    place: Callable[[str], int]
    identifier: Callable[[int, int], str]  # at this place, with so many digits
    end: Callable[[int], int]  # of the line of numbers, for identifiers of so many digits

    def listed(self, identifiers: Sequence[str]) -> list[str]:
        """The identifiers in this order; those of one length are in the same in any."""
        return sorted(identifiers, key=None if len(set(map(len, identifiers))) == 1 else self.key)


NUMBERS = Order(
    key=lambda identifier: identifier.zfill(LONGEST_IDENTIFIER),  # texts of one length compare as their numbers
    place=int,
    identifier=lambda place, digits: str(place).zfill(digits),
    end=lambda digits: 10**digits,
)
TEXTS = Order(
    key=str,
    place=lambda identifier: int(identifier.ljust(LONGEST_IDENTIFIER, "0")),
    identifier=lambda place, digits: str(place).zfill(LONGEST_IDENTIFIER)[:digits],
    end=lambda _: 10**LONGEST_IDENTIFIER,
)


def order_of(page: StatusPage) -> Order | None:
    """The order in which the cursor is the last of this page's identifiers: as numbers, as texts, or none."""
    if page.identifiers and all(each.isdecimal() for each in (*page.identifiers, page.cursor)):
        for order in (NUMBERS, TEXTS):
            if order.key(order.listed(page.identifiers)[-1]) == order.key(page.cursor):
                return order
    return None


class Origin(Enum):
    """Who says that the service takes a cursor: the service itself, what is known of the account, or nobody."""

    SERVICE = auto()
    KNOWN = auto()
    GUESS = auto()


@dataclass(eq=False, slots=True)
class Range:
    """Identifiers above `cursor` and, where there is one, up to `end`; `end` moves as ranges are cut and given back."""

    start: str
    cursor: str
    end: str | None
    origin: Origin = Origin.SERVICE
    under_way: bool = False
    at_end_of_list: bool = False


class Ranges:
    """The ranges of a list whose first page was read up to the cursor `begin`."""

    def __init__(self, order: Order, begin: str) -> None:
        self._order = order
        self._ranges = [Range(begin, begin, None)]

    @property
    def left(self) -> Sequence[Range]:
        """Those that are not walked to their end."""
        return [each for each in self._ranges if not self._walked(each)]

    def cut(self, longer: Range, at: str, origin: Origin) -> Range:
        """What lies above this identifier, as a range of its own."""
        half = Range(at, at, longer.end, origin)
        longer.end = at
        self._ranges.append(half)
        return half

    def advance(self, mine: Range, page: StatusPage) -> Sequence[str]:
        """The identifiers of the page, sorted; the range goes on behind them. Raises OrderInDoubt."""
        key = self._order.key
        if not all(map(str.isdecimal, page.identifiers)):
            raise OrderInDoubt("an identifier on a page is not a number")
        listed = self._order.listed(page.identifiers)
        if listed and key(listed[0]) <= key(mine.cursor):
            raise OrderInDoubt("a page holds identifiers below its cursor")
        if not page.more:
            mine.at_end_of_list = True
        elif not listed or not page.cursor.isdecimal() or key(listed[-1]) != key(page.cursor):
            raise OrderInDoubt("a page does not end at its cursor")
        else:
            mine.cursor = page.cursor
        mine.origin = Origin.SERVICE
        return listed

    def before(self, mine: Range) -> Range:
        """The range that ends where this one starts."""
        return next(each for each in self._ranges if each.end == mine.start and each is not mine)

    def is_beyond(self, mine: Range, identifier: str) -> bool:
        return mine.end is not None and self._order.key(identifier) > self._order.key(mine.end)

    def give_back(self, mine: Range) -> None:
        """Let the range before this one go on to this one's end, or go on here from where that one stopped."""
        mine.origin = Origin.SERVICE
        before = self.before(mine)
        if self._walked(before):
            mine.start = mine.cursor = before.cursor
            mine.at_end_of_list = before.at_end_of_list
            before.end = before.cursor
        else:
            before.end = mine.end
            self._ranges.remove(mine)

    def _walked(self, each: Range) -> bool:
        return each.at_end_of_list or (
            each.end is not None and self._order.key(each.cursor) >= self._order.key(each.end)
        )
