"""Applying exactly the plan that was reviewed: by its file or by its hash, and what is said of one that is stale."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import core_worlds as worlds
import pytest
from core_worlds import NOW, device, devices, pool
from fleets import ACCOUNT, Ended, Fleet, fleet_of, imeis

from licensesync import reviewed
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    Held,
    HeldReason,
    InventoryInfo,
    Limits,
    Plan,
    Product,
    Reading,
    RunPlan,
    Unread,
    Verb,
)
from licensesync.render import json

INFO = InventoryInfo(devices=1, digest="sha256:ab")
OTHER_ACCOUNT = "0742644905-00001"


async def planned(fleet: Fleet, *more: str) -> Ended:
    return await fleet.run("plan", "--format", "json", *more)


async def applied(fleet: Fleet, *more: str) -> Ended:
    return await fleet.run("apply", "--yes", "--format", "json", *more)


# --- a fresh plan


async def test_a_plan_that_is_fresh_is_applied_by_its_file_and_only_once(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4) as fleet:
        fleet.inventory([*imeis(2, 4), *imeis(50, 53)])
        await planned(fleet, "--out", "plan.json")
        first = await applied(fleet, "--plan", "plan.json")
        holders = fleet.holders
        second = await applied(fleet, "--plan", "plan.json")
        after = fleet.writes()
    assert (first.code, first.document["verdict"]) == (0, "done")
    assert holders == {*imeis(2, 4), *imeis(50, 53)}
    assert second.code == 3
    assert f"no longer to remove: {', '.join(imeis(0, 2))}" in second.err
    assert f"no longer to assign: {', '.join(imeis(50, 53))}" in second.err
    assert after == 2


@pytest.mark.parametrize("form", ["{}", "sha256:{}", "sha256:{:.8}", "{:.8}", "{:.20}"])
async def test_a_hash_may_be_whole_or_its_beginning_with_its_name_or_without(tmp_path: Path, form: str) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 2))
        hash_ = (await planned(fleet)).document["hash"]
        ended = await applied(fleet, "--plan-hash", form.format(hash_.removeprefix("sha256:")))
        assert ended.code == 0, ended.err
        assert fleet.holders == {*imeis(0, 2)}


async def test_the_hash_knows_no_order_of_files_groups_and_devices_and_no_time_or_folder(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    wanted = imeis(2, 40)
    async with fleet_of(tmp_path, devices=8, licenses=100) as fleet:
        hashes = []
        for number, folder in enumerate((here, elsewhere)):
            (folder / "inventory").mkdir(parents=True)
            other = Fleet(folder, fleet.simulator)
            other.settings()
            settings = folder / "licensesync.yaml"
            settings.write_text(settings.read_text().replace("inventory.yaml", "inventory/"))
            shuffled = random.Random(number).sample(wanted, len(wanted))
            names = ("a.yaml", "b.yaml") if number else ("z.yaml", "deep.yml")
            for name, part in zip(names, (shuffled[:10], shuffled[10:]), strict=True):
                listed = "".join(f'    - "{each}"\n' for each in part)
                (folder / "inventory" / name).write_text(
                    f"groups:\n- name: {name}\n  licenses: [fota]\n  priority: {len(part)}\n  devices:\n{listed}"
                )
            ended = await planned(other, "--out", "plan.json")
            hashes.append(ended.document["hash"])
            assert ended.document["pools"][0]["counts"]["assign"] == 32
            fleet.simulator.quirks.set("page-size", 3)
            fleet.simulator.quirks.set("shuffled-rows", "on")
        (elsewhere / "brought.json").write_bytes((here / "plan.json").read_bytes())
        brought = await applied(Fleet(elsewhere, fleet.simulator), "--plan", "brought.json")
    assert hashes[0] == hashes[1]
    assert brought.code == 0, brought.err


async def test_a_refused_plan_that_was_reviewed_stays_the_same_when_its_removals_are_approved(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=20, licenses=100) as fleet:
        fleet.inventory([*imeis(10, 20), *imeis(50, 52)])
        refused = await planned(fleet, "--out", "plan.json")
        half = await applied(fleet, "--plan", "plan.json")
        assert (refused.code, half.code) == (3, 3)
        assert fleet.holders == {*imeis(0, 20), *imeis(50, 52)}
        await planned(fleet, "--out", "plan.json")
        refusal = half.document["pools"][0]["refusal"]["hash"]
        approval = f'approvals:\n  - {{refusal: "{refusal}", reason: closing, until: 2099-01-01}}\n'
        fleet.inventory([*imeis(10, 20), *imeis(50, 52)], approval)
        whole = await applied(fleet, "--plan", "plan.json")
        assert whole.code == 0, whole.err
        assert fleet.holders == {*imeis(10, 20), *imeis(50, 52)}


# --- a stale one


async def test_a_stale_plan_is_not_applied_and_what_changed_is_told(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3, licenses=100) as fleet:
        fleet.inventory([*imeis(1, 3), *imeis(50, 52)])
        await planned(fleet, "--out", "plan.json")
        fleet.inventory([*imeis(2, 3), *imeis(51, 65)])
        fleet.account.take(imeis(0, 1)[0], 0.0)
        stale = await applied(fleet, "--plan", "plan.json")
        assert (stale.code, stale.document["verdict"], fleet.writes()) == (3, "refused", 0)
        assert fleet.holders == {*imeis(1, 3)}
    said = stale.err.splitlines()
    assert f"pool fota: now also to remove: {imeis(1, 2)[0]}" in said
    assert f"pool fota: no longer to remove: {imeis(0, 1)[0]}" in said
    assert f"pool fota: now also to assign: {', '.join(imeis(52, 62))}, and 3 more" in said
    assert f"pool fota: no longer to assign: {imeis(50, 51)[0]}" in said
    assert any("the plan has changed since it was reviewed" in line for line in said)


async def test_with_a_hash_alone_the_fresh_plan_is_shown_with_its_hash_and_serves(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 2))
        hash_ = (await planned(fleet)).document["hash"]
        fleet.inventory(imeis(0, 3))
        stale = await applied(fleet, "--plan-hash", hash_)
        fresh = (await planned(fleet)).document["hash"]
        assert (stale.code, fleet.writes()) == (3, 0)
        assert fresh in stale.err
        assert all(each in stale.err for each in imeis(0, 3))
        agreed = await applied(fleet, "--plan-hash", fresh)
        assert agreed.code == 0
        assert fleet.holders == {*imeis(0, 3)}


async def test_file_and_hash_together_must_both_be_fresh(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 2))
        await planned(fleet, "--out", "plan.json")
        other_hash = await applied(fleet, "--plan", "plan.json", "--plan-hash", "0" * 8)
        fleet.inventory(imeis(0, 3))
        fresh = (await planned(fleet)).document["hash"]
        stale_file = await applied(fleet, "--plan", "plan.json", "--plan-hash", fresh)
        assert (other_hash.code, stale_file.code, fleet.writes()) == (3, 3, 0)


async def test_a_pool_that_came_or_went_since_makes_a_plan_stale(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, accounts=(ACCOUNT, OTHER_ACCOUNT)) as fleet:
        fleet.inventory(imeis(0, 2))
        await planned(fleet, "--out", "one.json")
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(
            settings.read_text() + f'  west: {{product: fota, account: "{OTHER_ACCOUNT}", mode: full}}\n'
        )
        await planned(fleet, "--out", "two.json")
        came = await applied(fleet, "--plan", "one.json")
        went = await applied(fleet, "--plan", "two.json", "--pool", "fota")
        assert (came.code, went.code, fleet.writes()) == (3, 3, 0)
        assert "pool west was not in it" in came.err
        assert "pool west is not in this run" in went.err
        assert (await applied(fleet, "--plan", "one.json", "--pool", "fota")).code == 0


async def test_a_stale_plan_uses_no_approval_and_manages_nothing(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=20, licenses=100) as fleet:
        fleet.settings(mode="managed")
        fleet.inventory(imeis(0, 20))
        assert (await applied(fleet, "--plan-hash", "0" * 8)).code == 3
        fleet.inventory(imeis(10, 20))
        unmanaged = await planned(fleet)
        assert unmanaged.document["pools"][0]["counts"]["foreign"] == 10
        fleet.inventory(imeis(0, 20))
        assert (await applied(fleet)).code == 0
        fleet.inventory(imeis(10, 20))
        refusal = (await planned(fleet)).document["pools"][0]["refusal"]["hash"]
        fleet.inventory(
            imeis(10, 20), f'approvals:\n  - {{refusal: "{refusal}", reason: closing, until: 2099-01-01}}\n'
        )
        stale = await applied(fleet, "--plan-hash", "0" * 8)
        kept = len(fleet.holders)
        meant = await applied(fleet)
        assert (stale.code, kept, meant.code) == (3, 20, 0)
        assert fleet.holders == {*imeis(10, 20)}


async def test_a_pool_that_cannot_be_read_now_is_exit_4_and_nothing_is_done(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.inventory(imeis(0, 9))
        await planned(fleet, "--out", "plan.json")
        fleet.simulator.quirks.set("assigned-off-by", "+1")
        unread = await applied(fleet, "--plan", "plan.json")
        assert (unread.code, fleet.writes()) == (4, 0)
    assert "pool fota could not be read whole" in unread.err


# --- no plan at all


async def test_what_is_no_plan_is_a_wrong_command_line_and_the_service_is_not_asked(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 2))
        (tmp_path / "report.json").write_text('{"version": 1, "kind": "report", "hash": "sha256:ab", "pools": []}')
        (tmp_path / "newer.json").write_text('{"version": 2, "kind": "plan", "hash": "sha256:ab", "pools": []}')
        (tmp_path / "text.json").write_text("assign 2\n")
        (tmp_path / "empty.json").write_text("")
        (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{")
        for given in ("report.json", "newer.json", "text.json", "empty.json", "bytes.json", "missing.json", "."):
            ended = await applied(fleet, "--plan", given)
            assert ended.code == 64, given
            assert "plan --out" in ended.err, given
            assert "Traceback" not in ended.err, given
        for hash_ in ("1234567", "nonsense", "", "sha256:"):
            assert (await applied(fleet, f"--plan-hash={hash_}")).code == 64, hash_
        assert len(fleet.simulator.requests) == 0
        assert not (tmp_path / "licensesync.db").exists()


# --- what changed, in the small


def run_plan(*pools: Plan | Unread) -> RunPlan:
    return RunPlan(INFO, NOW, pools)


def doing(*actions: Action, held: tuple[Held, ...] = (), name: str = "fota", account: str = "") -> Plan:
    of = replace(pool(), name=name)
    return Plan(replace(of, account=account) if account else of, Capacity(100, 50), actions, held, kept=9, desired=9)


def told(before: RunPlan, now: RunPlan) -> list[str]:
    return reviewed.changes(reviewed.read(json.plan(before)), now)


@pytest.mark.parametrize(
    "made",
    [
        run_plan(doing()),
        run_plan(doing(worlds.assign(1), worlds.remove(2))),
        run_plan(doing(worlds.assign(1)), doing(worlds.remove(1), name="other")),
        run_plan(doing(held=(Held(worlds.remove(1), HeldReason.REFUSED),))),
        run_plan(doing(held=(Held(worlds.assign(1), HeldReason.AWAITING_REMOVALS),))),
        run_plan(doing(held=(Held(worlds.remove(1), HeldReason.PROTECTED, NOW),))),
        run_plan(worlds.judged(doing(*worlds.removals(30)))),
    ],
)
def test_of_the_same_plan_nothing_has_changed_and_its_hash_is_read_back(made: RunPlan) -> None:
    assert reviewed.read(json.plan(made)).hash == made.hash
    assert told(made, replace(made, made_at=NOW + timedelta(days=1))) == []


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (doing(worlds.assign(1)), doing(held=(Held(worlds.assign(1), HeldReason.AWAITING_REMOVALS),))),
        (doing(*worlds.removals(9)), worlds.judged(replace(doing(*worlds.removals(9)), pool=pool(limits=Limits(1))))),
        (doing(held=(Held(worlds.assign(1), HeldReason.NO_CAPACITY),)), doing()),
        (doing(), doing(held=(Held(worlds.remove(1), HeldReason.PROTECTED),))),
        (doing(worlds.assign(1), worlds.assign(2)), doing(worlds.assign(2), worlds.assign(1))),
    ],
)
def test_what_the_hash_does_not_cover_is_no_change(before: Plan, now: Plan) -> None:
    assert run_plan(before).hash == run_plan(now).hash
    assert told(run_plan(before), run_plan(now)) == []


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (doing(), doing(worlds.assign(1)), [f"pool fota: now also to assign: {device(1)}"]),
        (doing(worlds.remove(1)), doing(), [f"pool fota: no longer to remove: {device(1)}"]),
        (
            doing(worlds.remove(1)),
            doing(worlds.assign(1)),
            [f"pool fota: no longer to remove: {device(1)}", f"pool fota: now also to assign: {device(1)}"],
        ),
        (
            doing(),
            doing(*worlds.removals(10)),
            [f"pool fota: now also to remove: {', '.join(devices(*range(10)))}"],
        ),
        (
            doing(),
            doing(*worlds.removals(11)),
            [f"pool fota: now also to remove: {', '.join(devices(*range(10)))}, and 1 more"],
        ),
        (doing(worlds.assign(1)), doing(name="other"), ["pool other was not in it", "pool fota is not in this run"]),
        (
            Unread(pool(), Reading.PARTIAL, "lost"),
            doing(worlds.assign(1)),
            ["pool fota could not be read whole then", f"pool fota: now also to assign: {device(1)}"],
        ),
        (doing(worlds.assign(1)), Unread(pool(), Reading.PARTIAL, "lost"), ["pool fota could not be read whole: lost"]),
        (
            doing(worlds.assign(1)),
            doing(worlds.assign(1), account=OTHER_ACCOUNT),
            [f"pool fota: its account is {OTHER_ACCOUNT} now, not {ACCOUNT}"],
        ),
    ],
)
def test_every_change_that_the_hash_covers_is_told(before: Plan | Unread, now: Plan | Unread, said: list[str]) -> None:
    assert run_plan(before).hash != run_plan(now).hash
    assert told(run_plan(before), run_plan(now)) == said


def test_a_sim_of_a_device_is_part_of_what_was_reviewed() -> None:
    sims = replace(pool(), product=Product.SIM_SECURE, sku="SIMSec-IoT")
    one, other = (
        replace(doing(Action(Verb.ASSIGN, DeviceId(f"990000000000001/8914800000123456789{end}"))), pool=sims)
        for end in ("0", "1")
    )
    assert len(told(run_plan(one), run_plan(other))) == 2
    assert told(run_plan(one), run_plan(one)) == []


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ('"pool":"fota"', '"pool":"\\u001b[2J"'),
        (f'"account":"{ACCOUNT}"', '"account":"1\\u202e2"'),
        (f'"device":"{device(1)}"', '"device":"1 2"'),
        (f'"device":"{device(1)}"', f'"device":"{"1" * 65}"'),
        ('"verb":"assign"', '"verb":"\\u001b]0;x\\u0007"'),
    ],
)
def test_a_document_with_names_that_play_tricks_is_no_plan_and_its_refusal_plays_none(what: str, instead: str) -> None:
    written = json.plan(run_plan(doing(worlds.assign(1)))).decode()
    compact = written.replace('": ', '":')
    reviewed.read(compact.encode())
    with pytest.raises(ValueError, match=r".") as refused:
        reviewed.read(compact.replace(what, instead).encode())
    assert str(refused.value).isprintable()


def test_a_document_of_endless_depth_is_no_plan() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        reviewed.read(b'{"more": ' + b"[" * 100_000)
