"""What ThingSpace's words about one device in a FOTA write mean: done, rejected, or to be looked up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from licensesync.model import Action, Outcome, OutcomeKind, OutcomeReason, Verb
from licensesync.thingspace.batch_errors import is_out_of_licenses
from licensesync.thingspace.fota_calls import VerdictRow
from licensesync.thingspace.wire import excerpt, moment

ALREADY = {Verb.ASSIGN: "device license preexisting", Verb.REMOVE: "no license attached"}

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
    if verb is Verb.ASSIGN and is_out_of_licenses(words):
        return OutcomeReason.NO_CAPACITY
    return OutcomeReason.REJECTED_BY_SERVICE
