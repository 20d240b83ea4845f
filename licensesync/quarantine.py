"""Decides which devices are set aside after hard failures, and for how long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from licensesync.model import Outcome, OutcomeKind, OutcomeReason, Verb

EQUAL_FAILURES = 3
GAPS = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=3), timedelta(weeks=1))
"""How long a device is set aside the first time, the second, …; the last for every further time."""

_CHANGES_EACH_TIME = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class HardFailures:
    """Equal hard failures in a row of one device: what the service said of it, how often, set aside until when.

    `mark` is that of the inventory entry that failed: another entry begins afresh.
    """

    verb: Verb
    reason: OutcomeReason
    words: str
    failures: int
    first_at: datetime
    last_at: datetime
    until: datetime | None
    mark: str


def after(known: HardFailures | None, outcome: Outcome, mark: str) -> HardFailures | None:
    """What is known of a device's hard failures after an outcome; None where there is nothing to remember.

    Success ends the row. What is no hard failure (nobody knows, nobody answered, no license was free, the service goes
    on with it) neither ends nor lengthens it.
    """
    if outcome.kind is OutcomeKind.DONE:
        return None
    if not _is_hard(outcome):
        return known
    fresh = HardFailures(outcome.action.verb, _reason(outcome), _words(outcome), 1, outcome.at, outcome.at, None, mark)
    if known is None or not _is_equal(known, fresh):
        return fresh
    failures = known.failures + 1
    until = outcome.at + _gap(failures) if failures >= EQUAL_FAILURES else None
    return HardFailures(known.verb, known.reason, known.words, failures, known.first_at, outcome.at, until, mark)


def _is_hard(outcome: Outcome) -> bool:
    return outcome.kind is OutcomeKind.REJECTED and outcome.reason is not OutcomeReason.NO_CAPACITY


def _is_equal(known: HardFailures, fresh: HardFailures) -> bool:
    return (known.verb, known.reason, known.words, known.mark) == (fresh.verb, fresh.reason, fresh.words, fresh.mark)


def _reason(outcome: Outcome) -> OutcomeReason:
    return outcome.reason or OutcomeReason.REJECTED_BY_SERVICE


def _words(outcome: Outcome) -> str:
    """The service's words where no fixed word says what they mean, without what changes from one time to the next."""
    if outcome.reason not in {None, OutcomeReason.REJECTED_BY_SERVICE}:
        return ""
    return _CHANGES_EACH_TIME.sub("#", (outcome.service or "").casefold())


def _gap(failures: int) -> timedelta:
    return GAPS[min(failures - EQUAL_FAILURES, len(GAPS) - 1)]
