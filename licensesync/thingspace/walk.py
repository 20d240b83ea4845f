"""Walks all pages of who holds a license: one cursor after the other, or several at once where the order allows it.

The service pages by "identifiers larger than the cursor", so disjoint ranges can be walked at the same time. Whether
it does so is not taken on trust: the first page must show it, every later page is held against it, and at any doubt
the walk starts again with one cursor. Either way what was seen is only believed if its number is the service's own.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice

from licensesync.errors import ApiError, IncompleteObservation, RequestRejected, Unauthorized
from licensesync.model import DeviceId
from licensesync.thingspace.fota_calls import START, StatusPage

Fetch = Callable[[str], Awaitable[StatusPage]]
Progress = Callable[[int, int | None], None]
Order = Callable[[str], str]

INVALID_CURSOR = "lastseendeviceid"


LARGEST_SAMPLE = 8_192
MOST_PAGES = 100_000
SPARE_PAGES = 100


@dataclass(frozen=True, slots=True)
class Known:
    """Identifiers that are probably in the account: every `step`-th of them, sorted, enough to start from."""

    sample: Sequence[str]
    step: int

    @classmethod
    def of(cls, devices: Collection[str]) -> Known:
        step = 1 + len(devices) // LARGEST_SAMPLE
        return cls(sorted(islice(devices, 0, None, step)), step)


@dataclass(slots=True)
class Tally:
    """What the pages of one walk have told so far; `tolerance` as in the pool's settings."""

    progress: Progress
    tolerance: int = 0
    devices: set[DeviceId] = field(default_factory=set)
    pages: int = 0
    total: int | None = None
    assigned: int | None = None

    def take(self, page: StatusPage) -> None:
        """Count a page in. Raises IncompleteObservation when the service's count changed meanwhile."""
        self.pages += 1
        self.devices.update(page.identifiers)
        if page.total is not None:
            self.total = page.total if self.total is None else min(page.total, self.total)
        if page.assigned_licenses is not None:
            if self.assigned not in {None, page.assigned_licenses}:
                raise CountChanged(
                    f"the service's assignedLicenses changed from {self.assigned} to {page.assigned_licenses} "
                    "while the list was read; somebody else is changing licenses"
                )
            self.assigned = page.assigned_licenses
        self._must_end()
        self.progress(len(self.devices), self.assigned)

    def _must_end(self) -> None:
        """No list is endless, whatever its cursors say."""
        counted = MOST_PAGES if self.assigned is None else self.assigned + self.tolerance
        if self.assigned is not None and len(self.devices) > counted:
            raise IncompleteObservation(
                f"the list has more than {len(self.devices) - 1} devices, but the service counts {self.assigned} "
                "licenses as assigned"
            )
        if self.pages > counted + SPARE_PAGES:
            raise IncompleteObservation(f"the list does not end after {self.pages} pages")


class CountChanged(IncompleteObservation):
    """Licenses were changed while the list was read."""


class PageUnreadable(IncompleteObservation):
    """A page could not be had, after asking again."""


class OrderInDoubt(IncompleteObservation):
    """The pages are not in the order that several cursors need."""


async def one_by_one(fetch: Fetch, tally: Tally) -> Tally:
    """Every page in the order in which the server's cursor leads. Raises IncompleteObservation or ApiError."""
    first = await _fetched(fetch, START, tally)
    return await _onward(fetch, tally, first, {START})


