"""`quarantine` as a process: devices that the service rejects are set aside after three runs, and released."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fleets import CREDENTIALS, Fleet, fleet_of, imeis
from ledgers import execute

from licensesync.ledger import lock

NO_CREDENTIALS = dict.fromkeys(CREDENTIALS, "")
BAD, WORSE = imeis(7, 9)


@asynccontextmanager
async def with_bad_devices(folder: Path, runs: int = 3, **options: Any) -> AsyncIterator[Fleet]:
    """Two devices are rejected in each of so many runs."""
    async with fleet_of(folder, quirks={"unknown-devices": [BAD, WORSE]}, **options) as fleet:
        fleet.inventory([*imeis(0, 3), BAD, WORSE])
        for _ in range(runs):
            await fleet.run("apply", "--yes")
        yield fleet


async def listed(fleet: Fleet) -> list[Any]:
    ended = await fleet.run("quarantine", "list", "--format", "json", environ=NO_CREDENTIALS)
    assert ended.code == 0, ended.err
    assert (ended.document["version"], ended.document["kind"]) == (1, "quarantine")
    devices: list[Any] = ended.document["devices"]
    return devices


async def held(fleet: Fleet) -> dict[str, str]:
    plan = (await fleet.run("plan", "--format", "json")).document
    return {row["device"]: row["reason"] for row in plan["pools"][0]["held"]}


async def test_three_equal_failures_set_a_device_aside_with_its_reason_and_its_end(tmp_path: Path) -> None:
    async with with_bad_devices(tmp_path, runs=2) as fleet:
        after_two = await listed(fleet)
        begun = datetime.now(UTC)
        await fleet.run("apply", "--yes")
        first, second = await listed(fleet)
        text = await fleet.run("quarantine", "list")
        fourth = await fleet.run("apply", "--yes", "--format", "json")
    assert after_two == []
    assert [first["device"], second["device"]] == [BAD, WORSE]
    until = datetime.fromisoformat(first["until"])
    assert timedelta(0) <= until - begun.replace(microsecond=0) - timedelta(hours=1) < timedelta(minutes=1)
    assert datetime.fromisoformat(first["since"]) <= begun
    times = {"since": first["since"], "until": first["until"]}
    assert first == {
        "pool": "fota",
        "device": BAD,
        "iccid": None,
        "verb": "assign",
        "reason": "device-not-found",
        "service": "Device Not Found.",
        "failures": 3,
        **times,
        "group": "meters",
        "place": "inventory.yaml:8:9",
    }
    assert text.out.count("device-not-found: Device Not Found.") == 2
    assert "quarantine release DEVICE" in " ".join(text.out.split())
    assert max(map(len, text.out.splitlines())) <= 80
    assert (fourth.code, fourth.document["verdict"]) == (0, "in-step")
    assert {row["device"]: row["reason"] for row in fourth.document["pools"][0]["held"]} == {
        BAD: "quarantined",
        WORSE: "quarantined",
    }


async def test_after_its_release_the_next_run_asks_for_a_device_again(tmp_path: Path) -> None:
    async with with_bad_devices(tmp_path) as fleet:
        released = await fleet.run("quarantine", "release", BAD, environ=NO_CREDENTIALS)
        left = await listed(fleet)
        fleet.simulator.quirks.set("unknown-devices", "off")
        ended = await fleet.run("apply", "--yes", "--format", "json")
        holders = fleet.holders
        history = (await fleet.run("history", "--device", BAD, "--format", "json")).document
    assert released.code == 0
    assert f"{BAD} is released, pool fota: assign device-not-found" in " ".join(released.out.split())
    assert released.out.endswith("the next run asks for them again\n")
    assert [row["device"] for row in left] == [WORSE]
    assert ended.code == 0
    assert holders == {*imeis(0, 3), BAD}
    assert [row["outcome"] for row in history["rows"]] == [*["rejected"] * 3, "done"]


async def test_a_released_device_that_fails_again_has_three_tries_as_at_first(tmp_path: Path) -> None:
    async with with_bad_devices(tmp_path) as fleet:
        await fleet.run("quarantine", "release", BAD, WORSE)
        assert await listed(fleet) == []
        for _ in range(2):
            await fleet.run("apply", "--yes")
        assert await listed(fleet) == []
        await fleet.run("apply", "--yes")
        assert [row["failures"] for row in await listed(fleet)] == [3, 3]


async def test_the_quarantine_ends_at_its_time(tmp_path: Path) -> None:
    async with with_bad_devices(tmp_path) as fleet:
        assert set((await held(fleet)).values()) == {"quarantined"}
        execute(tmp_path / "licensesync.db", "UPDATE hard_failures SET until = '2026-01-01T00:00:00.000000Z'")
        assert await listed(fleet) == []
        assert await held(fleet) == {}
        status = (await fleet.run("status", "--format", "json")).document
    assert status["pools"][0]["quarantined"] == 0


async def test_who_is_not_in_quarantine_is_named_and_the_others_are_released(tmp_path: Path) -> None:
    stranger = imeis(0, 1)[0]
    async with with_bad_devices(tmp_path) as fleet:
        ended = await fleet.run("quarantine", "release", stranger, BAD, "nonsense", stranger)
        left = await listed(fleet)
        again = await fleet.run("quarantine", "release", BAD)
    assert ended.code == 1
    assert ended.err == (f"not in quarantine: {stranger}, nonsense; licensesync quarantine list shows who is\n")
    assert BAD in ended.out
    assert [row["device"] for row in left] == [WORSE]
    assert (again.code, again.out) == (1, "")


async def test_without_a_ledger_nobody_is_in_quarantine_and_none_is_made(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        assert await listed(fleet) == []
        text = await fleet.run("quarantine", "list")
        released = await fleet.run("quarantine", "release", BAD)
    assert (text.code, text.out) == (0, "no device is in quarantine\n")
    assert (released.code, released.out) == (1, "")
    assert [path.name for path in tmp_path.iterdir()] == ["licensesync.yaml"]


async def test_neither_listing_nor_release_wait_for_a_run_that_holds_the_lock(tmp_path: Path) -> None:
    async with with_bad_devices(tmp_path) as fleet:
        with lock.held(tmp_path / "licensesync.db", "apply", datetime.now(UTC)):
            assert len(await listed(fleet)) == 2
            ended = await fleet.run("quarantine", "release", BAD)
            assert ended.code == 0, ended.err
            assert len(await listed(fleet)) == 1


@pytest.mark.parametrize("arguments", [[], ["release"], ["list", "--format", "csv"], ["list", BAD], ["forget"]])
async def test_a_command_line_that_is_wrong_is_exit_64(tmp_path: Path, arguments: list[str]) -> None:
    async with fleet_of(tmp_path) as fleet:
        ended = await fleet.run("quarantine", *arguments)
    assert ended.code == 64
    assert "Traceback" not in ended.err
