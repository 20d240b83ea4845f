"""What the settings say of the inventory's source: a path on this machine, or a git repository."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from licensesync.located import Node, Table, Text
from licensesync.problems import Problems, shown
from licensesync.values import FLAG, PATH, Kind, Section, Unfit, read, span, worded


@dataclass(frozen=True, slots=True)
class LocalSource:
    """An inventory on this machine; with `require_clean` it must be as it is in its commit."""

    path: Path
    require_clean: bool = False


@dataclass(frozen=True, slots=True)
class Verify:
    """Whose signatures a commit must have: a file of SSH allowed signers or of GPG public keys; one of the two is None.

    https://git-scm.com/docs/git-config#Documentation/git-config.txt-gpgsshallowedSignersFile
    """

    ssh: Path | None = None
    gpg: Path | None = None


@dataclass(frozen=True, slots=True)
class GitSource:
    """An inventory at a commit of a git repository; `path` is relative to the repository's root.

    `timeout` bounds each call of the git program that talks to the remote.
    """

    url: str
    ref: str = "HEAD"
    path: str = "."
    deploy_key: Path | None = None
    fetch_every: timedelta = timedelta(minutes=1)
    timeout: timedelta = timedelta(minutes=1)
    verify: Verify | None = None


Source = LocalSource | GitSource


def read_source(node: Node, folder: Path, problems: Problems) -> Source | None:
    """The source, with absolute paths; None if its problem has been reported."""
    if not isinstance(node, Table):
        path = read(node, PATH, problems, "inventory", None)
        return None if path is None else LocalSource(_absolute(folder, path))
    written = Section(node, problems, "inventory")
    source = _git(written, folder) if "git" in written else _local(written, folder)
    written.close()
    return source


def _local(written: Section, folder: Path) -> LocalSource | None:
    path = written.get("path", PATH, None)
    require_clean = written.get("require_clean", FLAG, False)
    if "path" not in written:
        hint = "add git: {url: …, ref: …, path: …} or path: …, or write a path alone"
        written.problems.add(written.table.place, "inventory has neither git nor path", hint)
    return None if path is None else LocalSource(_absolute(folder, path), require_clean)


def _git(written: Section, folder: Path) -> GitSource | None:
    git = written.section("git")
    if not git:
        return None
    default = GitSource("")
    key = git.get("deploy_key", PATH, None)
    source = GitSource(
        _beside(folder, git.require("url", GIT_URL, "")),
        git.get("ref", GIT_REF, default.ref),
        git.get("path", GIT_PATH, default.path).rstrip("/"),
        None if key is None else _absolute(folder, key),
        git.get("fetch_every", span(), default.fetch_every),
        git.get("timeout", span(), default.timeout),
        _verify(git.section("verify"), folder),
    )
    git.close()
    return source


def _verify(written: Section | None, folder: Path) -> Verify | None:
    if not written:
        return None
    ssh, gpg = written.get("ssh", PATH, None), written.get("gpg", PATH, None)
    if ("ssh" in written) == ("gpg" in written):
        hint = "write ssh: and a file of allowed signers, or gpg: and a file of public keys"
        written.problems.add(written.table.place, "verify wants one of ssh and gpg", hint)
    written.close()
    return Verify(*(None if path is None else _absolute(folder, path) for path in (ssh, gpg)))


def _beside(folder: Path, url: str) -> str:
    """The same, where a path on this machine is relative to the settings' folder; `host:path` is no such path."""
    head, colon, _ = url.partition(":")
    is_path = url and (not colon or "/" in head)
    return str(_absolute(folder, url)) if is_path else url


def _absolute(folder: Path, path: str) -> Path:
    return Path(os.path.normpath(folder / path))


def _git_path(text: Text) -> str:
    path = os.path.normpath(PATH.parse(text))
    if path.startswith(("/", "..")):
        raise Unfit(f"{shown(text.value)} leaves the repository")
    return path


SECRET: Final = re.compile(r":(?!\d+(/|$))")
"""What stands after a colon before an @, unless it is a port."""


def _git_url(text: Text) -> str:
    url = PATH.parse(text)
    if url.startswith("-"):
        raise Unfit(f"{shown(url)} is not a URL")
    scheme, _, rest = url.rpartition("://")
    named = rest.partition("/")[0].rpartition("@")[0]
    if SECRET.search(rest.rpartition("@")[0]) or (named and scheme.lower().startswith("http")):
        raise Unfit("holds a password or a token", "write the URL without it; git asks its credential helper")
    if scheme and ("?" in rest or "#" in rest):
        raise Unfit("has a query or a fragment", "write the URL without what stands after ? or #")
    return url


GIT_REF_FORM: Final = r"[A-Za-z0-9_][^\s~^:?*\[\\]*"
GIT_REF: Final = worded(GIT_REF_FORM, "write a branch, a tag or a commit, such as main")
GIT_PATH: Final = Kind(_git_path, "write a path inside the repository, such as inventory/", {"type": "string"})
GIT_URL: Final = Kind(_git_url, "write what git clone takes, such as git@host:fleet.git", {"type": "string"})
