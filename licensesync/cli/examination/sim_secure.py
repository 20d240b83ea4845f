"""Checks the SIM-Secure licenses of an account: that it answers, and how many licenses of the pool's SKU there are."""

from __future__ import annotations

from collections.abc import Sequence

from licensesync.cli.examination.told import NONE_FREE, failed
from licensesync.composition import READERS
from licensesync.errors import ApiError
from licensesync.model import Check, Pool
from licensesync.settings import ThingSpace
from licensesync.thingspace import sim_secure_calls
from licensesync.thingspace.client import Reader
from licensesync.thingspace.sim_secure_calls import SkuCounts, Subscriptions


async def examined(pool: Pool, reader: Reader, thingspace: ThingSpace) -> Sequence[Check]:
    """The account and its subscription, by one call that tells of both."""
    del thingspace
    account, subscription = f"account {pool.name}", f"subscription {pool.name}"
    try:
        told = await reader.read(sim_secure_calls.subscriptions(pool.account))
    except ApiError as error:
        return failed(account, error), Check.skipped(subscription, "the account did not tell")
    return _account(account, pool), _subscription(subscription, pool, told)


def _account(check: str, pool: Pool) -> Check:
    if pool.product in READERS:
        return Check.ok(check, f"{pool.account} answers")
    found = f"{pool.account} answers, but this version of licensesync cannot read {pool.product} pools yet"
    return Check.warning(check, found, "leave the pool out of plan and apply with --pool")


def _subscription(check: str, pool: Pool, told: Subscriptions) -> Check:
    if counts := told.of(pool.sku):
        if counts.license_available == 0:
            return Check.warning(check, _in_words(counts), NONE_FREE)
        return Check.ok(check, _in_words(counts))
    others = ", ".join(told.skus) or "none"
    found = f"the account has no licenses of SKU {pool.sku}; those that it has: {others}"
    return Check.problem(check, found, "write one of these as sku of the pool, or buy licenses of it")


def _in_words(counts: SkuCounts) -> str:
    """Such as `SIMSec-IoT (Flexible): 9 purchased, 7 assigned, 2 available`, as far as it is told."""
    kind = f" ({counts.license_type})" if counts.license_type else ""
    numbers = {
        "purchased": counts.license_purchased,
        "assigned": counts.license_assigned,
        "available": counts.license_available,
    }
    told = ", ".join(f"{number} {what}" for what, number in numbers.items() if number is not None)
    return f"{counts.sku_number}{kind}: {told or 'no counts are told'}"
