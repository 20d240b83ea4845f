"""The rows of batches: one for each action before it is sent, which then holds what became of it.

Many rows are one statement. SQLite carries it out without Python's lock, so that the program goes on meanwhile; row by
row, it would have to get the lock back after each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete

from licensesync.ledger.schema import as_moment, as_words, outcomes
from licensesync.model import Action, DeviceId, Outcome, OutcomeKind, OutcomeReason, iccid_of, imei_of

_Row = tuple[str | None, ...]

AT_ONCE: Final = 1000
"""Rows of one statement: SQLite takes no more than 32 766 values for one. https://www.sqlite.org/limits.html"""

_SENT = """
INSERT INTO outcomes (pool_run_id, outcome, reason, at, in_flight, device, iccid, verb, "group", place, mark)
SELECT ?, ?, ?, ?, true, * FROM (VALUES {rows})
"""
_SETTLED = """
UPDATE outcomes SET
    outcome = told.column3, reason = told.column4, service = told.column5, at = told.column6,
    retry_at = told.column7, request = told.column8, in_flight = false
FROM (VALUES {rows}) AS told
WHERE pool_run_id = ? AND device = told.column1 AND iccid IS told.column2
"""
_TAKE_BACK = delete(outcomes).where(
    and_(
        outcomes.c.pool_run_id == bindparam("of_run"),
        outcomes.c.device == bindparam("of_device"),
        outcomes.c.iccid.is_not_distinct_from(bindparam("of_iccid")),
    )
)


def keep_sent(
    connection: Connection,
    pool_run: int,
    batch: Sequence[Action],
    now: datetime,
    mark: Callable[[DeviceId], str | None],
) -> None:
    """These actions are in flight from now on: what becomes of them is not known."""
    alike = pool_run, OutcomeKind.UNKNOWN.value, OutcomeReason.NO_ANSWER.value, as_moment(now)
    rows = [_sent_row(action, mark(action.device)) for action in batch]
    for some in _parts(rows):
        connection.exec_driver_sql(_of_rows(_SENT, len(some), len(some[0])), (*alike, *chain.from_iterable(some)))


def keep_settled(connection: Connection, pool_run: int, settled: Collection[Outcome]) -> None:
    """What became of actions that were kept as sent, of however many batches."""
    moment = cache(as_moment)  # an answer has one time for all
    rows = [_settled_row(outcome, moment) for outcome in settled]
    for some in _parts(rows):
        connection.exec_driver_sql(_of_rows(_SETTLED, len(some), len(some[0])), (*chain.from_iterable(some), pool_run))


def take_back(connection: Connection, pool_run: int, actions: Collection[Action]) -> None:
    """These were kept as sent, and were not sent in the end."""
    rows = [
        {"of_run": pool_run, "of_device": imei_of(each.device), "of_iccid": iccid_of(each.device)} for each in actions
    ]
    if rows:
        connection.execute(_TAKE_BACK, rows)


def _parts(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


@lru_cache(maxsize=64)  # batches are alike in size but for the last of each verb
def _of_rows(statement: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(rows=", ".join([row] * rows))


def _sent_row(action: Action, mark: str | None) -> _Row:
    place = as_words(None if action.place is None else str(action.place))
    return imei_of(action.device), iccid_of(action.device), action.verb.value, action.group, place, mark


def _settled_row(outcome: Outcome, moment: Callable[[datetime | None], str | None]) -> _Row:
    device = outcome.action.device
    return (
        imei_of(device),
        iccid_of(device),
        outcome.kind.value,
        outcome.reason and outcome.reason.value,
        as_words(outcome.service),
        moment(outcome.at),
        moment(outcome.retry_at),
        outcome.request,
    )
