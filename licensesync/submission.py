"""Carries out the plan of one pool: batches sent side by side, every device settled, the rest held with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import structs

from licensesync import planner
from licensesync.errors import ApiError, BatchRejected, IncompleteObservation, LedgerError
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    Held,
    HeldReason,
    Observed,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Plan,
    Pool,
    PoolReport,
    Unread,
    Verb,
)

UNANSWERED_IN_A_ROW = 3
UPGRADE_TAKES = timedelta(hours=24)

UNDECIDED = frozenset({OutcomeKind.PENDING, OutcomeKind.UNKNOWN})

HOPELESS = {
    OutcomeReason.ACCOUNT_REJECTED: HeldReason.STOPPING,
    OutcomeReason.CREDENTIALS_REJECTED: HeldReason.STOPPING,
    OutcomeReason.NOT_LOGGED_IN: HeldReason.STOPPING,
    OutcomeReason.NO_CAPACITY: HeldReason.NO_CAPACITY,
}
"""Outcomes after which the next batch would fare no better, and why what is left is held then."""


class Sender(Protocol):
    """What can change who holds a license of a pool."""

    @property
    def pool(self) -> Pool: ...

    @property
    def largest_batch(self) -> int:
        """How many devices one call may name."""
        ...

    async def capacity(self) -> Capacity:
        """The service's counts of this moment. Raises ApiError or IncompleteObservation."""
        ...

    async def submit(self, batch: Sequence[Action]) -> list[Outcome]:
        """One outcome for each action of the batch, which has one verb. Raises BatchRejected if nothing was done."""
        ...

    async def look_up(self, devices: Sequence[DeviceId]) -> Mapping[DeviceId, bool]:
        """Whether these devices hold a license; what is not known is left out. Raises ApiError."""
        ...

    async def observe(self, known: Collection[DeviceId], progress: Callable[[int, int | None], None]) -> Observed:
        """Who holds a license, proved whole. Raises IncompleteObservation or ApiError."""
        ...


class Witness(Protocol):
    """What is told while batches are sent."""

    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None:
        """So many of the actions of this verb are settled."""

    def settled(self, pool: Pool, outcomes: Sequence[Outcome]) -> None:
        """A batch is settled: one outcome for each of its devices."""


class Record(Protocol):
    """What is kept of batches, so that no crash loses more than those in flight: what it returns from is durable.

    Raises LedgerError.
    """

    async def sent(self, pool: Pool, batch: Sequence[Action]) -> None:
        """A batch is about to be sent: without this being kept, it is not."""

    async def settled(self, pool: Pool, batch: Sequence[Action], outcomes: Sequence[Outcome]) -> None:
        """What became of a batch; actions without an outcome were not sent in the end."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How batches are sent: devices in each, how many at once, when to stop, what the time is, where it is kept."""

    batch_size: int
    at_once: int
    stop: asyncio.Event
    now: Callable[[], datetime]
    record: Record


async def carry_out(plan: Plan, sender: Sender, sending: Sending, witness: Witness) -> PoolReport:
    """Removals first, then assignments into what is free, then into what the removals freed by the service's count."""
    work = _Work(sender, sending, witness)
    await work.send(plan.of(Verb.REMOVE))
    await work.send_within(plan.of(Verb.ASSIGN), plan.capacity.free_beside(plan.promised))
    awaiting = plan.held_for(HeldReason.AWAITING_REMOVALS)
    kept_back = [held for held in plan.held if held.reason is not HeldReason.AWAITING_REMOVALS]
    if awaiting and work.removed_something() and not work.halted:
        await work.send_into_what_is_free([held.action for held in awaiting], plan.promised)
    else:
        kept_back += awaiting
    sent = tuple(outcome.action for outcome in work.outcomes)
    carried_out = replace(plan, actions=sent, held=(*kept_back, *work.held))
    return PoolReport(carried_out, tuple(work.outcomes), work.problem, unrecorded=work.unrecorded)


