"""Gathers all that is known of one device: from the inventory, git, the service by a plan, and the ledger."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial

from licensesync import provenance
from licensesync.cli import composition, ledger, to_the_end
from licensesync.cli import plan as dry_run
from licensesync.cli.options import Globals
from licensesync.composition import Written
from licensesync.credentials import credentials
from licensesync.errors import CredentialsError
from licensesync.identifiers import IMEI
from licensesync.model import (
    Background,
    DeviceId,
    Iccid,
    Imei,
    LineCommit,
    Place,
    Plan,
    Pool,
    Protection,
    Reading,
    Shelter,
    Standing,
    Story,
    Unread,
    iccid_of,
    imei_of,
    prospect,
)
from licensesync.settings import GitSource

Planned = Mapping[str, Plan | Unread]
Past = Mapping[str, Mapping[DeviceId, Background]]


def story(options: Globals, device: str, pools: Collection[str] | None, *, offline: bool) -> Story:
    """What is known of an IMEI or ICCID; the service is asked unless that is not wanted, or cannot be."""
    work = composition.written(options, pools, fetch=not offline)
    planned = {each.pool.name: each for each in _planned(work, offline=offline)}
    imeis = [Imei(device)] if IMEI.fullmatch(device) else _devices_of(work, Iccid(device), planned)
    imei = imeis[0] if imeis else None
    past = _past(work, imei) if imei else {}
    standings = [each for pool in work.pools for each in _standings(work, pool, imei, planned, past)]
    protection = work.inventory.protected.get(imei) if imei else None
    matter = {standing.pool.name for standing in standings}
    return Story(
        device=imei,
        iccid=None if IMEI.fullmatch(device) else Iccid(device),
        standings=tuple(standings),
        shelter=_shelter(work, protection) if protection else None,
        unread=tuple(each for name, each in planned.items() if isinstance(each, Unread) and name not in matter),
    )


def _planned(work: Written, *, offline: bool) -> tuple[Plan | Unread, ...]:
    """The plan as `plan` makes it, or why there is none."""
    if offline:
        return _unread(work, "--offline was asked for")
    try:
        asking = work.asked_by(credentials(os.environ))
    except CredentialsError as error:
        return _unread(work, str(error))
    with ledger.remembered(asking, {}) as recall:
        return to_the_end.run(dry_run.planned(asking, recall)).pools


def _unread(work: Written, why: str) -> tuple[Unread, ...]:
    return tuple(Unread(pool, Reading.UNREAD, why) for pool in work.pools)


def _devices_of(work: Written, iccid: Iccid, planned: Planned) -> list[Imei]:
    """The devices in which a SIM is by the inventory or the plan, else was by the ledger."""
    roster = work.inventory.roster
    named = set(map(roster.imei, roster.rows_with(iccid)))
    for plan in planned.values():
        named |= {imei_of(device) for device in _changed(plan) if iccid_of(device) == iccid}
    path = work.settings.ledger_path(os.environ)
    if named or not path.exists():
        return sorted(named)

    from licensesync.ledger import database, device

    with database.read(path) as connection:
        return sorted(device.imeis_of(connection, iccid)) if connection else []


def _past(work: Written, imei: Imei) -> Past:
    path = work.settings.ledger_path(os.environ)
    if not path.exists():
        return {}

    from licensesync.ledger import database, device

    with database.read(path) as connection:
        if connection is None:
            return {}
        now = datetime.now(UTC)
        return {
            pool.name: device.backgrounds(connection, pool, imei, partial(work.inventory.mark, pool), now)
            for pool in work.pools
        }


def _standings(work: Written, pool: Pool, imei: Imei | None, planned: Planned, past: Past) -> Iterator[Standing]:
    """How the device stands in a pool that matters for it, under each identifier that it has there."""
    if imei is None:
        return
    today = datetime.now(UTC).date()
    found, known = planned[pool.name], past.get(pool.name, {})
    changed = (device for device in _changed(found) if imei_of(device) == imei)
    for device in sorted({*_named(work, pool, imei), *known, *changed}):
        naming = work.inventory.naming(pool, device, today, partial(_line, work))
        wanted = naming is not None and naming.is_active
        outlook = found if isinstance(found, Unread) else prospect(found, device, wanted=wanted)
        background = known.get(device, Background()) if pool.name in past else None
        yield Standing(pool, device, naming, outlook, background)


def _named(work: Written, pool: Pool, imei: Imei) -> set[DeviceId]:
    """What the inventory calls the device in a pool that it names it for."""
    roster = work.inventory.roster
    called = {pool.product.identify(imei, roster.iccid(row)) for row in roster.rows_of(imei)}
    return {device for device in called if device in work.inventory.named(pool)}


def _changed(found: Plan | Unread) -> Iterator[DeviceId]:
    """The devices about which a plan does something, or would."""
    if isinstance(found, Plan):
        yield from (action.device for action in found.actions)
        yield from (held.action.device for held in found.held)


def _shelter(work: Written, protection: Protection) -> Shelter:
    lasts = protection.until is None or datetime.now(UTC).date() < protection.until
    return Shelter(protection, _line(work, protection.place), lasts)


def _line(work: Written, place: Place) -> LineCommit | None:
    """Who wrote a line last; the mirror of a git remote has no history, and cannot tell."""
    if isinstance(work.settings.inventory, GitSource):
        return None
    return provenance.blame(place, work.settings.folder)
