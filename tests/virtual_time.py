"""A loop whose clock stands while there is work and jumps to the next timer when there is none."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class _NoWaiting(selectors.DefaultSelector):
    """Nobody calls from outside: instead of waiting, the clock goes on, and the system is not asked."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self.now = 0.0
        self._passed = passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "the loop would wait for ever"
        if timeout > 0:
            self.now += timeout
            self._passed(timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """Such a loop; `passed` is told of the seconds that have gone by."""

    def __init__(self, passed: Callable[[float], None] = lambda seconds: None) -> None:  # noqa: ARG005 - nobody asks
        self._clock = _NoWaiting(passed)
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What the coroutine returns, and how many seconds it has slept; it takes no more time than its own work."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main), runner.get_loop().time()


class Ready(Awaitable[T]):
    """Something that nobody need wait for."""

    def __init__(self, thing: T) -> None:
        self._thing = thing

    def __await__(self) -> Generator[None, None, T]:
        return self._thing
        yield
