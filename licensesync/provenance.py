"""Where the inventory comes from: files with the commit that they stand at, another commit, each line's last commit."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import ascii_lowercase

from licensesync import git
from licensesync.errors import ProvenanceError
from licensesync.files import LocalFiles
from licensesync.git import GitFailed
from licensesync.model import LineCommit, Place
from licensesync.trees import GitTree, tree_at

PATIENCE_FOR_A_LINE = 5.0  # somebody waits, and the commit of a line is an extra
OVERLOOKED = {"S", *ascii_lowercase}
"""How `git ls-files -v` marks what git was told to see no change of: a sparse checkout, or `--assume-unchanged`."""
NAMED = 3  # changed files in one message


class OutsideGit(ProvenanceError):
    """The inventory is in no work tree."""


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """The commit that an inventory stands at, its author, and the files of the inventory that differ from it."""

    commit: str
    author: str
    changes: tuple[str, ...]


def checked_out(inventory: Path) -> CheckedOut:
    """What git says of an inventory in a work tree. Raises OutsideGit, and ProvenanceError where git cannot tell."""
    folder = _folder(inventory)
    if git.top_of(folder) is None:
        raise OutsideGit(f"{folder} is in no work tree")
    ask = git.of_work_tree(folder)
    form = ("--no-show-signature", "--encoding=UTF-8", f"--format=%H {git.AUTHOR}")
    commit, _, author = ask("log", "-1", *form, "HEAD", "--").partition(b" ")
    seen = ("status", "--porcelain", "--untracked-files=all", "--ignored=matching", "--", str(inventory))
    changes = [line[3:] for line in ask(*seen).decode("utf-8", "replace").splitlines()]
    files = ask("ls-files", "-v", "--full-name", "--", str(inventory)).decode("utf-8", "replace").split("\n")
    changes += [line[2:] for line in files if line[:1] in OVERLOOKED]
    return CheckedOut(commit.decode(), git.author(author), tuple(changes))


def must_be_clean(inventory: Path) -> CheckedOut:
    """The same. Raises ProvenanceError if the inventory is not as it is in its commit, or git cannot tell."""
    way_out = "or take require_clean out of the settings"
    try:
        found = checked_out(inventory)
    except ProvenanceError as error:
        message = f"git cannot tell whether the inventory {inventory} is as it was committed ({error})"
        raise ProvenanceError(f"{message}; let it be in a work tree that this user may read, {way_out}") from error
    if found.changes:
        more = len(found.changes) - NAMED
        named = ", ".join([*found.changes[:NAMED], *([f"and {more} more"] if more > 0 else [])])
        raise ProvenanceError(f"the inventory has changes that are not committed: {named}; commit them, {way_out}")
    return found


def at_commit(inventory: Path, ref: str, base: Path) -> GitTree:
    """The files of the inventory as they are in a commit. Raises ProvenanceError where there is no such commit."""
    folder = _folder(inventory)
    if ref.startswith("-"):
        raise ProvenanceError(f"{ref!r} is no commit; write a branch, a tag or a commit")
    ask = git.of_work_tree(folder)
    top = Path(ask("rev-parse", "--show-toplevel").decode().rstrip("\n"))
    try:
        commit = ask("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").decode().strip()
    except GitFailed as failed:
        words = failed.words or f"there is no commit {git.said(ref.encode())} in {top}"
        raise ProvenanceError(f"{words}; write a branch, a tag or a commit that is there, or fetch it first") from None
    root = posixpath.normpath(os.path.relpath(inventory.resolve(), top.resolve()))
    return tree_at(git.of_work_tree(top), commit, root, LocalFiles(inventory, base).place)


def blame(place: Place, base: Path, patience: float = PATIENCE_FOR_A_LINE) -> LineCommit | None:
    """The last commit that changed the line of a place, whose file is relative to `base`.

    None where git cannot tell: no git, no repository, a link, a file that is not tracked, or it takes too long.
    """
    path = Path(os.path.normpath(base / place.file))  # `..` is the folder that was written, as in places
    line = f"-L{place.line},{place.line}"
    try:
        top = git.top_of(path.parent)
        if top is None or path.is_symlink():  # git would tell who wrote the link
            return None
        # Line n is line n of the file itself, not of what a filter for people makes of it.
        how = ("--porcelain", "--encoding=UTF-8", "--no-textconv", line, "--")
        name = os.path.relpath(Path(os.path.realpath(path.parent), path.name), top)
        told = _header(git.of_work_tree(top)("blame", *how, name, patience=patience))
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
    told = git.of_work_tree(folder)("rev-parse", "--is-shallow-repository", patience=patience)
    return told.strip() == b"true"


def _moment(seconds: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _folder(inventory: Path) -> Path:
    return inventory if os.path.isdir(inventory) else inventory.parent
