"""Forgets what is older than the settings want it kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select

from licensesync.ledger.schema import (
    approvals,
    approved_removals,
    outcomes,
    pool_runs,
    refusals,
    removal_sets,
    runs,
)


def prune(connection: Connection, cutoff: datetime) -> None:
    """Deletes runs that began before `cutoff`, with their outcomes and refusals, and approvals that ended before it.

    What is managed, the quarantine, and approvals that have no end stay: they bear on plans.
    """
    needed = select(approvals.c.run_id)
    old = select(runs.c.id).where(runs.c.started_at < cutoff)
    old_pools = select(pool_runs.c.id).where(pool_runs.c.run_id.in_(old))
    ended = select(approvals.c.id).where(approvals.c.until < cutoff.date())
    connection.execute(delete(approved_removals).where(approved_removals.c.approval_id.in_(ended)))
    connection.execute(delete(approvals).where(approvals.c.until < cutoff.date()))
    connection.execute(delete(outcomes).where(outcomes.c.pool_run_id.in_(old_pools)))
    connection.execute(delete(refusals).where(refusals.c.pool_run_id.in_(old_pools)))
    connection.execute(delete(pool_runs).where(pool_runs.c.run_id.in_(old)))
    connection.execute(delete(runs).where(runs.c.started_at < cutoff, runs.c.id.not_in(needed)))
    in_use = select(refusals.c.digest).union(select(approvals.c.digest))
    connection.execute(delete(removal_sets).where(removal_sets.c.digest.not_in(in_use)))
