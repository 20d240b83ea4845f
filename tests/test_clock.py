"""A clock that is set back or forth under a running service: no run is left out, and nothing old passes for fresh."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from fleets import CREDENTIALS, Fleet, fleet_of, imeis
from ledgers import query
from services import scheduled

from licensesync import settings
from licensesync.daemon import serving
from licensesync.daemon.backoff import Backoff, Pace
from licensesync.daemon.clock import Clock
from licensesync.daemon.course import Course

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LOOKS", 0.05)


@asynccontextmanager
async def serving_here(fleet: Fleet) -> AsyncIterator[None]:
    """The service in this process, whose clock can be set."""
    task = asyncio.create_task(serving.serve(settings.load(fleet.folder / "licensesync.yaml"), CREDENTIALS))
    try:
        yield
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await task


async def runs_of(fleet: Fleet, least: int) -> list[str]:
    """When its runs have ended, once there are so many."""
    file = fleet.folder / "licensesync.db"
    async with asyncio.timeout(30):
        while True:
            if file.exists() and query(file, "SELECT name FROM sqlite_schema WHERE name = 'runs'"):
                ended = query(file, "SELECT finished_at FROM runs WHERE finished_at IS NOT NULL ORDER BY id")
                if len(ended) >= least:
                    return [row[0] for row in ended]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("step", [-2 * HOUR, 2 * HOUR])
async def test_a_clock_that_is_set_leads_to_a_run_and_to_a_schedule_from_then_on(
    tmp_path: Path, step: timedelta
) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        scheduled(fleet, every="3s")
        fleet.inventory(imeis(0, 2))
        async with serving_here(fleet):
            before = await runs_of(fleet, 1)
            with time_machine.travel(datetime.now(UTC) + step, tick=True):
                first = datetime.now(UTC)
                ended = await runs_of(fleet, len(before) + 3)
                assert datetime.now(UTC) - first < MINUTE
    moments = [datetime.fromisoformat(at).replace(tzinfo=UTC) for at in ended]
    assert [at - first < MINUTE and at >= first for at in moments].count(True) >= 2


async def test_a_reading_that_a_run_could_rest_on_is_given_up_when_the_clock_is_set(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.settings(pool="    reading: {reread: 6h}\n")
        scheduled(fleet, every="1s")
        fleet.inventory(imeis(0, 2))
        async with serving_here(fleet):
            await runs_of(fleet, 3)
            assert len(set(_readings(fleet)[1:])) == 1, "the runs after the first are quiet"
            with time_machine.travel(datetime.now(UTC) + 2 * HOUR, tick=True):
                first = datetime.now(UTC)
                async with asyncio.timeout(30):
                    while _readings(fleet)[-1] < first:
                        await asyncio.sleep(0.05)


def _readings(fleet: Fleet) -> list[datetime]:
    """When the pool was read, run by run."""
    rows = query(fleet.folder / "licensesync.db", "SELECT read_at FROM pool_runs ORDER BY id")
    return [datetime.fromisoformat(at).replace(tzinfo=UTC) for (at,) in rows]


def test_only_a_step_is_told_and_it_is_told_once() -> None:
    shown, passed = iter([100, 110.5, 30, 40, 9_000]), iter([0, 10, 20, 30, 40])
    clock = Clock(lambda: next(shown), lambda: next(passed))
    steps = [clock.step() for _ in range(4)]
    assert steps == [None, timedelta(seconds=-90.5), None, timedelta(seconds=8_950)]


@pytest.mark.parametrize(("step", "again_in"), [(-2 * HOUR, MINUTE), (HOUR, MINUTE - HOUR)])
def test_a_pool_that_backs_off_waits_no_longer_by_a_clock_that_was_set(step: timedelta, again_in: timedelta) -> None:
    backoff = Backoff()
    backoff.failed("fota", NOW, Pace())
    backoff.clock_was_set(step)
    assert backoff.attempts["fota"] - (NOW + step) == again_in


@pytest.mark.parametrize(("step", "ready"), [(-2 * HOUR, True), (2 * HOUR, False)])
def test_what_was_read_long_ago_is_not_fresh_by_a_clock_that_was_set(step: timedelta, *, ready: bool) -> None:
    course = Course(read_whole_at={"fota": NOW})
    course.clock_was_set(step)

    def ready_after(passed: timedelta) -> bool:
        return course.readiness(["fota"], lambda read: read + HOUR, NOW + step + passed).ok

    assert ready_after(MINUTE) is ready
    assert not ready_after(HOUR + MINUTE)
