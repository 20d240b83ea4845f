"""Where the inventory comes from: a path, the commit that it stands at, another commit, and each line's last commit."""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from licensesync.errors import ProvenanceError
from licensesync.files import LARGEST, SUFFIXES, LocalFiles, Unreadable
from licensesync.model import InventoryInfo, LineCommit, Place
from licensesync.sources import GitSource, Source

PATIENCE = 60.0
PATIENCE_FOR_A_LINE = 5.0  # somebody waits, and the commit of a line is an extra
REGULAR = ("100644", "100755")


def local(source: Source) -> Path:
    """The path of an inventory on this machine. Raises ProvenanceError for one that is elsewhere."""
    if isinstance(source, GitSource):
        raise ProvenanceError(
            f"this command reads local inventories only, not the git remote {source.url}; clone it and write the path"
        )
    return source.path


def stamped(info: InventoryInfo, inventory: Path) -> InventoryInfo:
    """The same with the commit that is checked out and whether the inventory differs from it; as it is outside git."""
    try:
        commit = _git(_folder(inventory), "rev-parse", "--verify", "--quiet", "HEAD")
        seen = ("status", "--porcelain", "--untracked-files=all", "--ignored=matching", "--", str(inventory))
        changed = _git(_folder(inventory), *seen)
    except ProvenanceError:
        return info
    return replace(info, commit=commit.decode().strip(), dirty=bool(changed.strip()))


def at_commit(inventory: Path, ref: str, base: Path) -> GitTree:
    """The files of the inventory as they are in a commit. Raises ProvenanceError where there is no such commit."""
    folder = _folder(inventory)
    if ref.startswith("-"):
        raise ProvenanceError(f"{ref!r} is no commit; write a branch, a tag or a commit")
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
    commit = _git(folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").decode().strip()
    root = posixpath.normpath(os.path.relpath(inventory.resolve(), top.resolve()))
    listed = _git(top, "ls-tree", "-r", "-z", "--full-tree", commit).decode("utf-8", "surrogateescape")
    blobs = dict(_entry(line) for line in listed.split("\0") if line)
    name = posixpath.basename(root) if root in blobs else ""
    within = posixpath.dirname(root) if name else root
    inside = {posixpath.relpath(path, within or "."): blob for path, blob in blobs.items() if _is_in(within, path)}
    return GitTree(top, commit, inside, name, LocalFiles(inventory, base).place)


def _entry(line: str) -> tuple[str, tuple[str, str]]:
    """Path, mode and object of a line of `git ls-tree`."""
    head, _, path = line.partition("\t")
    mode, _, blob = head.split(" ")
    return path, (mode, blob)


def _is_in(folder: str, path: str) -> bool:
    return folder in {"", "."} or path.startswith(f"{folder}/")


@dataclass(frozen=True, eq=False)
class GitTree:
    """An inventory as it is in a commit: a source of files.

    `blobs` has mode and object of each path in the inventory's folder; `file` is set where the inventory is one file
    of it. `place` is what the inventory that is checked out is called, so that places of two commits can be compared.
    """

    top: Path
    commit: str
    blobs: Mapping[str, tuple[str, str]]
    file: str
    place: str

    @property
    def is_empty(self) -> bool:
        return not self.names()[0]

    def place_of(self, name: str) -> str:
        folder = posixpath.dirname(self.place) if self.file else self.place
        return posixpath.normpath(posixpath.join(folder, name))

    def names(self) -> tuple[list[str], list[Unreadable]]:
        if self.file:
            return [self.file], []
        shown = (name for name in self.blobs if not any(part.startswith(".") for part in name.split("/")))
        return sorted(name for name in shown if name.endswith(SUFFIXES)), []

    def read(self, name: str) -> bytes:
        mode, blob = self.blobs.get(name, ("", ""))
        if not blob:
            raise Unreadable(name, f"there is no such file in commit {self.commit[:10]}", "commit it, or mend the path")
        if mode not in REGULAR:
            raise Unreadable(name, "this is not a regular file", "name a file")
        written = _git(self.top, "cat-file", "blob", blob)
        if len(written) > LARGEST:
            raise Unreadable(name, f"the file is larger than {LARGEST // 1024**2} MB", "split it into smaller files")
        return written


def blame(place: Place, base: Path, patience: float = PATIENCE_FOR_A_LINE) -> LineCommit | None:
    """The last commit that changed the line of a place, whose file is relative to `base`.

    None where git cannot tell: no git, no repository, a link, a file that is not tracked, or it takes too long.
    """
    path = Path(os.path.normpath(base / place.file))  # `..` is the folder that was written, as in places
    line = f"-L{place.line},{place.line}"
    # Line n is line n of the file itself, not of what a filter for people makes of it.
    how = ("--porcelain", "--encoding=UTF-8", "--no-textconv", line, "--", path.name)
    try:
        if path.is_symlink():  # git would tell who wrote the link
            return None
        told = _header(_git(path.parent, "blame", *how, patience=patience))
        if "boundary" in told and _is_cut_off(path.parent, patience):
            return None
    except (ProvenanceError, OSError):
        return None
    if not told["commit"].strip("0"):
        return LineCommit(None)
    return LineCommit(told["commit"], told["author"], _moment(told["author-time"]), told["summary"])


def _header(blamed: bytes) -> dict[str, str]:
    """What `git blame --porcelain` says of a line, by its keys."""
    first, *more = blamed.partition(b"\n\t")[0].decode("utf-8", "replace").split("\n")
    said = dict.fromkeys(("author", "author-time", "summary"), "")
    for line in more:
        key, _, value = line.partition(" ")
        said[key] = value
    return said | {"commit": first.partition(" ")[0]}


def _is_cut_off(folder: Path, patience: float) -> bool:
    """Whether this is a shallow clone, whose oldest commits did not write the lines that they seem to have written."""
    return _git(folder, "rev-parse", "--is-shallow-repository", patience=patience).strip() == b"true"


def _moment(seconds: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _folder(inventory: Path) -> Path:
    return inventory if inventory.is_dir() else inventory.parent


def _git(folder: Path, *arguments: str, patience: float = PATIENCE) -> bytes:
    """What git prints. Raises ProvenanceError where it cannot tell: no git, no repository, not ours, no such commit."""
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        told = subprocess.run(command, capture_output=True, check=True, env=environ, timeout=patience)  # noqa: S603 - a list, no shell
    except FileNotFoundError as error:
        raise ProvenanceError("there is no git program here; install git") from error
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode("utf-8", "replace").strip() or "there is no such commit"
        raise ProvenanceError(f"git {arguments[0]}: {words}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProvenanceError(f"git {arguments[0]}: {error}") from error
    return told.stdout
