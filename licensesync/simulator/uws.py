"""Reads what all calls of Connectivity Management have in common: an account by its name, and a body."""

from collections.abc import Mapping

import orjson

from licensesync.simulator import refusals
from licensesync.simulator.exchange import Asked
from licensesync.simulator.state import Account, World


def account_named(world: World, name: object) -> Account:
    """The account, whose name may be written without its hyphen, as a sample has it."""
    if not isinstance(name, str) or not name:
        raise refusals.uws("INPUT_INVALID.Account.NotDefined", "The account name is missing.")
    for account in world.accounts.values():
        if name in (account.name, account.name.replace("-", "")):
            return account
    raise refusals.uws("REQUEST_FAILED.AccountNotFound", f"Could not find account {name}.")


def object_in(asked: Asked) -> Mapping[str, object]:
    if not asked.body:
        raise refusals.uws("INPUT_INVALID.RequestUndefined", "The request is empty.")
    try:
        wanted = orjson.loads(asked.body)
    except orjson.JSONDecodeError:
        wanted = None
    if not isinstance(wanted, dict):
        raise unreadable()
    return wanted


def unreadable() -> refusals.Refusal:
    return refusals.uws("REQUEST_FAILED.DeserializationFailed", "The request cannot be read.")
