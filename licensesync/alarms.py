"""Which states somebody should be told of, and what is due to be said of them: when one begins, lasts, and is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from licensesync.model import (
    WAITING,
    HeldReason,
    InventoryInfo,
    Outcome,
    OutcomeReason,
    Plan,
    PoolReport,
    Report,
    Unread,
)
from licensesync.render.words import counted, moment

STALE_AFTER: Final = timedelta(hours=1)
"""A git remote that is away for less than that is nothing to be told."""

SHOWN: Final = 3


class Alarm(StrEnum):
    """A state that people should know of. The first three are of one pool, the others of the whole service."""

    REFUSED = "refused"
    UNREADABLE = "unreadable"
    SHORT = "short"
    FAILING = "failing"
    REJECTED = "inventory-rejected"
    STALE = "inventory-stale"


SEEN_BY_READING: Final = frozenset({Alarm.REFUSED, Alarm.SHORT})
OVER: Final[Mapping[Alarm, str]] = {
    Alarm.REFUSED: "no removals are refused any more",
    Alarm.UNREADABLE: "it can be read again",
    Alarm.SHORT: "no device waits for a license any more",
    Alarm.FAILING: "runs come to their end again",
    Alarm.REJECTED: "the newest settings and inventory are in force again",
    Alarm.STALE: "the git remote answers again",
}


class Stage(StrEnum):
    """What is to be said of an alarm."""

    RAISED = "raised"
    LASTING = "lasting"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What an alarm is about: a pool by its name, or with an empty name the service."""

    alarm: Alarm
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What made it known: a run, or none, and the commit and author of the inventory in force."""

    run: str | None = None
    commit: str | None = None
    author: str | None = None

    @classmethod
    def of(cls, inventory: InventoryInfo, run: str | None = None) -> Self:
        return cls(run, inventory.commit, inventory.author)


@dataclass(frozen=True, slots=True)
class What:
    """An alarm in words; another `kind` of it, such as another rule that refuses, is told anew."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that is due."""

    subject: Subject
    stage: Stage
    what: What
    since: datetime
    occasion: Occasion


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm that lasts, or is over and not told yet.

    `told_at` is None as long as nobody was told of it, else when somebody was, last of the kind `told_kind`.
    """

    what: What
    since: datetime
    occasion: Occasion
    told_at: datetime | None = None
    told_kind: str = ""
    over: bool = False


@dataclass(frozen=True)
class Alarms:
    """All that is known: what stands, and how often in a row each pool was not read, and no run came to its end."""

    standing: Mapping[Subject, Standing] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0

    def after(self, report: Report, inventory: InventoryInfo, unreadable_after: int) -> Alarms:
        """What is known after a run; a pool is an alarm when it was not read in so many runs."""
        unread = {**self.unread}
        for each in report.pools:
            pool = each.plan.pool.name
            unread[pool] = unread.get(pool, 0) + 1 if isinstance(each.plan, Unread) else 0
        failed = self.failed + 1 if report.unrecorded else 0
        seen = _of_runs(failed, unreadable_after)
        for each in report.pools:
            seen |= _of_pool(each, unread, unreadable_after)
        known = self._seeing(seen, report.finished_at, Occasion.of(inventory, report.run))
        return replace(known, unread=unread, failed=failed)

    def after_no_run(self, inventory: InventoryInfo, now: datetime, unreadable_after: int) -> Alarms:
        """What is known after a run that came to no end."""
        failed = self.failed + 1
        known = self._seeing(_of_runs(failed, unreadable_after), now, Occasion.of(inventory))
        return replace(known, failed=failed)

    def looking(
        self,
        inventory: InventoryInfo,
        now: datetime,
        *,
        problems: Sequence[str] = (),
        stale: str | None = None,
        fresh_at: datetime | None = None,
    ) -> Alarms:
        """What is known after a look at settings and inventory, and at the git remote, if there is one."""
        seen = {Subject(Alarm.REJECTED): _rejected(problems)}
        if not stale or fresh_at is None or now - fresh_at >= STALE_AFTER:
            seen[Subject(Alarm.STALE)] = _stale(stale, fresh_at)
        return self._seeing(seen, now, Occasion.of(inventory))

    def of_pools(self, pools: Iterable[str]) -> Alarms:
        """The same without pools that are no more: there is nothing to tell of them."""
        names = set(pools)
        standing = {on: each for on, each in self.standing.items() if not on.pool or on.pool in names}
        unread = {pool: times for pool, times in self.unread.items() if pool in names}
        return replace(self, standing=standing, unread=unread)

    def due(self, now: datetime, repeat: timedelta) -> Iterator[Notice]:
        """What is to be said now, in a fixed order; what lasts is said again after `repeat`."""
        for subject in sorted(self.standing):
            notice = _due(subject, self.standing[subject], now, repeat)
            if notice and not self._is_unsure(notice):
                yield notice

    def repeats(self, repeat: timedelta) -> Iterator[datetime]:
        """When each alarm that somebody was told of is to be said again, if nothing changes."""
        return (each.told_at + repeat for each in self.standing.values() if each.told_at)

    def _is_unsure(self, notice: Notice) -> bool:
        """Whether it would be said to last although its pool cannot be read, so that nobody knows."""
        by_reading = notice.stage is Stage.LASTING and notice.subject.alarm in SEEN_BY_READING
        return by_reading and self.unread.get(notice.subject.pool, 0) > 0

    def told(self, notice: Notice, now: datetime) -> Alarms:
        """What is known after a notice has reached somebody. What has changed meanwhile is still to be told."""
        known, kind = self.standing.get(notice.subject), notice.what.kind
        standing = {on: each for on, each in self.standing.items() if on != notice.subject}
        if notice.stage is not Stage.RECOVERED:
            ended = Standing(notice.what, notice.since, notice.occasion, over=True)
            standing[notice.subject] = replace(known or ended, told_at=now, told_kind=kind)
        elif known and not known.over:
            standing[notice.subject] = replace(known, told_at=None, told_kind="")
        return replace(self, standing=standing)

    def _seeing(self, seen: Mapping[Subject, What | None], now: datetime, occasion: Occasion) -> Alarms:
        """With what was seen of these subjects, None where there is no alarm (any more)."""
        standing = {on: each for on, each in self.standing.items() if on not in seen}
        for subject, what in seen.items():
            before = self.standing.get(subject)
            if what is not None:
                standing[subject] = _raised(before, what, now, occasion)
            elif before and before.told_at:  # what nobody was told of needs no end
                standing[subject] = before if before.over else replace(before, over=True, occasion=occasion)
        return replace(self, standing=standing)


def _raised(before: Standing | None, what: What, now: datetime, occasion: Occasion) -> Standing:
    if before is None:
        return Standing(what, now, occasion)
    return replace(before, what=what, occasion=occasion, over=False)


def _of_runs(failed: int, unreadable_after: int) -> dict[Subject, What | None]:
    """What so many failed runs in a row show; fewer than it takes are no alarm, and no end of one."""
    if 0 < failed < unreadable_after:
        return {}
    what = What("", f"{counted(failed, 'run')} in a row failed; the log says why") if failed else None
    return {Subject(Alarm.FAILING): what}


def _of_pool(report: PoolReport, unread: Mapping[str, int], unreadable_after: int) -> dict[Subject, What | None]:
    """What a run has shown of a pool; of one that was not read, nothing but that."""
    plan, pool = report.plan, report.plan.pool.name
    if isinstance(plan, Plan):
        return {
            Subject(Alarm.UNREADABLE, pool): None,
            Subject(Alarm.REFUSED, pool): _refused(plan),
            Subject(Alarm.SHORT, pool): _short(plan, report.outcomes),
        }
    if unread[pool] < unreadable_after:
        return {}
    words = f"it could not be read {counted(unread[pool], 'time')} in a row: {plan.problem}"
    return {Subject(Alarm.UNREADABLE, pool): What("", words)}


def _refused(plan: Plan) -> What | None:
    """Another rule is told anew: it may be another mistake."""
    if plan.refusal is None:
        return None
    refused = plan.refusal
    words = f"{counted(refused.asked, 'removal')} refused, rule {refused.rule} allows {refused.limit}"
    return What(refused.rule, f"{words}; {refused.next_step}")


def _short(plan: Plan, outcomes: Sequence[Outcome]) -> What | None:
    """Devices that wait for a license, and those for which the service had none after all."""
    in_vain = sum(outcome.reason is OutcomeReason.NO_CAPACITY for outcome in outcomes)
    if not plan.number_held(HeldReason.NO_CAPACITY) and not in_vain:
        return None
    waiting = counted(plan.number_held(*WAITING) + in_vain, "device")
    return What("", f"licenses run short: {waiting} without one, of {plan.capacity.total} licenses none is free")


def _rejected(problems: Sequence[str]) -> What | None:
    """Other problems are told anew: somebody has tried to mend them."""
    if not problems:
        return None
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    words = "; ".join([*problems[:SHOWN], *more])
    return What(words, f"the newest settings or inventory are not in force: {words}")


def _stale(problem: str | None, fresh_at: datetime | None) -> What | None:
    if not problem:
        return None
    since = f" since {moment(fresh_at)}" if fresh_at else ""
    return What("", f"the git remote has not answered{since}: {problem}")


def _due(subject: Subject, known: Standing, now: datetime, repeat: timedelta) -> Notice | None:
    if known.over:
        over = What(known.what.kind, OVER[subject.alarm])
        return Notice(subject, Stage.RECOVERED, over, known.since, known.occasion)
    if known.told_at is None or known.told_kind != known.what.kind:
        return Notice(subject, Stage.RAISED, known.what, known.since, known.occasion)
    if now - known.told_at >= repeat:
        return Notice(subject, Stage.LASTING, known.what, known.since, known.occasion)
    return None


# --- as the ledger keeps them


def written(alarms: Alarms) -> dict[str, Any]:
    """What JSON can hold of them."""
    return {
        "standing": [_row(subject, known) for subject, known in sorted(alarms.standing.items())],
        "unread": dict(alarms.unread),
        "failed": alarms.failed,
    }


def read(kept: Any) -> Alarms:
    """The alarms that were written; none where nothing was, or not by this version."""
    try:
        standing = dict(map(_of_row, kept["standing"]))
        unread = {str(pool): int(times) for pool, times in kept["unread"].items()}
        return Alarms(standing, unread, int(kept["failed"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return Alarms()


def _row(subject: Subject, known: Standing) -> dict[str, Any]:
    seen = known.occasion
    return {
        "alarm": subject.alarm.value,
        "pool": subject.pool,
        "kind": known.what.kind,
        "text": known.what.text,
        "since": known.since.isoformat(),
        "told_at": known.told_at.isoformat() if known.told_at else None,
        "told_kind": known.told_kind,
        "over": known.over,
        "occasion": [seen.run, seen.commit, seen.author],
    }


def _of_row(row: Mapping[str, Any]) -> tuple[Subject, Standing]:
    since = datetime.fromisoformat(row["since"])
    told_at = datetime.fromisoformat(row["told_at"]) if row["told_at"] else None
    what, occasion = What(row["kind"], row["text"]), Occasion(*row["occasion"])
    known = Standing(what, since, occasion, told_at, row["told_kind"], bool(row["over"]))
    return Subject(Alarm(row["alarm"]), row["pool"]), known
