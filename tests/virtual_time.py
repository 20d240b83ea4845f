"""A loop whose clock stands while there is work and jumps to the next timer when there is none."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class _NoWaiting(selectors.DefaultSelector):
    """Nobody calls from outside: instead of waiting, the clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "the loop would wait for ever"
        self.now += max(timeout, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _NoWaiting()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What the coroutine returns, and how many seconds it has slept; it takes no more time than its own work."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main), runner.get_loop().time()


class Ready(Awaitable[T]):
    """Something that nobody need wait for."""

    def __init__(self, thing: T) -> None:
        self._thing = thing

    def __await__(self) -> Generator[None, None, T]:
        return self._thing
        yield
