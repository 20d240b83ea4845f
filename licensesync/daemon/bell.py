"""Rings when a run is due: by the schedule of the settings, and once more for each pool that is to be tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from tzlocal import get_localzone

from licensesync.settings import Schedule
from licensesync.values import CRON_FIELDS, cron_numbers

RUNS: Final = "runs"
OVERDUE: Final = 3
"""A service is not ready after so many intervals without a whole reading."""

DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class Bell:
    """Rings by the schedule from its making on; it runs nothing itself, and a ring that nobody hears is no loss."""

    def __init__(self, schedule: Schedule, ring: Callable[[], None]) -> None:
        async def rung() -> None:
            ring()

        self._ring = rung
        self._schedule = schedule
        self._scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})
        self._scheduler.start()
        self._hang()

    def close(self) -> None:
        self._scheduler.shutdown(wait=False)

    @property
    def next(self) -> datetime | None:
        """When it rings by the schedule next; None if it never will."""
        job = self._scheduler.get_job(RUNS)
        return job.next_run_time if job else None

    def reschedule(self, schedule: Schedule) -> None:
        """Another schedule from now on; the same goes on as it was."""
        if schedule != self._schedule:
            self._schedule = schedule
            self._hang()

    def clock_was_set(self) -> None:
        """What it waits for by the schedule is reckoned from now on."""
        self._hang()

    def also_at(self, attempts: Mapping[str, datetime]) -> None:
        """Rings at these times too, and at no others that were asked for before."""
        for job in self._scheduler.get_jobs():
            if job.id != RUNS and job.id.removeprefix("pool ") not in attempts:
                job.remove()
        for pool, at in attempts.items():
            self._scheduler.add_job(self._ring, DateTrigger(at), id=f"pool {pool}", replace_existing=True)

    def overdue_since(self, moment: datetime) -> datetime | None:
        """When three runs in a row will have been missed after a moment; None if there is no such time."""
        if self._schedule.every is not None:
            return moment + OVERDUE * self._schedule.every
        trigger = _trigger(self._schedule)
        missed: datetime | None = moment
        for _ in range(OVERDUE):
            missed = missed and trigger.get_next_fire_time(missed, missed)
        return missed

    def _hang(self) -> None:
        self._scheduler.add_job(self._ring, _trigger(self._schedule), id=RUNS, replace_existing=True)


def _trigger(schedule: Schedule) -> BaseTrigger:
    jitter = schedule.jitter.total_seconds() or None
    if schedule.cron is None:
        every = (schedule.every or Schedule().every or schedule.jitter).total_seconds()
        return IntervalTrigger(seconds=every, jitter=jitter, timezone=UTC)
    triggers = [CronTrigger(**fields, timezone=_local(), jitter=jitter) for fields in _cron(schedule.cron)]
    return triggers[0] if len(triggers) == 1 else OrTrigger(triggers)


def _cron(expression: str) -> Iterator[dict[str, str]]:
    """The expression as APScheduler writes it: its weeks begin on Monday, and it knows no `or` of days.

    In cron, a day of the month and a day of the week that are both restricted are each enough.
    https://man7.org/linux/man-pages/man5/crontab.5.html
    """
    names = ("minute", "hour", "day", "month", "day_of_week")
    written = dict(zip(names, expression.split(), strict=True))
    fields = {
        name: ",".join(map(str, cron_numbers(written[name], field)))
        for name, field in zip(names, CRON_FIELDS, strict=True)
    }
    fields["day_of_week"] = ",".join(dict.fromkeys(DAYS[int(day) % 7] for day in fields["day_of_week"].split(",")))
    if written["day"].startswith("*") or written["day_of_week"].startswith("*"):
        yield fields
    else:
        yield {**fields, "day": "*"}
        yield {**fields, "day_of_week": "*"}


def _local() -> tzinfo:
    """The time zone of this machine; UTC where it cannot be told."""
    with suppress(Exception):  # whatever /etc/localtime or TZ may hold
        zone: tzinfo = get_localzone()
        return zone
    return UTC
