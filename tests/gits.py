"""A git remote whose people push to it: a bare repository, and the folder in which they work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ADA = "Ada Lovelace <ada@example.com>"


def git(folder: Path, *arguments: str, given: bytes = b"") -> str:
    """What git prints, with no settings but ours."""
    who = ["-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"]
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, input=given, env={**environ, **alone}
    )
    return done.stdout.decode().strip()


@dataclass(frozen=True)
class Remote:
    """`url` is the bare repository, `folder` the work tree of those who push to it."""

    url: Path
    folder: Path

    def push(self, text: str, *options: str, name: str = "fleet/a.yaml", to: str = "main", parent: str = "") -> str:
        """Commit a file with this text, on top of another commit if one is named, and push it; the commit."""
        if parent:
            git(self.folder, "reset", "--quiet", "--hard", parent)
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        git(self.folder, "add", "--all")
        git(self.folder, *options, "commit", "--quiet", "--allow-empty", "--message", "words")
        git(self.folder, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{to}")
        return self.head

    @property
    def head(self) -> str:
        return git(self.folder, "rev-parse", "HEAD")

    def delete(self, ref: str) -> None:
        git(self.folder, "push", "--quiet", "origin", f":{ref}")


def remote_in(folder: Path) -> Remote:
    """A remote without commits, and a work tree beside it."""
    made = Remote(folder / "remote.git", folder / "people")
    made.folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", str(made.url))
    git(made.folder, "init", "--quiet")
    git(made.folder, "remote", "add", "origin", str(made.url))
    return made


def settings_of(remote: Remote, *more: str) -> str:
    """What the settings say of the inventory: it is in this remote; `more` are keys of the git source."""
    return f"{{git: {{{', '.join([f'url: {remote.url}', 'ref: main', 'path: fleet/', *more])}}}}}"


def wanted(devices: Iterable[str]) -> str:
    """An inventory of one group."""
    listed = "".join(f'      - "{device}"\n' for device in devices)
    return f"groups:\n  - name: meters\n    licenses: [fota]\n    devices:\n{listed}"
