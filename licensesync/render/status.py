"""How everything stands as of the ledger, for people and as the JSON document of the contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from licensesync.model import PoolStatus, RunRecord, ServiceRecord, Status
from licensesync.render import fields, recorded, summary
from licensesync.render.counts import recorded_counts
from licensesync.render.page import VERDICT_STYLES, Column, Line, Page, Style
from licensesync.render.words import counted, moment, stamp

COLUMNS = (
    Column("pool", gives=True),
    Column("verdict"),
    Column("as of (UTC)"),
    Column("total", right=True),
    Column("assigned", right=True),
    Column("free", right=True),
    Column("waiting", right=True),
)
NOT_REACHED = "no run yet"


def text(status: Status, ledger: str, page: Page) -> str:
    """A table of the pools, what is to be said of each, and the last run; `ledger` is where the ledger is."""
    lines = [*page.table(COLUMNS, [_line(pool) for pool in status.pools]), ""]
    attempts = status.service.attempts if status.service else {}
    for pool in status.pools:
        lines += _details(page, pool, attempts)
    return "\n".join([*lines, *_ending(page, status, ledger), ""])


def document(status: Status) -> bytes:
    """The document of `status --format json`, on one line."""
    run = status.last_run
    return fields.document(
        {
            "version": fields.VERSION,
            "kind": "status",
            "inventory": fields.inventory(run.inventory) if run else None,
            "last_run": fields.run(run) if run else None,
            "next_run": _time(status.service.next_run if status.service else None),
            "service": _service(status.service) if status.service else None,
            "pools": [_pool(pool, status.service) for pool in status.pools],
        }
    )


def _line(pool: PoolStatus) -> Line:
    last = pool.last
    if last is None:
        return Line([pool.pool, NOT_REACHED, *"-----"], style=Style.DIM)
    capacity = last.capacity
    figures = [capacity.total, capacity.assigned, capacity.free, last.waiting] if capacity else ["-"] * 4
    read_at = stamp(last.read_at) if last.read_at else "-"
    style = VERDICT_STYLES[last.verdict] if last.verdict else None
    return Line([pool.pool, last.verdict or NOT_REACHED, read_at, *map(str, figures)], style=style)


def _details(page: Page, pool: PoolStatus, attempts: Mapping[str, datetime]) -> Iterator[str]:
    """What a pool's row has no cell for, under its name; nothing where all is well."""
    told = [line for sentence in _sentences(pool, attempts) for line in page.prose(sentence, indent=2)]
    warned = [*recorded.warnings(page, pool.last)] if pool.last else []
    if told or warned:
        yield from page.prose(pool.pool, Style.BOLD)
        yield from [*told, *warned, ""]


def _sentences(pool: PoolStatus, attempts: Mapping[str, datetime]) -> Iterator[str]:
    if pool.last and (left := recorded.not_in_step(pool.last)):
        yield f"not in step: {left}"
    if pool.quarantined:
        yield f"{counted(pool.quarantined, 'device')} in quarantine; licensesync quarantine list shows why"
    if pool.open_requests:
        unknown = f"; {pool.unknown} of them unknown, which the next run finds out" if pool.unknown else ""
        yield f"{counted(pool.open_requests, 'open request')}: sent, and how it ends is not known yet{unknown}"
    if at := attempts.get(pool.pool):
        yield f"backs off: the next attempt to read it is {moment(at)}"


def _ending(page: Page, status: Status, ledger: str) -> Iterator[str]:
    if status.last_run is None:
        yield from page.prose(f"{recorded.NO_RUN}; licensesync apply begins the ledger at {ledger}", Style.BOLD)
    else:
        yield from _last_run(page, status.last_run)
        yield from page.prose(f"ledger {ledger}")
    if service := status.service:
        yield from page.prose("; ".join(_of_service(service)))
        for problem in service.problems:
            yield from page.prose(problem, Style.RED, indent=2)
        if service.stale:
            yield from page.prose(f"the git remote does not answer: {service.stale}", Style.YELLOW, indent=2)


def _of_service(service: ServiceRecord) -> Iterator[str]:
    yield f"service runs as process {service.pid} since {moment(service.started_at)}"
    if service.next_run:
        yield f"next run {moment(service.next_run)}"
    if service.fresh_at:
        yield f"the git remote was last reached {moment(service.fresh_at)}"
    if service.problems:
        since = f" {moment(service.rejected_at)}" if service.rejected_at else ""
        yield f"the last good settings and inventory are in force, as the newest were rejected{since}"


def _last_run(page: Page, run: RunRecord) -> Iterator[str]:
    styles = [Style.BOLD, VERDICT_STYLES[run.verdict] if run.verdict else Style.YELLOW]
    yield from page.prose(f"last run {run.run}: {recorded.verdict(run)}", *styles)
    yield from page.prose(recorded.course(run), indent=2)
    yield from page.prose(summary.inventory(run.inventory))


def _pool(pool: PoolStatus, service: ServiceRecord | None) -> dict[str, object]:
    last = pool.last
    return {
        "pool": pool.pool,
        "verdict": last.verdict if last else None,
        "reading": last.reading if last else None,
        "read_at": fields.time(last.read_at) if last and last.read_at else None,
        "capacity": fields.capacity(last.capacity) if last and last.capacity else None,
        "counts": recorded_counts(last),
        "waiting": last.waiting if last else 0,
        "quarantined": pool.quarantined,
        "open_requests": pool.open_requests,
        "unknown": pool.unknown,
        "refusal": fields.refusal(last.refusal) if last and last.refusal else None,
        "next_attempt": _time(service.attempts.get(pool.pool) if service else None),
    }


def _service(service: ServiceRecord) -> dict[str, object]:
    return {
        "pid": service.pid,
        "started_at": fields.time(service.started_at),
        "problems": [fields.utf8(problem) for problem in service.problems],
        "rejected_at": _time(service.rejected_at),
        "fresh_at": _time(service.fresh_at),
        "stale": fields.utf8(service.stale) if service.stale else None,
    }


def _time(moment: datetime | None) -> datetime | None:
    return fields.time(moment) if moment else None
