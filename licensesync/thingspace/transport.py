"""One HTTP request to ThingSpace: within the limits of rate, concurrency, time and size, or an error of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import aiohttp
from aiolimiter import AsyncLimiter
from yarl import URL

from licensesync import __version__
from licensesync.errors import UnexpectedReply, Unreachable
from licensesync.thingspace.wire import Call, Write, error_for, excerpt

T = TypeVar("T")

USER_AGENT = f"licensesync/{__version__}"
LARGEST_BODY = 32 * 2**20
SHORTEST_SECRET = 4
LOOPBACK = ("127.", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may ask of the service: seconds for one request, requests in flight, requests a second."""

    timeout: float = 30.0
    concurrency: int = 4
    requests_per_second: float = 10.0


@dataclass(slots=True)
class Transport:
    """Sends calls and reads their answers; knows the secrets only to keep them out of every message."""

    session: aiohttp.ClientSession
    url: str
    bounds: Bounds
    proxy: URL | None
    proxy_headers: Mapping[str, str]
    limiter: AsyncLimiter
    in_flight: asyncio.Semaphore
    secrets: set[str] = field(default_factory=set, repr=False)

    async def send(self, call: Call[T], headers: Mapping[str, str]) -> T:
        """The value of the call's answer. Raises the `ApiError` that says what went wrong."""
        status, told, body = await self._exchange(call, headers)
        if status >= 300:
            raise error_for(call.what, status, told, self._without_secrets(body), datetime.now(UTC))
        try:
            return call.read(self._without_secrets(body) if isinstance(call, Write) else body)
        except UnexpectedReply as error:
            raise UnexpectedReply(self.redacted(str(error)), status=status) from None

    async def _exchange(self, call: Call[T], headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        async with self.in_flight, self.limiter:
            try:
                async with self.session.request(
                    call.method,
                    URL(self.url + call.path, encoded=True).with_query(call.query or None),
                    data=call.body,
                    headers={**headers, **({"Content-Type": call.content_type} if call.body else {})},
                    allow_redirects=False,
                    proxy=self.proxy,
                    proxy_headers=self.proxy_headers or None,
                ) as response:
                    return response.status, response.headers, await self._body(call, response)
            except TimeoutError:
                raise Unreachable(f"{call.what}: no answer within {self.bounds.timeout:g} s") from None
            except (aiohttp.ClientError, OSError) as error:
                words = self.redacted(excerpt(str(error) or type(error).__name__))
                raise Unreachable(f"{call.what}: no answer from {urlsplit(self.url).netloc}: {words}") from None

    async def _body(self, call: Call[T], response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise UnexpectedReply(f"{call.what}: the answer is larger than {LARGEST_BODY >> 20} MiB")
        return bytes(body)

    def keep_secret(self, *secrets: str) -> None:
        """No message holds these from now on."""
        self.secrets.update(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)

    def redacted(self, text: str) -> str:
        return self._without_secrets(text.encode()).decode()

    def _without_secrets(self, body: bytes) -> bytes:
        for secret in sorted(self.secrets, key=len, reverse=True):
            body = body.replace(secret.encode(), b"***")
        return body


@asynccontextmanager
async def opened(url: str, bounds: Bounds, environ: Mapping[str, str]) -> AsyncIterator[Transport]:
    """A transport to the service at `url`, closed at the end. Certificates are verified."""
    proxy, proxy_headers = _proxy_for(url, environ)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=bounds.concurrency),
        timeout=aiohttp.ClientTimeout(total=bounds.timeout),
        headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Transport(
            session,
            url.rstrip("/"),
            bounds,
            proxy,
            proxy_headers,
            AsyncLimiter(1, 1 / bounds.requests_per_second),
            asyncio.Semaphore(bounds.concurrency),
        )


def _proxy_for(url: str, environ: Mapping[str, str]) -> tuple[URL | None, Mapping[str, str]]:
    """The proxy that the environment names for this address, and the header that it wants; none for loopback."""
    target = urlsplit(url)
    host = target.hostname or ""
    lower = {name.lower(): value for name, value in environ.items() if value}
    named = lower.get(f"{target.scheme}_proxy") or lower.get("all_proxy")
    if not named or host.startswith(LOOPBACK) or proxy_bypass(host, {"no": lower.get("no_proxy", "")}):
        return None, {}
    proxy = URL(named if "://" in named else f"http://{named}")
    if proxy.user is None:
        return proxy, {}
    given = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
    return proxy.with_user(None), {"Proxy-Authorization": given}
