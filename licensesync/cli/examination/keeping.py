"""Checks what is kept on this machine: the ledger, its locks, its disk."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from licensesync.cli.examination.told import NO_SETTINGS, with_advice
from licensesync.errors import LedgerError
from licensesync.ledger import database, lock, migrations
from licensesync.ledger.presence import exists
from licensesync.model import Check
from licensesync.settings import Settings

LEDGER: Final = "ledger"
RIGHTS: Final = "ledger rights"
LOCK: Final = "lock"
SERVICE: Final = "service"
DISK: Final = "disk"

SCARCE: Final = 100 * 2**20
"""Bytes: fewer are soon used up by the history of a large fleet."""


def checks(found: Settings | None, environ: Mapping[str, str]) -> list[Check]:
    """The ledger is looked at and never made."""
    if found is None:
        return [Check.skipped(LEDGER, NO_SETTINGS)]
    path = found.ledger_path(environ)
    folder = path.resolve().parent
    if not os.path.isdir(folder):
        return [Check.problem(LEDGER, f"it cannot be made: there is no folder {folder}", "create it")]
    return [
        _ledger(path),
        _rights(path, folder),
        _lock(path),
        _service(path),
        room(folder, shutil.disk_usage(folder).free),
    ]


def room(folder: Path, free: int) -> Check:
    """Whether so many free bytes are enough for the folder of a ledger."""
    found = f"{free / 2**20:,.0f} MB free at {folder}"
    if free < SCARCE:
        return Check.warning(DISK, found, "make room: what the ledger cannot record is not sent")
    return Check.ok(DISK, found)


def _ledger(path: Path) -> Check:
    try:
        if not exists(path):
            return Check.ok(LEDGER, f"none yet at {path}: the first apply or serve makes it")
        version = database.examined(path)
    except LedgerError as error:
        return with_advice(LEDGER, error)
    old = f"; the next apply brings it to version {migrations.VERSION}" if version < migrations.VERSION else ""
    return Check.ok(LEDGER, f"{path}: undamaged, version {version}{old}")


def _rights(path: Path, folder: Path) -> Check:
    """As this user, who should be that of the service."""
    where = [folder, path] if os.path.lexists(path) else [folder]
    if barred := [str(each) for each in where if not os.access(each, os.W_OK)]:
        found = f"this user may not write {' and '.join(barred)}"
        return Check.problem(RIGHTS, found, "give it that right, or run doctor as the user who runs apply and serve")
    if exposed := [str(each) for each in where if each.exists() and each.stat().st_mode & stat.S_IWOTH]:
        found = f"everybody may write {' and '.join(exposed)}, and so change what is remembered"
        return Check.warning(RIGHTS, found, f"chmod o-w {' '.join(exposed)}, or keep the ledger elsewhere")
    if path.exists() and path.stat().st_mode & stat.S_IROTH:
        return Check.warning(RIGHTS, f"everybody may read {path}, which names the devices", f"chmod o-r {path}")
    return Check.ok(RIGHTS, f"this user may write {' and '.join(map(str, where))}")


def _lock(path: Path) -> Check:
    try:
        holder = lock.holder(path)
    except LedgerError as error:
        return with_advice(LOCK, error)
    return Check.ok(LOCK, f"held by {holder}" if holder else "free")


def _service(path: Path) -> Check:
    """A service that does not run is none of a run's needs, and worth knowing."""
    try:
        holder = lock.holder(path, lock.SERVICE)
    except LedgerError as error:
        return with_advice(SERVICE, error)
    return Check.ok(SERVICE, f"runs: {holder}" if holder else "licensesync serve does not run with this ledger")
