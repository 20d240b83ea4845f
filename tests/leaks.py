"""Looks for the credentials of the tests in whatever the program has left behind or printed."""

from __future__ import annotations

import errno
import os
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

from fleets import CALLBACK_CREDENTIALS, CREDENTIALS

SECRETS = tuple(
    secret.encode()
    for secret in (
        *CREDENTIALS.values(),
        *CALLBACK_CREDENTIALS.values(),
        b64encode(f"{CREDENTIALS['THINGSPACE_KEY']}:{CREDENTIALS['THINGSPACE_SECRET']}".encode()).decode(),
    )
)
KEPT_ON_PURPOSE = ("thingspace-", "secret-file")
"""How files are called in which a test keeps a credential for the program to read."""


def leaked(written: bytes) -> bool:
    return any(secret in written for secret in SECRETS)


def leaking_files(folder: Path) -> Iterator[Path]:
    """The files below a folder, ledgers and logs among them, that hold a credential."""
    for path in _files(folder):
        if not path.name.startswith(KEPT_ON_PURPOSE) and leaked(_content(path)):
            yield path


def _content(path: Path) -> bytes:
    try:
        return b"" if _is_a_hole(path) else path.read_bytes()
    except FileNotFoundError:  # SQLite takes its two other files away in a thread's own time
        return b""


def _is_a_hole(path: Path) -> bool:
    """Whether no byte of it was ever written: nothing but zeros, and sometimes hundreds of megabytes of them."""
    with path.open("rb") as file:
        try:
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError as error:
            return error.errno == errno.ENXIO
    return False


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and ".git" not in path.parts)
