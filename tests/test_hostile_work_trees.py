"""An inventory in whose folder others have put what git takes for instructions: git is told to take none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gits import git

from licensesync import provenance
from licensesync.files import Unreadable
from licensesync.model import Place

CONFIG = """\
[core]
	repositoryformatversion = 0
	bare = false
	worktree = {folder}
	fsmonitor = "touch {trace}; false"
	sshCommand = touch {trace}
[filter "evil"]
	clean = touch {trace}
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A file that is not there, unless somebody's program ran."""
    return tmp_path / "trace"


@pytest.fixture
def inventory(tmp_path: Path, trace: Path) -> Path:
    """The folder of an inventory that is at the same time a repository, by files that a commit can hold."""
    top = tmp_path / "fleet"
    folder = top / "inventory"
    for name in ("objects", "refs/heads"):
        (folder / name).mkdir(parents=True)
        (folder / name / "kept").touch()
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "config").write_text(CONFIG.format(folder=folder, trace=trace))
    (folder / ".gitattributes").write_text("*.yaml filter=evil\n")
    (folder / "a.yaml").write_text("groups: []\n")
    git(top, "init", "--quiet")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", "words")
    git(folder, "--git-dir=.", "-c", "core.fsmonitor=false", "commit", "--quiet", "--allow-empty", "--message", "evil")
    assert (folder / "refs/heads/main").exists()
    return folder


def test_a_folder_that_looks_like_a_repository_runs_nothing_and_is_not_taken_for_one(
    inventory: Path, trace: Path
) -> None:
    top = inventory.parent
    head = git(top, "rev-parse", "HEAD")
    assert provenance.checked_out(inventory).commit == head
    assert provenance.checked_out(inventory / "a.yaml").commit == head
    assert provenance.at_commit(inventory, "HEAD", top).commit == head
    line = provenance.blame(Place("inventory/a.yaml", 1, 1), top)
    assert line
    assert line.commit == head
    assert not trace.exists()


def test_no_hook_of_a_repository_is_run(inventory: Path, trace: Path) -> None:
    hooks = inventory.parent / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {trace}\n")
        (hooks / name).chmod(0o755)
    os.utime(inventory / "a.yaml", (1, 1))  # what the index knows of it is out of date
    provenance.checked_out(inventory)
    provenance.at_commit(inventory, "HEAD", inventory.parent)
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "link.yaml", "out.csv", "sub/../../secret", ".git/config"]
)
def test_a_commit_has_no_other_file_read_than_those_in_its_folder(inventory: Path, name: str) -> None:
    top = inventory.parent
    (top / "secret").write_text("hunter2")
    (inventory / "link.yaml").symlink_to("a.yaml")
    (inventory / "out.csv").symlink_to("../secret")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", "links")
    with pytest.raises(Unreadable):
        provenance.at_commit(inventory, "HEAD", top).read(name)
