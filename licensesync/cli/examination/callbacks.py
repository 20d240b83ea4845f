"""Checks where the callbacks of each account go, without a word of what they are sent along with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from licensesync.cli.examination import listener
from licensesync.cli.examination.told import failed
from licensesync.credentials import CallbackCredentials, callback_credentials
from licensesync.errors import ApiError, CredentialsError
from licensesync.model import Check, Product
from licensesync.settings import Callbacks, Settings
from licensesync.thingspace import callback_calls
from licensesync.thingspace.callback_calls import Registration
from licensesync.thingspace.client import Reader

CALLBACKS: Final = "callbacks"
ADDRESS: Final = "callbacks address"
LISTEN: Final = "callbacks listen"
PORTS: Final = frozenset({80, 443, *range(9001, 9007), *range(28200, 28221), *range(50551, 50560)})
"""To which ThingSpace sends callbacks, as it documents."""

NOT_NEEDED: Final = Check.ok(CALLBACKS, f"not needed, as no pool is {Product.SIM_SECURE}")


async def checks(found: Settings, environ: Mapping[str, str], reader: Reader) -> list[Check]:
    """One for the address, and one for each account that needs callbacks."""
    if found.callbacks is None or not (accounts := _accounts(found)):
        return [NOT_NEEDED]
    who = _who(environ)
    checked = [await _checked(account, found.callbacks, who, reader) for account in accounts]
    return [address(found.callbacks), *checked]


def listeners(found: Settings) -> list[Check]:
    """Where callbacks are to be heard: the address is free, or it is our service that is there."""
    if found.callbacks is None or not _accounts(found):
        return []
    return [listener.checked(found.callbacks.listen, LISTEN, tls=found.callbacks.tls is not None)]


def _who(environ: Mapping[str, str]) -> CallbackCredentials | None:
    try:
        return callback_credentials(environ)
    except (CredentialsError, OSError):  # which is told by another check
        return None


def not_asked(found: Settings) -> list[Check]:
    """What can be said of callbacks where the service cannot be asked."""
    if found.callbacks is None or not (accounts := _accounts(found)):
        return [NOT_NEEDED]
    return [address(found.callbacks), *[Check.skipped(f"{CALLBACKS} {account}", "no login") for account in accounts]]


def address(wanted: Callbacks) -> Check:
    """Whether ThingSpace would send anything to the port of the public address at all."""
    url = urlsplit(wanted.public_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    if port in PORTS:
        return Check.ok(ADDRESS, f"{url.hostname}, port {port}")
    do = "let callbacks.public_url have port 80, 443, 9001 to 9006, 28200 to 28220 or 50551 to 50559"
    return Check.warning(ADDRESS, f"ThingSpace documents no callbacks to port {port}", do)


def _accounts(found: Settings) -> list[str]:
    return list(dict.fromkeys(p.account for p in found.pools.values() if p.product is Product.SIM_SECURE))


async def _checked(account: str, wanted: Callbacks, who: CallbackCredentials | None, reader: Reader) -> Check:
    check = f"{CALLBACKS} {account}"
    try:
        told = await reader.read(callback_calls.registrations(account))
    except ApiError as error:
        return failed(check, error)
    registered = callback_calls.of_service(told)
    if registered is None:
        return _missing(check, wanted)
    if not registered.leads_to(wanted.public_url):
        return _of_others(check, registered)
    if who and not registered.sends_along(who.username, who.password):
        found = f"registered for {registered.host}, but with another name or password than the credentials here"
        return Check.warning(check, found, "start licensesync serve, which renews it, or mend the credentials")
    return Check.ok(check, f"registered for {registered.host}, as callbacks.public_url says")


def _missing(check: str, wanted: Callbacks) -> Check:
    """Registered by REST nowhere; what SOAP has registered is not told."""
    found = "no address is registered"
    if not wanted.register:
        do = "register callbacks.public_url for CarrierService, or write register: true"
        return Check.problem(check, found, do)
    return Check.warning(check, found, "start licensesync serve, which registers callbacks.public_url")


def _of_others(check: str, registered: Registration) -> Check:
    """An account has one address: whoever takes it takes it away from others."""
    host = registered.host or "an address that is no URL"
    return Check.problem(
        check,
        f"they go to {host}, by an address that is not callbacks.public_url",
        "if that is yours, write it as callbacks.public_url; else agree with its owner, as an account has but one "
        "address, and write take_over: true below callbacks",
    )
