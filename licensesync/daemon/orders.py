"""What people want now: the settings and the inventory that are in force, and why newer ones are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Final

from licensesync.composition import Pass
from licensesync.daemon.sighting import Sighting, Trace, sighted
from licensesync.errors import LicenseSyncError, ProblemsError

SETTLED: Final = 1.0
"""Seconds for which no file must have changed before all are read: somebody may be writing them."""

MOST_WAITS: Final = 30
RESTLESS: Final = "the files of settings and inventory keep changing; they are read when they rest"
FIXED: Final = ("ledger", "listen", "callbacks")
"""Settings that are in force from the start of the service to its end."""


class Found(Enum):
    """What a look at the settings and the inventory has shown."""

    UNCHANGED = auto()
    LOADED = auto()
    REJECTED = auto()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the newest settings and inventory are not in force, and since when."""

    problems: tuple[str, ...]
    at: datetime


class Orders:
    """The last good settings and inventory. One look at a time; what is looked at is read in a thread."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self.file = file
        self._environ = environ
        self._one_at_a_time = asyncio.Lock()
        self._judged: Trace | None = None
        self._in_force: Pass | None = None
        self.rejection: Rejection | None = None
        self.stale: str | None = None
        """Why the git remote could not be reached when it was last asked."""
        self.fresh_at: datetime | None = None
        """When a git remote was last reached; None for local files."""
        self.nameless: str | None = None
        """Why git cannot tell the commit of files in a work tree."""
        self.needs_restart: tuple[str, ...] = ()
        """The settings that are written otherwise now, and change only with a restart."""

    @property
    def in_force(self) -> Pass:
        """The last good ones; there are none before `first`."""
        if self._in_force is None:
            raise LookupError("nothing was loaded yet")
        return self._in_force

    async def first(self) -> Pass:
        """The first ones. Raises what is wrong with them: there are no others to go by."""
        async with self._one_at_a_time:
            await self._take(await self._settled(fetch=True))
            return self.in_force

    async def look(self, *, fetch: bool = True, again: bool = False) -> Found:
        """Takes what is there now if it is new and good; with `again` even if nothing seems to have changed.

        Whatever is wrong becomes `rejection`, and the last good ones stay in force.
        """
        async with self._one_at_a_time:
            judged, self._judged = self._judged, None
            try:
                sighting = await self._settled(fetch=fetch)
                self._judged = sighting.trace
                if sighting.trace == judged and not again:
                    return Found.UNCHANGED
                await self._take(sighting)
            except LicenseSyncError as error:
                return self._reject(error, is_news=again or self._judged is not None)
            return Found.LOADED

    async def _settled(self, *, fetch: bool) -> Sighting:
        """What is there, once nobody has written it for a moment."""
        sighting = await self._sighted(fetch=fetch)
        for _ in range(MOST_WAITS):
            rested = time.time() - sighting.touched_at
            if not 0 <= rested < SETTLED:  # a time to come is no time
                return sighting
            await asyncio.sleep(SETTLED - rested)
            sighting = await self._sighted(fetch=False)
        raise LicenseSyncError(RESTLESS)

    async def _take(self, sighting: Sighting) -> None:
        """All of it as it was at one moment; what changed while it was read is read again."""
        for _ in range(MOST_WAITS):
            read = await self._read(sighting)
            after = await self._settled(fetch=False)
            if after.trace != sighting.trace:
                sighting = after
            elif isinstance(read, LicenseSyncError):
                raise read
            else:
                self._put_in_force(read, sighting.trace)
                return
        raise LicenseSyncError(RESTLESS)

    async def _read(self, sighting: Sighting) -> Pass | LicenseSyncError:
        """What was read, or what is wrong with it, which may be that it was being written."""
        try:
            return await asyncio.to_thread(sighting.read, self._environ)
        except LicenseSyncError as error:
            return error

    async def _sighted(self, *, fetch: bool) -> Sighting:
        sighting = await asyncio.to_thread(partial(sighted, self.file, self._environ, fetch=fetch))
        seen = sighting.origin
        self.fresh_at, self.nameless = seen.fresh_at, seen.nameless
        if fetch or seen.fresh_at is None:  # who does not ask cannot know whether the remote answers
            self.stale = seen.stale
        return sighting

    def _put_in_force(self, read: Pass, trace: Trace) -> None:
        if self._in_force:
            before, now = self._in_force.settings, read.settings
            self.needs_restart = tuple(name for name in FIXED if getattr(before, name) != getattr(now, name))
            read = replace(read, settings=replace(now, **{name: getattr(before, name) for name in FIXED}))
        self._in_force = read
        self._judged = trace
        self.rejection = None

    def _reject(self, error: LicenseSyncError, *, is_news: bool) -> Found:
        """Unless something has changed, the same problems as before are no news."""
        problems = tuple(map(str, error.problems)) if isinstance(error, ProblemsError) else (str(error),)
        if not is_news and self.rejection and self.rejection.problems == problems:
            return Found.UNCHANGED
        self.rejection = Rejection(problems, datetime.now(UTC))
        return Found.REJECTED
