"""Checks the credentials: that each is there, where it comes from, and who else may read it; never what it is."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from licensesync import credentials
from licensesync.cli.examination.told import with_advice
from licensesync.errors import CredentialsError
from licensesync.model import Check, Product
from licensesync.settings import Settings

WEBHOOK_URL: Final = "WEBHOOK_URL"


def checks(found: Settings | None, environ: Mapping[str, str]) -> list[Check]:
    """One for each credential that is needed; without settings, those that always are."""
    return [_checked(name, environ) for name in _needed(found)]


def _needed(found: Settings | None) -> Iterator[str]:
    yield from credentials.NAMES
    if found and any(pool.product is Product.SIM_SECURE for pool in found.pools.values()):
        yield from credentials.CALLBACK_NAMES
    if found and found.notifications and found.notifications.webhook is None:
        yield WEBHOOK_URL


def _checked(name: str, environ: Mapping[str, str]) -> Check:
    try:
        credentials.must_be_usable(name, environ)
        file = credentials.file_of(name, environ)
        return _from_file(name, file) if file else Check.ok(name, "from the variable of that name")
    except CredentialsError as error:
        return with_advice(name, error)
    except OSError as error:
        return Check.problem(
            name, f"{error.filename}: {error.strerror}", "give this user the right to look into that folder"
        )


def _from_file(name: str, file: Path) -> Check:
    if file.stat().st_mode & stat.S_IROTH:
        return Check.warning(name, f"from the file {file}, which everybody may read", f"chmod o-r {file}")
    return Check.ok(name, f"from the file {file}")
