"""`serve` with an inventory in a git remote: pushes, a broken commit, a force-push, and a remote that goes away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fleets import fleet_of, imeis
from gits import ADA, remote_in, settings_of, wanted
from ledgers import query
from services import Service, scheduled, serving


async def service_of(service: Service) -> Any:
    return json.loads((await service.seen("/status.json"))[1])["service"]


async def test_new_commits_are_followed_and_what_is_wrong_with_them_or_the_remote_is_shown(tmp_path: Path) -> None:
    remote = remote_in(tmp_path)
    first = remote.push(wanted(imeis(0, 1)))
    async with fleet_of(tmp_path) as fleet:
        fleet.settings(pool="    removals: {count: 9, percent: 100, per_day: 99}\n")
        scheduled(fleet)
        settings = tmp_path / "licensesync.yaml"
        by_git = settings_of(remote, "fetch_every: 1s", "timeout: 10s")
        settings.write_text(settings.read_text().replace("inventory.yaml", by_git))
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
        (tmp_path / "remote.git").rename(tmp_path / "away")
        async with serving(fleet) as service:
            again = await service.told("run.finished")
            stale = await service.told("inventory.stale")
            assert (again["commit"], again["verdict"]) == (forced, "in-step")
            assert stale["fresh_at"][:19] >= now["fresh_at"][:19], "when it was last reached survives a restart"
        runs = query(tmp_path / "licensesync.db", 'SELECT "commit", author FROM runs ORDER BY started_at')
        assert runs == [(commit, ADA) for commit in (first, second, forced, forced)]
