"""Who holds licenses that the service does not list: known by what became of all that was asked for, and by import."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from licensesync.ledger import database, earlier
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.schema import found_holders, holders, outcomes, pool_runs, runs
from licensesync.model import (
    DeviceId,
    Imei,
    Observed,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Pool,
    Remembered,
    Verb,
    imei_of,
)


def look_up(path: Path, pool: Pool, listed: Collection[DeviceId] | None = None) -> Remembered:
    """Who holds licenses of a pool, as far as a ledger that need not be there yet knows; see `remembered`.

    Raises LedgerError.
    """
    with database.read(path) as connection:
        if connection is None:
            return Remembered(frozenset(listed or ()), others=pool.others)
        return remembered(connection, pool, listed)


def remembered(connection: Connection, pool: Pool, listed: Collection[DeviceId] | None = None) -> Remembered:
    """Who holds licenses of a pool, of which devices that cannot be told, how many licenses are left to others.

    With `listed`, what it would be if these were made the holders.
    """
    counted = {"whose": pool.licenses, "of_others": pool.others}
    turned_out = connection.execute(_FOUND, counted).scalar_one() if pool.others and listed is None else 0
    holding = _of(connection, pool) if listed is None else frozenset(listed)
    asked = connection.execute(_OPEN_ACTIONS, {"whose": pool.licenses})
    known_as = ((pool.product.identify(Imei(row.device), row.iccid), row) for row in asked)
    return Remembered(
        holders=holding,
        open_since={device: row.at for device, row in known_as if _decides(row, holds=device in holding)},
        others=max(0, pool.others - turned_out),
    )


def _decides(action: Row[Any], *, holds: bool) -> bool:
    """Whether the end of an open action decides who holds a license: one that asks for what is so already does not."""
    return holds is (action.verb == Verb.REMOVE) or action.reason == OutcomeReason.CONTRADICTED


def since(path: Path, pool: Pool) -> dict[DeviceId, datetime]:
    """Since when devices hold licenses of a pool, where that is recorded. Raises LedgerError."""
    with database.read(path) as connection:
        rows = connection.execute(_SINCE, {"whose": pool.licenses}) if connection else ()
        return {row.device: row.since for row in rows}


def replace_all(connection: Connection, pool: Pool, devices: Collection[DeviceId]) -> tuple[int, int]:
    """These devices hold the licenses of a pool from now on, and none else but others; how many came and went."""
    before = _of(connection, pool)
    now = frozenset(devices)
    _drop(connection, pool, sorted(before - now))
    _add(connection, pool, dict.fromkeys(now - before))
    connection.execute(delete(found_holders).where(found_holders.c.licenses == pool.licenses))
    return len(now - before), len(before - now)


def keep_proved(connection: Connection, pool: Pool, settled: Collection[DeviceId], observed: Observed) -> None:
    """A reading has shown what became of all that was asked for these devices."""
    certain = sorted(device for device in settled if device not in observed.doubtful)
    _drop(connection, pool, [device for device in certain if device not in observed.holders])
    _add(connection, pool, {device: None for device in certain if device in observed.holders})


def follow(connection: Connection, pool: Pool, pool_run: int, settled: Sequence[Outcome]) -> list[Earlier]:
    """What outcomes of actions that `pool_run` has sent mean for who holds a license.

    The value is what they say of earlier actions for the same devices that were left open: they are settled, too.
    """
    told = {outcome.action.device: outcome for outcome in settled if outcome.kind is OutcomeKind.DONE}
    if not told:
        return []
    before = _left_open(connection, pool, pool_run, list(told))
    shown = [each for device, outcome in told.items() for each in _shown_by(outcome, before.get(device, ()))]
    earlier.settle(connection, shown)
    asked_before = {device for device, left in before.items() if any(each.verb is Verb.ASSIGN for each in left)}
    _keep_found(connection, pool, told.values(), asked_before)
    _add(connection, pool, {device: each.at for device, each in told.items() if each.action.verb is Verb.ASSIGN})
    _drop(connection, pool, [device for device, each in told.items() if each.action.verb is Verb.REMOVE])
    return shown


def _keep_found(
    connection: Connection, pool: Pool, told: Collection[Outcome], asked_before: Collection[DeviceId]
) -> None:
    """Who had a license already that we never asked for was one of the others, and is counted once."""
    if not pool.others:
        return
    stale = found_holders.c.licenses == pool.licenses, found_holders.c.others != pool.others
    connection.execute(delete(found_holders).where(*stale))
    for outcome in told:
        device = outcome.action.device
        is_news = outcome.reason is OutcomeReason.ALREADY and outcome.action.verb is Verb.ASSIGN
        if is_news and device not in asked_before and not _holds(connection, pool, device):
            row = {"licenses": pool.licenses, "device": device, "others": pool.others}
            connection.execute(insert(found_holders).values(row).on_conflict_do_nothing())


def _shown_by(outcome: Outcome, before: Sequence[Earlier]) -> list[Earlier]:
    """What became of earlier actions for a device, now that the service has said whether it had to change anything."""
    asked_to_hold = outcome.action.verb is Verb.ASSIGN
    return earlier.in_turn(before, holds=asked_to_hold is (outcome.reason is OutcomeReason.ALREADY))


def _of(connection: Connection, pool: Pool) -> frozenset[DeviceId]:
    return frozenset(connection.execute(_HOLDERS, {"whose": pool.licenses}).scalars())


def _holds(connection: Connection, pool: Pool, device: DeviceId) -> bool:
    return connection.execute(_HOLDER, {"whose": pool.licenses, "who": device}).first() is not None


def _add(connection: Connection, pool: Pool, since: Mapping[DeviceId, datetime | None]) -> None:
    if since:
        rows = [{"licenses": pool.licenses, "device": device, "since": at} for device, at in sorted(since.items())]
        connection.execute(_ADD, rows)


def _drop(connection: Connection, pool: Pool, devices: Collection[DeviceId]) -> None:
    if devices:
        connection.execute(_DROP, [{"whose": pool.licenses, "who": device} for device in devices])


def _left_open(
    connection: Connection, pool: Pool, pool_run: int, devices: Sequence[DeviceId]
) -> Mapping[DeviceId, list[Earlier]]:
    """The actions for these devices that were sent before, and whose end is not known."""
    before = {"imeis": [imei_of(device) for device in devices], "of_run": pool_run, "whose": pool.licenses}
    rows = connection.execute(_LEFT_OPEN, before)
    left: defaultdict[DeviceId, list[Earlier]] = defaultdict(list)
    for row in rows:
        each = earlier.of_row(row, pool)
        left[each.device].append(each)
    return left


_OF_POOL = holders.c.licenses == bindparam("whose")
_OF_DEVICE = and_(_OF_POOL, holders.c.device == bindparam("who"))
_HOLDERS = select(holders.c.device).where(_OF_POOL)
_HOLDER = _HOLDERS.where(_OF_DEVICE)
_SINCE = select(holders).where(_OF_POOL, holders.c.since.is_not(None))
_ADD = insert(holders).on_conflict_do_nothing()
_DROP = delete(holders).where(_OF_DEVICE)
_FOUND = select(func.count()).where(
    found_holders.c.licenses == bindparam("whose"), found_holders.c.others == bindparam("of_others")
)
_OPEN_ACTIONS: Select[Any] = (
    select(outcomes.c.device, outcomes.c.iccid, outcomes.c.verb, outcomes.c.reason, outcomes.c.at)
    .join(pool_runs, outcomes.c.pool_run_id == pool_runs.c.id)
    .where(pool_runs.c.licenses == bindparam("whose"), earlier.IN_INDEX, earlier.IS_OPEN)
    .order_by(outcomes.c.at)
)
_LEFT_OPEN = (
    select(outcomes, runs.c.run)
    .join(pool_runs, outcomes.c.pool_run_id == pool_runs.c.id)
    .join(runs, pool_runs.c.run_id == runs.c.id)
    .where(
        outcomes.c.device.in_(bindparam("imeis", expanding=True)),
        earlier.IS_OPEN,
        outcomes.c.pool_run_id < bindparam("of_run"),
        pool_runs.c.licenses == bindparam("whose"),
    )
)
