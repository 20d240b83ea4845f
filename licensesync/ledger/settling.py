"""What follows when actions of a pool are settled: failures end or add up, approvals are used up, holders change."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from licensesync.ledger import approvals, failures, holders
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.failures import Mark
from licensesync.model import Outcome, Pool


def follow(connection: Connection, pool: Pool, pool_run: int, settled: Sequence[Outcome], mark: Mark) -> list[Earlier]:
    """Keeps what follows from outcomes of actions that `pool_run` has sent.

    The value is what they have shown of earlier actions for the same devices that were left open.
    """
    failures.forgive(connection, pool, settled)
    failures.remember(connection, pool, settled, mark)
    approvals.strike_off(connection, pool, settled)
    return [] if pool.product.is_listed else holders.follow(connection, pool, pool_run, settled)
