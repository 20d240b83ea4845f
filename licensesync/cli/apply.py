"""`apply`: one run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licensesync.cli.options import Out, Pools, hash_digits, span

if TYPE_CHECKING:
    from datetime import timedelta

    from licensesync.reviewed import Reviewed


class ReportFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks of a run."""

    form: ReportFormat
    yes: bool
    plan_hash: str | None
    reviewed: Reviewed | None
    removals: bool
    allowed: tuple[str, ...]
    wait: timedelta | None = None


def apply(
    context: typer.Context,
    *,
    form: Annotated[ReportFormat, typer.Option("--format", help="How the report is printed.")] = ReportFormat.TEXT,
    out: Out = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")] = False,
    plan_hash: Annotated[
        str | None, typer.Option(metavar="HASH", help="Apply only if a fresh plan has this hash.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Apply only the plan that plan --out wrote there; else say what changed."),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Wait so long for the callbacks of what is pending, such as 10m."),
    ] = None,
    pool: Pools = None,
    no_removals: Annotated[bool, typer.Option("--no-removals", help="Hold every removal.")] = False,
    allow_removals: Annotated[
        list[str] | None,
        typer.Option(metavar="HASH", help="Let the refused set of removals with this hash pass, once; repeatable."),
    ] = None,
) -> None:
    """Carry out a plan: reads, compares, assigns and removes, and tells what became of each device."""
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on; write --yes")
    expected = hash_digits(plan_hash) if plan_hash is not None else None
    reviewed = _reviewed(plan) if plan is not None else None
    patience = span(wait, "--wait") if wait is not None else None
    allowed = tuple(map(hash_digits, allow_removals or ()))
    wish = Wish(form, yes, expected, reviewed, not no_removals, allowed, patience)

    from licensesync.cli import composition, output, run
    from licensesync.exit_codes import of_report
    from licensesync.render import json

    work = composition.prepare(context.obj, pool)
    output.must_be_writable(out)
    report = run.planned_and_carried_out(work, wish)
    code = of_report(report)
    try:
        if out is not None:
            output.save(out, json.report(report, code))
    finally:  # a run is told once, whatever becomes of the file
        output.print_report(report, code, form)
    raise typer.Exit(code)


def _reviewed(path: Path) -> Reviewed:
    from licensesync import reviewed

    try:
        return reviewed.read(path.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"--plan {path}: {error.strerror}; name a file that plan --out wrote") from None
    except ValueError as error:
        raise typer.BadParameter(f"--plan {path} is no plan ({error}); name a file that plan --out wrote") from None
