"""Breaks lines of the program on purpose, one at a time, and tells how many seeds it took the campaign to notice.

    python -m worlds.mutants --jobs 2        all of them
    python -m worlds.mutants capacity        those whose name has this word

A mutant that survives is a hole in the campaign: there is a fault that it would not find.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parent.parent
MOST_SEEDS: Final = 3000


@dataclass(frozen=True)
class Mutant:
    """A line of the program that is another one."""

    name: str
    file: str
    line: str
    instead: str

    def write(self, package: Path) -> None:
        path = package / self.file
        text = path.read_text()
        assert text.count(self.line) == 1, f"{self.name}: {self.file} has this line {text.count(self.line)} times"
        path.write_text(text.replace(self.line, self.instead))


MUTANTS: Final = (
    Mutant(
        "a protected device is removed",
        "planner.py",
        "elif held := _protected(action, desired, policy.today) or _set_aside(action, memory):",
        "elif held := _set_aside(action, memory):",
    ),
    Mutant(
        "managed mode removes foreign devices",
        "planner.py",
        "elif pool.mode is Mode.MANAGED and device not in memory.managed:",
        "elif pool.mode is Mode.MANAGED and device in memory.managed and False:",
    ),
    Mutant(
        "one license more is assigned than is free",
        "planner.py",
        "return eligible[:free], waiting",
        "return eligible[: free + 1], waiting",
    ),
    Mutant(
        "the last licenses go by the order of the inventory alone",
        "planner.py",
        "(_action(Verb.ASSIGN, each, desired) for each in missing), key=lambda action: -action.priority",
        "(_action(Verb.ASSIGN, each, desired) for each in missing), key=lambda action: 0 * action.priority",
    ),
    Mutant(
        "per_day forgets what was removed before",
        "guard.py",
        "left_of_day = max(0, limits.per_day - removed_in_past_day)",
        "left_of_day = max(0, limits.per_day - 0 * removed_in_past_day)",
    ),
    Mutant(
        "the guard does not see removals of which nobody knows whether they were done",
        "ledger/memory.py",
        "perhaps = {OutcomeKind.DONE, *earlier.OPEN}",
        "perhaps = {OutcomeKind.DONE}",
    ),
    Mutant(
        "any approval lets any removals pass",
        "guard.py",
        "return refusal.digest if _names(digits, refusal.digest) else _left(digits, devices, uses)",
        "return refusal.digest if digits else _left(digits, devices, uses)",
    ),
    Mutant(
        "a list that lacks a device is taken for whole",
        "thingspace/fota.py",
        "if abs(listed - counted) > self.pool.tolerance:",
        "if abs(listed - counted) > self.pool.tolerance + 1:",
    ),
    Mutant(
        "a batch is sent although the ledger cannot keep it",
        "submission.py",
        "            self._end_for(error)\n            return False",
        "            return True",
    ),
    Mutant(
        "of two rows that contradict each other the first is believed",
        "thingspace/fota_verdicts.py",
        "if len({each.kind for each in meanings}) > 1:",
        "if len({each.kind for each in meanings}) > 2:",
    ),
    Mutant(
        "a batch of which no answer came is taken for done",
        "thingspace/batch_errors.py",
        "return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.NO_ANSWER, words)",
        "return Outcome(action, OutcomeKind.DONE, at, None, words)",
    ),
    Mutant(
        "removals are taken to have freed as many licenses as were asked for",
        "submission.py",
        "        free = counted.free_beside(promised + undecided)",
        "        free = len(actions)",
    ),
    Mutant(
        "what a killed run left in flight is not looked at again",
        "ledger/earlier.py",
        "or_(IS_OPEN, outcomes.c.retry_at > _NOW)",
        "or_(outcomes.c.retry_at > _NOW)",
    ),
    Mutant(
        "an action of an earlier run is done whatever the list says",
        "ledger/earlier.py",
        "fulfilled = (earlier.device in observed.holders) is (earlier.verb is Verb.ASSIGN)",
        "fulfilled = True",
    ),
    Mutant(
        "callbacks are believed whatever password they come with",
        "thingspace/callback_wire.py",
        "return is_name & is_password & has_both",
        "return True",
    ),
    Mutant(
        "a callback about another SKU is taken for ours",
        "thingspace/sim_secure_verdicts.py",
        'and (callback.sku is None or callback.sku.casefold() == (pool.sku or "").casefold())',
        "and True",
    ),
    Mutant(
        "the second of two callbacks that contradict each other is believed",
        "callbacks/desk.py",
        "    if promise.is_open:",
        "    if promise.is_open or not _says_the_same(outcome, promise.outcome):",
    ),
    Mutant(
        "a lifetime license is given back",
        "planner.py",
        "elif pool.irrevocable:",
        "elif pool.irrevocable and pool.others < 0:",
    ),
    Mutant(
        "an older reading is good enough to act on",
        "reconcile.py",
        "    in_step = plan.verdict is PlanVerdict.IN_STEP",
        "    in_step = True",
    ),
    Mutant(
        "a device that others remove in mid-reading does not stop the reading",
        "thingspace/walk.py",
        "if self.assigned not in {None, page.assigned_licenses}:",
        "if self.assigned is None and page.assigned_licenses is None:",
    ),
    Mutant(
        "yesterday's readings of the clock decide who is desired",
        "composition.py",
        "    return Policy(datetime.now(UTC).date(), removals",
        "    return Policy(datetime.now(UTC).date() - timedelta(days=1), removals",
    ),
    Mutant(
        "a refusal is told and stops nothing",
        "guard.py",
        "return replace(plan, actions=plan.of(Verb.ASSIGN), held=(*refused, *plan.held), refusal=refusal)",
        "return replace(plan, refusal=refusal)",
    ),
    Mutant(
        "an approval that has ended lets removals pass",
        "guard.py",
        "return approval.until is None or today < approval.until",
        "return True",
    ),
    Mutant(
        "--no-removals is not heard",
        "planner.py",
        "elif not policy.removals:",
        "elif not policy.removals and pool.others < 0:",
    ),
    Mutant(
        "no device is ever managed",
        "ledger/book.py",
        "            self._manage(plan.pool, named, inventory)\n",
        "",
    ),
    Mutant(
        "any count of SIM-Secure licenses is taken for whole",
        "thingspace/sim_secure.py",
        "if fewest - pool.tolerance <= capacity.assigned <= most + pool.tolerance:",
        "if fewest - pool.tolerance <= capacity.assigned or most + pool.tolerance:",
    ),
    Mutant(
        "who was assigned a SIM-Secure license is not remembered",
        "ledger/holders.py",
        "_add(connection, pool, {device: each.at for device, each in told.items() if each.action.verb is Verb.ASSIGN})",
        "_add(connection, pool, {device: each.at for device, each in told.items() if each.action.verb is None})",
    ),
    Mutant(
        "a third login is tried",
        "ledger/logins.py",
        "MOST_REJECTIONS = 2",
        "MOST_REJECTIONS = 3",
    ),
    Mutant(
        "two runs go on at the same time",
        "ledger/lock.py",
        "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)",
    ),
)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[Path]:
    """A folder that has the program with this fault, to be found before the program without it."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "licensesync")
        shutil.copytree(TESTS.parent / "licensesync", package, ignore=shutil.ignore_patterns("__pycache__"))
        mutant.write(package)
        yield Path(folder)


