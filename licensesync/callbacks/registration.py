"""Keeps an account's callbacks coming to us, and never takes its one address from somebody else unasked."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import structlog

from licensesync.callers import Callbacks
from licensesync.credentials import CallbackCredentials
from licensesync.errors import IncompleteObservation, RequestRejected
from licensesync.model import Pool, Reading
from licensesync.thingspace import callback_calls
from licensesync.thingspace.callback_calls import Registration
from licensesync.thingspace.client import Client
from licensesync.thingspace.sim_secure import Gate


class Registrar:
    """Looks at where the callbacks of accounts go, and registers our address where that is wanted and nobody's is."""

    def __init__(self, client: Client, wanted: Callbacks, who: CallbackCredentials) -> None:
        self._client = client
        self._wanted = wanted
        self._who = who
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._renewed: set[str] = set()
        self._log: Any = structlog.get_logger()
        client.keep_secret(who.username, who.password)

    def gate(self, pool: Pool) -> Gate:
        """Lets a pool be run only while its callbacks come to us."""

        async def keep() -> None:
            await self.keep(pool.account)

        return keep

    async def keep(self, account: str) -> None:
        """The callbacks of an account come to us from now on.

        Raises IncompleteObservation, which says the way out, where they go elsewhere; ApiError.
        """
        async with self._one_at_a_time[account]:
            told = await self._client.read(callback_calls.registrations(account))
            registered = callback_calls.of_service(told)
            if registered is None:
                await self._register(account)
            elif not registered.leads_to(self._wanted.public_url):
                await self._take_over(account, registered)
            elif account not in self._renewed and not registered.sends_along(self._who.username, self._who.password):
                await self._renew(account)
                self._renewed.add(account)  # who tells no passwords, or other ones, would have it renewed for ever

    async def _register(self, account: str) -> None:
        if not self._wanted.register:
            raise _closed(
                f"no address is registered for the callbacks of account {account}, and register is false; register "
                "callbacks.public_url for CarrierService, or write register: true"
            )
        await self._send_registration(account)
        self._log.info("callbacks.registered", account=account, url=self._wanted.public_url)

    async def _take_over(self, account: str, registered: Registration) -> None:
        host = registered.host or "an address that is no URL"
        if not self._wanted.take_over:
            raise _closed(
                f"the callbacks of account {account} go to {host}, by an address that is not callbacks.public_url; if "
                "that address is yours, write it as callbacks.public_url; if it may be replaced, which ends what "
                "its owner does with it, write take_over: true below callbacks"
            )
        await self._replace_registration(account)
        self._log.warning("callbacks.taken-over", account=account, url=self._wanted.public_url, host_before=host)

    async def _renew(self, account: str) -> None:
        """Ours, but not with the name and the password by which we know our callbacks."""
        if not self._wanted.register:
            raise _closed(
                f"the callbacks of account {account} come with another name or password than CALLBACK_USERNAME and "
                "CALLBACK_PASSWORD, and register is false; make them equal, or write register: true"
            )
        await self._replace_registration(account)
        self._log.info("callbacks.renewed", account=account, url=self._wanted.public_url)

    async def _replace_registration(self, account: str) -> None:
        """At once where the service allows that, so that there is no moment without one."""
        try:
            await self._send_registration(account)
        except IncompleteObservation:
            await self._client.write(callback_calls.deregister(account))
            await self._send_registration(account)

    async def _send_registration(self, account: str) -> None:
        call = callback_calls.register(account, self._wanted.public_url, self._who.username, self._who.password)
        try:
            await self._client.write(call)
        except RequestRejected as error:
            raise _closed(
                f"the callbacks of account {account} cannot be registered: {error}; if the SOAP API holds them, which "
                "is not told, deregister them there"
            ) from error


def _closed(why: str) -> IncompleteObservation:
    return IncompleteObservation(why, Reading.UNREAD)
