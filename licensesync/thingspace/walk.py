"""Walks all pages of who holds a license: one cursor after the other, or several at once where the order allows it.

The service pages by "identifiers larger than the cursor", so disjoint ranges can be walked at the same time. Whether
it does so is not taken on trust: the first page must show it, every later page is held against it, and at any doubt
the walk starts again with one cursor. Either way what was seen is only believed if its number is the service's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from licensesync.errors import ApiError, IncompleteObservation, RequestRejected, Unauthorized
from licensesync.model import DeviceId
from licensesync.thingspace.cuts import Cuts
from licensesync.thingspace.foreknown import LARGEST_SAMPLE, Foreknown, Known
from licensesync.thingspace.fota_calls import START, StatusPage
from licensesync.thingspace.ranges import OrderInDoubt, Origin, Range, Ranges, order_of

Fetch = Callable[[str], Awaitable[StatusPage]]
Progress = Callable[[int, int | None], None]

INVALID_CURSOR = "lastseendeviceid"
MOST_PAGES = 100_000
SPARE_PAGES = 100


@dataclass(slots=True)
class Tally:
    """What the pages of one walk have told so far; `tolerance` as in the pool's settings."""

    progress: Progress
    tolerance: int = 0
    devices: set[DeviceId] = field(default_factory=set)
    marks: list[DeviceId] = field(default_factory=list)  # of each page some, enough to start from the next time
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
        self.marks += page.identifiers[:: 1 + (self.assigned or 0) // LARGEST_SAMPLE]
        self._must_end()
        self.progress(len(self.devices), self.assigned)

    @property
    def seen(self) -> Known:
        """What this walk has seen, for another to start from."""
        return Known.of(self.marks, max(1, len(self.devices) // max(1, len(self.marks))))

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


async def one_by_one(fetch: Fetch, tally: Tally) -> Tally:
    """Every page in the order in which the server's cursor leads. Raises IncompleteObservation or ApiError."""
    first = await _fetched(fetch, START, tally)
    return await _onward(fetch, tally, first, {START})


async def side_by_side(fetch: Fetch, tally: Tally, known: Awaitable[Known], cursors: int) -> Tally:
    """Every page, by up to `cursors` walks at once, which start at identifiers that are `known` in the account, or at
    guessed ones where the service takes them. The first page does not wait for what is known.

    A list that is short, or whose first page does not show that it is ordered, is walked by one cursor. Raises
    OrderInDoubt where a later page shows that it is not; else as `one_by_one`.
    """
    first = await _fetched(fetch, START, tally)
    useful = min(cursors, _pages_after(first) // 2)
    order = order_of(first)
    if not first.more or useful < 2 or order is None:
        return await _onward(fetch, tally, first, {START})
    tally.take(first)
    ranges = Ranges(order, _moved_on(first, {START}))
    cuts = Cuts(order, Foreknown(await known, order, first.assigned_licenses), first.assigned_licenses, useful)
    cuts.begin(ranges, order.listed(first.identifiers))
    await _Walkers(fetch, tally, ranges, cuts).walk(useful)
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


class _Walkers:
    """The requests that are under way, each for a range of its own."""

    def __init__(self, fetch: Fetch, tally: Tally, ranges: Ranges, cuts: Cuts) -> None:
        self._fetch = fetch
        self._tally = tally
        self._ranges = ranges
        self._cuts = cuts
        self._under_way: dict[asyncio.Task[StatusPage], Range] = {}

    async def walk(self, cursors: int) -> None:
        """Walk all ranges to the end. The first thing that goes wrong ends all of it."""
        try:
            while self._send(cursors):
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in [each for each in self._under_way if each.done()]:
                    self._settle(self._under_way[task], task)
                    del self._under_way[task]
                    await asyncio.sleep(0)  # a page takes milliseconds; others have their turn between two
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _send(self, cursors: int) -> bool:
        """Give each idle cursor a range; False when there is none left to wait for."""
        while len(self._under_way) < cursors and (mine := self._next()) is not None:
            mine.under_way = True
            self._under_way[asyncio.create_task(_fetched(self._fetch, mine.cursor, self._tally))] = mine
        return bool(self._under_way)

    def _next(self) -> Range | None:
        waiting = next((each for each in self._ranges.left if not each.under_way), None)
        return waiting or self._cuts.cut(self._ranges, len(self._tally.devices))

    def _settle(self, mine: Range, task: asyncio.Task[StatusPage]) -> None:
        """One page further; a range that starts at no identifier of the account goes back to the one before it."""
        mine.under_way = False
        try:
            page = task.result()
        except IncompleteObservation as error:
            if not _is_for_the_cursor(error, mine.origin):
                raise
            self._cuts.rejected(mine.origin, mine.cursor)
            self._ranges.give_back(mine)
        else:
            self._tally.take(page)
            self._advance(mine, page)

    def _advance(self, mine: Range, page: StatusPage) -> None:
        origin, cursor = mine.origin, mine.cursor
        before = None if origin is Origin.SERVICE else self._ranges.before(mine)
        listed = self._ranges.advance(mine, page)
        self._cuts.learn(mine, origin, cursor, listed)
        if before is None:
            return
        if not listed:
            self._cuts.nothing_above(cursor)
            self._ranges.give_back(mine)
        if not listed or self._ranges.is_beyond(mine, listed[0]):
            self._cuts.in_vain(before)


def _is_for_the_cursor(error: IncompleteObservation, origin: Origin) -> bool:
    """Whether the service only rejects a cursor of our own. Raises OrderInDoubt where that is hard to tell."""
    if origin is Origin.SERVICE:
        return False
    if isinstance(error, PageUnreadable) and not (
        origin is Origin.GUESS and isinstance(error.__cause__, RequestRejected)
    ):
        raise OrderInDoubt(f"no page at a cursor of our own: {error}") from error
    return True
