"""When a pool that could not be read is tried again: soon at first, then ever more rarely."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

SOONEST: Final = timedelta(minutes=1)
LATEST: Final = timedelta(hours=1)
MOST_INTERVALS: Final = 8
LONGEST_ASKED: Final = timedelta(days=1)
"""Who asks for a longer wait than that asks for nothing that makes sense."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon a pool is tried again after its first failure, and how late at most."""

    soonest: timedelta = SOONEST
    latest: timedelta = LATEST

    @classmethod
    def of(cls, every: timedelta | None) -> Pace:
        """The pace of a schedule: never quicker than its interval, None where it goes by the clock."""
        return cls() if every is None else cls(min(SOONEST, every), min(LATEST, MOST_INTERVALS * every))

    def after(self, failures: int) -> timedelta:
        """The wait after so many failures in a row: twice as long each time."""
        return min(self.latest, self.soonest * (1 << min(failures - 1, 20)))


@dataclass(frozen=True, slots=True)
class Failing:
    """A pool that could not be read so often in a row; `asked` if it was the service that named the time."""

    times: int
    again_at: datetime
    asked: bool = False


class Backoff:
    """The pools that could not be read, and when each is tried again."""

    def __init__(self) -> None:
        self._failing: dict[str, Failing] = {}

    @property
    def attempts(self) -> Mapping[str, datetime]:
        """When each pool that backs off is tried again."""
        return {pool: failing.again_at for pool, failing in self._failing.items()}

    def failed(self, pool: str, now: datetime, pace: Pace, retry_after: float | None = None) -> None:
        """A pool could not be read; the service may have asked to be left alone for so many seconds."""
        times = self._failing[pool].times + 1 if pool in self._failing else 1
        wait, asked = pace.after(times), timedelta(seconds=min(retry_after or 0, LONGEST_ASKED.total_seconds()))
        self._failing[pool] = Failing(times, now + max(wait, asked), asked > wait)

    def succeeded(self, pool: str) -> None:
        self._failing.pop(pool, None)

    def waive(self) -> None:
        """Something has changed, so that every pool may be tried now, unless the service asked for the wait."""
        self._failing = {pool: failing for pool, failing in self._failing.items() if failing.asked}

    def clock_was_set(self, step: timedelta) -> None:
        """The clock was set by so much: nobody waits longer for that."""
        back = min(step, timedelta(0))
        self._failing = {
            pool: replace(failing, again_at=failing.again_at + back) for pool, failing in self._failing.items()
        }

    def keep(self, pools: Iterable[str]) -> None:
        """Only these pools are left."""
        self._failing = {pool: self._failing[pool] for pool in pools if pool in self._failing}

    def is_due(self, pool: str, now: datetime) -> bool:
        return pool not in self._failing or self._failing[pool].again_at <= now
