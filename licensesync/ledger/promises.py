"""Requests that the service has accepted and tells the end of by callbacks: which are open, and what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, delete, exists, func, insert, or_, select, text, update

from licensesync.ledger import earlier, settling
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.schema import Moment, outcomes, pool_runs, runs, stray_callbacks
from licensesync.model import DeviceId, Mode, Outcome, OutcomeKind, OutcomeReason, Pool, Product, Verb

MOST_STRAYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Promise:
    """What the service has accepted for one device; `outcome` is how it stands, `row` and `pool_run` are the ledger's.

    `mark` is that of the inventory's entry when it was asked for. Others for its device came after a `superseded` one:
    its end is a record, and tells nothing of the device now.
    """

    row: int
    pool_run: int
    run: str
    pool: Pool
    mark: str
    outcome: Outcome
    superseded: bool = False

    @property
    def is_open(self) -> bool:
        return self.outcome.kind in earlier.OPEN

    @property
    def device(self) -> DeviceId:
        return self.outcome.action.device

    @property
    def verb(self) -> Verb:
        return self.outcome.action.verb


@dataclass(frozen=True, slots=True)
class Stray:
    """A callback about a request that is not known: `told` is what it says, as it was kept."""

    row: int
    request: str
    told: str


def of_requests(
    connection: Connection, asked: Collection[tuple[str, str | None, str | None]], pools: Mapping[str, Pool]
) -> Mapping[str, list[Promise]]:
    """The promises that were made, open or not, for requests and a device of each, by IMEI, ICCID or both.

    A request that is known has an entry, and that is empty where it was made for other devices. `pools` are those of
    the settings by licenses.
    """
    wanted = {
        "requests": list({request for request, _, _ in asked}),
        "imeis": list({imei for _, imei, _ in asked if imei}),
        "iccids": list({iccid for _, _, iccid in asked if iccid}),
    }
    found: dict[str, list[Promise]] = {request: [] for request in connection.execute(_KNOWN, wanted).scalars()}
    for row in connection.execute(_OF_REQUESTS, wanted) if found else ():
        found[row.request].append(_promise(row, pools))
    return found


def of_run(connection: Connection, run: str, pools: Mapping[str, Pool]) -> list[Promise]:
    """The promises that were made to a run."""
    rows = connection.execute(_OF_RUN, {"whose": run})
    return [_promise(row, pools) for row in rows]


def count_open(connection: Connection, licenses: Collection[str]) -> int:
    """How many promises of these pools may still be kept in time."""
    return connection.execute(_COUNT_OPEN, {"of_pools": list(licenses)}).scalar_one()


def settle(connection: Connection, settled: Sequence[Promise]) -> list[tuple[Promise, Earlier]]:
    """Keeps how these promises stand now, with all that follows from it for their devices.

    The value is what it has shown of earlier actions for the same devices that were left open.
    """
    if not settled:
        return []
    connection.execute(_SETTLE, [_row(promise) for promise in settled])
    shown: list[tuple[Promise, Earlier]] = []
    for of_run in _by_pool_run(promise for promise in settled if not promise.superseded).values():
        first = of_run[0]
        marks = {promise.device: promise.mark for promise in of_run}
        outcomes_of_run = [promise.outcome for promise in of_run]
        closed = settling.follow(connection, first.pool, first.pool_run, outcomes_of_run, marks.__getitem__)
        shown += [(first, each) for each in closed]
    return shown


def expire(connection: Connection, pools: Mapping[str, Pool], now: datetime) -> list[Promise]:
    """What was not told in time is not known from here on; those that are."""
    overdue = [_promise(row, pools) for row in connection.execute(_OVERDUE, {"now": now})]
    expired = [replace(promise, outcome=earlier.overdue(promise.outcome)) for promise in overdue]
    if expired:
        connection.execute(_EXPIRE, [{"row": each.row} for each in expired])
    return expired


def keep_strays(connection: Connection, strays: Iterable[tuple[str, str]], now: datetime) -> None:
    """Callbacks (request and what is told) that may have overtaken the answer which names their request."""
    rows = [{"request": request, "told": told, "received_at": now} for request, told in strays]
    if rows:
        connection.execute(insert(stray_callbacks), rows)
        newest = select(stray_callbacks.c.id).order_by(stray_callbacks.c.id.desc()).limit(1).offset(MOST_STRAYS)
        connection.execute(delete(stray_callbacks).where(stray_callbacks.c.id <= newest.scalar_subquery()))


def has_strays(connection: Connection) -> bool:
    """Whether there are callbacks whose request is not known."""
    return connection.execute(_ANY_STRAY).first() is not None


def claimable(connection: Connection) -> list[Stray]:
    """The callbacks whose request was not known when they came and is now, in the order in which they came."""
    return [Stray(row.id, row.request, row.told) for row in connection.execute(_CLAIMABLE)]


def drop_strays(connection: Connection, claimed: Collection[Stray]) -> None:
    """Their requests are known now."""
    if claimed:
        gone = stray_callbacks.c.id == bindparam("gone")
        connection.execute(delete(stray_callbacks).where(gone), [{"gone": each.row} for each in claimed])


def is_something_over(connection: Connection, now: datetime, strays_before: datetime) -> bool:
    """Whether a promise is overdue, or a callback that nobody has claimed is too old."""
    asked = {"now": now, "strays_before": strays_before}
    return bool(connection.execute(_SOMETHING_IS_OVER, asked).scalar_one())


def forget_strays(connection: Connection, before: datetime) -> int:
    """No request has claimed these for so long that none will; how many there were."""
    return connection.execute(_FORGET_STRAYS, {"before": before}).rowcount


_IS_PROMISED = and_(outcomes.c.outcome == OutcomeKind.PENDING, text("+outcomes.request IS NOT NULL"))
"""The plus keeps SQLite from the index of requests, in which every promise stands that was ever made."""
_IS_OVERDUE = and_(earlier.IN_INDEX, _IS_PROMISED, outcomes.c.retry_at <= bindparam("now", type_=Moment))
_SOMETHING_IS_OVER = select(
    or_(
        exists().where(stray_callbacks.c.received_at < bindparam("strays_before", type_=Moment)),
        exists().where(_IS_OVERDUE),
    )
)
"""It is asked every second."""

_PROMISES = (
    select(outcomes, runs.c.run, pool_runs.c.pool, pool_runs.c.licenses, pool_runs.c.mode)
    .join(pool_runs, outcomes.c.pool_run_id == pool_runs.c.id)
    .join(runs, pool_runs.c.run_id == runs.c.id)
)
_OVERDUE = _PROMISES.where(_IS_OVERDUE)
_EXPIRE = (
    update(outcomes)
    .where(outcomes.c.id == bindparam("row"))
    .values(outcome=OutcomeKind.UNKNOWN, reason=OutcomeReason.NO_CALLBACK, retry_at=None)
)
_OF_RUN = _PROMISES.where(runs.c.run == bindparam("whose"), outcomes.c.request.is_not(None))
_IN_REQUESTS = outcomes.c.request.in_(bindparam("requests", expanding=True))
_KNOWN = select(outcomes.c.request).where(_IN_REQUESTS).distinct()
_OF_REQUESTS = _PROMISES.where(
    _IN_REQUESTS,
    or_(
        outcomes.c.device.in_(bindparam("imeis", expanding=True)),
        outcomes.c.iccid.in_(bindparam("iccids", expanding=True)),
    ),
)
_COUNT_OPEN = (
    select(func.count())
    .select_from(outcomes)
    .join(pool_runs, outcomes.c.pool_run_id == pool_runs.c.id)
    .where(pool_runs.c.licenses.in_(bindparam("of_pools", expanding=True)), earlier.IN_INDEX, _IS_PROMISED)
)
_ANY_STRAY = select(stray_callbacks.c.id).limit(1)
_CLAIMABLE = (
    select(stray_callbacks)
    .where(exists().where(outcomes.c.request == stray_callbacks.c.request, outcomes.c.request.is_not(None)))
    .order_by(stray_callbacks.c.id)
)
_FORGET_STRAYS = delete(stray_callbacks).where(stray_callbacks.c.received_at < bindparam("before", type_=Moment))
_SETTLE = (
    update(outcomes)
    .where(outcomes.c.id == bindparam("row"))
    .values(
        outcome=bindparam("kind"),
        reason=bindparam("why"),
        service=bindparam("words"),
        at=bindparam("when"),
        retry_at=bindparam("again"),
    )
)


def _row(promise: Promise) -> dict[str, object]:
    outcome = promise.outcome
    return {
        "row": promise.row,
        "kind": outcome.kind,
        "why": outcome.reason,
        "words": outcome.service,
        "when": outcome.at,
        "again": outcome.retry_at,
    }


def _by_pool_run(promises: Iterable[Promise]) -> Mapping[int, list[Promise]]:
    grouped: defaultdict[int, list[Promise]] = defaultdict(list)
    for promise in promises:
        grouped[promise.pool_run].append(promise)
    return dict(sorted(grouped.items()))


def _promise(row: Row[Any], pools: Mapping[str, Pool]) -> Promise:
    pool = pools.get(row.licenses) or _pool(row)
    outcome = earlier.of_row(row, pool).outcome
    superseded = outcome.reason is OutcomeReason.SUPERSEDED
    return Promise(row.id, row.pool_run_id, row.run, pool, row.mark or "", outcome, superseded)


def _pool(row: Row[Any]) -> Pool:
    """A pool that has left the settings, as far as it is still known."""
    product, account, *sku = row.licenses.split(" ")
    return Pool(row.pool, Product(product), account, Mode(row.mode), sku=next(iter(sku), None))
