"""`import` as a process against the simulator: what it writes is an inventory with which a plan has nothing to do."""

from __future__ import annotations

import asyncio
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fleets import ACCOUNT, CREDENTIALS, Ended, Fleet, fleet_of, imeis
from ledgers import query

from licensesync.simulator.bought import Sim, Sku

SECOND = "0742233522-00002"
LONG_AGO = datetime(2017, 11, 29, 20, 15, 42, tzinfo=UTC).timestamp()
SIM_POOL = (
    f'  sim:\n    product: sim-secure\n    account: "{ACCOUNT}"\n    sku: SIMSec-IoT\n    mode: managed\n'
    "callbacks:\n  listen: 127.0.0.1:9001\n  public_url: https://callbacks.example.com/thingspace\n"
)
SECOND_POOL = f'  west:\n    product: fota\n    account: "{SECOND}"\n    mode: full\n'


async def in_step(fleet: Fleet) -> bool:
    """Whether the inventory passes `check` and a plan has nothing to do, by their exit codes."""
    checked = await fleet.run("check")
    planned = await fleet.run("plan", "--detailed-exitcode")
    return (checked.code, planned.code) == (0, 0)


def written(fleet: Fleet, name: str = "inventory.yaml") -> str:
    return (fleet.folder / name).read_text("utf-8")


def files(fleet: Fleet) -> set[str]:
    return {path.name for path in fleet.folder.iterdir()}


async def test_what_is_imported_passes_a_check_and_leaves_a_plan_nothing_to_do(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=25) as fleet:
        for device in imeis(0, 25):
            fleet.account.since[device] = LONG_AGO

        ended = await fleet.run("import", "--output", "inventory.yaml")

        assert ended.code == 0, ended.err
        assert ended.out == ""
        assert "wrote 25 devices of pool fota to inventory.yaml; next: licensesync plan\n" in ended.err
        head, second, *groups = written(fleet).splitlines()
        assert re.fullmatch(
            r"# Who held a license on \d{4}-\d\d-\d\d \d\d:\d\d UTC, written by licensesync import\.", head
        )
        assert second == f"# Pool fota, account {ACCOUNT}: 25 devices, 1000 licenses."
        assert groups == [
            "groups:",
            "  - name: fota",
            "    licenses: [fota]",
            "    devices:",
            *(f'      - "{device}"  # since 2017-11-29' for device in sorted(imeis(0, 25))),
        ]
        assert written(fleet).endswith("\n")
        assert await in_step(fleet)
        assert fleet.writes() == 0


@pytest.mark.parametrize("seed", range(3))
async def test_an_unkind_service_is_imported_as_well(tmp_path: Path, seed: int) -> None:
    async with fleet_of(tmp_path, kind=False, seed=seed, devices=90) as fleet:
        ended = await fleet.run("import", "--output", "inventory.yaml")
        assert ended.code == 0, ended.err
        assert set(re.findall('"(.*)"', written(fleet))) == fleet.holders
        assert await in_step(fleet)


@pytest.mark.parametrize(("form", "dated"), [("go", 5), ("iso", 5), ("iso-short", 5), ("sentinel", 0), ("absent", 0)])
async def test_the_day_of_an_assignment_is_told_in_whatever_form_it_comes(
    tmp_path: Path, form: str, dated: int
) -> None:
    async with fleet_of(tmp_path, devices=5, quirks={"time-form": form}) as fleet:
        for device in imeis(0, 5):
            fleet.account.since[device] = LONG_AGO
        ended = await fleet.run("import")
    assert ended.out.count("  # since 2017-11-29\n") == dated
    assert len(re.findall(r'^      - "\d{15}"', ended.out, re.MULTILINE)) == 5
    assert "1900" not in ended.out


