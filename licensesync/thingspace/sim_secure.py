"""The SIM-Secure product: who holds a license by what is remembered, proved by the service's counts; requests that it
accepts and tells the end of by callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec import structs

from licensesync.errors import ApiError, BatchRejected, IncompleteObservation
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    Observed,
    Outcome,
    OutcomeKind,
    Pool,
    Reading,
    Remembered,
    Verb,
)
from licensesync.thingspace import sim_secure_calls, sim_secure_verdicts
from licensesync.thingspace.client import Client, Reader
from licensesync.thingspace.sim_secure_calls import MOST_DEVICES, SkuCounts

ATTEMPTS = 3
PAUSE = 0.3

Recall = Callable[[Pool], Awaitable[Remembered]]
"""Who holds licenses of a pool by what is remembered now. Raises LedgerError."""
Gate = Callable[[], Awaitable[None]]
"""Raises IncompleteObservation where a pool may not be run now."""


class SimSecureReader:
    """Knows who holds the licenses of one SKU; it has no way to change them.

    The service has `patience` to tell how a request ended.
    """

    def __init__(  # noqa: PLR0913 - what differs from one account to the next, by name
        self,
        pool: Pool,
        reader: Reader,
        recall: Recall,
        *,
        patience: timedelta,
        gate: Gate | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.pool = pool
        self._reader = reader
        self._recall = recall
        self._patience = patience
        self._gate = gate
        self._now = now

    async def observe(self, known: Collection[DeviceId], progress: Callable[[int, int | None], None]) -> Observed:
        """Who holds a license by what is remembered, proved whole: as many as the service itself counts.

        Raises IncompleteObservation when the two do not agree at three times, ApiError when the service says no.
        """
        del known
        if self._gate:
            await self._gate()
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._observed(progress)
            except IncompleteObservation as doubt:
                if doubt.reading is Reading.UNREAD:
                    raise
            await asyncio.sleep(PAUSE * attempt)
        return await self._observed(progress)

    async def _observed(self, progress: Callable[[int, int | None], None]) -> Observed:
        """What is remembered may change while the service is asked: it has counted what was before or after that."""
        before = await self._recall(self.pool)
        capacity = await self.capacity()
        progress(len(before.holders), capacity.assigned)
        after = await self._recall(self.pool)
        if doubt := disagreement(self.pool, capacity, before, after):
            raise IncompleteObservation(doubt)
        overdue = self._now() - self._patience if before == after else datetime.min.replace(tzinfo=UTC)
        return _observed(after, capacity, overdue)

    async def capacity(self) -> Capacity:
        """The service's counts of this moment. Raises ApiError, or IncompleteObservation where it has none."""
        told = await self._reader.read(sim_secure_calls.subscriptions(self.pool.account))
        counts = told.of(self.pool.sku)
        if counts is None:
            others = ", ".join(told.skus) or "none"
            raise IncompleteObservation(
                f"the account has no licenses of SKU {self.pool.sku}; those that it has: {others}; write one of these "
                "as sku of the pool, or buy licenses of it",
                Reading.UNREAD,
            )
        return capacity_of(counts)


class SimSecureLister(SimSecureReader):
    """Reads as a SimSecureReader does; `since` has the day (UTC) on which devices got their licenses, where known."""

    def __init__(
        self, pool: Pool, reader: Reader, recall: Recall, *, patience: timedelta, since: Mapping[DeviceId, date]
    ) -> None:
        super().__init__(pool, reader, recall, patience=patience)
        self.since = since