async def carry_on(report: PoolReport, sender: Sender, sending: Sending, witness: Witness) -> PoolReport:
    """The report, with what was assigned into what removals have freed whose end was told after they were sent."""
    plan = report.plan
    if isinstance(plan, Unread) or not _has_freed_later(report):
        return report
    awaiting = [held.action for held in plan.held_for(HeldReason.AWAITING_REMOVALS)]
    kept_back = [held for held in plan.held if held.reason is not HeldReason.AWAITING_REMOVALS]
    work = _Work(sender, sending, witness)
    await work.send_into_what_is_free(awaiting, plan.promised)
    sent = tuple(outcome.action for outcome in work.outcomes)
    carried_on = replace(plan, actions=(*plan.actions, *sent), held=(*kept_back, *work.held))
    unrecorded = report.unrecorded or work.unrecorded
    return PoolReport(carried_on, (*report.outcomes, *work.outcomes), work.problem or report.trouble, unrecorded)


def _has_freed_later(report: PoolReport) -> bool:
    """Whether somebody waits for removals that were promised and are done."""
    removed = any(
        each.action.verb is Verb.REMOVE and each.kind is OutcomeKind.DONE and each.request for each in report.outcomes
    )
    return removed and any(held.reason is HeldReason.AWAITING_REMOVALS for held in report.held)


