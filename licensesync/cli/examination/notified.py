"""Checks where notifications would go, of which none is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from licensesync.cli.examination.told import NO_SETTINGS, with_advice
from licensesync.credentials import webhook_credentials
from licensesync.daemon.webhook import Undelivered, webhook
from licensesync.errors import CredentialsError
from licensesync.model import Check
from licensesync.notices import Notifications
from licensesync.settings import Settings

NOTIFICATIONS: Final = "notifications"


def checked(found: Settings | None, environ: Mapping[str, str]) -> Check:
    """The host alone is told: the rest of the address may be a secret."""
    if found is None:
        return Check.skipped(NOTIFICATIONS, NO_SETTINGS)
    if found.notifications is None:
        return Check.ok(NOTIFICATIONS, "off")
    if not _can_be_known(found.notifications, environ):
        return Check.skipped(NOTIFICATIONS, "a credential is missing or not usable")
    try:
        to = webhook(found.notifications, environ, insecure=found.thingspace.insecure)
    except Undelivered as error:
        return with_advice(NOTIFICATIONS, error)
    token = "with" if to.token else "without"
    return Check.ok(NOTIFICATIONS, f"for {to.host}, as {to.form}, {token} a token; doctor sends none")


def _can_be_known(wanted: Notifications, environ: Mapping[str, str]) -> bool:
    try:
        return bool(webhook_credentials(environ).url or wanted.webhook)
    except (CredentialsError, OSError):
        return False
