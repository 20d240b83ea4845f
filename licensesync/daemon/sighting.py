"""What stands in the settings and the inventory at one moment, with a trace by which a change is known."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from licensesync import settings
from licensesync.composition import Pass
from licensesync.credentials import credentials
from licensesync.origin import Origin, origin
from licensesync.settings import GitSource, LocalSource, Settings, Source
from licensesync.sources import Verify

Trace = tuple[object, ...]


@dataclass(frozen=True)
class Sighting:
    """What was seen; the inventory is not read yet.

    `touched_at` is when a file of them was last written, in seconds as of `time.time()`.
    """

    settings: Settings
    origin: Origin
    trace: Trace
    touched_at: float

    def read(self, environ: Mapping[str, str]) -> Pass:
        """All of it, read. Raises what is wrong with the inventory or the credentials."""
        loaded = self.origin.load(self.settings.pools)
        pools = tuple(self.settings.pools.values())
        return Pass(self.settings, pools, loaded, loaded.info, credentials(environ))


def sighted(file: Path, environ: Mapping[str, str], *, fetch: bool) -> Sighting:
    """What there is now; with `fetch` a git remote is asked first. Raises what is wrong with settings or git."""
    found = settings.load(file)
    stands = origin(found, environ, fetch=fetch)
    ledger = found.ledger_path(environ)
    others = (path for path in _files_of(found.inventory) if not _is_of(ledger, path))
    marks = dict(_marks([file, *others]))
    trace = (stands.info.commit, stands.info.dirty, stands.mark, tuple(sorted(marks.items())))
    return Sighting(found, stands, trace, max(mark[0] for mark in marks.values()) / 1e9)


def _is_of(ledger: Path, path: Path) -> bool:
    """Whether this changes with each run: the ledger, its lock and its journal, and the folder that they are in."""
    return path == ledger.parent or str(path).startswith(str(ledger))


def _files_of(source: Source) -> Iterator[Path]:
    """Every file on this machine that counts, whatever its name: a device list may have any."""
    match source:
        case GitSource(verify=None):
            pass
        case GitSource(verify=Verify() as verify):
            yield from (keys for keys in (verify.ssh, verify.gpg) if keys)
        case LocalSource(path) if path.is_dir():
            for folder, folders, names in os.walk(path, followlinks=True):
                folders[:] = [name for name in folders if name != ".git"]
                yield Path(folder)
                yield from (Path(folder, name) for name in names)
        case LocalSource(path):
            yield path


def _marks(paths: list[Path]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """What changes with the content of each file, or with the file that a name leads to."""
    for path in paths:
        try:
            seen = path.stat()
        except OSError:
            yield str(path), (0, 0, 0)
        else:
            yield str(path), (seen.st_mtime_ns, seen.st_size, seen.st_ino)
