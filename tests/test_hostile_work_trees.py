"""An inventory in whose folder others have put what git takes for instructions: git is told to take none."""

from __future__ import annotations

from pathlib import Path

import pytest
from gits import git

from licensesync import provenance
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
