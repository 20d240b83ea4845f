"""Past runs and outcomes, for people and, row by row, for scripts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from licensesync.model import OutcomeKind, OutcomeRecord, PoolRecord, RunRecord, RunVerdict
from licensesync.render import fields, recorded, summary
from licensesync.render.counts import recorded_counts
from licensesync.render.page import VERDICT_STYLES, Column, Line, Page, Style
from licensesync.render.words import clean, stamp

NAMES = ("run", "at", "commit", "pool", "verb", "device", "iccid", "outcome", "reason", "service", "group", "place")
SHORT = 7  # what is shown of a commit
AT_ONCE = 1_000
RUN_COLUMNS = (
    Column("began (UTC)"),
    Column("run"),
    Column("command", gives=True),
    Column("verdict"),
    Column("exit", right=True),
    Column("commit"),
)
OUTCOME_COLUMNS = (
    Column("at (UTC)"),
    Column("pool", gives=True),
    Column("device"),
    Column("verb"),
    Column("outcome"),
    Column("group", gives=True),
)
OUTCOME_STYLES: Mapping[OutcomeKind, Style] = {
    OutcomeKind.PENDING: Style.YELLOW,
    OutcomeKind.REJECTED: Style.RED,
    OutcomeKind.FAILED: Style.RED,
    OutcomeKind.UNKNOWN: Style.RED,
}


class PastRun(NamedTuple):
    """A run, and how its pools ended."""

    run: RunRecord
    pools: Sequence[PoolRecord]


def nothing(ledger: str, page: Page) -> str:
    """What there is to say where there is no ledger yet."""
    return "\n".join([*page.prose(f"{recorded.NO_RUN}; licensesync apply begins the ledger at {ledger}"), ""])


def runs(past: Sequence[PastRun], of: int, page: Page) -> str:
    """A table of runs, the last ones of so many."""
    if not past:
        return "\n".join([*page.prose("no such run was recorded"), ""])
    lines = page.table(RUN_COLUMNS, [_run_line(*each) for each in past])
    return "\n".join([*lines, *_left_out(page, of - len(past), of), ""])


def outcomes(records: Sequence[OutcomeRecord], of: int, page: Page) -> str:
    """A table of outcomes, the last ones of so many."""
    return "\n".join([*_outcomes(page, records, of, with_run=True), ""])


def run(past: PastRun, records: Sequence[OutcomeRecord], of: int, page: Page) -> str:
    """One run: how it went, how its pools ended, and its outcomes, the last ones of so many."""
    known = past.run
    styles = [Style.BOLD, VERDICT_STYLES[known.verdict] if known.verdict else Style.YELLOW]
    lines = page.prose(f"run {known.run}: {recorded.verdict(known)}", *styles)
    told = [recorded.course(known), summary.inventory(known.inventory), f"plan {known.plan}" if known.plan else ""]
    lines += [line for sentence in filter(None, told) for line in page.prose(sentence, indent=2)]
    for pool in past.pools:
        lines += ["", *_pool(page, pool)]
    return "\n".join([*lines, "", *_outcomes(page, records, of, with_run=False), ""])


def as_json(past: Iterable[PastRun], records: Iterable[OutcomeRecord]) -> Iterator[bytes]:
    """The document of `history --format json`, part by part."""
    yield b'{"version":%d,"kind":"history","runs":[' % fields.VERSION
    yield from fields.listed(_run_fields(*each) for each in past)
    yield b'],"rows":['
    yield from fields.listed(map(_row, records))
    yield b"]}\n"


def as_csv(records: Iterable[OutcomeRecord]) -> Iterator[bytes]:
    """The same rows as CSV, part by part: one line each, under a line with their names."""
    remaining = iter(records)
    yield _csv([NAMES])
    while part := list(islice(remaining, AT_ONCE)):
        yield _csv(map(_cells, part))


def _run_line(run: RunRecord, pools: Sequence[PoolRecord]) -> Line:
    cells = [
        stamp(run.started_at),
        run.run,
        run.command,
        run.verdict or recorded.NOT_ENDED,
        "-" if run.exit is None else str(run.exit),
        (run.inventory.commit or "-")[:SHORT],
    ]
    uncommitted = ["changes that were not committed"] if run.inventory.dirty else []
    style = VERDICT_STYLES[run.verdict] if run.verdict else Style.YELLOW
    return Line(cells, "; ".join([_came_to(run, pools), *uncommitted]), style)


def _came_to(run: RunRecord, pools: Sequence[PoolRecord]) -> str:
    if not run.finished_at:
        return "going on, or killed"
    if run.verdict is RunVerdict.STOPPED and not all(pool.verdict for pool in pools):
        return "cut short"
    return summary.settled(recorded_counts(pool) for pool in pools)


def _pool(page: Page, pool: PoolRecord) -> Iterator[str]:
    counts = recorded_counts(pool)
    style = VERDICT_STYLES[pool.verdict] if pool.verdict else Style.YELLOW
    yield from page.prose(f"{pool.pool}: {pool.verdict or recorded.NOT_ENDED}", Style.BOLD, style)
    yield from page.prose(f"{pool.licenses}, mode {pool.mode}", Style.DIM, indent=2)
    if pool.capacity:
        yield from page.prose(recorded.licenses(pool.capacity, pool.waiting), indent=2)
    for names in (OutcomeKind, ("kept", "held", "foreign")) if pool.capacity and pool.verdict else ():
        yield from page.prose(", ".join(f"{counts[name]} {name}" for name in names), indent=2)
    if left := recorded.not_in_step(pool):
        yield from page.prose(f"not in step: {left}", indent=2)
    yield from recorded.warnings(page, pool)


def _outcomes(page: Page, records: Sequence[OutcomeRecord], of: int, *, with_run: bool) -> Iterator[str]:
    if not records:
        yield from page.prose("no such outcome was recorded" if with_run else "no outcome was recorded")
        return
    yield from page.table(OUTCOME_COLUMNS, [_outcome_line(record, with_run=with_run) for record in records])
    yield from _left_out(page, of - len(records), of)


def _outcome_line(record: OutcomeRecord, *, with_run: bool) -> Line:
    outcome = "in flight" if record.in_flight else record.outcome
    cells = [stamp(record.at), record.pool, record.device, record.verb, outcome, record.group or "-"]
    reason = None if record.in_flight else record.reason
    notes = [
        f"run {record.run}" if with_run else "",
        ": ".join(filter(None, [reason, record.service])),
        f"ICCID {record.iccid}" if record.iccid else "",
        record.place or "",
    ]
    return Line(cells, "; ".join(filter(None, notes)), OUTCOME_STYLES.get(record.outcome))


def _left_out(page: Page, number: int, of: int) -> list[str]:
    if number <= 0:
        return []
    return page.prose(f"… {number} earlier left out; --limit {of} shows all, --format json and csv too", Style.DIM)


def _run_fields(run: RunRecord, pools: Sequence[PoolRecord]) -> dict[str, object]:
    return {**fields.run(run), "pools": [_pool_fields(pool) for pool in pools]}


def _pool_fields(pool: PoolRecord) -> dict[str, object]:
    return {
        "pool": pool.pool,
        "mode": pool.mode,
        "verdict": pool.verdict,
        "reading": pool.reading,
        "read_at": fields.time(pool.read_at) if pool.read_at else None,
        "problem": pool.problem,
        "capacity": fields.capacity(pool.capacity) if pool.capacity else None,
        "counts": recorded_counts(pool),
        "held": pool.held,
        "waiting": pool.waiting,
        "refusal": fields.refusal(pool.refusal) if pool.refusal else None,
    }


def _row(record: OutcomeRecord) -> dict[str, object]:
    return {**dict(zip(NAMES, _IN_ORDER(record), strict=True)), "at": fields.time(record.at)}


def _cells(record: OutcomeRecord) -> list[str]:
    """A record's texts: none of them breaks the line, steers a terminal, or is a formula to a spreadsheet."""
    row = {**_row(record), "at": f"{fields.time(record.at):%Y-%m-%dT%H:%M:%SZ}"}
    return [_harmless(clean(_text(cell))) for cell in row.values()]


def _harmless(cell: str) -> str:
    """The same, unless a spreadsheet would calculate with it. Most cells need no second look."""
    return _FORMULA.sub(r"\1'", cell) if cell[:1] in _SUSPECT or ";" in cell else cell


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().encode()


_IN_ORDER = attrgetter(*NAMES)
_SUSPECT = frozenset(" =+-@＝＋－＠")
_FORMULA = re.compile(r"((?:^|;) *)(?=[=+\-@＝＋－＠])")
"""Where a spreadsheet would begin to calculate: in some countries a semicolon begins another cell.

https://owasp.org/www-community/attacks/CSV_Injection
"""
