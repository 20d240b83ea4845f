"""Forgets what is older than the settings want it kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, union_all

from licensesync.ledger.earlier import IN_INDEX
from licensesync.ledger.memory import DAY
from licensesync.ledger.schema import (
    Moment,
    approvals,
    approved_removals,
    outcomes,
    pool_runs,
    refusals,
    removal_sets,
    runs,
)


def prune(connection: Connection, cutoff: datetime, now: datetime) -> None:
    """Deletes runs that began before `cutoff`, with their outcomes and refusals, and approvals that
    ended, or were the command line's word for one run, before it.

    What bears on plans stays: what is managed, the quarantine, approvals that have no end, and runs with an outcome of
    the past day, by which removals are counted, or one that the service still goes on with.
    """
    if connection.execute(_OLD, {"cutoff": cutoff}).first() is None:
        return  # as after most runs; an approval that is over was used by a run that is older
    needed = select(approvals.c.run_id)
    of_outcomes = select(outcomes.c.pool_run_id)
    of_today, going_on = outcomes.c.at > now - DAY, and_(IN_INDEX, outcomes.c.retry_at > now)
    bearing = union_all(of_outcomes.where(of_today), of_outcomes.where(going_on))  # each by an index; `or` has none
    in_use_still = select(pool_runs.c.run_id).where(pool_runs.c.id.in_(bearing))
    old = select(runs.c.id).where(runs.c.started_at < cutoff, runs.c.id.not_in(in_use_still))
    old_pools = select(pool_runs.c.id).where(pool_runs.c.run_id.in_(old))
    was_for_one_run = and_(approvals.c.place.is_(None), approvals.c.used_at < cutoff)  # by the command line
    over = or_(approvals.c.until < cutoff.date(), was_for_one_run)
    ended = select(approvals.c.id).where(over)
    connection.execute(delete(approved_removals).where(approved_removals.c.approval_id.in_(ended)))
    connection.execute(delete(approvals).where(over))
    connection.execute(delete(outcomes).where(outcomes.c.pool_run_id.in_(old_pools)))
    connection.execute(delete(refusals).where(refusals.c.pool_run_id.in_(old_pools)))
    connection.execute(delete(pool_runs).where(pool_runs.c.run_id.in_(old)))
    connection.execute(delete(runs).where(runs.c.id.in_(old), runs.c.id.not_in(needed)))
    in_use = select(refusals.c.digest).union(select(approvals.c.digest))
    connection.execute(delete(removal_sets).where(removal_sets.c.digest.not_in(in_use)))


_OLD = select(runs.c.id).where(runs.c.started_at < bindparam("cutoff", type_=Moment)).limit(1)
