"""An HTTP server that is not at the mercy of who connects."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from aiohttp import HttpVersion11, web

from licensesync.errors import LicenseSyncError
from licensesync.values import Address

Answerer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Secrecy = Callable[[], ssl.SSLContext]
"""What the next connection is made secret with."""

READS_ON: Final = 1.0  # seconds for which a body that nobody wants is read, so that its sender sees the answer
ENDS_WITHIN: Final = 1.0
"""Seconds in which what is being answered at the end may come to its own end."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
    "Server": "licensesync",
    "X-Content-Type-Options": "nosniff",
}
TEXT: Final = "text/plain; charset=utf-8"
GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there may be, and for how many seconds.

    A connection may do nothing for `idle`; a request may take `request` from its first byte to its last, and `answer`
    from there on. Where these are None, a connection is over `idle` after it began, whatever it does.
    """

    connections: int
    idle: float
    request: float | None = None
    answer: float | None = None
    line: int = 4096
    headers: int = 64


@dataclass(frozen=True, slots=True)
class Failing:
    """What is told where an answer cannot be made, to the log and to who asked; and where nobody can listen."""

    event: str
    words: str
    way_out: str


class TooLarge(Exception):
    """There is more of a body than is taken; it has not been read to its end."""


class CutShort(Exception):
    """A body ended in the middle, or in nonsense."""


@asynccontextmanager
async def serving(
    address: Address, answerer: Answerer, limits: Limits, failing: Failing, *, tls: Secrecy | None = None
) -> AsyncIterator[Address]:
    """Requests are answered at this address until the end. The value is where: port 0 becomes one that is free.

    Raises LicenseSyncError where nobody can listen.
    """
    runner = web.ServerRunner(_Server(answerer, limits, failing, tls), shutdown_timeout=ENDS_WITHIN)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, *address, backlog=limits.connections).start()
        except OSError as error:
            raise LicenseSyncError(f"cannot listen at {address}: {_why(error)}; {failing.way_out}") from error
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


def said(status: HTTPStatus, words: str, *, closes: bool = True, **headers: str) -> web.Response:
    """An answer of one line."""
    return shown(f"{words}\n".encode("utf-8", "replace"), TEXT, status, headers, closes=closes)


def shown(
    body: bytes,
    content_type: str,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    *,
    closes: bool = True,
) -> web.Response:
    """An answer, after which the connection is over unless it says otherwise."""
    connection = {"Connection": "close"} if closes else {}
    named = {**HEADERS, **connection, "Content-Type": content_type, **(headers or {})}
    told = web.Response(body=body, status=status, headers=named)
    if closes:
        told.force_close()
    return told


async def body_of(request: web.BaseRequest, most: int) -> bytes:
    """The body, just as it was sent; then the request has come whole. Raises TooLarge or CutShort."""
    if (request.content_length or 0) > most:
        raise TooLarge
    if request.version == HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(GO_ON)
        request.writer.output_size = 0  # nothing of the answer itself has been sent
    body = bytearray()
    try:
        while more := await request.content.readany():
            body += more
            if len(body) > most:
                raise TooLarge
    except (ConnectionError, web.RequestPayloadError):
        raise CutShort from None
    if isinstance(request.protocol, _Connection):
        request.protocol.has_asked()
    return bytes(body)


class _Server(web.Server):
    """Has only so many connections at once, each for a short time."""

    def __init__(self, answerer: Answerer, limits: Limits, failing: Failing, tls: Secrecy | None) -> None:
        super().__init__(
            answerer,
            keepalive_timeout=limits.idle,
            lingering_time=READS_ON,
            max_line_size=limits.line,
            max_field_size=limits.line,
            max_headers=limits.headers,
            auto_decompress=False,
            access_log=None,
        )
        self.limits = limits
        self.failing = failing
        self.tls = tls
        self._seats: dict[asyncio.Transport, None] = {}
        self._greetings: dict[asyncio.Transport, asyncio.Task[None]] = {}

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def seat(self, transport: asyncio.Transport) -> None:
        """Whoever has waited for longest since he last was answered makes room: idle ones keep nobody out."""
        if len(self._seats) >= self.limits.connections:
            oldest = next(iter(self._seats))
            self.leave(oldest)
            oldest.abort()
        self._seats[transport] = None

    def renew(self, transport: asyncio.Transport) -> None:
        if transport in self._seats:
            self.leave(transport)
            self._seats[transport] = None

    def leave(self, transport: asyncio.Transport) -> None:
        self._seats.pop(transport, None)

    def greet(self, transport: asyncio.Transport, greeting: Coroutine[Any, Any, None]) -> None:
        """Goes on while a connection is made secret: others do not wait for that."""
        task = self._greetings[transport] = self._loop.create_task(greeting)
        task.add_done_callback(lambda _: self._greetings.pop(transport, None))

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as aiohttp has it
        greeted = dict(self._greetings)
        for transport, greeting in greeted.items():
            greeting.cancel()
            transport.abort()
        await asyncio.gather(*greeted.values(), return_exceptions=True)
        await super().shutdown(timeout)


class _Connection(web.RequestHandler):
    """Ends in time, and says what is wrong in our words: aiohttp's own would quote the request and its version."""

    __slots__ = ("_end", "_is_asking", "_server", "_socket")

    def __init__(self, server: _Server, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, **options)
        self._server = server
        self._socket: asyncio.Transport | None = None
        self._end: asyncio.TimerHandle | None = None
        self._is_asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        self._server.seat(self._socket)
        self._ends_in(self._server.limits.idle)
        if self._server.tls is None:
            super().connection_made(transport)
            return
        self._ends_in(self._server.limits.request)
        self._socket.pause_reading()
        self._server.greet(self._socket, self._made_secret(self._socket, self._server.tls()))

    async def _made_secret(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        """A server of asyncio would do so by itself, and would tell of a connection only then: nothing could end it."""
        if transport.is_closing():
            return
        try:
            secret = await self._loop.start_tls(transport, self, tls, server_side=True, ssl_shutdown_timeout=READS_ON)
        except OSError:  # whoever it is speaks no TLS, or has gone
            secret = None
        except asyncio.CancelledError:
            self._over()
            raise
        if secret is None or self._end is None:
            self._over()
            return
        if not self._is_asking:
            self._ends_in(self._server.limits.idle)
        super().connection_made(secret)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._over()

    def _over(self) -> None:
        if self._socket:
            self._server.leave(self._socket)
        if self._end:
            self._end.cancel()
            self._end = None

    def _ends_in(self, seconds: float | None) -> None:
        if self._socket is None or seconds is None:
            return
        if self._end:
            self._end.cancel()
        self._end = self._loop.call_later(seconds, self._socket.abort)

    def data_received(self, data: bytes) -> None:
        if data and not self._is_asking:
            self._is_asking = True
            self._ends_in(self._server.limits.request)
        super().data_received(data)

    def has_asked(self) -> None:
        """The request has come to its end: now it is our turn."""
        self._ends_in(self._server.limits.answer)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        if self._socket and self._end and self._server.limits.request is not None:
            self._is_asking = False
            self._ends_in(self._server.limits.idle)
            self._server.renew(self._socket)
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del message  # it quotes the request
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return said(HTTPStatus.BAD_REQUEST, "this is not a request that can be read")
        log: Any = structlog.get_logger()
        log.error(self._server.failing.event, page=request.path, problem=f"{type(exc).__name__}: {exc}")
        return said(HTTPStatus.INTERNAL_SERVER_ERROR, self._server.failing.words)
