"""One HTTP request to ThingSpace: within the limits of rate, concurrency, time and size, or an error of ours."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import aiohttp
import msgspec
from aiolimiter import AsyncLimiter
from yarl import URL

from licensesync import __version__
from licensesync.errors import ApiError, LicenseSyncError, Unconnected, UnexpectedReply, Unreachable
from licensesync.thingspace.connections import Connections
from licensesync.thingspace.wire import Call, Read, clock_skew, error_code, error_for, excerpt
from licensesync.values import is_loopback

T = TypeVar("T")

USER_AGENT = f"licensesync/{__version__}"
LARGEST_BODY = 32 * 2**20
LARGEST_ERROR = 2**16
"""Of what is no success so much is read: it has a status, a code and a few words."""
SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may ask of the service: seconds for one request, requests in flight, requests a second."""

    timeout: float = 30.0
    concurrency: int = 4
    requests_per_second: float = 10.0


class Meter(Protocol):
    """What is told of the requests that are made."""

    def answered(self, what: str, result: str, seconds: float) -> None:
        """A request came to its end: `ok`, or the word of its error; so long after it was sent."""

    def waits(self, what: str, seconds: float) -> None:
        """A request failed and is made again after so long."""


class Unmetered:
    """Tells nobody."""

    def answered(self, what: str, result: str, seconds: float) -> None:
        pass

    def waits(self, what: str, seconds: float) -> None:
        pass


