"""The files of an inventory on disk: which there are, and what is in them."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

LARGEST: Final = 256 * 1024 * 1024
GIT: Final = ".git"
SUFFIXES: Final = (".yaml", ".yml")


class Unreadable(Exception):
    """A file or folder cannot be read; `name` is relative to the inventory."""

    def __init__(self, name: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.hint = hint


class Source(Protocol):
    """Where the files of an inventory come from. Names are posix paths relative to the inventory's folder."""

    @property
    def place(self) -> str:
        """What problems of the inventory as a whole call it."""
        ...

    def place_of(self, name: str) -> str:
        """What problems call a file: its path relative to the settings file's folder."""
        ...

    def names(self) -> tuple[list[str], list[Unreadable]]:
        """The YAML files in the order in which they are read, and what cannot be read of folders."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file. Raises Unreadable."""
        ...


@dataclass(frozen=True)
class LocalFiles:
    """A file, or a folder with its subfolders; `base` is the settings file's folder.

    Neither `secret` files, under whatever name, nor those of git itself are read, whatever an inventory says: messages
    quote what they cannot make sense of.
    """

    root: Path
    base: Path
    secret: frozenset[Path] = frozenset()

    @property
    def place(self) -> str:
        return self._relative(self.root)

    def place_of(self, name: str) -> str:
        return self._relative(self.folder / name)

    def names(self) -> tuple[list[str], list[Unreadable]]:
        if not os.path.isdir(self.root):
            return [self.root.name], []
        walk = _Walk(self.root)
        walk.all()
        return sorted(walk.names), walk.unreadable

    def read(self, name: str) -> bytes:
        path = self.folder / name
        if name.startswith(("../", "/")):
            raise _outside(name)
        try:
            self._judge(name, path.resolve(strict=True))
        except (OSError, RuntimeError) as error:
            raise Unreadable(name, *_reason(error)) from None
        return read_file(path, name, judge=lambda real: self._judge(name, real))

    def _judge(self, name: str, real: Path) -> None:
        """Raises Unreadable for a file that is not the inventory's, by its path without links."""
        folder = self.folder.resolve()
        if not real.is_relative_to(folder):
            if self.folder / name != self.root:
                raise _outside(name)
        elif GIT in {part.casefold() for part in real.relative_to(folder).parts}:
            raise Unreadable(name, "this belongs to git", "name a file of the inventory")
        if any(_is_same(real, each) for each in self.secret):
            raise Unreadable(name, "this file holds a credential", "keep it elsewhere, and name a file of devices")

    def folders(self) -> list[Path]:
        """The folder with those of its subfolders that are read; none for a file."""
        if not os.path.isdir(self.root):
            return []
        walk = _Walk(self.root)
        walk.all()
        return [self.root / name for name in walk.folders]

    @property
    def folder(self) -> Path:
        """What names are relative to."""
        return self.root if os.path.isdir(self.root) else self.root.parent

    def _relative(self, path: Path) -> str:
        return posixpath.normpath(Path(os.path.relpath(path, self.base)).as_posix())


def read_file(
    path: Path, name: str = "", largest: int = LARGEST, *, judge: Callable[[Path], None] | None = None
) -> bytes:
    """The content of a regular file, without waiting for whoever writes into a pipe. Raises Unreadable.

    `judge` is told where the file that was opened is, and may raise: a link on the way there may be another by now.
    """
    try:
        if not (path.is_dir() or stat.S_ISREG(path.stat().st_mode)):
            raise Unreadable(name, "this is not a regular file", "name a file")
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was another one before it was opened
                raise Unreadable(name, "this is not a regular file", "name a file")
            if judge:
                judge(_whereabouts(file.fileno(), path))
            written = file.read(largest + 1)
    except OSError as error:
        raise Unreadable(name, *_reason(error)) from None
    if len(written) > largest:
        raise Unreadable(name, f"the file is larger than {largest // 1024**2} MB", "split it into smaller files")
    return written


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _whereabouts(file: int, path: Path) -> Path:
    try:
        return Path(f"/proc/self/fd/{file}").readlink()
    except OSError:
        return path.resolve()


def _outside(name: str) -> Unreadable:
    return Unreadable(name, "the file lies outside the inventory's folder", "move it into the folder")


def _reason(error: OSError | RuntimeError) -> tuple[str, str]:
    match error:
        case FileNotFoundError():
            return "there is no such file", "create it, or mend the path"
        case IsADirectoryError():
            return "this is a folder", "name a file"
        case PermissionError():
            return "the file may not be read", "give this user the right to read it"
        case OSError(strerror=str() as words) if error.errno != errno.ELOOP:
            return f"the file cannot be read: {words}", "mend the path or the file"
        case _:
            return "the link leads back to itself", "remove it, or mend its target"


class _Walk:
    """A walk through the folder, which goes into each real folder once."""

    def __init__(self, root: Path) -> None:
        self.names: list[str] = []
        self.folders: list[str] = []
        self.unreadable: list[Unreadable] = []
        self._root = root
        self._real_root = root.resolve()
        self._seen: set[Path] = set()

    def all(self) -> None:
        """Goes through all of it; folders may lie as deep in each other as paths can be long."""
        inside = [self._into("", self._real_root)]
        while inside:
            found = next(inside[-1], None)
            if found is None:
                inside.pop()
            else:
                inside.append(self._into(*found))

    def _into(self, folder: str, real: Path) -> Iterator[tuple[str, Path]]:
        """Goes through a folder; the value is each folder in it that is gone into before what comes after it."""
        path = self._root / folder
        try:
            self._seen.add(real)
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.unreadable.append(Unreadable(folder, *_reason(error)))
            return
        self.folders.append(folder)
        for entry in found:
            name = posixpath.join(folder, entry.name)
            if not entry.name.startswith(".") and (inner := self._gone_into(entry, name, real)):
                yield name, inner

    def _gone_into(self, entry: os.DirEntry[str], name: str, within: Path) -> Path | None:
        """Where it really is, if it is a folder that is gone into; takes the names of files."""
        if entry.is_symlink() and not os.path.exists(entry):
            self.unreadable.append(Unreadable(name, "the link leads nowhere", "remove it, or mend its target"))
        elif entry.is_dir():
            return self._followed(name) if entry.is_symlink() else within / entry.name
        elif name.endswith(SUFFIXES):
            self.names.append(name)
        return None

    def _followed(self, name: str) -> Path | None:
        """A link may lead to a folder that is not read under its own name, which is how Kubernetes mounts volumes."""
        target = (self._root / name).resolve()
        if not target.is_relative_to(self._real_root):
            message, hint = "the link leads out of the inventory's folder", "move its target into the folder"
        elif target in self._seen or not _is_hidden(target.relative_to(self._real_root)):
            message, hint = "the link leads to a folder that is read anyway", "remove the link"
        else:
            return target
        self.unreadable.append(Unreadable(name, message, hint))
        return None


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
