"""One process of licensesync in a world: all of it but its sockets is the real one; it may be killed at any step."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from licensesync import composition, running
from licensesync.callbacks import waiting
from licensesync.callbacks.desk import Desk, Received
from licensesync.callbacks.listener import Rejected
from licensesync.callbacks.registration import Registrar
from licensesync.callers import Callbacks
from licensesync.composition import Pass
from licensesync.credentials import CallbackCredentials
from licensesync.errors import LedgerError, Locked
from licensesync.journal import RunJournal
from licensesync.ledger import lock
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.logins import RejectedLogins
from licensesync.ledger.promises import Promise
from licensesync.model import HeldReason, Plan, Pool, Report, Verb
from licensesync.readings import Readings
from licensesync.thingspace import callback_wire
from licensesync.thingspace.client import Client
from licensesync.thingspace.login import Login, Logins
from licensesync.thingspace.transport import Bounds
from worlds.ledger import USER
from worlds.office import SIM, Office
from worlds.service import Letterbox, Line, ThingSpace
from worlds.story import Run, Step, Trouble

SECRET: Final = CallbackCredentials("callback-user-2c9d", "callback-password-7e1f")
TIMEOUT: Final = 30.0
TROUBLE: Final = "-- "
"""What a line begins with that tells of one."""


class Killed(BaseException):
    """The program was killed here. What it would still do has no effect on anything."""


class Progress:
    """Shows nothing."""

    def reading(self, pool: str, seen: int, expected: int | None) -> None: ...
    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None: ...


class Deaf:
    """A journal of callbacks that tells nobody, but of what went wrong."""

    def __init__(self) -> None:
        self.problems: list[Exception] = []

    def received(self, received: Received) -> None: ...
    def shown(self, pool: Pool, earlier: Earlier) -> None: ...
    def rejected(self, why: Rejected) -> None: ...
    def overdue(self, promise: Promise) -> None: ...
    def forgotten(self, strays: int) -> None: ...
    def catch_up(self) -> None: ...
    def unkept(self, error: Exception) -> None:
        self.problems.append(error)


class Listener(Protocol):
    """What a run's begin and end are told to."""

    def begins(self, program: Program, run: str) -> None: ...
    def ends(self, report: Report | None) -> None:
        """The run is over; None where it was killed, or never came to be."""


