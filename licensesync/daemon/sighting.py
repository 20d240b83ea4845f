"""What stands in the settings and the inventory at one moment, with a trace by which a change is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from licensesync import settings
from licensesync.composition import Pass
from licensesync.credentials import credentials
from licensesync.errors import LicenseSyncError
from licensesync.files import LocalFiles, Unreadable
from licensesync.files import Source as Files
from licensesync.origin import Origin, origin
from licensesync.settings import GitSource, LocalSource, Settings
from licensesync.sources import Verify

Mark = tuple[int, int, int]
"""What changes with the content of a file, or with the file that a name leads to."""

NOTHING: Final = (0, 0, 0)


@dataclass(frozen=True)
class Trace:
    """Two of them are equal if nothing has changed of what counts: the files that are read, and what git says."""

    said: tuple[object, ...]
    files: Mapping[Path, Mark]
    opened: Mapping[Path, Mark]
    """The files that the last reading has opened: a device list may have any name."""

    @property
    def touched_at(self) -> float:
        """When a file of them was last written, in seconds as of `time.time()`."""
        return max(mark[0] for marks in (self.files, self.opened) for mark in marks.values()) / 1e9


@dataclass(frozen=True)
class Written:
    """The settings, and how their file was before it was read."""

    settings: Settings
    mark: Mark


@dataclass(frozen=True)
class Reading:
    """What was read, or what is wrong with it, and the trace of it as it was when each file was opened."""

    work: Pass | LicenseSyncError
    trace: Trace


@dataclass(frozen=True)
class Sighting:
    """What was seen; the inventory is not read yet."""

    settings: Settings
    origin: Origin
    trace: Trace

    def read(self, environ: Mapping[str, str], before: Pass | None = None) -> Reading:
        """All of it, read; an inventory that is as it was `before` is not parsed again."""
        opened: dict[Path, Mark] = {}
        try:
            return Reading(self._read(environ, before, opened), replace(self.trace, opened=opened))
        except LicenseSyncError as error:
            return Reading(error, replace(self.trace, opened=opened))
        except OSError as error:
            return Reading(_unseen(error), replace(self.trace, opened=opened))

    def _read(self, environ: Mapping[str, str], before: Pass | None, opened: dict[Path, Mark]) -> Pass:
        found, source = self.origin, self.settings.inventory
        if isinstance(source, LocalSource):
            folder = _local(self.settings, source).folder
            found = replace(found, files=lambda: _Noted(self.origin.files(), folder, opened))
        known = before.inventory if before and self._parses_like(before.settings) else None
        loaded = found.load(self.settings.pools, known)
        pools = tuple(self.settings.pools.values())
        return Pass(self.settings, pools, loaded, loaded.info, credentials(environ))

    def _parses_like(self, before: Settings) -> bool:
        """Whether the same files mean the same: for these pools, and with the places that problems name."""
        pools, folder = list(self.settings.pools.items()), self.settings.folder
        return (pools, self.settings.inventory, folder) == (list(before.pools.items()), before.inventory, before.folder)


def written(file: Path) -> Written:
    """The settings as they are now. Raises what is wrong with them."""
    mark = _mark(file)
    return Written(settings.load(file), mark)


def sighted(
    found: Settings, mark: Mark, environ: Mapping[str, str], *, fetch: bool, opened: Collection[Path]
) -> Sighting:
    """What there is now, by settings whose file had this mark; with `fetch` a git remote is asked first.

    `opened` are the files that the last reading has opened. Raises what is wrong with git, or may not be looked at.
    """
    try:
        stands = origin(found, environ, fetch=fetch)
        files: dict[Path, Mark] = {found.file: mark}
        unreadable: list[Unreadable] = []
        match found.inventory:
            case LocalSource() as source:
                local = _local(found, source)
                names, unreadable = local.names()
                files |= {path: _mark(path) for path in (local.folder / name for name in names)}
            case GitSource(verify=Verify() as verify):
                files |= {keys: _mark(keys) for keys in (verify.ssh, verify.gpg) if keys}
            case GitSource():
                opened = ()
    except OSError as error:
        raise _unseen(error) from error
    info, wrong = stands.info, tuple((each.name, each.message) for each in unreadable)
    said = (info.commit, info.dirty, stands.mark, wrong)
    return Sighting(found, stands, Trace(said, files, {path: _mark(path) for path in opened}))


def _local(found: Settings, source: LocalSource) -> LocalFiles:
    return LocalFiles(source.path, found.folder)


def _mark(path: Path) -> Mark:
    try:
        seen = path.stat()
    except OSError:
        return NOTHING
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _unseen(error: OSError) -> LicenseSyncError:
    return LicenseSyncError(f"{error.filename}: {error.strerror}; give this user the right to read it")


class _Noted:
    """The same files, with a note of how each was when it was opened."""

    def __init__(self, files: Files, folder: Path, opened: dict[Path, Mark]) -> None:
        self._files = files
        self._folder = folder
        self._opened = opened
        self.place = files.place
        self.place_of = files.place_of
        self.names = files.names

    def read(self, name: str) -> bytes:
        path = self._folder / name
        self._opened[path] = _mark(path)
        return self._files.read(name)
