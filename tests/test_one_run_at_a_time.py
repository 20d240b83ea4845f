"""One run at a time for a ledger, across processes; who only looks never waits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fleets import Fleet, fleet_of, imeis

from licensesync.errors import Locked
from licensesync.ledger import lock


async def test_of_two_that_start_at_once_exactly_one_works(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=1000, latency=0.2) as fleet:
        for attempt in range(20):
            fleet.inventory(imeis(0, attempt + 1))
            writes = fleet.writes()

            ends = await asyncio.gather(*(fleet.run("apply", "--yes", "--format", "json") for _ in range(2)))

            assert sorted(ended.code for ended in ends) == [0, 6], [ended.err for ended in ends]
            (winner,) = [ended for ended in ends if ended.code == 0]
            (loser,) = [ended for ended in ends if ended.code == 6]
            assert winner.document["pools"][0]["counts"]["done"] == 1
            assert "licensesync apply, process " in loser.err
            assert f"since {datetime.now(UTC):%Y-%m-%d}" in loser.err
            assert loser.out == ""
            assert fleet.writes() == writes + 1
        assert fleet.holders == set(imeis(0, 20))


async def _held_by(fleet: Fleet) -> asyncio.subprocess.Process:
    """An apply that has the lock and waits for the service."""
    process = await fleet.start("apply", "--yes")
    while not fleet.simulator.requests.of("token"):
        await asyncio.sleep(0.01)
    return process


async def test_who_holds_it_is_named_and_who_only_looks_does_not_wait(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, latency=0.1) as fleet:
        fleet.inventory(imeis(0, 3))
        holder = await _held_by(fleet)
        holder.send_signal(signal.SIGSTOP)
        second = await fleet.run("apply", "--yes")
        looks = await asyncio.gather(fleet.run("status"), fleet.run("history"), fleet.run("quarantine", "list"))
        assert holder.returncode is None, "the holder was to be at work still"
        holder.send_signal(signal.SIGCONT)
        await holder.communicate()
    assert second.code == 6
    assert f"process {holder.pid} " in second.err
    assert [look.code for look in looks] == [0, 0, 0]
    assert holder.returncode == 0


async def test_kill_leaves_no_lock_behind(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, latency=0.3) as fleet:
        fleet.inventory(imeis(0, 3))
        holder = await _held_by(fleet)
        holder.send_signal(signal.SIGKILL)
        await holder.communicate()
        left = (tmp_path / "licensesync.db.lock").read_text()
        again = await fleet.run("apply", "--yes")
    assert str(holder.pid) in left
    assert again.code == 0, again.err


async def test_a_process_id_that_is_used_again_fools_nobody(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 3))
        stale = {"command": "apply", "pid": os.getpid(), "host": "here", "since": "2026-01-01T00:00:00Z"}
        (tmp_path / "licensesync.db.lock").write_text(json.dumps(stale))
        assert (await fleet.run("apply", "--yes")).code == 0


def test_a_lock_file_that_was_removed_before_it_was_locked_is_made_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    with lock.held(ledger, "apply", datetime.now(UTC)):
        pass
    (tmp_path / "ledger.db.lock").unlink()
    with lock.held(ledger, "apply", datetime.now(UTC)):
        with pytest.raises(Locked, match="licensesync apply, process"), lock.held(ledger, "serve", datetime.now(UTC)):
            pass
        link = tmp_path / "link.db"
        ledger.touch()
        link.symlink_to(ledger)
        with pytest.raises(Locked), lock.held(link, "apply", datetime.now(UTC)):
            pass
