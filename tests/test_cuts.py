"""How many requests and how much time a reading takes, whatever is known of the fleet; and that nobody is ever lost."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
import virtual_time
from hypothesis import given, settings
from hypothesis import strategies as st

from licensesync.credentials import Credentials
from licensesync.errors import IncompleteObservation, RequestRejected
from licensesync.model import DeviceId, Mode, Pool, Product
from licensesync.simulator.server import Simulator, SimulatorOptions, running
from licensesync.thingspace import client
from licensesync.thingspace.foreknown import Known
from licensesync.thingspace.fota import FotaReader
from licensesync.thingspace.fota_calls import License, StatusPage
from licensesync.thingspace.transport import Bounds
from licensesync.thingspace.walk import Tally, side_by_side

ACCOUNT = "0642233522-00001"
PAGE, PAGES = 20, 1000
DEVICES = PAGE * PAGES
Key = Callable[[str], tuple[int, str]]


def by_number(imei: str) -> tuple[int, str]:
    return int(imei), imei


def by_text(imei: str) -> tuple[int, str]:
    return 0, imei


@dataclass
class Service:
    """A service with one second of latency; a strict one takes only cursors of the account."""

    holders: Sequence[str]
    order: Key = by_number
    size: int = PAGE
    strict: bool = False
    told: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.holders = sorted(self.holders, key=self.order)
        self._keys = [self.order(each) for each in self.holders]
        self._account = frozenset(self.holders)

    async def fetch(self, cursor: str) -> StatusPage:
        self.told["requests"] += 1
        await asyncio.sleep(1)
        if cursor != "0" and self.strict and cursor not in self._account:
            self.told["rejections"] += 1
            raise RequestRejected("HTTP 400: LastSeenDeviceId Not Valid", status=400)
        return self.page(cursor)

    def page(self, cursor: str) -> StatusPage:
        start = 0 if cursor == "0" else bisect_right(self._keys, self.order(cursor))
        rows = [License(DeviceId(each)) for each in self.holders[start : start + self.size]]
        more, last = start + self.size < len(self.holders), rows[-1].deviceId if rows else cursor
        return StatusPage(ACCOUNT, more, DEVICES, None, len(self.holders), last, rows)

    def read(self, known: Sequence[str], cursors: int) -> tuple[set[DeviceId], float]:
        """Who was seen, and after how many seconds."""
        tally = Tally(lambda _seen, _of: None)
        read, seconds = virtual_time.run(side_by_side(self.fetch, tally, virtual_time.Ready(Known.of(known)), cursors))
        return read.devices, seconds


# --- fleets


def series(prefix: str, count: int, chance: Random, filled: float) -> Iterator[str]:
    """So many devices of one maker's type, somewhere in its seven digits, in a stretch that is filled so far."""
    span = min(10**7, round(count / filled))
    first = chance.randrange(10**7 - span + 1)
    return (f"{prefix}{first + each:07d}" for each in chance.sample(range(span), count))


