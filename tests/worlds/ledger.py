"""The ledger of a world: a file in memory that stays open from one world to the next, which finds it empty."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from multiprocessing import util
from pathlib import Path
from typing import Any, Final, Protocol
from unittest.mock import patch

from sqlalchemy import QueuePool

from licensesync.ledger import database, schema

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - what is made in it has a name that nobody can foretell
LASTS: Final = schema.keys
"""What no run writes."""


class User(Protocol):
    """A program, which may be killed whenever a transaction begins, and before it is kept."""

    under_way: set[sqlite3.Connection]
    """Those in which a transaction goes on."""

    def step(self, what: str) -> None: ...


USER: Final[ContextVar[User | None]] = ContextVar("user", default=None)


class Kept(sqlite3.Connection):
    """A connection whose transactions are steps of a program."""

    all: Final[set[Kept]] = set()
    user: User | None = None

    @classmethod
    def opened(cls, path: Path) -> Kept:
        """As the program opens it; who finds it locked does not wait, as nobody else would go on meanwhile."""
        address = f"{path.absolute().as_uri()}?mode=rw"
        new = sqlite3.connect(address, uri=True, timeout=0, isolation_level=None, check_same_thread=False, factory=cls)
        cls.all.add(new)
        return new

    def execute(self, statement: str, given: Sequence[object] = (), /) -> sqlite3.Cursor:  # type: ignore[override]  # what is used of it
        if statement.startswith("BEGIN") and (user := USER.get()):
            user.step("begins a transaction")
            user.under_way.add(self)
            self.user = user
        return super().execute(statement, given)

    def commit(self) -> None:
        if self.user:
            self.user.step("keeps a transaction")
        super().commit()
        self._ends()

    def rollback(self) -> None:
        super().rollback()
        self._ends()

    def close(self) -> None:
        super().close()
        self.all.discard(self)
        self._ends()

    def _ends(self) -> None:
        if self.user:
            self.user.under_way.discard(self)
            self.user = None


class _Open(QueuePool):
    """Whoever closes a connection leaves it open for the next one, who need not read the schema again."""

    def __init__(self, creator: Any, **rest: Any) -> None:
        super().__init__(creator, pool_size=0, **rest)


@contextmanager
def empty() -> Iterator[Path]:
    """A ledger of no run, in a folder of its own. After a world that ends with an exception the next has a new one."""
    path = _folder() / "licensesync.db"
    with patch.multiple(database, _open=Kept.opened, NullPool=_Open):
        try:
            if path.exists():
                _empty(path)
            else:
                database.prove(path)
            yield path
            assert not any(each.in_transaction for each in Kept.all), "a transaction goes on after the end of a world"
        except BaseException:
            for each in [*Kept.all]:
                each.close()
            database._engine.cache_clear()
            reader.cache_clear()
            path.unlink(missing_ok=True)
            raise


@cache
def reader(path: Path) -> sqlite3.Connection:
    """A connection for whoever wants to see what a program has kept."""
    return Kept.opened(path)


def _empty(path: Path) -> None:
    opened = reader(path)
    opened.execute("BEGIN IMMEDIATE")
    for table in reversed(schema.metadata.sorted_tables):
        if table is not LASTS:
            opened.execute(f"DELETE FROM {table.name}")  # noqa: S608 - a table's name
    opened.execute("COMMIT")


@cache
def _folder() -> Path:
    """A folder of this process, which goes with it; in memory, where the machine has such a one."""
    given = os.environ.get("TMPDIR")
    folder = tempfile.TemporaryDirectory(dir=given or (MEMORY if MEMORY.is_dir() else None))
    util.Finalize(None, folder.cleanup, exitpriority=0)  # a worker process ends without what `atexit` knows
    return Path(folder.name)
