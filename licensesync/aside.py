"""Does in a thread what takes long, so that whoever else uses the event loop goes on; and never leaves it behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, ParamSpec, TypeVar

AT_ONCE: Final = 5_000  # things that are let go at once

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


async def let_go(things: AbstractSet[object]) -> None:
    """Gives the memory of a set back that nobody needs any more; no other thread need wait for the whole of it.

    A set that can be changed is empty then, others are left as they are.
    """
    if isinstance(things, set):
        await aside(_empty, things)


def _empty(things: set[object]) -> None:
    while things:
        deque(islice(iter(things.pop, None), min(AT_ONCE, len(things))), maxlen=0)
