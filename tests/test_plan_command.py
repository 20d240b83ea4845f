"""`plan` as a process against the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleets import ACCOUNT, CREDENTIALS, Fleet, fleet_of, imeis
from jsonschema import Draft202012Validator

from licensesync.render.schemas import plan_schema


async def test_a_plan_says_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4, licenses=10) as fleet:
        fleet.inventory([*imeis(2, 4), *imeis(100, 103)])
        before = fleet.holders

        ended = await fleet.run("plan", "--format", "json")

        assert ended.code == 0, ended.err
        document = ended.document
        Draft202012Validator(plan_schema()).validate(document)
        (pool,) = document["pools"]
        assert document["verdict"] == pool["verdict"] == "changes"
        assert pool["capacity"] == {"total": 10, "assigned": 4, "free": 6}
        assert pool["counts"] == {"assign": 3, "remove": 2, "held": 0, "kept": 2, "foreign": 2}
        assert [row["device"] for row in pool["actions"] if row["verb"] == "remove"] == imeis(0, 2)
        assigned = [row for row in pool["actions"] if row["verb"] == "assign"]
        assert [row["device"] for row in assigned] == imeis(100, 103)
        assert assigned[0]["place"] == "inventory.yaml:7:9"
        assert assigned[0]["group"] == "meters"
        assert fleet.holders == before
        assert fleet.writes() == 0


async def test_the_detailed_exit_code_tells_changes_from_none(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(0, 2))
        in_step = await fleet.run("plan", "--detailed-exitcode")
        fleet.inventory(imeis(0, 3))
        changes = await fleet.run("plan", "--detailed-exitcode")
        plain = await fleet.run("plan")
    assert (in_step.code, changes.code, plain.code) == (0, 2, 0)


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
async def test_out_gets_the_json_whatever_is_printed(tmp_path: Path, form: str) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 3))
        ended = await fleet.run("plan", "--format", form, "--out", "plan.json")
        again = await fleet.run("plan", "--format", "json")
    saved = (tmp_path / "plan.json").read_bytes()
    assert ended.code == 0
    assert saved.startswith(b'{"version":1,"kind":"plan"')
    assert again.document["hash"].encode() in saved
    assert "\x1b" not in ended.out


async def test_a_mass_removal_is_refused_in_the_plan_already(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30) as fleet:
        fleet.inventory([*imeis(20, 30), *imeis(50, 51)])
        ended = await fleet.run("plan", "--format", "json")
    (pool,) = ended.document["pools"]
    assert ended.code == 3
    assert pool["refusal"]["rule"] == "percent"
    assert (pool["refusal"]["setting"], pool["refusal"]["limit"], pool["refusal"]["asked"]) == (10, 5, 20)
    assert {row["reason"] for row in pool["held"]} == {"refused"}
    assert [row["verb"] for row in pool["actions"]] == ["assign"]
    assert ended.events("pool.refused")[0]["hash"] == pool["refusal"]["hash"]


async def test_a_pool_that_cannot_be_read_whole_is_exit_4_with_the_reason(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=5, quirks={"assigned-off-by": "+3"}) as fleet:
        fleet.inventory(imeis(0, 5))
        ended = await fleet.run("plan", "--format", "json")
    (pool,) = ended.document["pools"]
    assert ended.code == 4
    assert (pool["reading"], pool["verdict"], pool["capacity"]) == ("partial", "unread", None)
    assert "5" in pool["problem"]
    assert "8" in pool["problem"]


async def test_a_service_that_is_not_there_is_exit_4(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        text = (tmp_path / "licensesync.yaml").read_text()
        (tmp_path / "licensesync.yaml").write_text(text.replace(fleet.simulator.url, "http://127.0.0.1:9"))
        ended = await fleet.run("plan", "--format", "json")
    assert ended.code == 4
    assert ended.document["pools"][0]["reading"] == "unread"


async def test_a_rejected_login_is_exit_1_and_is_tried_once(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"login-rejected": "on"}) as fleet:
        fleet.inventory(imeis(0, 1))
        ended = await fleet.run("plan")
        logins = len(fleet.simulator.requests.of("login"))
    assert ended.code == 1
    assert logins == 1
    assert "THINGSPACE_PASSWORD" in ended.out
    assert not any(secret in ended.out + ended.err for secret in CREDENTIALS.values())


async def test_missing_credentials_are_named_all_at_once(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        ended = await fleet.run("plan", environ={"THINGSPACE_SECRET": "", "THINGSPACE_PASSWORD": ""})
    assert ended.code == 1
    assert "THINGSPACE_SECRET" in ended.err
    assert "THINGSPACE_PASSWORD" in ended.err
    assert fleet_has_seen_nothing(fleet)


def fleet_has_seen_nothing(fleet: Fleet) -> bool:
    return len(list(fleet.simulator.requests)) == 0


@pytest.mark.parametrize(
    "arguments", [["plan", "--pool", "nope"], ["plan", "--format", "xml"], ["plan", "--frobnicate"], ["frobnicate"]]
)
async def test_a_wrong_command_line_is_exit_64(tmp_path: Path, arguments: list[str]) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        ended = await fleet.run(*arguments)
    assert ended.code == 64, ended.err
    assert ended.err.strip()


async def test_problems_of_the_inventory_stop_a_plan_with_all_their_places(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(["12", "1_000"])
        ended = await fleet.run("plan")
    assert ended.code == 1
    assert "inventory.yaml:5:9: " in ended.err
    assert "inventory.yaml:6:9: " in ended.err


async def test_a_sim_secure_pool_whose_sku_nobody_bought_is_unread_and_the_others_go_on(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=1) as fleet:
        fleet.settings(
            pool=f'  sim:\n    product: sim-secure\n    account: "{ACCOUNT}"\n    sku: SIMSec-IoT\n    mode: managed\n'
            "callbacks:\n  listen: 127.0.0.1:9001\n  public_url: https://callbacks.example.com/thingspace\n"
        )
        fleet.inventory(imeis(0, 1))
        ended = await fleet.run("plan", "--format", "json")
        only = await fleet.run("plan", "--pool", "fota")
    assert ended.code == 4
    assert [pool["verdict"] for pool in ended.document["pools"]] == ["in-step", "unread"]
    assert "the account has no licenses of SKU SIMSec-IoT" in ended.document["pools"][1]["problem"]
    assert only.code == 0
