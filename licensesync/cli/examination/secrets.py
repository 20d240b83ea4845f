"""Checks the credentials: that each is there, where it comes from, and who else may read it; never what it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from licensesync import credentials
from licensesync.cli.examination.told import with_advice
from licensesync.errors import CredentialsError, ProvenanceError
from licensesync.model import Check, Product
from licensesync.origin import deploy_key
from licensesync.settings import Settings
from licensesync.sources import GitSource

OTHERS_MAY: Final[Mapping[int, str]] = {stat.S_IROTH: "read", stat.S_IWOTH: "change"}


def checks(found: Settings | None, environ: Mapping[str, str]) -> list[Check]:
    """One for each credential that is needed or given; without settings, those that always are needed."""
    named = [_checked(name, environ) for name in _needed(found, environ)]
    return [*named, *_deploy_key(found, environ), *_certificate_key(found)]


def _needed(found: Settings | None, environ: Mapping[str, str]) -> Iterator[str]:
    yield from credentials.NAMES
    if found and any(pool.product is Product.SIM_SECURE for pool in found.pools.values()):
        yield from credentials.CALLBACK_NAMES
    if found and found.notifications:
        url, token = credentials.WEBHOOK_NAMES
        if found.notifications.webhook is None:
            yield url
        if _is_given(token, environ):
            yield token


def _is_given(name: str, environ: Mapping[str, str]) -> bool:
    try:
        return bool(credentials.file_of(name, environ) or environ.get(name))
    except OSError:
        return True


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


def _deploy_key(found: Settings | None, environ: Mapping[str, str]) -> Iterator[Check]:
    """Of a git remote, if it has one: git reads it, and nobody here."""
    if not found or not isinstance(found.inventory, GitSource):
        return
    try:
        key = deploy_key(found.inventory, environ)
    except ProvenanceError as error:
        yield with_advice(credentials.DEPLOY_KEY, error)
        return
    if key and os.access(key, os.R_OK):
        yield _from_file(credentials.DEPLOY_KEY, key)
    elif key:
        yield Check.problem(
            credentials.DEPLOY_KEY, f"{key} cannot be read", "put the key there, and let this user read it"
        )


def _certificate_key(found: Settings | None) -> Iterator[Check]:
    """Of the callback listener, if it speaks TLS itself; whether it is of any use, the listener tells."""
    if found and found.callbacks and found.callbacks.tls and found.callbacks.tls.key.exists():
        yield _from_file("callbacks.tls.key", found.callbacks.tls.key)


def _from_file(name: str, file: Path) -> Check:
    mode = stat.S_IMODE(file.stat().st_mode)
    found = f"from the file {file}, mode {mode:04o}"
    if others := " and ".join(right for bit, right in OTHERS_MAY.items() if mode & bit):
        return Check.warning(name, f"{found}, which everybody may {others}", f"chmod o-rw {file}")
    return Check.ok(name, found)
