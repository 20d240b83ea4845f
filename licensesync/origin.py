"""Where the inventory stands now: in files on this machine, or at one commit of a git remote's mirror."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from licensesync import inventory, provenance, trees
from licensesync.credentials import DEPLOY_KEY, file_of
from licensesync.errors import ProvenanceError
from licensesync.files import LocalFiles, Source
from licensesync.inventory import Inventory
from licensesync.model import InventoryInfo, Pool
from licensesync.provenance import OutsideGit
from licensesync.remotes import Vanished
from licensesync.repository import Damaged, Mirror
from licensesync.settings import GitSource, LocalSource, Settings


@dataclass(frozen=True)
class Origin:
    """What was found; the inventory is not read yet.

    `info` has the commit, its author and whether files differ from it, and nothing of the devices. `fresh_at` is when
    a git remote last answered, and `stale` why it does not now; both are None for files on this machine. `nameless` is
    why the commit of files in a work tree cannot be told. `mark` changes when the mirror of a remote is made anew,
    which is what `mend` does where it may.
    """

    info: InventoryInfo
    files: Callable[[], Source] = field(repr=False)
    """The files themselves. Raises ProvenanceError if nothing is there, or it is not to be trusted."""
    fresh_at: datetime | None = None
    stale: str | None = None
    nameless: str | None = None
    mark: tuple[int, int] = (0, 0)
    mend: Callable[[], None] | None = field(default=None, repr=False)

    def load(self, pools: Mapping[str, Pool], before: Inventory | None = None) -> Inventory:
        """The inventory, whose info tells of its commit too. Raises InventoryError and ProvenanceError.

        If it is as it was `before`, for the same pools, it is not parsed again.
        """
        try:
            return self._load(pools, before)
        except Damaged as damaged:
            if self.mend is None:
                raise
            _mend(self.mend, damaged)
            return self._load(pools, before)

    def _load(self, pools: Mapping[str, Pool], before: Inventory | None) -> Inventory:
        files = self.files()
        loaded = before if before and before.content.is_in(files) else inventory.load_from(files, pools)
        info = replace(loaded.info, commit=self.info.commit, dirty=self.info.dirty, author=self.info.author)
        return replace(loaded, info=info)


def origin(settings: Settings, environ: Mapping[str, str], *, fetch: bool, ref: str | None = None) -> Origin:
    """Where the inventory of the settings stands, or stood at another `ref`.

    With `fetch` a git remote is asked first, else nothing is asked of the network. A remote that does not answer makes
    what it said before `stale`. Raises ProvenanceError if it has not said anything yet, or says that there is no such
    ref; and for a ref that does not exist. The deploy key is that of the settings, else the one of the credentials.
    """
    match settings.inventory:
        case GitSource() as source:
            key = deploy_key(source, environ)
            asked = replace(source, deploy_key=key, ref=source.ref if ref is None else ref)
            return _of_remote(Mirror(asked, settings.mirror_path(environ)), fetch=fetch)
        case LocalSource() as source:
            return _of_files(source, settings, environ) if ref is None else _of_commit(source, settings, ref)


def deploy_key(source: GitSource, environ: Mapping[str, str]) -> Path | None:
    """The file that the settings name, else the credential; None for neither. Raises ProvenanceError."""
    key = source.deploy_key or file_of(DEPLOY_KEY, environ)
    try:
        with suppress(FileNotFoundError, NotADirectoryError):  # git says so where it wants the key
            if key:
                key.stat()
    except OSError as error:
        words = f"{error.filename}: {error.strerror}; give this user the right to look into that folder"
        raise ProvenanceError(words) from error
    return key


def _of_files(source: LocalSource, settings: Settings, environ: Mapping[str, str]) -> Origin:
    def files() -> Source:
        if source.require_clean:
            provenance.must_be_clean(source.path)
        return LocalFiles(source.path, settings.folder, settings.secret_files(environ))

    try:
        found = provenance.checked_out(source.path)
    except OutsideGit:  # it need not be in git
        return Origin(InventoryInfo(0, ""), files)
    except ProvenanceError as error:
        return Origin(InventoryInfo(0, ""), files, nameless=str(error))
    return Origin(InventoryInfo(0, "", found.commit, bool(found.changes), found.author), files)


def _of_commit(source: LocalSource, settings: Settings, ref: str) -> Origin:
    tree = provenance.at_commit(source.path, ref, settings.folder)
    author = trees.author_of(tree.ask, tree.commit)
    return Origin(InventoryInfo(0, "", tree.commit, author=author), lambda: tree)


def _of_remote(mirror: Mirror, *, fetch: bool) -> Origin:
    stale = _fetched(mirror) if fetch else None
    try:
        return _of_mirror(mirror, stale, fetch=fetch)
    except Damaged as damaged:
        if not fetch:
            raise
        _mend(mirror.fetch, damaged)
        return _of_mirror(mirror, None, fetch=fetch)


def _of_mirror(mirror: Mirror, stale: str | None, *, fetch: bool) -> Origin:
    commit = mirror.commit()

    def files() -> Source:
        mirror.verify(commit)
        return mirror.tree(commit)

    info = InventoryInfo(0, "", commit, author=mirror.author(commit))
    mend = mirror.fetch if fetch else None
    return Origin(info, files, mirror.fetched_at, stale, mark=mirror.mark, mend=mend)


def _fetched(mirror: Mirror) -> str | None:
    """Why the remote did not answer, if it did not and has before."""
    try:
        mirror.fetch()
    except Vanished:
        raise
    except ProvenanceError as error:
        if mirror.fetched_at is None:
            raise
        return str(error)
    return None


def _mend(fetch: Callable[[], None], damaged: Damaged) -> None:
    try:
        fetch()
    except ProvenanceError as error:
        raise ProvenanceError(f"{damaged}, which fails: {error}") from error
