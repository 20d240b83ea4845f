"""Does in a thread what takes long, so that whoever else uses the event loop goes on; and never leaves it behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What this function returns or raises, done in a thread.

    Who is cancelled meanwhile waits for its end first: what it uses, such as a connection, is closed by others then.
    """
    doing = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing})
        if not doing.cancelled():
            doing.exception()  # nobody is left to hear of it
        raise
