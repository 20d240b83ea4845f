"""The git program: it asks nobody, runs no hooks of ours, ends within a time, and says why it failed in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from licensesync import programs
from licensesync.credentials import CALLBACK_NAMES, NAMES, WEBHOOK_NAMES
from licensesync.errors import ProvenanceError
from licensesync.problems import printable

PATIENCE: Final = 60.0
LONGEST: Final = 300
LONGEST_AUTHOR: Final = 200
AUTHOR: Final = "%an <%ae>"
SHOWN: Final = 10  # digits of a commit
UNATTENDED: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
OF_A_REPOSITORY: Final = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""Variables that lead to the repository in whose hook or alias this program was started."""
KEPT_BACK: Final = frozenset(
    {*OF_A_REPOSITORY, *NAMES, *CALLBACK_NAMES, *WEBHOOK_NAMES, "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
)
"""What is nothing to git, nor to the ssh, the credential helpers and whatever else is started."""
OF_OTHERS: Final = {"core.fsmonitor": "false", "core.hooksPath": os.devnull, "safe.bareRepository": "explicit"}
"""In a work tree that others fill. A folder of it may look like a bare repository, whose configuration names programs.

https://git-scm.com/docs/git-config#Documentation/git-config.txt-safebareRepository (git 2.38)
"""
ALONE: Final = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.logAllRefUpdates": "false",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "gc.autoDetach": "false",
    "gc.cruftPacks": "true",
    "gc.pruneExpire": "1.day.ago",
    "maintenance.auto": "false",
}


class GitFailed(ProvenanceError):
    """Git did not do what it was asked; `words` is what it said of it, `code` how it ended, None if it did not."""

    def __init__(self, message: str, words: str = "", code: int | None = None) -> None:
        super().__init__(message)
        self.words = words
        self.code = code


class GitLate(GitFailed):
    """Git took too long, and was killed with all that it had started."""


@dataclass(frozen=True, slots=True)
class Git:
    """The git program for one repository."""

    options: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)

    def __call__(self, *arguments: str, patience: float = PATIENCE, given: bytes = b"") -> bytes:
        """What git prints. Raises GitFailed: no git, no such repository or commit, not ours, or too slow."""
        try:
            command = ("git", *self.options, *arguments)
            ended = programs.run(command, environ=self.environ, patience=patience, given=given)
        except FileNotFoundError:
            raise GitFailed("there is no git program here; install git") from None
        except TimeoutError as error:
            raise GitLate(f"git {arguments[0]}: {error}") from None
        except OSError as error:
            raise GitFailed(f"git {arguments[0]}: {error.strerror}; try again") from error
        if ended.code:
            words = said(ended.err)
            raise GitFailed(f"git {arguments[0]}: {words or f'it ended with {ended.code}'}", words, ended.code)
        return ended.out

    def amid(self, more: Mapping[str, str]) -> Git:
        """The same with more variables around it."""
        return replace(self, environ={**self.environ, **more})


def of_work_tree(folder: Path) -> Git:
    """Git for the repository in whose work tree a folder is, whichever repository's hook this is.

    It starts where the repository itself stands: an older git than 2.38 would take a folder below for another one.
    """
    return Git(("-C", str(top_of(folder) or folder), *_options(OF_OTHERS)), {**surroundings(), **UNATTENDED})


def top_of(folder: Path) -> Path | None:
    """The nearest folder from this one upwards that has a `.git`, as no commit can; None where there is none."""
    real = Path(os.path.realpath(folder))
    return next((above for above in (real, *real.parents) if os.path.lexists(above / ".git")), None)


def of_mirror(folder: Path) -> Git:
    """Git for a bare repository that is ours alone: no hooks, no reflogs, and it is tidied up only when asked."""
    ours = {**surroundings(), **UNATTENDED, "GIT_NO_REPLACE_OBJECTS": "1"}
    return Git((f"--git-dir={folder}", *_options(ALONE)), ours)


def _options(configuration: Mapping[str, str]) -> Sequence[str]:
    return [option for key, value in configuration.items() for option in ("-c", f"{key}={value}")]


def surroundings() -> Mapping[str, str]:
    """The variables around this program, but for its secrets and those that lead to a repository."""
    return {name: value for name, value in os.environ.items() if name not in KEPT_BACK}


def said(words: bytes) -> str:
    """What a program said, on one line, cut short, without secrets and without what would steer a terminal."""
    line = " ".join(words.decode("utf-8", "replace").split())
    line = printable(without_user(line))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def without_user(text: str) -> str:
    """The same without what stands before the host in URLs, which may be a password or a token."""
    return re.sub(r"://[^/\s]*@", "://", text)


def author(written: bytes) -> str:
    """`Name <mail>` as git printed it for `AUTHOR`, fit for a log."""
    return printable(" ".join(written.decode("utf-8", "replace").split()))[:LONGEST_AUTHOR]
