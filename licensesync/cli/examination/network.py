"""Checks what lies beyond this process: its address, the way to the service, one login, each account, the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Final

from licensesync import composition
from licensesync.cli.examination import callbacks, connection, fota, listener, sim_secure
from licensesync.cli.examination.told import NO_SETTINGS, failed, with_advice
from licensesync.credentials import Credentials, credentials
from licensesync.errors import ApiError, CredentialsError, LedgerError, LicenseSyncError
from licensesync.model import Check, Pool, Product, Result
from licensesync.settings import Settings
from licensesync.thingspace.client import Reader

LOGIN: Final = "login"
CLOCK: Final = "clock"
SOON_OFF, FAR_OFF = 60, 300  # seconds

EXAMINERS: Mapping[Product, Callable[[Pool, Reader, Settings], Awaitable[Sequence[Check]]]] = {
    Product.FOTA: fota.examined,
    Product.SIM_SECURE: sim_secure.examined,
}
"""What looks at a pool: first its account, then its subscription."""


def checks(found: Settings | None, environ: Mapping[str, str]) -> list[Check]:
    if found is None:
        return [Check.skipped(name, NO_SETTINGS) for name in (connection.CONNECTION, LOGIN, CLOCK)]
    addresses = [listener.checked(found.listen), *callbacks.listeners(found)]
    return [*addresses, *asyncio.run(_reached(found, environ))]


async def _reached(found: Settings, environ: Mapping[str, str]) -> list[Check]:
    way = await connection.checked(found.thingspace, environ)
    if way.result is Result.PROBLEM:
        return [way, *_not_asked(found, Check.skipped(LOGIN, "there is no way to the service"), None)]
    try:
        given = credentials(environ)
    except (CredentialsError, OSError):
        return [way, *_not_asked(found, Check.skipped(LOGIN, "a credential is missing or not usable"), None)]
    return [way, *await _asked(found, given, environ)]


async def _asked(found: Settings, given: Credentials, environ: Mapping[str, str]) -> list[Check]:
    try:
        async with composition.examiner(found, given) as reader:
            login = await _login(reader)
            if login.result is not Result.OK:
                return _not_asked(found, login, reader.clock_skew)
            pools = [await EXAMINERS[each.product](each, reader, found) for each in found.pools.values()]
            return [login, *chain(*pools), *await callbacks.checks(found, environ, reader), clock(reader.clock_skew)]
    except LicenseSyncError as error:
        return _not_asked(found, with_advice(LOGIN, error), None)


async def _login(reader: Reader) -> Check:
    """Tried once, and not at all where the ledger forbids it or cannot tell."""
    try:
        await reader.log_in()
    except ApiError as error:
        return failed(LOGIN, error)
    except (LedgerError, OSError):
        return Check.skipped(LOGIN, "the ledger cannot tell whether it was rejected before, and five lock the user")
    return Check.ok(LOGIN, "the application has a token and the user has a session")


def _not_asked(found: Settings, login: Check, skew: float | None) -> list[Check]:
    """What remains of the checks where there is no login."""
    names = [f"{what} {name}" for name in found.pools for what in ("account", "subscription")]
    skipped = [Check.skipped(name, "no login") for name in names]
    return [login, *skipped, *callbacks.not_asked(found), clock(skew)]


def clock(skew: float | None) -> Check:
    """This machine's clock beside the service's, ahead of it by so many seconds; None: the service was not heard."""
    if skew is None:
        return Check.skipped(CLOCK, "no answer of the service told its time")
    if abs(skew) <= SOON_OFF:
        return Check.ok(CLOCK, f"within {SOON_OFF} s of the service's")
    found = f"this machine's clock is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} the service's"
    make = Check.problem if abs(skew) > FAR_OFF else Check.warning
    return make(CLOCK, found, "let it be set by NTP, such as with timedatectl set-ntp true")
