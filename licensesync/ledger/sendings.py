"""Whether anything was asked of a pool since a run has read it."""

from __future__ import annotations

from sqlalchemy import Connection, exists, select

from licensesync.ledger.schema import outcomes, pool_runs, runs
from licensesync.model import Pool


def nothing_since(connection: Connection, pool: Pool, run: str) -> bool:
    """Whether this run and all after it have sent nothing to the pool; False too where the ledger lacks the run."""
    of_pool = pool_runs.c.licenses == pool.licenses
    read_by = (
        select(pool_runs.c.id).join(runs, pool_runs.c.run_id == runs.c.id).where(runs.c.run == run, of_pool).limit(1)
    )
    first = connection.execute(read_by).scalar_one_or_none()
    if first is None:
        return False
    sent = exists().where(outcomes.c.pool_run_id == pool_runs.c.id)
    return (
        connection.execute(select(pool_runs.c.id).where(of_pool, pool_runs.c.id >= first, sent).limit(1)).first()
        is None
    )
