"""One run at a time for a ledger: a lock that the kernel gives back with the process that held it.

`flock` goes by the open file, so neither a process id that is used again nor a file that was left behind can fool it.
What stands in the file is only read to say who holds it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from licensesync.errors import LedgerError, Locked

OWNER_ONLY = 0o600
SETTLES = 0.5
MOMENT = 0.02  # for which `is_held` may have the lock at most
LONGEST = 4096


RUN = "run"
SERVICE = "serve"


@contextmanager
def held(ledger: Path, command: str, now: datetime, whose: str = RUN) -> Iterator[None]:
    """The ledger's lock of a run, or the one of a service, held by this process until the end.

    Raises Locked, or LedgerError if there can be none.
    """
    path = _file(ledger, whose)
    if not path.parent.is_dir():
        raise LedgerError(f"the ledger {ledger} cannot be made: there is no folder {path.parent}; create it")
    try:
        file = _locked(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise LedgerError(f"the ledger's lock {path} is a link; see who made it, and remove it") from error
        raise LedgerError(
            f"the ledger's lock {path} cannot be made or opened: {error.strerror}; give this user the right to write "
            "it and its folder"
        ) from error
    if file is None:
        raise Locked(f"another {whose} holds the lock of {ledger}: {_holder(path)}; wait for its end, or stop it")
    try:
        _introduce(file, path, command, now)
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(file, 0)
        os.close(file)


def is_held(ledger: Path, whose: str = RUN) -> bool:
    """Whether a process is known to hold the lock now."""
    try:
        return holder(ledger, whose) is not None
    except LedgerError:
        return False


def holder(ledger: Path, whose: str = RUN) -> str | None:
    """Who holds the ledger's lock, in words; None where nobody does. Nothing is made. Raises LedgerError.

    A lock that nobody has introduced himself in is not tried: that alone could be in a run's way.
    """
    path = _file(ledger, whose)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(
            f"the ledger's lock {path} cannot be read: {error.strerror}; see that this user may"
        ) from error
    try:
        if os.fstat(file).st_size:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path)
    finally:
        os.close(file)
    return None


def _file(ledger: Path, whose: str) -> Path:
    ledger, name = ledger.resolve(), {RUN: "lock", SERVICE: "serve.lock"}[whose]
    return ledger.with_name(f"{ledger.name}.{name}")


def _locked(path: Path) -> int | None:
    """The locked file, or None if another process has it. A file that was removed meanwhile locks nobody out."""
    last_try = time.monotonic() + MOMENT
    while True:
        # Whoever can put a link into the folder shall not have us write to where it leads.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, OWNER_ONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            if time.monotonic() > last_try:
                return None
            time.sleep(MOMENT / 2)
            continue
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)


def _introduce(file: int, path: Path, command: str, now: datetime) -> None:
    holder = {
        "command": command,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(holder).encode(), 0)
    except OSError as error:
        raise LedgerError(f"the ledger's lock {path} cannot be written: {error.strerror}; make room") from error


def _holder(path: Path) -> str:
    """Who holds the lock, in words; a holder that has just come has not introduced itself yet."""
    ends = time.monotonic() + SETTLES
    while True:
        with suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(path.read_bytes()[:LONGEST])
            return f"licensesync {told['command']}, process {told['pid']} on {told['host']}, since {told['since']}"
        if time.monotonic() > ends:
            return "it does not say who it is"
        time.sleep(0.05)
