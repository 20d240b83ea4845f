"""The daemon's web face: whether it lives and is ready, its metrics and its status; to look at, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import urlsplit

from aiohttp import web

from licensesync.values import Address, is_loopback
from licensesync.web import Failing, Limits, said, serving, shown

MOST_CONNECTIONS: Final = 64
LONGEST_CONNECTION: Final = 10.0
"""Seconds in which a client asks, is answered, and takes the answer; a connection serves one request."""

JSON: Final = "application/json"
METHODS: Final = ("GET", "HEAD")
FAILING: Final = Failing(
    event="listener.failed",
    words="this page cannot be made; the log of the service says why",
    way_out="write another address at listen: in the settings, or off",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes or no, and why in one sentence."""

    ok: bool
    reason: str


class Views(Protocol):
    """What there is to look at, asked for whenever somebody looks."""

    def health(self) -> Answer: ...
    def readiness(self) -> Answer: ...
    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their content type, as an `Accept` header wants them."""
        ...

    async def status(self) -> bytes:
        """A JSON document."""
        ...


@asynccontextmanager
async def listening(address: Address, views: Views, *, patience: float = LONGEST_CONNECTION) -> AsyncIterator[Address]:
    """The views are shown at this address until the end. The value is where: port 0 becomes one that is free.

    Connections are closed after `patience` seconds, whatever they do. Raises LicenseSyncError where nobody can listen.
    """
    pages = _Pages(views, local_only=is_loopback(address.host))
    limits = Limits(MOST_CONNECTIONS, patience)
    async with serving(address, pages, limits, FAILING) as actual:
        yield actual


class _Pages:
    """Answers requests, whatever they ask for."""

    def __init__(self, views: Views, *, local_only: bool) -> None:
        self._views = views
        self._local_only = local_only
        self._pages: Mapping[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/metrics": self._metrics,
            "/status.json": self._status,
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in METHODS:
            return said(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered", Allow=", ".join(METHODS))
        if self._local_only and not _names_this_machine(request.headers.get("Host")):
            return said(HTTPStatus.FORBIDDEN, "this is for this machine only; ask for localhost or 127.0.0.1")
        if request.body_exists:
            return said(HTTPStatus.BAD_REQUEST, "no body is wanted")
        if page := self._pages.get(request.path):
            return await page(request)
        return said(HTTPStatus.NOT_FOUND, f"there is no such page; there are {', '.join(self._pages)}")

    async def _health(self, _: web.BaseRequest) -> web.Response:
        return _judged(self._views.health())

    async def _readiness(self, _: web.BaseRequest) -> web.Response:
        return _judged(self._views.readiness())

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        return shown(*await self._views.metrics(request.headers.get("Accept", "")))

    async def _status(self, _: web.BaseRequest) -> web.Response:
        return shown(await self._views.status(), JSON)


def _names_this_machine(host: str | None) -> bool:
    """A web page whose name somebody made to lead here names another; who names none is no browser."""
    try:
        return host is None or is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _judged(answer: Answer) -> web.Response:
    return said(HTTPStatus.OK if answer.ok else HTTPStatus.SERVICE_UNAVAILABLE, answer.reason)
