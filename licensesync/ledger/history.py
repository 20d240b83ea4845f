"""What the ledger tells of the past: runs, how pools stood, outcomes, devices in quarantine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, func, select

from licensesync.ledger import earlier, failures
from licensesync.ledger.schema import outcomes, pool_runs, refusals, runs
from licensesync.model import (
    UNFINISHED,
    Capacity,
    InventoryInfo,
    OutcomeKind,
    OutcomeRecord,
    Pool,
    PoolRecord,
    QuarantineRecord,
    Reading,
    Refusal,
    Rule,
    RunRecord,
    RunVerdict,
    Verb,
    Wanted,
    iccid_of,
    imei_of,
)

AT_ONCE = 5_000
LONGEST_IMEI = 16


def last_run(connection: Connection) -> RunRecord | None:
    """The run that began last."""
    row = connection.execute(select(runs).order_by(runs.c.id.desc()).limit(1)).one_or_none()
    return _run(row) if row else None


def count_runs(connection: Connection, wanted: Wanted) -> int:
    """How many runs are wanted."""
    return connection.execute(select(func.count()).select_from(_runs(wanted).subquery())).scalar_one()


def each_run(
    connection: Connection, wanted: Wanted, limit: int | None = None
) -> Iterator[tuple[RunRecord, list[PoolRecord]]]:
    """The runs that are wanted, or the last of them, oldest first, each with its pools; read as they are taken."""
    query = _last(_runs(wanted), runs.c.id, limit).order_by(runs.c.id)
    for part in connection.execute(query).partitions(AT_ONCE):
        found = [_run(row) for row in part]
        pools = pools_of(connection, [run.run for run in found])
        yield from ((run, pools[run.run]) for run in found)


def pools_of(connection: Connection, run_names: Sequence[str]) -> Mapping[str, list[PoolRecord]]:
    """How the pools of some runs ended, by run."""
    found: dict[str, list[PoolRecord]] = {name: [] for name in run_names}
    for start in range(0, len(run_names), AT_ONCE):
        of_runs = runs.c.run.in_(run_names[start : start + AT_ONCE])
        for row in connection.execute(_pools().where(of_runs).order_by(pool_runs.c.id)):
            found[row.run].append(_pool(row))
    return found


def knows_pool(connection: Connection, name: str) -> bool:
    """Whether a run ever reached a pool of this name."""
    return connection.execute(select(pool_runs.c.id).where(pool_runs.c.pool == name).limit(1)).first() is not None


def latest(connection: Connection, pool: Pool) -> PoolRecord | None:
    """How a pool stood when a run last ended for it: its capacity is what was read and what was done since then."""
    query = _pools().where(pool_runs.c.licenses == pool.licenses, pool_runs.c.verdict.is_not(None))
    row = connection.execute(query.order_by(pool_runs.c.id.desc()).limit(1)).one_or_none()
    return replace(_as_it_turned_out(connection, row), capacity=_left(connection, row)) if row else None


def _as_it_turned_out(connection: Connection, row: Row[Any]) -> PoolRecord:
    """How a pool stood when a run ended for it, with what became of the requests that were pending then."""
    record = _pool(row)
    of_run = outcomes.c.pool_run_id == row.id
    promised = connection.execute(select(outcomes.c.id).where(of_run, outcomes.c.request.is_not(None)).limit(1))
    if promised.first() is None:
        return record
    query = select(outcomes.c.outcome, func.count()).where(of_run).group_by(outcomes.c.outcome)
    now = {OutcomeKind(kind): count for kind, count in connection.execute(query)}
    verdict = record.verdict
    if verdict in {RunVerdict.DONE, RunVerdict.INCOMPLETE}:
        verdict = RunVerdict.INCOMPLETE if UNFINISHED & now.keys() else RunVerdict.DONE
    return replace(
        record, verdict=verdict, counts={**record.counts, **{kind: now.get(kind, 0) for kind in OutcomeKind}}
    )


def _left(connection: Connection, row: Row[Any]) -> Capacity | None:
    """The capacity that a run has left."""
    if row.total is None:
        return None
    done = outcomes.c.outcome == OutcomeKind.DONE
    query = select(outcomes.c.verb, func.count()).where(outcomes.c.pool_run_id == row.id, done)
    counts = {verb: count for verb, count in connection.execute(query.group_by(outcomes.c.verb))}  # noqa: C416 - rows
    assigned = row.assigned + counts.get(Verb.ASSIGN, 0) - counts.get(Verb.REMOVE, 0)
    return Capacity(row.total, min(max(0, assigned), row.total))


def open_requests(connection: Connection, pool: Pool) -> tuple[int, int]:
    """For how many devices something was asked whose end is not known, and for how many of them nobody is to tell it.

    That is what is in flight or unknown; what is pending is to be told.
    """
    query = (
        select(outcomes.c.device, outcomes.c.iccid, func.max(outcomes.c.outcome == OutcomeKind.PENDING).label("told"))
        .join(pool_runs, outcomes.c.pool_run_id == pool_runs.c.id)
        .where(pool_runs.c.licenses == pool.licenses, earlier.IN_INDEX, earlier.IS_OPEN)
        .group_by(outcomes.c.device, outcomes.c.iccid)
    )
    rows = connection.execute(query).all()
    return len(rows), sum(not row.told for row in rows)


def quarantined(connection: Connection, pools: Mapping[str, Pool], now: datetime) -> list[QuarantineRecord]:
    """The devices in quarantine, those first that come back first; `pools` are those of the settings."""
    names = {pool.licenses: name for name, pool in pools.items()}
    return [record(each, names) for each in failures.set_aside(connection, now)]


def record(each: failures.SetAside, names: Mapping[str, str]) -> QuarantineRecord:
    """The record of a device that is set aside; `names` are those of the pools by their licenses."""
    known = each.failures
    return QuarantineRecord(
        names.get(each.licenses, each.licenses),
        imei_of(each.device),
        iccid_of(each.device),
        known.verb,
        known.reason,
        each.service,
        known.failures,
        known.first_at,
        known.until or known.last_at,
        each.group,
        each.place,
    )


def rows(connection: Connection, wanted: Wanted, limit: int | None = None) -> Iterator[OutcomeRecord]:
    """The outcomes that are wanted, or the last of them, oldest first; read as they are taken."""
    query = _last(_outcomes(wanted), outcomes.c.id, limit).order_by(outcomes.c.id)
    for part in connection.execute(query).partitions(AT_ONCE):
        yield from map(_outcome, part)


def last_rows(connection: Connection, wanted: Wanted, limit: int) -> tuple[list[OutcomeRecord], int]:
    """The last outcomes that are wanted, oldest first, and how many there are in all."""
    found = connection.execute(_outcomes(wanted).order_by(outcomes.c.id.desc()).limit(limit)).all()
    of = len(found)
    if of == limit:
        of = connection.execute(select(func.count()).select_from(_outcomes(wanted).subquery())).scalar_one()
    return [_outcome(row) for row in reversed(found)], of


def _runs(wanted: Wanted) -> Select[Any]:
    query = select(runs)
    if wanted.run is not None:
        query = query.where(runs.c.run == wanted.run)
    if wanted.since is not None:
        query = query.where(runs.c.started_at >= wanted.since)
    if wanted.pool is not None:
        in_pool = select(pool_runs.c.run_id).where(pool_runs.c.pool == wanted.pool)
        query = query.where(runs.c.id.in_(in_pool))
    if wanted.device is not None or wanted.outcome is not None:
        with_outcomes = _outcomes(wanted).with_only_columns(runs.c.id, maintain_column_froms=True)
        query = query.where(runs.c.id.in_(with_outcomes))
    return query


def _last(query: Select[Any], key: Column[int], limit: int | None) -> Select[Any]:
    """The last of what a query finds, or all of it."""
    if limit is None:
        return query
    return query.where(
        key.in_(query.with_only_columns(key, maintain_column_froms=True).order_by(key.desc()).limit(limit))
    )


def _pools() -> Select[Any]:
    return (
        select(
            pool_runs,
            runs.c.run,
            refusals.c.rule,
            refusals.c.setting,
            refusals.c.limit,
            refusals.c.asked,
            refusals.c.digest,
            refusals.c.next_step,
        )
        .join(runs, pool_runs.c.run_id == runs.c.id)
        .outerjoin(refusals, refusals.c.pool_run_id == pool_runs.c.id)
    )


def _outcomes(wanted: Wanted) -> Select[Any]:
    query = (
        select(outcomes, runs.c.run, runs.c.commit, pool_runs.c.pool)
        .join(pool_runs, outcomes.c.pool_run_id == pool_runs.c.id)
        .join(runs, pool_runs.c.run_id == runs.c.id)
    )
    if wanted.device is not None:
        known_by = outcomes.c.device if len(wanted.device) <= LONGEST_IMEI else outcomes.c.iccid
        query = query.where(known_by == wanted.device)
    if wanted.run is not None:
        query = query.where(runs.c.run == wanted.run)
    if wanted.pool is not None:
        query = query.where(pool_runs.c.pool == wanted.pool)
    if wanted.licenses is not None:
        query = query.where(pool_runs.c.licenses == wanted.licenses)
    if wanted.outcome is not None:
        query = query.where(outcomes.c.outcome == wanted.outcome)
    if wanted.since is not None:
        query = query.where(outcomes.c.at >= wanted.since)
    return query


def _run(row: Row[Any]) -> RunRecord:
    return RunRecord(
        row.run,
        row.command,
        row.started_at,
        row.finished_at,
        RunVerdict(row.verdict) if row.verdict else None,
        row.exit,
        InventoryInfo(row.devices, row.digest, row.commit, row.dirty, row.author),
        row.plan,
    )


def _pool(row: Row[Any]) -> PoolRecord:
    return PoolRecord(
        row.run,
        row.pool,
        row.licenses,
        row.mode,
        Reading(row.reading),
        RunVerdict(row.verdict) if row.verdict else None,
        row.problem,
        row.read_at,
        None if row.total is None else Capacity(row.total, row.assigned),
        row.waiting,
        row.counts,
        row.held,
        Refusal(Rule(row.rule), row.setting, row.limit, row.asked, row.digest, row.next_step) if row.rule else None,
    )


def _outcome(row: Row[Any]) -> OutcomeRecord:
    return OutcomeRecord(
        row.run,
        row.at,
        row.commit,
        row.pool,
        Verb(row.verb),
        row.device,
        row.iccid,
        OutcomeKind(row.outcome),
        row.reason,
        row.service,
        row.group,
        row.place,
        row.retry_at,
        row.in_flight,
        row.request,
    )
