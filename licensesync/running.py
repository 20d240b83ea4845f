"""One run that the ledger keeps: begun under the lock, planned with what is remembered, carried out, recorded."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from licensesync import composition, reconcile
from licensesync.aside import aside
from licensesync.composition import Pass
from licensesync.errors import LedgerError
from licensesync.exit_codes import of_report
from licensesync.journal import RunJournal
from licensesync.ledger import book, keeping, lock
from licensesync.ledger.book import Book
from licensesync.ledger.earlier import Earlier
from licensesync.model import InventoryInfo, Memory, Observed, Policy, Pool, Report, RunPlan
from licensesync.readings import Readings, Recollection
from licensesync.reconcile import LicenseService
from licensesync.submission import Sending


def new_run() -> str:
    """The id of a run: when it began, and something that no other run has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@contextmanager
def kept(path: Path, command: str, inventory: InventoryInfo, *, proved: bool = False) -> Iterator[Book]:
    """The book of a new run that has begun, under the ledger's lock; the ledger may have been `proved` just now.

    Raises Locked and LedgerError.
    """
    with (
        lock.held(path, command, datetime.now(UTC)),
        book.opened(path, new_run(), lambda: datetime.now(UTC), proved=proved) as opened,
    ):
        opened.begin(command, inventory)
        try:
            yield opened
        except BaseException:
            with suppress(LedgerError):
                opened.abandon()
            raise


async def planned(  # noqa: PLR0913 - what a run is made of
    work: Pass,
    services: Mapping[str, LicenseService],
    book: Book,
    policy: Policy,
    journal: RunJournal,
    *,
    readings: Readings | None = None,
) -> RunPlan:
    """The plan of a pass; what earlier runs left open is settled by its readings. Raises LedgerError.

    Pools in step may rest on what is left of earlier `readings`; without them every pool is read.
    """
    recall = {pool.name: partial(_recalled, work, book, journal, pool) for pool in work.pools}
    recollections = {
        pool.name: Recollection(readings, services[pool.name], work.info.digest, book)
        for pool in work.pools
        if readings is not None and pool.reread
    }
    return await composition.plan(work, services, policy, journal, recall, recollections=recollections)


async def carried_out(  # noqa: PLR0913 - what a run is made of
    work: Pass,
    run_plan: RunPlan,
    services: Mapping[str, LicenseService],
    book: Book,
    *,
    stop: asyncio.Event,
    journal: RunJournal,
) -> Report:
    """What became of the plan; `stop` ends it after the batches in hand. Raises LedgerError before anything is sent."""
    for plan in run_plan.planned:
        named, mark = work.inventory.named(plan.pool), partial(work.inventory.mark, plan.pool)
        await aside(book.undertake, plan, named, work.info, mark)
    with _sending(work, book, stop, journal) as sending:
        return await reconcile.carry_out_all(book.run, run_plan, services, sending, journal)


async def carried_on(  # noqa: PLR0913 - what a run is made of
    work: Pass,
    report: Report,
    services: Mapping[str, LicenseService],
    book: Book,
    *,
    stop: asyncio.Event,
    journal: RunJournal,
) -> Report:
    """The report, with what was assigned into what promised removals have freed meanwhile."""
    with _sending(work, book, stop, journal) as sending:
        return await reconcile.carry_on_all(report, services, sending, journal)


@contextmanager
def _sending(work: Pass, book: Book, stop: asyncio.Event, journal: RunJournal) -> Iterator[Sending]:
    thingspace = work.settings.thingspace
    with keeping.beside(book, partial(_tell_of_earlier, journal)) as record:
        yield Sending(thingspace.batch_size, thingspace.concurrency, stop, lambda: datetime.now(UTC), record)


async def recorded(work: Pass, book: Book, report: Report, journal: RunJournal) -> Report:
    """The report, kept and told; it says so where it could not be kept."""
    try:
        await aside(book.finish, report, of_report(report))
        await aside(book.prune, work.settings.keep)
    except LedgerError as error:
        journal.unrecorded(error)
        report = replace(report, unrecorded=True)
    journal.finished(report, of_report(report))
    return report


async def _recalled(work: Pass, book: Book, journal: RunJournal, pool: Pool, observed: Observed) -> Memory:
    """What is remembered of a pool, once this reading has settled what earlier runs left open; an older one cannot."""
    remembered, settled = await aside(book.recall, pool, observed, partial(work.inventory.mark, pool))
    for earlier in settled:
        _tell_of_earlier(journal, pool, earlier)
    return remembered


def _tell_of_earlier(journal: RunJournal, pool: Pool, earlier: Earlier) -> None:
    journal.proved(pool, earlier.outcome, earlier.run, never_told=earlier.never_told)
