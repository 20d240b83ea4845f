"""The life of the service: it begins when all is good, makes runs when the bell rings, and ends when it is told to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any, Final

import structlog

from licensesync import __version__, journal, programs
from licensesync.callbacks.desk import Desk
from licensesync.callbacks.hearing import hearing
from licensesync.callbacks.registration import Registrar
from licensesync.composition import Pass
from licensesync.credentials import CallbackCredentials, callback_credentials
from licensesync.daemon.bell import Bell
from licensesync.daemon.board import Board
from licensesync.daemon.clock import LOOKS, Clock
from licensesync.daemon.course import Course
from licensesync.daemon.listener import listening
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.notifications import Notifier
from licensesync.daemon.orders import Found, Orders
from licensesync.daemon.rounds import Rounds
from licensesync.daemon.systemd import Manager, Pulse
from licensesync.daemon.telling import ServiceCallbackJournal
from licensesync.daemon.watching import LOOKS_AGAIN, watch
from licensesync.errors import CredentialsError, LicenseSyncError
from licensesync.ledger import database, lock
from licensesync.ledger.promises import Promise
from licensesync.model import OutcomeKind, OutcomeReason, Pool, Verb
from licensesync.settings import GitSource, LocalSource, Settings

ENDING: Final = (signal.SIGINT, signal.SIGTERM)
PATIENCE: Final = 60.0
"""Seconds that a run waits for what is new; what comes later is for the run right after it."""

CALM: Final = 2.0
"""Seconds without such a callback after which a run begins of what removals have freed, or others did not need."""

MOMENT: Final = 1.0
"""Seconds after which a shorter interval of asking the remote is noticed."""


async def serve(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Serves until a signal comes; whether it ended in order, the batches in hand finished.

    Raises Locked where another service has the ledger, else what is wrong with ledger, inventory or credentials.
    """
    ledger = settings.ledger_path(environ)
    with lock.held(ledger, "serve", datetime.now(UTC), lock.SERVICE):
        await asyncio.to_thread(database.prove, ledger)
        async with AsyncExitStack() as life:
            manager = Manager(environ)
            life.callback(manager.close)
            service = Service(settings, environ, manager)
            life.push_async_callback(service.rounds.close)
            return await service.live()


