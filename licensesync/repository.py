"""The mirror of a git remote: fetched within a time, read at exactly one commit, made anew when it is damaged.

It is a bare repository without history, and a cache: whatever is wrong with it, the next fetch makes another one
beside it, which takes its place if the remote has answered.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from licensesync import git, remotes, signatures
from licensesync.errors import ProvenanceError
from licensesync.git import SHOWN, Git, GitFailed
from licensesync.sources import GitSource
from licensesync.trees import GitTree, author_of, tree_at

OWNER_ONLY: Final = 0o600
POLL: Final = 0.05
FORGOTTEN: Final = timedelta(days=30)
MOST_LOOSE, MOST_PACKS = 2000, 20
"""With more objects or packs than that the mirror is tidied up, at most once a day."""
TIDYING: Final = 300.0
A_DAY: Final = 86_400.0


class Damaged(ProvenanceError):
    """The mirror cannot be read; the next fetch makes it anew."""


class NoSuchPath(ProvenanceError):
    """The commit has nothing at the path of the settings."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the remote last said that the ref means, and when."""

    commit: str
    at: datetime


class Mirror:
    """What is known of one ref of a remote. Other refs, and other remotes, may be kept in the same folder."""

    def __init__(self, source: GitSource, folder: Path) -> None:
        remotes.must_be_askable(source.ref)
        self._source = source
        self._folder = folder
        self._key = sha256(f"{source.url}\0{source.ref}".encode()).hexdigest()[:16]

    def fetch(self) -> None:
        """Ask the remote. Raises ProvenanceError if it does not answer; what it said before is then still known."""
        try:
            with self._alone():
                self._sweep()
                if not self._is_usable() or not self._is_updated():
                    self._renew()
        except GitFailed as failed:
            raise remotes.explained(failed, self._source) from None
        except OSError as error:
            way_out = "see that its folder is there, and that this user may write both"
            raise ProvenanceError(
                f"the mirror {self._folder} cannot be written: {error.filename}: {error.strerror}; {way_out}"
            ) from error

    @property
    def fetched_at(self) -> datetime | None:
        """When the remote last answered; None if it never has."""
        known = self._known(self._folder)
        return known.at if known else None

    @property
    def mark(self) -> tuple[int, int]:
        """Changes whenever the mirror is made anew, which may mend what could not be read."""
        try:
            made = (self._folder / "HEAD").stat()
        except OSError:
            return 0, 0
        return made.st_mtime_ns, made.st_ino

    def commit(self) -> str:
        """The commit that the ref means, as of the last fetch that succeeded. Raises ProvenanceError without one."""
        known = self._known(self._folder)
        if known is None:
            way_out = "run licensesync plan once, or check a clone of it"
            raise ProvenanceError(f"{self._named} was not fetched into {self._folder} yet; {way_out}")
        self._ask("cat-file", "-e", f"{known.commit}^{{commit}}")
        return known.commit

    def tree(self, commit: str) -> GitTree:
        """The inventory at a commit, with places relative to the repository's root. Raises ProvenanceError."""
        found = tree_at(self._ask, commit, self._source.path, self._source.path)
        if not found.blobs:
            where = f"commit {commit[:SHOWN]} of {self._named} has no {git.said(self._source.path.encode())}"
            raise NoSuchPath(f"{where}; push one, or mend path: in the settings")
        return found

    def verify(self, commit: str) -> None:
        """Raises ProvenanceError unless the settings ask for no signature, or the commit has a good one."""
        if self._source.verify is None:
            return
        try:
            signatures.must_be_good(self._ask("cat-file", "commit", commit), self._source.verify)
        except Damaged:
            raise
        except ProvenanceError as error:
            whose = f"commit {commit[:SHOWN]} of {self._named}, by {self.author(commit)}, is not accepted: {error}"
            raise ProvenanceError(f"{whose}; sign it with a key that verify: in the settings knows") from error

    def author(self, commit: str) -> str:
        """`Name <mail>`, fit for a log."""
        return author_of(self._ask, commit)

    @property
    def _named(self) -> str:
        return f"{self._source.ref} of {git.without_user(self._source.url)}"

    @property
    def _ref(self) -> str:
        return f"refs/licensesync/{self._key}"

    @property
    def _distrusted(self) -> Path:
        """Is there if something of the mirror could not be read."""
        return self._folder / "damaged"

    def _ask(self, *arguments: str, patience: float = git.PATIENCE, given: bytes = b"") -> bytes:
        """What git says of what the mirror must have."""
        try:
            return git.of_mirror(self._folder)(*arguments, patience=patience, given=given)
        except GitFailed as failed:
            if failed.code is None:
                raise
            with suppress(OSError):
                self._distrusted.touch()
            raise Damaged(f"the mirror {self._folder} is damaged ({failed}); a fetch makes it anew") from failed

    def _known(self, folder: Path) -> Fetched | None:
        try:
            commit, at = (folder / "fetched" / self._key).read_text(encoding="ascii").split()
            return Fetched(commit, datetime.fromisoformat(at))
        except (OSError, ValueError):
            return None

    # Fetching, by one process at a time

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process fetches meanwhile. Raises ProvenanceError if one does for too long."""
        path = self._folder.with_name(f"{self._folder.name}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, OWNER_ONLY)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise ProvenanceError(f"the mirror's lock {path} is a link; see who made it, and remove it") from error
        try:
            self._wait_for(file)
            yield
        finally:
            os.close(file)

    def _wait_for(self, lock: int) -> None:
        end = time.monotonic() + self._source.timeout.total_seconds()
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    busy = f"another process has been fetching into {self._folder} for too long"
                    raise ProvenanceError(f"{busy}; wait for its end, or stop it") from None
            time.sleep(POLL)

    def _sweep(self) -> None:
        """Remove what killed fetches have left behind: nobody but this process is fetching."""
        for made in self._folder.parent.glob(f".{self._folder.name}-*"):
            _remove(made)
        for pattern in ("*.lock", "refs/**/*.lock", "objects/*/tmp_*"):
            for left in self._folder.glob(pattern):
                left.unlink(missing_ok=True)

    def _is_usable(self) -> bool:
        return (self._folder / "HEAD").is_file() and not self._distrusted.exists()

    def _is_updated(self) -> bool:
        """Whether the mirror is up to date now, or else must be made anew. Raises if it is the remote's fault."""
        try:
            self._update(self._folder)
        except GitFailed as failed:
            if failed.code is None or not self._is_damaged():
                raise
            return False
        return True

    def _is_damaged(self) -> bool:
        """Whether something is wrong with the mirror itself: incomplete, or of somebody else."""
        inside = (self._folder, *self._folder.glob("objects/*"), *self._folder.glob("refs/*"))
        if not all(os.access(each, os.W_OK) for each in inside if each.is_dir()):
            return True
        try:
            git.of_mirror(self._folder)("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        except GitFailed as failed:
            return failed.code is not None
        return False

    def _update(self, folder: Path) -> None:
        """Ask the remote, and write down what it said."""
        before, ask = self._known(folder), git.of_mirror(folder)
        remotes.fetch(ask, self._source, self._ref)
        after = Fetched(self._fetched_commit(ask), datetime.now(UTC))
        _write(folder / "fetched" / self._key, f"{after.commit} {after.at.isoformat()}\n")
        if before is None or before.commit != after.commit:
            with suppress(GitFailed, OSError):
                _tidy(ask, folder)

    def _fetched_commit(self, ask: Git) -> str:
        try:
            return ask("rev-parse", "--verify", "--quiet", f"{self._ref}^{{commit}}").decode().strip()
        except GitFailed:
            kind = ask("cat-file", "-t", self._ref).decode().strip()
            raise ProvenanceError(f"{self._named} is a {kind} and no commit; write a branch or another tag") from None

    def _renew(self) -> None:
        """Put a new mirror in the place of what is there, if anything. Raises if the remote does not answer."""
        made = Path(mkdtemp(prefix=f".{self._folder.name}-", dir=self._folder.parent))
        former = made.with_name(f"{made.name}-former")
        try:
            git.of_mirror(made)("init", "--quiet", "--bare", "--template=")
            self._update(made)
            if os.path.lexists(self._folder):
                self._folder.rename(former)
            made.rename(self._folder)
        finally:
            _remove(made)
            _remove(former)


def _remove(path: Path) -> None:
    """Remove a folder with what is in it, or a file; what cannot be removed is in nobody's way."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(exist_ok=True)
    draft = file.with_name(f"{file.name}.lock")
    draft.write_text(text, encoding="ascii")
    draft.replace(file)


def _tidy(ask: Git, folder: Path) -> None:
    """Let the mirror not grow for ever: refs that nobody fetches any more are forgotten, old objects are packed."""
    for known in (folder / "fetched").iterdir():
        if datetime.now(UTC).timestamp() - known.stat().st_mtime > FORGOTTEN.total_seconds():
            ask("update-ref", "-d", f"refs/licensesync/{known.name}")
            known.unlink()
    counted = dict(line.split(": ") for line in ask("count-objects", "-v").decode().splitlines())
    tidied = folder / "tidied"
    if int(counted["count"]) <= MOST_LOOSE and int(counted["packs"]) <= MOST_PACKS:
        return
    if not tidied.exists() or time.time() - tidied.stat().st_mtime > A_DAY:
        tidied.touch()
        ask("gc", "--quiet", patience=TIDYING)
