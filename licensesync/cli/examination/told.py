"""How what went wrong becomes a check: what was found, and what to do."""

from __future__ import annotations

from typing import Final

from licensesync.errors import (
    ApiError,
    LicenseSyncError,
    LoginRejected,
    LoginSpent,
    NoSuchResource,
    Unauthorized,
    UnexpectedReply,
)
from licensesync.model import Check

NO_SETTINGS: Final = "the settings have problems"
NONE_FREE: Final = "devices wait for a license until more are bought"

_AGAIN = "run doctor again; if it stays so, some other program uses this key or user: give licensesync its own"
_LATER = "try again later; if it stays so, see whether the service is up and the way to it is open"
_ELSEWHERE = "see that thingspace.url is that of ThingSpace"
_ACCOUNT = "compare the account with the one that ThingSpace shows, and see that this user and this key may use it"


def with_advice(check: str, error: LicenseSyncError) -> Check:
    """The problem that an error is whose message ends with what to do."""
    found, _, do = str(error).rpartition("; ")
    return Check.problem(check, found or do, do if found else "")


def failed(check: str, error: ApiError) -> Check:
    """A question to the service that has no good answer."""
    if isinstance(error, LoginSpent):
        return Check.skipped(check, "the service does not accept the one login that was made")
    if isinstance(error, LoginRejected | NoSuchResource) or error.status == 403 or 300 <= (error.status or 0) < 400:
        return with_advice(check, error)
    return Check.problem(check, str(error), _advice(error))


def _advice(error: ApiError) -> str:
    if isinstance(error, Unauthorized):
        return _AGAIN
    if isinstance(error, UnexpectedReply):
        return _ELSEWHERE
    return _LATER if error.transient else _ACCOUNT
