"""A run that waits for its callbacks: by a listener of its own, or by what the service that runs settles meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import structs

from licensesync.callbacks.desk import Desk
from licensesync.callbacks.hearing import hearing
from licensesync.callbacks.registration import Registrar
from licensesync.callbacks.telling import CallbackJournal
from licensesync.composition import Gated, Pass
from licensesync.credentials import callback_credentials
from licensesync.ledger import database, lock, promises
from licensesync.model import Outcome, OutcomeKind, PoolReport, Report
from licensesync.thingspace.client import Client

LOOKS: Final = 0.2
"""Seconds after which the ledger is asked again whether a promise is left."""


@asynccontextmanager
async def prepared(work: Pass, client: Client) -> AsyncIterator[Gated | None]:
    """Callbacks of the chosen pools are heard until the end: here, unless a service does it for the same ledger.

    Raises LicenseSyncError where nobody can listen, or the callbacks go to somebody else.
    """
    ledger, wanted = work.settings.ledger_path(os.environ), work.settings.callbacks
    accounts = list(dict.fromkeys(pool.account for pool in work.pools if not pool.product.is_listed))
    if wanted is None or not accounts or lock.is_held(ledger, lock.SERVICE):
        yield None
        return
    who = callback_credentials(os.environ)
    registrar = Registrar(client, wanted, who)
    desk = Desk(ledger, work.settings.pools.values, CallbackJournal())
    async with hearing(wanted, lambda: who, desk):
        for account in accounts:
            await registrar.keep(account)
        yield registrar.gate


async def settled(ledger: Path, report: Report, until: float, stop: asyncio.Event) -> Report:
    """The report, once no promise of its pools is left, that time of the loop's clock has come or `stop` is set; with
    what became of its own.

    Raises LedgerError.
    """
    while await asyncio.to_thread(count_open, ledger, report) and not stop.is_set():
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            break
        with suppress(TimeoutError):
            async with asyncio.timeout(min(LOOKS, left)):
                await stop.wait()
    ends = await asyncio.to_thread(_ends, ledger, report)
    return replace(report, pools=tuple(_with_ends(pool, ends) for pool in report.pools))


Ends = dict[tuple[str, str], promises.Promise]
"""How the promises of a run stand, by pool and device."""


def count_open(ledger: Path, report: Report) -> int:
    """How many callbacks are still to come for the pools of a report, whoever made the requests. Raises LedgerError."""
    licenses = {pool.plan.pool.licenses for pool in report.pools}
    with database.read(ledger) as connection:
        return promises.count_open(connection, licenses) if connection else 0


def _ends(ledger: Path, report: Report) -> Ends:
    pools = {pool.plan.pool.licenses: pool.plan.pool for pool in report.pools}
    with database.read(ledger) as connection:
        made = promises.of_run(connection, report.run, pools) if connection else []
    return {(promise.pool.name, promise.device): promise for promise in made}


def _with_ends(report: PoolReport, ends: Ends) -> PoolReport:
    return replace(report, outcomes=tuple(_end_of(each, report.plan.pool.name, ends) for each in report.outcomes))


def _end_of(outcome: Outcome, pool: str, ends: Ends) -> Outcome:
    promise = ends.get((pool, outcome.action.device)) if outcome.kind is OutcomeKind.PENDING else None
    return structs.replace(promise.outcome, action=outcome.action) if promise else outcome
