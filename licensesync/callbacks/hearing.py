"""Hears the callbacks of a ledger for as long as somebody wants to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from licensesync.callbacks.desk import Desk
from licensesync.callbacks.listener import listening
from licensesync.callers import Callbacks
from licensesync.credentials import CallbackCredentials
from licensesync.values import Address


@asynccontextmanager
async def hearing(wanted: Callbacks, who: Callable[[], CallbackCredentials], desk: Desk) -> AsyncIterator[Address]:
    """Callbacks are listened to at this address, and settled at the desk, until the end.

    Raises LicenseSyncError where nobody can listen.
    """
    async with desk.at_work(), listening(wanted, who, desk) as address:
        yield address
