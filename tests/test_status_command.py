"""`status` as a process, after real runs against the simulator."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
from fleets import CREDENTIALS, Fleet, fleet_of, imeis
from warm import Program

from licensesync.ledger import lock

NO_CREDENTIALS = dict.fromkeys(CREDENTIALS, "")


async def document(fleet: Fleet) -> Any:
    """The status, of which the program's own schema says that it is valid."""
    ended = await fleet.run("status", "--format", "json", environ=NO_CREDENTIALS)
    assert ended.code == 0, ended.err
    schema = await fleet.run("schema", "status")
    jsonschema.Draft202012Validator(schema.document).validate(ended.document)
    return ended.document


async def text(fleet: Fleet) -> str:
    """The status as text, on one line."""
    ended = await fleet.run("status", environ=NO_CREDENTIALS)
    assert ended.code == 0, ended.err
    return " ".join(ended.out.split())


async def in_mid_batch(fleet: Fleet) -> Program:
    """A run whose assignments have taken effect and whose answers take their time."""
    process = await fleet.start("apply", "--yes")
    while not fleet.holders:
        await asyncio.sleep(0.01)
    return process


async def test_before_the_first_run_there_is_nothing_to_tell_and_nothing_is_made(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        found = await document(fleet)
        told = await text(fleet)
        requests = list(fleet.simulator.requests)
    assert (found["inventory"], found["last_run"], found["next_run"]) == (None, None, None)
    assert [pool["verdict"] for pool in found["pools"]] == [None]
    assert "no run was recorded yet; licensesync apply begins the ledger at" in told
    assert [path.name for path in tmp_path.iterdir()] == ["licensesync.yaml"]
    assert requests == []


async def test_after_a_run_the_status_is_that_of_its_report(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4, licenses=6) as fleet:
        fleet.inventory(imeis(0, 8))
        report = (await fleet.run("apply", "--yes", "--format", "json")).document
        found = await document(fleet)
    (pool,) = found["pools"]
    assert found["last_run"] == {
        "run": report["run"],
        "command": "apply",
        "started_at": found["last_run"]["started_at"],
        "finished_at": report["finished_at"],
        "verdict": "done",
        "exit": 0,
        "commit": None,
        "plan": report["hash"],
    }
    assert found["inventory"] == report["inventory"]
    assert (pool["verdict"], pool["reading"], pool["waiting"]) == ("done", "whole", 2)
    assert pool["counts"] == report["pools"][0]["counts"]
    assert pool["capacity"]["total"] == 6


async def test_a_refusal_stands_there_with_its_next_step(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30) as fleet:
        fleet.inventory(imeis(20, 30))
        report = (await fleet.run("apply", "--yes", "--format", "json")).document
        found = await document(fleet)
        told = await text(fleet)
    refusal = report["pools"][0]["refusal"]
    assert found["pools"][0]["refusal"] == refusal
    assert "not in step: 20 held as refused" in told
    assert f"refusal: {refusal['hash']}" in told
    assert " ".join(refusal["next_step"].split()) in told


async def test_devices_that_fail_again_and_again_are_counted_as_in_quarantine(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"unknown-devices": imeis(7, 9)}) as fleet:
        fleet.inventory(imeis(0, 10))
        for _ in range(3):
            await fleet.run("apply", "--yes")
        found = await document(fleet)
        told = await text(fleet)
    assert found["pools"][0]["quarantined"] == 2
    assert found["pools"][0]["counts"]["rejected"] == 2
    assert "not in step: 2 rejected" in told
    assert "2 devices in quarantine" in told


async def test_a_pool_that_could_not_be_read_says_why(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3, quirks={"assigned-off-by": "+1"}) as fleet:
        fleet.inventory(imeis(0, 3))
        report = (await fleet.run("apply", "--yes", "--format", "json")).document
        (pool,) = (await document(fleet))["pools"]
        told = await text(fleet)
    assert (pool["verdict"], pool["reading"], pool["capacity"]) == ("unread", "partial", None)
    assert " ".join(f"reading partial: {report['pools'][0]['problem']}".split()) in told


