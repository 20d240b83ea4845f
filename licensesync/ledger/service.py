"""What the ledger keeps of the service: how it stands, for `status`, and what it has told by notifications."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from licensesync.ledger import database
from licensesync.ledger.schema import notifications, service
from licensesync.model import ServiceRecord

THE_ROW = 1


def keep(path: Path, record: ServiceRecord) -> None:
    """The service stands like this from now on. Raises LedgerError."""
    row = {
        "id": THE_ROW,
        "pid": record.pid,
        "started_at": record.started_at,
        "next_run": record.next_run,
        "attempts": {pool: at.isoformat() for pool, at in record.attempts.items()},
        "problems": list(record.problems),
        "rejected_at": record.rejected_at,
        "fresh_at": record.fresh_at,
        "stale": record.stale,
    }
    with database.changed(path) as connection:
        connection.execute(insert(service).values(row).on_conflict_do_update(index_elements=["id"], set_=row))


def kept(connection: Connection) -> ServiceRecord | None:
    """How the service that ran last stood then; whether it still runs is not for the ledger to know."""
    row = connection.execute(select(service)).one_or_none()
    if row is None:
        return None
    attempts = {pool: datetime.fromisoformat(at) for pool, at in row.attempts.items()}
    told = tuple(row.problems), row.rejected_at, row.fresh_at, row.stale
    return ServiceRecord(row.pid, row.started_at, row.next_run, attempts, *told)


def keep_told(path: Path, told: object) -> None:
    """What was told by notifications, as anything that JSON can hold. Raises LedgerError."""
    row = {"id": THE_ROW, "told": told}
    with database.changed(path) as connection:
        connection.execute(insert(notifications).values(row).on_conflict_do_update(index_elements=["id"], set_=row))


def told(path: Path) -> object:
    """What was told by notifications; None where nothing was. Raises LedgerError."""
    with database.read(path) as connection:
        return connection and connection.execute(select(notifications.c.told)).scalar_one_or_none()