def prefixes(count: int, chance: Random) -> list[str]:
    """Types as they are: four bodies have given most numbers, one of them beginning with a zero."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[f"{chance.choice(('35', '35', '35', '86', '86', '01', '99'))}{chance.randrange(10**6):06d}"] = None
    return list(found)


def types(sizes: Sequence[int], chance: Random, filled: float = 0.1) -> list[str]:
    kinds = zip(prefixes(len(sizes), chance), sizes, strict=True)
    return [each for prefix, size in kinds for each in series(prefix, size, chance, filled)]


def unequal(count: int) -> list[int]:
    """The largest has as many as the second twice, the third three times, and so on."""
    whole = sum(1 / each for each in range(1, count + 1))
    return [max(1, int(DEVICES / each / whole)) for each in range(1, count + 1)]


def anywhere(chance: Random, lengths: Sequence[int] = (15,)) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < DEVICES:
        length = chance.choice(lengths)
        found[f"{chance.randrange(10**length):0{length}d}"] = None
    return list(found)


def with_longer_ones(chance: Random) -> list[str]:
    """As many with sixteen digits as with fifteen."""
    half = [size // 2 or 1 for size in unequal(30)]
    return [*types(half, chance), *(f"{each}{chance.randrange(10)}" for each in types(half, chance))]


FLEETS: Mapping[str, Callable[[Random], list[str]]] = {
    "one type, in sequence": lambda _: [f"35209900{10 * each:07d}" for each in range(DEVICES)],
    "one type, scattered": lambda chance: list(series("35209900", DEVICES, chance, 0.002)),
    "two types, side by side": lambda chance: [
        each for prefix in ("35209900", "35209901") for each in series(prefix, DEVICES // 2, chance, 0.1)
    ],
    "a small one and a large one": lambda chance: types([DEVICES // 50, DEVICES], chance),
    "40 types of one size": lambda chance: types([DEVICES // 40] * 40, chance),
    "40 types of one size, scattered": lambda chance: types([DEVICES // 40] * 40, chance, 1e-5),
    "40 types of very unequal size": lambda chance: types(unequal(40), chance),
    "400 types": lambda chance: types(unequal(400), chance),
    "800 types of little more than a page": lambda chance: types([DEVICES // 800] * 800, chance),
    "anywhere": anywhere,
}
BY_NUMBER_ONLY: Mapping[str, Callable[[Random], list[str]]] = {
    "anywhere, of several lengths": lambda chance: anywhere(chance, (14, 15, 16)),
    "types, half of them with 16 digits": with_longer_ones,
}
ORDERED = [(name, fleet, by_number) for name, fleet in {**FLEETS, **BY_NUMBER_ONLY}.items()] + [
    (name, FLEETS[name], by_text) for name in ("40 types of one size", "40 types of very unequal size", "anywhere")
]
every_fleet = pytest.mark.parametrize(
    ("fleet", "order"),
    [(fleet, order) for _, fleet, order in ORDERED],
    ids=[f"{name}, {order.__name__}" for name, _, order in ORDERED],
)
some_fleets = pytest.mark.parametrize(
    "fleet", [FLEETS[name] for name in ("one type, scattered", "40 types of very unequal size", "anywhere")]
)


def nobody(_: Sequence[str], __: Random) -> list[str]:
    return []


def another_fleet(_: Sequence[str], chance: Random) -> list[str]:
    return types([DEVICES // 5] * 5, chance)


def half_wrong(holders: Sequence[str], chance: Random) -> list[str]:
    return [*holders[::2], *anywhere(chance)[: DEVICES // 2]]


# --- how long it takes


@every_fleet
@pytest.mark.parametrize("cursors", [pytest.param(4, marks=pytest.mark.exhaustive), 8, 16])
def test_with_the_right_inventory_a_reading_takes_hardly_longer_than_it_must(
    fleet: Callable[[Random], list[str]], order: Key, cursors: int
) -> None:
    service = Service(fleet(Random(1)), order)
    seen, seconds = service.read(service.holders, cursors)
    pages = -(-len(service.holders) // PAGE)
    assert seen == set(service.holders)
    assert service.told["requests"] <= 1.02 * pages
    # Of 63 rounds of 16 requests two more make 1.04: the first page is read alone, and the last round is not full.
    assert seconds <= (1.05 if cursors < 16 else 1.08) * pages / cursors


LIMITS = {4: (1.12, 1.09), 8: (1.2, 1.1), 16: (1.4, 1.22)}
MORE_OF_THE_SAME = [(known, cursors) for known in (nobody, another_fleet, half_wrong) for cursors in (4, 16)]


@every_fleet
@pytest.mark.parametrize(
    ("known", "cursors"),
    [
        *[(known, 8) for known in (nobody, another_fleet, half_wrong)],
        *[pytest.param(*each, marks=pytest.mark.exhaustive) for each in MORE_OF_THE_SAME],
    ],
)
def test_with_no_or_a_wrong_inventory_a_reading_takes_little_longer_where_the_service_takes_any_cursor(
    fleet: Callable[[Random], list[str]],
    order: Key,
    known: Callable[[Sequence[str], Random], list[str]],
    cursors: int,
) -> None:
    longer, more = LIMITS[cursors]
    chance = Random(2)
    service = Service(fleet(chance), order)
    seen, seconds = service.read(known(service.holders, chance), cursors)
    pages = -(-len(service.holders) // PAGE)
    assert seen == set(service.holders)
    assert service.told["requests"] <= more * pages
    assert seconds <= longer * pages / cursors


@some_fleets
@pytest.mark.parametrize("known", [nobody, another_fleet])
def test_a_service_that_takes_only_cursors_of_the_account_rejects_three_guesses_and_is_then_read_by_one(
    fleet: Callable[[Random], list[str]], known: Callable[[Sequence[str], Random], list[str]]
) -> None:
    chance = Random(3)
    service = Service(fleet(chance), strict=True)
    seen, seconds = service.read(known(service.holders, chance), 8)
    pages = -(-len(service.holders) // PAGE)
    assert seen == set(service.holders)
    assert 1 <= service.told["rejections"] <= 3
    assert seconds <= pages + 3


def a_thirtieth(holders: Sequence[str], chance: Random) -> list[str]:
    return chance.sample(holders, len(holders) // 30)


@some_fleets
@pytest.mark.parametrize(("known", "longer"), [(a_thirtieth, 1.1), (half_wrong, 2.0)])
def test_a_strict_service_is_read_side_by_side_as_soon_as_a_part_of_the_inventory_is_right(
    fleet: Callable[[Random], list[str]],
    known: Callable[[Sequence[str], Random], list[str]],
    longer: float,
) -> None:
    chance = Random(4)
    service = Service(fleet(chance), strict=True)
    seen, seconds = service.read(known(service.holders, chance), 8)
    pages = -(-len(service.holders) // PAGE)
    assert seen == set(service.holders)
    assert service.told["requests"] <= 1.1 * pages
    assert seconds <= longer * pages / 8


@pytest.mark.parametrize("pages", [3, 6, 12, 25, 50])
def test_a_short_list_is_not_asked_for_much_more_than_it_has(pages: int) -> None:
    service = Service(types([pages * PAGE // 5] * 5, Random(5)))
    seen, _ = service.read([], 8)
    assert seen == set(service.holders)
    assert service.told["requests"] <= 1.35 * pages + 1


# --- nobody is lost


@st.composite
def fleets(draw: st.DrawFn, length: int) -> list[str]:
    """Stretches with gaps between them, wide and narrow, and lone devices."""
    starts = draw(st.lists(st.integers(1, 10**length - 10**4), min_size=1, max_size=6))
    steps = draw(st.lists(st.sampled_from([1, 10, 97]), min_size=6, max_size=6))
    found = {start + step * each for start, step in zip(starts, steps, strict=False) for each in range(25)}
    lone = draw(st.lists(st.integers(1, 10**length - 1), max_size=20))
    return [f"{each:0{length}d}" for each in sorted(found | set(lone))]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Who is in the account, and who is thought to be: all, some or none of them, and others. All of one length."""
    length = draw(st.sampled_from([14, 15, 16]))
    holders = draw(fleets(length))
    known = draw(st.sampled_from([[], holders, holders[::2], holders[::40], holders[len(holders) // 2 :]]))
    return holders, [*known, *(draw(fleets(length)) if draw(st.booleans()) else [])]


@dataclass
class OddService(Service):
    """Answers guesses in a way of its own: a cursor that is not in the account is one of the next page, or of none."""

    way: str = "above"

    def page(self, cursor: str) -> StatusPage:
        if cursor == "0" or cursor in self.holders or self.way == "above":
            return super().page(cursor)
        if self.way == "from-start":
            return super().page("0")
        if self.way == "one-later":
            return super().page(super().page(cursor).cursor)
        return StatusPage(ACCOUNT, False, DEVICES, None, len(self.holders), cursor, [])


@given(
    world=worlds(),
    size=st.integers(1, 12),
    cursors=st.integers(2, 16),
    order=st.sampled_from([by_number, by_text]),
    strict=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_known_and_guessed_everybody_is_seen(
    *, world: tuple[list[str], list[str]], size: int, cursors: int, order: Key, strict: bool
) -> None:
    holders, known = world
    service = Service(holders, order, size, strict)
    seen, _ = service.read(known, cursors)
    assert seen == set(holders)
    assert service.told["requests"] <= 2 * (len(holders) // size + 1) + 4 * cursors


@given(
    holders=fleets(15),
    size=st.integers(1, 12),
    cursors=st.integers(2, 9),
    way=st.sampled_from(["from-start", "one-later", "empty"]),
)
@settings(max_examples=100, deadline=None)
def test_a_service_that_answers_guesses_in_its_own_way_is_read_whole_or_not_believed(
    *, holders: list[str], size: int, cursors: int, way: str
) -> None:
    service = OddService(holders, size=size, way=way)
    try:
        seen, _ = service.read([], cursors)
    except IncompleteObservation:
        return
    assert seen == set(holders) or (way == "one-later" and len(seen) < len(holders))


def test_an_empty_page_at_a_guess_is_not_taken_for_the_end_of_the_list() -> None:
    """The range before goes on to the end of the list: the service may answer so whatever it does not know."""
    service = OddService(types([500] * 4, Random(6)), way="empty")
    seen, _ = service.read([], 4)
    assert seen == set(service.holders)


# --- over HTTP


async def observed(simulator: Simulator, known: Sequence[str], cursors: int = 6) -> set[str]:
    pool = Pool("fota", Product.FOTA, ACCOUNT, Mode.FULL)
    credentials = Credentials("key", "secret", "user", "password")
    async with client.reading(simulator.url, Bounds(30, cursors, 100_000), credentials, {}) as reader:
        told = await FotaReader(pool, reader, cursors=cursors).observe(
            [DeviceId(each) for each in known], lambda _seen, _of: None
        )
    return set(told.holders)


@pytest.mark.parametrize("order", ["number", "text", "backwards", "scrambled"])
@pytest.mark.parametrize("check", ["account", "licensed", "lenient"])
@pytest.mark.parametrize("known", [nobody, another_fleet])
async def test_the_simulator_is_read_whole_with_no_or_another_fleets_inventory(
    order: str, check: str, known: Callable[[Sequence[str], Random], list[str]]
) -> None:
    fleet = types([150, 400, 50], Random(7))
    quirks = {"page-order": order, "cursor-check": check, "page-size": "10", "shuffled-rows": "on"}
    async with running(SimulatorOptions(kind=True, seed=1, devices=0, quirks=quirks)) as simulator:
        account = simulator.world.accounts[ACCOUNT]
        for each in fleet:
            account.licensed.add(each)
        assert await observed(simulator, known(fleet, Random(8))) == set(fleet)
        requests = len(simulator.requests.of("status"))
    assert requests <= 1.35 * 60 + 2