async def test_the_pools_of_the_settings_stand_in_their_order_reached_or_not(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.inventory(imeis(0, 3))
        await fleet.run("apply", "--yes")
        settings = (tmp_path / "licensesync.yaml").read_text()
        new = 'pools:\n  new: {product: fota, account: "0000000002-00001", mode: full}\n'
        another = settings.replace("pools:\n", new)
        (tmp_path / "licensesync.yaml").write_text(another.replace("  fota:\n", "  renamed:\n"))
        pools = (await document(fleet))["pools"]
    assert [(pool["pool"], pool["verdict"]) for pool in pools] == [("new", None), ("renamed", "in-step")]


async def test_neither_inventory_nor_credentials_are_needed(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        await fleet.run("apply", "--yes")
        (tmp_path / "inventory.yaml").unlink()
        before = len(list(fleet.simulator.requests))
        found = await document(fleet)
        assert len(list(fleet.simulator.requests)) == before
    assert found["last_run"]["verdict"] == "done"


async def test_while_a_run_goes_on_the_status_does_not_wait_for_it(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"delayed": "on@assign", "delay": 30}) as fleet:
        fleet.inventory(imeis(0, 3))
        process = await in_mid_batch(fleet)
        found, told = await document(fleet), await text(fleet)
        assert process.returncode is None
        process.kill()
        await process.communicate()
    assert (found["last_run"]["verdict"], found["last_run"]["finished_at"]) == (None, None)
    assert found["pools"][0]["open_requests"] == 3
    assert "has not ended: going on, or killed" in told


async def test_while_another_process_holds_the_lock_the_status_is_told(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        with lock.held(tmp_path / "licensesync.db", "serve", datetime.now(UTC)):
            found = await document(fleet)
    assert found["last_run"] is None


async def test_what_a_killed_run_left_open_is_told_until_the_next_run_has_looked(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"delayed": "1x@assign", "delay": 30}) as fleet:
        fleet.inventory(imeis(0, 3))
        process = await in_mid_batch(fleet)
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        left = await document(fleet)
        told = await text(fleet)
        await fleet.run("apply", "--yes")
        after = await document(fleet)
    assert left["pools"][0]["verdict"] is None
    assert "3 open requests" in told
    assert (after["pools"][0]["verdict"], after["pools"][0]["open_requests"]) == ("in-step", 0)


async def test_the_ledger_is_found_in_the_folder_that_systemd_names(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        await fleet.run("apply", "--yes", environ={"STATE_DIRECTORY": str(state)})
        there = await fleet.run("status", "--format", "json", environ={"STATE_DIRECTORY": str(state)})
        elsewhere = await fleet.run("status", "--format", "json")
    assert there.document["last_run"]["verdict"] == "done"
    assert elsewhere.document["last_run"] is None


async def test_a_file_that_is_no_ledger_is_named_and_left_alone(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        (tmp_path / "licensesync.db").write_text("not a database, but a long enough text to be mistaken for one " * 99)
        ended = await fleet.run("status")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"licensesync: the ledger {tmp_path}/licensesync.db is damaged, or is no ledger")


async def test_broken_settings_are_told_as_everywhere(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        (tmp_path / "licensesync.yaml").write_text("pools: 3\n")
        ended = await fleet.run("status")
    assert ended.code == 1
    assert "licensesync.yaml:1:" in ended.err


async def test_looking_changes_nothing(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=1) as fleet:
        fleet.inventory(imeis(0, 2))
        await fleet.run("apply", "--yes")
        before = _files(tmp_path)
        await text(fleet)
        await fleet.run("history", "--format", "json")
        await fleet.run("quarantine", "list")
        assert _files(tmp_path) == before


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
