"""`serve` with an inventory in a git remote: pushes, a broken commit, a force-push, and a remote that goes away."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

from fleets import Fleet, fleet_of, imeis
from gits import ADA, Remote, git, remote_in, settings_of, wanted
from ledgers import UNLIMITED, query
from services import Service, scheduled, serving


def by_git(fleet: Fleet, remote: Remote) -> None:
    """Settings of a service whose inventory is in a remote that it asks every second."""
    fleet.settings(pool=UNLIMITED)
    scheduled(fleet)
    settings = fleet.folder / "licensesync.yaml"
    source = settings_of(remote, "fetch_every: 1s", "timeout: 10s")
    settings.write_text(settings.read_text().replace("inventory.yaml", source))


async def service_of(service: Service) -> Any:
    return json.loads((await service.seen("/status.json"))[1])["service"]


async def test_new_commits_are_followed_and_what_is_wrong_with_them_or_the_remote_is_shown(tmp_path: Path) -> None:
    remote = remote_in(tmp_path)
    first = remote.push(wanted(imeis(0, 1)))
    async with fleet_of(tmp_path) as fleet:
        by_git(fleet, remote)
        async with serving(fleet) as service:
            started = await service.told("run.started")
            assert (started["commit"], started["author"]) == (first, ADA)
            await service.told("run.finished")
            assert fleet.holders == {*imeis(0, 1)}
            assert await service.metric(f'licensesync_inventory_info{{commit="{first}"}}') == 1
            assert await service.metric(f'licensesync_inventory_author_info{{author="{ADA}"}}') == 1

            second = remote.push(wanted(imeis(0, 3)))
            await service.told("run.finished", commit=second)
            assert fleet.holders == {*imeis(0, 3)}

            remote.push(wanted([*imeis(0, 3), "x"]))
            rejected = await service.told("inventory.rejected")
            assert rejected["problems"] == ["fleet/a.yaml:8:9: 'x' is not an IMEI; write 14 to 16 digits"]
            assert rejected["in_force"] == second
            assert (await service_of(service))["problems"] == rejected["problems"]
            assert fleet.holders == {*imeis(0, 3)}

            forced = remote.push(wanted(imeis(1, 5)), parent=first)
            await service.told("run.finished", commit=forced)
            assert fleet.holders == {*imeis(1, 5)}
            now = await service_of(service)
            assert (now["problems"], now["stale"]) == ([], None)

            remote.url.rename(tmp_path / "away")
            stale = await service.told("inventory.stale")
            shown = await service_of(service)
            assert shown["stale"] == stale["problem"]
            assert f"main of {remote.url} cannot be fetched: " in stale["problem"]
            assert shown["fresh_at"] >= now["fresh_at"]
            assert await service.metric("licensesync_inventory_age_seconds") > 0

            (tmp_path / "away").rename(remote.url)
            await service.told("inventory.fresh")
            now = await service_of(service)
            assert (now["stale"], now["fresh_at"] > shown["fresh_at"]) == (None, True)
            assert len(service.of("inventory.rejected")) == 1, "the same commit is told once"
        runs = query(tmp_path / "licensesync.db", 'SELECT "commit", author FROM runs ORDER BY started_at')
        assert runs == [(commit, ADA) for commit in (first, second, forced)]


async def test_a_remote_that_is_away_at_the_start_or_hangs_at_the_end_is_not_waited_for(tmp_path: Path) -> None:
    remote = remote_in(tmp_path)
    commit = remote.push(wanted(imeis(0, 2)))
    async with fleet_of(tmp_path) as fleet:
        by_git(fleet, remote)
        planned = (await fleet.run("plan", "--format", "json")).document
        remote.url.rename(tmp_path / "away")
        async with serving(fleet) as service:
            run = await service.told("run.finished")
            stale = await service.told("inventory.stale")
            assert (run["commit"], run["verdict"], fleet.holders) == (commit, "done", {*imeis(0, 2)})
            assert stale["fresh_at"][:19] <= planned["made_at"][:19], "when it was last reached is known from before"

            with socket.create_server(("127.0.0.1", 0)) as deaf:
                deaf.setblocking(False)
                settings = tmp_path / "licensesync.yaml"
                hanging = f"git://127.0.0.1:{deaf.getsockname()[1]}/fleet.git"
                settings.write_text(settings.read_text().replace(str(remote.url), hanging).replace("10s", "1h"))
                connection, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(deaf), 20)
                with connection:
                    service.signal(signal.SIGTERM)
                    assert await service.ended() == 0
        assert [event["event"] for event in service.events][-1] == "serve.stopped"
        assert len(service.of("inventory.stale")) == 1


async def test_a_ref_that_has_vanished_stays_so_while_nobody_answers_and_an_interval_changes_at_once(
    tmp_path: Path,
) -> None:
    remote = remote_in(tmp_path)
    commit = remote.push(wanted(imeis(0, 2)))
    async with fleet_of(tmp_path) as fleet:
        by_git(fleet, remote)
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(
            settings.read_text().replace("fetch_every: 1s", "fetch_every: 1h").replace("every: 1h, j", "every: 2s, j")
        )
        async with serving(fleet) as service:
            await service.told("run.finished")
            git(remote.url, "update-ref", "-d", "refs/heads/main")
            await service.told("inventory.rejected")
            remote.url.rename(tmp_path / "away")
            await service.told("inventory.stale")
            runs = len(service.of("run.finished"))
            await service.told("run.finished", runs + 2)
            (tmp_path / "away").rename(remote.url)
            settings.write_text(settings.read_text().replace("fetch_every: 1h", "fetch_every: 1s"))
            await service.told("inventory.fresh")
            runs = len(service.of("run.finished"))
            await service.told("run.finished", runs + 2)
            assert len(service.of("inventory.loaded")) == 1
            git(remote.url, "update-ref", "refs/heads/main", commit)
            await service.told("inventory.loaded", 2)
        assert len(service.of("inventory.rejected")) == 1


async def test_a_remote_that_hangs_keeps_no_run(tmp_path: Path) -> None:
    remote = remote_in(tmp_path)
    remote.push(wanted(imeis(0, 2)))
    async with fleet_of(tmp_path) as fleet:
        by_git(fleet, remote)
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text().replace("every: 1h, j", "every: 1s, j").replace("10s", "1h"))
        async with serving(fleet) as service:
            await service.told("run.finished")
            with socket.create_server(("127.0.0.1", 0)) as deaf:
                deaf.setblocking(False)
                hanging = f"git://127.0.0.1:{deaf.getsockname()[1]}/fleet.git"
                settings.write_text(settings.read_text().replace(str(remote.url), hanging))
                connection, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(deaf), 20)
                with connection:
                    runs = len(service.of("run.finished"))
                    await service.told("run.finished", runs + 3)
                    service.signal(signal.SIGTERM)
                    assert await service.ended() == 0


async def test_a_commit_in_a_work_tree_is_noticed_and_ends_the_refusal_of_what_was_not_committed(
    tmp_path: Path,
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    async with fleet_of(tmp_path) as fleet:
        scheduled(fleet)
        settings = tmp_path / "licensesync.yaml"
        clean = "inventory: {path: tree, require_clean: true}"
        settings.write_text(settings.read_text().replace("inventory: inventory.yaml", clean))

        def write(devices: int) -> None:
            fleet.inventory(imeis(0, devices))
            (tmp_path / "inventory.yaml").rename(tree / "a.yaml")

        def commit() -> str:
            git(tree, "add", "--all")
            git(tree, "commit", "--quiet", "--message", "words")
            return git(tree, "rev-parse", "HEAD")

        git(tree, "init", "--quiet")
        write(2)
        first = commit()
        async with serving(fleet) as service:
            assert (await service.told("run.finished"))["commit"] == first
            write(3)
            rejected = await service.told("inventory.rejected")
            (problem,) = rejected["problems"]
            assert problem.startswith("the inventory has changes that are not committed: a.yaml; commit them, or ")
            second = commit()
            await service.told("run.finished", commit=second)
            assert fleet.holders == {*imeis(0, 3)}
            git(tree, "commit", "--quiet", "--allow-empty", "--message", "nothing new")
            await service.told("inventory.loaded", commit=git(tree, "rev-parse", "HEAD"))
