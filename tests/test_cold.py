"""Most tests start the program warm; here each command comes by `exec`, imports all by itself, and says the same."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from fleets import CREDENTIALS, Ended, Fleet, clean_environ, fleet_of, imeis

COMMANDS = [
    "check",
    "plan --format json",
    "--log-level debug apply --yes",
    "import",
    "status --format json",
    "history --format csv",
    f"explain {imeis(0, 1)[0]}",
    "quarantine list",
    "schema plan",
]
PASSING = re.compile(
    r"\d{4}-\d\d-\d\d[T ][\d:]+(\.\d+)?Z?|\d{8}T\d{6}Z-[0-9a-f]+|\d\d:\d\d:\d\d|\d+(\.\d+)? ?ms|\d+\.\d+"
)
"""What is another at each time: moments, the names of runs, how long something took."""


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_that_is_started_cold_says_what_a_warm_one_says(tmp_path: Path, command: str) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.inventory(imeis(0, 3))
        await fleet.run("apply", "--yes")
        warm = await fleet.run(*command.split())
        cold = await _cold(fleet, *command.split())
    assert _lasting(warm) == _lasting(cold)


def _lasting(ended: Ended) -> Ended:
    return Ended(ended.code, PASSING.sub("…", ended.out), PASSING.sub("…", ended.err))


async def _cold(fleet: Fleet, *arguments: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "licensesync",
        *arguments,
        cwd=fleet.folder,
        env={**clean_environ(), **CREDENTIALS},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())
