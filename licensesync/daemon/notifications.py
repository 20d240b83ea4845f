"""Tells a webhook of alarms, in its own time: whatever becomes of that, no run is kept waiting by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from licensesync import alarms
from licensesync.alarms import Alarms, Notice, Subject
from licensesync.composition import Pass
from licensesync.daemon.backoff import Backoff, Pace
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.orders import Orders
from licensesync.daemon.webhook import Undelivered, message, post, webhook
from licensesync.errors import LedgerError, LicenseSyncError
from licensesync.ledger import service
from licensesync.model import Report
from licensesync.notices import Notifications

AT_THE_END: Final = 3.0
"""Seconds for what is due when the service ends; the rest is told after the next start."""

LATEST: Final = timedelta(hours=1)
PACE: Final = Pace(timedelta(seconds=30), LATEST)
"""How long a webhook is left alone after one failure, and at most."""

WEBHOOK: Final = ""
"""What backs off where it is the webhook that fails, and not one message."""


class Notifier:
    """Keeps what stands, in the ledger too, and tells what is due; one that fails is tried again ever more rarely."""

    def __init__(
        self, ledger: Path, environ: Mapping[str, str], orders: Orders, metrics: Metrics, pace: Pace = PACE
    ) -> None:
        self._ledger = ledger
        self._environ = environ
        self._orders = orders
        self._metrics = metrics
        self._pace = pace
        self._backoff = Backoff()
        self._goes_by: Pass | None = None
        self._alarms = Alarms()
        self._kept: object = None
        self._changed = asyncio.Event()
        self._ending = False
        self._log: Any = structlog.get_logger()

    def clock_was_set(self) -> None:
        """Nobody waits longer for that: the webhook is tried again now."""
        self._backoff.waive()
        self._changed.set()

    def run_ended(self, report: Report | None) -> None:
        """A run has come to its end, or with None to no good one."""
        wanted, info = self._wanted, self._orders.in_force.info
        if wanted and report:
            self._know(self._of_pools(self._alarms.after(report, info, wanted.unreadable_after)))
        elif wanted:
            self._know(self._alarms.after_no_run(info, datetime.now(UTC), wanted.unreadable_after))

    def looked(self) -> None:
        """Settings and inventory were looked at; where others are in force now, the webhook may have been mended."""
        orders = self._orders
        if orders.in_force is not self._goes_by:
            self._goes_by = orders.in_force
            self._backoff.waive()
            self._changed.set()
        if self._wanted:
            known = self._of_pools(self._alarms)
            problems = orders.rejection.problems if orders.rejection else ()
            now, info = datetime.now(UTC), orders.in_force.info
            self._know(known.looking(info, now, problems=problems, stale=orders.stale, fresh_at=orders.fresh_at))

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tells meanwhile, from what was known when the service ended last; at the end what is due, if it goes fast."""
        await self._remember()
        telling = asyncio.create_task(self._tell_to_the_end())
        try:
            yield
        finally:
            self._ending = True
            self._changed.set()
            await asyncio.wait({telling}, timeout=AT_THE_END)
            telling.cancel()
            await asyncio.wait({telling})

    async def _remember(self) -> None:
        try:
            self._kept = await asyncio.to_thread(service.told, self._ledger)
        except LedgerError as error:
            self._log.warning("notification.not-kept", problem=str(error))
        self._alarms = alarms.read(self._kept)

    async def _tell_to_the_end(self) -> None:
        while True:
            again_at = await self._tell_unharmed()
            if self._ending:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_seconds_until(again_at)):
                    await self._changed.wait()
            self._changed.clear()

    async def _tell_unharmed(self) -> datetime | None:
        """A mistake in this program costs a message, and never the service."""
        try:
            return await self._tell()
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._log.error("notification.mistake", problem=f"{type(error).__name__}: {error}", exc_info=True)
            return self._left_alone(WEBHOOK, Pace(LATEST, LATEST))

    async def _tell(self) -> datetime | None:
        """Tells what is due; the value is when something may be due again if nothing changes, None for never."""
        await self._keep()
        while wanted := self._wanted:
            now = datetime.now(UTC)
            notice = self._next(wanted, now)
            if notice is None:
                return self._due_after(now, wanted)
            if await self._delivered(notice, wanted):
                self._alarms = self._alarms.told(notice, datetime.now(UTC))
                await self._keep()
        return None

    def _next(self, wanted: Notifications, now: datetime) -> Notice | None:
        """The first that is due, and not left alone for a while."""
        if not self._backoff.is_due(WEBHOOK, now):
            return None
        due = self._alarms.due(now, wanted.repeat)
        return next((each for each in due if self._backoff.is_due(_key(each.subject), now)), None)

    def _due_after(self, now: datetime, wanted: Notifications) -> datetime | None:
        """What was due until now was told or is left alone, so that only a time to come counts."""
        self._backoff.keep([WEBHOOK, *map(_key, self._alarms.standing)])
        times = (*self._backoff.attempts.values(), *self._alarms.repeats(wanted.repeat))
        return min((each for each in times if each > now), default=None)

    @property
    def _wanted(self) -> Notifications | None:
        return self._orders.in_force.settings.notifications

    def _of_pools(self, known: Alarms) -> Alarms:
        return known.of_pools(pool.name for pool in self._orders.in_force.pools)

    def _know(self, known: Alarms) -> None:
        if known != self._alarms:
            self._alarms = known
            self._changed.set()

    async def _keep(self) -> None:
        written = alarms.written(self._alarms)
        if written == self._kept:
            return
        try:
            await asyncio.to_thread(service.keep_told, self._ledger, written)
        except LedgerError as error:
            self._log.warning("notification.not-kept", problem=str(error))
        else:
            self._kept = written

    async def _delivered(self, notice: Notice, wanted: Notifications) -> bool:
        about = {"alarm": notice.subject.alarm, "pool": notice.subject.pool or None, "stage": notice.stage}
        try:
            insecure = self._orders.in_force.settings.thingspace.insecure
            to = await asyncio.to_thread(partial(webhook, wanted, self._environ, insecure=insecure))
            await post(to, message(notice, to.form), self._environ)
        except LicenseSyncError as error:
            why = error if isinstance(error, Undelivered) else Undelivered("")
            again_at = self._left_alone(_key(notice.subject) if why.unfit else WEBHOOK, self._pace_for(why))
            self._metrics.notified(sent=False)
            self._log.warning("notification.failed", **about, problem=str(error), next_attempt=again_at)
            return False
        for each in (WEBHOOK, _key(notice.subject)):
            self._backoff.succeeded(each)
        self._metrics.notified(sent=True)
        self._log.info("notification.sent", **about, host=to.host)
        return True

    def _pace_for(self, why: Undelivered) -> Pace:
        """As slow as the webhook asks for, within reason. Other settings waive that too: they may name another one."""
        asked = min(timedelta(seconds=why.retry_after), LATEST)
        return Pace(max(self._pace.soonest, asked), max(self._pace.latest, asked))

    def _left_alone(self, what: str, pace: Pace) -> datetime:
        """Until when."""
        self._backoff.failed(what, datetime.now(UTC), pace)
        return self._backoff.attempts[what]


def _key(subject: Subject) -> str:
    return f"{subject.alarm} {subject.pool}"


def _seconds_until(moment: datetime | None) -> float | None:
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None
