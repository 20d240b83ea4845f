"""What the ledger's records have to say in sentences; whoever writes them down makes them safe to show."""

from __future__ import annotations

from collections.abc import Iterator

from licensesync.model import Capacity, OutcomeKind, PoolRecord, Reading, RunRecord
from licensesync.render import summary
from licensesync.render.page import Page, Style
from licensesync.render.words import counted, moment

NO_RUN = "no run was recorded yet"
NOT_ENDED = "not ended"


def verdict(run: RunRecord) -> str:
    """How a run ended."""
    exit_code = "" if run.exit is None else f"; exit {run.exit}"
    return f"{run.verdict or NOT_ENDED}{exit_code}"


def course(run: RunRecord) -> str:
    """Which command it was, and from when to when it went."""
    end = f"ended {moment(run.finished_at)}" if run.finished_at else "has not ended: going on, or killed"
    return f"{run.command}, began {moment(run.started_at)}, {end}"


def not_in_step(pool: PoolRecord) -> str:
    """What a run left undone in a pool, and why, in numbers; empty where there is nothing."""
    troubles = [f"{pool.counts.get(kind, 0)} {kind}" for kind in OutcomeKind if kind is not OutcomeKind.DONE]
    held = [f"{number} held as {reason}" for reason, number in pool.held.items()]
    return ", ".join(clause for clause in [*troubles, *held] if not clause.startswith("0 "))


def licenses(capacity: Capacity, waiting: int) -> str:
    """The licenses of a pool when it was read, and how many devices waited for one after that."""
    held = f"{capacity.assigned} assigned, {capacity.free} free, {waiting} waiting"
    return f"{counted(capacity.total, 'license')}: {held}"


def warnings(page: Page, pool: PoolRecord) -> Iterator[str]:
    """Why a pool was not read or what else went wrong with it, and what was refused, on a page."""
    reading = "" if pool.reading is Reading.WHOLE else f"reading {pool.reading}: "
    told = [f"{reading}{pool.problem}"] if pool.problem else []
    for sentence in [*told, *(summary.refusal(pool.refusal) if pool.refusal else [])]:
        yield from page.prose(sentence, Style.RED, indent=2)
