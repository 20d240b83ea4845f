"""`kill -9` at any moment of a run loses nothing: the next run finds out what became of each device, and goes on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest
from fleets import Fleet, fleet_of, imeis, some_of
from ledgers import UNLIMITED, query

CHANGES = 5000
BEFORE, WANTED = imeis(0, CHANGES // 2), imeis(CHANGES // 2, CHANGES)
REMOVE, ASSIGN = "remove", "assign"
EXPECTED = {(device, REMOVE) for device in BEFORE} | {(device, ASSIGN) for device in WANTED}
REQUESTS = 44
KILLS = [1, 2, 3, 4]
"""How often in a row the runs of each fleet are killed before one may end."""
AT_ONCE = 4
LATENCY = 0.03


@dataclass(frozen=True)
class Moment:
    """When a run is killed: once the simulator has seen so many requests of it, and so many seconds after that."""

    requests: int
    after: float

    @classmethod
    def any_of(cls, chance: random.Random, share: int) -> Moment:
        """One of `share` moments that leave something to do for the others."""
        return cls(chance.randrange(1, 4 + REQUESTS // share), chance.uniform(0, 1.5 * LATENCY))


@pytest.mark.parametrize("seeds", some_of([range(4), range(4, 20)], 1), ids=["10-kills", "40-kills"])
async def test_a_run_that_is_killed_at_any_moment_is_finished_by_the_next(tmp_path: Path, seeds: range) -> None:
    """Several fleets at once; a run that finishes another may be killed itself."""
    room = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as fleets:
        chains = [
            fleets.create_task(_killed_and_finished(tmp_path / f"fleet-{seed}", random.Random(seed), kills, room))
            for seed, kills in zip(seeds, cycle(KILLS), strict=False)
        ]
    in_flight = [devices for chain in chains for devices in chain.result()]
    assert len(in_flight) == len(seeds) / len(KILLS) * sum(KILLS)
    assert sum(devices > 0 for devices in in_flight) >= len(in_flight) * 0.4, f"too few in mid-batch: {in_flight}"


async def _killed_and_finished(folder: Path, chance: random.Random, kills: int, room: asyncio.Semaphore) -> list[int]:
    """How many devices were in flight at each kill."""
    folder.mkdir()
    async with room, _changing(folder, chance) as fleet:
        in_flight = [await _killed(fleet, Moment.any_of(chance, kills)) for _ in range(kills)]

        again = await fleet.run("apply", "--yes")

        assert again.code == 0, again.err[-2000:]
        assert fleet.holders == set(WANTED)
        _assert_each_license_changed_once(fleet)
        _assert_the_ledger_accounts_for_all(fleet)
    return in_flight


@asynccontextmanager
async def _changing(folder: Path, chance: random.Random) -> AsyncIterator[Fleet]:
    """A fleet with 2 500 licenses to remove and as many to assign, of which half may have to wait for the removals."""
    devices = CHANGES // 2
    licenses = devices + chance.choice([devices, devices // 2])
    async with fleet_of(folder, devices=devices, licenses=licenses, latency=LATENCY) as fleet:
        fleet.settings(pool=UNLIMITED, thingspace=f"  batch_size: {chance.randrange(100, 201)}\n")
        fleet.inventory(WANTED)
        yield fleet


async def _killed(fleet: Fleet, moment: Moment) -> int:
    """How many devices were in flight, by the word of the ledger, when a run was killed."""
    before = len(fleet.simulator.requests)
    process = await fleet.start("apply", "--yes")
    ended = asyncio.create_task(process.communicate())
    while len(fleet.simulator.requests) < before + moment.requests and not ended.done():
        await asyncio.sleep(0.002)
    await asyncio.sleep(moment.after)
    if process.returncode is None:
        process.kill()
    await ended
    return _assert_the_ledger_knew_what_was_sent(fleet)


def _sent(fleet: Fleet) -> list[tuple[str, str]]:
    """Each device of each write that the service has seen, with what was asked for it."""
    return [(device, seen.call) for seen in fleet.simulator.requests.of(ASSIGN, REMOVE) for device in seen.devices]


def _ledger(fleet: Fleet) -> Path:
    return fleet.folder / "licensesync.db"


def _assert_the_ledger_knew_what_was_sent(fleet: Fleet) -> int:
    """No device was sent that the ledger did not know of before; how many were in flight by its word."""
    sent = set(_sent(fleet))
    if not sent:
        return 0
    kept = query(_ledger(fleet), "SELECT device, verb, outcome, in_flight FROM outcomes")
    assert sent <= {(device, verb) for device, verb, _, _ in kept}
    done = {(device, verb) for device, verb, outcome, _ in kept if outcome == "done"}
    assert done <= _changes(fleet).keys()
    assert all((outcome == "unknown") == in_flight for _, _, outcome, in_flight in kept)
    return sum(in_flight for _, _, _, in_flight in kept)


def _changes(fleet: Fleet) -> Counter[tuple[str, str]]:
    """How often the service has changed the license of a device, and how."""
    writes = fleet.simulator.requests.of(ASSIGN, REMOVE)
    return Counter((device, seen.call) for seen in writes for device in seen.effect)


def _assert_each_license_changed_once(fleet: Fleet) -> None:
    assert _changes(fleet) == dict.fromkeys(EXPECTED, 1)


def _assert_the_ledger_accounts_for_all(fleet: Fleet) -> None:
    """One row for each action and run that sent it: done once, or in the run that was killed without effect."""
    rows = query(
        _ledger(fleet),
        "SELECT runs.id, device, verb, outcome, reason, in_flight FROM outcomes"
        " JOIN pool_runs ON pool_run_id = pool_runs.id JOIN runs ON run_id = runs.id",
    )
    once = Counter((run, device, verb) for run, device, verb, _, _, _ in rows)
    assert set(once.values()) == {1}
    ends = {(outcome, reason, in_flight) for _, _, _, outcome, reason, in_flight in rows}
    assert {outcome for outcome, _, _ in ends} <= {"done", "failed"}
    assert {(reason, in_flight) for outcome, reason, in_flight in ends if outcome == "failed"} <= {("no-effect", 0)}
    assert not any(in_flight for _, _, in_flight in ends)
    done = Counter((device, verb) for _, device, verb, outcome, _, _ in rows if outcome == "done")
    assert done == dict.fromkeys(EXPECTED, 1)
    assert Counter(_sent(fleet)) == done, "something was sent again that was done"
    assert query(_ledger(fleet), "SELECT verdict, exit FROM runs ORDER BY id DESC LIMIT 1")[0][1] == 0
    assert query(_ledger(fleet), "PRAGMA integrity_check") == [("ok",)]
