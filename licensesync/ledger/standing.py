"""How the pools of the settings stand, as of the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from licensesync.ledger import history
from licensesync.model import Pool, PoolStatus, ServiceRecord, Status


def status(
    connection: Connection, pools: Mapping[str, Pool], now: datetime, service: ServiceRecord | None = None
) -> Status:
    """How each pool of the settings stands, in their order, the run that began last, and the service that runs now."""
    set_aside = Counter(record.pool for record in history.quarantined(connection, pools, now))
    stand = tuple(
        PoolStatus(name, history.latest(connection, pool), set_aside[name], *history.open_requests(connection, pool))
        for name, pool in pools.items()
    )
    return Status(stand, history.last_run(connection), service)
