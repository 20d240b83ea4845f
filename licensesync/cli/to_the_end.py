"""Runs what a command does on the event loop, however large its outcome is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but its task has no value of its own.

    That one puts its task in words at the end, value included (twice, by way of `signal.getsignal` and the repr of a
    handler): with a plan of a million devices that takes seconds and hundreds of megabytes.
    """
    outcome: list[T] = []

    async def worked() -> None:
        outcome.append(await work)

    asyncio.run(worked())
    return outcome[0]
