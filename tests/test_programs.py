"""Other programs that are cut short, since this one is to end."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from licensesync import git, programs
from licensesync.git import GitFailed

SLEEPS = ("sleep", "60")


def run(command: Sequence[str]) -> programs.Ended:
    return programs.run(command, environ=os.environ, patience=30)


def test_what_runs_is_killed_and_nothing_more_is_begun() -> None:
    threading.Timer(0.1, programs.cut).start()
    begun = time.monotonic()
    with pytest.raises(InterruptedError, match="it was cut short"):
        run(SLEEPS)
    with pytest.raises(InterruptedError):
        run(SLEEPS)
    assert time.monotonic() - begun < 20


def test_what_began_in_the_moment_of_the_cut_is_killed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    class Late(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            programs.cut()  # nobody knows of this process yet
            begun.append(self)

    monkeypatch.setattr(subprocess, "Popen", Late)
    with pytest.raises(InterruptedError):
        run(SLEEPS)
    assert begun[0].returncode == -9


def test_a_program_that_somebody_else_kills_was_not_cut_short() -> None:
    assert run(("sh", "-c", "kill -9 $$")).code == -9


def test_git_that_was_cut_short_has_said_nothing_of_its_repository() -> None:
    programs.cut()
    with pytest.raises(GitFailed, match="git --version: it was cut short") as failed:
        git.of_work_tree(Path.cwd())("--version")
    assert failed.value.code is None
