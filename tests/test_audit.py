"""The audit of what is installed: what it says where something is vulnerable, and where nobody could be asked."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci/audit"
FINE = {"name": "fine", "version": "1", "vulns": []}
OURS = {"name": "licensesync", "skip_reason": "not on PyPI"}
UNKNOWN = {"name": "odd", "skip_reason": "Dependency not found"}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3", "4"]}]}


@pytest.mark.parametrize(
    ("dependencies", "code", "says"),
    [
        ([FINE, OURS], 0, "1 packages, none with a known vulnerability\n"),
        ([FINE, BAD], 1, "bad 2: PYSEC-1, mended in 3, 4\n"),
        ([FINE, UNKNOWN], 2, "not audited: 1 of 2 packages, such as: Dependency not found\n"),
        (
            [BAD, UNKNOWN],
            1,
            "bad 2: PYSEC-1, mended in 3, 4\nnot audited: 1 of 2 packages, such as: Dependency not found\n",
        ),
        ([], 2, "not audited: 0 of 0 packages, such as: nothing is installed there\n"),
        (None, 2, "not audited: pip-audit has failed: no such host\n"),
    ],
)
def test_only_what_was_looked_up_counts_as_audited(
    tmp_path: Path, dependencies: list[object] | None, code: int, says: str
) -> None:
    (tmp_path / "venv/lib/python3.11/site-packages").mkdir(parents=True)
    told = "" if dependencies is None else json.dumps({"dependencies": dependencies, "fixes": []})
    (tmp_path / "told").write_text(told)
    (tmp_path / "pip-audit").write_text(f"#!/bin/sh\ncat {tmp_path}/told; echo no such host >&2; exit 1\n")
    (tmp_path / "pip-audit").chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", str(SCRIPT), str(tmp_path / "venv")]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (code, says), ran.stderr
