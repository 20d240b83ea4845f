"""Decides where idle cursors cut what is left of a list: by what is known of it, else by what its pages have shown.

Makers number devices in series, so identifiers stand in dense stretches with wide gaps between them. How dense a
stretch is follows from the last page; that it goes on as far again as it was seen to go so far is the best guess there
is. The others that the service counts may lie anywhere ahead, in a wide range rather than in a narrow one. Where a cut
finds nothing, less is expected behind the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

from licensesync.thingspace.foreknown import Foreknown
from licensesync.thingspace.ranges import LONGEST_IDENTIFIER, Order, Origin, Range, Ranges

MARKS = 32  # of a page's identifiers, so many are looked at
GAP = 64  # times as far apart as usual is a gap
LESS = 1 / 4  # of what was expected, after a cut in vain
REJECTED_GUESSES = 3
WORTH_A_CUT = 2  # pages
MOST_IN_VAIN = 3  # requests for each cursor,
PAGES_FOR_ANOTHER = 25  # and one more for each so many pages;
PAGES_FOR_A_GUESS = 10  # but on a short list one for each so many pages at most


@dataclass(slots=True)
class Ground:
    """What is known of where a range goes on: devices for each number, the place where the dense stretch began."""

    density: float
    stretch: int
    promise: float = 1.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """How many devices a range has ahead: as foretold, in its stretch, and beyond."""

    each: Range
    foretold: float
    near: float = 0.0
    far: float = 0.0

    @property
    def devices(self) -> float:
        return self.foretold + self.near + self.far


class Cuts:
    """Where the ranges of one walk are cut, after its first page. Without the service's count nothing is guessed."""

    def __init__(self, order: Order, foreknown: Foreknown, counted: int | None, cursors: int) -> None:
        self._order = order
        self._foreknown = foreknown
        self._counted = counted
        self._cursors = cursors
        self._ground: dict[Range, Ground] = {}
        self._top = order.end(LONGEST_IDENTIFIER)
        self._digits = 0
        self._lowest = self._highest = self._page = self._pages = 0
        self._in_vain = self._rejected_guesses = 0
        self._guess_was_taken = False

    def begin(self, ranges: Ranges, listed: Sequence[str]) -> None:
        """Cut the list behind its first page into as many parts as there are cursors, if enough is known of it."""
        whole = ranges.left[0]
        self._page, self._pages = len(listed), 1
        self._lowest = self._order.place(listed[0])
        self._ground[whole] = Ground(0.0, self._lowest)
        self._survey(whole, listed, self._lowest)
        self._foreknown.compare("", listed)
        for at in self._foreknown.quantiles(whole, self._cursors):
            whole = self._cut(ranges, whole, at, Origin.KNOWN)

    def learn(self, mine: Range, origin: Origin, cursor: str, listed: Sequence[str]) -> None:
        """Take in the page that this range, then of this origin, had at the cursor."""
        self._pages += 1
        self._guess_was_taken |= origin is Origin.GUESS and bool(listed)
        ground = self._ground[mine]
        place = self._order.place(cursor)
        if mine.at_end_of_list:
            self._foreknown.nothing_above(listed[-1] if listed else cursor)
        if listed:
            if origin is not Origin.SERVICE:
                ground.promise, ground.stretch = 1.0, self._order.place(listed[0])
            self._survey(mine, listed, ground.stretch if origin is not Origin.SERVICE else place)
            self._foreknown.compare(cursor, listed)

    def in_vain(self, before: Range) -> None:
        """A cut has found nothing that the next range does not have: all that is left lies in this one."""
        self._in_vain += 1
        self._ground[before].promise *= LESS

    def nothing_above(self, cursor: str) -> None:
        """The list ends below this cursor of our own, as the service says; it need not be right for all to be read."""
        self._top = min(self._top, self._order.place(cursor))
        self._foreknown.nothing_above(cursor)

    def rejected(self, origin: Origin, cursor: str) -> None:
        self._in_vain += 1
        self._rejected_guesses += origin is Origin.GUESS
        self._foreknown.rejected(cursor)

    def cut(self, ranges: Ranges, seen: int) -> Range | None:
        """The upper part of the range that has most ahead, or None where no cut is worth the request."""
        left = ranges.left
        if not left or self._in_vain > MOST_IN_VAIN * self._cursors + self._pages // PAGES_FOR_ANOTHER:
            return None
        may_guess = self._may_guess(left)
        outlooks = self._outlooks(left, seen, guessing=may_guess)
        for most in sorted(outlooks, key=lambda each: each.devices, reverse=True):
            if most.devices < WORTH_A_CUT * self._page:
                break
            if most.foretold >= most.near + most.far and (at := self._foreknown.middle(most.each)) is not None:
                return self._cut(ranges, most.each, at, Origin.KNOWN)
            if may_guess and (at := self._guessed(most)) is not None:
                return self._cut(ranges, most.each, at, Origin.GUESS)
        return None

    def _may_guess(self, left: Sequence[Range]) -> bool:
        """Few guesses at once, as the answer to one makes the next one better; before the first is taken only one."""
        if self._counted is None or self._rejected_guesses >= REJECTED_GUESSES:
            return False
        few = self._counted // self._page // PAGES_FOR_A_GUESS + self._pages // PAGES_FOR_ANOTHER
        at_once = 1 + self._cursors // 3 if self._guess_was_taken else 1
        return self._in_vain <= few and sum(each.origin is Origin.GUESS for each in left) < at_once

    def _cut(self, ranges: Ranges, longer: Range, at: str, origin: Origin) -> Range:
        ground = self._ground[longer]
        promise = ground.promise if longer.end is None else 1.0
        half = ranges.cut(longer, at, origin)
        self._ground[half] = Ground(ground.density, self._order.place(at), promise)
        return half

    def _survey(self, mine: Range, listed: Sequence[str], behind: int) -> None:
        """How densely the page's stretch is filled, and where it began: behind its last gap."""
        stride = max(1, len(listed) // MARKS)
        marks = [behind, *(self._order.place(each) for each in listed[::stride])]
        spans = [above - below for below, above in pairwise(marks)]
        usual = max(1, sorted(spans)[len(spans) // 2])
        ground = self._ground[mine]
        ground.density = stride / usual
        ground.stretch = next(
            (mark for span, mark in zip(reversed(spans), reversed(marks), strict=False) if span > GAP * usual),
            ground.stretch,
        )
        self._highest = max(self._highest, marks[-1])
        self._digits = max(self._digits, len(listed[0]), len(listed[-1]))

    def _outlooks(self, left: Sequence[Range], seen: int, *, guessing: bool) -> Sequence[Outlook]:
        """What each range has ahead: what is foretold of it, and its share of the others that the service counts."""
        foretold = [self._foreknown.ahead(each) for each in left]
        unseen = max(0, (self._counted or 0) - seen)
        others = unseen - sum(foretold)
        if not guessing or others < max(unseen / 10, WORTH_A_CUT * self._page):
            more = max(1.0, unseen / max(1.0, sum(foretold)))
            return [Outlook(each, devices * more) for each, devices in zip(left, foretold, strict=True)]
        near = [self._near(each) for each in left]
        far = [self._far(each, unseen) for each in left]
        likely = [max(close + beyond, 1e-9) for close, beyond in zip(near, far, strict=True)]
        most = [max(close, self._most(each)) for close, each in zip(near, left, strict=True)]
        shares = [share / whole for share, whole in zip(shared_out(others, likely, most), likely, strict=True)]
        return [
            Outlook(each, devices, close * share, beyond * share)
            for each, devices, close, beyond, share in zip(left, foretold, near, far, shares, strict=True)
        ]

    def _most(self, each: Range) -> float:
        return self._ground[each].density * self._width(each)

    def _near(self, each: Range) -> float:
        return self._ground[each].density * min(self._width(each), self._length(each))

    def _far(self, each: Range, unseen: int) -> float:
        ground = self._ground[each]
        if each.end is None:
            return ground.promise * unseen / (2 if each.origin is Origin.SERVICE else 4)
        usual = (self._counted or 0) / max(1, self._highest - self._lowest)
        return ground.promise * min(usual, ground.density) * max(0, self._width(each) - self._length(each))

    def _guessed(self, most: Outlook) -> str | None:
        """A cursor to try: one that may be right, however wrong the others were, where the service rejects others."""
        if self._rejected_guesses and (known := self._foreknown.middle(most.each)) is not None:
            return known
        return self._guess(most)

    def _guess(self, most: Outlook) -> str | None:
        """A cursor in the middle of what is expected ahead, if there is room for one."""
        each, key = most.each, self._order.key
        place = self._order.place(each.cursor) + self._distance(most)
        guess = self._order.identifier(place, len(each.cursor))
        has_room = key(guess) > key(each.cursor) and (each.end is None or key(guess) < key(each.end))
        return guess if has_room else None

    def _distance(self, most: Outlook) -> int:
        """How far beyond the cursor half of what is expected may lie."""
        each, ground, width = most.each, self._ground[most.each], self._width(most.each)
        if most.near >= most.far:
            return min(int((most.near + self._page) / 2 / ground.density), width // 2)
        if each.end is None:
            return self._distance_to_the_top(most)
        length = self._length(each)
        return length + (width - length) // 2

    def _distance_to_the_top(self, most: Outlook) -> int:
        """Half of what is expected, were it all one stretch, or as far again as the list was seen to go so far.

        Where nothing was found there, or where that is not known yet, the mean of the numbers' sizes divides best.
        """
        each, ground, width = most.each, self._ground[most.each], self._width(most.each)
        cursor = self._order.place(each.cursor)
        if each.origin is not Origin.SERVICE:
            beyond = cursor - self._highest
            return isqrt(max(0, beyond * (self._end - self._highest))) - beyond
        dense = int((most.near + most.far) / 2 / ground.density)
        farther = cursor - self._lowest if ground.promise == 1.0 else isqrt(dense * width)
        return min(max(dense, farther), width // 2)

    @property
    def _end(self) -> int:
        """Where guesses end: no identifier that is longer than any that was seen, as texts would sort it elsewhere."""
        return min(self._top, self._order.end(self._digits))

    def _width(self, each: Range) -> int:
        end = self._end if each.end is None else self._order.place(each.end)
        return max(0, end - self._order.place(each.cursor))

    def _length(self, each: Range) -> int:
        """How far the stretch goes on: at least by a page, else as far again as it was seen to go."""
        ground = self._ground[each]
        return max(int(self._page / ground.density), self._order.place(each.cursor) - ground.stretch)


def shared_out(devices: float, likely: Sequence[float], most: Sequence[float]) -> Sequence[float]:
    """So many devices, divided as is likely, but none gets more than fits in."""
    shares = [0.0] * len(likely)
    parts = sum(likely)
    for at in sorted(range(len(likely)), key=lambda at: most[at] / likely[at]):
        shares[at] = min(most[at], devices * likely[at] / parts)
        devices -= shares[at]
        parts = max(parts - likely[at], 1e-9)
    return shares
