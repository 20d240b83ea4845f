"""Makes the runs of the service, one after the other: of the pools that are due, with one client for their life."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from licensesync import composition, running
from licensesync.composition import Gated, Pass
from licensesync.daemon.backoff import Backoff, Pace
from licensesync.daemon.course import Course
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.systemd import Pulse
from licensesync.daemon.telling import BeatingMeter, ServiceJournal, Sight
from licensesync.errors import IncompleteObservation, LicenseSyncError, Locked
from licensesync.ledger import database
from licensesync.ledger.presence import exists
from licensesync.model import Pool, Reading, Report, Unread
from licensesync.readings import Readings
from licensesync.reconcile import LicenseService
from licensesync.thingspace.client import Client
from licensesync.thingspace.sim_secure import Gate

LOOKS_AGAIN: Final = 1.0
"""Seconds after which it is tried again to get the lock of a run that another process holds."""

DRAIN: Final = 150.0
"""Seconds that the batches in hand have when the service is to end; systemd's patience (3 min) must be longer."""

GONE: Final = (
    "the ledger {ledger} is gone; a new one is begun, which knows no run, no managed device, no quarantine, no holder "
    "of a SIM-Secure license and no removals of today: if it was only moved, stop the service and put it back"
)


def deaf(client: Client) -> Gated:
    """Lets no pool pass whose requests end by callbacks: nobody hears them."""
    del client

    async def closed() -> None:
        raise IncompleteObservation("this service has not listened for callbacks from its start; restart it", _UNREAD)

    def gated(pool: Pool) -> Gate:
        del pool
        return closed

    return gated


_UNREAD: Final = Reading.UNREAD


