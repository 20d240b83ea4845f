"""Notices when a file of the settings or the inventory changes, whichever way an editor or git replaces it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
from watchfiles import Change, awatch

from licensesync import git
from licensesync.errors import ProvenanceError

SETTLES: Final = 300  # milliseconds in which changes are taken together
LOOKS_AGAIN: Final = 30.0
"""Seconds after which a folder that cannot be watched is tried again; each run looks at the files anyhow."""


async def watch(settings: Path, inventory: Path | None, changed: Callable[[], None]) -> None:
    """Calls `changed` whenever something happens to the settings file or below the inventory, until it is cancelled.

    Folders are watched and not files: many programs write a new file and give it the old one's name. A folder that
    itself was replaced, or a link that leads elsewhere now, is watched anew. So is where git keeps the work tree's
    index, which each commit and each checkout writes.
    """
    stirred = asyncio.Event()

    def noticed() -> None:
        changed()
        stirred.set()

    names = {settings, *([inventory] if inventory else [])}
    while True:
        folders = await asyncio.to_thread(_folders, names)
        index = await asyncio.to_thread(_index_of, inventory) if inventory else None
        watching = [
            asyncio.create_task(_watch(folder, None if folder in names else names, noticed)) for folder in folders
        ]
        if index:
            watching.append(asyncio.create_task(_watch(index.parent, {index}, noticed)))
        try:
            await asyncio.sleep(SETTLES / 1000)
            changed()  # while nobody watched
            while await asyncio.to_thread(_folders, names) == folders:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stirred.wait(), LOOKS_AGAIN)
                stirred.clear()
        finally:
            for each in watching:
                each.cancel()
            await asyncio.wait(watching)


def _index_of(inventory: Path) -> Path | None:
    """The index of the work tree that an inventory is in; None outside git."""
    folder = inventory if inventory.is_dir() else inventory.parent
    try:
        told = git.of_work_tree(folder)("rev-parse", "--absolute-git-dir")
    except ProvenanceError:
        return None
    return Path(os.fsdecode(told.rstrip(b"\n")), "index")


def _folders(names: set[Path]) -> dict[Path, tuple[int, int]]:
    """The folders to be watched for these names, each with what tells it from another one in its place."""
    wanted = {name.parent for name in names} | {name for name in names if name.is_dir()}
    return {folder: _identity(folder) for folder in wanted}


def _identity(folder: Path) -> tuple[int, int]:
    try:
        seen = folder.stat()
    except OSError:
        return 0, 0
    return seen.st_dev, seen.st_ino


async def _watch(folder: Path, names: set[Path] | None, changed: Callable[[], None]) -> None:
    """Calls `changed` for everything in a folder and below, or for some names in the folder itself."""

    def counts(_change: Change, path: str) -> bool:
        return ".git" not in Path(path).parts if names is None else Path(path) in names

    log: Any = structlog.get_logger()
    told = False
    while True:
        stop = asyncio.Event()
        try:
            async for _ in awatch(
                folder, watch_filter=counts, debounce=SETTLES, step=50, stop_event=stop, recursive=names is None
            ):
                changed()
        except (OSError, RuntimeError) as error:
            if not told:
                log.warning("watching.failed", folder=str(folder), problem=str(error))
            told = True
        finally:
            stop.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), LOOKS_AGAIN)