async def test_on_standard_output_there_is_nothing_but_the_inventory(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        ended = await fleet.run("import")
        assert ended.code == 0
        assert ended.out.startswith("# Who held a license on ")
        assert [event["devices"] for event in ended.events("pool.read")] == [3]
        assert "next: let it be the inventory of the settings" in ended.err
        assert files(fleet) == {"licensesync.yaml"}
        (tmp_path / "inventory.yaml").write_text(ended.out, "utf-8")
        assert await in_step(fleet)


async def test_an_existing_file_stays_as_it_is(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.inventory(imeis(7, 8))
        before = written(fleet)
        ended = await fleet.run("import", "--output", "inventory.yaml")
        assert ended.code == 1
        assert "--output inventory.yaml: this file exists" in ended.err
        assert "write --force" in ended.err
        assert written(fleet) == before
        assert len(list(fleet.simulator.requests)) == 0


async def test_an_existing_file_is_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.inventory(imeis(7, 8))
        (tmp_path / "link.yaml").symlink_to("inventory.yaml")
        ended = await fleet.run("import", "--output", "link.yaml", "--force")
        assert ended.code == 0, ended.err
        assert (tmp_path / "link.yaml").is_symlink()
        assert set(re.findall('"(.*)"', written(fleet))) == fleet.holders
        assert await in_step(fleet)


async def test_a_file_that_somebody_writes_during_the_reading_stays_as_it_is(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3, quirks={"delayed": "#1@status", "delay": "1"}) as fleet:
        process = await fleet.start("import", "--output", "inventory.yaml")
        while not fleet.simulator.requests.of("status"):
            await asyncio.sleep(0.01)
        (tmp_path / "inventory.yaml").write_text("groups: []\n")
        _, err = await process.communicate()
        assert process.returncode == 1
        assert "this file exists" in err.decode()
        assert written(fleet) == "groups: []\n"
        assert files(fleet) == {"licensesync.yaml", "inventory.yaml"}


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize(
    ("quirks", "reading"),
    [
        ({"assigned-off-by": "+3"}, "partial"),
        ({"last-page-lost": "on", "page-size": "2"}, "partial"),
        ({"account-trouble": "forbidden"}, "unread"),
    ],
)
async def test_a_pool_that_cannot_be_read_whole_is_exit_4_and_nothing_is_written(
    tmp_path: Path, quirks: dict[str, str], reading: str, force: list[str]
) -> None:
    async with fleet_of(tmp_path, devices=5, quirks=quirks) as fleet:
        if force:
            fleet.inventory(imeis(7, 8))
        before = {name: written(fleet, name) for name in files(fleet)}
        ended = await fleet.run("import", "--output", "inventory.yaml", *force)
        assert ended.code == 4
        assert ended.out == ""
        assert f"pool fota could not be read whole ({reading}): " in ended.err
        assert "nothing was written" in ended.err
        assert [event["reading"] for event in ended.events("pool.read")] == [reading]
        assert {name: written(fleet, name) for name in files(fleet)} == before


async def test_a_service_that_is_not_there_is_exit_4(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings = written(fleet, "licensesync.yaml").replace(fleet.simulator.url, "http://127.0.0.1:9")
        (tmp_path / "licensesync.yaml").write_text(settings)
        ended = await fleet.run("import")
    assert (ended.code, ended.out) == (4, "")
    assert "(unread)" in ended.err


async def test_an_account_without_licensed_devices_wants_nothing(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=0) as fleet:
        ended = await fleet.run("import", "--output", "inventory.yaml")
        assert ended.code == 0
        assert written(fleet).splitlines()[-1] == "groups: []"
        assert "wrote 0 devices of pool fota" in ended.err
        assert await in_step(fleet)


async def test_leading_zeros_and_all_lengths_of_identifiers_stay(tmp_path: Path) -> None:
    devices = ["000000000000000", "01234567890123", "0012345678901234", "99000342573053"]
    async with fleet_of(tmp_path) as fleet:
        for device in devices:
            fleet.account.give(device, LONG_AGO)
        await fleet.run("import", "--output", "inventory.yaml")
        assert re.findall(r'^      - "(.*)" {2,4}# since 2017-11-29$', written(fleet), re.MULTILINE) == sorted(devices)
        assert len({line.find("#") for line in written(fleet).splitlines()[6:]}) == 1
        assert await in_step(fleet)


async def test_the_pools_of_two_accounts_share_the_groups_of_devices_that_are_in_both(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, accounts=(ACCOUNT, SECOND), devices=2) as fleet:
        fleet.settings(pool=SECOND_POOL)
        west = fleet.simulator.world.accounts[SECOND]
        west.give(imeis(0, 1)[0], LONG_AGO)
        ended = await fleet.run("import", "--output", "inventory.yaml")
        assert ended.code == 0, ended.err
        assert re.findall(r"  - name: (.*)\n    licenses: (.*)\n", written(fleet)) == [
            ("fota", "[fota]"),
            ('"fota + west"', "[fota, west]"),
            ("west", "[west]"),
        ]
        assert f"# Pool west, account {SECOND}: 3 devices, 1000 licenses." in written(fleet)
        assert "wrote 2 devices of pool fota and 3 devices of pool west to inventory.yaml" in ended.err
        assert await in_step(fleet)


async def test_one_of_two_pools_that_cannot_be_read_leaves_nothing_written(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.settings(pool=SECOND_POOL)
        ended = await fleet.run("import", "--output", "inventory.yaml")
        assert ended.code == 4
        assert "pool west could not be read whole (unread): " in ended.err
        assert "pool fota could not" not in ended.err
        assert files(fleet) == {"licensesync.yaml"}


async def test_of_two_pools_one_can_be_chosen_and_only_that_is_named(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, accounts=(ACCOUNT, SECOND), devices=2) as fleet:
        fleet.settings(pool=SECOND_POOL)
        ended = await fleet.run("import", "--pool", "west", "--output", "inventory.yaml")
        planned = await fleet.run("plan", "--pool", "west", "--detailed-exitcode")
        assert (ended.code, planned.code) == (0, 0)
        assert "fota" not in written(fleet)
        assert ACCOUNT not in written(fleet)
        assert ended.err.endswith("next: licensesync plan --pool west\n")


async def test_holders_that_nobody_knows_of_are_exit_4_with_the_way_out(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.settings(pool=SIM_POOL)
        fleet.account.skus["SIMSec-IoT"] = Sku(9, 3)
        ended = await fleet.run("import", "--output", "inventory.yaml")
        assert ended.code == 4
        assert "3 more than are known" in ended.err
        assert "licensesync import --pool sim --file" in ended.err
        assert files(fleet) == {"licensesync.yaml"}
        only = await fleet.run("import", "--pool", "fota", "--output", "inventory.yaml")
        assert only.code == 0


async def test_a_list_of_holders_goes_into_the_ledger_and_with_the_inventory_a_plan_has_nothing_to_do(
    tmp_path: Path,
) -> None:
    both, alone = imeis(0, 2), "350000000000907"
    sims = {Sim(imei, f"8914800000000000{place:04}") for place, imei in enumerate([*both, alone])}
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.settings(pool=SIM_POOL)
        fleet.account.skus["SIMSec-IoT"] = Sku(9, licensed=sims)
        listed = "".join(f"{sim.imei},{sim.iccid}\n" for sim in sorted(sims))
        (tmp_path / "holders.csv").write_text(f"imei,iccid\n{listed}")
        ended = await fleet.run("import", "--file", "holders.csv", "--output", "inventory.yaml")
        assert ended.code == 0, ended.err
        assert "the ledger has 3 holders of pool sim now: 3 more, 0 gone" in ended.err
        assert written(fleet).count("iccid:") == 3
        assert "licenses: [fota, sim]" in written(fleet)
        planned = await fleet.run("plan", "--detailed-exitcode")
        assert planned.code == 0, planned.out
        assert fleet.writes() == 0


async def test_a_list_replaces_what_the_ledger_knew_and_one_that_does_not_agree_is_told(tmp_path: Path) -> None:
    first, second = (f"{imei},8914800000000000000{place}" for place, imei in enumerate(imeis(0, 2)))
    async with fleet_of(tmp_path) as fleet:
        fleet.settings(pool=SIM_POOL)
        fleet.account.skus["SIMSec-IoT"] = Sku(9, 1)
        for name, line in {"one.csv": first, "other.csv": second, "two.csv": f"{first}\n{second}"}.items():
            (tmp_path / name).write_text(f"imei,iccid\n{line}\n")
        one = await fleet.run("import", "--file", "one.csv", "--pool", "sim", "--output", "a.yaml")
        other = await fleet.run("import", "--file", "other.csv", "--pool", "sim", "--output", "b.yaml")
        two = await fleet.run("import", "--file", "two.csv", "--pool", "sim", "--output", "c.yaml")
    assert (one.code, other.code, two.code) == (0, 0, 4)
    assert "1 holder of pool sim now: 1 more, 1 gone" in other.err
    assert "1 fewer than are known" in two.err
    assert not (tmp_path / "c.yaml").exists()
    assert query(tmp_path / "licensesync.db", "SELECT device FROM holders") == [(second.replace(",", "/"),)]


async def test_a_list_of_nobody_is_taken_where_nobody_holds_a_license_any_more(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.settings(pool=SIM_POOL)
        fleet.account.skus["SIMSec-IoT"] = Sku(9, 1)
        (tmp_path / "one.csv").write_text(f"imei,iccid\n{imeis(0, 1)[0]},89148000000000000000\n")
        (tmp_path / "none.csv").write_text("imei,iccid\n")
        (tmp_path / "empty.csv").write_text("")
        one = await fleet.run("import", "--file", "one.csv", "--pool", "sim")
        fleet.account.skus["SIMSec-IoT"] = Sku(9)
        none = await fleet.run("import", "--file", "none.csv", "--pool", "sim")
        empty = await fleet.run("import", "--file", "empty.csv", "--pool", "sim")
    assert (one.code, none.code, empty.code) == (0, 0, 1)
    assert "0 holders of pool sim now: 0 more, 1 gone" in none.err
    assert "empty.csv:1:1: the list is empty" in empty.err


async def test_a_list_with_problems_changes_nothing_and_all_of_them_are_told(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.settings(pool=SIM_POOL)
        imei = imeis(0, 1)[0]
        (tmp_path / "holders.csv").write_text(f"imei,iccid\n12,89148000000000000001\n{imei},89\n{imei}\n")
        ended = await fleet.run("import", "--file", "holders.csv", "--pool", "sim")
        no_pool = await fleet.run("import", "--file", "holders.csv", "--pool", "fota")
        missing = await fleet.run("import", "--file", "nowhere.csv")
    assert ended.code == 1
    assert [line.partition(": ")[0] for line in ended.err.splitlines()] == [
        f"holders.csv:{line}" for line in ("2:1", "3:17", "4:1")
    ]
    assert no_pool.code == 64
    assert "--pool sim" in no_pool.err
    assert missing.code == 1
    assert not (tmp_path / "licensesync.db").exists()


async def test_an_identifier_that_no_inventory_can_name_is_a_comment_and_is_told(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.account.give("123456789012", LONG_AGO)
        ended = await fleet.run("import", "--output", "inventory.yaml")
        checked = await fleet.run("check")
        assert (ended.code, checked.code) == (0, 0)
        assert written(fleet).splitlines()[-1] == '#     "123456789012"  of fota, since 2017-11-29'
        assert "an inventory cannot name 1 holder" in ended.err
        assert "123456789012" in ended.err
        assert "wrote 2 devices of pool fota" in ended.err


async def test_a_folder_that_does_not_exist_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        (tmp_path / "a-file").touch()
        for file in ("nowhere/inventory.yaml", "a-file/inventory.yaml", "."):
            ended = await fleet.run("import", "--output", file)
            assert ended.code == 1
            assert f"--output {file}: this file cannot be written; name one in a folder that exists" in ended.err
        assert len(list(fleet.simulator.requests)) == 0


async def test_a_file_that_is_not_the_inventory_of_the_settings_is_told(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=1) as fleet:
        fleet.inventory([])
        elsewhere = await fleet.run("import", "--output", "other.yaml")
        settings = written(fleet, "licensesync.yaml").replace("inventory.yaml", "fleet/")
        (tmp_path / "licensesync.yaml").write_text(settings)
        (tmp_path / "fleet").mkdir()
        unread = await fleet.run("import", "--output", "fleet/all.txt")
        read = await fleet.run("import", "--output", "fleet/all.yaml")
        assert "next: let it be the inventory of the settings" in elsewhere.err
        assert "next: let it be the inventory of the settings" in unread.err
        assert "to fleet/all.yaml; next: licensesync plan\n" in read.err
        assert await in_step(fleet)


async def test_an_inventory_in_a_git_remote_is_no_obstacle(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=1) as fleet:
        settings = written(fleet, "licensesync.yaml").replace("inventory.yaml", "{git: {url: git@host:fleet.git}}")
        (tmp_path / "licensesync.yaml").write_text(settings)
        ended = await fleet.run("import", "--output", "inventory.yaml")
    assert ended.code == 0, ended.err
    assert ended.err.endswith("; next: commit it to git@host:fleet.git, then licensesync plan\n")


async def test_nothing_of_the_inventory_of_the_settings_is_needed_or_read(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=1) as fleet:
        (tmp_path / "inventory.yaml").write_text("groups: [{nonsense")
        assert (await fleet.run("import")).code == 0


@pytest.mark.parametrize("arguments", [["--pool", "nope"], ["--frobnicate"]])
async def test_a_wrong_command_line_is_exit_64(tmp_path: Path, arguments: list[str]) -> None:
    async with fleet_of(tmp_path) as fleet:
        ended = await fleet.run("import", *arguments)
    assert (ended.code, ended.out) == (64, "")


async def test_what_makes_the_program_unusable_is_exit_1(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"login-rejected": "on"}) as fleet:
        no_login = await fleet.run("import", "--output", "inventory.yaml")
        no_key = await fleet.run("import", environ={"THINGSPACE_KEY": ""})
        no_settings = await fleet.run("--settings", "nowhere.yaml", "import")
        logins = len(fleet.simulator.requests.of("login"))
        assert files(fleet) == {"licensesync.yaml"}
    for ended, word in ((no_login, "THINGSPACE_PASSWORD"), (no_key, "THINGSPACE_KEY"), (no_settings, "nowhere.yaml")):
        assert (ended.code, ended.out) == (1, "")
        assert word in ended.err
        assert not leaks(ended)
    assert logins == 1


def leaks(ended: Ended) -> bool:
    return any(secret in ended.out + ended.err for secret in CREDENTIALS.values())


async def test_a_file_that_cannot_be_written_in_the_end_leaves_nothing_behind(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=1) as fleet:
        name = "x" * 250  # the draft's name is longer, and too long
        ended = await fleet.run("import", "--output", name)
        assert ended.code == 1
        assert "File name too long" in ended.err
        assert files(fleet) == {"licensesync.yaml"}


async def test_a_stream_that_is_named_as_the_file_is_written_to(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=1) as fleet:
        ended = await fleet.run("import", "--output", "/dev/stdout")
        nowhere = await fleet.run("import", "--output", "/dev/null")
    assert (ended.code, nowhere.code) == (0, 0)
    assert ended.out.startswith("# Who held a license on ")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