class Service:
    """One service. Two things go on side by side: what is wanted is kept up to date, and runs are made of it."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], manager: Manager) -> None:
        ledger = settings.ledger_path(environ)
        self._environ = environ
        self._ledger = ledger
        self._orders = Orders(settings.file, environ)
        self._manager = manager
        self._pulse = Pulse(manager, asyncio.get_running_loop().time)
        self._metrics = Metrics()
        self._due = asyncio.Event()
        self._asked = asyncio.Event()
        self._reload = False
        self._in_order = True
        self._stale: str | None = None
        self._late: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._freed: asyncio.TimerHandle | None = None
        self._who: CallbackCredentials | None = None
        self._log: Any = structlog.get_logger()
        course = Course()
        self.rounds = Rounds(ledger, self._metrics, course, self._pulse, self._show)
        self._board = Board(ledger, self._orders, course, self.rounds.backoff, self._metrics, self._pulse)
        self._notifier = Notifier(ledger, environ, self._orders, self._metrics)

    async def live(self) -> bool:
        """From the first look at the inventory to the end; whether it ended in order."""
        with self._hearing_signals():
            if settings := await self._first():
                await self._serve(settings)
        self._log.info("serve.stopped", in_order=self._in_order)
        return self._in_order

    async def _serve(self, settings: Settings) -> None:
        self._board.bell = bell = Bell(settings.schedule, self._due.set)
        try:
            async with self._hearing(settings), self._visible(settings) as address, self._notifier.telling():
                await self._begin(address)
                async with self._keeping_up_to_date():
                    await self._make_runs()
        finally:
            bell.close()

    async def _first(self) -> Settings | None:
        """The settings of the first look; None where the service was told to end meanwhile.

        Not the inventory, which would be kept in memory for the service's life, beside the newest.
        """
        try:
            settings = (await self._orders.first()).settings
        except LicenseSyncError:
            if not self.rounds.stop.is_set():
                raise
            return None
        return None if self.rounds.stop.is_set() else settings

    async def _begin(self, address: str) -> None:
        await self._take()
        pools = [pool.name for pool in self._orders.in_force.pools]
        self._log.info("serve.started", version=__version__, listen=address, pools=pools, next_run=self._board.next_run)
        self._manager.ready()
        await self._tell_of_freshness()
        self._notifier.looked()
        self._due.set()

    @asynccontextmanager
    async def _visible(self, settings: Settings) -> AsyncIterator[str]:
        """Where it may be looked at."""
        if settings.listen is None:
            yield "off"
            return
        async with listening(settings.listen, self._board) as address:
            yield str(address)

    @asynccontextmanager
    async def _hearing(self, settings: Settings) -> AsyncIterator[None]:
        """Callbacks are heard from the start, where there are pools whose requests end by them."""
        wanted = settings.callbacks
        if wanted is None or all(pool.product.is_listed for pool in settings.pools.values()):
            yield
            return
        self._who = callback_credentials(self._environ)
        desk = Desk(self._ledger, self._pools_now, ServiceCallbackJournal(self._metrics), self._promises_settled)
        self.rounds.gated_by = lambda client: Registrar(client, wanted, self._who_calls()).gate
        async with hearing(wanted, self._who_calls, desk) as address:
            self._log.info("callbacks.listening", listen=str(address), public_url=wanted.public_url)
            yield

    def _who_calls(self) -> CallbackCredentials:
        if self._who is None:
            raise LookupError("nobody hears callbacks")
        return self._who

    def _read_who_calls(self) -> None:
        """The credentials of callbacks as they are now; they are registered by the next run."""
        if self._who is None:
            return
        try:
            now = callback_credentials(self._environ)
        except CredentialsError as error:
            self._log.error("callbacks.credentials-kept", problem=str(error))
            return
        if now != self._who:
            self._who = now
            self.rounds.forget_services()

    def _pools_now(self) -> Collection[Pool]:
        return self._orders.in_force.settings.pools.values()

    def _promises_settled(self, promises: Sequence[Promise]) -> None:
        """What removals have freed is for those who wait for it: once no more callbacks of them come for a moment.

        So is a license with which a device was asked for that has turned out to hold one already.
        """
        done = [each for each in promises if each.outcome.kind is OutcomeKind.DONE]
        if any(each.verb is Verb.REMOVE or each.outcome.reason is OutcomeReason.ALREADY for each in done):
            if self._freed:
                self._freed.cancel()
            self._freed = self._loop.call_later(CALM, self._due.set)

    def _show(self) -> None:
        self._manager.status(self._board.sentence())

    # The runs

    async def _make_runs(self) -> None:
        """Waits for the bell, makes a run, and again; a bell that rings during a run is heard right after it."""
        while not self.rounds.stop.is_set():
            self._pulse.beat()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pulse.pause):
                    await self._due.wait()
            if self._due.is_set() and not self.rounds.stop.is_set():
                self._due.clear()
                await self._unharmed(self._run())

    async def _unharmed(self, work: Awaitable[None]) -> None:
        """A mistake in this program costs one run or one look, and never the service."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._log.error("serve.mistake", problem=f"{type(error).__name__}: {error}", exc_info=True)

    async def _run(self) -> None:
        """A run of the pools that are due, of what is wanted at this moment."""
        await self._look_before_run()
        self._pulse.beat()
        self._due.clear()  # this run goes by all that the bell has rung for until now
        if self._due_now().pools and not self.rounds.stop.is_set():
            report = await self.rounds.make(self._due_now)
            if not self.rounds.stop.is_set():
                self._notifier.run_ended(report)
        await self._keep()  # the bell's next time is another one in any case

    async def _look_before_run(self) -> None:
        """Nothing that is wrong with a look keeps a run, nor does a remote that takes its time or is away."""
        fetch = self._orders.stale is None and not self._orders.is_fetching
        look = asyncio.create_task(self._unharmed(self._look(fetch=fetch)))
        self._late.add(look)
        look.add_done_callback(self._late.discard)
        await asyncio.wait({look}, timeout=PATIENCE)

    def _due_now(self) -> Pass:
        return self.rounds.due(self._orders.in_force, datetime.now(UTC))

    async def _keep(self) -> None:
        await self._board.keep()
        self._show()

    # What is wanted

    @asynccontextmanager
    async def _keeping_up_to_date(self) -> AsyncIterator[None]:
        """Looks whenever a signal, a file or the remote's own interval says so."""
        tasks = self._look_when_asked(), self._look_now_and_then(), self._look_at_the_clock()
        keeping = [asyncio.create_task(each) for each in tasks]
        try:
            yield
        finally:
            keeping += self._late
            for each in keeping:
                each.cancel()
            await asyncio.wait(keeping)

    async def _look_when_asked(self) -> None:
        """Asked by a signal, or by a change of the files that are in force now."""
        while True:
            inventories = self._inventories
            watching = asyncio.create_task(self._watch(inventories))
            try:
                while self._inventories == inventories:
                    await self._asked.wait()
                    self._asked.clear()
                    await self._unharmed(self._look_again())
            finally:
                watching.cancel()
                await asyncio.wait({watching})

    @property
    def _inventories(self) -> frozenset[Path]:
        """Those on this machine: the one that is in force, and the one that the newest settings want."""
        sources = (self._orders.in_force.settings.inventory, self._orders.sought)
        return frozenset(source.path for source in sources if isinstance(source, LocalSource))

    async def _watch(self, inventories: frozenset[Path]) -> None:
        while True:
            await self._unharmed(watch(self._orders.file, inventories, self._asked.set))
            await asyncio.sleep(LOOKS_AGAIN)

    async def _look_again(self) -> None:
        """A signal wants everything read again, the credentials too, and a run in any case."""
        if not self._reload:
            await self._look()
            return
        self._reload = False
        self._manager.reloading()
        self._read_who_calls()
        try:
            await self._look(again=True)
        finally:
            if not self.rounds.stop.is_set():
                self._manager.ready()
        self.rounds.backoff.waive()
        self._due.set()

    async def _look_now_and_then(self) -> None:
        """A remote tells nobody of its new commits."""
        looked_at = self._loop.time()
        while True:
            source = self._orders.sought
            every = source.fetch_every.total_seconds() if isinstance(source, GitSource) else inf
            if self._loop.time() - looked_at >= every:
                await self._unharmed(self._look())
                looked_at = self._loop.time()
            await asyncio.sleep(min(every, MOMENT))

    async def _look_at_the_clock(self) -> None:
        """Who waits for a time of day waits too long when the clock was set back, or the machine stood still."""
        clock = Clock()
        while True:
            await asyncio.sleep(LOOKS)
            if step := clock.step():
                await self._unharmed(self._clock_was_set(step))

    async def _clock_was_set(self, step: timedelta) -> None:
        self._log.warning("clock.set", seconds=round(step.total_seconds()))
        self._board.clock_was_set(step)
        self.rounds.clock_was_set()
        self._notifier.clock_was_set()
        await self._keep()
        self._due.set()

    async def _look(self, *, fetch: bool = True, again: bool = False) -> None:
        """What is new and good is in force from here on, and a run of it is due."""
        found = await self._orders.look(fetch=fetch, again=again)
        if self.rounds.stop.is_set():  # what was looked with was cut short
            return
        await self._tell_of_freshness()
        self._notifier.looked()
        if found is Found.LOADED:
            self.rounds.backoff.waive()
            await self._take()
            self._due.set()
        elif found is Found.REJECTED and (rejection := self._orders.rejection):
            self._metrics.inventory_rejected(len(rejection.problems))
            await self._keep()
            in_force = self._orders.in_force.info.commit
            self._log.error("inventory.rejected", problems=rejection.problems, in_force=in_force)

    async def _take(self) -> None:
        """Something is in force that was not before: shown, and then told."""
        work = self._orders.in_force
        self._board.taken(work)
        self.rounds.backoff.keep(pool.name for pool in work.pools)
        self._metrics.inventory_fresh(self._orders.fresh_at)
        await self._keep()
        info = work.info
        told = {"commit": info.commit, "author": info.author, "dirty": info.dirty, "devices": info.devices}
        self._log.info("inventory.loaded", **told, digest=info.digest)
        if nameless := self._orders.nameless:
            journal.inventory_nameless(nameless)
        for name in self._orders.needs_restart:
            self._log.warning("settings.need-restart", setting=name, next_step="restart the service to change it")

    async def _tell_of_freshness(self) -> None:
        """Once when the git remote does not answer any more, and once when it does again."""
        before, self._stale = self._stale, self._orders.stale
        now, fresh_at = self._stale, self._orders.fresh_at
        self._metrics.inventory_fresh(fresh_at)
        if now != before:
            await self._keep()
        if now and not before:
            journal.inventory_stale(now, fresh_at)
        elif before and not now:
            self._log.info("inventory.fresh", fresh_at=fresh_at)

    # The end

    @contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._ask_to_reload)
        try:
            yield
        finally:
            for number in (*ENDING, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _ask_to_reload(self) -> None:
        self._reload = True
        self._asked.set()

    def _end(self, number: signal.Signals) -> None:
        """The first signal lets the batches in hand come to their end; the second one does not."""
        if self.rounds.stop.is_set():
            self._in_order = False
            self.rounds.cut()
            return
        self._log.info("serve.stopping", signal=signal.Signals(number).name)
        self._manager.stopping()
        self.rounds.stop.set()
        self._due.set()
        programs.cut()
