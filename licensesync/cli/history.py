"""`history`: past runs and outcomes, from the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from licensesync.cli.options import identifier
from licensesync.errors import LedgerError
from licensesync.model import OutcomeKind, OutcomeRecord, Wanted

if TYPE_CHECKING:
    from licensesync.cli.past import Past
    from licensesync.render.history import PastRun

RUNS_SHOWN = 20
OUTCOMES_SHOWN = 100
MOST = 1_000_000_000
TIME = re.compile(
    r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)


class HistoryFormat(StrEnum):
    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def history(
    context: typer.Context,
    *,
    device: Annotated[str | None, typer.Option(metavar="ID", help="Outcomes of this IMEI or ICCID.")] = None,
    run: Annotated[str | None, typer.Option(metavar="ID", help="This run, its pools and its outcomes.")] = None,
    pool: Annotated[str | None, typer.Option(metavar="NAME", help="Only this pool.")] = None,
    outcome: Annotated[OutcomeKind | None, typer.Option(help="Actions that ended so.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before: 7d ago, or a day or a time such as 2026-11-01.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help=f"Only the last so many; text shows {RUNS_SHOWN} runs or {OUTCOMES_SHOWN} outcomes."
        ),
    ] = None,
    form: Annotated[HistoryFormat, typer.Option("--format", help="How the past is printed.")] = HistoryFormat.TEXT,
) -> None:
    """Show past runs, or with --device, --run or --outcome what became of devices."""
    from licensesync.cli import past
    from licensesync.cli.streams import print_parts
    from licensesync.render import history as render

    known_as = None if device is None else identifier(device, "--device")
    begin = None if since is None else _moment(since, datetime.now(UTC))
    wanted = Wanted(known_as, run, pool, outcome, begin)
    with past.looked_at(context.obj) as seen:
        _must_be_known(seen, wanted)
        match form:
            case HistoryFormat.JSON:
                print_parts(render.as_json(_runs(seen, wanted, limit), _rows(seen, wanted, limit)))
            case HistoryFormat.CSV:
                print_parts(render.as_csv(_rows(seen, wanted, limit)))
            case HistoryFormat.TEXT:
                print_parts([_text(seen, wanted, limit).encode()])
            case _:
                assert_never(form)


def _moment(since: str, now: datetime) -> datetime:
    """So long ago, or the start of a day, or a time; UTC where nothing else is said."""
    from licensesync.values import Unfit, duration

    with suppress(Unfit, ValueError, OverflowError):
        if not TIME.fullmatch(since):
            return now - duration(since)
        then = datetime.fromisoformat(since.upper())
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).astimezone(UTC)
    hint = "write 30s, 15m, 2h or 7d, a day such as 2026-11-01, or a time such as 2026-11-01T15:00:00Z"
    raise typer.BadParameter(f"{since!r} is no time; {hint}", param_hint="--since")


def _must_be_known(seen: Past, wanted: Wanted) -> None:
    """Raises for a pool or a run that there is not."""
    pools = seen.settings.pools
    if wanted.pool is not None and wanted.pool not in pools and not _knows_pool(seen, wanted.pool):
        message = f"unknown pool {wanted.pool!r}; write one of {', '.join(pools)}"
        raise typer.BadParameter(message, param_hint="--pool")
    if wanted.run is not None and not any(_runs(seen, Wanted(run=wanted.run), 1)):
        raise LedgerError(f"the ledger {seen.path} knows no run {wanted.run!r}; licensesync history lists runs")


def _knows_pool(seen: Past, name: str) -> bool:
    if seen.ledger is None:
        return False

    from licensesync.ledger import history as recorded

    return recorded.knows_pool(seen.ledger, name)


def _runs(seen: Past, wanted: Wanted, limit: int | None) -> Iterator[PastRun]:
    """The runs that are wanted, with what is wanted of their pools."""
    if seen.ledger is None:
        return

    from licensesync.ledger import history as recorded
    from licensesync.render.history import PastRun

    for run, pools in recorded.each_run(seen.ledger, wanted, limit):
        yield PastRun(run, [each for each in pools if wanted.pool in {None, each.pool}])


def _rows(seen: Past, wanted: Wanted, limit: int | None) -> Iterable[OutcomeRecord]:
    if seen.ledger is None:
        return ()

    from licensesync.ledger import history as recorded

    return recorded.rows(seen.ledger, wanted, limit)


def _text(seen: Past, wanted: Wanted, limit: int | None) -> str:
    from licensesync.cli import output
    from licensesync.render import history as render

    page = output.page()
    if seen.ledger is None:
        return render.nothing(str(seen.path), page)

    from licensesync.ledger import history as recorded

    if wanted.device is None and wanted.run is None and wanted.outcome is None:
        shown = limit or RUNS_SHOWN
        return render.runs([*_runs(seen, wanted, shown)], recorded.count_runs(seen.ledger, wanted), page)
    rows, of = recorded.last_rows(seen.ledger, wanted, limit or OUTCOMES_SHOWN)
    if wanted.run is None:
        return render.outcomes(rows, of, page)
    (past,) = _runs(seen, Wanted(run=wanted.run, pool=wanted.pool), 1)
    return render.run(past, rows, of, page)
