"""When runs are due: by an interval, by a cron expression as crontab(5) means it, and for pools to be tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import tzlocal
from hypothesis import given
from hypothesis import strategies as st

from licensesync.daemon.backoff import Backoff, Pace
from licensesync.daemon.bell import Bell
from licensesync.settings import Schedule

MINUTE = timedelta(minutes=1)
EVERY = timedelta(minutes=15)
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)

Field = tuple[str, frozenset[int]]


def fields(least: int, most: int, all_until: int | None = None) -> st.SearchStrategy[Field]:
    """A field as it is written, and what it stands for: worked out without reading it."""
    last = all_until or most
    numbers = st.integers(least, most)
    one = numbers.map(lambda number: (str(number), frozenset({number})))
    some = st.tuples(numbers, numbers).map(
        lambda ends: (f"{min(ends)}-{max(ends)}", frozenset(range(min(ends), max(ends) + 1)))
    )
    stepped = st.integers(1, 15).map(lambda step: (f"*/{step}", frozenset(range(least, last + 1, step))))
    every = st.just(("*", frozenset(range(least, last + 1))))
    two = st.tuples(one, some).map(lambda both: (f"{both[0][0]},{both[1][0]}", both[0][1] | both[1][1]))
    return every | one | some | stepped | two


moments = st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE)
NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@st.composite
def weekdays(draw: st.DrawFn) -> Field:
    """Sunday has two numbers, and days have names."""
    day = draw(st.integers(0, 6))
    written = draw(st.sampled_from([NAMES[day], *(["7"] if day == 0 else [f"{NAMES[day]}-sat"])]))
    return written, frozenset({day} if "-" not in written else range(day, 7))


@st.composite
def crons(draw: st.DrawFn) -> tuple[str, list[Field]]:
    drawn = [draw(fields(*bounds)) for bounds in ((0, 59), (0, 23), (1, 28, 31), (1, 12))]
    drawn.append(draw(fields(0, 6) | weekdays()))
    return " ".join(text for text, _ in drawn), drawn


def matches(when: datetime, drawn: list[Field]) -> bool:
    """As crontab(5) says: of day of the month and day of the week, either is enough if neither begins with a star."""
    (_, minutes), (_, hours), (day, days), (_, months), (weekday, weekdays) = drawn
    on_day, on_weekday = when.day in days, when.isoweekday() % 7 in weekdays
    either = on_day or on_weekday if day[0] != "*" != weekday[0] else on_day and on_weekday
    return when.minute in minutes and when.hour in hours and when.month in months and either


def next_after(moment: datetime, drawn: list[Field]) -> datetime | None:
    """The next minute that matches, looked for day by day; None if there is none within nine years."""
    when = moment.replace(second=0, microsecond=0) + MINUTE
    (_, minutes), (_, hours), *_ = drawn
    for _ in range(9 * 366):
        end = when.replace(hour=0, minute=0) + timedelta(days=1)
        if matches(when.replace(hour=min(hours), minute=min(minutes)), drawn):
            while when < end:
                if matches(when, drawn):
                    return when
                when += MINUTE
        when = end
    return None


@pytest.fixture(autouse=True, scope="module")
def _in_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        tzlocal.reload_localzone()
        yield
    tzlocal.reload_localzone()


def bell(schedule: Schedule, ring: asyncio.Event | None = None) -> Bell:
    return Bell(schedule, ring.set if ring else lambda: None)


@given(crons(), moments)
def test_a_cron_expression_rings_when_crontab_says_so(cron: tuple[str, list[Field]], moment: datetime) -> None:
    written, drawn = cron
    expected: datetime | None = moment
    for _ in range(3):
        expected = expected and next_after(expected, drawn)

    async def third() -> datetime | None:
        hung = bell(Schedule(every=None, cron=written, jitter=timedelta()))
        try:
            return hung.overdue_since(moment)
        finally:
            hung.close()

    assert asyncio.run(third()) == expected


async def test_its_hours_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    tzlocal.reload_localzone()
    hung = bell(Schedule(every=None, cron="30 5 * * *", jitter=timedelta()))
    due = hung.next
    hung.close()
    monkeypatch.setenv("TZ", "UTC")
    tzlocal.reload_localzone()
    assert due is not None
    assert f"{due.astimezone(UTC):%H:%M}" == "20:30"


async def test_it_rings_on_schedule_and_when_a_pool_is_tried_again_until_it_is_closed() -> None:
    rung = asyncio.Event()
    hung = bell(Schedule(every=timedelta(hours=1), jitter=timedelta()), rung)
    assert hung.next is not None
    before = hung.next
    hung.reschedule(Schedule(every=timedelta(hours=1), jitter=timedelta()))
    assert hung.next == before, "the same schedule goes on"

    hung.also_at({"a": datetime.now(UTC) + timedelta(hours=2), "b": datetime.now(UTC) + timedelta(seconds=0.05)})
    await asyncio.wait_for(rung.wait(), 5)
    rung.clear()
    hung.also_at({"a": datetime.now(UTC) - timedelta(seconds=1)})
    await asyncio.wait_for(rung.wait(), 5)
    rung.clear()
    hung.also_at({"a": datetime.now(UTC) + timedelta(seconds=0.1)})
    hung.also_at({})
    hung.reschedule(Schedule(every=timedelta(seconds=0.3), jitter=timedelta()))
    await asyncio.sleep(0.2)
    assert not rung.is_set(), "a pool that is well again is not tried by itself"
    await asyncio.wait_for(rung.wait(), 5)
    hung.close()
    rung.clear()
    await asyncio.sleep(0.4)
    assert not rung.is_set()


async def test_three_intervals_without_a_reading_are_too_many() -> None:
    hung = bell(Schedule(every=EVERY))
    assert hung.overdue_since(NOW) == NOW + 3 * EVERY
    hung.close()


def test_a_pool_is_tried_again_ever_more_rarely_and_never_more_often_than_the_schedule() -> None:
    backoff = Backoff()
    waits = []
    for _ in range(9):
        backoff.failed("a", NOW, Pace.of(EVERY))
        waits.append((backoff.attempts["a"] - NOW) / MINUTE)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert not backoff.is_due("a", NOW + timedelta(minutes=59))
    assert backoff.is_due("a", NOW + timedelta(minutes=60))
    assert backoff.is_due("b", NOW)
    backoff.succeeded("a")
    assert backoff.is_due("a", NOW)
    seconds = Pace.of(timedelta(seconds=2))
    assert [seconds.after(failures).total_seconds() for failures in (1, 2, 3, 4, 100)] == [2, 4, 8, 16, 16]
    assert Pace.of(None) == Pace()


def test_a_service_that_asks_for_an_absurd_wait_is_asked_again_after_a_day() -> None:
    backoff = Backoff()
    backoff.failed("a", NOW, Pace.of(EVERY), 1e12)
    assert backoff.attempts["a"] == NOW + timedelta(days=1)


def test_a_change_lets_every_pool_be_tried_but_for_one_that_the_service_asked_to_wait_with() -> None:
    backoff = Backoff()
    for pool, retry_after in (("a", None), ("b", 30.0), ("c", 600.0)):
        backoff.failed(pool, NOW, Pace.of(EVERY), retry_after)
    assert backoff.attempts["c"] == NOW + timedelta(minutes=10)
    backoff.waive()
    assert [pool for pool in "abc" if backoff.is_due(pool, NOW)] == ["a", "b"]
    backoff.keep(["a", "b"])
    assert backoff.is_due("c", NOW), "another pool of this name is another pool"
