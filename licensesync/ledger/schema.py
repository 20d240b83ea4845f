"""The tables of the ledger as they are in its newest version."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    text,
)


class Moment(TypeDecorator[datetime]):
    """A time in UTC as text that sorts as times do, and that a person with an SQLite shell can read."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        del dialect
        return as_moment(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else datetime.fromisoformat(value)


class Words(TypeDecorator[str]):
    """A text that can be encoded whatever it quotes: the name of a file need not be."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        del dialect
        return as_words(value)


def as_moment(value: datetime | None) -> str | None:
    """A time as the ledger keeps it."""
    return None if value is None else f"{value.astimezone(UTC).isoformat(timespec='microseconds')[:-6]}Z"


def as_words(value: str | None) -> str | None:
    """A text as the ledger keeps it, if it may be one that cannot be encoded."""
    return value if value is None or value.isascii() else value.encode(errors="replace").decode()


metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False, unique=True),
    Column("command", String, nullable=False),
    Column("started_at", Moment, nullable=False, index=True),
    Column("finished_at", Moment),
    Column("verdict", String),
    Column("exit", Integer),
    Column("commit", String),
    Column("dirty", Boolean, nullable=False),
    Column("devices", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("plan", String),
    Column("author", Words),  # of the commit
)

pool_runs = Table(
    "pool_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, index=True),
    Column("pool", String, nullable=False),
    Column("licenses", String, nullable=False),  # product, account and SKU: the same under any name
    Column("mode", String, nullable=False),
    Column("reading", String, nullable=False),
    Column("verdict", String),
    Column("problem", Words),
    Column("read_at", Moment),
    Column("total", Integer),
    Column("assigned", Integer),
    Column("free", Integer),
    Column("waiting", Integer, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("held", JSON, nullable=False),  # how many devices for each reason
    Index("pool_runs_by_licenses", "licenses", "id"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pool_run_id", ForeignKey("pool_runs.id"), nullable=False),
    Column("device", String, nullable=False),  # the IMEI
    Column("iccid", String),
    Column("verb", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("reason", String),
    Column("service", Words),
    Column("group", String),
    Column("place", Words),
    Column("at", Moment, nullable=False, index=True),
    Column("retry_at", Moment),
    Column("in_flight", Boolean, nullable=False),  # sent, and nothing is known yet
    Column("request", String),  # the service's id of what it has accepted and tells the end of by a callback
    Column("mark", String),  # of the inventory entry, where the end may be told after the run
    Index("outcomes_by_device", "device", "id"),
    Index("outcomes_by_run", "pool_run_id", "device"),
)
Index("outcomes_by_iccid", outcomes.c.iccid, outcomes.c.id, sqlite_where=outcomes.c.iccid.is_not(None))
UNSETTLED = "outcome IN ('unknown', 'pending') OR retry_at IS NOT NULL"
Index("outcomes_unsettled", outcomes.c.pool_run_id, sqlite_where=text(UNSETTLED))

Index("outcomes_by_request", outcomes.c.request, sqlite_where=outcomes.c.request.is_not(None))

refusals = Table(
    "refusals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pool_run_id", ForeignKey("pool_runs.id"), nullable=False, index=True),
    Column("rule", String, nullable=False),
    Column("setting", Float),
    Column("limit", Integer, nullable=False),
    Column("asked", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("next_step", Words, nullable=False),
)

removal_sets = Table(
    "removal_sets",
    metadata,
    Column("digest", String, primary_key=True),
    Column("device", String, primary_key=True),
    sqlite_with_rowid=False,
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("licenses", String, nullable=False, index=True),
    Column("digest", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("until", Date),
    Column("place", Words),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("used_at", Moment, nullable=False),
    Column("size", Integer, nullable=False),
)

approved_removals = Table(
    "approved_removals",
    metadata,
    Column("approval_id", ForeignKey("approvals.id"), primary_key=True),
    Column("device", String, primary_key=True),
    sqlite_with_rowid=False,
)

managed = Table(
    "managed",
    metadata,
    Column("licenses", String, primary_key=True),
    Column("device", String, primary_key=True),
    sqlite_with_rowid=False,
)

applied = Table(
    "applied",
    metadata,
    Column("licenses", String, primary_key=True),
    Column("digest", String, nullable=False),
)

holders = Table(
    "holders",  # of licenses that the service does not list
    metadata,
    Column("licenses", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("since", Moment),
    sqlite_with_rowid=False,
)

found_holders = Table(
    "found_holders",  # whose license was among those that the settings say are assigned by others
    metadata,
    Column("licenses", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("others", Integer, nullable=False),  # as the settings said at the time
    sqlite_with_rowid=False,
)

stray_callbacks = Table(
    "stray_callbacks",  # about requests that are not known, yet
    metadata,
    Column("id", Integer, primary_key=True),
    Column("request", String, nullable=False, index=True),
    Column("told", Words, nullable=False),
    Column("received_at", Moment, nullable=False),
)

hard_failures = Table(
    "hard_failures",
    metadata,
    Column("licenses", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("verb", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("words", String, nullable=False),  # the service's, without what changes from one time to the next
    Column("service", Words),
    Column("failures", Integer, nullable=False),  # equal ones in a row
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("until", Moment),  # set aside until then
    Column("mark", String, nullable=False),  # of the inventory entry that failed
    Column("group", String),
    Column("place", Words),
    sqlite_with_rowid=False,
)

keys = Table(
    "keys",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

rejected_logins = Table(
    "rejected_logins",
    metadata,
    Column("fingerprint", String, primary_key=True),
    Column("rejections", Integer, nullable=False),  # in a row
    Column("rejected_at", Moment, nullable=False),
)

service = Table(
    "service",
    metadata,
    Column("id", Integer, primary_key=True),  # of the one row: the service that ran last
    Column("pid", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("next_run", Moment),
    Column("attempts", JSON, nullable=False),  # when each pool that backs off is tried again
    Column("problems", JSON, nullable=False),  # of the newest settings or inventory, where they are not in force
    Column("rejected_at", Moment),
    Column("fresh_at", Moment),
    Column("stale", Words),  # why the git remote did not answer
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", Integer, primary_key=True),  # of the one row: what was told last
    Column("told", JSON, nullable=False),
)