@dataclass(slots=True)
class Transport:
    """Sends calls and reads their answers; knows the secrets only to keep them out of every message."""

    session: aiohttp.ClientSession
    url: str
    bounds: Bounds
    proxy: Proxy
    limiter: AsyncLimiter
    in_flight: asyncio.Semaphore
    connections: Connections | None = None
    meter: Meter = field(default_factory=Unmetered)
    secrets: set[str] = field(default_factory=set, repr=False)
    clock_skew: float | None = None
    """By how many seconds this machine's clock is ahead of the service's, by the last answer that has a time."""

    async def send(self, call: Call[T], headers: Mapping[str, str]) -> T:
        """The value of the call's answer. Raises the `ApiError` that says what went wrong."""
        async with self.in_flight, self.limiter:
            begun = perf_counter()
            try:
                told = await self._sent(call, headers)
            except ApiError as error:
                self.meter.answered(call.what, error.word, perf_counter() - begun)
                raise
            self.meter.answered(call.what, "ok", perf_counter() - begun)
            return told

    async def _sent(self, call: Call[T], headers: Mapping[str, str]) -> T:
        status, told, body = await self._exchange(call, headers)
        if not 200 <= status < 300:
            quotable = msgspec.json.encode({"errorCode": error_code(body)}) if call.confidential else body
            error = error_for(call.what, status, told, self._without_secrets(quotable), datetime.now(UTC))
            raise type(error)(
                self.redacted(str(error)), status=status, code=self.redacted(error.code), retry_after=error.retry_after
            )
        try:
            return call.read(body)
        except UnexpectedReply:
            raise self._unexpected(call, body, status) from None

    def _unexpected(self, call: Call[T], body: bytes, status: int) -> UnexpectedReply:
        """The same complaint about the body without secrets in it: a quotation may end in the middle of one."""
        code = error_code(body[:LARGEST_ERROR])
        try:
            call.read(self._without_secrets(body))
        except UnexpectedReply as error:
            return UnexpectedReply(self.redacted(str(error)), status=status, code=code)
        return UnexpectedReply(f"{call.what}: the answer is not what Verizon documents", status=status, code=code)

    async def _exchange(self, call: Call[T], headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        asked = datetime.now(UTC)
        try:
            async with self.session.request(
                call.method,
                URL(self.url + call.path, encoded=True).with_query(call.query or None),
                data=call.body,
                headers={**headers, **self.proxy.request_headers, **_content_type(call)},
                allow_redirects=False,
                proxy=self.proxy.address,
                proxy_headers=self.proxy.connect_headers,
            ) as response:
                skew = clock_skew(response.headers, asked, datetime.now(UTC))
                self.clock_skew = self.clock_skew if skew is None else skew
                return response.status, response.headers, await _body(call, response)
        except TimeoutError:
            raise Unreachable(f"{call.what}: no answer within {self.bounds.timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            words = excerpt(self.redacted(_trouble(error)))
            kind = Unconnected if isinstance(error, aiohttp.ClientConnectorError) else Unreachable
            raise kind(f"{call.what}: no answer from {urlsplit(self.url).netloc}: {words}") from None

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[Transport]:
        """The same, for calls that belong together: their connections are used again, and closed at the end.

        It is the same transport where that has no say about its connections.
        """
        if self.connections is None:
            yield self
            return
        async with self.connections.kept() as session:
            kept = replace(self, session=session)
            try:
                yield kept
            finally:
                self.clock_skew = kept.clock_skew

    def keep_secret(self, *secrets: str) -> None:
        """No message holds these from now on, in whatever way JSON or a quotation writes them."""
        for secret in secrets:
            escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
            written = {secret, *escaped, *(each.replace("/", "\\/") for each in escaped), " ".join(secret.split())}
            self.secrets.update(each for each in written if len(each) >= SHORTEST_SECRET)

    def redacted(self, text: str) -> str:
        """A text of the service or about it, without secrets."""
        return self._without_secrets(text.encode("utf-8", "replace")).decode()

    def _without_secrets(self, body: bytes) -> bytes:
        for secret in sorted(self.secrets, key=len, reverse=True):
            body = body.replace(secret.encode(), b"***")
        return body


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy that stands between, if any, and the headers that it wants: with CONNECT, or with each request."""

    address: URL | None = None
    connect_headers: Mapping[str, str] | None = None
    request_headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


async def _body(call: Call[T], response: aiohttp.ClientResponse) -> bytes:
    """All of a success, the beginning of anything else."""
    success = 200 <= response.status < 300
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if not success and len(body) > LARGEST_ERROR:
            return bytes(body[:LARGEST_ERROR])
        if len(body) > LARGEST_BODY:
            body.clear()  # whoever keeps the error would keep it as well
            raise UnexpectedReply(f"{call.what}: the answer is larger than {LARGEST_BODY >> 20} MiB")
    if success and not body and isinstance(call, Read) and not _says_that_it_is_empty(response):
        raise UnexpectedReply(f"{call.what}: the answer ended before it began", status=response.status)
    return bytes(body)


def _says_that_it_is_empty(response: aiohttp.ClientResponse) -> bool:
    """Whether nothing is all that there was to come: of an answer that ends with its connection nobody can tell."""
    return response.status == 204 or not {"Content-Length", "Transfer-Encoding"}.isdisjoint(response.headers)


def _trouble(error: Exception) -> str:
    """What went wrong with an answer, without a word of it: it may quote secrets, and a quotation end in one."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answers HTTP {error.status}"
        case aiohttp.ClientResponseError():
            return "what comes is no HTTP that can be read"
        case aiohttp.ClientPayloadError():
            return "the answer broke off, or cannot be read"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed"
        case _:
            return str(error) or type(error).__name__


def _content_type(call: Call[T]) -> Mapping[str, str]:
    return {"Content-Type": call.content_type} if call.body is not None else {}


@asynccontextmanager
async def opened(
    url: str, bounds: Bounds, environ: Mapping[str, str], meter: Meter | None = None
) -> AsyncIterator[Transport]:
    """A transport to the service at `url`, closed at the end. Certificates are verified."""
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    connections = Connections(bounds.timeout, bounds.concurrency, headers, _trust(url))
    async with connections.single() as session:
        limiter = AsyncLimiter(1, 1 / bounds.requests_per_second)
        proxy = proxy_for(url, environ)
        in_flight = asyncio.Semaphore(bounds.concurrency)
        at, told = url.rstrip("/"), meter or Unmetered()
        transport = Transport(session, at, bounds, proxy, limiter, in_flight, connections, told)
        transport.keep_secret(*proxy.secrets)
        yield transport


def _trust(url: str) -> ssl.SSLContext | None:
    """By which authorities a certificate is accepted: those of the system, or of SSL_CERT_FILE."""
    return ssl.create_default_context() if urlsplit(url).scheme == "https" else None


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy:
    """The proxy that the environment names for this address; none for loopback."""
    target = urlsplit(url)
    host = target.hostname or ""
    lower = {name.lower(): value for name, value in environ.items() if value}
    named = lower.get(f"{target.scheme}_proxy") or lower.get("all_proxy")
    if not named or is_loopback(host) or proxy_bypass(host, {"no": lower.get("no_proxy", "")}):
        return Proxy()
    try:
        address = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        raise LicenseSyncError(
            f"the proxy that {target.scheme}_proxy or all_proxy names is no address; write http://host:port"
        ) from None
    if address.user is None:
        return Proxy(address)
    password = address.password or ""
    given = aiohttp.encode_basic_auth(address.user, password)
    wanted = {"Proxy-Authorization": given}
    by_request = target.scheme == "http"
    secrets = (given.removeprefix("Basic "), password)
    return Proxy(address.with_user(None), None if by_request else wanted, wanted if by_request else {}, secrets)
