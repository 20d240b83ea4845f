"""The daemon's web face: whether it lives and is ready, its metrics and its status; to look at, and nothing else."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from licensesync.errors import LicenseSyncError
from licensesync.values import Address, is_loopback

MOST_CONNECTIONS: Final = 64
LONGEST_CONNECTION: Final = 10.0
"""Seconds in which a client asks, is answered, and takes the answer; a connection serves one request."""

READS_ON: Final = 1.0  # seconds for which a body that nobody wants is read, so that its sender sees the answer
LONGEST_LINE: Final = 4096
MOST_HEADERS: Final = 64
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'",
    "Server": "licensesync",
    "X-Content-Type-Options": "nosniff",
}
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
METHODS: Final = ("GET", "HEAD")


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
    runner = web.ServerRunner(_Server(pages, patience), shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, *address, backlog=MOST_CONNECTIONS).start()
        except OSError as error:
            raise LicenseSyncError(
                f"cannot listen at {address}: {_why(error)}; write another address at listen: in the settings, or off"
            ) from error
        yield Address(address.host, runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _why(error: OSError) -> str:
    known = {
        errno.EADDRINUSE: "another program listens there",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EACCES: "this user may not use that port",
    }
    # Newer Pythons pass over an address that this machine has not, and raise an error without a number at the end.
    number = errno.EADDRNOTAVAIL if error.errno is None else error.errno
    return known.get(number) or error.strerror or str(error)


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
            return _said(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered", Allow=", ".join(METHODS))
        if self._local_only and not _names_this_machine(request.headers.get("Host")):
            return _said(HTTPStatus.FORBIDDEN, "this is for this machine only; ask for localhost or 127.0.0.1")
        if request.body_exists:
            return _said(HTTPStatus.BAD_REQUEST, "no body is wanted")
        if page := self._pages.get(request.path):
            return await page(request)
        return _said(HTTPStatus.NOT_FOUND, f"there is no such page; there are {', '.join(self._pages)}")

    async def _health(self, _: web.BaseRequest) -> web.Response:
        return _judged(self._views.health())

    async def _readiness(self, _: web.BaseRequest) -> web.Response:
        return _judged(self._views.readiness())

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        return _shown(*await self._views.metrics(request.headers.get("Accept", "")))

    async def _status(self, _: web.BaseRequest) -> web.Response:
        return _shown(await self._views.status(), JSON)


def _names_this_machine(host: str | None) -> bool:
    """A web page whose name somebody made to lead here names another; who names none is no browser."""
    try:
        return host is None or is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _judged(answer: Answer) -> web.Response:
    return _said(HTTPStatus.OK if answer.ok else HTTPStatus.SERVICE_UNAVAILABLE, answer.reason)


def _said(status: HTTPStatus, words: str, **headers: str) -> web.Response:
    return _shown(f"{words}\n".encode("utf-8", "replace"), TEXT, status, headers)


def _shown(
    body: bytes, content_type: str, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    told = web.Response(body=body, status=status, headers={**HEADERS, "Content-Type": content_type, **(headers or {})})
    told.force_close()  # one request a connection: then its time limit is all that there is to guard
    return told


class _Server(web.Server):
    """Has only so many connections at once, each for a short time."""

    def __init__(self, pages: _Pages, patience: float) -> None:
        super().__init__(
            pages,
            keepalive_timeout=patience,
            lingering_time=READS_ON,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            auto_decompress=False,
            access_log=None,
        )
        self._patience = patience
        self._ends: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._ends) >= MOST_CONNECTIONS:
            self._make_room()
        self._ends[handler] = asyncio.get_running_loop().call_later(self._patience, transport.abort)

    def _make_room(self) -> None:
        """The connection that has been there longest goes: who only wants an answer is not kept out by idle ones."""
        oldest = next(iter(self._ends))
        self._ends.pop(oldest).cancel()
        if isinstance(oldest.transport, asyncio.Transport):
            oldest.transport.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if end := self._ends.pop(handler, None):
            end.cancel()


class _Connection(web.RequestHandler):
    """Says what is wrong in our words: aiohttp's own would quote the request and its version."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del message  # it quotes the request
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _said(HTTPStatus.BAD_REQUEST, "this is not a request that can be read")
        log: Any = structlog.get_logger()
        log.error("listener.failed", page=request.path, problem=f"{type(exc).__name__}: {exc}")
        return _said(HTTPStatus.INTERNAL_SERVER_ERROR, "this page cannot be made; the log of the service says why")
