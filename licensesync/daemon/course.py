"""How the service stands: when each pool was last read whole, what it does now, and how that is said in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from licensesync.daemon.listener import Answer
from licensesync.model import UNFINISHED, WAITING, HeldReason, InventoryInfo, Plan, PoolReport, RunVerdict, Unread, Verb
from licensesync.render.words import clean, moment

SHORT: Final = 7  # what is shown of a commit
DEAF: Final = 600.0
"""Seconds without progress after which the service does not pass for alive."""

DOING: Final[Mapping[Verb, str]] = {Verb.ASSIGN: "assigning", Verb.REMOVE: "removing"}


@dataclass(frozen=True, slots=True)
class Stand:
    """What is left of a pool's report from run to run: how it stands, what is held, why it was not read."""

    words: str
    held: str
    unread_for: str | None = None

    @classmethod
    def of(cls, report: PoolReport) -> Self:
        return cls(_words(report), _held(report.plan), report.problem if isinstance(report.plan, Unread) else None)


@dataclass
class Course:
    """What has become of the pools so far, and what is being done."""

    read_whole_at: dict[str, datetime] = field(default_factory=dict)
    last: dict[str, Stand] = field(default_factory=dict)
    doing: dict[str, str] = field(default_factory=dict)
    waiting_for: str = ""
    pools: set[str] | None = None

    def reconciled(self, report: PoolReport, now: datetime) -> None:
        pool = report.plan.pool.name
        if self.pools is not None and pool not in self.pools:  # it has left the settings in mid-run
            return
        self.last[pool] = Stand.of(report)
        if not isinstance(report.plan, Unread):
            self.read_whole_at[pool] = now

    def keep(self, pools: Iterable[str]) -> None:
        """Only these pools are left; what is new was never read."""
        self.pools = names = set(pools)
        for known in (self.read_whole_at, self.last, self.doing):
            for gone in known.keys() - names:
                del known[gone]

    def clock_was_set(self, step: timedelta) -> None:
        """The clock was set by so much: nothing passes for fresh any longer for that."""
        back = min(step, timedelta(0))
        self.read_whole_at = {pool: at + back for pool, at in self.read_whole_at.items()}

    def readiness(
        self, pools: Iterable[str], overdue_since: Callable[[datetime], datetime | None], now: datetime
    ) -> Answer:
        """Whether every pool was read whole within three intervals, or which was not, and why."""
        late = [reason for pool in pools if (reason := self._lateness(pool, overdue_since, now))]
        if late:
            return Answer(ok=False, reason="\n".join(late))
        last = moment(max(self.read_whole_at.values()))
        return Answer(ok=True, reason=f"every pool was read whole, the last of them {last}")

    def _lateness(self, pool: str, overdue_since: Callable[[datetime], datetime | None], now: datetime) -> str | None:
        read = self.read_whole_at.get(pool)
        overdue = read and overdue_since(read)
        if read and (overdue is None or now <= overdue):
            return None
        late = "more than three intervals ago"
        since = f"was last read whole {moment(read)}, {late}" if read else "was not read whole yet"
        stand = self.last.get(pool)
        why = stand.unread_for if stand and stand.unread_for else self.doing.get(pool)
        return clean(f"{pool} {since}{f': {why}' if why else ''}")

    def sentence(self, inventory: InventoryInfo, attempts: Mapping[str, datetime], next_run: datetime | None) -> str:
        """What `systemctl status` shows: each pool in a few words, and what comes next."""
        if self.waiting_for:
            return clean(self.waiting_for)
        if self.doing:
            return clean("; ".join(f"{pool}: {doing}" for pool, doing in self.doing.items()))
        stands = [_stands(pool, stand, inventory, attempts.get(pool)) for pool, stand in self.last.items()]
        return clean("; ".join([*stands, *([f"next run {_clock(next_run)}"] if next_run else [])]))


def _stands(pool: str, stand: Stand, inventory: InventoryInfo, attempt: datetime | None) -> str:
    at = f" at {inventory.commit[:SHORT]}" if inventory.commit else ""
    again = f", next attempt {_clock(attempt)}" if attempt else ""
    return f"{pool}: {stand.words}{at}{stand.held}{again}"


def _held(plan: Plan | Unread) -> str:
    if isinstance(plan, Unread):
        return ""
    counts = {"waiting": plan.number_held(*WAITING), "quarantined": plan.number_held(HeldReason.QUARANTINED)}
    return "".join(f", {count} {state}" for state, count in counts.items() if count)


def _words(report: PoolReport) -> str:
    unfinished = report.number_settled(*UNFINISHED)
    refusal = None if isinstance(report.plan, Unread) else report.plan.refusal
    match report.verdict:
        case RunVerdict.UNREAD:
            return "could not be read"
        case RunVerdict.REFUSED:
            return f"{refusal.asked} removals refused ({refusal.rule})" if refusal else "refused"
        case RunVerdict.INCOMPLETE:
            return f"{unfinished} not done"
        case RunVerdict.STOPPED:
            return "stopped"
        case RunVerdict.DONE | RunVerdict.IN_STEP:
            return "in step"


def _clock(when: datetime) -> str:
    """The time of day at this machine, as a person at it reads it."""
    return f"{when.astimezone():%H:%M}"
