"""The time of a world: it stands while there is work, and jumps to whatever is due next when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any, TypeVar

import time_machine
from virtual_time import Loop

T = TypeVar("T")

BEGINS = datetime(2026, 11, 22, 9, 0, tzinfo=UTC).timestamp()


class Clock:
    """What time it is in the world, and by the operator's machine, whose clock may be wrong."""

    def __init__(self, machine: time_machine.Traveller) -> None:
        self.now = BEGINS
        """Seconds since 1970, for everybody but the operator."""
        self.ahead = 0.0
        """By how much the operator's clock is wrong."""
        self._machine = machine

    @property
    def here(self) -> datetime:
        """What the operator's machine takes it for."""
        return datetime.fromtimestamp(self.now + self.ahead, UTC)

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self._machine.shift(seconds)

    def is_set(self, ahead: float) -> None:
        """Somebody sets the operator's clock."""
        self._machine.shift(ahead - self.ahead)
        self.ahead = ahead


class _Loop(Loop):
    """What others do in threads is done at once: nothing depends on how fast a machine is."""

    def run_in_executor(
        self, executor: Executor | None, work: Callable[..., T], *arguments: object
    ) -> asyncio.Future[T]:
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            done.set_exception(error)
        return done

    def _write_to_self(self) -> None:
        """Nobody is to be woken."""


def lived(life: Callable[[Clock], Coroutine[Any, Any, T]]) -> T:
    """What becomes of a life in which all waiting takes no time."""
    with time_machine.travel(BEGINS, tick=False) as machine:
        clock = Clock(machine)
        with asyncio.Runner(loop_factory=lambda: _Loop(clock.passes)) as runner:
            return runner.run(life(clock))
