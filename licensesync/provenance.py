"""Where the inventory comes from: a path, and the git commit that it stands at."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from licensesync.errors import ProvenanceError
from licensesync.model import InventoryInfo
from licensesync.settings import GitSource

PATIENCE = 30.0


def local(source: Path | GitSource) -> Path:
    """The path of an inventory on this machine. Raises ProvenanceError for one that is elsewhere."""
    if isinstance(source, GitSource):
        raise ProvenanceError(
            f"this command reads local inventories only, not the git remote {source.url}; clone it and write the path"
        )
    return source


def stamped(info: InventoryInfo, inventory: Path) -> InventoryInfo:
    """The same with the commit that is checked out and whether the inventory differs from it; as it is outside git."""
    folder = inventory if inventory.is_dir() else inventory.parent
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return info
    changed = _git(folder, "status", "--porcelain", "--untracked-files=all", "--ignored=matching", "--", str(inventory))
    return replace(info, commit=commit, dirty=changed != "")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None where it cannot tell: no git, no repository, not ours."""
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        told = subprocess.run(command, capture_output=True, check=True, env=environ, timeout=PATIENCE)  # noqa: S603 - a list, no shell
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.decode("utf-8", "replace").strip()
