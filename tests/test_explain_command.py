"""`explain` as a process: why a device has, lacks, waits for or loses a license."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from fleets import ACCOUNT, CREDENTIALS, Fleet, fleet_of, imeis

QUIET = ("--log-level", "error")


async def told(fleet: Fleet, *arguments: str, code: int = 0) -> str:
    """What `explain` prints, whose first line is said in one piece."""
    ended = await fleet.run(*QUIET, "explain", *arguments)
    assert ended.code == code, ended.err
    lines = ended.out.splitlines()
    assert len(lines) <= 24, "more than a screen"
    assert all(len(line) <= 80 for line in lines)
    return " ".join(ended.out.split())


def git(folder: Path, *arguments: str) -> None:
    named = ("-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.com")
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "-C", str(folder), *named, *arguments], check=True, capture_output=True, env=environ)


async def test_a_device_that_keeps_its_license(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(0, 2))
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", "inventory.yaml")
        git(tmp_path, "commit", "-qm", "Pump 7 comes to Chicago")
        words = await told(fleet, imeis(0, 1)[0])
    assert words.startswith(f"{imeis(0, 1)[0]} holds a license of pool fota and keeps it")
    assert "inventory.yaml:5:9, group meters, priority 0" in words
    assert "by Ada Lovelace on " in words
    assert "Pump 7 comes to Chicago" in words
    assert "1000 licenses, 2 assigned, 998 free" in words


async def test_a_line_that_is_not_committed_yet_says_so(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", "inventory.yaml")
        git(tmp_path, "commit", "-qm", "First")
        fleet.inventory(imeis(0, 2))
        words = await told(fleet, imeis(1, 2)[0])
    assert "the next run assigns one" in words
    assert "not committed yet" in words


async def test_a_device_that_waits_knows_its_place_in_the_queue(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=3) as fleet:
        fleet.inventory(imeis(0, 6))
        words = await told(fleet, imeis(4, 5)[0])
    assert "waits for a license of pool fota" in words
    assert "number 2 of 3 devices that wait; 3 get a license before" in words


async def test_a_device_that_no_group_names_any_more_loses_its_license(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(1, 2))
        loses = await told(fleet, imeis(0, 1)[0])
        await fleet.run("apply", "--yes")
        lost = await told(fleet, imeis(0, 1)[0])
    assert "will lose its license of pool fota: no group names it" in loses
    assert "has no license of pool fota and needs none" in lost
    assert "remove done" in lost


async def test_a_refused_removal_is_told_with_its_hash(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30) as fleet:
        fleet.inventory(imeis(20, 30))
        hash_ = (await fleet.run("plan", "--format", "json")).document["pools"][0]["refusal"]["hash"]
        words = await told(fleet, imeis(0, 1)[0])
    assert "keeps its license of pool fota, though no group names it: the guard refuses" in words
    assert hash_ in words


async def test_protected_and_foreign_devices(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.settings(mode="managed")
        protect = f'protect:\n  - {{imei: "{imeis(0, 1)[0]}", reason: under investigation}}\n'
        fleet.inventory(imeis(2, 3), protect)
        foreign = await told(fleet, imeis(1, 2)[0])
        fleet.settings(mode="full")
        protected = await told(fleet, imeis(0, 1)[0])
    assert "held as foreign: it was never managed" in foreign
    assert "held as protected: the inventory protects it" in protected
    assert "under investigation" in protected


async def test_a_device_in_quarantine_says_why_until_when_and_how_to_release_it(tmp_path: Path) -> None:
    device = imeis(100, 101)[0]
    async with fleet_of(tmp_path) as fleet:
        fleet.account.unknown.add(device)
        fleet.inventory([device])
        for _ in range(3):
            assert (await fleet.run("apply", "--yes")).code == 5
        held = await told(fleet, device)
        assert (await fleet.run("quarantine", "release", device)).code == 0
        released = await told(fleet, device)
    assert "lacks a license of pool fota: in quarantine after repeated failures, until" in held
    assert "3 equal failures of assign in a row" in held
    assert f"licensesync quarantine release {device}" in held
    assert held.count("assign rejected: device-not-found") == 3
    assert "the next run assigns one" in released


@pytest.mark.parametrize("why", ["offline", "no credentials", "unreachable", "not whole"])
async def test_without_the_service_it_tells_what_is_known(tmp_path: Path, why: str) -> None:
    device = imeis(0, 1)[0]
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory([device, *imeis(5, 6)])
        await fleet.run("apply", "--yes")
        if why == "unreachable":
            fleet.simulator.quirks.set("error-500", "on@status")
        elif why == "not whole":
            fleet.simulator.quirks.set("assigned-off-by", "+1")
        environ = dict.fromkeys(CREDENTIALS, "") if why == "no credentials" else {}
        more = ["--offline"] if why == "offline" else []
        ended = await fleet.run(*QUIET, "explain", device, *more, environ=environ)
    assert ended.code == 0, ended.err
    words = " ".join(ended.out.split())
    assert words.startswith(f"{device} should hold a license of pool fota; whether it does was not read")
    assert "managed" in words


async def test_what_nothing_knows_is_exit_1_and_what_is_no_device_64(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=1) as fleet:
        fleet.inventory(imeis(0, 1))
        unknown = await fleet.run(*QUIET, "explain", imeis(7, 8)[0])
        wrong = await fleet.run(*QUIET, "explain", "pump-7")
        document = (await fleet.run(*QUIET, "explain", imeis(7, 8)[0], "--format", "json")).document
    assert unknown.code == 1
    assert "nothing is known of" in unknown.err
    assert unknown.out == ""
    assert wrong.code == 64
    assert document["known"] is False


async def test_the_document_has_the_story_of_each_pool(tmp_path: Path) -> None:
    device = imeis(0, 1)[0]
    async with fleet_of(tmp_path, devices=1) as fleet:
        fleet.inventory([device])
        document = (await fleet.run(*QUIET, "explain", device, "--format", "json")).document
        assert not (tmp_path / "licensesync.db").exists()
    assert (document["version"], document["kind"], document["device"]) == (1, "explanation", device)
    (pool,) = document["pools"]
    assert (pool["pool"], pool["holds"], pool["intent"], pool["managed"]) == ("fota", True, "kept", None)
    assert pool["inventory"]["place"] == "inventory.yaml:5:9"


async def test_a_device_that_waits_for_removals_which_are_refused_is_told_so(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30, licenses=30) as fleet:
        fleet.inventory([*imeis(20, 30), *imeis(50, 51)])
        words = await told(fleet, imeis(50, 51)[0])
    assert "it would get one that the removals of this plan free, but the guard refuses them" in words
    assert "20 removals refused: rule percent (set to 10) allows 5" in words


async def test_a_device_that_is_only_protected_is_known(tmp_path: Path) -> None:
    device = imeis(7, 8)[0]
    async with fleet_of(tmp_path, devices=1) as fleet:
        fleet.inventory(imeis(0, 1), f'protect:\n  - {{imei: "{device}", reason: spare, until: 2020-01-01}}\n')
        words = await told(fleet, device)
    assert words.startswith(f"{device} has no license and needs none: no group names it, only protect does")
    assert "until 2020-01-01 (over): spare" in words


async def test_a_group_whose_time_is_over_names_in_vain(tmp_path: Path) -> None:
    device = imeis(0, 1)[0]
    async with fleet_of(tmp_path, devices=2) as fleet:
        ended = f'  - {{name: trial, licenses: [fota], until: 2020-01-01, devices: ["{device}"]}}\n'
        fleet.inventory(imeis(1, 2), ended)
        words = await told(fleet, device)
    assert "will lose its license of pool fota: its group's time is over" in words
    assert "group trial, priority 0, until 2020-01-01, over" in words


async def test_a_sim_leads_to_its_device(tmp_path: Path) -> None:
    device, iccid = imeis(0, 1)[0], "89148000001234567890"
    async with fleet_of(tmp_path, devices=1) as fleet:
        entry = f'  - {{name: sims, licenses: [fota], devices: [{{imei: "{device}", iccid: "{iccid}"}}]}}\n'
        fleet.inventory(imeis(1, 2), entry)
        words = await told(fleet, iccid)
        document = (await fleet.run(*QUIET, "explain", iccid, "--format", "json")).document
    assert words.startswith(f"{device} holds a license of pool fota and keeps it")
    assert (document["device"], document["iccid"]) == (device, iccid)


async def test_a_pool_that_cannot_be_read_is_told_beside_one_that_can(tmp_path: Path) -> None:
    device = imeis(0, 1)[0]
    async with fleet_of(tmp_path, devices=1) as fleet:
        sim = f'  sim:\n    product: sim-secure\n    account: "{ACCOUNT}"\n    sku: SIMSec-IoT\n    mode: managed\n'
        answers = "callbacks:\n  listen: 127.0.0.1:9001\n  public_url: https://callbacks.example.com/thingspace\n"
        fleet.settings(pool=sim + answers)
        fleet.inventory([device])
        both = await told(fleet, device)
        one = await told(fleet, device, "--pool", "fota")
        other = await fleet.run(*QUIET, "explain", device, "--pool", "sim")
        none = await fleet.run(*QUIET, "explain", device, "--pool", "smi")
    assert both.startswith(f"{device} holds a license of pool fota and keeps it")
    assert "not read sim: the account has no licenses of SKU SIMSec-IoT" in both
    assert "sim-secure" not in one
    assert other.code == 1
    assert "the inventory does not name it for pool sim" in other.err
    assert none.code == 64


async def test_nothing_is_written_anywhere(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(1, 3))
        await told(fleet, imeis(0, 1)[0])
        assert fleet.writes() == 0
    assert not [*tmp_path.glob("*.db*")]


async def test_problems_of_the_inventory_are_exit_1_with_their_places(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(["12"])
        ended = await fleet.run(*QUIET, "explain", imeis(0, 1)[0], "--offline")
    assert ended.code == 1
    assert "inventory.yaml:5:9: " in ended.err


async def test_each_pool_has_its_own_sentence_and_its_own_story(tmp_path: Path) -> None:
    device, east = imeis(0, 1)[0], "0742233522-00002"
    async with fleet_of(tmp_path, devices=1, accounts=(ACCOUNT, east)) as fleet:
        fleet.simulator.world.accounts[east].licensed.discard(device)
        fleet.settings(pool=f'  east:\n    product: fota\n    account: "{east}"\n    mode: managed\n')
        fleet.inventory([device], f'  - {{name: both, licenses: [east], priority: 7, devices: ["{device}"]}}\n')
        words = await told(fleet, device)
        document = (await fleet.run(*QUIET, "explain", device, "--format", "json")).document
    kept = f"{device} holds a license of pool fota and keeps it"
    assert words.startswith(f"{kept} {device} lacks a license of pool east; the next run assigns one")
    assert "group meters, priority 0" in words
    assert "group both, priority 7" in words
    assert [(pool["pool"], pool["intent"]) for pool in document["pools"]] == [("fota", "kept"), ("east", "assign")]
