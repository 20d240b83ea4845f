"""The guard over runs: what it refuses, and that each refusal is lifted by the way out that is written down."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fleets import ACCOUNT, Ended, Fleet, fleet_of, imeis

Case = Callable[[Fleet], Awaitable[None]]


def approval(hash_: str, reason: str = "meant", until: str = "2099-01-01") -> str:
    return f'approvals:\n  - {{refusal: "{hash_}", reason: {reason}, until: {until}}}\n'


def refusal_of(ended: Ended) -> Any:
    assert ended.code == 3, ended.err
    (pool,) = ended.document["pools"]
    assert pool["refusal"], pool
    return pool["refusal"]


async def applied(fleet: Fleet, *more: str) -> Ended:
    return await fleet.run("apply", "--yes", "--format", "json", *more)


async def _nine_of_nine(fleet: Fleet) -> None:
    fleet.inventory(imeis(100, 101))


async def _emptied_file(fleet: Fleet) -> None:
    fleet.inventory([])


async def _over_count(fleet: Fleet) -> None:
    fleet.settings(pool="    removals: {count: 6, percent: 100}\n")
    fleet.inventory(imeis(7, 9))


async def _sliced_into_sevens(fleet: Fleet) -> None:
    """Three slices of seven pass; with the fourth 28 would be gone within a day."""
    fleet.settings(pool="    removals: {percent: 50, per_day: 27}\n")
    for end in (7, 14, 21):
        fleet.inventory(imeis(end, 60))
        assert (await applied(fleet)).code == 0
    fleet.inventory(imeis(28, 60))


async def _renamed_pool(fleet: Fleet) -> None:
    """Under its new name the pool is the same licenses: what was removed today is not forgotten."""
    fleet.settings(pool="    removals: {percent: 50, per_day: 10}\n")
    fleet.inventory(imeis(7, 60))
    assert (await applied(fleet)).code == 0
    settings, inventory = fleet.folder / "licensesync.yaml", fleet.folder / "inventory.yaml"
    fleet.inventory(imeis(14, 60))
    settings.write_text(settings.read_text().replace("  fota:\n", "  meters:\n"))
    inventory.write_text(inventory.read_text().replace("[fota]", "[meters]"))


TABLE = [
    pytest.param(9, _nine_of_nine, "percent", 9, 5, 10, id="9-of-9-devices"),
    pytest.param(9, _emptied_file, "empty", 9, 0, None, id="an-emptied-file"),
    pytest.param(9, _over_count, "count", 7, 6, 6, id="one-over-count"),
    pytest.param(60, _sliced_into_sevens, "per_day", 7, 6, 27, id="28-sliced-into-sevens"),
    pytest.param(60, _renamed_pool, "per_day", 7, 3, 10, id="a-renamed-pool"),
]


@pytest.mark.parametrize("way_out", ["command line", "inventory"])
@pytest.mark.parametrize(("devices", "case", "rule", "asked", "limit", "setting"), TABLE)
async def test_what_the_guard_refuses_is_kept_and_the_written_way_out_lifts_it(
    tmp_path: Path, devices: int, case: Case, rule: str, asked: int, limit: int, setting: float | None, way_out: str
) -> None:
    async with fleet_of(tmp_path, devices=devices, licenses=200) as fleet:
        await case(fleet)
        before = fleet.holders

        refused = await applied(fleet)

        refusal = refusal_of(refused)
        kept = fleet.holders & before
        assert (refusal["rule"], refusal["asked"], refusal["limit"], refusal["setting"]) == (
            rule,
            asked,
            limit,
            setting,
        )
        assert kept == before, "a refused removal was carried out"
        step = refusal["next_step"]
        assert str(asked) in step
        assert refusal["hash"] in step
        if way_out == "command line":
            (command,) = re.findall(r"licensesync (apply .*--allow-removals [0-9a-f]+)", step)
            lifted = await applied(fleet, *shlex.split(command)[1:])
        else:
            (entry,) = re.findall(r'refusal: "([0-9a-f]+)"', step)
            written = (tmp_path / "inventory.yaml").read_text()
            (tmp_path / "inventory.yaml").write_text(written + approval(entry))
            lifted = await applied(fleet)
        assert lifted.code == 0, lifted.err
        assert lifted.document["pools"][0]["counts"]["done"] == asked
        assert len(fleet.holders & before) == len(before) - asked


async def test_a_missing_include_removes_nothing_until_it_is_back(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=9) as fleet:
        (tmp_path / "inventory.yaml").write_text(
            "groups:\n  - {name: meters, licenses: [fota], devices_from: meters.csv}\n"
        )
        missing = await applied(fleet)
        holders = fleet.holders
        (tmp_path / "meters.csv").write_text("\n".join(imeis(0, 9)))
        mended = await applied(fleet)
    assert missing.code == 1
    assert "inventory.yaml:2:" in missing.err
    assert len(holders) == 9
    assert (mended.code, mended.document["verdict"]) == (0, "in-step")


async def test_a_pool_that_the_settings_no_longer_call_so_removes_nothing(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=9) as fleet:
        fleet.inventory(imeis(0, 9))
        settings = tmp_path / "licensesync.yaml"
        right = settings.read_text()
        settings.write_text(right.replace("  fota:\n", "  meters:\n"))
        renamed = await applied(fleet)
        holders = fleet.holders
        settings.write_text(right)
        mended = await applied(fleet)
    assert renamed.code == 1
    assert "unknown pool 'fota'" in renamed.err
    assert len(holders) == 9
    assert mended.code == 0


async def test_assignments_go_on_beside_a_refusal_and_no_removals_stops_them_all(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30, licenses=100) as fleet:
        fleet.inventory([*imeis(20, 30), *imeis(50, 55)])
        refused = await applied(fleet)
        assert refused.code == 3
        assert fleet.holders == {*imeis(0, 30), *imeis(50, 55)}
        stopped = await applied(fleet, "--no-removals")
        assert stopped.code == 0
        assert {row["reason"] for row in stopped.document["pools"][0]["held"]} == {"no-removals"}
        assert len(fleet.holders) == 35


async def _stopped_in_the_middle(fleet: Fleet, *, with_kill: bool) -> set[str]:
    """An approved run of 40 removals, ended after some batches; the devices that it did not come to."""
    process = await fleet.start("apply", "--yes")
    ended = asyncio.create_task(process.communicate())
    while fleet.writes() < 3 and not ended.done():
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL if with_kill else signal.SIGTERM)
    await ended
    left = fleet.holders & set(imeis(0, 40))
    assert 0 < len(left) < 40, "the run was to be stopped in the middle"
    return left


@pytest.mark.parametrize("with_kill", [True, False])
async def test_what_is_left_of_an_approved_set_stays_approved_and_nothing_else(
    tmp_path: Path, *, with_kill: bool
) -> None:
    async with fleet_of(tmp_path, devices=100, licenses=100, latency=0.15) as fleet:
        fleet.settings(thingspace="  batch_size: 5\n  concurrency: 1\n", pool="    removals: {count: 5, percent: 1}\n")
        fleet.inventory(imeis(40, 100))
        hash_ = refusal_of(await fleet.run("plan", "--format", "json"))["hash"]
        fleet.inventory(imeis(40, 100), approval(hash_))
        left = await _stopped_in_the_middle(fleet, with_kill=with_kill)

        fleet.inventory(imeis(48, 100), approval(hash_))
        other = await applied(fleet)
        after_other = fleet.holders
        fleet.inventory(imeis(40, 100), approval(hash_))
        rest = await applied(fleet)

        assert refusal_of(other)["asked"] > len(left), "eight more are not what was approved"
        assert left | set(imeis(40, 48)) <= after_other
        assert rest.code == 0, rest.err
        assert fleet.holders == set(imeis(40, 100))


async def test_a_used_up_approval_says_so_and_another_entry_works_again(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30, licenses=100) as fleet:
        fleet.inventory(imeis(20, 30))
        hash_ = refusal_of(await fleet.run("plan", "--format", "json"))["hash"]
        fleet.inventory(imeis(20, 30), approval(hash_, "closing"))
        assert (await applied(fleet)).code == 0
        in_step = await applied(fleet)
        fleet.inventory(imeis(0, 30))
        assert (await applied(fleet)).code == 0
        fleet.inventory(imeis(20, 30), approval(hash_, "closing"))
        again = await applied(fleet)
        kept = len(fleet.holders)
        fleet.inventory(imeis(20, 30), approval(hash_, "closing once more"))
        renewed = await applied(fleet)
    assert [event["refusal"] for event in in_step.events("approval.used-up")] == [hash_]
    assert refusal_of(again)["hash"] == hash_
    assert "used up" in refusal_of(again)["next_step"]
    assert kept == 30
    assert renewed.code == 0


async def test_an_approval_ends_with_the_beginning_of_its_day_and_says_so(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    async with fleet_of(tmp_path, devices=30, licenses=100) as fleet:
        fleet.inventory(imeis(20, 30))
        hash_ = refusal_of(await fleet.run("plan", "--format", "json"))["hash"]
        fleet.inventory(imeis(20, 30), approval(hash_, until=str(today)))
        ended = await applied(fleet)
        kept = len(fleet.holders)
        fleet.inventory(imeis(20, 30), approval(hash_[:8], until=str(today + timedelta(days=2))))
        lasting = await applied(fleet)
    assert f"ended on {today}" in refusal_of(ended)["next_step"]
    assert [event["refusal"] for event in ended.events("approval.ended")] == [hash_]
    assert kept == 30
    assert lasting.code == 0


async def test_the_hash_of_a_refusal_is_the_same_without_a_ledger(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30, licenses=100) as fleet:
        fleet.inventory(imeis(20, 30))
        on_pull_request = refusal_of(await fleet.run("plan", "--format", "json"))
        assert not (tmp_path / "licensesync.db").exists()
        in_the_daemon = refusal_of(await applied(fleet))
    assert on_pull_request == in_the_daemon


async def test_one_pool_is_refused_and_the_other_is_served(tmp_path: Path) -> None:
    other = "0742644905-00001"
    async with fleet_of(tmp_path, devices=30, licenses=100) as fleet:
        fleet.simulator.world.accounts[other] = type(fleet.account)(other, 10)
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text() + f'  west: {{product: fota, account: "{other}", mode: full}}\n')
        fleet.inventory(imeis(20, 30))
        inventory = tmp_path / "inventory.yaml"
        inventory.write_text(
            inventory.read_text() + f"  - {{name: west, licenses: [west], devices: {_flow(imeis(0, 3))}}}\n"
        )
        ended = await applied(fleet)
        assert ended.code == 3
        assert [pool["verdict"] for pool in ended.document["pools"]] == ["refused", "done"]
        assert set(fleet.simulator.world.accounts[other].licensed) == set(imeis(0, 3))
        assert len(fleet.simulator.world.accounts[ACCOUNT].licensed) == 30


def _flow(devices: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{device}"' for device in devices) + "]"
