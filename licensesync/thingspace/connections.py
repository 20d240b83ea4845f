"""Connections to the service: one for each request, or kept for requests that belong together.

HTTP/1.1 knows an answer by its place alone. An answer too many, which a proxy between may send at any time, is taken
for the answer to whatever is asked next on that connection. So what changes licenses, and what tells how a change
ended, has a connection of its own; only pages of one list, whose number proves them, follow each other on one.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


@dataclass(frozen=True, slots=True)
class Connections:
    """How the service is connected with: seconds for one request, connections at once, what each request says.

    Certificates are verified by `trust`, where there is TLS.
    """

    timeout: float
    at_once: int
    headers: Mapping[str, str]
    trust: ssl.SSLContext | None

    @asynccontextmanager
    async def single(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Each request has a connection of its own."""
        async with self._session(
            aiohttp.TCPConnector(limit=self.at_once, ssl=self.trust or True, force_close=True)
        ) as it:
            yield it

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Connections are used again until the end."""
        async with self._session(_Wary(limit=self.at_once, ssl=self.trust or True)) as it:
            yield it

    def _session(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            headers=self.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # What is repeated is decided elsewhere: aiohttp would send GET and DELETE again by itself when one drops.
        session._retry_connection = False  # noqa: SLF001 - there is no public switch; a test holds it to this
        return session


class _Wary(aiohttp.TCPConnector):
    """Uses no connection again on which something has come that nobody asked for.

    aiohttp only looks at that when an answer ends, and not at what has come since.
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (found := await super()._get(key, traces)) is not None:
            if found.protocol is not None and not found.protocol.should_close:
                break
            found.close()
        return found
