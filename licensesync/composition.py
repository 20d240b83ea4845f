"""The composition root: settings, inventory and credentials become the services, targets and policy of one pass."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from licensesync import reconcile
from licensesync.credentials import Credentials
from licensesync.inventory import Inventory
from licensesync.model import DeviceId, InventoryInfo, Policy, Pool, Product, Remembered, RunPlan
from licensesync.reconcile import Journal, LicenseService, Observer, Recollection, Target
from licensesync.settings import Callbacks, Settings, StatusCall, ThingSpace
from licensesync.thingspace import client
from licensesync.thingspace.client import Client, Reader
from licensesync.thingspace.effort import ONCE
from licensesync.thingspace.fota import FotaLister, FotaReader, FotaService
from licensesync.thingspace.fota_calls import StatusForm
from licensesync.thingspace.login import Login, NoRejections, Rejections
from licensesync.thingspace.sim_secure import Gate, Recall, SimSecureLister, SimSecureReader, SimSecureService
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


async def plan(  # noqa: PLR0913 - what a plan is made of
    work: Pass,
    observers: Mapping[str, Observer],
    policy: Policy,
    journal: Journal,
    recall: Mapping[str, reconcile.Recall],
    *,
    recollections: Mapping[str, Recollection] | None = None,
) -> RunPlan:
    """The plan of the chosen pools, read just now; `recall` has what is remembered of each, if anything is.

    Pools with a recollection are read only if it does not hold any more, or something is to be done.
    """
    targets = [
        Target(
            observers[pool.name],
            work.inventory.desired(pool, policy.today),
            recall.get(pool.name, reconcile.nothing_remembered),
            (recollections or {}).get(pool.name),
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
        yield {pool.name: READERS[pool.product](pool, reader, work.settings) for pool in work.pools}


class Lister(Observer, Protocol):
    """What can say who holds a license of a pool, and since when."""

    @property
    def since(self) -> Mapping[DeviceId, date]:
        """The day (UTC) of the assignment, for the devices that were observed and of which it is recorded."""
        ...


@asynccontextmanager
async def listers(
    work: Survey, listed: Mapping[str, Collection[DeviceId]] | None = None
) -> AsyncIterator[tuple[Lister, ...]]:
    """What can tell who holds a license of each pool; it has no way to write.

    Of pools in `listed`, none of which the service lists, these devices are taken for the holders.
    """
    thingspace = work.settings.thingspace
    rejections = _rejections(work.settings, work.credentials)
    async with client.reading(thingspace.url, _bounds(thingspace), work.credentials, os.environ, rejections) as reader:
        yield tuple(
            LISTERS[pool.product](pool, reader, work.settings, (listed or {}).get(pool.name)) for pool in work.pools
        )


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


Gated = Callable[[Pool], Gate]
"""What must let a pool pass whenever it is about to be read: only then is it run."""


def services(
    pools: Collection[Pool], opened: Client, settings: Settings, gated: Gated | None = None
) -> Mapping[str, LicenseService]:
    """What can read and write each pool; `gated` are those of products whose requests end by callbacks."""
    return {pool.name: WRITERS[pool.product](pool, opened, settings, gated) for pool in pools}


def _fota_reader(pool: Pool, reader: Reader, settings: Settings) -> Observer:
    thingspace = settings.thingspace
    return FotaReader(pool, reader, cursors=thingspace.concurrency, form=status_form(thingspace))


def _sim_secure_reader(pool: Pool, reader: Reader, settings: Settings) -> Observer:
    return SimSecureReader(pool, reader, _remembered(settings), patience=_patience(settings))


def _fota_lister(pool: Pool, reader: Reader, settings: Settings, listed: Collection[DeviceId] | None) -> Lister:
    del listed
    thingspace = settings.thingspace
    return FotaLister(pool, reader, cursors=thingspace.concurrency, form=status_form(thingspace))


def _sim_secure_lister(pool: Pool, reader: Reader, settings: Settings, listed: Collection[DeviceId] | None) -> Lister:
    from licensesync.ledger import holders  # noqa: PLC0415 - slow to import, and not always needed

    since = holders.since(settings.ledger_path(os.environ), pool)
    days = {device: at.astimezone(UTC).date() for device, at in since.items()}
    recall = _remembered(settings, listed)
    return SimSecureLister(pool, reader, recall, patience=_patience(settings), since=days)


def _fota_service(pool: Pool, writer: Client, settings: Settings, gated: Gated | None) -> LicenseService:
    del gated
    thingspace = settings.thingspace
    path = thingspace.fota.licenses_path
    return FotaService(pool, writer, cursors=thingspace.concurrency, form=status_form(thingspace), licenses_path=path)


def _sim_secure_service(pool: Pool, writer: Client, settings: Settings, gated: Gated | None) -> LicenseService:
    gate = gated(pool) if gated else None
    return SimSecureService(pool, writer, _remembered(settings), patience=_patience(settings), gate=gate)


READERS: Mapping[Product, Callable[[Pool, Reader, Settings], Observer]] = {
    Product.FOTA: _fota_reader,
    Product.SIM_SECURE: _sim_secure_reader,
}
LISTERS: Mapping[Product, Callable[[Pool, Reader, Settings, Collection[DeviceId] | None], Lister]] = {
    Product.FOTA: _fota_lister,
    Product.SIM_SECURE: _sim_secure_lister,
}
WRITERS: Mapping[Product, Callable[[Pool, Client, Settings, Gated | None], LicenseService]] = {
    Product.FOTA: _fota_service,
    Product.SIM_SECURE: _sim_secure_service,
}


def _patience(settings: Settings) -> timedelta:
    return (settings.callbacks or Callbacks("")).timeout


def _remembered(settings: Settings, listed: Collection[DeviceId] | None = None) -> Recall:
    """What the ledger knows of who holds licenses that the service does not list; or would, by a list of holders."""
    path = settings.ledger_path(os.environ)

    async def recall(pool: Pool) -> Remembered:
        from licensesync.ledger import holders  # noqa: PLC0415 - slow to import, and not always needed

        return await asyncio.to_thread(holders.look_up, path, pool, listed)

    return recall


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
