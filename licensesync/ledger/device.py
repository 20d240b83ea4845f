"""What the ledger knows of one device."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Connection, and_, select

from licensesync.ledger import failures, history
from licensesync.ledger.failures import Mark
from licensesync.ledger.schema import hard_failures, managed, outcomes, pool_runs
from licensesync.model import Background, DeviceId, Iccid, Imei, Pool, Wanted, iccid_of

LAST = 5  # outcomes


def imeis_of(connection: Connection, iccid: Iccid) -> frozenset[Imei]:
    """The devices in which this SIM was when something was asked for it."""
    query = select(outcomes.c.device).where(outcomes.c.iccid == iccid).distinct()
    return frozenset(connection.execute(query).scalars().all())


def backgrounds(
    connection: Connection, pool: Pool, imei: Imei, mark: Mark, now: datetime
) -> Mapping[DeviceId, Background]:
    """The past of a device in a pool, under each identifier that it had there; none that the ledger does not know."""
    query = select(managed.c.device).where(managed.c.licenses == pool.licenses, _is(managed.c.device, pool, imei))
    ever_managed = set(map(DeviceId, connection.execute(query).scalars()))
    quarantine = {
        each.device: each
        for each in failures.set_aside(
            connection, now, hard_failures.c.licenses == pool.licenses, _is(hard_failures.c.device, pool, imei)
        )
    }
    found: dict[DeviceId, Background] = {}
    for device in sorted({*ever_managed, *quarantine, *_asked(connection, pool, imei)}):
        wanted = Wanted(device=iccid_of(device) or imei, licenses=pool.licenses)
        last, of = history.last_rows(connection, wanted, LAST)
        set_aside = quarantine.get(device)
        found[device] = Background(
            device in ever_managed,
            tuple(last),
            of,
            history.record(set_aside, {pool.licenses: pool.name}) if set_aside else None,
            outlived=set_aside is not None and set_aside.failures.mark != mark(device),
        )
    return found


def _is(column: Column[str], pool: Pool, imei: Imei) -> ColumnElement[bool]:
    """Whether an identifier of this pool's product is that of a device: a range of the index, not a pattern."""
    if not pool.product.needs_iccid:
        return column == imei
    first, beyond = f"{imei}/", f"{imei}{chr(ord('/') + 1)}"
    return and_(column >= first, column < beyond)


def _asked(connection: Connection, pool: Pool, imei: Imei) -> set[DeviceId]:
    """The identifiers under which something was ever asked for a device."""
    query = (
        select(outcomes.c.iccid)
        .join(pool_runs, outcomes.c.pool_run_id == pool_runs.c.id)
        .where(outcomes.c.device == imei, pool_runs.c.licenses == pool.licenses)
        .distinct()
    )
    return {pool.product.identify(imei, iccid) for iccid in connection.execute(query).scalars()}
