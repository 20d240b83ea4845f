"""An operator's desk: a simulator, a ledger and one clock for both, at which run follows run as `apply` does them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from fleets import ACCOUNT
from toxic_line import Line

from licensesync import reconcile
from licensesync.credentials import Credentials
from licensesync.ledger import book, database, failures, history, keeping, memory
from licensesync.ledger.book import Book
from licensesync.ledger.failures import Mark
from licensesync.model import (
    Approval,
    ApprovalUse,
    Desired,
    DeviceId,
    Entry,
    Imei,
    InventoryInfo,
    Limits,
    Memory,
    Mode,
    Observed,
    Outcome,
    OutcomeRecord,
    Place,
    Plan,
    Policy,
    Pool,
    PoolReport,
    Product,
    Protection,
    Report,
    RunPlan,
    Unread,
    Verb,
    Wanted,
)
from licensesync.reconcile import Target
from licensesync.simulator.quirks import find
from licensesync.simulator.requests import Seen
from licensesync.simulator.server import Simulator, SimulatorOptions, running
from licensesync.simulator.state import Account
from licensesync.submission import Sending
from licensesync.thingspace import client
from licensesync.thingspace.fota import FotaService
from licensesync.thingspace.transport import Bounds

POOL = Pool("fota", Product.FOTA, ACCOUNT, Mode.FULL, Limits(count=1000, percent=100, per_day=1000))
HERE = Place("inventory.yaml", 1, 1)
VERBS = {verb.value for verb in Verb}
CREDENTIALS = Credentials("key-5f1c2a", "secret-9b7d3e", "user-4c8f6a", "password-1e2d3c")


@dataclass
class Clock:
    """The time of the simulator, the ledger and the runs; it stands still until it is moved."""

    moment: datetime = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def move(self, gap: timedelta) -> None:
        self.moment += gap


class Silence:
    """A journal that tells nobody."""

    def reading(self, pool: str, seen: int, expected: int | None) -> None:
        pass

    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None:
        pass

    def read(self, pool: Pool, observed: Observed) -> None:
        pass

    def planned(self, plan: Plan | Unread) -> None:
        pass

    def approval_ended(self, approval: Approval) -> None:
        pass

    def used_up(self, pool: Pool, approval: Approval, use: ApprovalUse) -> None:
        pass

    def settled(self, pool: Pool, outcomes: Sequence[Outcome]) -> None:
        pass

    def reconciled(self, report: PoolReport) -> None:
        pass


@dataclass
class Done:
    """One run: its report, the plan that it carried out, and what the simulator was asked while it went on."""

    report: Report
    plan: Plan
    log: list[Seen]

    @property
    def pool(self) -> PoolReport:
        return self.report.pools[0]

    @property
    def writes(self) -> list[Seen]:
        return [seen for seen in self.log if seen.call in VERBS]

    def count(self, *calls: str) -> int:
        return sum(seen.call in calls for seen in self.log)

    def outcome_of(self, device: str) -> Outcome | None:
        return next((each for each in self.pool.outcomes if each.action.device == device), None)


@dataclass
class Desk:
    """One operator's service at a simulator, in this process. `notes` are what the inventory says of a device.

    Where there is a `line`, it is all that stands between the two.
    """

    simulator: Simulator
    service: FotaService
    ledger: Path
    clock: Clock
    line: Line | None = None
    protected: Sequence[str] = ()
    notes: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    @property
    def account(self) -> Account:
        return self.simulator.world.accounts[ACCOUNT]

    @property
    def holders(self) -> set[str]:
        return set(self.account.licensed)

    def switch(self, quirks: dict[str, str]) -> None:
        for name, setting in quirks.items():
            self.simulator.quirks.set(name, setting)

    def be_kind(self, *names: str) -> None:
        """These quirks are as they are on a kind day."""
        self.switch({name: find(name).kind for name in names})

    async def plan(self, wanted: Sequence[str]) -> Plan:
        """What `plan` shows: nothing is written, to the service or to the ledger."""
        with database.read(self.ledger) as connection:

            def recalled(observed: Observed) -> Memory:
                if connection is None:
                    return Memory()
                return memory.recall(connection, POOL, observed, self._mark, self.clock())

            planned = await self._planned(wanted, recalled)
            assert isinstance(planned, Plan), planned
            return planned

    async def run(
        self,
        wanted: Sequence[str],
        *,
        batch_size: int = 10,
        at_once: int = 2,
        once_planned: Callable[[], None] = lambda: None,
    ) -> Done:
        """One apply; `once_planned` is done when the plan stands and nothing was sent yet."""
        done = await self.attempt(wanted, batch_size=batch_size, at_once=at_once, once_planned=once_planned)
        assert isinstance(done, Done), done
        return done

    async def attempt(
        self,
        wanted: Sequence[str],
        *,
        batch_size: int = 10,
        at_once: int = 2,
        once_planned: Callable[[], None] = lambda: None,
    ) -> Done | Unread:
        """One apply, as far as it gets: a pool that was not read whole is carried out as well, to nothing."""
        self.runs += 1
        name, begun = f"run-{self.runs}", len(self.simulator.requests)
        info = InventoryInfo(len(wanted), f"sha256:{hash(tuple(wanted))}")
        with book.opened(self.ledger, name, self.clock) as opened:
            opened.begin("apply", info)
            planned = await self._planned(wanted, partial(_recalled, opened, self._mark))
            if isinstance(planned, Plan):
                opened.undertake(planned, {*map(DeviceId, wanted)}, info, self._mark)
            once_planned()
            run_plan = RunPlan(info, self.clock(), (planned,))
            with keeping.beside(opened, lambda pool, earlier: None) as record:  # noqa: ARG005 - nobody wants to know
                sending = Sending(batch_size, at_once, asyncio.Event(), self.clock, record)
                report = await reconcile.carry_out_all(name, run_plan, {"fota": self.service}, sending, Silence())
            opened.finish(report, 0)
        return Done(report, planned, self.asked_since(begun)) if isinstance(planned, Plan) else planned

    def asked_since(self, begun: int) -> list[Seen]:
        """What the simulator was asked after so many requests."""
        return list(self.simulator.requests)[begun:]

    def rows(self, done: Done | None = None) -> list[OutcomeRecord]:
        """What `history` has of a run, or of all."""
        with database.read(self.ledger) as connection:
            assert connection is not None
            return list(history.rows(connection, Wanted(run=done.report.run if done else None)))

    def row_of(self, done: Done, device: str) -> OutcomeRecord:
        (row,) = (row for row in self.rows(done) if row.device == device)
        return row

    def release(self, *devices: str) -> list[str]:
        """What `quarantine release` does; those that were released."""
        with database.written(self.ledger) as connection, connection.begin():
            return [each.device for each in failures.release(connection, devices, self.clock())]

    async def _planned(self, wanted: Sequence[str], recalled: Callable[[Observed], Memory]) -> Plan | Unread:
        async def recall(observed: Observed) -> Memory:
            return recalled(observed)

        target = Target(self.service, _desired(wanted, self.protected), recall)
        (planned,) = await reconcile.plan([target], Policy(self.clock().date()), Silence())
        return planned

    def _mark(self, device: DeviceId) -> str:
        return self.notes.get(device, "")


def assert_kept_as_reported(desk: Desk, done: Done) -> None:
    """Every action that was sent has one row, which says what the report says; so has what the simulator was asked."""
    asked = {(seen.call, device) for seen in done.writes for device in seen.devices}
    assert sorted((row.verb.value, row.device) for row in assert_rows_as_reported(desk, done)) == sorted(asked)


def assert_rows_as_reported(desk: Desk, done: Done) -> list[OutcomeRecord]:
    """Every action that was sent has one row, which says what the report says."""
    rows = desk.rows(done)
    assert Counter(
        (r.device, r.verb, r.outcome, r.reason, r.service, r.retry_at, r.in_flight) for r in rows
    ) == Counter(
        (each.action.device, each.action.verb, each.kind, each.reason, each.service, each.retry_at, False)
        for each in done.pool.outcomes
    )
    return rows


def _recalled(opened: Book, mark: Mark, observed: Observed) -> Memory:
    remembered, _ = opened.recall(POOL, observed, mark)
    return remembered


def _desired(wanted: Sequence[str], protected: Sequence[str]) -> Desired:
    devices = dict.fromkeys(map(DeviceId, wanted))
    return Desired(
        devices,
        {device: Entry("meters", HERE) for device in devices},
        {Imei(device): Protection("under investigation", HERE) for device in protected},
    )


Through = Callable[[str], AbstractAsyncContextManager[Line]]
"""A line to the address of a service."""


@asynccontextmanager
async def desk_at(
    *, patience: float = 5, quirks: dict[str, str] | None = None, through: Through | None = None, **options: object
) -> AsyncIterator[Desk]:
    """A desk at a simulator that is kind unless the options and quirks say otherwise, perhaps at the end of a line."""
    clock = Clock()
    chosen = {"kind": True, "page_size": 20, "clock": lambda: clock().timestamp(), **options}
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(
            running(SimulatorOptions(**chosen, quirks=quirks or {}))  # type: ignore[arg-type]  # many types
        )
        line = await stack.enter_async_context(through(simulator.url)) if through else None
        url = line.url if line else simulator.url
        writer = await stack.enter_async_context(client.writing(url, Bounds(patience, 4, 5000), CREDENTIALS, {}))
        folder = stack.enter_context(TemporaryDirectory())
        service = FotaService(POOL, writer, cursors=1, now=clock)
        yield Desk(simulator, service, Path(folder, "ledger.db"), clock, line)
