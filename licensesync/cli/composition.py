"""The composition root: settings, inventory and credentials become the services, targets and policy of one pass."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol

import typer

from licensesync import inventory, journal, provenance, reconcile, settings
from licensesync.cli.options import Globals, LogFormat
from licensesync.credentials import Credentials, credentials
from licensesync.errors import IncompleteObservation
from licensesync.inventory import Inventory
from licensesync.model import DeviceId, InventoryInfo, Memory, Observed, Policy, Pool, Product, Reading, RunPlan
from licensesync.reconcile import Journal, LicenseService, Observer, Target
from licensesync.settings import Settings, StatusCall, ThingSpace
from licensesync.thingspace import client
from licensesync.thingspace.client import Client, Reader
from licensesync.thingspace.fota import FotaLister, FotaReader, FotaService
from licensesync.thingspace.fota_calls import StatusForm
from licensesync.thingspace.login import Login, NoRejections, Rejections
from licensesync.thingspace.transport import Bounds


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


def prepare(options: Globals, pool_names: Collection[str] | None, git_ref: str | None = None) -> Pass:
    """All that a pass needs before it asks the service anything. Raises what is wrong with any of it.

    With `git_ref` the inventory is that of a commit, else the one that is checked out.
    """
    return written(options, pool_names, git_ref).asked_by(credentials(os.environ))


def written(options: Globals, pool_names: Collection[str] | None, git_ref: str | None = None) -> Written:
    """The same without credentials, for what is known before the service is asked."""
    journal.configure(as_json=_logs_as_json(options), level=options.log_level)
    found = settings.load(settings.find(options.settings, os.environ, Path.cwd()))
    pools = _chosen(found.pools, pool_names or ())
    path, base = provenance.local(found.inventory), found.file.parent
    if git_ref is None:
        loaded = inventory.load(path, found.pools, base)
        info = provenance.stamped(loaded.info, path)
    else:
        tree = provenance.at_commit(path, git_ref, base)
        loaded = inventory.load_from(tree, found.pools)
        info = replace(loaded.info, commit=tree.commit)
    return Written(found, pools, loaded, info)


@dataclass(frozen=True)
class Survey:
    """What an import is about: the settings, the pools that were chosen and who asks; no inventory is needed."""

    settings: Settings
    pools: tuple[Pool, ...]
    credentials: Credentials


def survey(options: Globals, pool_names: Collection[str] | None) -> Survey:
    """All that an import needs before it asks the service anything. Raises what is wrong with any of it."""
    journal.configure(as_json=_logs_as_json(options), level=options.log_level)
    found = settings.load(settings.find(options.settings, os.environ, Path.cwd()))
    return Survey(found, _chosen(found.pools, pool_names or ()), credentials(os.environ))


def named_at(work: Pass, ref: str) -> Mapping[str, Memory]:
    """What is remembered where there is no ledger: that the inventory of a commit has named these devices."""
    tree = provenance.at_commit(provenance.local(work.settings.inventory), ref, work.settings.file.parent)
    if tree.is_empty:
        return {}
    base = inventory.load_from(tree, work.settings.pools)
    return {pool.name: Memory(managed=base.named(pool)) for pool in work.pools}


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
async def services(work: Pass) -> AsyncIterator[Mapping[str, LicenseService]]:
    """What can read and write each pool."""
    thingspace = work.settings.thingspace
    rejections = _rejections(work.settings, work.credentials)
    async with client.writing(thingspace.url, _bounds(thingspace), work.credentials, os.environ, rejections) as writer:
        yield {p.name: WRITERS[p.product](p, writer, thingspace) for p in work.pools if p.product in WRITERS}


def _fota_reader(pool: Pool, reader: Reader, thingspace: ThingSpace) -> Observer:
    return FotaReader(pool, reader, cursors=thingspace.concurrency, form=_form(thingspace))


def _fota_lister(pool: Pool, reader: Reader, thingspace: ThingSpace) -> Lister:
    return FotaLister(pool, reader, cursors=thingspace.concurrency, form=_form(thingspace))


def _fota_service(pool: Pool, writer: Client, thingspace: ThingSpace) -> LicenseService:
    path = thingspace.fota.licenses_path
    return FotaService(pool, writer, cursors=thingspace.concurrency, form=_form(thingspace), licenses_path=path)


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


def _form(thingspace: ThingSpace) -> StatusForm | None:
    status = thingspace.fota.status
    return None if status is StatusCall.AUTO else StatusForm(status)


def _rejections(found: Settings, given: Credentials) -> Rejections:
    """What the ledger, if there is one, remembers of logins with these very credentials."""
    path = found.ledger_path(os.environ)
    if not path.exists():
        return NoRejections()
    from licensesync.ledger.logins import RejectedLogins

    url = found.thingspace.url
    application = f"{url}\n{given.key}\n{given.secret}"
    user = f"{url}\n{given.username}\n{given.password}"
    return RejectedLogins(path, {Login.APPLICATION: application, Login.USER: user})


def _bounds(thingspace: ThingSpace) -> Bounds:
    return Bounds(thingspace.timeout.total_seconds(), thingspace.concurrency, thingspace.requests_per_second)


def _chosen(pools: Mapping[str, Pool], names: Collection[str]) -> tuple[Pool, ...]:
    unknown = [name for name in names if name not in pools]
    if unknown:
        raise typer.BadParameter(f"unknown pool {', '.join(unknown)}; write one of {', '.join(pools)}")
    return tuple(pool for pool in pools.values() if not names or pool.name in names)


def _logs_as_json(options: Globals) -> bool:
    if options.log_format is None:
        return not sys.stderr.isatty()
    return options.log_format is LogFormat.JSON
