"""The settings and their ledger, opened for a command that looks back: no credentials, no inventory, no lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from licensesync import settings
from licensesync.cli.options import Globals
from licensesync.ledger.presence import exists
from licensesync.settings import Settings

if TYPE_CHECKING:
    from licensesync.ledger.database import Ledger


@dataclass(frozen=True, slots=True)
class Past:
    """What is known without asking the service; `ledger` is None where there is none at `path` yet."""

    settings: Settings
    path: Path
    ledger: Ledger | None


@contextmanager
def looked_at(options: Globals) -> Iterator[Past]:
    """The past as of now, whatever a run writes meanwhile. Raises LedgerError for a ledger that cannot be used."""
    found, path = located(options)
    if not exists(path):
        yield Past(found, path, None)
        return

    from licensesync.ledger import database

    with database.read(path) as ledger:
        yield Past(found, path, ledger)


def located(options: Globals) -> tuple[Settings, Path]:
    """The settings, and where their ledger is or would be."""
    found = settings.load(settings.find(options.settings, os.environ, Path.cwd()))
    return found, found.ledger_path(os.environ)
