"""What ThingSpace's words about one device in a FOTA write mean: done, rejected, or to be looked up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from licensesync.errors import ApiError, LoginRejected, LoginUnavailable, RateLimited, RequestRejected, Unauthorized
from licensesync.model import Action, Outcome, OutcomeKind, OutcomeReason, Verb
from licensesync.thingspace.fota_calls import VerdictRow
from licensesync.thingspace.wire import excerpt, moment

FOR_WHAT_WAS_SENT = frozenset({400, 413, 422})

ALREADY = {Verb.ASSIGN: "device license preexisting", Verb.REMOVE: "no license attached"}

_OUT_OF_LICENSES = re.compile(
    r"insufficient\w*\W*licen[sc]e|licen[sc]es?\b.*\b(exceed|exhausted|not available|unavailable|insufficient)"
    r"|(not enough|no more|no available|no unused|exceeds?|exceeded)\b.*\blicen[sc]e"
    r"|\bno licen[sc]es?\b.*\b(available|left|free|remaining)",
    re.IGNORECASE,
)
_ABOUT_ACCOUNT = re.compile(r"account|verification failure", re.IGNORECASE)
_ABOUT_DEVICE = re.compile(r"\.Device\.|DeviceNotFound|NumberofDevices", re.IGNORECASE)
_ESTIMATE = re.compile(r"scheduled for (\d\d?) ([a-z]{3}) (?:20)?(\d\d) (\d\d?):(\d\d) UTC", re.IGNORECASE | re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NOT_FOUND = re.compile(r"device (was )?not found|device does not exist", re.IGNORECASE)


def of_rows(action: Action, rows: Sequence[VerdictRow], at: datetime) -> Outcome:
    """The outcome that the answer's rows about one device stand for; `unknown` where they do not settle it."""
    if not rows:
        return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.NO_ROW)
    outcomes = [_of_row(action, row, at) for row in rows]
    if len({outcome.kind for outcome in outcomes}) > 1:
        words = excerpt("; ".join(outcome.service or "" for outcome in outcomes))
        return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.UNDOCUMENTED_WORD, words)
    return outcomes[0]


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
    if action.verb is Verb.ASSIGN and _OUT_OF_LICENSES.search(words):
        return Outcome(action, OutcomeKind.FAILED, at, OutcomeReason.NO_CAPACITY, words)
    return Outcome(action, OutcomeKind.FAILED, at, OutcomeReason.ACCOUNT_REJECTED, words)


def may_be_for_one_device(error: ApiError) -> bool:
    """Whether a batch may have been rejected for one of its devices, and not for the account or its licenses."""
    words = str(error)
    if not isinstance(error, RequestRejected) or error.status not in FOR_WHAT_WAS_SENT:
        return False
    about_all = _OUT_OF_LICENSES.search(words) or _ABOUT_ACCOUNT.search(words)
    return bool(_ABOUT_DEVICE.search(error.code)) or not about_all


def _of_row(action: Action, row: VerdictRow, at: datetime) -> Outcome:
    status, words = (row.status or "").lower(), excerpt(row.words or row.status or "")
    retry_at = moment(row.nextAttemptTime)
    if ALREADY[action.verb] in words.lower():
        return Outcome(action, OutcomeKind.DONE, at, OutcomeReason.ALREADY, words)
    if "success" in status and "unsuccess" not in status:
        return Outcome(action, OutcomeKind.DONE, at, None, words)
    if "fail" in status:
        return Outcome(action, OutcomeKind.REJECTED, at, _why_rejected(action.verb, words), words, retry_at)
    if "upgradepending" in status.replace(" ", ""):
        time = retry_at or _estimate(words)
        return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.UPGRADE_PENDING, words, time)
    return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.UNDOCUMENTED_WORD, words, retry_at)


def _estimate(words: str) -> datetime | None:
    """The time that the words of a pending upgrade name, "… estimated to be scheduled for 06 Oct 22 18:05 UTC"."""
    if not (named := _ESTIMATE.search(words)):
        return None
    day, month, year, hour, minute = named.groups()
    try:
        return datetime(
            2000 + int(year), _MONTHS.index(month.lower()) + 1, int(day), int(hour), int(minute), tzinfo=UTC
        )
    except ValueError:
        return None


def _why_rejected(verb: Verb, words: str) -> OutcomeReason:
    if _NOT_FOUND.search(words):
        return OutcomeReason.DEVICE_NOT_FOUND
    if verb is Verb.ASSIGN and _OUT_OF_LICENSES.search(words):
        return OutcomeReason.NO_CAPACITY
    return OutcomeReason.REJECTED_BY_SERVICE
