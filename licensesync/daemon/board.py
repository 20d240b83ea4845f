"""Shows how the service stands to whoever looks: the pages of the listener, `systemctl status`, and the ledger."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from licensesync.composition import Pass
from licensesync.daemon.backoff import Backoff
from licensesync.daemon.bell import Bell
from licensesync.daemon.course import DEAF, Course
from licensesync.daemon.listener import Answer
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.orders import Orders
from licensesync.daemon.systemd import Pulse
from licensesync.errors import LedgerError
from licensesync.ledger import database, service, standing
from licensesync.model import Pool, ServiceRecord, Status
from licensesync.render import status

FRESH: Final = 1.0
"""Seconds for which what the ledger says is shown again: other commands change it too, and looking costs little."""

SHARE: Final = 10
"""What took long to read is shown for so many times as long."""

AT_ONCE: Final = float("-inf")
"""When it is to be looked again once something was kept."""

PATIENCE: Final = 0.02
"""Seconds that metrics wait for the ledger: a scrape should be quick, and has most of them from elsewhere."""


class Board:
    """What is shown: how the service stands now, and what the ledger said a moment ago, or when it last had time."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that there is to show
        self, ledger: Path, orders: Orders, course: Course, backoff: Backoff, metrics: Metrics, pulse: Pulse
    ) -> None:
        self.bell: Bell | None = None
        self._ledger = ledger
        self._orders = orders
        self._course = course
        self._backoff = backoff
        self._metrics = metrics
        self._pulse = pulse
        self._began = datetime.now(UTC)
        self._document = b""
        self._looking: asyncio.Task[None] | None = None
        self._looks_again = AT_ONCE
        self._log: Any = structlog.get_logger()
        metrics.ready_when(lambda: self.readiness().ok)

    @property
    def next_run(self) -> datetime | None:
        """When the next run is due by the schedule."""
        return self.bell.next if self.bell else None

    def health(self) -> Answer:
        """Whether work goes on, or nothing is to be done."""
        if self._pulse.age > DEAF:
            return Answer(ok=False, reason=f"nothing has been done for {self._pulse.age:.0f} s: {self.sentence()}")
        return Answer(ok=True, reason="alive")

    def readiness(self) -> Answer:
        """Whether every pool was read whole lately."""
        if self.bell is None:
            return Answer(ok=False, reason="the service begins")
        pools = [pool.name for pool in self._orders.in_force.pools]
        return self._course.readiness(pools, self.bell.overdue_since, datetime.now(UTC))

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """What the ledger cannot tell is told by the runs; what it takes its time for is as it said the last time."""
        with suppress(LedgerError, TimeoutError):
            async with asyncio.timeout(PATIENCE if self._document else None):
                await asyncio.shield(self._look())
        self._metrics.scheduled(self.next_run, self._backoff.attempts)
        return self._metrics.render(accept)

    async def status(self) -> bytes:
        """As of what was kept before it was asked for, if not later. Raises LedgerError."""
        await asyncio.shield(self._look())
        if self._looks_again == AT_ONCE:  # the look had begun before something was kept
            await asyncio.shield(self._look())
        return self._document

    def sentence(self) -> str:
        """What it does now, or how it stands."""
        words = self._course.sentence(self._orders.in_force.info, self._backoff.attempts, self.next_run)
        return f"newest inventory rejected; {words}" if self._orders.rejection else words

    def taken(self, work: Pass) -> None:
        """These settings and this inventory are in force from now on."""
        pools = [pool.name for pool in work.pools]
        self._course.keep(pools)
        self._metrics.pools(pools)
        self._metrics.inventory_loaded(work.info, author=work.info.author or "")
        if self.bell:
            self.bell.reschedule(work.settings.schedule)

    def clock_was_set(self, step: timedelta) -> None:
        """The clock was set by so much: what is ready and what is due is reckoned anew."""
        self._course.clock_was_set(step)
        self._backoff.clock_was_set(step)
        if self.bell:
            self.bell.clock_was_set()

    async def keep(self) -> None:
        """How it stands now is kept in the ledger, and shown to who asks from now on."""
        if self.bell:
            self.bell.also_at(self._backoff.attempts)
        try:
            await asyncio.to_thread(service.keep, self._ledger, self._record())
        except LedgerError as error:
            self._log.warning("status.not-kept", problem=str(error))
        self._looks_again = AT_ONCE
        if self._document:  # somebody looks now and then
            self._look()

    def _look(self) -> asyncio.Task[None]:
        """At its end the document and the metrics are as of now, or of a moment ago. Raises LedgerError."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._looked())
            self._looking.add_done_callback(self._looked_for_nobody)
        return self._looking

    def _looked_for_nobody(self, look: asyncio.Task[None]) -> None:
        """Perhaps nobody waits any more who would hear of a mistake; what is wrong with the ledger the runs tell."""
        error = None if look.cancelled() else look.exception()
        if error and not isinstance(error, LedgerError):
            self._log.error("serve.mistake", problem=f"{type(error).__name__}: {error}", exc_info=error)

    async def _looked(self) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        if begun < self._looks_again:
            return
        self._looks_again = begun
        pools = self._orders.in_force.settings.pools
        if stands := await asyncio.to_thread(self._stands, pools, self._record()):
            self._document = status.document(stands)
            for pool in stands.pools:
                self._metrics.quarantine(pool.pool, pool.quarantined)
                self._metrics.open_requests(pool.pool, pool.open_requests)
        if self._looks_again == begun:  # unless something was kept meanwhile
            self._looks_again = clock() + max(FRESH, SHARE * (clock() - begun))

    def _record(self) -> ServiceRecord:
        rejection = self._orders.rejection
        return ServiceRecord(
            os.getpid(),
            self._began,
            self.next_run,
            dict(self._backoff.attempts),
            rejection.problems if rejection else (),
            rejection.at if rejection else None,
            self._orders.fresh_at,
            self._orders.stale,
        )

    def _stands(self, pools: Mapping[str, Pool], record: ServiceRecord) -> Status | None:
        with database.read(self._ledger) as connection:
            if connection is None:
                return None
            return standing.status(connection, pools, datetime.now(UTC), record)
