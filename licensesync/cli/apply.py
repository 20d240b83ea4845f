"""`apply`: one run."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from licensesync.cli.exit_codes import of_report
from licensesync.cli.options import Out, Pools, hash_digits

if TYPE_CHECKING:
    from licensesync.cli.composition import Pass
    from licensesync.model import Report, RunPlan


class ReportFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks of a run."""

    form: ReportFormat
    yes: bool
    plan_hash: str | None
    removals: bool
    allowed: tuple[str, ...]


def apply(
    context: typer.Context,
    *,
    form: Annotated[ReportFormat, typer.Option("--format", help="How the report is printed.")] = ReportFormat.TEXT,
    out: Out = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")] = False,
    plan_hash: Annotated[
        str | None, typer.Option(metavar="HASH", help="Apply only if a fresh plan has this hash.")
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
    wish = Wish(form, yes, expected, not no_removals, tuple(map(hash_digits, allow_removals or ())))

    from licensesync.cli import composition, output
    from licensesync.render import json

    work = composition.prepare(context.obj, pool)
    output.must_be_writable(out)
    report = asyncio.run(_run(work, wish))
    code = of_report(report)
    output.print_report(report, code, form)
    output.save(out, json.report(report, code))
    raise typer.Exit(code)


async def _run(work: Pass, wish: Wish) -> Report:
    from licensesync import reconcile
    from licensesync.cli import composition
    from licensesync.cli.progress import progress_on
    from licensesync.journal import RunJournal
    from licensesync.submission import Sending

    run = _new_run()
    settings = work.settings.thingspace
    async with composition.services(work) as services:
        with progress_on(sys.stderr) as shown:
            journal = RunJournal(shown, run=run)
            policy = composition.policy(work, removals=wish.removals, allowed=wish.allowed)
            journal.started(work.info)
            run_plan = await composition.plan(work, services, policy, journal, {})
        _warn_of_unused(wish, run_plan)
        if not _agreed(run_plan, wish):
            report = reconcile.decline_all(run, run_plan, datetime.now(UTC))
        else:
            with progress_on(sys.stderr) as shown, _stopping_on_signals() as stop:
                journal = RunJournal(shown, run=run)
                sending = Sending(settings.batch_size, settings.concurrency, stop, lambda: datetime.now(UTC))
                report = await reconcile.carry_out_all(run, run_plan, services, sending, journal)
    journal.finished(report, of_report(report))
    return report


def _agreed(run_plan: RunPlan, wish: Wish) -> bool:
    """Whether this plan is the one that is meant, by its hash or by the word of a person who sees it."""
    from licensesync.cli import output

    if wish.plan_hash is not None and not run_plan.hash.removeprefix("sha256:").startswith(wish.plan_hash):
        _say(f"the plan has changed: it is {run_plan.hash} now, not {wish.plan_hash}…; nothing was done. Plan again")
        return False
    if wish.yes or not any(planned.actions for planned in run_plan.planned):
        return True
    _say(output.text_plan(run_plan, sys.stderr.isatty()))
    return _confirmed()


def _confirmed() -> bool:
    """A person's answer; Ctrl-C and the end of the input are a no."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm("Carry out this plan?", err=True)
    except typer.Abort:
        _say("")
        return False
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _stopping_on_signals() -> Iterator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one ends the program at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    run = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and run is not None:
            run.cancel()
        elif not stop.is_set():
            _say("stopping: finishing the batches in hand; once more to stop at once")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _warn_of_unused(wish: Wish, run_plan: RunPlan) -> None:
    from licensesync import guard

    digests = [guard.digest_of(planned) for planned in run_plan.planned]
    for allowed in wish.allowed:
        if not any(digest.startswith(allowed) for digest in digests):
            _say(f"--allow-removals {allowed}: this is not the hash of any pool's removals now; it lets nothing pass")


def _new_run() -> str:
    import secrets

    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _say(words: str) -> None:
    typer.echo(words, err=True)
