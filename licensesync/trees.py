"""An inventory as it is in a commit: which files there are, and what is in them, without any work tree."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from licensesync import git
from licensesync.files import LARGEST, SUFFIXES, Unreadable

REGULAR = ("100644", "100755")
LINK = "120000"
SUBMODULE = "160000"
UNRESOLVED = (b"symlink", b"dangling", b"loop", b"notdir")
"""What git says of a link that leads to nothing in its commit; where it leads to comes after that."""
LISTS = (*SUFFIXES, ".csv")
"""What is read ahead, since it is probably asked for."""
AT_ONCE = 64 * 1024**2
"""Bytes that are read ahead."""

Ask = Callable[..., bytes]
"""Git for one repository. Raises GitFailed."""


def tree_at(ask: Ask, commit: str, root: str, place: str) -> GitTree:
    """The files of the inventory at `root` of a repository, as they are in a commit; none if nothing is there."""
    within, name = root, ""
    if root != ".":
        entry = ask("ls-tree", "-z", "--full-tree", commit, "--", root).decode("utf-8", "surrogateescape")
        kind = entry.split(" ")[1] if entry else ""
        if kind not in {"blob", "tree"}:
            return GitTree(ask, commit, {}, "", place)
        if kind == "blob":
            within, name = posixpath.split(root)
    treeish = commit if within in {"", "."} else f"{commit}:{within}"
    listed = ask("ls-tree", "-r", "-l", "-z", "--full-tree", treeish).decode("utf-8", "surrogateescape")
    blobs = dict(_entry(line) for line in listed.split("\0") if line)
    passed_over = () if name else tuple(_passed_over(ask, treeish, blobs))
    return GitTree(ask, commit, blobs, name, place, passed_over)


def author_of(ask: Ask, commit: str) -> str:
    """`Name <mail>` of a commit. Raises ProvenanceError."""
    form = ("--no-show-signature", "--encoding=UTF-8", f"--format={git.AUTHOR}")
    return git.author(ask("log", "-1", *form, commit, "--"))


@dataclass(frozen=True, slots=True)
class Blob:
    """What a commit has under a path; `size` is in bytes."""

    mode: str
    id: str
    size: int


def _passed_over(ask: Ask, treeish: str, blobs: Mapping[str, Blob]) -> Iterator[Unreadable]:
    """What might be a folder with files of the inventory, and is none in a commit: nothing is left out silently."""
    links = []
    for name, blob in blobs.items():
        if blob.mode == SUBMODULE and not _is_hidden(name):
            yield Unreadable(name, "a submodule is not read", "put its files into this repository")
        elif blob.mode == LINK and not _is_hidden(name):
            links.append(name)
    for name, kind in zip(links, _kinds(ask, treeish, links), strict=True):
        if kind == b"tree":
            message = "a link to a folder is not followed in a commit"
            yield Unreadable(name, message, "put the folder itself in its place")
        elif kind != b"blob":
            yield Unreadable(name, "the link leads nowhere in its repository", "remove it, or mend its target")


def _kinds(ask: Ask, treeish: str, links: list[str]) -> Iterator[bytes]:
    """What each link leads to, as git names it: a blob, a tree, or a way of not being there."""
    within = treeish + ("/" if ":" in treeish else ":")
    asked = "".join(f"{within}{link}\n" for link in links if "\n" not in link)
    how = ("--batch-check=%(objecttype)", "--follow-symlinks")
    told, start = ask("cat-file", *how, given=asked.encode("utf-8", "surrogateescape")) if asked else b"", 0
    for link in links:
        if "\n" in link:  # it cannot be asked for
            yield b"missing"
            continue
        end = told.index(b"\n", start)
        kind, _, size = told[start:end].partition(b" ")
        start = end + 1 + (int(size) + 1 if kind in UNRESOLVED else 0)
        yield kind


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _entry(line: str) -> tuple[str, Blob]:
    """Path and object of a line of `git ls-tree -l`."""
    head, _, path = line.partition("\t")
    mode, _, blob, size = head.split()
    return path, Blob(mode, blob, int(size) if size.isdecimal() else 0)


@dataclass(frozen=True, eq=False)
class GitTree:
    """An inventory as it is in a commit: a source of files.

    `blobs` has each path in the inventory's folder; `file` is set where the inventory is one file of it. `place` is
    what the inventory is called in places: for a work tree as if it were checked out, so that two commits compare.
    """

    ask: Ask = field(repr=False)
    commit: str
    blobs: Mapping[str, Blob] = field(repr=False)
    file: str
    place: str
    passed_over: tuple[Unreadable, ...] = ()
    _ahead: dict[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def is_empty(self) -> bool:
        return not self.names()[0]

    def place_of(self, name: str) -> str:
        folder = posixpath.dirname(self.place) if self.file else self.place
        return posixpath.normpath(posixpath.join(folder, name))

    def names(self) -> tuple[list[str], list[Unreadable]]:
        if self.file:
            return [self.file], []
        return sorted(name for name in self.blobs if name.endswith(SUFFIXES) and not _is_hidden(name)), [
            *self.passed_over
        ]

    def read(self, name: str) -> bytes:
        blob = self.blobs.get(name)
        if blob is None:
            short = self.commit[: git.SHOWN]
            raise Unreadable(name, f"there is no such file in commit {short}", "commit it, or mend the path")
        if blob.mode not in REGULAR:
            raise Unreadable(name, "this is not a regular file", "name a file")
        if blob.size > LARGEST:
            raise Unreadable(name, f"the file is larger than {LARGEST // 1024**2} MB", "split it into smaller files")
        if name not in self._ahead:
            self._ahead.update(self._read_from(name))
        return self._ahead.pop(name)

    def _read_from(self, name: str) -> Iterator[tuple[str, bytes]]:
        """The file, and those that are probably asked for next, by one process."""
        wanted = [name, *self._next(name)]
        asked = "".join(f"{self.blobs[each].id}\n" for each in wanted).encode()
        told, start = self.ask("cat-file", "--batch", given=asked), 0
        for each in wanted:
            end = told.find(b"\n", start)
            answer = told[start:end].split(b" ")
            if answer[1:2] != [b"blob"]:  # git itself says what is wrong with it
                yield each, self.ask("cat-file", "blob", self.blobs[each].id)
                start = end + 1
            else:
                start = end + 1 + int(answer[2]) + 1
                yield each, told[end + 1 : start - 1]

    def _next(self, name: str) -> Iterator[str]:
        left = AT_ONCE - self.blobs[name].size
        for each in [] if self.file else sorted(self.blobs):
            blob = self.blobs[each]
            if each <= name or each in self._ahead or blob.mode not in REGULAR or not each.endswith(LISTS):
                continue
            left -= blob.size
            if left < 0:
                return
            yield each
