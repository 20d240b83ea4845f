"""Settles promises by the callbacks that come in: many at once, and kept in the ledger before they are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import structs

from licensesync.callbacks.listener import Rejected
from licensesync.errors import LedgerError
from licensesync.ledger import database, promises
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.promises import Promise
from licensesync.model import Outcome, OutcomeKind, OutcomeReason, Pool
from licensesync.thingspace import sim_secure_verdicts
from licensesync.thingspace.callback_wire import Callback

T = TypeVar("T")

AT_ONCE: Final = 500
LOOKS: Final = 1.0
"""Seconds after which it is looked whether a promise is overdue."""

CLAIMS: Final = 0.2
"""Seconds after which it is looked whether a request is known by now whose callback has come already."""

LATE_CLAIMS: Final = 5.0
"""The same for callbacks that came longer ago than an answer takes."""

ANSWERS_WITHIN: Final = 120.0

STRAYS_ARE_KEPT: Final = timedelta(hours=1)


class Reception(StrEnum):
    """What a callback of ours has done."""

    SETTLED = "settled"
    REPEATED = "repeated"
    CONTRADICTED = "contradicted"
    KEPT = "kept"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Received:
    """A callback that was taken: what it has done, and how its promise stands now, where it is about one of ours."""

    reception: Reception
    promise: Promise | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of some callbacks: each of them, and what they have shown of earlier actions that were left open."""

    received: tuple[Received, ...]
    shown: tuple[tuple[Promise, Earlier], ...] = ()

    @property
    def settled(self) -> tuple[Promise, ...]:
        """The promises that are settled now and were not before."""
        told = (each.promise for each in self.received if each.reception is Reception.SETTLED)
        return tuple(promise for promise in told if promise and not promise.is_open)


class Journal(Protocol):
    """What is told of callbacks."""

    def received(self, received: Received) -> None: ...
    def shown(self, pool: Pool, earlier: Earlier) -> None: ...
    def rejected(self, why: Rejected) -> None: ...
    def overdue(self, promise: Promise) -> None: ...
    def forgotten(self, strays: int) -> None: ...
    def unkept(self, error: Exception) -> None: ...
    def catch_up(self) -> None:
        """A moment has passed: what was not told one by one is told."""


class Desk:
    """Takes callbacks for a ledger; `pools` are those of the settings at that moment."""

    def __init__(
        self,
        ledger: Path,
        pools: Callable[[], Collection[Pool]],
        journal: Journal,
        settled: Callable[[Sequence[Promise]], None] = lambda promises: None,  # noqa: ARG005 - nobody waits
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._pools = pools
        self._journal = journal
        self._settled = settled
        self._now = now
        self._waiting: list[tuple[Callback, asyncio.Future[None]]] = []
        self._came = asyncio.Event()
        self._ends = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "callbacks")
        self._writer = database.Writer(ledger)
        self._may_have_strays = True
        self._stray_at = time.monotonic()

    async def take(self, callback: Callback) -> None:
        """Returns when the ledger has what the callback tells. Raises LedgerError where it cannot have it."""
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((callback, kept))
        self._came.set()
        await kept

    def reject(self, why: Rejected) -> None:
        """A callback was not taken."""
        self._journal.rejected(why)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Callbacks are settled, and overdue promises noticed, until the end; what was taken by then is kept."""
        work = [asyncio.create_task(each) for each in (self._settle_callbacks(), self._watch_the_clock())]
        try:
            yield
        finally:
            self._ends.set()
            self._came.set()
            await asyncio.gather(*work)
            await self._in_thread(self._writer.close)
            self._thread.shutdown()
            self._journal.catch_up()

    async def _settle_callbacks(self) -> None:
        while not self._ends.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._claims_again()):
                    await self._came.wait()
            self._came.clear()
            await self._settle_waiting()
        await self._settle_waiting()

    def _claims_again(self) -> float | None:
        """In how many seconds; None where no callback waits for its request."""
        if not self._may_have_strays:
            return None
        return CLAIMS if time.monotonic() - self._stray_at < ANSWERS_WITHIN else LATE_CLAIMS

    async def _settle_waiting(self) -> None:
        """All that wait, so many in one transaction; and those that came before their request was known."""
        claims = self._may_have_strays
        while self._waiting or claims:
            claims = False
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            try:
                taken = await self._in_thread(self._kept, [callback for callback, _ in batch])
                _answer(batch, None)
                self._tell(taken)
            except Exception as error:  # noqa: BLE001 - whatever it is, they are sent again, and others are settled
                self._journal.unkept(error)
                _answer(batch, LedgerError(str(error)))
                return

    async def _watch_the_clock(self) -> None:
        while not self._ends.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOKS):
                    await self._ends.wait()
            self._journal.catch_up()
            try:
                overdue, forgotten = await self._in_thread(self._expired)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may fare better
                self._journal.unkept(error)
                continue
            for promise in overdue:
                self._journal.overdue(promise)
            if forgotten:
                self._journal.forgotten(forgotten)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """All that has to do with the ledger is done in one thread, whose connection stays open."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _tell(self, taken: Taken) -> None:
        for received in taken.received:
            self._journal.received(received)
        for promise, earlier in taken.shown:
            self._journal.shown(promise.pool, earlier)
        if taken.settled:
            self._settled(taken.settled)

    def _kept(self, callbacks: Sequence[Callback]) -> Taken:
        """In a thread: one transaction for all of them; none where nothing can be settled."""
        if not callbacks and not self._is_something_claimable():
            return Taken(())
        pools = self._by_licenses()
        with self._writer.changed() as connection:
            taken = _take(connection, callbacks, pools, self._now())
            claimed = promises.claimable(connection)
            late = [msgspec.json.decode(each.told, type=Callback) for each in claimed]
            of_late = _take(connection, late, pools, self._now())
            promises.drop_strays(connection, claimed)
            self._may_have_strays = promises.has_strays(connection)
        if any(each.reception is Reception.KEPT for each in taken.received):
            self._stray_at = time.monotonic()
        return Taken((*taken.received, *of_late.received), (*taken.shown, *of_late.shown))

    def _is_something_claimable(self) -> bool:
        with database.read(self._ledger) as connection:
            self._may_have_strays = connection is not None and promises.has_strays(connection)
            return connection is not None and bool(promises.claimable(connection))

    def _expired(self) -> tuple[list[Promise], int]:
        """In a thread: nothing is written unless something is to be."""
        now = self._now()
        with database.read(self._ledger) as connection:
            if connection is None or not promises.is_something_over(connection, now, now - STRAYS_ARE_KEPT):
                return [], 0
        with self._writer.changed() as connection:
            overdue = promises.expire(connection, self._by_licenses(), now)
            return overdue, promises.forget_strays(connection, now - STRAYS_ARE_KEPT)

    def _by_licenses(self) -> Mapping[str, Pool]:
        return {pool.licenses: pool for pool in self._pools()}


