"""What ThingSpace's words about one device in a FOTA write mean: done, rejected, or to be looked up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import NamedTuple

from licensesync.model import Action, Outcome, OutcomeKind, OutcomeReason, Verb
from licensesync.thingspace.batch_errors import is_out_of_licenses
from licensesync.thingspace.fota_calls import VerdictRow
from licensesync.thingspace.wire import excerpt, moment

ALREADY = {Verb.ASSIGN: "device license preexisting", Verb.REMOVE: "no license attached"}

_ESTIMATE = re.compile(r"scheduled for (\d\d?) ([a-z]{3}) (?:20)?(\d\d) (\d\d?):(\d\d) UTC", re.IGNORECASE | re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NOT_FOUND = re.compile(r"device (was )?not found|device does not exist", re.IGNORECASE)


def of_answer(
    batch: Sequence[Action], rows: Iterable[VerdictRow], at: datetime, redacted: Callable[[str], str]
) -> list[Outcome]:
    """The outcome that the answer's rows stand for, for each action of a batch; `unknown` where they do not settle it.

    What is quoted of the service's words is `redacted`.
    """
    told: dict[str, list[VerdictRow]] = {}
    for row in rows:
        told.setdefault(row.deviceId, []).append(row)
    meaning = cache(partial(_meaning, redacted))  # most rows of an answer say the same
    return [_of_rows(action, told.get(action.device, ()), at, meaning) for action in batch]


class _Meaning(NamedTuple):
    """What words about a device mean, and what is quoted of them."""

    kind: OutcomeKind
    reason: OutcomeReason | None
    words: str
    retry_at: datetime | None = None


def _of_rows(
    action: Action, rows: Sequence[VerdictRow], at: datetime, meaning: Callable[[Verb, str, str, str | None], _Meaning]
) -> Outcome:
    if not rows:
        return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.NO_ROW)
    meanings = [meaning(action.verb, row.status or "", row.words, row.nextAttemptTime) for row in rows]
    kind, reason, words, retry_at = meanings[0]
    if len({each.kind for each in meanings}) > 1:
        words = excerpt("; ".join(each.words for each in meanings))
        return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.UNDOCUMENTED_WORD, words)
    return Outcome(action, kind, at, reason, words, retry_at)


def _meaning(
    redacted: Callable[[str], str], verb: Verb, status: str, reason: str, next_attempt: str | None
) -> _Meaning:
    words, told = excerpt(reason or status), status.lower()
    quoted = excerpt(redacted(reason or status))  # in this order: of a secret that is cut a part would be left
    retry_at = moment(next_attempt)
    if ALREADY[verb] in words.lower():
        return _Meaning(OutcomeKind.DONE, OutcomeReason.ALREADY, quoted)
    if "success" in told and "unsuccess" not in told:
        return _Meaning(OutcomeKind.DONE, None, quoted)
    if "fail" in told:
        return _Meaning(OutcomeKind.REJECTED, _why_rejected(verb, words), quoted, retry_at)
    if "upgradepending" in told.replace(" ", ""):
        return _Meaning(OutcomeKind.UNKNOWN, OutcomeReason.UPGRADE_PENDING, quoted, retry_at or _estimate(words))
    return _Meaning(OutcomeKind.UNKNOWN, OutcomeReason.UNDOCUMENTED_WORD, quoted, retry_at)


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
