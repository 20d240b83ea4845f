"""The ledger's schema from version to version: each step only goes forward, and what was released is never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import cast

from sqlalchemy import Connection

FIRST = (
    """
    CREATE TABLE applied (
        licenses VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        PRIMARY KEY (licenses)
    )
    """,
    """
    CREATE TABLE hard_failures (
        licenses VARCHAR NOT NULL,
        device VARCHAR NOT NULL,
        verb VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        words VARCHAR NOT NULL,
        service VARCHAR,
        failures INTEGER NOT NULL,
        first_at VARCHAR NOT NULL,
        last_at VARCHAR NOT NULL,
        until VARCHAR,
        mark VARCHAR NOT NULL,
        "group" VARCHAR,
        place VARCHAR,
        PRIMARY KEY (licenses, device)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE managed (
        licenses VARCHAR NOT NULL,
        device VARCHAR NOT NULL,
        PRIMARY KEY (licenses, device)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE removal_sets (
        digest VARCHAR NOT NULL,
        device VARCHAR NOT NULL,
        PRIMARY KEY (digest, device)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE runs (
        id INTEGER NOT NULL,
        run VARCHAR NOT NULL,
        command VARCHAR NOT NULL,
        started_at VARCHAR NOT NULL,
        finished_at VARCHAR,
        verdict VARCHAR,
        exit INTEGER,
        "commit" VARCHAR,
        dirty BOOLEAN NOT NULL,
        devices INTEGER NOT NULL,
        digest VARCHAR NOT NULL,
        "plan" VARCHAR,
        PRIMARY KEY (id),
        UNIQUE (run)
    )
    """,
    "CREATE INDEX ix_runs_started_at ON runs (started_at)",
    """
    CREATE TABLE approvals (
        id INTEGER NOT NULL,
        licenses VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        until DATE,
        place VARCHAR,
        run_id INTEGER NOT NULL,
        used_at VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(run_id) REFERENCES runs (id)
    )
    """,
    "CREATE INDEX ix_approvals_licenses ON approvals (licenses)",
    """
    CREATE TABLE pool_runs (
        id INTEGER NOT NULL,
        run_id INTEGER NOT NULL,
        pool VARCHAR NOT NULL,
        licenses VARCHAR NOT NULL,
        mode VARCHAR NOT NULL,
        reading VARCHAR NOT NULL,
        verdict VARCHAR,
        problem VARCHAR,
        read_at VARCHAR,
        total INTEGER,
        assigned INTEGER,
        free INTEGER,
        waiting INTEGER NOT NULL,
        counts JSON NOT NULL,
        held JSON NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(run_id) REFERENCES runs (id)
    )
    """,
    "CREATE INDEX ix_pool_runs_run_id ON pool_runs (run_id)",
    "CREATE INDEX pool_runs_by_licenses ON pool_runs (licenses, id)",
    """
    CREATE TABLE approved_removals (
        approval_id INTEGER NOT NULL,
        device VARCHAR NOT NULL,
        PRIMARY KEY (approval_id, device),
        FOREIGN KEY(approval_id) REFERENCES approvals (id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE outcomes (
        id INTEGER NOT NULL,
        pool_run_id INTEGER NOT NULL,
        device VARCHAR NOT NULL,
        iccid VARCHAR,
        verb VARCHAR NOT NULL,
        outcome VARCHAR NOT NULL,
        reason VARCHAR,
        service VARCHAR,
        "group" VARCHAR,
        place VARCHAR,
        at VARCHAR NOT NULL,
        retry_at VARCHAR,
        in_flight BOOLEAN NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(pool_run_id) REFERENCES pool_runs (id)
    )
    """,
    "CREATE INDEX ix_outcomes_at ON outcomes (at)",
    "CREATE INDEX outcomes_by_device ON outcomes (device, id)",
    "CREATE INDEX outcomes_by_run ON outcomes (pool_run_id, device)",
    "CREATE INDEX outcomes_by_iccid ON outcomes (iccid, id) WHERE iccid IS NOT NULL",
    """
    CREATE INDEX outcomes_unsettled ON outcomes (pool_run_id)
    WHERE outcome IN ('unknown', 'pending') OR retry_at IS NOT NULL
    """,
    """
    CREATE TABLE refusals (
        id INTEGER NOT NULL,
        pool_run_id INTEGER NOT NULL,
        rule VARCHAR NOT NULL,
        setting FLOAT,
        "limit" INTEGER NOT NULL,
        asked INTEGER NOT NULL,
        digest VARCHAR NOT NULL,
        next_step VARCHAR NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(pool_run_id) REFERENCES pool_runs (id)
    )
    """,
    "CREATE INDEX ix_refusals_pool_run_id ON refusals (pool_run_id)",
)

REJECTED_LOGINS = (
    """
    CREATE TABLE keys (
        name VARCHAR NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (name)
    )
    """,
    "INSERT INTO keys (name, value) VALUES ('fingerprint', randomblob(32))",
    """
    CREATE TABLE rejected_logins (
        fingerprint VARCHAR NOT NULL,
        rejections INTEGER NOT NULL,
        rejected_at VARCHAR NOT NULL,
        PRIMARY KEY (fingerprint)
    )
    """,
)

SERVICE = (
    "ALTER TABLE runs ADD COLUMN author VARCHAR",
    """
    CREATE TABLE service (
        id INTEGER NOT NULL,
        pid INTEGER NOT NULL,
        started_at VARCHAR NOT NULL,
        next_run VARCHAR,
        attempts JSON NOT NULL,
        problems JSON NOT NULL,
        rejected_at VARCHAR,
        fresh_at VARCHAR,
        stale VARCHAR,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE notifications (
        id INTEGER NOT NULL,
        told JSON NOT NULL,
        PRIMARY KEY (id)
    )
    """,
)

PROMISES = (
    "ALTER TABLE outcomes ADD COLUMN request VARCHAR",
    "ALTER TABLE outcomes ADD COLUMN mark VARCHAR",
    "CREATE INDEX outcomes_by_request ON outcomes (request) WHERE request IS NOT NULL",
    """
    CREATE TABLE holders (
        licenses VARCHAR NOT NULL,
        device VARCHAR NOT NULL,
        since VARCHAR,
        PRIMARY KEY (licenses, device)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE found_holders (
        licenses VARCHAR NOT NULL,
        device VARCHAR NOT NULL,
        others INTEGER NOT NULL,
        PRIMARY KEY (licenses, device)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE stray_callbacks (
        id INTEGER NOT NULL,
        request VARCHAR NOT NULL,
        told VARCHAR NOT NULL,
        received_at VARCHAR NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX ix_stray_callbacks_request ON stray_callbacks (request)",
)

STEPS: Sequence[Sequence[str]] = (FIRST, REJECTED_LOGINS, SERVICE, PROMISES)
"""The statements that lead to version 1, from there to version 2, and so on."""

VERSION = len(STEPS)


def version_of(connection: Connection) -> int:
    """The version of a ledger; 0 where there is nothing yet."""
    (version,) = file_of(connection).execute("PRAGMA user_version").fetchone()
    return int(version)


def file_of(connection: Connection) -> sqlite3.Connection:
    """What SQLite itself has opened: what is said at each look is said to it at once, in a tenth of the time."""
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def migrate(connection: Connection) -> None:
    """Brings a ledger to the newest version, within the transaction that is open; what it holds stays."""
    for number in range(version_of(connection), VERSION):
        for statement in STEPS[number]:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"PRAGMA user_version = {number + 1}")