class Program:
    """One process of licensesync: the service, or an `apply`. All of it but its sockets is the real one."""

    def __init__(self, office: Office, thingspace: ThingSpace, listener: Listener, command: str) -> None:
        self.office, self.thingspace, self.command = office, thingspace, command
        self.dead = False
        self.run = ""
        """The run that goes on."""
        self.wish = Run()
        """What the run that goes on was asked for."""
        self.lifted: tuple[str, str, frozenset[str]] | None = None
        """The refusal that its command line lifts."""
        self.told: list[str] = []
        self.failures: list[BaseException] = []
        """What any of its tasks has raised, which nothing here explains."""
        self.under_way = set[sqlite3.Connection]()
        self._listener = listener
        self._steps, self._troubles = 0, list[Trouble]()
        self._stop = asyncio.Event()
        self._tasks = set[asyncio.Task[object]]()
        self._ends = asyncio.Event()
        settings = self._settings = office.settings
        beginning = office.beginning
        line = Line(thingspace, self, Bounds(TIMEOUT, beginning.concurrency, 1000), beginning.latency)
        logins = Logins(line, office.credentials, office.clock, self._rejections())
        self._client = Client(line, logins)
        self._registrar = Registrar(self._client, settings.callbacks or Callbacks(""), SECRET)
        self._services = composition.services(settings.pools.values(), self._client, settings, self._registrar.gate)
        self._readings = Readings() if command == "serve" else None
        self._password = office.passwords
        self.desk_journal = Deaf()

    @property
    def is_usable(self) -> bool:
        """Whether it goes on, with the settings and credentials of now."""
        return not self.dead and (self._settings, self._password) == (self.office.settings, self.office.passwords)

    def start(self) -> None:
        self._begin(self._live())

    async def end(self) -> None:
        """It is asked to end, and does."""
        self._ends.set()
        await self._ended()

    async def make(self, run: Run) -> Report | None:
        """One run, to its end, or to where it is killed."""
        self._steps, self._troubles, self._stop = 0, sorted(run.troubles, key=lambda each: each.at), asyncio.Event()
        making = self._begin(self._made(run))
        await asyncio.wait({making})
        self._troubles = []
        make_room()
        if self.dead:
            await self._ended()
            self._listener.ends(None)
            return None
        report = making.result()
        self._listener.ends(report if isinstance(report, Report) else None)
        return report if isinstance(report, Report) else None

    def step(self, what: str) -> None:
        """One step further, at which something may happen. Raises Killed."""
        if self.dead:
            raise Killed
        self._steps += 1
        self.told.append(what)
        while self._troubles and self._troubles[0].at <= self._steps:
            self._happens(self._troubles.pop(0))

    def _happens(self, trouble: Trouble) -> None:
        self.told.append(f"{TROUBLE}{trouble.step}")
        match trouble.step:
            case Step.KILL:
                self.dead = True
                for task in self._tasks:
                    task.cancel()
                raise Killed
            case Step.STOP:
                self._stop.set()
            case Step.FULL:
                fill_disk()
            case Step.ROOM:
                make_room()
            case Step.SECOND:
                self._somebody_else_runs()
            case Step.MEDDLE:
                self.thingspace.others_change(trouble.gives, trouble.takes)
            case Step.CLOCK:
                self.office.clock.is_set(trouble.ahead)

    def _somebody_else_runs(self) -> None:
        if not self.run:
            return
        with suppress(Locked), lock.held(self.office.ledger, "apply", self.office.clock.here):
            raise AssertionError("one run at a time: a second one has begun beside the first")

    def _begin(self, life: object) -> asyncio.Task[object]:
        token = USER.set(self)
        task: asyncio.Task[object] = asyncio.ensure_future(life)  # type: ignore[call-overload]  # a coroutine
        USER.reset(token)
        self._tasks.add(task)
        task.add_done_callback(self._has_ended)
        return task

    def _has_ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.dead:
            self.failures.append(error)

    async def _ended(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
        for each in [*self.under_way] if self.dead else ():
            each.rollback()  # as whoever opens the ledger next does it

    async def _live(self) -> None:
        async with self._hearing():
            await self._ends.wait()

    @asynccontextmanager
    async def _hearing(self) -> AsyncIterator[None]:
        """Callbacks come in, where they are wanted and nobody hears them."""
        if SIM not in self._settings.pools or self.thingspace.letterbox is not None:
            yield
            return
        desk = Desk(
            self.office.ledger, self._settings.pools.values, self.desk_journal, now=lambda: self.office.clock.here
        )
        async with desk.at_work():
            self.thingspace.letterbox = self._letterbox(desk)
            try:
                yield
            finally:
                self.thingspace.letterbox = None

    def _letterbox(self, desk: Desk) -> Letterbox:
        async def arrives(body: bytes) -> bool:
            """As the listener does it."""
            if self.dead:
                return False
            received = callback_wire.read(body)
            if not callback_wire.matches(received, SECRET.username, SECRET.password):
                return True
            with suppress(LedgerError, TimeoutError):
                async with asyncio.timeout(5):
                    await desk.take(received.callback)
                    return True
            return False

        return arrives

    async def _made(self, run: Run) -> Report | None:
        """A run as `serve` and `apply` make it; None where there is none, for a reason that people are told."""
        work, self.wish = self._pass(), run
        self.lifted = self.office.refused if run.allows else None
        allowed = [self.lifted[1]] if self.lifted else []
        try:
            async with self._hearing():
                return await self._kept(work, run, allowed)
        except (Locked, LedgerError) as error:
            self.told.append(f"{type(error).__name__}: {error}")
            return None
        finally:
            self.run = ""

    async def _kept(self, work: Pass, run: Run, allowed: Collection[str]) -> Report:
        with running.kept(self.office.ledger, self.command, work.info, proved=self.command == "serve") as book:
            self.run = book.run
            self._listener.begins(self, book.run)
            journal = RunJournal(Progress(), run=book.run)
            journal.started(work.info)
            policy = composition.policy(work, removals=run.removals, allowed=allowed)
            run_plan = await running.planned(work, self._services, book, policy, journal, readings=self._readings)
            self._learn_refusal(run_plan.pools)
            report = await running.carried_out(work, run_plan, self._services, book, stop=self._stop, journal=journal)
            if self.command == "apply" and run.waits and SIM in work.settings.pools:
                until = asyncio.get_running_loop().time() + 3.0
                with suppress(LedgerError):
                    report = await waiting.settled(self.office.ledger, report, until, self._stop)
                report = await running.carried_on(work, report, self._services, book, stop=self._stop, journal=journal)
            return await running.recorded(work, book, report, journal)

    def _pass(self) -> Pass:
        force, settings = self.office.force, self._settings
        return Pass(settings, tuple(settings.pools.values()), force.inventory, force.info, self.office.credentials)

    def _learn_refusal(self, plans: Collection[object]) -> None:
        for plan in plans:
            if isinstance(plan, Plan) and plan.refusal:
                devices = frozenset(str(held.action.device) for held in plan.held_for(HeldReason.REFUSED))
                self.office.refused = (plan.pool.name, plan.refusal.hash, devices)

    def _rejections(self) -> RejectedLogins:
        who = self.office.credentials
        return RejectedLogins(
            self.office.ledger,
            {Login.APPLICATION: f"{who.key} {who.secret}", Login.USER: f"{who.username} {who.password}"},
        )


def fill_disk() -> None:
    """No file can be written any more."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))


def make_room() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
