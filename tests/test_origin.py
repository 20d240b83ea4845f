"""Where the inventory stands, in a work tree or a git remote, for every command that reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fleets import Fleet, fleet_of, imeis
from gits import ADA, Remote, git, remote_in, settings_of, wanted
from ledgers import query

from licensesync import settings
from licensesync.errors import InventoryError, ProvenanceError
from licensesync.origin import Origin, origin
from licensesync.repository import Damaged

POOLS = "pools: {fota: {product: fota, account: 0642233522-00001, mode: full}}\n"

Standing = Callable[..., Origin]


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return remote_in(tmp_path)


@pytest.fixture
def stands(remote: Remote) -> Standing:
    """Where the inventory of settings stands which lie in the work tree."""
    file = remote.folder / "licensesync.yaml"

    def stand(inventory: str = "fleet", *, fetch: bool = True, ref: str | None = None) -> Origin:
        file.write_text(f"inventory: {inventory}\n{POOLS}")
        return origin(settings.load(file), {"STATE_DIRECTORY": str(remote.url.parent)}, fetch=fetch, ref=ref)

    return stand


def devices(stand: Origin, remote: Remote) -> int:
    return stand.load(settings.load(remote.folder / "licensesync.yaml").pools).info.devices


def refused(stand: Origin) -> str:
    with pytest.raises(ProvenanceError) as error:
        stand.files()
    return str(error.value)


def test_a_work_tree_has_a_commit_an_author_and_changes(remote: Remote, stands: Standing) -> None:
    first = remote.push(wanted(imeis(0, 1)))
    info = stands().info
    assert (info.commit, info.author, info.dirty) == (first, ADA, False)
    (remote.folder / "fleet" / "a.yaml").write_text(wanted(imeis(0, 2)))
    assert (stands().info.commit, stands().info.dirty, devices(stands(), remote)) == (first, True, 2)
    second = remote.push(wanted(imeis(0, 3)))
    then = stands(ref="HEAD~1")
    assert (then.info.commit, then.info.author, devices(then, remote)) == (first, ADA, 1)
    assert stands().info.commit == second
    with pytest.raises(ProvenanceError, match=r"there is no commit nothing in .*; write a branch, a tag or a commit"):
        stands(ref="nothing")


def test_a_work_tree_whose_commit_git_does_not_tell_is_no_folder_outside_git(
    remote: Remote, stands: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.push(wanted(imeis(0, 1)))
    assert stands().nameless is None
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    mistrusted = stands()
    assert (mistrusted.info.commit, devices(mistrusted, remote)) == (None, 1)
    assert "detected dubious ownership in repository at" in (mistrusted.nameless or "")
    outside = tmp_path / "outside"
    outside.mkdir()
    assert stands(str(outside)).nameless is None


def test_the_hook_of_another_work_tree_leads_nobody_astray(
    remote: Remote, stands: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git tells its hooks in variables where they are, and who asks git for another folder passes them on."""
    head = remote.push(wanted(imeis(0, 1)))
    elsewhere = remote_in(remote.folder.parent / "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(elsewhere.url))
    monkeypatch.setenv("GIT_INDEX_FILE", str(elsewhere.url / "index.lock"))
    assert (stands().info.commit, stands().info.dirty, devices(stands(ref="HEAD"), remote)) == (head, False, 1)


def test_require_clean_refuses_what_is_not_committed(remote: Remote, stands: Standing, tmp_path: Path) -> None:
    remote.push(wanted(imeis(0, 1)))
    clean = "{path: fleet, require_clean: true}"
    assert devices(stands(clean), remote) == 1
    (remote.folder / "unrelated").touch()
    assert devices(stands(clean), remote) == 1
    (remote.folder / "fleet" / "b.yaml").write_text("groups: []")
    assert refused(stands(clean)) == (
        "the inventory has changes that are not committed: fleet/b.yaml; commit them, or take require_clean out of the "
        "settings"
    )
    assert devices(stands("{path: fleet}"), remote) == 1
    outside = tmp_path / "outside"
    outside.mkdir()
    assert "git cannot tell whether the inventory" in refused(stands(f"{{path: {outside}, require_clean: true}}"))


@pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_was_told_to_overlook_is_not_committed(remote: Remote, stands: Standing, mark: str) -> None:
    remote.push(wanted(imeis(0, 1)))
    git(remote.folder, "update-index", mark, "fleet/a.yaml")
    (remote.folder / "fleet" / "a.yaml").write_text(wanted(imeis(0, 2)))
    assert stands().info.dirty
    assert "not committed: fleet/a.yaml; " in refused(stands("{path: fleet, require_clean: true}"))


def test_a_remote_is_asked_only_where_that_is_wanted(remote: Remote, stands: Standing) -> None:
    by_git = settings_of(remote)
    with pytest.raises(ProvenanceError, match="was not fetched into"):
        stands(by_git, fetch=False)
    first = remote.push(wanted(imeis(0, 1)))
    now = stands(by_git)
    assert (now.info.commit, now.info.author, now.stale, devices(now, remote)) == (first, ADA, None, 1)
    assert (remote.url.parent / "ledger-inventory.git" / "HEAD").exists(), "the mirror is in the state folder"
    remote.push("groups: []\n")
    assert stands(by_git, fetch=False).info.commit == first
    remote.url.rename(remote.url.with_name("away"))
    later = stands(by_git)
    assert (later.info.commit, later.fresh_at) == (first, now.fresh_at)
    assert "cannot be fetched" in str(later.stale)


def test_a_relative_url_is_relative_to_the_settings(remote: Remote, stands: Standing) -> None:
    commit = remote.push(wanted(imeis(0, 1)))
    assert stands("{git: {url: ../remote.git, ref: main}}").info.commit == commit


def test_a_vanished_ref_is_an_error_though_the_mirror_has_it(remote: Remote, stands: Standing) -> None:
    remote.push("groups: []\n")
    stands(settings_of(remote))
    git(remote.url, "update-ref", "-d", "refs/heads/main")
    with pytest.raises(ProvenanceError, match="couldn't find remote ref main; push it, or write another ref"):
        stands(settings_of(remote))


def test_a_damaged_mirror_is_mended_on_the_way_if_the_remote_may_be_asked(remote: Remote, stands: Standing) -> None:
    remote.push(wanted(imeis(0, 1)))
    by_git = settings_of(remote)
    stands(by_git)
    mirror = remote.url.parent / "ledger-inventory.git"

    def damage(what: str) -> None:
        thing = git(remote.folder, "rev-parse", what)
        (mirror / "objects" / thing[:2] / thing[2:]).unlink()

    for what in ("HEAD:fleet/a.yaml", "HEAD:fleet", "HEAD"):
        damage(what)
        assert devices(stands(by_git), remote) == 1
    damage("HEAD:fleet/a.yaml")
    with pytest.raises(Damaged, match="a fetch makes it anew"):
        devices(stands(by_git, fetch=False), remote)
    remote.url.rename(remote.url.with_name("away"))
    with pytest.raises(ProvenanceError, match=r"a fetch makes it anew, which fails: main of .* cannot be fetched"):
        devices(stands(by_git), remote)


def test_a_broken_commit_is_told_by_its_lines_in_the_repository(remote: Remote, stands: Standing) -> None:
    remote.push(wanted(["x"]))
    with pytest.raises(InventoryError, match=r"^fleet/a\.yaml:5:9: 'x' is not an IMEI"):
        devices(stands(settings_of(remote)), remote)


def in_git(fleet: Fleet, remote: Remote) -> None:
    file = fleet.folder / "licensesync.yaml"
    file.write_text(file.read_text().replace("inventory.yaml", settings_of(remote)))


async def test_commands_go_by_a_git_remote_and_by_what_it_said_last(tmp_path: Path) -> None:
    remote = remote_in(tmp_path)
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.settings(mode="managed")
        in_git(fleet, remote)
        commit = remote.push(wanted(imeis(1, 4)))
        applied = await fleet.run("apply", "--yes", "--format", "json")
        other = remote.push("groups: []\n", to="next")
        planned = await fleet.run("plan", "--git-ref", "next", "--base", "main", "--format", "json")
        remote.url.rename(tmp_path / "away")
        told = await fleet.run("explain", imeis(1, 2)[0], "--format", "json")
        checked = await fleet.run("check")

        assert fleet.holders == {*imeis(0, 4)}
    inventory = applied.document["inventory"]
    assert (inventory["commit"], inventory["author"], inventory["dirty"]) == (commit, ADA, False)
    (started,) = applied.events("run.started")
    assert (started["commit"], started["author"]) == (commit, ADA)
    assert query(tmp_path / "licensesync.db", 'SELECT "commit", author FROM runs') == [(commit, ADA)]
    assert applied.document["pools"][0]["outcomes"][0]["place"] == "fleet/a.yaml:6:9"
    assert planned.document["inventory"]["commit"] == other
    assert planned.document["pools"][0]["refusal"]["rule"] == "empty", "the devices of the base count as managed"
    (stale,) = told.events("inventory.stale")
    assert "cannot be fetched" in stale["problem"]
    (named,) = [standing["inventory"] for standing in told.document["pools"]]
    assert (named["place"], named["line"]) == ("fleet/a.yaml:5:9", None)
    assert (checked.code, checked.out) == (0, "3 devices, 1 pool: no problems\n")


def test_a_deploy_key_may_come_as_a_credential(remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.push("one")
    notes, programs, credentials = (tmp_path / name for name in ("notes", "programs", "credentials"))
    programs.mkdir()
    credentials.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\necho "$2" > {notes}\nfor word; do :; done\neval "$word"\n')
    (programs / "ssh").chmod(0o700)
    (credentials / "git-deploy-key").touch()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    file = tmp_path / "licensesync.yaml"
    file.write_text(f"inventory: {{git: {{url: 'git@host:{remote.url}', ref: main}}}}\n{POOLS}")
    environ = {"STATE_DIRECTORY": str(tmp_path), "CREDENTIALS_DIRECTORY": str(credentials)}
    assert origin(settings.load(file), environ, fetch=True).info.commit == remote.head
    assert notes.read_text().strip() == str(credentials / "git-deploy-key")
