"""Plans of commits: real repositories, made by the git program."""

from __future__ import annotations

from pathlib import Path

from fleets import Fleet, fleet_of, imeis
from gits import git


def commit(folder: Path, words: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", words)
    return git(folder, "rev-parse", "HEAD")


async def test_the_commit_of_the_inventory_and_whether_it_was_changed_stand_in_the_plan(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        outside = (await fleet.run("plan", "--format", "json")).document["inventory"]
        git(tmp_path, "init", "--quiet")
        head = commit(tmp_path, "first")
        clean = (await fleet.run("plan", "--format", "json")).document["inventory"]
        fleet.inventory(imeis(0, 2))
        dirty = (await fleet.run("plan", "--format", "json")).document["inventory"]
        untold = await fleet.run("plan", "--format", "json", environ={"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    assert (outside["commit"], outside["dirty"]) == (None, False)
    assert (clean["commit"], clean["dirty"]) == (head, False)
    assert (dirty["commit"], dirty["dirty"]) == (head, True)
    assert outside["digest"] == clean["digest"] != dirty["digest"]
    assert untold.document["inventory"]["commit"] is None
    assert "inventory.commit-unknown" in untold.err


async def test_git_ref_plans_the_inventory_of_that_commit(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        _split(fleet, imeis(0, 2), imeis(5, 6))
        git(tmp_path, "init", "--quiet")
        first = commit(tmp_path, "first")
        _split(fleet, imeis(0, 1), [])
        commit(tmp_path, "second")
        now = await fleet.run("plan", "--format", "json")
        then = await fleet.run("plan", "--format", "json", "--git-ref", "HEAD~1")
        none = await fleet.run("plan", "--git-ref", "no-such-branch")
        option = await fleet.run("plan", "--git-ref=--all")
    assert [row["device"] for row in now.document["pools"][0]["actions"]] == imeis(0, 1)
    assert [row["device"] for row in then.document["pools"][0]["actions"]] == [*imeis(0, 2), *imeis(5, 6)]
    assert then.document["inventory"]["commit"] == first
    assert then.document["pools"][0]["actions"][-1]["place"] == "fleet/more.csv:1:1"
    assert (none.code, option.code) == (1, 1)


async def test_base_makes_the_devices_of_that_commit_managed(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.settings(mode="managed")
        fleet.inventory(imeis(0, 2))
        git(tmp_path, "init", "--quiet")
        commit(tmp_path, "first")
        fleet.inventory(imeis(1, 2))
        alone = await fleet.run("plan", "--format", "json")
        based = await fleet.run("plan", "--format", "json", "--base", "HEAD")
    assert alone.document["pools"][0]["counts"] == {"assign": 0, "remove": 0, "held": 2, "kept": 1, "foreign": 2}
    (removal,) = based.document["pools"][0]["actions"]
    assert (removal["verb"], removal["device"]) == ("remove", imeis(0, 1)[0])
    assert [row["reason"] for row in based.document["pools"][0]["held"]] == ["foreign"]
    assert based.document["pools"][0]["counts"]["foreign"] == 1


def _split(fleet: Fleet, listed: list[str], in_csv: list[str]) -> None:
    """An inventory that is a folder, with a CSV file beside its YAML."""
    text = (fleet.folder / "licensesync.yaml").read_text()
    (fleet.folder / "licensesync.yaml").write_text(text.replace("inventory.yaml", "fleet/"))
    folder = fleet.folder / "fleet"
    folder.mkdir(exist_ok=True)
    more = "    devices_from: more.csv\n" if in_csv else ""
    (folder / "more.csv").write_text("".join(f"{device}\n" for device in in_csv))
    devices = "".join(f'      - "{device}"\n' for device in listed)
    (folder / "a.yaml").write_text(f"groups:\n  - name: a\n    licenses: [fota]\n{more}    devices:\n{devices}")
