"""What is told: the fixed events of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol, assert_never

import structlog

from licensesync import logs
from licensesync.errors import LicenseSyncError
from licensesync.model import (
    Approval,
    ApprovalUse,
    InventoryInfo,
    Observed,
    Outcome,
    OutcomeKind,
    Plan,
    Pool,
    PoolReport,
    Report,
    Unread,
    Verb,
    iccid_of,
    imei_of,
)
from licensesync.settings import DeviceLines

SETTLED_WELL = frozenset({OutcomeKind.DONE, OutcomeKind.PENDING})


class Progress(Protocol):
    """What shows a person how far a run is."""

    def reading(self, pool: str, seen: int, expected: int | None) -> None: ...
    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None: ...


def inventory_stale(problem: str, fresh_at: datetime | None) -> None:
    """The git remote does not answer; what it last said, at `fresh_at`, is in force."""
    log: Any = structlog.get_logger()
    log.warning("inventory.stale", problem=problem, fresh_at=fresh_at)


def inventory_nameless(problem: str) -> None:
    """The inventory is in a work tree, and git cannot tell its commit."""
    log: Any = structlog.get_logger()
    log.warning(
        "inventory.commit-unknown", problem=problem, next_step="let git say it to this user, or runs have no commit"
    )


class RunJournal:
    """Tells a run as log events, and how far it is to a progress display; of `devices` what the settings ask for."""

    def __init__(self, progress: Progress, *, run: str | None = None, devices: DeviceLines = DeviceLines.EACH) -> None:
        self._progress = progress
        self._devices = devices
        self._log: Any = structlog.get_logger()
        if run:
            self._log = self._log.bind(run=run)
        self._log = self._log.bind()

    def started(self, inventory: InventoryInfo) -> None:
        told = {"commit": inventory.commit, "author": inventory.author, "dirty": inventory.dirty}
        self._log.info("run.started", **told, devices=inventory.devices)

    def reading(self, pool: str, seen: int, expected: int | None) -> None:
        self._progress.reading(pool, seen, expected)

    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None:
        self._progress.sending(pool, verb, settled, of)

    def read(self, pool: Pool, observed: Observed) -> None:
        capacity = observed.capacity
        self._log.info(
            "pool.read",
            pool=pool.name,
            reading="whole",
            devices=len(observed.holders),
            total=capacity.total,
            assigned=capacity.assigned,
            free=capacity.free,
            rests_on=observed.rests_on,
        )

    def approval_ended(self, approval: Approval) -> None:
        """An approval whose day has come lets nothing pass any more."""
        self._log.warning(
            "approval.ended",
            place=str(approval.place),
            refusal=approval.refusal,
            until=str(approval.until),
            next_step="remove the entry, or write a later date if it is still meant",
        )

    def used_up(self, pool: Pool, approval: Approval, use: ApprovalUse) -> None:
        """An approval of which nothing is left lets nothing pass any more."""
        self._log.info(
            "approval.used-up",
            pool=pool.name,
            place=str(approval.place),
            refusal=approval.refusal,
            used_at=use.used_at,
            removals=use.size,
            next_step="remove the entry: all of its removals are done",
        )

    def planned(self, plan: Plan | Unread) -> None:
        if isinstance(plan, Unread):
            self._log.error("pool.read", pool=plan.pool.name, reading=plan.reading, problem=plan.problem)
            return
        self._log.info(
            "pool.planned",
            pool=plan.pool.name,
            verdict=plan.verdict,
            assign=plan.asked.get(Verb.ASSIGN, 0),
            remove=plan.asked.get(Verb.REMOVE, 0),
            held=plan.reasons,
            kept=plan.kept,
            foreign=plan.foreign,
        )
        if permit := plan.permit:
            self._log.warning(
                "pool.approved",
                pool=plan.pool.name,
                rule=permit.refusal.rule,
                limit=permit.refusal.limit,
                asked=permit.refusal.asked,
                hash=permit.digest[:16],
                place=None if permit.approval is None else str(permit.approval.place),
                why="--allow-removals" if permit.approval is None else permit.approval.reason,
            )
        if refusal := plan.refusal:
            self._log.warning(
                "pool.refused",
                pool=plan.pool.name,
                rule=refusal.rule,
                setting=refusal.setting,
                limit=refusal.limit,
                asked=refusal.asked,
                hash=refusal.hash,
                next_step=refusal.next_step,
            )

    def settled(self, pool: Pool, outcomes: Sequence[Outcome]) -> None:
        """A batch is told at once; who has to look at a device finds a line for it in any case."""
        with logs.together():
            match self._devices:
                case DeviceLines.EACH:
                    self._tell_of_each(pool, outcomes)
                case DeviceLines.BATCHES:
                    self._tell_of_each(pool, [each for each in outcomes if each.kind not in SETTLED_WELL])
                    self._tell_of_batch(pool, outcomes)
                case _:
                    assert_never(self._devices)

    def _tell_of_each(self, pool: Pool, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            tell_of_device(self._log, "device.settled", pool, outcome)

    def _tell_of_batch(self, pool: Pool, outcomes: Sequence[Outcome]) -> None:
        """One line for all devices of a batch, those included that have lines of their own."""
        if not outcomes:  # nothing of it was sent in the end
            return
        first, last = outcomes[0].action, outcomes[-1].action
        self._log.info(
            "batch.settled",
            pool=pool.name,
            verb=first.verb,
            devices=len(outcomes),
            outcomes=_counted(outcome.kind for outcome in outcomes),
            first=imei_of(first.device),
            last=imei_of(last.device),
        )

    def proved(self, pool: Pool, outcome: Outcome, run: str, *, never_told: bool) -> None:
        """What became of an action of an earlier run, as this reading shows; its one line if it never had one."""
        log = self._log.bind(run=run)
        tell_of_device(log, "device.settled" if never_told else "device.proved", pool, outcome)

    def reconciled(self, report: PoolReport) -> None:
        tell = self._log.warning if report.problem else self._log.info
        tell(
            "pool.reconciled",
            pool=report.plan.pool.name,
            verdict=report.verdict,
            problem=report.problem,
            outcomes={kind.value: number for kind in OutcomeKind if (number := report.number_settled(kind))},
            held={} if isinstance(report.plan, Unread) else report.plan.reasons,
        )

    def unrecorded(self, error: LicenseSyncError) -> None:
        """How the run ended could not be kept."""
        self._log.error("run.unrecorded", problem=str(error))

    def finished(self, report: Report, exit_code: int) -> None:
        self._log.info(
            "run.finished",
            verdict=report.verdict,
            exit=int(exit_code),
            plan=report.plan.hash,
            commit=report.plan.inventory.commit,
        )


def tell_of_device(log: Any, event: str, pool: Pool, outcome: Outcome) -> None:
    """What became of one device: no more than news where it is well, else a warning."""
    tell = log.info if outcome.kind in SETTLED_WELL else log.warning
    action = outcome.action
    iccid = iccid_of(action.device)
    tell(
        event,
        pool=pool.name,
        device=imei_of(action.device),
        **({"iccid": iccid} if iccid else {}),
        verb=action.verb,
        outcome=outcome.kind,
        reason=outcome.reason,
        service=outcome.service,
        group=action.group,
        place=None if action.place is None else str(action.place),
    )


def _counted(words: Iterable[str]) -> dict[str, int]:
    return {str(word): count for word, count in Counter(words).items()}
