"""Starts a simulator for each test that wants one, a guest who may be logged in, and a listener."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from licensesync.simulator.server import SimulatorOptions, running
from simulator.guest import Guest
from simulator.listener import Listener, listening

Visit = Callable[..., Awaitable[Guest]]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as listener:
        yield listener


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """A guest at a kind simulator, unless the options and quirks say otherwise."""
    async with AsyncExitStack() as stack:

        async def start(*, quirks: dict[str, Any] | None = None, come_in: bool = True, **options: Any) -> Guest:
            named = {name.replace("_", "-"): value for name, value in (quirks or {}).items()}
            chosen = SimulatorOptions(**{"kind": True, "seed": 7, "quirks": named, **options})
            sim = await stack.enter_async_context(running(chosen))
            guest = Guest(sim, await stack.enter_async_context(aiohttp.ClientSession()))
            if come_in:
                await guest.come_in()
            return guest

        yield start