@dataclass(slots=True)
class _Work:
    """What was sent of one plan and what became of it."""

    sender: Sender
    sending: Sending
    witness: Witness
    outcomes: list[Outcome] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    halted: HeldReason | None = None
    unanswered: int = 0
    calls: asyncio.Semaphore = field(default_factory=asyncio.Semaphore)
    rejected_alone: set[Action] = field(default_factory=set)
    unknown: list[Outcome] = field(default_factory=list)
    sent_again: set[Action] = field(default_factory=set)
    problem: str | None = None
    unrecorded: bool = False

    async def send_within(self, assignments: Sequence[Action], free: int) -> None:
        """Send assignments; one batch after the other if they take all that is free, so that the last licenses go in
        their order whatever others take meanwhile.
        """
        await self.send(assignments, at_once=1 if len(assignments) >= free else self.sending.at_once)

    async def send(self, actions: Sequence[Action], at_once: int | None = None) -> None:
        """Send actions of one verb, several batches at once; what is not sent any more is held."""
        if not actions:
            return
        waiting = planner.batches(actions, self._batch_size)
        before = len(self.outcomes)
        self.witness.sending(self.sender.pool.name, actions[0].verb, 0, len(actions))
        calls = at_once or self.sending.at_once
        self.calls = asyncio.Semaphore(calls)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_in_hand(calls), len(actions))):
                workers.create_task(self._send_batches(waiting, before, len(actions)))
        await self._settle_by_reading()
        self.held += [Held(action, self._why_not_sent()) for batch in waiting for action in batch]

    async def send_into_what_is_free(self, actions: Sequence[Action], promised: int) -> None:
        """Send as many as the service says are free now and nobody else was promised; the rest is held."""
        try:
            counted = await self.sender.capacity()
        except (ApiError, IncompleteObservation) as error:
            self.problem = f"what the removals freed could not be read, and was not assigned: {error}"
            self.held += [Held(action, HeldReason.AWAITING_REMOVALS) for action in actions]
            return
        undecided = sum(each.action.verb is Verb.ASSIGN and each.kind in UNDECIDED for each in self.outcomes)
        free = counted.free_beside(promised + undecided)
        await self.send_within(actions[:free], free)
        self.held += [Held(action, HeldReason.NO_CAPACITY) for action in actions[free:]]

    def removed_something(self) -> bool:
        return any(each.action.verb is Verb.REMOVE and each.kind is OutcomeKind.DONE for each in self.outcomes)

    @property
    def _batch_size(self) -> int:
        return min(self.sending.batch_size, self.sender.largest_batch)

    async def _send_batches(self, waiting: Iterator[tuple[Action, ...]], before: int, of: int) -> None:
        while not self._must_stop() and (batch := next(waiting, None)):
            if not await self._recorded_as_sent(batch):
                self.held += [Held(action, self._why_not_sent()) for action in batch]
                return
            settled = await self._sent(batch)
            unknown = [outcome for outcome in settled if outcome.kind is OutcomeKind.UNKNOWN]
            asked = {outcome.action for outcome in unknown}
            known = [outcome for outcome in settled if outcome.action not in asked]
            self.unknown += unknown
            await self._tell([action for action in batch if action not in asked], known)
            self.witness.sending(self.sender.pool.name, batch[0].verb, len(self.outcomes) - before, of)

    async def _sent(self, batch: Sequence[Action]) -> list[Outcome]:
        """What became of a batch that is kept as sent, once its turn has come and if the run may go on then."""
        async with self.calls:
            if not self._must_stop():
                return await self._settled(batch)
        self.held += [Held(action, self._why_not_sent()) for action in batch]
        return []

    async def _settle_by_reading(self) -> None:
        """What nobody could look up is settled by one fresh reading; what had no effect is sent once more."""
        unknown, self.unknown = self.unknown, []
        if not unknown:
            return
        seen = None if self.sending.stop.is_set() else await self._seen_afresh()
        outcomes = {each.action: settle(each, seen.holds(each.action.device) if seen else None) for each in unknown}
        again = await self._sent_once_more(outcomes.values())
        outcomes |= {action: settle(outcome, None) for action, outcome in again.items()}
        await self._tell(list(outcomes), list(outcomes.values()))

    async def _seen_afresh(self) -> Observed | None:
        try:
            return await self.sender.observe((), lambda seen, expected: None)  # noqa: ARG005 - nobody watches
        except (ApiError, IncompleteObservation, LedgerError):
            return None

    async def _tell(self, asked: Sequence[Action], settled: Sequence[Outcome]) -> None:
        """Keeps and tells what became of these actions; those without an outcome were not sent in the end."""
        if not asked:
            return
        try:
            await self.sending.record.settled(self.sender.pool, asked, settled)
        except LedgerError as error:
            self._end_for(error)
        self.outcomes += settled
        self.witness.settled(self.sender.pool, settled)

    async def _recorded_as_sent(self, batch: Sequence[Action]) -> bool:
        try:
            await self.sending.record.sent(self.sender.pool, batch)
        except LedgerError as error:
            self._end_for(error)
            return False
        return True

    def _end_for(self, error: LedgerError) -> None:
        """What cannot be kept is not sent."""
        self.problem, self.unrecorded = str(error), True
        self.halted = self.halted or HeldReason.STOPPING

    def _must_stop(self) -> bool:
        return self.halted is not None or self.sending.stop.is_set()

    def _why_not_sent(self) -> HeldReason:
        return self.halted or HeldReason.STOPPING

    def _learn_from(self, settled: Sequence[Outcome]) -> None:
        """Whether the next batch can fare better than this one."""
        hopeless = [HOPELESS[each.reason] for each in settled if each.reason in HOPELESS]
        self.halted = self.halted or next(iter(hopeless), None)
        nothing_known = all(_is_mute(each) for each in settled)
        self.unanswered = self.unanswered + 1 if nothing_known else 0
        if self.unanswered >= UNANSWERED_IN_A_ROW:
            self.halted = self.halted or HeldReason.STOPPING

    async def _settled(self, batch: Sequence[Action]) -> list[Outcome]:
        """What became of a batch. What had no effect is sent once more; what is not sent any more is held."""
        outcomes = await self._sent_and_looked_up(batch)
        self.held += [Held(action, self._why_not_sent()) for action in batch if action not in outcomes]
        outcomes |= await self._sent_once_more(outcomes.values())
        if len(batch) > 1 and self.rejected_alone.issuperset(batch):
            self.halted = self.halted or HeldReason.STOPPING
        return list(outcomes.values())

    async def _sent_once_more(self, outcomes: Iterable[Outcome]) -> dict[Action, Outcome]:
        """What became of the actions that had no effect, if they may be sent a second time; there is no third."""
        without_effect = [each.action for each in outcomes if each.reason is OutcomeReason.NO_EFFECT]
        again = [action for action in without_effect if action not in self.sent_again]
        if not again or self._must_stop():
            return {}
        self.sent_again.update(again)
        settled: dict[Action, Outcome] = {}
        for batch in planner.batches(again, self._batch_size):
            settled |= {} if self._must_stop() else await self._sent_and_looked_up(batch)
        return settled

    async def _sent_and_looked_up(self, batch: Sequence[Action]) -> dict[Action, Outcome]:
        """Sent in one call; a batch that is rejected whole is halved until the device that it is for stands alone.

        Actions that were not sent any more, because the run has to end, have no outcome.
        """
        try:
            outcomes = await self.sender.submit(batch)
        except BatchRejected as rejection:
            if len(batch) > 1:
                return await self._sent_in_halves(batch)
            outcomes = [self._rejected(batch[0], rejection)]
        unknown = [outcome.action.device for outcome in outcomes if outcome.kind is OutcomeKind.UNKNOWN]
        holding = await self._looked_up(unknown) if unknown else {}
        settled = [settle(each, holding[d]) if (d := each.action.device) in holding else each for each in outcomes]
        self._learn_from(settled)
        return {outcome.action: outcome for outcome in settled}

    async def _sent_in_halves(self, batch: Sequence[Action]) -> dict[Action, Outcome]:
        half = len(batch) // 2
        settled = await self._sent_and_looked_up(batch[:half])
        return settled if self._must_stop() else settled | await self._sent_and_looked_up(batch[half:])

    async def _looked_up(self, devices: Sequence[DeviceId]) -> Mapping[DeviceId, bool]:
        try:
            return await self.sender.look_up(devices)
        except ApiError:
            return {}

    def _rejected(self, action: Action, rejection: BatchRejected) -> Outcome:
        self.rejected_alone.add(action)
        return Outcome(action, OutcomeKind.REJECTED, self.sending.now(), rejection.reason, str(rejection))


