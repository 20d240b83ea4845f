"""Notices when a file of the settings or the inventory changes, whichever way an editor or git replaces it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
from watchfiles import Change, awatch

from licensesync import git
from licensesync.errors import ProvenanceError
from licensesync.files import LocalFiles

SETTLES: Final = 300  # milliseconds in which changes are taken together
LOOKS_AGAIN: Final = 30.0
"""Seconds after which a folder that cannot be watched is tried again; each run looks at the files anyhow."""


@dataclass
class Place:
    """What is watched in one folder: all that is in it, or some names; `seen` tells it from another in its place."""

    seen: tuple[int, int]
    whole: bool = False
    names: set[str] = field(default_factory=set)

    def counts(self, name: str) -> bool:
        return name in self.names or (self.whole and name != ".git")


async def watch(settings: Path, inventories: Collection[Path], changed: Callable[[], None]) -> None:
    """Calls `changed` whenever something happens to the settings file or an inventory, until it is cancelled.

    Folders are watched and not files: many programs write a new file and give it the old one's name. So are the ways
    of links, and what git writes with each commit and each checkout. Folders that are not those that they were, or
    links that lead elsewhere now, are watched anew.
    """
    stirred = asyncio.Event()

    def noticed() -> None:
        changed()
        stirred.set()

    while True:
        places = await asyncio.to_thread(_places, settings, inventories)
        of_git = await asyncio.to_thread(_of_git, inventories)
        watching = asyncio.create_task(_watch({**places, **of_git}, noticed))
        try:
            await asyncio.sleep(SETTLES / 1000)
            changed()  # while nobody watched
            while await asyncio.to_thread(_places, settings, inventories) == places:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOKS_AGAIN):
                        await stirred.wait()
                stirred.clear()
        finally:
            watching.cancel()
            await asyncio.wait({watching})


def _places(settings: Path, inventories: Collection[Path]) -> dict[Path, Place]:
    """The folders to be watched, with what counts in each."""
    places: dict[Path, Place] = {}

    def place(folder: Path) -> Place:
        real = _real(folder)  # who is watched by two names is told of by one of them
        return places.setdefault(real, Place(_identity(real)))

    for name in _ways({settings, *inventories}):
        place(name.parent).names.add(name.name)
    for inventory in inventories:
        files = LocalFiles(inventory, inventory.parent)
        for folder in files.folders():
            place(folder).whole = True
    return places


def _ways(names: Collection[Path]) -> Iterator[Path]:
    """These names, the links among them and above them, and each name that those lead to."""
    left, seen = [*names], set[Path]()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        for each in (name, *name.parents):
            with suppress(OSError):
                target = each.parent / each.readlink()
                left.append(each)
                left.append(target / name.relative_to(each))


def _of_git(inventories: Collection[Path]) -> dict[Path, Place]:
    """What each commit and each checkout writes in the repositories of the work trees that inventories are in."""
    places: dict[Path, Place] = {}
    for inventory in inventories:
        with suppress(ProvenanceError):
            told = git.of_work_tree(LocalFiles(inventory, inventory.parent).folder)("rev-parse", "--absolute-git-dir")
            folder = Path(os.fsdecode(told.rstrip(b"\n")))
            for each, name in ((_real(folder), "index"), (_real(folder / "logs"), "HEAD")):
                places[each] = Place(_identity(each), names={name})
    return places


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _identity(folder: Path) -> tuple[int, int]:
    try:
        seen = folder.stat()
    except OSError:
        return 0, 0
    return seen.st_dev, seen.st_ino


async def _watch(places: Mapping[Path, Place], changed: Callable[[], None]) -> None:
    """Calls `changed` for everything that counts in these folders."""

    def counts(_change: Change, path: str) -> bool:
        folder, name = os.path.split(path)
        return folder in by_name and by_name[folder].counts(name)

    by_name = {str(folder): place for folder, place in places.items()}
    log: Any = structlog.get_logger()
    told = False
    while True:
        there = [folder for folder in places if _identity(folder) != (0, 0)]
        stop = asyncio.Event()
        try:
            async for _ in awatch(
                *there,
                watch_filter=counts,
                debounce=SETTLES,
                step=50,
                stop_event=stop,
                recursive=False,
                ignore_permission_denied=True,
            ):
                changed()
        except (OSError, RuntimeError) as error:
            if not told:
                log.warning("watching.failed", problem=str(error))
            told = True
        finally:
            stop.set()
        await asyncio.sleep(LOOKS_AGAIN)
