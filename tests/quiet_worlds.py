"""The runs of a service in this process, one at a time: at a simulator, with a ledger, and with any time of day."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fleets import CREDENTIALS, Fleet, fleet_of
from ledgers import UNLIMITED, query

from licensesync import settings
from licensesync.composition import Pass
from licensesync.credentials import credentials
from licensesync.daemon.course import Course
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.rounds import Rounds
from licensesync.daemon.systemd import Manager, Pulse
from licensesync.ledger import database
from licensesync.model import Plan, PoolReport, Unread
from licensesync.origin import origin

PAGE = 10
CALLS = {"status", "subscription", "assign", "remove", "lookup"}


def remembering(reread: str | None = "6h", more: str = "") -> str:
    """Lines of a pool's settings."""
    return UNLIMITED + (f"    reading: {{reread: {reread}{more}}}\n" if reread else "")


@dataclass
class Watch:
    """A service whose runs are made one by one."""

    fleet: Fleet
    rounds: Rounds
    metrics: Metrics
    course: Course
    asked: list[str] = field(default_factory=list)
    """The FOTA calls of the last run, in their order, without those that only showed that a login had ended."""

    async def run(self) -> PoolReport:
        """One run of what is written now."""
        self.fleet.simulator.requests.forget()
        work = wanted_of(self.fleet)
        report = await self.rounds.make(lambda: work)
        self.asked = [
            seen.call for seen in self.fleet.simulator.requests if seen.status not in {400, 401} and seen.call in CALLS
        ]
        assert report is not None
        assert not report.unrecorded
        (pool,) = report.pools
        return pool

    async def rests_on(self) -> datetime | None:
        """When the reading was made on which a run of a pool that is in step rests."""
        pool = await self.run()
        assert isinstance(pool.plan, Plan), pool.plan
        assert (pool.plan.actions, pool.outcomes) == ((), ())
        assert (pool.plan.rests_on is None) is (self.asked != ["status"]), self.asked
        return pool.plan.rests_on

    async def reads_whole(self) -> bool:
        """Whether a run of a pool that is in step reads it whole."""
        return await self.rests_on() is None

    async def quiet(self) -> None:
        """The pool is in step, and the last run has rested on an older reading."""
        await self.run()
        await self.run()
        assert not await self.reads_whole()

    def read_at(self) -> list[datetime]:
        """When the ledger says that the pool was read, run by run."""
        rows = query(self.fleet.folder / "licensesync.db", "SELECT read_at FROM pool_runs ORDER BY id")
        return [datetime.fromisoformat(at).replace(tzinfo=UTC) for (at,) in rows]


def wanted_of(fleet: Fleet) -> Pass:
    found = settings.load(fleet.folder / "licensesync.yaml")
    loaded = origin(found, {}, fetch=False).load(found.pools)
    return Pass(found, tuple(found.pools.values()), loaded, loaded.info, credentials(CREDENTIALS))


@asynccontextmanager
async def watch_of(folder: Path, pool: str | None = None, **options: object) -> AsyncIterator[Watch]:
    """A service of a fleet whose settings have these lines for the pool, at a simulator with small pages."""
    async with fleet_of(folder, **{"page_size": PAGE, "devices": 3 * PAGE, **options}) as fleet:
        fleet.settings(pool=remembering() if pool is None else pool)
        ledger = settings.load(folder / "licensesync.yaml").ledger_path(os.environ)
        database.prove(ledger)
        course, metrics = Course(), Metrics()
        metrics.pools(["fota"])
        manager = Manager({})
        pulse = Pulse(manager, asyncio.get_running_loop().time)
        rounds = Rounds(ledger, metrics, course, pulse, lambda: None)
        try:
            yield Watch(fleet, rounds, metrics, course)
        finally:
            await rounds.close()
            manager.close()


def unread(pool: PoolReport) -> str:
    """Why a pool could not be read."""
    assert isinstance(pool.plan, Unread), pool.plan
    return pool.plan.problem
