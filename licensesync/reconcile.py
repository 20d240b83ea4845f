"""One run: observe, plan, guard, submit, tell. It knows no product, no HTTP and no clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from licensesync import guard, planner
from licensesync.aside import aside, let_go
from licensesync.errors import ApiError, IncompleteObservation, LedgerError, LoginRejected
from licensesync.model import (
    Approval,
    ApprovalUse,
    Desired,
    DeviceId,
    Held,
    HeldReason,
    Memory,
    Observed,
    Outcome,
    Plan,
    PlanVerdict,
    Policy,
    Pool,
    PoolReport,
    Reading,
    Report,
    RunPlan,
    Unread,
    Verb,
)
from licensesync.submission import Sender, Sending, carry_on, carry_out


class Observer(Protocol):
    """What can say who holds a license of a pool."""

    @property
    def pool(self) -> Pool: ...

    async def observe(self, known: Collection[DeviceId], progress: Callable[[int, int | None], None]) -> Observed:
        """Who holds a license, proved whole. A set of holders that can be changed is the caller's own.

        Raises IncompleteObservation or ApiError.
        """
        ...


class Journal(Protocol):
    """What is told while a run goes on."""

    def reading(self, pool: str, seen: int, expected: int | None) -> None: ...
    def read(self, pool: Pool, observed: Observed) -> None: ...
    def approval_ended(self, approval: Approval) -> None: ...
    def used_up(self, pool: Pool, approval: Approval, use: ApprovalUse) -> None: ...
    def planned(self, plan: Plan | Unread) -> None: ...
    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None: ...
    def settled(self, pool: Pool, outcomes: Sequence[Outcome]) -> None: ...
    def reconciled(self, report: PoolReport) -> None: ...


class LicenseService(Observer, Sender, Protocol):
    """What can say and change who holds a license of a pool."""


async def nothing_remembered(observed: Observed) -> Memory:
    """What is known where no ledger is."""
    del observed
    return Memory()


Recall = Callable[[Observed], Awaitable[Memory]]
"""What is remembered of a pool, once it was read. Raises LedgerError."""


class Recollection(Protocol):
    """What is remembered of the last whole reading of a pool."""

    async def still_holds(self) -> Observed | None:
        """That reading, unless anything speaks against it. Raises LedgerError."""
        ...

    async def keep(self, observed: Observed) -> None:
        """This is the last whole reading from now on."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """One pool of a pass: who can read it, what is wanted of it, and what is remembered once it was read.

    Where there is a `recollection`, a pool in step may rest on its last reading.
    """

    service: Observer
    desired: Desired
    recall: Recall = nothing_remembered
    recollection: Recollection | None = None


async def plan(targets: Sequence[Target], policy: Policy, journal: Journal) -> tuple[Plan | Unread, ...]:
    """The guarded plan of each pool, in their order; pools are read side by side, and one that fails stops no other.

    Raises LedgerError where what is remembered cannot be had.
    """
    for approval in policy.approvals:
        if not guard.in_force(approval, policy.today):
            journal.approval_ended(approval)
    try:
        async with asyncio.TaskGroup() as planning:
            plans = [planning.create_task(_planned(target, policy, journal)) for target in targets]
    except* LedgerError as errors:
        unusable: BaseException = errors
        while isinstance(unusable, BaseExceptionGroup):
            unusable = unusable.exceptions[0]
    else:
        return tuple(each.result() for each in plans)
    raise unusable


async def carry_out_all(
    run: str, run_plan: RunPlan, services: Mapping[str, LicenseService], sending: Sending, journal: Journal
) -> Report:
    """What became of each pool of the plan: every action sent has one outcome, the rest is held with a reason."""
    async with asyncio.TaskGroup() as working:
        reports = [working.create_task(_carried_out(each, services, sending, journal)) for each in run_plan.pools]
    return Report(run, run_plan, tuple(each.result() for each in reports), sending.now())


async def carry_on_all(
    report: Report, services: Mapping[str, LicenseService], sending: Sending, journal: Journal
) -> Report:
    """The report, with what was assigned into what removals have freed whose end was told after they were sent."""
    async with asyncio.TaskGroup() as working:
        reports = [working.create_task(_carried_on(each, services, sending, journal)) for each in report.pools]
    return replace(report, pools=tuple(each.result() for each in reports), finished_at=sending.now())


def decline_all(run: str, run_plan: RunPlan, now: datetime) -> Report:
    """The report of a run whose plan was not the one that was meant: every action of it is held as `refused`."""
    return Report(run, run_plan, tuple(PoolReport(_declined(each)) for each in run_plan.pools), now, declined=True)


def _declined(planned: Plan | Unread) -> Plan | Unread:
    if isinstance(planned, Unread):
        return planned
    refused = tuple(Held(action, HeldReason.REFUSED) for action in planned.actions)
    return replace(planned, actions=(), held=(*refused, *planned.held))


async def read(observer: Observer, known: Collection[DeviceId], journal: Journal) -> Observed | Unread:
    """Who holds a license of a pool, proved whole, or why that is not known; told either way."""
    pool = observer.pool
    try:
        observed = await observer.observe(known, partial(journal.reading, pool.name))
    except IncompleteObservation as error:
        asked = error.__cause__.retry_after if isinstance(error.__cause__, ApiError) else None
        unread = Unread(pool, error.reading, str(error), retry_after=asked)
    except ApiError as error:
        rejected = isinstance(error, LoginRejected)
        unread = Unread(pool, Reading.UNREAD, str(error), rejected, error.retry_after)
    else:
        journal.read(pool, observed)
        return observed
    journal.planned(unread)
    return unread


async def _planned(target: Target, policy: Policy, journal: Journal) -> Plan | Unread:
    if quiet := await _planned_by_recollection(target, policy, journal):
        return quiet
    observed = await read(target.service, target.desired.wanted, journal)
    if isinstance(observed, Unread):
        return observed
    if target.recollection:
        await target.recollection.keep(observed)
    memory = await target.recall(observed)
    plan = await aside(_judged, target, observed, policy, memory)
    await let_go(observed.holders)
    return _told(plan, policy, memory, journal)


async def _planned_by_recollection(target: Target, policy: Policy, journal: Journal) -> Plan | None:
    """The plan of a pool that is in step by its last reading; whatever is to be sent or approved wants a new one."""
    older = await target.recollection.still_holds() if target.recollection else None
    if older is None:
        return None
    memory = await target.recall(older)
    plan = await aside(_judged, target, older, policy, memory)
    in_step = plan.verdict is PlanVerdict.IN_STEP
    if in_step:
        journal.read(plan.pool, older)
    await let_go(older.holders)
    return _told(replace(plan, rests_on=older.rests_on), policy, memory, journal) if in_step else None


def _judged(target: Target, observed: Observed, policy: Policy, memory: Memory) -> Plan:
    """In a thread: with a million devices it takes seconds, which nobody else should wait for."""
    plan = guard.judge(planner.plan(target.service.pool, target.desired, observed, policy, memory), policy, memory)
    plan.forecast  # noqa: B018 - counts what is told of it
    return plan


def _told(plan: Plan, policy: Policy, memory: Memory, journal: Journal) -> Plan:
    for approval in policy.approvals:
        if use := guard.used_up(approval, memory.approvals_used):
            journal.used_up(plan.pool, approval, use)
    journal.planned(plan)
    return plan


async def _carried_out(
    planned: Plan | Unread, services: Mapping[str, LicenseService], sending: Sending, journal: Journal
) -> PoolReport:
    if isinstance(planned, Unread):
        report = PoolReport(planned)
    else:
        report = await carry_out(planned, services[planned.pool.name], sending, journal)
    journal.reconciled(report)
    return report


async def _carried_on(
    report: PoolReport, services: Mapping[str, LicenseService], sending: Sending, journal: Journal
) -> PoolReport:
    onward = await carry_on(report, services[report.plan.pool.name], sending, journal)
    if onward is not report:
        journal.reconciled(onward)
    return onward
