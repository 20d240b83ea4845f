"""Actions of earlier runs whose end was not known when their run ended, and what a reading proves of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from msgspec import structs
from sqlalchemy import Connection, Row, and_, bindparam, or_, select, text, update

from licensesync.ledger.schema import UNSETTLED, Moment, outcomes, pool_runs, runs
from licensesync.model import (
    Action,
    DeviceId,
    Imei,
    Observed,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Place,
    Pool,
    Verb,
)

OPEN = frozenset({OutcomeKind.UNKNOWN, OutcomeKind.PENDING})
IN_INDEX = text(f"({UNSETTLED})")
"""In the very words of the partial index: SQLite proves no more, and would look at all that the pool ever had."""
IS_OPEN = and_(outcomes.c.outcome.in_(OPEN), outcomes.c.reason.is_distinct_from(OutcomeReason.SUPERSEDED))
"""Nobody knows yet how it ended. How a superseded one did, nobody will know: others for its device came after it."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """An outcome that is not known for good, or that the service tries again by itself; `row` is the ledger's.

    `never_told` is set where the run ended before anything was known: a crash, or a ledger that could not be written.
    """

    row: int
    run: str
    outcome: Outcome
    never_told: bool

    @property
    def device(self) -> DeviceId:
        return self.outcome.action.device

    @property
    def verb(self) -> Verb:
        return self.outcome.action.verb

    @property
    def is_promise(self) -> bool:
        """Whether the service has accepted it, and is still in time to tell its end."""
        return self.outcome.kind is OutcomeKind.PENDING and self.outcome.request is not None


def unsettled(connection: Connection, pool: Pool, now: datetime) -> list[Earlier]:
    """What earlier runs left open in a pool, in the order in which it was sent."""
    rows = connection.execute(_UNSETTLED, {"whose": pool.licenses, "now": now})
    return [of_row(row, pool) for row in rows]


def of_row(row: Row[Any], pool: Pool) -> Earlier:
    """An outcome as it stands in the ledger, and in which run."""
    device = pool.product.identify(Imei(row.device), row.iccid)
    action = Action(Verb(row.verb), device, row.group, Place.of(row.place) if row.place else None)
    reason = OutcomeReason(row.reason) if row.reason else None
    outcome = Outcome(action, OutcomeKind(row.outcome), row.at, reason, row.service, row.retry_at, row.request)
    return Earlier(row.id, row.run, outcome, row.in_flight)


def proved(left_open: Sequence[Earlier], pool: Pool, observed: Observed, now: datetime) -> list[Earlier]:
    """The same actions, in their order, in the light of a whole reading.

    Where the service lists who holds a license, the list tells what became of each. Elsewhere the reading may leave
    devices in doubt, and of what it does not it tells how the last action for them has left them.
    """
    if pool.product.is_listed:
        return [_by_the_list(each, observed, now) for each in left_open]
    by_device: defaultdict[DeviceId, list[Earlier]] = defaultdict(list)
    for each in left_open:
        by_device[each.device].append(each)
    told: dict[int, Earlier] = {}
    for device, actions in by_device.items():
        holds = observed.holds(device)
        judged = in_turn(actions, holds=holds) if holds is not None else [_in_time(each, now) for each in actions]
        told |= {each.row: each for each in judged}
    return [told[each.row] for each in left_open]


def in_turn(actions: Iterable[Earlier], *, holds: bool) -> list[Earlier]:
    """What became of the open actions for one device, when it is known whether it held a license after them.

    An action that left the device as it was asked to is done, and one that did not had no effect, so that the one
    before it has left the device alike. How it was before one that is done cannot be told from that: what was asked
    the other way round before is superseded.
    """
    judged: list[Earlier] = []
    done: Verb | None = None
    lost = False
    for each in sorted(actions, key=lambda each: each.row, reverse=True):
        lost = lost or (done is not None and each.verb is not done)
        if lost:
            judged.append(_ended(each, OutcomeKind.UNKNOWN, OutcomeReason.SUPERSEDED))
        elif holds is (each.verb is Verb.ASSIGN):
            done = each.verb
            judged.append(_ended(each, OutcomeKind.DONE, each.outcome.reason or OutcomeReason.NO_CALLBACK))
        else:
            judged.append(_ended(each, OutcomeKind.FAILED, OutcomeReason.NO_EFFECT))
    return judged


def _ended(earlier: Earlier, kind: OutcomeKind, reason: OutcomeReason | None) -> Earlier:
    return replace(earlier, outcome=structs.replace(earlier.outcome, kind=kind, reason=reason, retry_at=None))


def _in_time(earlier: Earlier, now: datetime) -> Earlier:
    """The same, unless its end was to be told before now."""
    outcome = earlier.outcome
    late = outcome.kind is OutcomeKind.PENDING and outcome.retry_at is not None and outcome.retry_at <= now
    return replace(earlier, outcome=overdue(outcome)) if late else earlier


def _by_the_list(earlier: Earlier, observed: Observed, now: datetime) -> Earlier:
    """Done if the device is as it was asked to be, else `failed`.

    What the service has accepted stays pending until its time is over; what it rejected stays rejected.
    """
    outcome = earlier.outcome
    fulfilled = (earlier.device in observed.holders) is (earlier.verb is Verb.ASSIGN)
    if outcome.kind is OutcomeKind.REJECTED:
        return replace(earlier, outcome=structs.replace(outcome, retry_at=None)) if fulfilled else earlier
    if fulfilled:
        settled = structs.replace(outcome, kind=OutcomeKind.DONE, retry_at=None)
    elif outcome.kind is OutcomeKind.PENDING and outcome.retry_at is not None and outcome.retry_at > now:
        return earlier
    else:
        settled = structs.replace(outcome, kind=OutcomeKind.FAILED, reason=OutcomeReason.NO_EFFECT, retry_at=None)
    return replace(earlier, outcome=settled)


def overdue(outcome: Outcome) -> Outcome:
    """A promise whose end was not told in time: nobody knows what became of it."""
    return structs.replace(outcome, kind=OutcomeKind.UNKNOWN, reason=OutcomeReason.NO_CALLBACK, retry_at=None)


def settle(connection: Connection, changed: Sequence[Earlier]) -> None:
    """Keeps what was proved."""
    if not changed:
        return
    connection.execute(
        update(outcomes)
        .where(outcomes.c.id == bindparam("row"))
        .values(outcome=bindparam("kind"), reason=bindparam("why"), retry_at=bindparam("again"), in_flight=False),
        [
            {"row": each.row, "kind": each.outcome.kind, "why": each.outcome.reason, "again": each.outcome.retry_at}
            for each in changed
        ],
    )


def forget_past_retries(connection: Connection, pool: Pool, now: datetime) -> None:
    """What the service was to try again by a time that is over is asked for again like anything else."""
    connection.execute(_FORGET_PAST_RETRIES, {"whose": pool.licenses, "now": now})


_OF_POOL = pool_runs.c.licenses == bindparam("whose")
_NOW = bindparam("now", type_=Moment)
_UNSETTLED = (
    select(outcomes, runs.c.run)
    .join(pool_runs, outcomes.c.pool_run_id == pool_runs.c.id)
    .join(runs, pool_runs.c.run_id == runs.c.id)
    .where(_OF_POOL, IN_INDEX, or_(IS_OPEN, outcomes.c.retry_at > _NOW))
    .order_by(outcomes.c.id)
)
_FORGET_PAST_RETRIES = (
    update(outcomes)
    .where(
        outcomes.c.outcome == OutcomeKind.REJECTED,
        outcomes.c.retry_at <= _NOW,
        outcomes.c.pool_run_id.in_(select(pool_runs.c.id).where(_OF_POOL)),
    )
    .values(retry_at=None)
)
