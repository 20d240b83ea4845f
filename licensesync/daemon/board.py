"""Shows how the service stands to whoever looks: the pages of the listener, `systemctl status`, and the ledger."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from licensesync.model import ServiceRecord
from licensesync.render import status


class Board:
    """What is shown. The status document is made when something changes, so that who looks costs nothing."""

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

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return self._metrics.render(accept)

    def status(self) -> bytes:
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

    async def keep(self) -> None:
        """How it stands now is kept in the ledger and written down for who asks."""
        if self.bell:
            self.bell.also_at(self._backoff.attempts)
        self._metrics.scheduled(self.next_run, self._backoff.attempts)
        try:
            await asyncio.to_thread(self._write_down, self._record())
        except LedgerError as error:
            self._log.warning("status.not-kept", problem=str(error))

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

    def _write_down(self, record: ServiceRecord) -> None:
        service.keep(self._ledger, record)
        with database.read(self._ledger) as connection:
            if connection is not None:
                pools = self._orders.in_force.settings.pools
                stands = standing.status(connection, pools, datetime.now(UTC), record)
                self._document = status.document(stands)
                for pool in stands.pools:
                    self._metrics.quarantine(pool.pool, pool.quarantined)
