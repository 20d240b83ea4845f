"""The composition root: settings, inventory and credentials become the services, targets and policy of one pass."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from licensesync import reconcile
from licensesync.credentials import Credentials
from licensesync.errors import IncompleteObservation
from licensesync.inventory import Inventory
from licensesync.model import DeviceId, InventoryInfo, Memory, Observed, Policy, Pool, Product, Reading, RunPlan
from licensesync.reconcile import Journal, LicenseService, Observer, Target
from licensesync.settings import Settings, StatusCall, ThingSpace
from licensesync.thingspace import client
from licensesync.thingspace.client import Client, Reader
from licensesync.thingspace.effort import ONCE
from licensesync.thingspace.fota import FotaLister, FotaReader, FotaService
from licensesync.thingspace.fota_calls import StatusForm
from licensesync.thingspace.login import Login, NoRejections, Rejections
from licensesync.thingspace.transport import Bounds, Meter


@dataclass(frozen=True)
class Written:
    """What people wrote: the settings, the pools that were chosen of them, and the inventory."""

    settings: Settings
    pools: tuple[Pool, ...]
    inventory: Inventory
    info: InventoryInfo

    def asked_by(self, who: Credentials) -> Pass:
        return Pass(self.settings, self.pools, self.inventory, self.info, who)


@dataclass(frozen=True)
class Pass(Written):
    """What one pass is about: what people wrote, and who asks."""

    credentials: Credentials


@dataclass(frozen=True)
class Survey:
    """What an import is about: the settings, the pools that were chosen and who asks; no inventory is needed."""

    settings: Settings
    pools: tuple[Pool, ...]
    credentials: Credentials


async def plan(
    work: Pass,
    observers: Mapping[str, Observer],
    policy: Policy,
    journal: Journal,
    recall: Mapping[str, Callable[[Observed], Memory]],
) -> RunPlan:
    """The plan of the chosen pools, read just now; `recall` has what is remembered of each, if anything is."""
    targets = [
        Target(
            observers.get(pool.name) or Unsupported(pool),
            work.inventory.desired(pool, policy.today),
            recall.get(pool.name, reconcile.nothing_remembered),
        )
        for pool in work.pools
    ]
    made_at = datetime.now(UTC)
    return RunPlan(work.info, made_at, await reconcile.plan(targets, policy, journal))


def policy(work: Pass, *, removals: bool = True, allowed: Collection[str] = ()) -> Policy:
    """Today's policy: what the inventory approves and what the command line lets pass."""
    return Policy(datetime.now(UTC).date(), removals, work.inventory.approvals, frozenset(allowed))


@asynccontextmanager
async def observers(work: Pass) -> AsyncIterator[Mapping[str, Observer]]:
    """What can read each pool, and has no way to write."""
    thingspace = work.settings.thingspace
    rejections = _rejections(work.settings, work.credentials)
    async with client.reading(thingspace.url, _bounds(thingspace), work.credentials, os.environ, rejections) as reader:
        yield {p.name: READERS[p.product](p, reader, thingspace) for p in work.pools if p.product in READERS}


class Lister(Observer, Protocol):
    """What can say who holds a license of a pool, and since when."""

    @property
    def since(self) -> Mapping[DeviceId, date]:
        """The day (UTC) of the assignment, for the devices that were observed and of which it is recorded."""
        ...


@asynccontextmanager
async def listers(work: Survey) -> AsyncIterator[tuple[Lister, ...]]:
    """What can list each pool, all of them of products in `LISTERS`; it has no way to write."""
    thingspace = work.settings.thingspace
    rejections = _rejections(work.settings, work.credentials)
    async with client.reading(thingspace.url, _bounds(thingspace), work.credentials, os.environ, rejections) as reader:
        yield tuple(LISTERS[pool.product](pool, reader, thingspace) for pool in work.pools)


@asynccontextmanager
async def examiner(settings: Settings, given: Credentials) -> AsyncIterator[Reader]:
    """A client that has no way to write, and tries everything once: each of its logins, too."""
    thingspace, rejections = settings.thingspace, _rejections(settings, given)
    async with client.reading(
        thingspace.url, _bounds(thingspace), given, os.environ, rejections, effort=ONCE
    ) as reader:
        yield reader


@asynccontextmanager
async def writer(settings: Settings, given: Credentials, *, meter: Meter | None = None) -> AsyncIterator[Client]:
    """A client that can change things. One for the life of a process: it knows which logins were rejected."""
    thingspace, rejections = settings.thingspace, _rejections(settings, given)
    async with client.writing(
        thingspace.url, _bounds(thingspace), given, os.environ, rejections, meter=meter
    ) as opened:
        yield opened


def services(pools: Collection[Pool], opened: Client, thingspace: ThingSpace) -> Mapping[str, LicenseService]:
    """What can read and write each pool."""
    return {pool.name: WRITERS[pool.product](pool, opened, thingspace) for pool in pools if pool.product in WRITERS}


def _fota_reader(pool: Pool, reader: Reader, thingspace: ThingSpace) -> Observer:
    return FotaReader(pool, reader, cursors=thingspace.concurrency, form=status_form(thingspace))


def _fota_lister(pool: Pool, reader: Reader, thingspace: ThingSpace) -> Lister:
    return FotaLister(pool, reader, cursors=thingspace.concurrency, form=status_form(thingspace))


def _fota_service(pool: Pool, writer: Client, thingspace: ThingSpace) -> LicenseService:
    path = thingspace.fota.licenses_path
    return FotaService(pool, writer, cursors=thingspace.concurrency, form=status_form(thingspace), licenses_path=path)


READERS: Mapping[Product, Callable[[Pool, Reader, ThingSpace], Observer]] = {Product.FOTA: _fota_reader}
LISTERS: Mapping[Product, Callable[[Pool, Reader, ThingSpace], Lister]] = {Product.FOTA: _fota_lister}
WRITERS: Mapping[Product, Callable[[Pool, Client, ThingSpace], LicenseService]] = {Product.FOTA: _fota_service}


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A pool of a product that this version cannot read: nothing is planned for it, and it says so."""

    pool: Pool

    async def observe(self, known: Collection[DeviceId], progress: Callable[[int, int | None], None]) -> Observed:
        del known, progress
        message = f"this version of licensesync cannot read {self.pool.product} pools; leave it out with --pool"
        raise IncompleteObservation(message, Reading.UNREAD)


def status_form(thingspace: ThingSpace) -> StatusForm | None:
    """The one form of the status call that is wanted, None where the service shall show which it knows."""
    status = thingspace.fota.status
    return None if status is StatusCall.AUTO else StatusForm(status)


def _rejections(found: Settings, given: Credentials) -> Rejections:
    """What the ledger, if there is one, remembers of logins with these very credentials."""
    path = found.ledger_path(os.environ)
    if not os.path.exists(path):
        return NoRejections()
    from licensesync.ledger.logins import RejectedLogins  # noqa: PLC0415 - slow to import, and not always needed

    url = found.thingspace.url
    application = f"{url}\n{given.key}\n{given.secret}"
    user = f"{url}\n{given.username}\n{given.password}"
    return RejectedLogins(path, {Login.APPLICATION: application, Login.USER: user})


def _bounds(thingspace: ThingSpace) -> Bounds:
    return Bounds(thingspace.timeout.total_seconds(), thingspace.concurrency, thingspace.requests_per_second)
