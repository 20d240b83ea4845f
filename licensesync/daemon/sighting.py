"""What stands in the settings and the inventory at one moment, with a trace by which a change is known."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from licensesync import inventory, provenance, settings
from licensesync.composition import Pass
from licensesync.credentials import credentials
from licensesync.files import LocalFiles, Source
from licensesync.model import InventoryInfo
from licensesync.settings import Settings

Trace = tuple[object, ...]


@dataclass(frozen=True)
class Sighting:
    """What was seen; the inventory is not read yet.

    `stale` says why a git remote was not reached, and `fresh_at` when it last was; both are None for local files.
    `touched_at` is when a file was last written, in seconds as of `time.time()`.
    """

    settings: Settings
    files: Source
    info: InventoryInfo
    trace: Trace
    touched_at: float
    fresh_at: datetime | None = None
    stale: str | None = None

    def read(self, environ: Mapping[str, str]) -> Pass:
        """All of it, read. Raises what is wrong with the inventory or the credentials."""
        loaded = inventory.load_from(self.files, self.settings.pools)
        pools = tuple(self.settings.pools.values())
        info = replace(loaded.info, commit=self.info.commit, dirty=self.info.dirty, author=self.info.author)
        return Pass(self.settings, pools, loaded, info, credentials(environ))


def sighted(file: Path, environ: Mapping[str, str], *, fetch: bool) -> Sighting:
    """What there is now; with `fetch` a git remote is asked first. Raises what is wrong with settings or git."""
    del environ, fetch
    found = settings.load(file)
    path = provenance.local(found.inventory)
    info = provenance.stamped(InventoryInfo(0, ""), path)
    marks = dict(_marks([file, *_files_of(path)]))
    trace = (info.commit, info.dirty, tuple(sorted(marks.items())))
    return Sighting(found, LocalFiles(path, found.folder), info, trace, max(mark[0] for mark in marks.values()) / 1e9)


def _files_of(inventory: Path) -> Iterator[Path]:
    """Every file that the inventory may be read from, whatever its name; a device list may have any."""
    if not inventory.is_dir():
        yield inventory
        return
    for folder, _, names in os.walk(inventory, followlinks=True):
        yield Path(folder)
        yield from (Path(folder, name) for name in names)


def _marks(paths: list[Path]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """What changes with the content of each file, or with the file that a name leads to."""
    for path in paths:
        try:
            seen = path.stat()
        except OSError:
            yield str(path), (0, 0, 0)
        else:
            yield str(path), (seen.st_mtime_ns, seen.st_size, seen.st_ino)
