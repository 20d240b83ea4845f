"""What the ledger remembers of a pool that bears on its plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, cast

from sqlalchemy import Connection, bindparam, func, select

from licensesync.columns import Packed
from licensesync.ledger import approvals, database, earlier, failures
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.failures import Mark
from licensesync.ledger.schema import Moment, managed, outcomes, pool_runs
from licensesync.model import (
    DeviceId,
    Memory,
    Observed,
    OutcomeKind,
    OutcomeReason,
    Pool,
    Verb,
)

DAY = timedelta(hours=24)
AT_ONCE: Final = 10_000  # rows that are read at once


def recall(  # noqa: PLR0913 - what it depends on
    connection: Connection,
    pool: Pool,
    observed: Observed,
    mark: Mark,
    now: datetime,
    *,
    left_open: Sequence[Earlier] | None = None,
) -> Memory:
    """What bears on the plan of a pool that was just read. Nothing is written.

    `left_open` is what earlier runs left open, for whoever has looked at it already.
    """
    if left_open is None:
        left_open = earlier.unsettled(connection, pool, now)
    left = earlier.proved(left_open, pool, observed, now)
    return Memory(
        managed=Managed(connection, pool),
        quarantined=_quarantined(connection, pool, observed, mark, now),
        in_flight={each.device: each.outcome.retry_at for each in left if each.is_promise},
        retried_by_service=_retried(left, observed),
        pending=frozenset(e.device for e in left if e.outcome.kind is OutcomeKind.PENDING and e.verb is Verb.ASSIGN),
        removed_in_past_day=_removed(connection, pool, _not_asked_again(left, observed), now),
        approvals_used=approvals.used(connection, pool),
    )


class Managed(AbstractSet[DeviceId]):
    """The devices that were ever managed; read when somebody first asks, which a pool in step never does.

    Raises LedgerError then.
    """

    def __init__(self, connection: Connection, pool: Pool) -> None:
        self._connection = connection
        self._licenses = pool.licenses

    @classmethod
    def _from_iterable(cls, devices: Iterable[DeviceId]) -> AbstractSet[DeviceId]:  # type: ignore[override]  # not of its own kind
        """What is made of this set and another is an ordinary one."""
        return frozenset(devices)

    def __contains__(self, device: object) -> bool:
        return device in self._devices

    def __iter__(self) -> Iterator[DeviceId]:
        return iter(self._devices)

    def __len__(self) -> int:
        return len(self._devices)

    @cached_property
    def _devices(self) -> AbstractSet[DeviceId]:
        query = select(managed.c.device).where(managed.c.licenses == self._licenses).order_by(managed.c.device)
        with (
            database.alone(self._connection),
            nullcontext() if self._connection.in_transaction() else self._connection.begin(),
        ):
            return cast(AbstractSet[DeviceId], Packed(self._connection.execute(query).scalars().partitions(AT_ONCE)))


def _is_asked(verb: Verb, device: DeviceId, observed: Observed) -> bool:
    """Whether what is remembered is about the only thing that can be asked for this device now."""
    return (device in observed.holders) is (verb is Verb.REMOVE)


def _quarantined(
    connection: Connection, pool: Pool, observed: Observed, mark: Mark, now: datetime
) -> dict[DeviceId, datetime]:
    return {
        each.device: each.failures.until
        for each in failures.of_pool(connection, pool, now)
        if each.failures.until
        and _is_asked(each.failures.verb, each.device, observed)
        and each.failures.mark == mark(each.device)
    }


def _retried(left: Sequence[Earlier], observed: Observed) -> dict[DeviceId, datetime]:
    return {
        each.device: until
        for each in left
        if (until := each.outcome.retry_at) and not each.is_promise and _is_asked(each.verb, each.device, observed)
    }


def _not_asked_again(left: Sequence[Earlier], observed: Observed) -> list[Earlier]:
    """Without the actions for devices in doubt, which a plan has again: nothing of it is counted twice."""
    return [each for each in left if each.is_promise or each.device not in observed.doubtful]


def _removed(connection: Connection, pool: Pool, left: Sequence[Earlier], now: datetime) -> int:
    """The removals of the past 24 hours: those that are done, and those of which that cannot be excluded."""
    done: int = connection.execute(_REMOVED, {"whose": pool.licenses, "since": now - DAY}).scalar_one()
    perhaps = {OutcomeKind.DONE, *earlier.OPEN}
    return done + len(
        {
            each.device
            for each in left
            if each.verb is Verb.REMOVE and each.outcome.kind in perhaps and each.outcome.at > now - DAY
        }
    )


_OF_POOL = select(pool_runs.c.id).where(pool_runs.c.licenses == bindparam("whose"))
_BY_TIME = outcomes.c.pool_run_id + 0
"""No index has this: SQLite takes that of `at`, not all that the pool ever had."""
_REMOVED = (
    select(func.count())
    .select_from(outcomes)
    .where(
        outcomes.c.at > bindparam("since", type_=Moment),
        outcomes.c.verb == Verb.REMOVE,
        outcomes.c.outcome == OutcomeKind.DONE,
        outcomes.c.reason.is_distinct_from(OutcomeReason.ALREADY),  # which has removed nothing
        _BY_TIME.in_(_OF_POOL),
    )
)
