"""Notices when a file of the settings or the inventory changes, whichever way an editor or git replaces it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
from watchfiles import Change, awatch

SETTLES: Final = 300  # milliseconds in which changes are taken together
LOOKS_AGAIN: Final = 30.0
"""Seconds after which a folder that cannot be watched is tried again; each run looks at the files anyhow."""


async def watch(settings: Path, inventory: Path | None, changed: Callable[[], None]) -> None:
    """Calls `changed` whenever something happens to the settings file or below the inventory, until it is cancelled.

    Folders are watched and not files: many programs write a new file and give it the old one's name.
    """
    names = {settings, *([inventory] if inventory else [])}
    async with asyncio.TaskGroup() as watching:
        for folder in {path.parent for path in names}:
            watching.create_task(_watch(folder, names, changed))
        is_folder = await asyncio.to_thread(inventory.is_dir) if inventory else False
        if inventory and is_folder:
            watching.create_task(_watch(inventory, None, changed))


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