class SimSecureService(SimSecureReader):
    """Knows and changes who holds the licenses of one SKU."""

    largest_batch = MOST_DEVICES

    def __init__(  # noqa: PLR0913 - what differs from one account to the next, by name
        self,
        pool: Pool,
        client: Client,
        recall: Recall,
        *,
        patience: timedelta,
        gate: Gate | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(pool, client, recall, patience=patience, gate=gate, now=now)
        self._client = client

    async def submit(self, batch: Sequence[Action]) -> list[Outcome]:
        """One outcome for each action of the batch, which has one verb: `pending` where the service has accepted it.

        Raises BatchRejected when the service did nothing and one of the devices may be the reason.
        """
        request = sim_secure_calls.assign if batch[0].verb is Verb.ASSIGN else sim_secure_calls.unassign
        devices = [action.device for action in batch]
        try:
            accepted = await self._client.write(request(self.pool.account, self.pool.sku or "", devices))
        except ApiError as error:
            return self._outcomes_of(batch, error)
        now = self._now()
        promise = Outcome(
            batch[0], OutcomeKind.PENDING, now, retry_at=now + self._patience, request=accepted.request_id
        )
        return [structs.replace(promise, action=action) for action in batch]

    async def look_up(self, devices: Sequence[DeviceId]) -> Mapping[DeviceId, bool]:
        """Nothing: no call tells who holds one of these licenses."""
        del devices
        return {}

    def _outcomes_of(self, batch: Sequence[Action], error: ApiError) -> list[Outcome]:
        rejects_one = sim_secure_verdicts.may_be_for_one_device(error)
        if rejects_one and len(batch) > 1:
            raise BatchRejected(str(error)) from error
        outcomes = [sim_secure_verdicts.of_error(action, error, self._now()) for action in batch]
        if rejects_one and outcomes[0].kind is OutcomeKind.REJECTED:
            raise BatchRejected(str(error), outcomes[0].reason) from error
        return outcomes


def _observed(remembered: Remembered, capacity: Capacity, overdue: datetime) -> Observed:
    """Who holds a license.

    Where none is left to ask again with, the counts may tell what became of requests that were made before `overdue`:
    if they agree only when each open assignment and no open removal has its effect on them, or the other way round.
    """
    fewest, most = _bounds(remembered)
    told = frozenset(device for device, asked in remembered.open_since.items() if asked <= overdue)
    if capacity.free or not told or capacity.assigned not in {fewest, most}:
        return Observed(remembered.holders, capacity, remembered.doubtful)
    holders = remembered.holders | told if capacity.assigned == most else remembered.holders - told
    return Observed(holders, capacity, remembered.doubtful - told)


def _bounds(remembered: Remembered) -> tuple[int, int]:
    """How many licenses may be counted as assigned, at least and at most.

    Of what was asked for and is not settled, the service may count any or none.
    """
    open_removals = len(remembered.doubtful & remembered.holders)
    open_assignments = len(remembered.doubtful) - open_removals
    certain = len(remembered.holders) + remembered.others
    return certain - open_removals, certain + open_assignments


def capacity_of(counts: SkuCounts) -> Capacity:
    """What the service counts. Raises IncompleteObservation where it leaves out what is needed."""
    if counts.license_purchased is None or counts.license_assigned is None:
        lacking = "are" if counts.license_purchased is None else "are assigned"
        raise IncompleteObservation(f"the service does not say how many licenses of SKU {counts.sku_number} {lacking}")
    return Capacity(counts.license_purchased, counts.license_assigned, counts.license_available)


def disagreement(pool: Pool, capacity: Capacity, *remembered: Remembered) -> str:
    """By how many the service's count is not what is remembered, and the ways out; empty where the two agree.

    `remembered` may be more than one, the last of them now: what was counted may lie between them.
    """
    bounds = [_bounds(each) for each in remembered]
    fewest, most = min(low for low, _ in bounds), max(high for _, high in bounds)
    if fewest - pool.tolerance <= capacity.assigned <= most + pool.tolerance:
        return ""
    return _in_words(pool, remembered[-1], capacity, fewest, most)


def _in_words(pool: Pool, remembered: Remembered, capacity: Capacity, fewest: int, most: int) -> str:
    above = capacity.assigned - most
    by = f"{above} more" if above > 0 else f"{fewest - capacity.assigned} fewer"
    holders, doubtful, others = len(remembered.holders), len(remembered.doubtful), remembered.others
    found = f", as {pool.others - others} of {pool.others} turned out to be ours" if others < pool.others else ""
    needed = capacity.assigned - holders
    write_others = f"if others have these, write others: {needed}; else " if 0 <= needed != pool.others else ""
    return (
        f"the service counts {capacity.assigned} assigned licenses of SKU {pool.sku}, {by} than are known (holders in "
        f"the ledger: {holders}, open requests: {doubtful}, others: {others}{found}); {write_others}give the ledger "
        f"the list of who holds one: licensesync import --pool {pool.name} --file LIST.csv"
    )
