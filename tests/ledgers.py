"""The ledger of a fleet as an outsider sees it: its file, its rows by plain SQLite, and runs under limits."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from fleets import CREDENTIALS, Ended, Fleet, clean_environ
from warm import Program

UNLIMITED = "    removals: {count: 1000000, percent: 100, per_day: 1000000}\n"
"""Lines of a pool's settings: the guard lets everything pass."""

_BOUNDING_SET_DROP = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2

Before = Callable[[], object]
"""What a process does before the program starts in it."""


async def started(fleet: Fleet, *arguments: str, before: Before) -> asyncio.subprocess.Process:
    """Start `licensesync` in the fleet's folder, after `before` was done in its process."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "licensesync",
        *arguments,
        cwd=fleet.folder,
        env={**clean_environ(), **CREDENTIALS},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=before,
    )


async def ended(process: asyncio.subprocess.Process | Program) -> Ended:
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def run(fleet: Fleet, *arguments: str, before: Before) -> Ended:
    """Run `licensesync` to its end, after `before` was done in its process."""
    return await ended(await started(fleet, *arguments, before=before))


async def run_without_room(fleet: Fleet, *arguments: str, above: int) -> Ended:
    """Run `licensesync` to its end; no file may grow beyond so many bytes, as if the disk were full then."""
    return await ended(await fleet.start_bound(*arguments, largest_file=above))


def without_privilege() -> None:
    """Root obeys the modes of its files from here on, as anybody else does."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
            libc.prctl(_BOUNDING_SET_DROP, capability, 0, 0, 0)


def keep_in(fleet: Fleet, place: str) -> Path:
    """The ledger is there from now on, by a line in the settings; its path."""
    settings = fleet.folder / "licensesync.yaml"
    settings.write_text(settings.read_text() + f"ledger: sqlite:///{place}\n")
    return fleet.folder / place


def query(ledger: Path, statement: str, *values: object) -> list[Any]:
    """The rows of a query, by SQLite alone."""
    with closing(sqlite3.connect(ledger)) as connection:
        return connection.execute(statement, values).fetchall()


def execute(ledger: Path, statement: str) -> None:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(statement)


def content(ledger: Path) -> list[str]:
    """All that a ledger holds, as SQL."""
    with closing(sqlite3.connect(ledger)) as connection:
        return list(connection.iterdump())


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
