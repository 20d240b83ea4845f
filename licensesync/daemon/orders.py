"""What people want now: the settings and the inventory that are in force, and why newer ones are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from licensesync.composition import Pass
from licensesync.daemon.sighting import Sighting, Trace, Written, sighted, written
from licensesync.errors import LicenseSyncError, ProblemsError, ProvenanceError
from licensesync.settings import GitSource, Settings, Source

SETTLED: Final = 1.0
"""Seconds for which no file must have changed before all are read: somebody may be writing them."""

MOST_WAITS: Final = 30
RESTLESS: Final = "the files of settings and inventory keep changing; they are read when they rest"
FIXED: Final = ("ledger", "listen", "callbacks")
"""Settings that are in force from the start of the service to its end."""


Thing = TypeVar("Thing")


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
        self._one_fetch = asyncio.Lock()
        self._looks = 0
        self._judged: Trace | None = None
        self._opened: Collection[Path] = ()
        self._in_force: Pass | None = None
        self._sought: Settings | None = None
        self._answer: tuple[Source, ProvenanceError] | None = None
        """What is wrong with the remote as it said itself when it last answered: only another answer mends that."""
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

    @property
    def sought(self) -> Source:
        """Where the newest settings that can be read say that the inventory is, whatever is wrong with it there."""
        return (self._sought or self.in_force.settings).inventory

    @property
    def is_fetching(self) -> bool:
        """Whether the git remote is being asked, and has not answered yet."""
        return self._one_fetch.locked()

    async def first(self) -> Pass:
        """The first ones. Raises what is wrong with them: there are no others to go by."""
        async with self._one_at_a_time:
            await self._take(await self._settled(await self._sighted(fetch=True)))
            return self.in_force

    async def look(self, *, fetch: bool = True, again: bool = False) -> Found:
        """Takes what is there now if it is new and good; with `again` even if nothing seems to have changed.

        With `fetch` a git remote is asked first, and nobody else has to wait for its answer. Whatever is wrong becomes
        `rejection`, and the last good ones stay in force.
        """
        looks = self._looks
        seen = await self._seen(fetch=True) if fetch else None
        async with self._one_at_a_time:
            if seen is None or self._looks != looks:  # others may have seen what is newer
                seen = await self._seen(fetch=False)
            self._looks += 1
            judged, self._judged = self._judged, None
            try:
                sighting = await self._settled(_good(seen))
                self._judged = sighting.trace
                if sighting.trace == judged and not again:
                    return Found.UNCHANGED
                await self._take(sighting)
            except LicenseSyncError as error:
                return self._reject(error, is_news=again or self._judged is not None)
            return Found.LOADED

    async def _seen(self, *, fetch: bool) -> Sighting | LicenseSyncError:
        try:
            if not fetch:
                return await self._sighted(fetch=False)
            async with self._one_fetch:
                return await self._sighted(fetch=True)
        except LicenseSyncError as error:
            return error

    async def _settled(self, sighting: Sighting) -> Sighting:
        """What is there, once nobody has written it for a moment."""
        for _ in range(MOST_WAITS):
            rested = time.time() - sighting.trace.touched_at
            if not 0 <= rested < SETTLED:  # a time to come is no time
                return sighting
            await asyncio.sleep(SETTLED - rested)
            sighting = await self._sighted(fetch=False)
        raise LicenseSyncError(RESTLESS)

    async def _take(self, sighting: Sighting) -> None:
        """All of it as it was at one moment; what changed while it was read is read again."""
        for _ in range(MOST_WAITS):
            reading = await asyncio.to_thread(sighting.read, self._environ, self._in_force)
            self._opened = reading.trace.opened.keys()
            if isinstance(reading.work, LicenseSyncError):
                await self._patience()
            after = await self._settled(await self._sighted(fetch=False))
            if after.trace != reading.trace:
                sighting = after
                continue
            self._judged = after.trace
            self._put_in_force(_good(reading.work))
            return
        raise LicenseSyncError(RESTLESS)

    async def _sighted(self, *, fetch: bool) -> Sighting:
        written = await self._written()
        self._sought = written.settings
        found = self._as_far_as_they_change(written.settings)
        look = partial(sighted, found, written.mark, self._environ, fetch=fetch, opened=self._opened)
        try:
            sighting = await asyncio.to_thread(look)
        except ProvenanceError as error:
            if fetch and isinstance(found.inventory, GitSource):
                self._answer, self.stale = (found.inventory, error), None
            raise
        seen = sighting.origin
        self.fresh_at, self.nameless = seen.fresh_at, seen.nameless
        if fetch or seen.fresh_at is None:  # who does not ask cannot know whether the remote answers
            self.stale = seen.stale
        if (fetch and not seen.stale) or (self._answer and self._answer[0] != found.inventory):
            self._answer = None
        if self._answer:
            raise self._answer[1]
        return sighting

    async def _written(self) -> Written:
        try:
            return await asyncio.to_thread(written, self.file)
        except LicenseSyncError:
            if self._in_force is None:
                raise
            await self._patience()
            return await asyncio.to_thread(written, self.file)

    async def _patience(self) -> None:
        """What is wrong may be that a file is being replaced just now; with nothing in force nobody waits for that."""
        if self._in_force:
            await asyncio.sleep(SETTLED)

    def _as_far_as_they_change(self, read: Settings) -> Settings:
        """With what is in force to the end of the service instead of what is written now."""
        if self._in_force is None:
            return read
        return replace(read, **{name: getattr(self._in_force.settings, name) for name in FIXED})

    def _put_in_force(self, read: Pass) -> None:
        if self._sought:
            before, now = read.settings, self._sought
            self.needs_restart = tuple(name for name in FIXED if getattr(before, name) != getattr(now, name))
        self._in_force = read
        self.rejection = None

    def _reject(self, error: LicenseSyncError, *, is_news: bool) -> Found:
        """Unless something has changed, the same problems as before are no news."""
        problems = tuple(map(str, error.problems)) if isinstance(error, ProblemsError) else (str(error),)
        if not is_news and self.rejection and self.rejection.problems == problems:
            return Found.UNCHANGED
        self.rejection = Rejection(problems, datetime.now(UTC))
        return Found.REJECTED


def _good(found: Thing | LicenseSyncError) -> Thing:
    if isinstance(found, LicenseSyncError):
        raise found
    return found
