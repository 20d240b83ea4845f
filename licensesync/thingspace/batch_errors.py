"""What an error in answer to a whole batch means for its devices: failed, unknown, or one of them is the reason."""

from __future__ import annotations

import re
from datetime import datetime

from licensesync.errors import ApiError, LoginRejected, LoginUnavailable, RateLimited, RequestRejected, Unauthorized
from licensesync.model import Action, Outcome, OutcomeKind, OutcomeReason, Verb

FOR_WHAT_WAS_SENT = frozenset({400, 413, 422})

_OUT_OF_LICENSES = re.compile(
    r"insufficient\w*\W*licen[sc]e|licen[sc]es?\b.*\b(exceed|exhausted|not available|unavailable|insufficient)"
    r"|(not enough|no more|no available|no unused|exceeds?|exceeded)\b.*\blicen[sc]e"
    r"|\bno licen[sc]es?\b.*\b(available|left|free|remaining)",
    re.IGNORECASE,
)
_ABOUT_ACCOUNT = re.compile(r"account|verification failure", re.IGNORECASE)
_ABOUT_DEVICE = re.compile(r"\.Device\.|DeviceNotFound|NumberofDevices", re.IGNORECASE)


def of_error(action: Action, error: ApiError, at: datetime) -> Outcome:
    """The outcome that a batch's error stands for; `unknown` where the write may have taken effect."""
    words = str(error)
    if error.leaves_write_unknown:
        return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.NO_ANSWER, words)
    if isinstance(error, LoginRejected):
        return Outcome(action, OutcomeKind.FAILED, at, OutcomeReason.CREDENTIALS_REJECTED, words)
    if isinstance(error, Unauthorized | LoginUnavailable):
        return Outcome(action, OutcomeKind.FAILED, at, OutcomeReason.NOT_LOGGED_IN, words)
    if isinstance(error, RateLimited):
        return Outcome(action, OutcomeKind.FAILED, at, OutcomeReason.RATE_LIMITED, words)
    if action.verb is Verb.ASSIGN and is_out_of_licenses(words):
        return Outcome(action, OutcomeKind.FAILED, at, OutcomeReason.NO_CAPACITY, words)
    return Outcome(action, OutcomeKind.FAILED, at, OutcomeReason.ACCOUNT_REJECTED, words)


def may_be_for_one_device(error: ApiError) -> bool:
    """Whether a batch may have been rejected for one of its devices, and not for the account or its licenses."""
    words = str(error)
    if not isinstance(error, RequestRejected) or error.status not in FOR_WHAT_WAS_SENT:
        return False
    about_all = is_out_of_licenses(words) or _ABOUT_ACCOUNT.search(words)
    return bool(_ABOUT_DEVICE.search(error.code)) or not about_all


def is_out_of_licenses(words: str) -> bool:
    """Whether these words of the service say that there are no licenses left."""
    return _OUT_OF_LICENSES.search(words) is not None
