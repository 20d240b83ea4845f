"""Checks the FOTA licenses of an account: that they can be listed, how many there are, and how they are billed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from licensesync.cli.examination.told import NONE_FREE, failed
from licensesync.composition import status_form
from licensesync.errors import ApiError, IncompleteObservation, LicenseSyncError, RequestRejected
from licensesync.model import Capacity, Check, Pool
from licensesync.render.words import counted
from licensesync.settings import Settings, ThingSpace
from licensesync.thingspace import fota_calls
from licensesync.thingspace.client import Reader
from licensesync.thingspace.fota import FotaReader
from licensesync.thingspace.fota_calls import BY_EVENT, MONTHLY, Subscription

KNOWN: Final = (MONTHLY, BY_EVENT)


async def examined(pool: Pool, reader: Reader, found: Settings) -> Sequence[Check]:
    """The account by the first page of its list, then its subscription."""
    listed = await _listed(pool, reader, found.thingspace)
    bought = await _bought(pool, reader)
    billed_by_event = isinstance(bought, Subscription) and bought.by_event_only
    if billed_by_event and isinstance(listed, RequestRejected):
        account = Check.skipped(f"account {pool.name}", "an account that is billed by event only has no list")
    else:
        account = _account(f"account {pool.name}", pool, listed)
    return account, _subscription(f"subscription {pool.name}", bought)


async def _listed(pool: Pool, reader: Reader, thingspace: ThingSpace) -> Capacity | LicenseSyncError:
    try:
        return await FotaReader(pool, reader, cursors=1, form=status_form(thingspace)).capacity()
    except (ApiError, IncompleteObservation) as error:
        return error


async def _bought(pool: Pool, reader: Reader) -> Subscription | ApiError:
    try:
        return await reader.read(fota_calls.subscription(pool.account))
    except ApiError as error:
        return error


def _account(check: str, pool: Pool, listed: Capacity | LicenseSyncError) -> Check:
    if isinstance(listed, ApiError):
        return failed(check, listed)
    if isinstance(listed, LicenseSyncError):
        return Check.warning(check, str(listed), "nothing is planned for this pool until the service tells")
    counts = f"{counted(listed.total, 'license')}, {listed.assigned} assigned, {listed.free} free"
    if not listed.free:
        return Check.warning(check, f"{pool.account}: {counts}", NONE_FREE)
    return Check.ok(check, f"{pool.account}: {counts}")


def _subscription(check: str, bought: Subscription | ApiError) -> Check:
    if isinstance(bought, ApiError):
        return failed(check, bought)
    kinds = ", ".join(kind if kind.upper() in KNOWN else f"{kind} (not known here)" for kind in bought.kinds)
    if bought.by_event_only:
        do = f"buy monthly licenses ({MONTHLY}), or take the pool out of the settings"
        return Check.problem(check, f"{kinds}: billed by event only, so there is no license to assign", do)
    if not kinds:
        return Check.warning(check, "the service does not tell what was bought", f"ask Verizon for {MONTHLY}")
    return Check.ok(check, kinds)
