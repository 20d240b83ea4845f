"""How a pool is read: every page once, with one cursor or several, and believed only if it is proved whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import TypeVar
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import Ready

from licensesync.errors import (
    ApiError,
    IncompleteObservation,
    RequestRejected,
    ServerBroken,
    StaleSession,
    UnexpectedReply,
    Unreachable,
)
from licensesync.model import Capacity, DeviceId, Mode, Observed, Pool, Product, Reading
from licensesync.thingspace import foreknown, fota_calls, walk
from licensesync.thingspace.client import Reader
from licensesync.thingspace.foreknown import Known
from licensesync.thingspace.fota import FotaReader
from licensesync.thingspace.fota_calls import StatusForm, StatusPage
from licensesync.thingspace.ranges import OrderInDoubt
from licensesync.thingspace.walk import CountChanged, PageUnreadable, Tally, one_by_one, side_by_side
from licensesync.thingspace.wire import Read, error_for

T = TypeVar("T")
Key = Callable[[str], tuple[int, str]]
Told = dict[str, object]

ACCOUNT = "0642233522-00001"
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)

A_FEW = settings().max_examples
"""As many examples as the profile wants of a property; some want several times as many."""


class EndlessError(AssertionError):
    """A walk asked for more pages than any walk needs."""


def by_number(imei: str) -> tuple[int, str]:
    return int(imei), imei


def by_text(imei: str) -> tuple[int, str]:
    return 0, imei


def backwards(imei: str) -> tuple[int, str]:
    return -int(imei), imei


def scrambled(imei: str) -> tuple[int, str]:
    return Random(imei).randrange(10**9), imei


@dataclass
class Listing:
    """The license list of a service in memory, paged by 'identifiers above the cursor' in some order."""

    holders: Sequence[str]
    size: int = 10
    order: Key = by_number
    strict: bool = False
    shuffled: Random | None = None
    uneven: Random = field(default_factory=lambda: Random(1))
    most: int = 3000
    spoil: Callable[[int, Told], Told] = lambda _, told: told
    before: Callable[[int, str], None] = lambda _, __: None
    asked: list[str] = field(default_factory=list)
    under_way: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.holders = sorted(self.holders, key=self.order)

    async def fetch(self, cursor: str) -> StatusPage:
        return fota_calls.status_page(ACCOUNT, cursor, StatusForm.V3_PATH).read(await self.body(cursor))

    async def body(self, cursor: str) -> bytes:
        self.asked.append(cursor)
        number = len(self.asked)
        if number > self.most:
            raise EndlessError
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        for _ in range(self.uneven.randrange(1, 4)):
            await asyncio.sleep(0)
        self.under_way -= 1
        self.before(number, cursor)
        return json.dumps(self.spoil(number, self._page(cursor))).encode()

    def _page(self, cursor: str) -> Told:
        if self.strict and cursor not in {"0", *self.holders}:
            raise rejected_cursor()
        ahead = [each for each in self.holders if cursor == "0" or self.order(each) > self.order(cursor)]
        rows = ahead[: self.size]
        last = rows[-1] if rows else cursor
        if self.shuffled:
            self.shuffled.shuffle(rows)
        return {
            "accountName": ACCOUNT,
            "totalLicense": 9000,
            "assignedLicenses": len(self.holders),
            "hasMoreData": len(ahead) > self.size,
            "lastSeenDeviceId": last,
            "deviceList": [{"deviceId": each} for each in rows],
        }

    @property
    def pages(self) -> int:
        return -(-len(self.holders) // self.size) or 1


@dataclass
class Busy(Listing):
    """Notes at each request how many are under way."""

    busy: list[int] = field(default_factory=list)

    async def body(self, cursor: str) -> bytes:
        self.busy.append(self.under_way + 1)
        return await super().body(cursor)

    @property
    def mean_at_once(self) -> float:
        return sum(self.busy) / len(self.busy)


def rejected_cursor() -> ApiError:
    told = b'{"errorCode": "INVALID_PARAMETER", "errorMessage": "LastSeenDeviceId Not Valid"}'
    return error_for("FOTA license status", 400, {}, told, NOW)


def imeis(count: int, chance: Random, lengths: Sequence[int] = (15,)) -> list[str]:
    found: set[str] = set()
    while len(found) < count:
        length = chance.choice(lengths)
        found.add(str(chance.randrange(10 ** (length - 1), 10**length)))
    return sorted(found)


def known(devices: Iterable[str]) -> Known:
    return Known.of([DeviceId(each) for each in devices])


def silent(_: int, __: int | None) -> None:
    """Nobody watches."""


def tally(tolerance: int = 0) -> Tally:
    return Tally(silent, tolerance)


async def alone(listing: Listing) -> set[str]:
    return set((await one_by_one(listing.fetch, tally())).devices)


async def together(listing: Listing, starts: Iterable[str], cursors: int) -> set[str]:
    return set((await side_by_side(listing.fetch, tally(), Ready(known(starts)), cursors)).devices)


# --- one cursor


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 95])
async def test_one_cursor_reads_every_page_once(count: int) -> None:
    listing = Listing(imeis(count, Random(count)))
    assert await alone(listing) == set(listing.holders)
    assert len(listing.asked) == listing.pages
    assert len(set(listing.asked)) == len(listing.asked)


async def test_one_cursor_follows_the_server_whatever_the_order_of_its_pages() -> None:
    holders = imeis(57, Random(2), (14, 15, 16))
    for order in (by_number, by_text, backwards, scrambled):
        listing = Listing(holders, order=order, shuffled=Random(3))
        assert await alone(listing) == set(holders)


async def test_one_cursor_follows_row_numbers_too_as_the_samples_have_them() -> None:
    holders = imeis(35, Random(4))

    async def fetch(cursor: str) -> StatusPage:
        start = int(cursor)
        rows = [fota_calls.License(DeviceId(each)) for each in holders[start : start + 10]]
        return StatusPage(ACCOUNT, start + 10 < len(holders), 90, None, 35, start + 10, rows)

    assert (await one_by_one(fetch, tally())).devices == set(holders)


async def test_a_device_that_stands_on_two_pages_is_one_device() -> None:
    listing = Listing(imeis(30, Random(5)))
    first = [{"deviceId": listing.holders[0]}]

    def repeat_the_first(number: int, told: Told) -> Told:
        rows = told["deviceList"]
        assert isinstance(rows, list)
        return {**told, "deviceList": first + rows}

    listing.spoil = repeat_the_first
    assert await alone(listing) == set(listing.holders)


async def test_the_tally_has_the_counts_and_tells_how_far_it_is() -> None:
    heard: list[tuple[int, int | None]] = []
    listing = Listing(imeis(25, Random(6)))
    read = await one_by_one(listing.fetch, Tally(lambda seen, of: heard.append((seen, of))))
    assert (read.pages, read.total, read.assigned) == (3, 9000, 25)
    assert heard == [(10, 25), (20, 25), (25, 25)]


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("lastSeenDeviceId", "0", "does not move on"),
        ("lastSeenDeviceId", None, "does not move on"),
        ("deviceList", [], "an empty page"),
        ("deviceList", None, "an empty page"),
    ],
)
async def test_a_page_that_leads_nowhere_is_an_incomplete_reading(name: str, value: object, complaint: str) -> None:
    listing = Listing(imeis(40, Random(7)), spoil=lambda number, told: {**told, name: value} if number == 2 else told)
    with pytest.raises(IncompleteObservation, match=complaint):
        await alone(listing)
    assert len(listing.asked) == 2


async def test_a_cursor_that_comes_again_later_is_an_incomplete_reading() -> None:
    listing = Listing(imeis(80, Random(8)))
    again = listing.holders[19]
    listing.spoil = lambda number, told: {**told, "lastSeenDeviceId": again} if number == 5 else told
    with pytest.raises(IncompleteObservation, match="does not move on"):
        await alone(listing)
    assert len(listing.asked) == 5


# --- lists without an end


def made_up(number: int) -> str:
    return f"{350000000000000 + number:015d}"


def endless(rows: Callable[[int], list[str]], assigned: int | None, most: int) -> tuple[walk.Fetch, list[str]]:
    """A service whose every page has more to come, behind a cursor that was never there before."""
    asked: list[str] = []

    async def fetch(cursor: str) -> StatusPage:
        asked.append(cursor)
        if len(asked) > most:
            raise EndlessError
        await asyncio.sleep(0)
        listed = [fota_calls.License(DeviceId(each)) for each in rows(len(asked))]
        return StatusPage(ACCOUNT, True, 9000, None, assigned, listed[-1].deviceId + f"{len(asked)}", listed)

    return fetch, asked


@pytest.mark.parametrize("assigned", [0, 50, 4319, 1_000_000])
async def test_an_endless_list_that_repeats_itself_ends_soon(assigned: int) -> None:
    fetch, asked = endless(lambda _: [made_up(1)], assigned, most=1000)
    with pytest.raises(IncompleteObservation):
        await one_by_one(fetch, tally())
    assert len(asked) <= 1000


async def test_an_endless_list_of_new_devices_ends_where_the_service_counts_no_more() -> None:
    fetch, asked = endless(lambda number: [made_up(10 * number + each) for each in range(10)], 200, most=1000)
    with pytest.raises(IncompleteObservation, match="the service counts 200"):
        await one_by_one(fetch, tally(tolerance=5))
    assert len(asked) <= 22


def test_an_endless_list_without_a_count_ends_too() -> None:
    page, read = StatusPage(ACCOUNT, has_more_data=True, total_license=9000), tally()

    def take_many() -> None:
        for _ in range(walk.MOST_PAGES + 1000):
            read.take(page)

    with pytest.raises(IncompleteObservation, match="does not end"):
        take_many()


async def test_an_endless_list_ends_with_several_cursors_too() -> None:
    async def fetch(cursor: str) -> StatusPage:
        listing.asked.append(cursor)
        if len(listing.asked) > listing.most:
            raise EndlessError
        await asyncio.sleep(0)
        start = int(cursor) if cursor != "0" else 350_000_000_000_000
        rows = [fota_calls.License(DeviceId(str(start + step))) for step in range(1, 11)]
        return StatusPage(ACCOUNT, True, 9000, None, 300, rows[-1].deviceId, rows)

    listing = Listing([], most=1000)
    with pytest.raises(IncompleteObservation, match="the service counts 300"):
        await side_by_side(fetch, tally(), Ready(known(made_up(100 * each) for each in range(50))), 4)


# --- several cursors


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 150),
    size=st.integers(1, 20),
    cursors=st.integers(1, 9),
    right=st.sampled_from([0.0, 0.5, 1.0]),
    wrong=st.sampled_from([0, 5, 60]),
    strict=st.booleans(),
    lengths=st.sampled_from([(15,), (14, 15, 16)]),
)
@settings(max_examples=13 * A_FEW, deadline=None)
def test_several_cursors_see_what_one_cursor_sees_whatever_is_known(
    *,
    seed: int,
    count: int,
    size: int,
    cursors: int,
    right: float,
    wrong: int,
    strict: bool,
    lengths: tuple[int, ...],
) -> None:
    chance = Random(seed)
    holders = imeis(count, chance, lengths)
    starts = [each for each in holders if chance.random() < right] + imeis(wrong, chance, lengths)
    chance.shuffle(starts)
    listing = Listing(holders, size, strict=strict, shuffled=Random(seed), uneven=Random(seed))
    assert asyncio.run(together(listing, starts, cursors)) == set(holders)
    assert listing.most_at_once <= max(1, cursors)
    assert len(listing.asked) <= 2 * listing.pages + 4 * cursors + 1


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 80),
    size=st.integers(1, 9),
    order=st.sampled_from([by_text, backwards, scrambled]),
    strict=st.booleans(),
)
@settings(max_examples=6 * A_FEW, deadline=None)
def test_in_another_order_than_by_number_several_cursors_see_all_or_doubt_or_see_too_few(
    *, seed: int, count: int, size: int, order: Key, strict: bool
) -> None:
    chance = Random(seed)
    holders = imeis(count, chance, (14, 15, 16))
    listing = Listing(holders, size, order=order, strict=strict, shuffled=Random(seed), uneven=Random(seed))
    try:
        seen = asyncio.run(together(listing, holders, 4))
    except IncompleteObservation:
        return
    assert seen <= set(holders)


@given(seed=st.integers(0, 2**32), count=st.integers(0, 80), size=st.integers(1, 9), strict=st.booleans())
@settings(max_examples=3 * A_FEW, deadline=None)
def test_texts_of_one_length_are_read_by_several_cursors_like_numbers(
    *, seed: int, count: int, size: int, strict: bool
) -> None:
    chance = Random(seed)
    holders = imeis(count, chance)
    starts = holders[::3] + imeis(5, chance)
    listing = Listing(holders, size, order=by_text, strict=strict, uneven=Random(seed))
    assert asyncio.run(together(listing, starts, 5)) == set(holders)


async def test_texts_of_several_lengths_are_read_in_the_order_of_texts_if_the_first_page_shows_it() -> None:
    holders = ["10000000000000", "1000000000000001", "200000000000000", *imeis(40, Random(9), (15,))]
    listing = Listing(holders, size=3, order=by_text)
    assert await together(listing, sorted(holders)[::4], 3) == set(holders)


async def test_with_all_holders_known_the_pages_are_shared_by_all_cursors() -> None:
    holders = imeis(1000, Random(10))
    listing = Listing(holders, size=10)
    assert await together(listing, holders, 8) == set(holders)
    assert listing.most_at_once == 8
    assert len(listing.asked) <= 100 + 3 * 8


async def test_a_few_pages_are_not_worth_several_cursors() -> None:
    holders = imeis(25, Random(11))
    listing = Listing(holders, size=10)
    assert await together(listing, holders, 8) == set(holders)
    assert (listing.most_at_once, len(listing.asked)) == (1, 3)


@pytest.mark.parametrize(
    "starts",
    [[], ["not-a-number", "35-209900-176148-1"], ["0"], [made_up(0)] * 5, ["9" * 15, "9" * 16], ["1" * 14]],
)
async def test_starting_points_that_are_useless_do_no_harm(starts: list[str]) -> None:
    holders = imeis(120, Random(12))
    for strict in (False, True):
        listing = Listing(holders, strict=strict)
        assert await together(listing, starts, 4) == set(holders)


@pytest.mark.parametrize("order", [backwards, scrambled])
async def test_pages_in_no_useful_order_are_read_by_one_cursor(order: Key) -> None:
    holders = imeis(300, Random(13))
    listing = Listing(holders, order=order)
    assert await together(listing, holders, 4) == set(holders)
    assert (listing.most_at_once, len(listing.asked)) == (1, listing.pages)


def without_cursor(number: int, told: Told) -> Told:
    return {**told, "lastSeenDeviceId": str(1000 * number)}


def with_a_word(_: int, told: Told) -> Told:
    return {**told, "deviceList": [{"deviceId": "meter-7"}]}


def with_an_old_row(_: int, told: Told) -> Told:
    rows = told["deviceList"]
    assert isinstance(rows, list)
    return {**told, "deviceList": [{"deviceId": "1" * 15}, *rows]}


def empty_with_more(_: int, told: Told) -> Told:
    return {**told, "deviceList": [], "hasMoreData": True}


SPOILERS = [without_cursor, with_a_word, with_an_old_row, empty_with_more]


@pytest.mark.parametrize("spoil", SPOILERS)
@pytest.mark.parametrize("page", [2, 5])
async def test_any_page_that_is_not_in_order_ends_the_walk_with_several_cursors(
    page: int, spoil: Callable[[int, Told], Told]
) -> None:
    holders = imeis(300, Random(14))
    listing = Listing(holders, spoil=lambda number, told: spoil(number, told) if number == page else told)
    with pytest.raises(IncompleteObservation):
        await together(listing, holders, 4)


async def test_a_starting_point_that_is_no_identifier_of_the_account_goes_back_to_the_range_before_it() -> None:
    holders = imeis(200, Random(15))
    starts = imeis(40, Random(16))
    listing = Listing(holders, strict=True)
    assert await together(listing, starts, 6) == set(holders)
    assert len(listing.asked) <= listing.pages + 3 * 6


async def test_a_cursor_of_the_servers_own_that_it_rejects_ends_the_walk() -> None:
    holders = imeis(200, Random(17))
    listing = Listing(holders)

    def reject_the_third(_: int, cursor: str) -> None:
        if cursor == holders[29]:
            raise rejected_cursor()

    listing.before = reject_the_third
    with pytest.raises(IncompleteObservation, match="no longer accepted"):
        await together(listing, holders[::50], 3)


async def test_a_range_that_goes_on_where_the_one_before_it_ended_gives_up_if_that_is_rejected_too() -> None:
    """The first range ends beyond the start of the second, whose own start is rejected, and then that end as well."""
    holders = [made_up(number) for number in range(0, 2000, 10)]
    wrong_start, end_of_the_first = made_up(155), holders[19]
    first_range_is_walked = asyncio.Event()
    asked: list[str] = []

    async def fetch(cursor: str) -> StatusPage:
        asked.append(cursor)
        if len(asked) > 500:
            raise EndlessError
        if cursor == wrong_start:
            await first_range_is_walked.wait()
        if cursor in {wrong_start, end_of_the_first}:
            raise rejected_cursor()
        page = await Listing(holders, size=10).fetch(cursor)
        if page.cursor == end_of_the_first:
            first_range_is_walked.set()
        return page

    with pytest.raises(IncompleteObservation, match="no longer accepted"):
        await side_by_side(fetch, tally(), Ready(known([wrong_start])), 2)
    assert len(asked) <= 20


async def test_a_page_that_cannot_be_had_in_the_middle_of_a_range_ends_the_walk() -> None:
    holders = imeis(300, Random(18))
    listing = Listing(holders)

    def fail_at_the_third_page(_: int, cursor: str) -> None:
        if cursor == holders[19]:
            raise ServerBroken("503", status=503)

    listing.before = fail_at_the_third_page
    with pytest.raises(PageUnreadable):
        await together(listing, holders[::60], 3)


async def test_a_page_that_cannot_be_had_at_a_cursor_of_our_own_is_a_reason_to_follow_the_server_instead() -> None:
    holders = imeis(300, Random(19))
    listing = Listing(holders)
    own = set(holders[::60])

    def fail_at_our_own(_: int, cursor: str) -> None:
        if cursor in own:
            raise RequestRejected("Invalid index value", status=400)

    listing.before = fail_at_our_own
    with pytest.raises(OrderInDoubt):
        await together(listing, own, 3)


async def test_when_one_cursor_fails_no_other_goes_on() -> None:
    holders = imeis(500, Random(20))
    listing = Listing(holders)

    def fail(number: int, _: str) -> None:
        if number == 9:
            raise StaleSession("session")

    listing.before = fail
    with pytest.raises(StaleSession):
        await together(listing, holders, 5)
    asked = len(listing.asked)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(listing.asked) == asked < 30


async def test_a_count_that_changes_is_noticed_with_several_cursors_too() -> None:
    holders = imeis(500, Random(21))
    listing = Listing(holders, spoil=lambda number, told: {**told, "assignedLicenses": 500 - (number > 9)})
    with pytest.raises(CountChanged, match="from 500 to 499"):
        await together(listing, holders, 5)


def test_of_a_large_inventory_a_sample_is_enough() -> None:
    many = known(made_up(number) for number in range(100_000))
    assert len(many.sample) <= foreknown.LARGEST_SAMPLE
    assert many.step * len(many.sample) >= 100_000
    few = known(map(made_up, range(10)))
    assert (list(few.sample), few.step) == ([made_up(number) for number in range(10)], 1)


# --- the proof of a whole reading


@dataclass
class Books:
    """What the subscription call answers, and which forms of the status call there are."""

    subscription: Mapping[str, object] | ApiError = field(default_factory=dict)
    forms: frozenset[StatusForm] = frozenset(StatusForm)


class InMemory(Reader):
    """A reader of a service in memory."""

    def __init__(self, listing: Listing, books: Books) -> None:
        self._listing = listing
        self._books = books
        self.tried: list[StatusForm] = []

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[Reader]:
        yield self

    async def read(self, call: Read[T]) -> T:
        await asyncio.sleep(0)
        if "/subscriptions/" in call.path:
            if isinstance(self._books.subscription, ApiError):
                raise self._books.subscription
            return call.read(json.dumps({"accountName": ACCOUNT, **self._books.subscription}).encode())
        form, cursor = _form_of(call)
        self.tried.append(form)
        if form not in self._books.forms:
            told = b'{"fault": {"code": "900906", "message": "No matching resource found"}}'
            raise error_for(call.what, 400, {}, told, NOW)
        return call.read(await self._listing.body(cursor))


def _form_of(call: Read[T]) -> tuple[StatusForm, str]:
    if call.query:
        return StatusForm.V3_QUERY, call.query["lastSeenDeviceId"]
    form = StatusForm.V1 if "/v1/" in call.path else StatusForm.V3_PATH
    return form, unquote(call.path.rpartition("/")[2])


def reader_of(
    listing: Listing,
    books: Books | None = None,
    *,
    tolerance: int = 0,
    cursors: int = 4,
    form: StatusForm | None = None,
) -> tuple[FotaReader, InMemory]:
    pool = Pool("fota", Product.FOTA, ACCOUNT, Mode.FULL, tolerance=tolerance)
    memory = InMemory(listing, books or Books())
    return FotaReader(pool, memory, cursors=cursors, form=form), memory


async def observed(
    listing: Listing,
    books: Books | None = None,
    *,
    starts: Iterable[str] = (),
    tolerance: int = 0,
    cursors: int = 4,
) -> Observed:
    reader, _ = reader_of(listing, books, tolerance=tolerance, cursors=cursors)
    return await reader.observe([DeviceId(each) for each in starts], silent)


@pytest.mark.parametrize("cursors", [1, 4])
@pytest.mark.parametrize("count", [0, 1, 10, 333])
async def test_a_reading_is_whole_when_as_many_are_listed_as_are_counted(count: int, cursors: int) -> None:
    listing = Listing(imeis(count, Random(count)), strict=True, shuffled=Random(1))
    seen = await observed(listing, starts=listing.holders[::2], cursors=cursors)
    assert seen == Observed({DeviceId(each) for each in listing.holders}, Capacity(9000, count))


@pytest.mark.parametrize("order", [by_number, by_text, backwards, scrambled])
@pytest.mark.parametrize("seed", range(6))
async def test_in_whatever_order_the_pages_are_nobody_is_lost(order: Key, seed: int) -> None:
    chance = Random(seed)
    holders = imeis(90, chance, (14, 15, 16))
    listing = Listing(holders, 7, order=order, strict=bool(seed % 2), shuffled=Random(seed), uneven=Random(seed))
    seen = await observed(listing, starts=holders[::2] + imeis(20, chance, (14, 15, 16)))
    assert seen.holders == set(holders)


@pytest.mark.parametrize("order", [backwards, scrambled])
async def test_pages_in_no_useful_order_cost_few_requests_more_than_with_one_cursor(order: Key) -> None:
    holders = imeis(200, Random(22))
    listing = Listing(holders, order=order)
    assert (await observed(listing, starts=holders)).holders == set(holders)
    assert len(listing.asked) <= listing.pages + 10


async def test_a_second_reading_starts_from_what_the_first_has_seen_whatever_the_inventory_says() -> None:
    holders = imeis(2000, Random(24))
    listing = Busy(holders, strict=True)
    reader, _ = reader_of(listing, cursors=8)
    at_once = []
    for _ in range(2):
        listing.busy.clear()
        seen = await reader.observe([DeviceId(each) for each in imeis(500, Random(25))], silent)
        assert seen.holders == set(holders)
        at_once.append(listing.mean_at_once)
    assert at_once[0] < 1.5  # of eight cursors that ask one after the other there are four and a half on average
    assert at_once[1] > 2.5


async def test_a_second_reading_of_a_pool_that_has_grown_starts_from_the_inventory_as_well() -> None:
    holders = imeis(2000, Random(26))
    listing = Busy(holders[:60], strict=True)
    reader, _ = reader_of(listing, cursors=8)
    known = [DeviceId(each) for each in holders]
    await reader.observe(known, silent)
    listing.holders = holders
    listing.busy.clear()
    assert (await reader.observe(known, silent)).holders == set(holders)
    assert listing.mean_at_once > 2.5


async def test_the_first_page_does_not_wait_for_what_is_known() -> None:
    listing = Listing(imeis(100, Random(27)))
    foreseen = asyncio.get_running_loop().create_future()

    def foresee(number: int, _: str) -> None:
        if number == 1:
            foreseen.set_result(known(listing.holders))

    listing.before = foresee
    async with asyncio.timeout(10):
        read = await side_by_side(listing.fetch, tally(), foreseen, 4)
    assert read.devices == set(listing.holders)


def test_what_a_walk_has_seen_stands_for_all_of_it() -> None:
    walked = tally()
    pages = [imeis(1000, Random(seed)) for seed in range(30)]
    for page in pages:
        rows = [fota_calls.License(DeviceId(each)) for each in page]
        walked.take(StatusPage(ACCOUNT, True, None, None, 30_000, page[-1], rows))
    seen = walked.seen
    assert set(seen.sample) <= walked.devices
    assert len(seen.sample) <= foreknown.LARGEST_SAMPLE
    assert seen.step * len(seen.sample) == pytest.approx(30_000, rel=0.1)


@pytest.mark.parametrize("off_by", [-1, 1])
async def test_a_list_that_never_agrees_with_the_count_is_read_three_times_and_not_believed(off_by: int) -> None:
    listing = Listing(imeis(20, Random(23)), spoil=lambda _, told: {**told, "assignedLicenses": 20 + off_by})
    with pytest.raises(IncompleteObservation, match=r"\(after 3 walks\)") as raised:
        await observed(listing)
    assert raised.value.reading is Reading.PARTIAL
    assert 4 <= len(listing.asked) <= 6


async def test_a_list_that_lacks_a_device_once_is_read_again() -> None:
    def lose_a_row(number: int, told: Told) -> Told:
        rows = told["deviceList"]
        assert isinstance(rows, list)
        return {**told, "deviceList": rows[1:]} if number == 2 else told

    listing = Listing(imeis(35, Random(24)), spoil=lose_a_row)
    assert (await observed(listing)).holders == set(listing.holders)
    assert len(listing.asked) == 8


async def test_a_last_page_that_is_left_out_is_noticed() -> None:
    listing = Listing(
        imeis(35, Random(25)), spoil=lambda number, told: {**told, "hasMoreData": told["hasMoreData"] and number != 2}
    )
    assert (await observed(listing)).holders == set(listing.holders)


@pytest.mark.parametrize(("off_by", "tolerance", "whole"), [(2, 2, True), (-2, 2, True), (3, 2, False), (-3, 2, False)])
async def test_the_tolerance_says_by_how_much_list_and_count_may_differ(
    *, off_by: int, tolerance: int, whole: bool
) -> None:
    listing = Listing(imeis(20, Random(26)), spoil=lambda _, told: {**told, "assignedLicenses": 20 + off_by})
    if whole:
        seen = await observed(listing, tolerance=tolerance)
        assert (seen.holders, seen.capacity.assigned) == (set(listing.holders), 20 + off_by)
    else:
        with pytest.raises(IncompleteObservation, match="the service counts"):
            await observed(listing, tolerance=tolerance)


@pytest.mark.parametrize("spoil", SPOILERS)
@pytest.mark.parametrize("page", [1, 4])
async def test_a_page_that_was_not_in_order_once_loses_nobody(page: int, spoil: Callable[[int, Told], Told]) -> None:
    holders = imeis(300, Random(41))
    listing = Listing(holders, spoil=lambda number, told: spoil(number, told) if number == page else told)
    assert (await observed(listing, starts=holders)).holders == set(holders)


async def test_a_count_that_changed_in_a_walk_is_read_again_and_believed_if_it_stays() -> None:
    listing = Listing(imeis(35, Random(27)))
    someone = imeis(1, Random(28))[0]

    def somebody_assigns(number: int, _: str) -> None:
        if number == 3:
            listing.holders = sorted([*listing.holders, someone], key=by_number)

    listing.before = somebody_assigns
    seen = await observed(listing)
    assert someone in seen.holders
    assert seen.capacity.assigned == 36


async def test_a_count_that_changes_in_every_walk_is_not_believed() -> None:
    listing = Listing(imeis(35, Random(29)), spoil=lambda number, told: {**told, "assignedLicenses": 35 + number % 2})
    with pytest.raises(IncompleteObservation, match=r"changed from .* \(after 3 walks\)"):
        await observed(listing)


@pytest.mark.parametrize("missing", [("totalLicense",), ("assignedLicenses",), ("totalLicense", "assignedLicenses")])
async def test_counts_that_the_pages_lack_are_those_of_the_subscription(missing: tuple[str, ...]) -> None:
    listing = Listing(
        imeis(25, Random(30)),
        spoil=lambda _, told: {name: value for name, value in told.items() if name not in missing},
    )
    books = Books({"accountName": ACCOUNT, "licenseCount": 70, "licenseUsedCount": 25})
    seen = await observed(listing, books, starts=listing.holders)
    assert seen.holders == set(listing.holders)
    assert seen.capacity == Capacity(70 if "totalLicense" in missing else 9000, 25)


@pytest.mark.parametrize(
    ("missing", "subscription", "lacking"),
    [
        ("totalLicense", {}, "how many licenses there are"),
        ("assignedLicenses", Unreachable("no answer"), "how many licenses are assigned"),
    ],
)
async def test_without_anybodys_count_nothing_is_proved(
    missing: str, subscription: Mapping[str, object] | ApiError, lacking: str
) -> None:
    listing = Listing(
        imeis(5, Random(31)), spoil=lambda _, told: {name: value for name, value in told.items() if name != missing}
    )
    with pytest.raises(IncompleteObservation, match=lacking):
        await observed(listing, Books(subscription))


async def test_a_subscription_that_counts_otherwise_is_not_asked_where_the_pages_count() -> None:
    listing = Listing(imeis(5, Random(32)))
    books = Books({"accountName": ACCOUNT, "licenseCount": 1, "licenseUsedCount": 999})
    assert (await observed(listing, books)).capacity == Capacity(9000, 5)


@pytest.mark.parametrize(
    "subscription",
    [
        Unreachable("no answer"),
        ServerBroken("503", status=503),
        RequestRejected("no", status=403),
        UnexpectedReply("html"),
        {"accountName": ACCOUNT, "purchaseType": "TSS-IOT-INTLG-CUSTOM-SWMT"},
    ],
)
async def test_a_subscription_that_does_not_answer_matters_only_for_counts(
    subscription: Mapping[str, object] | ApiError,
) -> None:
    listing = Listing(imeis(15, Random(33)))
    assert (await observed(listing, Books(subscription))).holders == set(listing.holders)


@pytest.mark.parametrize("refused", [False, True])
async def test_an_account_that_is_billed_by_event_only_is_no_pool_of_licenses(*, refused: bool) -> None:
    listing = Listing([])

    def refuse(_: int, __: str) -> None:
        if refused:
            raise RequestRejected("FOTA license status: HTTP 400 INVALID_PARAMETER", status=400)

    listing.before = refuse
    books = Books({"accountName": ACCOUNT, "purchaseType": "TS-HFOTA-EVNT", "licenseCount": 0, "licenseUsedCount": 0})
    with pytest.raises(RequestRejected, match="billed by event only"):
        await observed(listing, books)


async def test_a_status_call_that_is_rejected_says_so_where_the_account_has_licenses() -> None:
    listing = Listing([])

    def refuse(_: int, __: str) -> None:
        raise RequestRejected("FOTA license status: HTTP 403", status=403)

    listing.before = refuse
    with pytest.raises(RequestRejected, match="403"):
        await observed(listing, Books({"accountName": ACCOUNT, "purchaseType": "TS-HFOTA-MRC"}))


@pytest.mark.parametrize("cursors", [1, 4])
async def test_a_first_page_that_cannot_be_had_is_an_error_and_a_later_one_a_partial_reading(cursors: int) -> None:
    holders = imeis(300, Random(34))

    def fail_at(page: int) -> Callable[[int, str], None]:
        def fail(_: int, cursor: str) -> None:
            if cursor == ("0" if page == 1 else holders[10 * page - 11]):
                raise Unreachable("no answer")

        return fail

    with pytest.raises(Unreachable):
        await observed(Listing(holders, before=fail_at(1)), starts=holders, cursors=cursors)
    listing = Listing(holders, before=fail_at(3))
    with pytest.raises(PageUnreadable) as raised:
        await observed(listing, starts=[holders[-1]], cursors=cursors)
    assert raised.value.reading is Reading.PARTIAL
    assert len(listing.asked) < 2 * listing.pages


@pytest.mark.parametrize("cursors", [1, 4])
async def test_a_login_that_is_lost_in_the_middle_is_no_partial_reading(cursors: int) -> None:
    holders = imeis(100, Random(35))

    def lose_it(number: int, _: str) -> None:
        if number == 3:
            raise StaleSession("the session is not accepted")

    with pytest.raises(StaleSession):
        await observed(Listing(holders, before=lose_it), starts=holders, cursors=cursors)


@pytest.mark.parametrize("cursors", [1, 4])
async def test_a_cursor_whose_device_lost_its_license_meanwhile_lets_the_walk_start_again(cursors: int) -> None:
    holders = imeis(95, Random(36))
    listing = Listing(holders, strict=True)

    def somebody_removes(number: int, cursor: str) -> None:
        if number > 2 and cursor != "0" and len(listing.holders) == len(holders):
            listing.holders = [each for each in holders if each != cursor]

    listing.before = somebody_removes
    seen = await observed(listing, starts=[], cursors=cursors)
    assert seen.holders == set(listing.holders)
    assert len(seen.holders) == 94


async def test_a_page_of_another_account_is_not_believed() -> None:
    listing = Listing(imeis(30, Random(37)), spoil=lambda _, told: {**told, "accountName": "9999999999-00001"})
    with pytest.raises(UnexpectedReply, match="9999999999-00001"):
        await observed(listing)


# --- the forms of the status call


@pytest.mark.parametrize("form", StatusForm)
async def test_the_form_of_the_call_that_the_service_knows_is_found_once(form: StatusForm) -> None:
    listing = Listing(imeis(35, Random(38)))
    reader, memory = reader_of(listing, Books(forms=frozenset({form})))
    seen = await reader.observe([], silent)
    assert seen.holders == set(listing.holders)
    wrong = list(StatusForm).index(form)
    assert memory.tried == [*list(StatusForm)[:wrong], *[form] * 4]


async def test_a_form_that_is_set_is_the_only_one_that_is_tried() -> None:
    reader, memory = reader_of(Listing([]), Books(forms=frozenset({StatusForm.V1})), form=StatusForm.V3_QUERY)
    with pytest.raises(RequestRejected, match="900906"):
        await reader.observe([], silent)
    assert memory.tried == [StatusForm.V3_QUERY]


async def test_a_service_that_knows_no_form_is_asked_in_each_once() -> None:
    reader, memory = reader_of(Listing([]), Books(forms=frozenset()))
    with pytest.raises(RequestRejected, match="900906"):
        await reader.observe([], silent)
    assert memory.tried == list(StatusForm)


# --- the counts alone


async def test_the_capacity_of_the_moment_takes_one_request() -> None:
    listing = Listing(imeis(35, Random(39)))
    reader, memory = reader_of(listing, Books(Unreachable("not asked")))
    assert await reader.capacity() == Capacity(9000, 35)
    assert len(memory.tried) == 1


async def test_the_capacity_of_the_moment_is_that_of_the_subscription_where_pages_have_none() -> None:
    listing = Listing(imeis(35, Random(40)), spoil=lambda _, __: {"accountName": ACCOUNT, "hasMoreData": False})
    reader, _ = reader_of(listing, Books({"accountName": ACCOUNT, "licenseCount": 70, "licenseUsedCount": 35}))
    assert await reader.capacity() == Capacity(70, 35)
    blind, _ = reader_of(listing, Books(Unreachable("no answer")))
    with pytest.raises(IncompleteObservation):
        await blind.capacity()