def _answer(batch: Iterable[tuple[Callback, asyncio.Future[None]]], error: LedgerError | None) -> None:
    for _, kept in batch:
        if kept.done():  # who sent it does not wait any more
            continue
        if error:
            kept.set_exception(error)
        else:
            kept.set_result(None)


def _take(
    connection: database.Ledger, callbacks: Sequence[Callback], pools: Mapping[str, Pool], now: datetime
) -> Taken:
    """What comes of some callbacks, in their order, by promises that know each other's ends."""
    if not callbacks:
        return Taken(())
    known = promises.of_requests(connection, {(each.request, each.imei, each.iccid) for each in callbacks}, pools)
    standing = {promise.row: promise for made in known.values() for promise in made}
    received: list[Received] = []
    for callback in callbacks:
        made = known.get(callback.request)
        each = _received(callback, None if made is None else [standing[promise.row] for promise in made], now)
        if each.promise:
            standing[each.promise.row] = each.promise
        received.append(each)
    changed = {
        each.promise.row
        for each in received
        if each.promise and each.reception in {Reception.SETTLED, Reception.CONTRADICTED}
    }
    shown = promises.settle(connection, [standing[row] for row in sorted(changed)])
    unknown = zip(callbacks, received, strict=True)
    strays = [callback for callback, each in unknown if each.reception is Reception.KEPT]
    promises.keep_strays(connection, [(each.request, msgspec.json.encode(each).decode()) for each in strays], now)
    return Taken(tuple(received), tuple(shown))


def _received(callback: Callback, made: Sequence[Promise] | None, now: datetime) -> Received:
    """What one callback does to the promises that were made for its request; None: nobody knows the request, yet."""
    if made is None:
        return Received(Reception.KEPT)
    promise = next((each for each in made if sim_secure_verdicts.is_about(callback, each.pool, each.outcome)), None)
    if promise is None:
        return Received(Reception.FOREIGN)
    outcome = sim_secure_verdicts.of_callback(callback, promise.outcome, now)
    if promise.is_open:
        return Received(Reception.SETTLED, replace(promise, outcome=outcome))
    if _says_the_same(outcome, promise.outcome):
        return Received(Reception.REPEATED, promise)
    doubt = structs.replace(promise.outcome, kind=OutcomeKind.UNKNOWN, reason=OutcomeReason.CONTRADICTED, at=now)
    return Received(Reception.CONTRADICTED, replace(promise, outcome=doubt))


def _says_the_same(outcome: Outcome, before: Outcome) -> bool:
    """Whether both mean that the device is as it was asked to be, or both that it is not."""
    return (outcome.kind is OutcomeKind.DONE) is (before.kind is OutcomeKind.DONE)