def seeds_until_noticed(mutant: Mutant, jobs: int, most: int) -> tuple[int, str] | None:
    """How many seeds were played until a law was broken, and which; None where all of them went well."""
    with mutated(mutant) as folder:
        command = [
            sys.executable,
            "-m",
            "worlds.campaign",
            "--until-broken",
            "--jobs",
            str(jobs),
            "--seeds",
            f"0:{most}",
        ]
        environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(TESTS)]), "PYTHONHASHSEED": "0"}
        played = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    if played.returncode == 0:
        return None
    found = re.search(r"break a law \((.*)\): (\d+)", played.stdout)
    assert found, played.stdout + played.stderr
    return int(found[2]) + 1, found[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 where a mutant survives."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("word", nargs="?", default="", help="only mutants whose name has it")
    asked.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked.add_argument("--seeds", type=int, default=MOST_SEEDS, help="at most so many for each")
    told = asked.parse_args(arguments)
    survive = 0
    for mutant in MUTANTS:
        if told.word in mutant.name:
            noticed = seeds_until_noticed(mutant, told.jobs, told.seeds)
            survive += noticed is None
            how = "SURVIVES" if noticed is None else f"{noticed[0]} seeds ({noticed[1]})"
            print(f"{mutant.name}: {how}", flush=True)
    return bool(survive)


if __name__ == "__main__":
    sys.exit(main())
