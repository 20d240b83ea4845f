"""The ledger of the settings, opened for a command: to remember for a plan, or to keep a run under the lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from licensesync.cli.composition import Pass
from licensesync.errors import LedgerError
from licensesync.model import Memory, Observed, Pool

if TYPE_CHECKING:
    from licensesync.ledger.book import Book

Recall = Callable[[Observed], Memory]
"""What is remembered of a pool, once it was read."""


@contextmanager
def remembered(work: Pass, base: Mapping[str, Memory]) -> Iterator[Mapping[str, Recall]]:
    """What is remembered of each pool, by the ledger if there is one, and by the inventory of a `base` commit.

    Nothing is made and nothing is written. Raises LedgerError for a ledger that cannot be used.
    """
    path = work.settings.ledger_path(os.environ)
    if not path.exists():
        yield {name: partial(_always, memory) for name, memory in base.items()}
        return

    from licensesync.ledger import database, memory

    with database.read(path) as connection:

        def recall(pool: Pool, observed: Observed) -> Memory:
            if connection is None:
                return base.get(pool.name, Memory())
            mark = partial(work.inventory.mark, pool)
            with database.explained(path):
                found = memory.recall(connection, pool, observed, mark, datetime.now(UTC))
            named = base.get(pool.name, Memory()).managed
            return replace(found, managed=found.managed | named) if named else found

        yield {pool.name: partial(recall, pool) for pool in work.pools}


@contextmanager
def kept(work: Pass, run: str, command: str) -> Iterator[Book]:
    """The book of a run that has begun, under the ledger's lock. Raises Locked and LedgerError."""
    from licensesync.ledger import book, lock

    path = work.settings.ledger_path(os.environ)
    with lock.held(path, command, datetime.now(UTC)), book.opened(path, run, lambda: datetime.now(UTC)) as opened:
        opened.begin(command, work.info)
        try:
            yield opened
        except BaseException:
            with suppress(LedgerError):
                opened.abandon()
            raise


def _always(memory: Memory, observed: Observed) -> Memory:
    del observed
    return memory
