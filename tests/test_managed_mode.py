"""Mode `managed`: only what an inventory named that was applied with this ledger is removed."""

from __future__ import annotations

import json
from pathlib import Path

from fleets import fleet_of, imeis


async def test_what_was_applied_once_is_removed_later_and_what_was_not_stays(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4, licenses=20) as fleet:
        fleet.settings(mode="managed")
        fleet.inventory([*imeis(2, 4), *imeis(10, 13)])
        first = await fleet.run("apply", "--yes", "--format", "json")
        fleet.inventory(imeis(10, 12))
        planned = await fleet.run("plan", "--format", "json")
        second = await fleet.run("apply", "--yes", "--format", "json")
        assert fleet.holders == {*imeis(0, 2), *imeis(10, 12)}
    (pool,) = first.document["pools"]
    assert (pool["counts"]["done"], pool["counts"]["foreign"]) == (3, 2)
    assert {row["reason"] for row in pool["held"]} == {"foreign"}
    (pool,) = planned.document["pools"]
    assert pool["counts"] == {"assign": 0, "remove": 3, "held": 2, "kept": 2, "foreign": 2}
    assert second.document["pools"][0]["counts"]["done"] == 3


async def test_a_plan_or_a_declined_run_manages_nothing(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2, licenses=20) as fleet:
        fleet.settings(mode="managed")
        fleet.inventory(imeis(0, 2))
        assert (await fleet.run("plan")).code == 0
        assert (await fleet.run("apply", "--yes", "--plan-hash", "0" * 16)).code == 3
        fleet.inventory(imeis(0, 1))
        planned = await fleet.run("plan", "--format", "json")
    assert planned.document["pools"][0]["counts"]["foreign"] == 1


async def test_what_was_planned_by_the_ledger_is_what_is_applied(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2, licenses=20) as fleet:
        fleet.settings(mode="managed")
        fleet.inventory(imeis(0, 2))
        assert (await fleet.run("apply", "--yes")).code == 0
        fleet.inventory(imeis(0, 1))
        planned = await fleet.run("plan", "--out", "plan.json")
        document = json.loads((tmp_path / "plan.json").read_text())
        applied = await fleet.run("apply", "--yes", "--plan", "plan.json", "--format", "json")
    assert planned.code == 0
    assert [row["verb"] for row in document["pools"][0]["actions"]] == ["remove"]
    assert applied.code == 0
    assert applied.document["hash"] == document["hash"]
