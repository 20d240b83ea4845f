"""What is told: structlog's set-up and the fixed events of a run."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

import orjson
import structlog

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

SETTLED_WELL = frozenset({OutcomeKind.DONE, OutcomeKind.PENDING})


class Progress(Protocol):
    """What shows a person how far a run is."""

    def reading(self, pool: str, seen: int, expected: int | None) -> None: ...
    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None: ...


def configure(*, as_json: bool, level: str) -> None:
    """Log events from `level` on go to standard error: one JSON object a line, or lines for people."""
    for_people: list[Any] = [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        _without_blanks,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=15,
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,  # others show variables, which may hold secrets
        ),
    ]
    for_programs: list[Any] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_json),
    ]
    structlog.configure(
        processors=[structlog.processors.add_log_level, *(for_programs if as_json else for_people)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_CurrentStderr,
        cache_logger_on_first_use=False,
    )


def _without_blanks(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A person knows which run this is, and needs no list of what there is not."""
    return {key: value for key, value in event.items() if value is not None and key != "run"}


class _CurrentStderr:
    """Writes to whatever standard error is at that moment, so that a progress display can keep its place below."""

    def __init__(self, *_names: object) -> None:
        pass

    def msg(self, line: str) -> None:
        """A log that nobody can write any more ends no run: its outcomes stand in the report."""
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = info = warning = error = msg


def _json(event: dict[str, Any], **_options: object) -> str:
    with suppress(TypeError):
        return orjson.dumps(event, default=str).decode()
    quoted = json.dumps(event, default=str, ensure_ascii=False)  # the name of a file that is no text
    return quoted.encode(errors="replace").decode()


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
    """Tells a run as log events, and how far it is to a progress display."""

    def __init__(self, progress: Progress, *, run: str | None = None) -> None:
        self._progress = progress
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
            assign=len(plan.of(Verb.ASSIGN)),
            remove=len(plan.of(Verb.REMOVE)),
            held=_counted(held.reason for held in plan.held),
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
        for outcome in outcomes:
            tell_of_device(self._log, "device.settled", pool, outcome)

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
            outcomes=_counted(outcome.kind for outcome in report.outcomes),
            held=_counted(held.reason for held in report.held),
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
