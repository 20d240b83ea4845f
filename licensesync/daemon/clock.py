"""Notices when the clock of this machine was set, or the machine stood still: who waits for a time waits too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

TOLERANCE: Final = timedelta(seconds=10)
"""By so much a clock may be put right without anybody waiting too long for it."""

LOOKS: Final = 10.0
"""Seconds from one look at the clock to the next one."""


class Clock:
    """The clock of the machine, compared with one that nobody sets."""

    def __init__(self, shown: Callable[[], float] = time.time, passed: Callable[[], float] = time.monotonic) -> None:
        self._shown = shown
        self._passed = passed
        self._ahead = self._now()

    def step(self) -> timedelta | None:
        """How far it was set since it was last asked, backwards if negative; None if it just went on."""
        before, self._ahead = self._ahead, self._now()
        step = timedelta(seconds=self._ahead - before)
        return step if abs(step) >= TOLERANCE else None

    def _now(self) -> float:
        return self._shown() - self._passed()