def _in_hand(calls: int) -> int:
    """How many batches are in hand for so many calls at once: while one is sent, another is kept before or after.

    Where they go one by one, each may depend on how the one before it has ended.
    """
    return calls if calls == 1 else 2 * calls


def _is_mute(outcome: Outcome) -> bool:
    """Neither the service nor a look-up said anything of the device."""
    said = {OutcomeReason.UPGRADE_PENDING, OutcomeReason.IN_PROGRESS}
    return outcome.kind is OutcomeKind.UNKNOWN and outcome.reason not in said


def settle(outcome: Outcome, holds: bool | None) -> Outcome:  # noqa: FBT001 - yes, no and "nobody knows" are the answer
    """An unknown outcome, once it is known whether the device holds a license now (None: it could not be looked up)."""
    if outcome.kind is not OutcomeKind.UNKNOWN:
        return outcome
    upgrading = outcome.reason is OutcomeReason.UPGRADE_PENDING
    if holds is (outcome.action.verb is Verb.ASSIGN):
        return structs.replace(outcome, kind=OutcomeKind.DONE, retry_at=None)
    if upgrading:
        to_come = outcome.retry_at is not None and outcome.retry_at > outcome.at
        again = outcome.retry_at if to_come else outcome.at + UPGRADE_TAKES
        return structs.replace(outcome, kind=OutcomeKind.PENDING, retry_at=again)
    if holds is None:
        return outcome
    return structs.replace(outcome, kind=OutcomeKind.FAILED, reason=OutcomeReason.NO_EFFECT)
