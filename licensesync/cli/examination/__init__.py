"""A check-up of the whole set-up: all that can be checked is, and what cannot be says because of what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from licensesync import settings
from licensesync.cli.examination import keeping, network, notified, secrets, written
from licensesync.errors import SettingsError
from licensesync.model import Check
from licensesync.settings import Draft


def examine(option: str | None, environ: Mapping[str, str], cwd: Path) -> list[Check]:
    """Every check in the order in which people would look; `option` is what names the settings, if anything does.

    Nothing is written but the mirror of a git remote, and a rejected login to a ledger that is there.
    """
    file, draft = _read(option, environ, cwd)
    return [
        *written.of_settings(file, draft),
        written.of_inventory(file, draft, environ),
        *secrets.checks(draft.settings, environ),
        *keeping.checks(draft.settings, environ),
        notified.checked(draft.settings, environ),
        *network.checks(draft.settings, environ),
    ]


def _read(option: str | None, environ: Mapping[str, str], cwd: Path) -> tuple[Path, Draft]:
    try:
        file = settings.find(option, environ, cwd)
    except SettingsError as missing:
        return cwd, Draft(missing.problems)
    return file.absolute(), settings.draft(file)
