"""The ledger of the settings, opened for a command that plans: what it remembers of each pool."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from licensesync.composition import Pass
from licensesync.ledger.presence import exists
from licensesync.model import Memory, Observed, Pool
from licensesync.reconcile import Recall


@contextmanager
def remembered(work: Pass, base: Mapping[str, Memory]) -> Iterator[Mapping[str, Recall]]:
    """What is remembered of each pool, by the ledger if there is one, and by the inventory of a `base` commit.

    Nothing is made and nothing is written. Raises LedgerError for a ledger that cannot be used.
    """
    path = work.settings.ledger_path(os.environ)
    if not exists(path):
        yield {name: partial(_always, memory) for name, memory in base.items()}
        return

    from licensesync.ledger import database, memory

    with database.read(path) as connection:

        async def recall(pool: Pool, observed: Observed) -> Memory:
            if connection is None:
                return base.get(pool.name, Memory())
            mark = partial(work.inventory.mark, pool)
            with database.alone(connection):
                found = memory.recall(connection, pool, observed, mark, datetime.now(UTC))
            named = base.get(pool.name, Memory()).managed
            return replace(found, managed=found.managed | named) if named else found

        yield {pool.name: partial(recall, pool) for pool in work.pools}


async def _always(memory: Memory, observed: Observed) -> Memory:
    del observed
    return memory
