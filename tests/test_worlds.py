"""Thousands of simulated worlds: no misfortune makes the program do harm, and after all of them it comes to rest."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from fleets import Ended, some_of
from worlds.mutants import MUTANTS, Mutant, mutated
from worlds.program import TROUBLE
from worlds.story import Step

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "licensesync"
AT_ONCE = 500
SOON = 3000
"""Seeds after which each of the faults is found."""


async def _campaign(*arguments: str, package: Path = TESTS.parent) -> Ended:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(package), str(TESTS)]), "PYTHONHASHSEED": "0"}
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worlds.campaign", "--jobs", "1", *arguments),
        env=environ,
        cwd=package,  # which is where `python -m` looks first
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    return Ended(program.returncode or 0, out.decode(), err.decode())


@pytest.mark.parametrize("first", some_of(range(0, 100_000, AT_ONCE), 5))
async def test_no_law_is_broken_in_any_world(first: int) -> None:
    ended = await _campaign("--seeds", f"{first}:{first + AT_ONCE}", "--figures")
    print(ended.out)
    assert ended.code == 0, ended.out + ended.err
    happened = set(re.findall(r"^ +\d+ (.+)$", ended.out, re.MULTILINE))
    assert {"pools refused", "pools unread", "assign done", "remove done", "assign rejected"} <= happened
    assert {f"{TROUBLE}{step}" for step in Step} <= happened


def test_each_fault_is_in_a_line_that_is_there() -> None:
    for mutant in MUTANTS:
        assert (PACKAGE / mutant.file).read_text().count(mutant.line) == 1, mutant.name


@pytest.mark.parametrize("mutant", some_of(MUTANTS, 0), ids=lambda mutant: mutant.name.replace(" ", "-"))
async def test_a_fault_of_the_program_is_found_with_its_shortest_story(mutant: Mutant) -> None:
    """Each of the faults was made on purpose: one that nobody finds shows what no law looks at."""
    with mutated(mutant) as package:
        found = await _campaign("--seeds", f"0:{SOON}", "--until-broken", package=package)
        assert found.code == 1, found.out + found.err
        assert "Its shortest story:" in found.out
        again = re.search(r"--replay (\d+)", found.out)
        assert again
        once_more = await _campaign("--replay", again[1], "--steps", package=package)
    assert once_more.code == 1
    law = re.search(r"break a law \((.*)\):", found.out)
    assert law
    assert law[1] in once_more.out
    assert (await _campaign("--replay", again[1])).code == 0, "without the fault, the same story ends well"
