"""Hard failures in a row, and the quarantine that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, exists, select
from sqlalchemy.dialects.sqlite import insert as insert_or

from licensesync import quarantine
from licensesync.ledger.schema import Moment, hard_failures
from licensesync.model import DeviceId, Outcome, OutcomeKind, OutcomeReason, Pool, Verb, iccid_of, imei_of
from licensesync.quarantine import HardFailures

Mark = Callable[[DeviceId], str]
"""What an inventory says of a device, in short: another mark, another entry."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A device in quarantine: whose licenses it is about, what the service last said, where its entry stood."""

    licenses: str
    device: DeviceId
    failures: HardFailures
    service: str | None
    group: str | None
    place: str | None


def set_aside(connection: Connection, now: datetime, *where: ColumnElement[bool]) -> list[SetAside]:
    """The devices that are in quarantine at a time, in the order of their ends."""
    rows = connection.execute(_SET_ASIDE.where(*where) if where else _SET_ASIDE, {"now": now})
    return [
        SetAside(row.licenses, DeviceId(row.device), _failures(row), row.service, row.group, row.place) for row in rows
    ]


def of_pool(connection: Connection, pool: Pool, now: datetime) -> list[SetAside]:
    """The devices of a pool that are in quarantine at a time."""
    return [each for each in set_aside(connection, now) if each.licenses == pool.licenses]


def release(connection: Connection, imeis: Collection[str], now: datetime) -> list[SetAside]:
    """Ends the quarantine of these devices in all pools, and forgets their failures; those that were in it."""
    released = [
        each for each in set_aside(connection, now) if imei_of(each.device) in imeis or iccid_of(each.device) in imeis
    ]
    for each in released:
        connection.execute(delete(hard_failures).where(_OF_DEVICE), {"whose": each.licenses, "who": each.device})
    return released


def forgive(connection: Connection, pool: Pool, settled: Sequence[Outcome]) -> None:
    """Success ends a row of failures."""
    if not (settled and _has_failures(connection, pool)):
        return
    whose = pool.licenses
    done = [{"whose": whose, "who": each.action.device} for each in settled if each.kind is OutcomeKind.DONE]
    if done:
        connection.execute(delete(hard_failures).where(_OF_DEVICE), done)


def _has_failures(connection: Connection, pool: Pool) -> bool:
    """Whether there is anything to forgive: most runs need not look for each device."""
    return bool(connection.execute(_ANY_OF_POOL, {"whose": pool.licenses}).scalar_one())


def remember(connection: Connection, pool: Pool, settled: Sequence[Outcome], mark: Mark) -> None:
    """Hard failures lengthen the row of each device, or begin another."""
    for outcome in settled:
        if outcome.kind is not OutcomeKind.REJECTED:
            continue
        device = outcome.action.device
        row = connection.execute(
            select(hard_failures).where(_OF_DEVICE), {"whose": pool.licenses, "who": device}
        ).one_or_none()
        if after := quarantine.after(_failures(row) if row else None, outcome, mark(device)):
            values = _row_of(pool, outcome, after)
            keys = ["licenses", "device"]
            connection.execute(
                insert_or(hard_failures).values(values).on_conflict_do_update(index_elements=keys, set_=values)
            )


_SET_ASIDE = (
    select(hard_failures)
    .where(hard_failures.c.until > bindparam("now", type_=Moment))
    .order_by(hard_failures.c.until, hard_failures.c.licenses, hard_failures.c.device)
)
_ANY_OF_POOL = select(exists().where(hard_failures.c.licenses == bindparam("whose")))
_OF_DEVICE = and_(hard_failures.c.licenses == bindparam("whose"), hard_failures.c.device == bindparam("who"))


def _failures(row: Row[Any]) -> HardFailures:
    reason, verb = OutcomeReason(row.reason), Verb(row.verb)
    return HardFailures(verb, reason, row.words, row.failures, row.first_at, row.last_at, row.until, row.mark)


def _row_of(pool: Pool, outcome: Outcome, after: HardFailures) -> dict[str, object]:
    action = outcome.action
    return {
        "licenses": pool.licenses,
        "device": action.device,
        "verb": after.verb,
        "reason": after.reason,
        "words": after.words,
        "service": outcome.service,
        "failures": after.failures,
        "first_at": after.first_at,
        "last_at": after.last_at,
        "until": after.until,
        "mark": after.mark,
        "group": action.group,
        "place": None if action.place is None else str(action.place),
    }
