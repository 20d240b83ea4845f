"""Opens the ledger's file, and says in clear words why it cannot be used.

SQLite in WAL mode: readers never wait for a run, and every transaction is on the disk when it has ended.
https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from threading import RLock

from sqlalchemy import Connection, Engine, NullPool, PoolProxiedConnection, create_engine
from sqlalchemy.exc import DBAPIError

from licensesync.errors import LedgerError
from licensesync.ledger import migrations
from licensesync.ledger.presence import exists

BUSY = 5.0
OWNER_ONLY = 0o600

Ledger = Connection
"""A ledger that is open: what the functions of this package are given."""
_PATH = "path"
"""The option of a connection that is the ledger's file."""
_TURN = "turn"
"""The one that is the lock of those who use the connection, in whatever thread."""


@contextmanager
def written(path: Path, *, proved: bool = False) -> Iterator[Connection]:
    """The ledger for a run: made or migrated where needed, and undamaged, unless that was `proved` just now.

    Raises LedgerError.
    """
    _must_be_usable(path)
    with explained(path):
        _create(path)
        if not proved:
            with _connected(path, looking=True) as connection, connection.begin():
                _must_be_ours(path, connection)
        with _connected(path, looking=False) as connection:
            with connection.begin():
                _must_be_ours(path, connection)
                migrations.migrate(connection)
            if not proved:
                _must_be_whole(path, connection)
            yield connection


def prove(path: Path) -> None:
    """The ledger can be written and is undamaged; it is made or migrated where needed. Raises LedgerError.

    A ledger of a million outcomes takes most of a second.
    """
    with written(path):
        pass


@contextmanager
def changed(path: Path) -> Iterator[Connection]:
    """A ledger of this version, for one short transaction beside whatever else goes on. Raises LedgerError."""
    with explained(path), _connected(path) as connection, connection.begin():
        yield connection


class Writer:
    """A ledger that stays open for many short transactions of one thread; a file that was replaced is opened anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = ExitStack()
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None

    @contextmanager
    def changed(self) -> Iterator[Connection]:
        """One transaction. Raises LedgerError."""
        with explained(self._path):
            try:
                connection = self._connected()
                with connection.begin():
                    yield connection
            except (DBAPIError, sqlite3.Error):
                self.close()
                raise

    def close(self) -> None:
        self._open.close()
        self._connection = None

    def _connected(self) -> Connection:
        file = _identity(self._path)
        if self._connection is None or file != self._file:
            self.close()
            self._connection = self._open.enter_context(_connected(self._path))
            self._file = file
        return self._connection


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


@contextmanager
def read(path: Path) -> Iterator[Connection | None]:
    """The ledger for looking only, None where there is none yet. Raises LedgerError.

    A ledger of an earlier version is copied to a temporary database and migrated there: it stays as it is, and a run
    of the earlier version that goes on meanwhile is not in the way.
    """
    if not exists(path):
        yield None
        return
    _must_be_a_file(path)
    with explained(path):
        with _connected(path, looking=True) as connection, connection.begin():
            version = _must_be_ours(path, connection)
            if version in {0, migrations.VERSION}:
                yield connection if version else None
                return
        with _connected(path, copied=True) as connection, connection.begin():
            migrations.migrate(connection)
            yield connection


def examined(path: Path) -> int:
    """The version of a ledger that is there and undamaged, 0 for an empty file; nothing is written.

    Raises LedgerError for one that is not usable.
    """
    _must_be_a_file(path)
    with explained(path), _connected(path, looking=True) as connection:
        with connection.begin():
            version = _must_be_ours(path, connection)
        _must_be_whole(path, connection)
        return version


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Whatever the database says no with becomes a LedgerError that names the file and the way out."""
    try:
        yield
    except DBAPIError as error:
        raise LedgerError(f"the ledger {path} {_why(error.orig)}") from error
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger {path} {_why(error)}") from error


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """No other thread uses the connection meanwhile. Raises LedgerError for whatever the database says no with."""
    kept = connection.get_execution_options()
    with kept[_TURN], explained(kept[_PATH]):
        yield


def _why(error: BaseException | None) -> str:
    name = str(getattr(error, "sqlite_errorname", ""))
    for beginning, words in _WHY.items():
        if name.startswith(beginning):
            return words
    return f"cannot be used: {error}; see whether the disk is full or damaged"


