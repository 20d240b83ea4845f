"""One run from the command line: planned, agreed to by a person or a hash, carried out until a signal comes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime

import typer

from licensesync import composition, guard, reconcile, reviewed, running
from licensesync.cli import output, to_the_end
from licensesync.cli.apply import Wish
from licensesync.cli.progress import progress_on
from licensesync.cli.streams import say
from licensesync.composition import Gated, Pass
from licensesync.errors import LedgerError
from licensesync.journal import RunJournal
from licensesync.ledger import lock
from licensesync.ledger.book import Book
from licensesync.model import Report, RunPlan
from licensesync.render.words import counted
from licensesync.thingspace.client import Client

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def planned_and_carried_out(work: Pass, wish: Wish) -> Report:
    """What became of the plan: carried out, or declined where it was not the one that was meant."""
    try:
        with running.kept(work.settings.ledger_path(os.environ), "apply", work.info) as book:
            return to_the_end.run(_run(work, wish, book))
    except asyncio.CancelledError:
        say("stopped at once: what became of the batches in flight is not known; the next run finds out")
        raise typer.Abort from None


async def _run(work: Pass, wish: Wish, book: Book) -> Report:
    devices = work.settings.logs.devices
    async with composition.writer(work.settings, work.credentials) as writer, _hearing(work, wish, writer) as gated:
        services = composition.services(work.pools, writer, work.settings, gated)
        with progress_on(sys.stderr) as shown:
            journal = RunJournal(shown, run=book.run, devices=devices)
            journal.started(work.info)
            policy = composition.policy(work, removals=wish.removals, allowed=wish.allowed)
            run_plan = await running.planned(work, services, book, policy, journal)
        _warn_of_unused(wish, run_plan)
        if not _agreed(run_plan, wish):
            report = reconcile.decline_all(book.run, run_plan, datetime.now(UTC))
        else:
            with progress_on(sys.stderr) as shown, _stopping_on_signals() as stop:
                journal = RunJournal(shown, run=book.run, devices=devices)
                report = await running.carried_out(work, run_plan, services, book, stop=stop, journal=journal)
                if wish.wait is None:
                    _warn_of_unheard(report, book)
                else:
                    until = asyncio.get_running_loop().time() + wish.wait.total_seconds()
                    report = await _with_callbacks(report, until, book, stop)
                    report = await running.carried_on(work, report, services, book, stop=stop, journal=journal)
                    report = await _with_callbacks(report, until, book, stop)
    return await running.recorded(work, book, report, journal)


@asynccontextmanager
async def _hearing(work: Pass, wish: Wish, writer: Client) -> AsyncIterator[Gated | None]:
    """Whoever waits for callbacks sees to it that they are heard."""
    if wish.wait is None:
        yield None
        return
    from licensesync.callbacks import waiting

    async with waiting.prepared(work, writer) as gated:
        yield gated


def _warn_of_unheard(report: Report, book: Book) -> None:
    """Who does not wait for callbacks leaves them to somebody who hears them."""
    pending = sum(each.request is not None for pool in report.pools for each in pool.outcomes)
    if pending and not lock.is_held(book.path, lock.SERVICE):
        say(f"nobody hears the callbacks of {counted(pending, 'device')} now: start licensesync serve, or apply --wait")


async def _with_callbacks(report: Report, until: float, book: Book, stop: asyncio.Event) -> Report:
    """The report with what callbacks tell of it until a time of the loop's clock."""
    from licensesync.callbacks import waiting

    try:
        if pending := waiting.count_open(book.path, report):
            say(f"waiting for the callbacks of {counted(pending, 'device')}")
        return await waiting.settled(book.path, report, until, stop)
    except LedgerError as error:
        say(f"what became of it cannot be told: {error}")
        return report


def _agreed(run_plan: RunPlan, wish: Wish) -> bool:
    """Whether this plan is the one that is meant, by its hash or by the word of a person who sees it."""
    if stale := _stale(run_plan, wish):
        _show(output.text_plan(run_plan, sys.stderr.isatty()))
        say("\n".join(stale))
        return False
    if wish.yes or not any(planned.actions for planned in run_plan.planned):
        return True
    _show(output.text_plan(run_plan, sys.stderr.isatty()))
    return _confirmed()


def _stale(run_plan: RunPlan, wish: Wish) -> list[str]:
    """What to say where the plan is not the one that was reviewed."""
    digits = run_plan.hash.removeprefix("sha256:")
    if wish.reviewed and wish.reviewed.hash != run_plan.hash:
        changed = reviewed.changes(wish.reviewed, run_plan)
        return [f"the plan has changed since it was reviewed, and is {run_plan.hash} now; nothing was done", *changed]
    if wish.plan_hash is not None and not digits.startswith(wish.plan_hash):
        words = f"the plan has changed: it is {run_plan.hash} now (above), not {wish.plan_hash}…; nothing was done. "
        return [f"{words}Review it and give its hash; plan --out FILE and apply --plan FILE also tell what changed"]
    return []


def _confirmed() -> bool:
    """A person's answer; Ctrl-C and the end of the input are a no."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm("Carry out this plan?", err=True)
    except typer.Abort:
        say("")
        return False
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _stopping_on_signals() -> Iterator[asyncio.Event]:
    """An event that the first SIGINT, SIGTERM or SIGHUP sets; the second one ends the program at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    run = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and run is not None:
            run.cancel()
        elif not stop.is_set():
            say("stopping: finishing the batches in hand; once more to stop at once")
        stop.set()

    for number in STOPPING:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)


def _warn_of_unused(wish: Wish, run_plan: RunPlan) -> None:
    digests = [guard.digest_of(planned) for planned in run_plan.planned]
    for allowed in wish.allowed:
        if not any(digest.startswith(allowed) for digest in digests):
            say(f"--allow-removals {allowed}: this is not the hash of any pool's removals now; it lets nothing pass")


def _show(text: str) -> None:
    with suppress(OSError):
        typer.echo(text, err=True)
