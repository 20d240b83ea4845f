"""Checks the SIM-Secure licenses of an account: that it answers, and how many licenses of the pool's SKU there are."""

from __future__ import annotations

import os
from collections.abc import Sequence

from licensesync.cli.examination.told import NONE_FREE, failed
from licensesync.errors import ApiError, IncompleteObservation, LedgerError
from licensesync.model import Check, Pool
from licensesync.render.words import counted
from licensesync.settings import Settings
from licensesync.thingspace import sim_secure_calls
from licensesync.thingspace.client import Reader
from licensesync.thingspace.sim_secure import capacity_of, disagreement
from licensesync.thingspace.sim_secure_calls import SkuCounts, Subscriptions


async def examined(pool: Pool, reader: Reader, found: Settings) -> Sequence[Check]:
    """The account and its subscription, by one call that tells of both; beside it what the ledger knows."""
    account, subscription = f"account {pool.name}", f"subscription {pool.name}"
    try:
        told = await reader.read(sim_secure_calls.subscriptions(pool.account))
    except ApiError as error:
        return failed(account, error), Check.skipped(subscription, "the account did not tell")
    return _account(account, pool, told, found), _subscription(subscription, pool, told)


def _account(check: str, pool: Pool, told: Subscriptions, found: Settings) -> Check:
    """Whether those who are known to hold a license are as many as the service counts."""
    from licensesync.ledger import holders

    counts = told.of(pool.sku)
    if counts is None:
        return Check.ok(check, f"{pool.account} answers")
    try:
        known = holders.look_up(found.ledger_path(os.environ), pool)
        doubt = disagreement(pool, capacity_of(counts), known)
    except (IncompleteObservation, LedgerError) as error:
        return Check.warning(check, str(error), "nothing is planned for this pool until that is known")
    if doubt:
        what, _, do = doubt.partition("; ")
        return Check.warning(check, what, do)
    doubtful = f", {counted(len(known.doubtful), 'open request')}" if known.doubtful else ""
    others = f", {known.others} of others" if known.others else ""
    return Check.ok(
        check, f"{pool.account}: {counted(len(known.holders), 'holder')} known{doubtful}{others}, as it counts"
    )


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