class Rounds:
    """The runs. `stop` ends them: what is being read is dropped, batches in hand are finished, the rest is held."""

    def __init__(self, ledger: Path, metrics: Metrics, course: Course, pulse: Pulse, show: Callable[[], None]) -> None:
        self.gated_by: Callable[[Client], Gated] = deaf
        """Makes for a client what lets pools pass whose requests end by callbacks."""
        self.backoff = Backoff()
        self.stop = asyncio.Event()
        self._ledger = ledger
        self._metrics = metrics
        self._course = course
        self._pulse = pulse
        self._show = show
        self._log: Any = structlog.get_logger()
        self._client = AsyncExitStack()
        self._services: Mapping[str, LicenseService] = {}
        self._services_for: object = None
        self._client_for: object = None
        self._readings = Readings()
        self._writer: Any = None
        self._run: asyncio.Task[Report] | None = None
        self._sends = False

    async def close(self) -> None:
        await self._client.aclose()

    def forget_services(self) -> None:
        """The next run makes them anew."""
        self._services_for = None

    def clock_was_set(self) -> None:
        """Nobody knows how old a reading is: the next run reads every pool whole."""
        self._readings.forget()

    def cut(self) -> None:
        """Ends a run at once, in the middle of a batch if need be."""
        if self._run:
            self._run.cancel()

    def due(self, work: Pass, now: datetime) -> Pass:
        """The same pass for the pools that do not back off."""
        return replace(work, pools=tuple(pool for pool in work.pools if self.backoff.is_due(pool.name, now)))

    async def make(self, wanted: Callable[[], Pass]) -> Report | None:
        """One run of what is wanted at the moment when no other run goes on; None where there was none in the end.

        It never raises but for the end of the service: whatever went wrong is told, and its pools back off.
        """
        begun = time.monotonic()
        self._metrics.run_began()
        report: Report | None = None
        try:
            report = await self._when_unlocked(wanted)
        except LicenseSyncError as error:
            self._log.error("run.failed", problem=str(error))
        except Exception as error:  # noqa: BLE001 - a mistake in this program must not end the service
            self._log.error("run.failed", problem=f"{type(error).__name__}: {error}", exc_info=True)
        finally:
            self._course.doing.clear()
            self._course.waiting_for = ""
        self._metrics.run_ended(report, time.monotonic() - begun)
        if not self.stop.is_set():
            self._learn(wanted(), report)
        return report

    def _learn(self, work: Pass, report: Report | None) -> None:
        """Which of the pools that are wanted still are to be left alone for a while."""
        pace, now = Pace.of(work.settings.schedule.every), datetime.now(UTC)
        if report is None or report.unrecorded:
            for pool in work.pools:
                self.backoff.failed(pool.name, now, pace)
            return
        wanted = {pool.name for pool in work.pools}
        for each in report.pools:
            if each.plan.pool.name not in wanted:
                continue
            if isinstance(each.plan, Unread):
                self.backoff.failed(each.plan.pool.name, now, pace, each.plan.retry_after)
            else:
                self.backoff.succeeded(each.plan.pool.name)

    async def _when_unlocked(self, wanted: Callable[[], Pass]) -> Report | None:
        """Waits for a run of another process; the service is alive meanwhile."""
        told = False
        while not self.stop.is_set():
            try:
                return await self._until_stopped(wanted())
            except Locked as locked:
                if not told:
                    self._log.info("run.waits", problem=str(locked))
                told = True
                self._course.waiting_for = f"waits, as {locked}"
                self._pulse.beat()
                self._show()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOKS_AGAIN):
                        await self.stop.wait()
        return None

    async def _until_stopped(self, work: Pass) -> Report | None:
        """A run, to its end or to where `stop` ends it. Raises what it raises."""
        self._sends = False
        self._run = run = asyncio.create_task(self._made(work))
        stopped = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({run, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not run.done():
                await self._drained(run)
            return await run
        except asyncio.CancelledError:
            if not self.stop.is_set():
                raise
            return None
        finally:
            stopped.cancel()
            if not run.done():
                run.cancel()
            await asyncio.wait({run, stopped})
            self._run = None

    async def _drained(self, run: asyncio.Task[Report]) -> None:
        if not self._sends:
            self._log.info("run.dropped", reason="the service stops, and nothing was sent yet")
            run.cancel()
            return
        await asyncio.wait({run}, timeout=DRAIN)
        if not run.done():
            self._log.warning(
                "run.cut", reason=f"the batches in hand took more than {DRAIN:.0f} s; the next run settles them"
            )
            run.cancel()

    async def _made(self, work: Pass) -> Report:
        await asyncio.to_thread(self._prove_ledger)
        services = await self._services_of(work)
        with running.kept(self._ledger, "serve", work.info, proved=True) as book:
            self._course.waiting_for = ""
            sight, devices = Sight(self._course, self._pulse, self._show), work.settings.logs.devices
            journal = ServiceJournal(sight, self._metrics, run=book.run, devices=devices)
            journal.started(work.info)
            policy = composition.policy(work)
            run_plan = await running.planned(work, services, book, policy, journal, readings=self._readings)
            self._sends = True
            report = await running.carried_out(work, run_plan, services, book, stop=self.stop, journal=journal)
            report = await running.recorded(work, book, report, journal)
        for each in report.pools:
            self._course.reconciled(each, report.finished_at)
        return report

    def _prove_ledger(self) -> None:
        if not exists(self._ledger):  # there was one when the service started
            self._log.error("ledger.gone", problem=GONE.format(ledger=self._ledger))
        database.prove(self._ledger)

    async def _services_of(self, work: Pass) -> Mapping[str, LicenseService]:
        """The same as for the run before, unless the settings or the credentials have changed.

        A client remembers its logins, and a service where its devices are: that spares requests.
        """
        thingspace, pools = work.settings.thingspace, tuple(work.settings.pools.values())
        if self._client_for != (thingspace, work.credentials):
            await self._client.aclose()
            self._services_for = self._client_for = None
            writer = composition.writer(work.settings, work.credentials, meter=BeatingMeter(self._metrics, self._pulse))
            self._writer = await self._client.enter_async_context(writer)
            self._client_for = (thingspace, work.credentials)
        if self._services_for != (thingspace, pools):
            gated = self.gated_by(self._writer)
            self._services = composition.services(pools, self._writer, work.settings, gated)
            self._services_for = (thingspace, pools)
            self._readings.forget()  # they may be of another service
        return self._services
