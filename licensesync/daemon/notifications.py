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
from licensesync.alarms import Alarms, Notice
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.orders import Orders
from licensesync.daemon.webhook import message, post, webhook
from licensesync.errors import LedgerError, LicenseSyncError
from licensesync.ledger import service
from licensesync.model import Report
from licensesync.notices import Notifications

AT_THE_END: Final = 3.0
"""Seconds for what is due when the service ends; the rest is told after the next start."""

SOONEST, LATEST = timedelta(seconds=30), timedelta(hours=1)
"""How long it is left alone after one failure, and at most."""


class Notifier:
    """Keeps what stands, in the ledger too, and tells what is due; one that fails is tried again ever more rarely."""

    def __init__(self, ledger: Path, environ: Mapping[str, str], orders: Orders, metrics: Metrics) -> None:
        self._ledger = ledger
        self._environ = environ
        self._orders = orders
        self._metrics = metrics
        self._alarms = Alarms()
        self._kept: object = None
        self._changed = asyncio.Event()
        self._ending = False
        self._failures = 0
        self._again_at: datetime | None = None
        self._log: Any = structlog.get_logger()

    def run_ended(self, report: Report | None) -> None:
        """A run has come to its end, or with None to no good one."""
        wanted, info = self._wanted, self._orders.in_force.info
        if wanted and report:
            self._know(self._alarms.after(report, info, wanted.unreadable_after))
        elif wanted:
            self._know(self._alarms.after_no_run(info, datetime.now(UTC), wanted.unreadable_after))

    def looked(self) -> None:
        """Settings and inventory were looked at."""
        orders = self._orders
        if self._wanted:
            known = self._alarms.of_pools(pool.name for pool in orders.in_force.pools)
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
            await self._tell_unharmed()
            if self._ending:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._pause())
            self._changed.clear()

    async def _tell_unharmed(self) -> None:
        """A mistake in this program costs a message, and never the service."""
        try:
            await self._tell()
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._log.error("notification.mistake", problem=f"{type(error).__name__}: {error}", exc_info=True)
            self._again_at = datetime.now(UTC) + LATEST

    async def _tell(self) -> None:
        """What is due now, until the webhook fails."""
        await self._keep()
        if self._again_at and datetime.now(UTC) < self._again_at:
            return
        while (wanted := self._wanted) and (notice := next(self._alarms.due(datetime.now(UTC), wanted.repeat), None)):
            if not await self._delivered(notice, wanted):
                return
            self._alarms = self._alarms.told(notice, datetime.now(UTC))
            await self._keep()

    @property
    def _wanted(self) -> Notifications | None:
        return self._orders.in_force.settings.notifications

    def _know(self, known: Alarms) -> None:
        if known != self._alarms:
            self._alarms = known
            self._changed.set()

    def _pause(self) -> float | None:
        """Seconds until something is due, if nothing changes."""
        wanted = self._wanted
        at = wanted and (self._again_at or self._alarms.next_due(wanted.repeat))
        return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at else None

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
            self._failures += 1
            wait = min(LATEST, SOONEST * (1 << min(self._failures - 1, 10)))
            self._again_at = datetime.now(UTC) + wait
            self._metrics.notified(sent=False)
            self._log.warning("notification.failed", **about, problem=str(error), next_attempt=self._again_at)
            return False
        self._failures, self._again_at = 0, None
        self._metrics.notified(sent=True)
        self._log.info("notification.sent", **about, host=to.host)
        return True
