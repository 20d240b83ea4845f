"""`serve` as a process: its runs, its reloads, its signals, what it shows and what systemd hears."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from datetime import datetime
from pathlib import Path

from fleets import Fleet, fleet_of, imeis
from ledgers import UNLIMITED, query
from prometheus_client.parser import text_string_to_metric_families
from services import Service, manager, scheduled, serving

from licensesync.simulator.server import SimulatorOptions, running


def ledger(fleet: Fleet) -> Path:
    return fleet.folder / "licensesync.db"


async def test_it_runs_at_the_start_on_schedule_and_after_a_change_and_ends_in_order(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4, licenses=10) as fleet, manager(tmp_path) as systemd:
        scheduled(fleet)
        fleet.inventory(imeis(2, 8))
        async with serving(fleet, systemd.environ) as service:
            first = await service.told("run.finished")
            assert (first["verdict"], fleet.holders) == ("done", {*imeis(2, 8)})
            assert (await service.seen("/readyz"))[0] == 200

            fleet.inventory(imeis(2, 11))
            second = await service.told("run.finished", 2)
            assert (second["verdict"], fleet.holders) == ("done", {*imeis(2, 11)})

            status = await service.status_after(second["run"])
            told = await fleet.run("status", "--format", "json")
            assert (await service.seen("/healthz"))[0] == 200
            families = {
                sample.name: sample
                for family in text_string_to_metric_families((await service.seen("/metrics"))[1])
                for sample in family.samples
            }
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0

        assert told.document == status, "the page and the command say the same"
        assert status["pools"][0]["verdict"] == "done"
        assert status["pools"][0]["capacity"] == {"total": 10, "assigned": 9, "free": 1}, "as the run has left it"
        assert status["service"]["pid"] == service.process.pid
        assert status["next_run"] > status["last_run"]["started_at"]
        assert families["licensesync_inventory_devices"].value == 9
        assert families["licensesync_last_success_timestamp_seconds"].labels == {"pool": "fota"}
        assert [event["event"] for event in service.events][-2:] == ["serve.stopping", "serve.stopped"]
        assert [(loaded["devices"], loaded["commit"]) for loaded in service.of("inventory.loaded")] == [
            (6, None),
            (9, None),
        ]
        assert query(ledger(fleet), "SELECT command, verdict FROM runs") == [("serve", "done")] * 2
        assert (await fleet.run("status", "--format", "json")).document["service"] is None, "it has ended"
    assert [each for each in systemd.heard if not each.startswith("STATUS=")] == ["READY=1", "STOPPING=1"]
    assert any(re.fullmatch(r"STATUS=fota: in step; next run \d\d:\d\d", each) for each in systemd.of("STATUS"))


async def test_a_broken_file_is_reported_with_its_lines_and_the_last_good_one_stays_in_force(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4) as fleet, manager(tmp_path) as systemd:
        scheduled(fleet)
        fleet.inventory(imeis(0, 5))
        async with serving(fleet, systemd.environ) as service:
            await service.told("run.finished")
            fleet.inventory(["x"])
            rejected = await service.told("inventory.rejected")
            assert rejected["problems"][0].startswith("inventory.yaml:5:9: ")
            assert await service.metric("licensesync_inventory_problems") == 1
            status = json.loads((await service.seen("/status.json"))[1])
            assert status["service"]["problems"] == rejected["problems"]

            heard = len(systemd.heard)
            service.signal(signal.SIGHUP)
            await service.told("run.finished", 2)
            assert fleet.holders == {*imeis(0, 5)}, "the last good inventory is in force"
            await systemd.hears(lambda heard_of: "READY=1" in heard_of[heard:])
            reloading = next(place for place, each in enumerate(systemd.heard) if each.startswith("RELOADING=1\n"))
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", systemd.heard[reloading])
            assert "READY=1" in systemd.heard[reloading:]
            assert any("rejected" in each for each in systemd.of("STATUS"))

            fleet.inventory(imeis(0, 6))
            loaded = await service.told("inventory.loaded", 2)
            await service.told("run.finished", 3)
            assert (loaded["devices"], fleet.holders) == (6, {*imeis(0, 6)})
            assert await service.metric("licensesync_inventory_problems") == 0
        assert len(service.of("inventory.rejected")) == 2, "once for the change, and once for the signal"


async def test_sigterm_in_mid_batch_finishes_it_and_holds_the_rest(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, latency=0.4) as fleet:
        fleet.settings(thingspace="  batch_size: 10\n  concurrency: 1\n")
        scheduled(fleet)
        fleet.inventory(imeis(0, 100))
        async with serving(fleet) as service:
            await _sends(fleet, service)
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0
        sent = {device for seen in fleet.simulator.requests.of("assign") for device in seen.devices}
        assert 0 < len(sent) < 100
        assert fleet.holders == sent
        rows = query(ledger(fleet), "SELECT device, outcome FROM outcomes")
        assert sorted(rows) == sorted((device, "done") for device in sent)
        ((verdict, code, held),) = query(
            ledger(fleet), "SELECT runs.verdict, exit, held FROM runs JOIN pool_runs ON run_id = runs.id"
        )
        assert (verdict, code, json.loads(held)) == ("stopped", 0, {"stopping": 100 - len(sent)})
        assert len(service.of("device.settled")) == len(sent)


async def test_a_second_sigterm_ends_it_at_once_and_the_next_run_finds_out(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        scheduled(fleet)
        fleet.inventory(imeis(0, 20))
        fleet.simulator.quirks.set("delay", 3600)
        fleet.simulator.quirks.set("delayed", "on@writes")
        async with serving(fleet) as service:
            await _sends(fleet, service)
            service.signal(signal.SIGTERM)
            await service.told("serve.stopping")
            service.signal(signal.SIGTERM)
            assert await service.ended() == 1
        assert {row[0] for row in query(ledger(fleet), "SELECT outcome FROM outcomes")} == {"unknown"}
        fleet.simulator.quirks.set("delayed", "off")
        assert (await fleet.run("apply", "--yes")).code == 0
        assert fleet.holders == {*imeis(0, 20)}
        assert not {row[0] for row in query(ledger(fleet), "SELECT outcome FROM outcomes")} & {"unknown"}


async def test_sigterm_while_it_reads_ends_it_without_a_write(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4, latency=20) as fleet:
        scheduled(fleet)
        fleet.inventory(imeis(0, 5))
        async with serving(fleet) as service:
            await service.told("run.started")
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0
        assert query(ledger(fleet), "SELECT verdict FROM runs") == [("stopped",)]
        assert fleet.writes() == 0


async def test_an_api_that_hangs_stops_the_watchdog_and_turns_readiness_red(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4) as fleet, manager(tmp_path) as systemd:
        fleet.settings(thingspace="  timeout: 1h\n")
        scheduled(fleet, every="1s")
        fleet.inventory(imeis(0, 4))
        environ = {**systemd.environ, "WATCHDOG_USEC": "300000"}
        async with serving(fleet, environ) as service:
            await service.told("run.finished", 2)
            assert len(systemd.of("WATCHDOG")) > 2
            fleet.simulator.quirks.set("delay", 3600)
            fleet.simulator.quirks.set("delayed", "on")
            requests = len(fleet.simulator.requests)
            await systemd.hears(lambda _: len(fleet.simulator.requests) > requests)
            fed = len(systemd.of("WATCHDOG"))
            reason = await service.shows("/readyz", 503)
            assert len(systemd.of("WATCHDOG")) - fed <= 1, "a run that hangs feeds nothing"
            assert reason.startswith("fota was last read whole ")
            assert (await service.seen("/healthz"))[0] == 200, "it answers all the same"
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0


async def test_a_pool_that_fails_backs_off_by_itself_and_the_other_goes_on(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4) as fleet:
        fleet.settings(pool='  lost:\n    product: fota\n    account: "0000000000-00009"\n    mode: add-only\n')
        scheduled(fleet, every="1s")
        fleet.inventory(imeis(0, 4))
        async with serving(fleet) as service:
            await service.told("pool.reconciled", 6, pool="fota")
            runs = len(service.of("run.finished"))
            tried = len([each for each in service.of("pool.reconciled") if each["pool"] == "lost"])
            status = json.loads((await service.seen("/status.json"))[1])
            assert await service.metric('licensesync_pool_failures{pool="lost"}') >= 2
            body = await service.shows("/readyz", 503)
            settings = tmp_path / "licensesync.yaml"
            settings.write_text(re.sub(r"(?m)^  lost:\n(    .*\n)+", "", settings.read_text()))
            await service.told("inventory.loaded", 2)
            runs_then = len(service.of("run.finished"))
            await service.told("run.finished", runs_then + 3)
            await service.shows("/readyz", 200)
            after = json.loads((await service.seen("/status.json"))[1])
        assert [pool["pool"] for pool in after["pools"]] == ["fota"]
        assert body.startswith("lost was not read whole yet: ")
        assert tried <= runs / 2 + 1
        assert status["pools"][1]["next_attempt"] is not None
        assert status["pools"][0]["next_attempt"] is None


async def test_a_service_that_is_away_is_found_when_it_comes_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with fleet_of(tmp_path) as fleet:
        scheduled(fleet, every="1s")
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text().replace(fleet.simulator.url, f"http://127.0.0.1:{port}"))
        fleet.inventory(imeis(0, 2))
        async with serving(fleet) as service:
            await service.told("run.finished", 3, verdict="unread")
            async with running(SimulatorOptions(kind=True, port=port)):
                await service.told("run.finished", verdict="done")
                await service.shows("/readyz", 200)
                service.signal(signal.SIGTERM)
                assert await service.ended() == 0


async def test_a_second_service_and_a_run_know_of_each_other(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        scheduled(fleet)
        fleet.inventory(imeis(0, 3))
        async with serving(fleet) as service:
            await service.told("run.finished")
            second = await fleet.run("serve")
            between = await fleet.run("apply", "--yes")
        assert second.code == 6
        assert f"another serve holds the lock of {ledger(fleet)}: licensesync serve, process {service.process.pid}" in (
            second.err
        )
        assert between.code == 0, "apply may run between its runs"


async def test_what_other_commands_have_changed_is_shown_too(tmp_path: Path) -> None:
    bad = imeis(7, 8)
    async with fleet_of(tmp_path, quirks={"unknown-devices": bad}) as fleet:
        scheduled(fleet)
        fleet.inventory([*imeis(0, 3), *bad])
        async with serving(fleet) as service:
            await service.told("run.finished")
            await fleet.run("apply", "--yes")
            applied = await fleet.run("apply", "--yes", "--format", "json")
            shown = await service.status_after(applied.document["run"])
            asked = await fleet.run("status", "--format", "json")
            quarantined = await service.metric('licensesync_quarantined_devices{pool="fota"}')
            await fleet.run("quarantine", "release", *bad)
            async with asyncio.timeout(30):
                while await service.metric('licensesync_quarantined_devices{pool="fota"}'):
                    await asyncio.sleep(0.1)
        assert shown == asked.document
        assert (shown["pools"][0]["quarantined"], quarantined) == (1, 1)


async def test_while_every_pool_backs_off_the_next_run_is_still_to_come(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        scheduled(fleet, every="1s")
        fleet.inventory(imeis(0, 2))
        fleet.simulator.quirks.set("forbidden", "on")
        async with serving(fleet) as service:
            await service.told("run.finished", 3, verdict="unread")

            async def next_run() -> float:
                status = json.loads((await service.seen("/status.json"))[1])
                return datetime.fromisoformat(status["next_run"]).timestamp()

            shown: set[float] = set()
            async with asyncio.timeout(20):
                while len(shown) < 3:
                    shown.add(await next_run())
                    await asyncio.sleep(0.1)
            assert await service.metric("licensesync_next_run_timestamp_seconds") >= max(shown)
            assert len(service.of("run.finished")) == 3, "nothing was tried meanwhile"


async def test_a_run_waits_for_an_apply_and_starts_right_after_it(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet, manager(tmp_path) as systemd:
        scheduled(fleet)
        fleet.inventory(imeis(0, 3))
        fleet.simulator.quirks.set("delay", 4)
        fleet.simulator.quirks.set("delayed", "on@writes")
        apply = await fleet.start("apply", "--yes")
        while not fleet.writes():
            assert apply.returncode is None
            await asyncio.sleep(0.02)
        async with serving(fleet, systemd.environ) as service:
            waits = await service.told("run.waits")
            fleet.inventory(imeis(0, 5))
            await service.told("inventory.loaded", 2)
            assert fleet.writes() == 1, "apply goes on"
            fleet.simulator.quirks.set("delayed", "off")
            finished = await service.told("run.finished")
            await apply.communicate()
        assert f"process {apply.pid}" in waits["problem"]
        assert (apply.returncode, finished["verdict"]) == (0, "done")
        assert service.of("run.started")[0]["devices"] == 5, "it goes by what is wanted when it begins"
        assert fleet.holders == {*imeis(0, 5)}
    waits_in, *then = dict.fromkeys(each.partition(",")[0] for each in systemd.of("STATUS") if "next run" not in each)
    assert (waits_in, then[0]) == ("STATUS=waits", "STATUS=fota: reading 3 of 3"), "it says what it does again"


async def test_a_ledger_that_is_gone_is_said_and_begun_anew(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        scheduled(fleet)
        fleet.inventory(imeis(0, 3))
        async with serving(fleet) as service:
            await service.told("run.finished")
            ledger(fleet).unlink()
            fleet.inventory(imeis(0, 5))
            finished = await service.told("run.finished", 2)
        assert str(ledger(fleet)) in service.of("ledger.gone")[0]["problem"]
        assert (finished["verdict"], fleet.holders) == ("done", {*imeis(0, 5)})
        assert query(ledger(fleet), "SELECT command, verdict FROM runs") == [("serve", "done")]


async def test_a_ledger_that_may_not_be_seen_for_a_while_costs_a_run_and_no_metric(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        scheduled(fleet, "ledger: sqlite:///state/ledger.db", every="1s")
        state = tmp_path / "state"
        state.mkdir()
        fleet.inventory(imeis(0, 3))
        async with serving(fleet) as service:
            await service.told("run.finished")
            state.rename(tmp_path / "away")
            state.symlink_to(state)  # to root, too, a folder into which nobody may look
            failed = await service.told("run.failed")
            pages = [(await service.seen(page))[0] for page in ("/metrics", "/status.json")]
            state.unlink()
            (tmp_path / "away").rename(state)
            count = len(service.of("run.finished"))
            await service.told("run.finished", count + 1)
        assert "cannot be opened: Too many levels of symbolic links; see that this user may" in failed["problem"]
        assert pages == [200, 500]
        assert [each["page"] for each in service.of("listener.failed")] == ["/status.json"]
        assert not service.of("ledger.gone")


async def test_what_is_wrong_at_the_start_ends_it_before_it_is_ready(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet, manager(tmp_path) as systemd:
        scheduled(fleet)
        fleet.inventory(["x"])
        broken = await fleet.run("serve", environ=systemd.environ)
        fleet.inventory(imeis(0, 2))
        deaf = await fleet.run("serve", environ={**systemd.environ, "THINGSPACE_KEY": ""})
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text().replace("127.0.0.1:0", "192.0.2.1:1"))
        homeless = await fleet.run("serve", environ=systemd.environ)
    assert (broken.code, deaf.code, homeless.code) == (1, 1, 1)
    assert broken.err.startswith("inventory.yaml:5:9: ")
    assert "THINGSPACE_KEY is missing" in deaf.err
    assert "cannot listen at 192.0.2.1:1" in homeless.err
    assert "READY=1" not in systemd.heard


async def test_changed_settings_are_taken_and_what_needs_a_restart_is_said(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4) as fleet:
        fleet.settings(mode="add-only", pool=UNLIMITED)
        scheduled(fleet)
        fleet.inventory(imeis(2, 4))
        async with serving(fleet) as service:
            await service.told("run.finished")
            assert fleet.holders == {*imeis(0, 4)}
            written = (tmp_path / "licensesync.yaml").read_text()
            new = tmp_path / "new.yaml"
            new.write_text(
                written.replace("mode: add-only", "mode: full").replace("127.0.0.1:0", "127.0.0.1:1")
                + "ledger: sqlite:///other.db\n"
            )
            os.replace(new, tmp_path / "licensesync.yaml")  # noqa: PTH105 - as editors do
            await service.told("run.finished", 2)
            assert fleet.holders == {*imeis(2, 4)}
        assert {event["setting"] for event in service.of("settings.need-restart")} == {"ledger", "listen"}
        assert not (tmp_path / "other.db").exists()


async def test_a_folder_that_is_replaced_is_followed_and_a_ledger_inside_it_is_no_news(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        scheduled(fleet, "ledger: sqlite:///fleet/ledger.db")
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text().replace("inventory: inventory.yaml", "inventory: fleet"))

        def write(name: str, devices: int) -> None:
            fleet.inventory(imeis(0, devices))
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / "inventory.yaml").rename(tmp_path / name / "a.yaml")

        write("fleet", 2)
        async with serving(fleet) as service:
            await service.told("run.finished")
            write("fleet", 3)
            await service.told("run.finished", 2)
            write("other", 4)
            (tmp_path / "fleet").rename(tmp_path / "former")
            (tmp_path / "fleet").symlink_to("other")
            await service.told("run.started", devices=4)
            write("other", 5)
            await service.told("run.started", devices=5)
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0
        assert [event["devices"] for event in service.of("run.started")] == [2, 3, 4, 5]


async def test_links_that_lead_back_and_files_that_nobody_reads_keep_nobody(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        scheduled(fleet)
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text().replace("inventory: inventory.yaml", "inventory: fleet"))
        folder = tmp_path / "fleet"
        folder.mkdir()

        def write(devices: int) -> None:
            fleet.inventory(imeis(0, devices))
            (tmp_path / "inventory.yaml").rename(folder / "a.yaml")

        write(2)
        async with serving(fleet) as service:
            await service.told("run.finished")
            for name in ("one", "two"):
                (folder / name).symlink_to(".")
            rejected = await service.told("inventory.rejected")
            for name in ("one", "two"):
                (folder / name).unlink()
            await service.told("inventory.loaded", 2)
            with (folder / "sync.log").open("w") as log:
                write(3)
                async with asyncio.timeout(30):
                    while fleet.holders != {*imeis(0, 3)}:
                        print("still busy", file=log, flush=True)
                        await asyncio.sleep(0.1)
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0
        assert rejected["problems"] == [
            f"fleet/{name}:1:1: the link leads to a folder that is read anyway; remove the link"
            for name in ("one", "two")
        ]
        assert len(service.of("inventory.rejected")) == 1


async def test_what_a_link_leads_to_is_followed_and_a_file_that_is_away_for_a_moment_is_no_problem(
    tmp_path: Path,
) -> None:
    async with fleet_of(tmp_path) as fleet:
        scheduled(fleet)
        real, link = tmp_path / "elsewhere" / "real.yaml", tmp_path / "inventory.yaml"
        real.parent.mkdir()

        def write(file: Path, devices: int) -> None:
            fleet.inventory(imeis(0, devices))
            file.write_bytes(link.read_bytes())

        fleet.inventory(imeis(0, 2))
        link.rename(real)
        link.symlink_to("elsewhere/real.yaml")
        async with serving(fleet) as service:
            await service.told("run.finished")
            fleet.inventory(imeis(0, 3))  # through the link
            await service.told("run.finished", 2)
            link.unlink()
            await asyncio.sleep(0.6)
            fleet.inventory(imeis(0, 4))
            await service.told("run.finished", 3)
        assert [event["devices"] for event in service.of("run.started")] == [2, 3, 4]
        assert not service.of("inventory.rejected")


async def test_new_settings_whose_inventory_is_mended_later_come_into_force_then(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        scheduled(fleet)
        fleet.inventory(imeis(0, 2))
        other = tmp_path / "other"
        other.mkdir()
        (other / "new.yaml").write_text("groups: [\n")
        settings = tmp_path / "licensesync.yaml"
        async with serving(fleet) as service:
            await service.told("run.finished")
            settings.write_text(settings.read_text().replace("inventory.yaml", "other/new.yaml"))
            await service.told("inventory.rejected")
            fleet.inventory(imeis(0, 3))
            (tmp_path / "inventory.yaml").rename(other / "new.yaml")
            await service.told("run.finished", 2)
        assert fleet.holders == {*imeis(0, 3)}


async def _sends(fleet: Fleet, service: Service) -> None:
    while not fleet.writes():
        assert service.process.returncode is None, service.events
        await asyncio.sleep(0.02)
