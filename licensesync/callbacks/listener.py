"""The callback listener: takes what ThingSpace tells, and tells nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import unquote

from aiohttp import web

from licensesync.callbacks.caller import caller, within
from licensesync.callbacks.certificate import Certificate
from licensesync.errors import LedgerError
from licensesync.settings import Address, CallbackCredentials, Callbacks
from licensesync.thingspace.callback_wire import Callback, NotACallback, matches, read
from licensesync.web import CutShort, Failing, Limits, TooLarge, body_of, said, serving

LARGEST: Final = 64 * 1024
PATIENCE: Final = 10.0
"""Seconds in which a callback is taken; then the service had better send it again."""

LIMITS: Final = Limits(connections=256, idle=30, request=10, answer=PATIENCE + 5, line=8190)
FAILING: Final = Failing(
    event="callback.failed",
    words="this cannot be taken; the log of the service says why",
    way_out="write another address at callbacks.listen in the settings",
)


class Rejected(StrEnum):
    """Why something that was sent here changes nothing."""

    SOURCE = "source"
    SIZE = "size"
    FORM = "form"
    CREDENTIALS = "credentials"
    FOREIGN = "foreign"
    """It is in order, and about what is not ours: the receiver itself finds that out."""


class Receiver(Protocol):
    """Who takes the callbacks."""

    async def take(self, callback: Callback) -> None:
        """Returns when the ledger has it. Raises LedgerError."""
        ...

    def reject(self, why: Rejected) -> None:
        """Counts what was sent here and is not taken; of its content nothing is told."""
        ...


@asynccontextmanager
async def listening(
    wanted: Callbacks,
    who: Callable[[], CallbackCredentials],
    receiver: Receiver,
    *,
    limits: Limits = LIMITS,
    patience: float = PATIENCE,
) -> AsyncIterator[Address]:
    """Callbacks are taken at `wanted.listen` until the end. The value is where: port 0 becomes one that is free.

    `who` tells the name and the password of good ones, at any moment.

    Raises LicenseSyncError where nobody can listen, or where the files of `wanted.tls` cannot be used.
    """
    mailbox = _Mailbox(wanted, who, receiver, patience)
    tls = None if wanted.tls is None else Certificate(wanted.tls)
    async with serving(wanted.listen, mailbox, limits, FAILING, tls=tls) as actual:
        yield actual


class _Mailbox:
    """Answers whatever is posted to its path alike, so that nobody learns from the answer what is wrong with it."""

    def __init__(
        self, wanted: Callbacks, who: Callable[[], CallbackCredentials], receiver: Receiver, patience: float
    ) -> None:
        self._wanted = wanted
        self._path = _bare(wanted.path)
        self._who = who
        self._receiver = receiver
        self._patience = patience

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if _bare(request.rel_url.raw_path) != self._path:
            return said(HTTPStatus.NOT_FOUND, "there is nothing here")
        if request.method != "POST":
            return said(HTTPStatus.METHOD_NOT_ALLOWED, "only POST is answered", Allow="POST")
        try:
            body = await body_of(request, LARGEST)
        except CutShort:
            return said(HTTPStatus.BAD_REQUEST, "this is not a request that can be read")
        except TooLarge:
            self._receiver.reject(Rejected.SIZE if self._is_from_a_source(request) else Rejected.SOURCE)
            return said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "this is too large for a callback")
        return await self._answer(self._judged(request, body))

    async def _answer(self, judged: Callback | Rejected) -> web.StreamResponse:
        if isinstance(judged, Rejected):
            self._receiver.reject(judged)
        elif not await self._is_taken(judged):
            return said(HTTPStatus.SERVICE_UNAVAILABLE, "not now")
        return said(HTTPStatus.OK, "ok", closes=False)

    def _judged(self, request: web.BaseRequest, body: bytes) -> Callback | Rejected:
        if not self._is_from_a_source(request):
            return Rejected.SOURCE
        try:
            received = read(body)
        except NotACallback:
            return Rejected.FORM
        who = self._who()
        is_theirs = matches(received, who.username, who.password)
        return received.callback if is_theirs else Rejected.CREDENTIALS

    def _is_from_a_source(self, request: web.BaseRequest) -> bool:
        if self._wanted.sources is None:
            return True
        forwarded = request.headers.getall("X-Forwarded-For", [])
        address = caller(request.remote, forwarded, self._wanted.trusted_proxies)
        return address is not None and within(address, self._wanted.sources)

    async def _is_taken(self, callback: Callback) -> bool:
        """Whether the ledger has it: if not, the service is to send it again."""
        try:
            async with asyncio.timeout(self._patience):
                await self._receiver.take(callback)
        except (LedgerError, TimeoutError):
            return False
        return True


def _bare(path: str) -> str:
    """What a path means, with or without a slash at its end."""
    return unquote(path).removesuffix("/")