_WHY = {
    "SQLITE_BUSY": "is locked by another program; end it (an SQLite shell, a backup), and try again",
    "SQLITE_LOCKED": "is locked by another program; end it (an SQLite shell, a backup), and try again",
    "SQLITE_READONLY": "may not be written; give this user the right to write the file and its folder",
    "SQLITE_CANTOPEN": "cannot be opened; see that this user may read and write the file and its folder",
    "SQLITE_PERM": "may not be opened; give this user the right to read and write it",
    "SQLITE_FULL": "cannot grow: the disk is full; make room, and try again",
    "SQLITE_NOTADB": "is damaged, or is no ledger; restore it from a backup, or move it away and begin a new one",
    "SQLITE_CORRUPT": "is damaged; restore it from a backup, or move it away and begin a new one",
}


def _must_be_usable(path: Path) -> None:
    """What SQLite would say less clearly."""
    if not path.parent.is_dir():
        raise LedgerError(f"the ledger {path} cannot be made: there is no folder {path.parent}; create it")
    _must_be_a_file(path)
    with suppress(FileNotFoundError):
        if not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise LedgerError(f"the ledger {path} is read-only; give this user the right to write it (chmod u+w)")


def _must_be_a_file(path: Path) -> None:
    if exists(path) and not path.is_file():
        raise LedgerError(f"the ledger {path} is no regular file; name one with ledger: in the settings")


def _create(path: Path) -> None:
    """The file is there, and nobody else may read a new one: it says which devices a company has.

    One that is there already is not opened: to close it again would end every lock that SQLite has on it in this
    process. https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
        if path.stat().st_size == 0:
            path.chmod(OWNER_ONLY)
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise LedgerError(
            f"the ledger {path} cannot be made or written: {error.strerror}; give this user the right to write the "
            "file and its folder, or name another with ledger: in the settings"
        ) from error


@contextmanager
def _connected(path: Path, *, looking: bool = False, copied: bool = False) -> Iterator[Connection]:
    """One connection, whose transactions begin when they are asked for: as writers, unless it is for looking only."""
    turn = RLock()
    with _engine(path, looking=looking, copied=copied).connect() as connection:
        connection.execution_options(**{_PATH: path, _TURN: turn})
        try:
            yield connection
        finally:
            with turn:  # a thread that still uses it comes to an end first
                connection.close()


@lru_cache(maxsize=16)
def _engine(path: Path, *, looking: bool, copied: bool) -> Engine:
    """What opens connections to a ledger, and knows the statements that were ever compiled for it; it keeps none open.

    A process has one ledger, and whoever looks into it every second should not compile the same statements again.
    """

    def connect() -> sqlite3.Connection:
        if copied:
            return _copy(path)
        opened = _open(path)
        for pragma in _LOOKING if looking else _WRITING:
            opened.execute(f"PRAGMA {pragma}")
        return opened

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    def begin(connection: PoolProxiedConnection) -> None:
        connection.execute("BEGIN" if looking else "BEGIN IMMEDIATE")

    # To listen for the event would do the same, and make each statement a fifth slower: it is told to listeners, too.
    engine.dialect.do_begin = begin  # type: ignore[assignment,method-assign]  # bound, as it were
    return engine


def _open(path: Path) -> sqlite3.Connection:
    """One thread at a time may use it, not only this one: a run writes its batches in another."""
    address = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False)


def _copy(path: Path) -> sqlite3.Connection:
    """The same in a temporary database, which goes with its connection."""
    copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    with closing(_open(path)) as original:
        original.backup(copy)
    return copy


_LOOKING = ("query_only = ON",)
_WRITING = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")


def _must_be_ours(path: Path, connection: Connection) -> int:
    """The ledger's version. Raises LedgerError for one that is newer than this program, or no ledger at all."""
    version = migrations.version_of(connection)
    if version > migrations.VERSION:
        raise LedgerError(
            f"the ledger {path} was written by a newer licensesync (its schema is {version}, this one knows "
            f"{migrations.VERSION}); install that version or a later one"
        )
    if version == 0 and connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
        raise LedgerError(f"{path} is a database of another program; name another file with ledger: in the settings")
    return version


def _must_be_whole(path: Path, connection: Connection) -> None:
    with connection.begin():
        damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if damage != "ok":
        raise LedgerError(f"the ledger {path} {_WHY['SQLITE_CORRUPT']} ({damage})")
