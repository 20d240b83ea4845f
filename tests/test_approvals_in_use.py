"""Approvals over runs: copied from the refusal's own words, used in part, used up, ended, and several at once."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import ledgers
import pytest
from fleets import ACCOUNT, CREDENTIALS, Ended, Fleet, clean_environ, fleet_of, imeis
from gits import git
from test_git import commit

OTHER_ACCOUNT = "0742644905-00001"
TIGHT = "    removals: {count: 1000, percent: 5, per_day: 1000}\n"
EVERYBODY, GONE = imeis(0, 40), imeis(0, 20)


REMOVED_JUST_WITHIN_A_DAY, REMOVED_MORE_THAN_A_DAY_AGO = (
    f"UPDATE outcomes SET at = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-{minutes} minutes') WHERE verb = 'remove'"  # noqa: S608 - numbers
    for minutes in (24 * 60 - 2, 24 * 60 + 2)
)

pytestmark = pytest.mark.exhaustive  # test_guard_in_runs has one of each for every run of the tests


def today() -> date:
    return datetime.now(UTC).date()


def entry(hash_: str, reason: str = "closing", until: str = "2099-01-01") -> str:
    return f'  - {{refusal: "{hash_}", reason: {reason}, until: {until}}}\n'


def approved(*entries: str) -> str:
    return "approvals:\n" + "".join(entries)


def copied(refusal: Any, reason: str, until: str) -> str:
    """The entry that the refusal says to add, with the two dots filled in."""
    (found,) = re.findall(r"\{refusal: .*?\}", refusal["next_step"])
    return f"  - {found}\n".replace("reason: …", f"reason: {reason}").replace("until: …", f"until: {until}")


def refusal_of(ended: Ended, pool: int = 0) -> Any:
    assert ended.code == 3, ended.err
    return ended.document["pools"][pool]["refusal"]


async def planned(fleet: Fleet, *more: str) -> Ended:
    return await fleet.run("plan", "--format", "json", *more)


async def applied(fleet: Fleet, *more: str) -> Ended:
    return await fleet.run("apply", "--yes", "--format", "json", *more)


@asynccontextmanager
async def forty_devices(folder: Path, **options: Any) -> AsyncIterator[Fleet]:
    """A fleet of forty, of whom the inventory wants the second half."""
    async with fleet_of(folder, devices=40, licenses=100, **options) as fleet:
        fleet.settings(pool=TIGHT)
        fleet.inventory(imeis(20, 40))
        yield fleet


async def interrupted(fleet: Fleet, *arguments: str, by: signal.Signals = signal.SIGTERM) -> set[str]:
    """A run that a signal ends after its first removals; the devices that are left to remove."""
    await ended_in_the_middle(fleet, TIGHT, *arguments, by=by)
    left = fleet.holders & {*GONE}
    assert 2 < len(left) < len(GONE)
    return left


async def ended_in_the_middle(fleet: Fleet, limits: str, *arguments: str, by: signal.Signals) -> None:
    """A slow run that a signal ends when three batches of two removals were sent."""
    fleet.settings(thingspace="  batch_size: 2\n  concurrency: 1\n", pool=limits)
    fleet.simulator.quirks.set("delay", 0.1)
    fleet.simulator.quirks.set("delayed", "on@remove")
    process = await fleet.start("apply", "--yes", *arguments)
    while len(fleet.simulator.requests.of("remove")) < 3:
        assert process.returncode is None
        await asyncio.sleep(0.01)
    process.send_signal(by)
    await process.communicate()
    fleet.simulator.quirks.set("delayed", "off")
    fleet.settings(pool=limits)


def give_back(fleet: Fleet, devices: Iterable[str]) -> None:
    """Somebody else gives these devices licenses."""
    for device in devices:
        fleet.account.give(device, 0.0)


# --- the way out, word by word


async def test_the_copied_entry_with_a_reason_and_a_date_lifts_the_refusal(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        refusal = refusal_of(await planned(fleet))
        fleet.inventory(imeis(20, 40), approved(copied(refusal, "the site is closed", str(today() + timedelta(1)))))
        checked = await fleet.run("check")
        lifted = await applied(fleet)
        assert (checked.code, lifted.code) == (0, 0), lifted.err
        assert fleet.holders == {*imeis(20, 40)}
        (event,) = lifted.events("pool.approved")
        assert (event["rule"], event["asked"], event["hash"]) == ("percent", 20, refusal["hash"])
        assert event["why"] == "the site is closed"
        assert event["place"].startswith("inventory.yaml:")


async def test_the_copied_command_lifts_the_refusal_once(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        refusal = refusal_of(await applied(fleet))
        (command,) = re.findall(r"licensesync apply --pool \S+ --allow-removals [0-9a-f]{16}", refusal["next_step"])
        by_hand = await _typed(fleet, command)
        lifted = fleet.holders
        give_back(fleet, GONE)
        again = await applied(fleet)
        assert by_hand == 0
        assert lifted == {*imeis(20, 40)}
        assert refusal_of(again)["hash"] == refusal["hash"]
        assert fleet.holders == {*EVERYBODY}


async def _typed(fleet: Fleet, command: str) -> int:
    """The exit code of a line that a person pasted and ended with --yes."""
    program, *arguments = shlex.split(command)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name(program)),
        *arguments,
        "--yes",
        cwd=fleet.folder,
        env={**clean_environ(), **CREDENTIALS},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


@pytest.mark.parametrize("form", ["text", "markdown"])
async def test_every_form_names_the_figure_the_limit_the_hash_and_the_next_step(tmp_path: Path, form: str) -> None:
    async with forty_devices(tmp_path) as fleet:
        refusal = refusal_of(await planned(fleet))
        shown = await fleet.run("plan", "--format", form)
    said = " ".join(shown.out.replace("\\", "").replace("\n>", " ").split())
    assert shown.code == 3
    assert "20 removals" in said
    assert "percent" in said
    assert f"allows {refusal['limit']}" in said
    assert refusal["hash"] in said
    assert "licensesync apply --pool fota --allow-removals" in said
    assert "approvals:" in said


async def test_the_prefix_of_eight_digits_is_enough_in_either_way_and_seven_are_not(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        hash_ = refusal_of(await planned(fleet))["hash"]
        short = await applied(fleet, "--allow-removals", hash_[:7])
        fleet.inventory(imeis(20, 40), approved(entry(hash_[:7])))
        short_entry = await applied(fleet)
        untouched = fleet.holders
        fleet.inventory(imeis(20, 40), approved(entry(f"sha256:{hash_[:8].upper()}")))
        by_entry = await planned(fleet)
        fleet.inventory(imeis(20, 40))
        by_command = await applied(fleet, "--allow-removals", hash_[:8])
        holders = fleet.holders
    assert (short.code, short_entry.code) == (64, 1)
    assert "eight" in short.err
    assert "inventory.yaml:" in short_entry.err
    assert "8 to 64 hex digits" in short_entry.err
    assert untouched == {*EVERYBODY}
    assert (by_entry.code, by_entry.document["verdict"]) == (0, "changes")
    assert by_command.code == 0
    assert holders == {*imeis(20, 40)}


async def test_a_hash_of_nothing_that_is_planned_lets_nothing_pass_and_says_so(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        ended = await applied(fleet, "--allow-removals", "0" * 16)
        refusal = refusal_of(ended)
        allowed = await applied(fleet, "--allow-removals", refusal["hash"])
    assert "0000000000000000: this is not the hash" in ended.err
    assert "this is not the hash" not in allowed.err


async def test_no_removals_holds_what_would_be_refused_and_what_is_approved_and_uses_nothing(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        hash_ = refusal_of(await planned(fleet))["hash"]
        fleet.inventory([*imeis(20, 40), *imeis(50, 53)])
        unapproved = await applied(fleet, "--no-removals")
        fleet.inventory([*imeis(20, 40), *imeis(50, 53)], approved(entry(hash_)))
        stopped = await applied(fleet, "--no-removals", "--allow-removals", hash_)
        stayed = fleet.holders
        meant = await applied(fleet)
        holders = fleet.holders
    for ended in (unapproved, stopped):
        (pool,) = ended.document["pools"]
        assert (ended.code, pool["refusal"]) == (0, None)
        assert {row["reason"] for row in pool["held"]} == {"no-removals"}
        assert len(pool["held"]) == 20
    assert stayed == {*EVERYBODY, *imeis(50, 53)}
    assert meant.code == 0
    assert holders == {*imeis(20, 40), *imeis(50, 53)}


# --- in use


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
async def test_what_is_left_after_an_interruption_passes_under_its_new_hash_and_a_stranger_does_not(
    tmp_path: Path, by: signal.Signals
) -> None:
    stranger, *others = imeis(20, 40)
    async with forty_devices(tmp_path) as fleet:
        hash_ = refusal_of(await planned(fleet))["hash"]
        approval = approved(entry(hash_))
        fleet.inventory(imeis(20, 40), approval)
        left = await interrupted(fleet, by=by)
        fleet.inventory(others, approval)
        with_stranger = await applied(fleet)
        untouched = fleet.holders
        fleet.inventory(imeis(20, 40))
        unapproved = await planned(fleet)
        fleet.inventory(imeis(20, 40), approval)
        before = await planned(fleet)
        rest = await applied(fleet)
        holders = fleet.holders
    assert refusal_of(with_stranger)["asked"] == len(left) + 1
    assert left | {stranger} <= untouched
    assert refusal_of(unapproved)["hash"] != hash_, "what is left is another set"
    assert (before.code, before.document["pools"][0]["counts"]["remove"]) == (0, len(left))
    assert rest.code == 0, rest.err
    assert [event["hash"] for event in rest.events("pool.approved")] == [hash_]
    assert holders == {*imeis(20, 40)}


async def test_what_is_left_of_a_set_passes_by_the_command_line_only_when_it_is_asked_again(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        hash_ = refusal_of(await planned(fleet))["hash"]
        left = await interrupted(fleet, "--allow-removals", hash_)
        unasked = await applied(fleet)
        untouched = fleet.holders
        fleet.inventory(imeis(21, 40))
        with_stranger = await applied(fleet, "--allow-removals", hash_)
        fleet.inventory(imeis(20, 40))
        rest = await applied(fleet, "--allow-removals", hash_)
        holders = fleet.holders
    assert refusal_of(unasked)["asked"] == len(left)
    assert left <= untouched
    assert refusal_of(with_stranger)["asked"] == len(left) + 1
    assert rest.code == 0, rest.err
    assert "this is not the hash" not in rest.err
    assert holders == {*imeis(20, 40)}


async def test_an_approval_that_ended_with_something_left_goes_on_with_a_later_date_as_it_says(tmp_path: Path) -> None:
    tomorrow, later = str(today() + timedelta(1)), str(today() + timedelta(30))
    async with forty_devices(tmp_path) as fleet:
        hash_ = refusal_of(await planned(fleet))["hash"]
        fleet.inventory(imeis(20, 40), approved(entry(hash_, until=tomorrow)))
        left = await interrupted(fleet)
        ledgers.execute(tmp_path / "licensesync.db", "UPDATE approvals SET until = date('now')")  # a day goes by
        fleet.inventory(imeis(20, 40), approved(entry(hash_, until=str(today()))))
        ended = await applied(fleet)
        untouched = fleet.holders
        fleet.inventory(imeis(20, 40), approved(entry(hash_, until=later)))
        extended = await applied(fleet)
        holders = fleet.holders
        give_back(fleet, GONE)
        again = await applied(fleet)
    assert f"ended on {today()}; write a later date" in refusal_of(ended)["next_step"]
    assert left <= untouched
    assert extended.code == 0, extended.err
    assert holders == {*imeis(20, 40)}
    assert "used up" in refusal_of(again)["next_step"], "the later date was for what was left, not for all of it again"


async def test_a_removed_device_that_got_its_license_back_is_not_approved_any_more(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        hash_ = refusal_of(await planned(fleet))["hash"]
        fleet.inventory(imeis(20, 40), approved(entry(hash_)))
        left = await interrupted(fleet)
        done = {*GONE} - left
        give_back(fleet, done)
        refusal = refusal_of(await applied(fleet))
        assert fleet.holders == {*EVERYBODY}
        assert refusal["hash"] == hash_, "it is the very set that was approved"
        assert f"{len(done)} of its 20 removals are done" in refusal["next_step"]


async def test_the_removals_of_a_killed_run_count_as_removals_of_the_day(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        limits = "    removals: {count: 1000, percent: 100, per_day: 20}\n"
        await ended_in_the_middle(fleet, limits, by=signal.SIGKILL)
        done = len(EVERYBODY) - len(fleet.holders)
        fleet.inventory(imeis(21, 40))
        before = refusal_of(await planned(fleet))
        refusal = refusal_of(await applied(fleet))
    assert before == refusal
    assert (refusal["rule"], refusal["limit"], refusal["asked"]) == ("per_day", 20 - done, 21 - done)


async def test_what_was_removed_more_than_a_day_ago_does_not_count(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=28, licenses=100) as fleet:
        fleet.settings(pool="    removals: {count: 1000, percent: 100, per_day: 20}\n")
        limits = []
        for slice_ in range(1, 4):
            fleet.inventory(imeis(7 * slice_, 60))
            limits.append((await applied(fleet)).document["pools"][0]["refusal"])
        refusal = limits.pop()
        assert limits == [None, None]
        assert (refusal["rule"], refusal["asked"], refusal["limit"]) == ("per_day", 7, 6)
        assert len(fleet.holders & {*imeis(0, 28)}) == 14
        ledgers.execute(tmp_path / "licensesync.db", REMOVED_JUST_WITHIN_A_DAY)
        assert (await planned(fleet)).code == 3
        ledgers.execute(tmp_path / "licensesync.db", REMOVED_MORE_THAN_A_DAY_AGO)
        assert (await applied(fleet)).code == 0
        assert len(fleet.holders & {*imeis(0, 28)}) == 7


# --- several entries, several pools


async def test_of_two_entries_for_the_same_set_the_second_serves_when_the_first_is_used_up(tmp_path: Path) -> None:
    async with forty_devices(tmp_path) as fleet:
        hash_ = refusal_of(await planned(fleet))["hash"]
        fleet.inventory(imeis(20, 40), approved(entry("f" * 16), entry(hash_, "one"), entry(hash_, "two")))
        said = []
        codes = []
        for _ in range(3):
            ended = await applied(fleet)
            codes.append(ended.code)
            said += [event["why"] for event in ended.events("pool.approved")]
            give_back(fleet, GONE)
    assert codes == [0, 0, 3]
    assert said == ["one", "two"]


async def test_an_approval_is_of_one_pool_and_each_has_its_own(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, accounts=(ACCOUNT, OTHER_ACCOUNT), devices=30, licenses=100) as fleet:
        east = fleet.simulator.world.accounts[ACCOUNT]
        west = fleet.simulator.world.accounts[OTHER_ACCOUNT]
        kept_east, kept_west = sorted(east.licensed)[20:], sorted(west.licensed)[20:]
        _two_pools(fleet, OTHER_ACCOUNT)
        inventory = _group("east", kept_east) + _group("west", kept_west)
        _write(fleet, inventory)
        first = await applied(fleet)
        hashes = [refusal_of(first, 0)["hash"], refusal_of(first, 1)["hash"]]
        commands = [refusal_of(first, pool)["next_step"].rsplit("--pool ", 1)[1].split()[0] for pool in (0, 1)]
        _write(fleet, inventory + approved(entry(hashes[0])))
        one = await applied(fleet)
        after_one = (len(east.licensed), len(west.licensed))
        _write(fleet, inventory + approved(entry(hashes[0]), entry(hashes[1])))
        both = await applied(fleet)
        after_both = (len(east.licensed), len(west.licensed))
    assert commands == ["east", "west"]
    assert hashes[0] != hashes[1]
    assert (one.code, [pool["verdict"] for pool in one.document["pools"]]) == (3, ["done", "refused"])
    assert after_one == (10, 30)
    assert both.code == 0
    assert after_both == (10, 10)


def _two_pools(fleet: Fleet, other: str) -> None:
    (fleet.folder / "licensesync.yaml").write_text(
        f"thingspace: {{url: '{fleet.simulator.url}', requests_per_second: 2000}}\ninventory: inventory.yaml\npools:\n"
        f'  east: {{product: fota, account: "{ACCOUNT}", mode: full}}\n'
        f'  west: {{product: fota, account: "{other}", mode: full}}\n'
    )


def _group(name: str, devices: Iterable[str]) -> str:
    return f"  - {{name: {name}, licenses: [{name}], devices: [" + ", ".join(f'"{each}"' for each in devices) + "]}\n"


def _write(fleet: Fleet, groups: str) -> None:
    (fleet.folder / "inventory.yaml").write_text(f"groups:\n{groups}")


# --- pull request and daemon


async def test_a_plan_of_a_pull_request_and_a_run_with_a_history_agree_on_the_hash(tmp_path: Path) -> None:
    """In managed mode: the one knows by `--base` what is managed, the other by its ledger."""
    home, clone = tmp_path / "home", tmp_path / "clone"
    home.mkdir()
    async with fleet_of(home, devices=5, licenses=100) as fleet:
        fleet.settings(mode="managed", pool=TIGHT)
        fleet.inventory(imeis(100, 130))
        git(home, "init", "--quiet")
        (home / ".gitignore").write_text("licensesync.db*\n")
        commit(home, "thirty")
        assert (await applied(fleet)).code == 0
        git(tmp_path, "clone", "--quiet", str(home), str(clone))
        both = (fleet, Fleet(clone, fleet.simulator))
        for each in both:
            each.inventory(reversed(imeis(110, 130)), group=f"group-{each.folder.name}")
        fleet.settings(mode="managed", pool="    removals: {count: 3}\n")
        reviewed = await planned(both[1], "--base", "HEAD")
        refused = await applied(fleet)
        fleet.inventory(imeis(110, 130), approved(entry(refusal_of(reviewed)["hash"])))
        lifted = await applied(fleet)
        assert not list(clone.glob("*.db*"))
    assert refusal_of(reviewed)["hash"] == refusal_of(refused)["hash"]
    assert reviewed.document["hash"] == refused.document["hash"]
    assert reviewed.document["pools"][0]["counts"]["foreign"] == 5
    assert lifted.code == 0, lifted.err
    assert fleet.holders == {*imeis(0, 5), *imeis(110, 130)}


# --- mistakes with files


def _cut_short(fleet: Fleet) -> None:
    (fleet.folder / "inventory.yaml").write_text("")


def _only_a_comment(fleet: Fleet) -> None:
    (fleet.folder / "inventory.yaml").write_text("# later\n")


def _groups_without_value(fleet: Fleet) -> None:
    (fleet.folder / "inventory.yaml").write_text("groups:\n")


def _no_file(fleet: Fleet) -> None:
    (fleet.folder / "inventory.yaml").unlink()


def _emptied_list(fleet: Fleet) -> None:
    (fleet.folder / "meters.csv").write_text("")


def _missing_list(fleet: Fleet) -> None:
    (fleet.folder / "meters.csv").unlink()


def _renamed_in_the_inventory(fleet: Fleet) -> None:
    fleet_file = fleet.folder / "inventory.yaml"
    fleet_file.write_text(fleet_file.read_text().replace("[fota]", "[firmware]"))


def _renamed_in_the_settings(fleet: Fleet) -> None:
    settings = fleet.folder / "licensesync.yaml"
    settings.write_text(settings.read_text().replace("  fota:\n", "  firmware:\n"))


BROKEN: list[tuple[Callable[[Fleet], None], str]] = [
    (_cut_short, "inventory.yaml:1:1: "),
    (_only_a_comment, "inventory.yaml:1:1: "),
    (_groups_without_value, "inventory.yaml:1:"),
    (_no_file, "inventory.yaml"),
    (_emptied_list, "inventory.yaml:4:"),
    (_missing_list, "inventory.yaml:4:"),
    (_renamed_in_the_inventory, "unknown pool 'firmware'; write fota"),
    (_renamed_in_the_settings, "unknown pool 'fota'; write firmware"),
]


async def test_a_broken_inventory_removes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=9) as fleet:
        (tmp_path / "inventory.yaml").write_text(
            "groups:\n  - name: meters\n    licenses: [fota]\n    devices_from: meters.csv\n"
        )
        (tmp_path / "meters.csv").write_text("\n".join(imeis(0, 9)))
        right = {path: path.read_text() for path in tmp_path.iterdir()}
        for spoil, said in BROKEN:
            spoil(fleet)
            broken = await applied(fleet)
            assert (broken.code, said in broken.err) == (1, True), f"{spoil.__name__}: {broken.err}"
            for path, text in right.items():
                path.write_text(text)
        assert len(fleet.simulator.requests) == 0, "the service was asked"
        mended = await applied(fleet)
        assert (mended.code, mended.document["verdict"]) == (0, "in-step")


async def test_a_pool_renamed_in_settings_and_inventory_is_the_same_and_an_approval_of_it_goes_on(
    tmp_path: Path,
) -> None:
    async with forty_devices(tmp_path) as fleet:
        hash_ = refusal_of(await planned(fleet))["hash"]
        fleet.inventory(imeis(20, 40), approved(entry(hash_)))
        await interrupted(fleet)
        _renamed_in_the_settings(fleet)
        _renamed_in_the_inventory(fleet)
        rest = await applied(fleet)
        assert rest.code == 0, rest.err
        assert fleet.holders == {*imeis(20, 40)}