async def side_by_side(fetch: Fetch, tally: Tally, known: Known, cursors: int) -> Tally:
    """Every page, by up to `cursors` walks at once, which start at identifiers that are `known` in the account.

    A list that is short, or whose first page does not show that it is ordered, is walked by one cursor. Raises
    OrderInDoubt where a later page shows that it is not; else as `one_by_one`.
    """
    first = await _fetched(fetch, START, tally)
    useful = min(cursors, _pages_after(first) // 2)
    order = _order_of(first)
    if not first.more or useful < 2 or order is None:
        return await _onward(fetch, tally, first, {START})
    tally.take(first)
    begin = _moved_on(first, {START})
    await _Ranges(fetch, tally, order, known.sample).walk(begin, len(first.identifiers), useful, known.step)
    return tally


async def _onward(fetch: Fetch, tally: Tally, page: StatusPage, visited: set[str]) -> Tally:
    """This page and all that follow it, as long as each brings something new."""
    seen = 0
    tally.take(page)
    while page.more:
        if len(tally.devices) == seen:
            kind = "a page that brings nothing new" if page.identifiers else "an empty page"
            raise IncompleteObservation(f"{kind} says that there is more")
        seen = len(tally.devices)
        page = await _fetched(fetch, _moved_on(page, visited), tally)
        tally.take(page)
    return tally


def _pages_after(first: StatusPage) -> int:
    """How many pages of this size the service's own count promises, many if it gives none."""
    size = len(first.identifiers)
    if not size:
        return 0
    return MOST_PAGES if first.assigned_licenses is None else -(-(first.assigned_licenses - size) // size)


async def _fetched(fetch: Fetch, cursor: str, tally: Tally) -> StatusPage:
    """The page, or the reason why the walk ends here: after a first page it is known that the pool was read in part."""
    try:
        return await fetch(cursor)
    except Unauthorized:
        raise
    except ApiError as error:
        if tally.pages == 0:
            raise
        if _rejects_cursor(error):
            raise IncompleteObservation(f"the cursor is no longer accepted: {error}") from error
        raise PageUnreadable(f"{error} (pages read before: {tally.pages})") from error


def _rejects_cursor(error: ApiError) -> bool:
    return isinstance(error, RequestRejected) and INVALID_CURSOR in str(error).lower()


def _moved_on(page: StatusPage, visited: set[str]) -> str:
    """The next cursor, if there is one that leads on."""
    if page.cursor in visited:
        raise IncompleteObservation(f"the list's cursor {page.cursor[:40]!r} does not move on although there is more")
    visited.add(page.cursor)
    return page.cursor


def _order_of(page: StatusPage) -> Order | None:
    """The collation by which the cursor is the last of this page's identifiers: as numbers, as texts, or none."""
    identifiers = page.identifiers
    if all(each.isdecimal() for each in (*identifiers, page.cursor)):
        for order in (_as_number, _as_text):
            if max(map(order, identifiers), default=None) == order(page.cursor):
                return order
    return None


def _as_number(identifier: str) -> str:
    """Texts of one length compare as the numbers that they show."""
    return identifier.zfill(64)


def _as_text(identifier: str) -> str:
    return identifier


@dataclass(slots=True)
class _Range:
    """Identifiers above `cursor` and, where there is one, up to `end`; `end` moves as ranges are cut and given back."""

    start: str
    cursor: str
    end: str | None
    may_be_given_back: bool = True
    taken: bool = False
    at_end_of_list: bool = False


class _Ranges:
    """The ranges that are walked side by side, and how idle cursors share what is left."""

    def __init__(self, fetch: Fetch, tally: Tally, order: Order, known: Sequence[str]) -> None:
        self._fetch = fetch
        self._tally = tally
        self._order = order
        self._known = sorted((each for each in known if each.isdecimal()), key=order)
        self._keys = [order(each) for each in self._known]
        self._ranges: list[_Range] = []
        self._worth_a_request = 2
        self._misses_left = 0

    async def walk(self, begin: str, page_size: int, cursors: int, devices_for_each_known: int) -> None:
        """Walk everything above `begin` to the end. The first thing that goes wrong ends all of it."""
        self._worth_a_request = max(2, page_size // devices_for_each_known)
        self._misses_left = 2 * cursors
        ahead = self._known[bisect_right(self._keys, self._order(begin)) :]
        quantiles = (ahead[len(ahead) * step // cursors] for step in range(1, cursors)) if ahead else ()
        starts = list(dict.fromkeys((begin, *quantiles)))
        self._ranges = [_Range(start, start, end) for start, end in zip(starts, [*starts[1:], None], strict=True)]
        self._ranges[0].may_be_given_back = False
        try:
            async with asyncio.TaskGroup() as walkers:
                for _ in range(cursors):
                    walkers.create_task(self._walk_ranges())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _walk_ranges(self) -> None:
        while (mine := self._next_untaken() or self._half_of_the_longest()) is not None:
            mine.taken = True
            while not self._walked(mine):
                await self._step(mine)

    async def _step(self, mine: _Range) -> None:
        """One page further; a range that starts at no identifier of the account goes back to the one before it."""
        try:
            page = await _fetched(self._fetch, mine.cursor, self._tally)
        except IncompleteObservation as error:
            if not mine.may_be_given_back:
                raise
            if isinstance(error, PageUnreadable):
                raise OrderInDoubt(f"no page at a cursor of our own: {error}") from error
            self._give_back(mine)
        else:
            self._advance(mine, page)

    def _advance(self, mine: _Range, page: StatusPage) -> None:
        mine.may_be_given_back = False
        self._tally.take(page)
        identifiers = page.identifiers
        if not all(map(str.isdecimal, identifiers)):
            raise OrderInDoubt("an identifier on a page is not a number")
        keys = [self._order(each) for each in identifiers]
        if keys and min(keys) <= self._order(mine.cursor):
            raise OrderInDoubt("a page holds identifiers below its cursor")
        if not page.more:
            mine.at_end_of_list = True
        elif not keys or not page.cursor.isdecimal() or max(keys) != self._order(page.cursor):
            raise OrderInDoubt("a page does not end at its cursor")
        else:
            mine.cursor = page.cursor

    def _walked(self, mine: _Range) -> bool:
        return mine.at_end_of_list or (mine.end is not None and self._order(mine.cursor) >= self._order(mine.end))

    def _next_untaken(self) -> _Range | None:
        return next((each for each in self._ranges if not each.taken), None)

    def _half_of_the_longest(self) -> _Range | None:
        """The second half of the range that has most known identifiers ahead, if it is worth another request."""
        longest = max((each for each in self._ranges if not self._walked(each)), key=self._ahead, default=None)
        if longest is None or self._misses_left <= 0 or (ahead := self._ahead(longest)) <= self._worth_a_request:
            return None
        middle = self._known[bisect_right(self._keys, self._order(longest.cursor)) + ahead // 2]
        half = _Range(middle, middle, longest.end)
        longest.end = middle
        self._ranges.append(half)
        return half

    def _ahead(self, each: _Range) -> int:
        end = len(self._keys) if each.end is None else bisect_left(self._keys, self._order(each.end))
        return end - bisect_right(self._keys, self._order(each.cursor))

    def _give_back(self, mine: _Range) -> None:
        """Let the range before this one go on to this one's end, or go on here from where that one stopped."""
        self._misses_left -= 1
        mine.may_be_given_back = False
        before = next(each for each in self._ranges if each.end == mine.start and each is not mine)
        if self._walked(before):
            mine.start = mine.cursor = before.cursor
            mine.at_end_of_list = before.at_end_of_list
            before.end = before.cursor
        else:
            before.end = mine.end
            self._ranges.remove(mine)
            mine.at_end_of_list = True
