"""What a new user does first: the README's commands, the examples, the demonstration."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import warm
from fleets import CREDENTIALS, clean_environ
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


async def licensesync(*arguments: str, cwd: Path = ROOT) -> tuple[int, str, str]:
    process = await warm.start(arguments, cwd, {**clean_environ(), **CREDENTIALS})
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_demonstration_shows_a_fleet_being_reconciled(tmp_path: Path) -> None:
    code, out, err = await licensesync("demo", cwd=tmp_path)
    assert code == 0, err
    for command in ("check", "plan", "apply --yes --wait 30s"):
        assert f"$ licensesync {command}" in out
    assert "7 done, 1 rejected, 1 held; exit 5" in out
    assert "Device Not Found." in out
    assert (
        "350000000000014 holds a license of pool fota and keeps it\n350000000000014 holds a license of pool sim" in out
    )
    assert "no-capacity" in out
    assert "device.settled" in err
    assert list(tmp_path.iterdir()) == []


async def test_the_examples_are_without_problems_and_run_against_the_simulator(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "licensesync", "simulate", "--port", "0", "--seed", "1", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = json.loads(await process.stdout.readline())["url"]
        settings = tmp_path / "config" / "licensesync.yaml"
        settings.write_text(settings.read_text().replace("http://127.0.0.1:8085", url))
        checked = await licensesync("check", "--strict", cwd=tmp_path)
        applied = await licensesync("apply", "--yes", cwd=tmp_path)
        planned = await licensesync("plan", "--detailed-exitcode", cwd=tmp_path)
    finally:
        process.terminate()
        await process.wait()
    assert checked[0] == 0, checked
    assert applied[0] == 0, applied
    assert planned[0] == 0, planned


@pytest.mark.parametrize(
    "command", ["--help", "--version", "check --settings-are-missing", "schema plan", "check", "plan --help"]
)
async def test_a_full_disk_behind_standard_output_is_no_traceback(command: str) -> None:
    done = await _in_shell(f"exec {sys.executable} -m licensesync {command} >/dev/full")
    assert done[0] in {1, 64}
    assert b"Traceback" not in done[1]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
async def test_closed_streams_are_no_traceback(closed: str) -> None:
    done = await _in_shell(f"exec {sys.executable} -m licensesync check {closed}")
    assert done[0] == 0
    assert b"Traceback" not in done[1]


async def _in_shell(line: str) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", line, cwd=ROOT, env=clean_environ(), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    return process.returncode or 0, err


@pytest.mark.parametrize("name", ["settings", "inventory", "plan", "report"])
async def test_each_schema_is_one(name: str) -> None:
    code, out, _ = await licensesync("schema", name)
    assert code == 0
    Draft202012Validator.check_schema(json.loads(out))


async def test_every_command_that_help_names_has_help_of_its_own_that_fits_80_columns() -> None:
    _, out, _ = await licensesync("--help")
    commands = re.findall(r"^  ([a-z]+) ", out.partition("Commands:")[2], re.MULTILINE)
    wanted = [
        "check",
        "plan",
        "apply",
        "serve",
        "import",
        "status",
        "history",
        "explain",
        "doctor",
        "quarantine",
        "schema",
        "simulate",
        "demo",
    ]
    assert sorted(commands) == sorted(wanted)
    for command in commands:
        code, text, _ = await licensesync(command, "--help")
        assert code == 0
        assert max(map(len, text.splitlines())) <= 80


def test_the_readme_has_the_two_commands_that_ci_runs() -> None:
    lines = README.splitlines()
    assert sum(line.startswith("python3 -m venv") and line.endswith("licensesync demo") for line in lines) == 1
    assert sum(line.startswith("python3 -m venv") and line.endswith("pytest -q") for line in lines) == 1


def test_the_readme_names_every_exit_code_and_held_reason_that_this_version_has() -> None:
    for code in (0, 1, 2, 3, 4, 5, 64):
        assert f"\n| {code} | " in README
    for reason in ("no-capacity", "awaiting-removals", "protected", "foreign", "mode", "refused", "stopping"):
        assert f"| `{reason}` | " in README
