"""Somebody who is called back: remembers what came, and answers it as it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

from aiohttp import web

_PATIENCE = 20.0


@dataclass
class Listener:
    """`heard` holds the bodies in the order of their arrival; `statuses` are the next answers, then 200.

    It answers as long as its gate is open.
    """

    url: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.heard.append(await request.json())
        self._news.set()
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def hears(self, number: int) -> list[dict[str, Any]]:
        """What came, as soon as it is so much."""
        return await self.hears_until(lambda: len(self.heard) >= number)

    async def hears_until(self, enough: Callable[[], bool]) -> list[dict[str, Any]]:
        async with asyncio.timeout(_PATIENCE):
            while not enough():
                self._news.clear()
                await self._news.wait()
        return list(self.heard)

    @property
    def words(self) -> list[tuple[str, str]]:
        """Of each callback: the ICCID, and what it says."""
        return [(ids(body)["iccid"], body["status"]) for body in self.heard]


def ids(body: dict[str, Any]) -> dict[str, str]:
    return {each["kind"].lower(): each["id"] for each in body["deviceIds"]}


@asynccontextmanager
async def listening(ssl: SSLContext | None = None) -> AsyncIterator[Listener]:
    """A listener on loopback until the block ends."""
    listener = Listener()
    listener.gate.set()
    application = web.Application()
    application.router.add_post("/callbacks", listener.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl).start()
        listener.url = f"{'https' if ssl else 'http'}://127.0.0.1:{runner.addresses[0][1]}/callbacks"
        yield listener
    finally:
        await runner.cleanup()
