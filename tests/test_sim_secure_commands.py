"""SIM-Secure beside FOTA as its users have it: real processes, one inventory, callbacks over real HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

from fleets import ACCOUNT, CALLBACK_CREDENTIALS, CREDENTIALS, Fleet, fleet_of, imeis
from ledgers import query
from services import scheduled, serving

from licensesync.simulator.bought import CARRIER_SERVICE, Registration, Sim, Sku

SKU = "SIMSec-IoT"
SIMS = [Sim(imei, f"8914800000000000{place:04}") for place, imei in enumerate(imeis(0, 6))]
QUIET = ("--log-level", "error")
THEIRS = Registration("https://other.example.com/hook", "their-name-9", "their-pass-9")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def settings(fleet: Fleet, *, callbacks: str = "", pool: str = "", port: int | None = None) -> int:
    """Settings with a pool of each product; the port at which callbacks are heard."""
    port = port or free_port()
    fleet.settings(
        mode="managed",
        pool=f'  sim:\n    product: sim-secure\n    account: "{ACCOUNT}"\n    sku: {SKU}\n    mode: managed\n{pool}'
        f"callbacks:\n  listen: 127.0.0.1:{port}\n  public_url: http://127.0.0.1:{port}/thingspace\n{callbacks}",
    )
    return port


def inventory(fleet: Fleet, sims: list[Sim]) -> None:
    listed = "".join(f'      - {{imei: "{sim.imei}", iccid: "{sim.iccid}"}}\n' for sim in sims)
    groups = f"groups:\n  - name: rotterdam\n    licenses: [fota, sim]\n    devices:\n{listed}"
    (fleet.folder / "inventory.yaml").write_text(groups)


def sku_of(fleet: Fleet) -> Sku:
    return fleet.account.skus[SKU]


async def run(fleet: Fleet, *arguments: str) -> Any:
    return await fleet.run(*arguments, environ=CALLBACK_CREDENTIALS)


async def becomes_in_step(fleet: Fleet) -> None:
    """Waits until a plan has nothing to do and nothing waits."""
    async with asyncio.timeout(20):
        while True:
            planned = await run(fleet, *QUIET, "plan", "--format", "json")
            if planned.document["verdict"] == "in-step" and not any(p["held"] for p in planned.document["pools"]):
                return


async def test_one_inventory_one_plan_and_one_apply_serve_both_products_and_explain_tells_both_stories(
    tmp_path: Path,
) -> None:
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        settings(fleet)
        inventory(fleet, SIMS)
        planned = (await run(fleet, *QUIET, "plan", "--format", "json")).document
        applied = await run(fleet, *QUIET, "apply", "--yes", "--wait", "20s", "--format", "json")
        again = await run(fleet, *QUIET, "plan", "--detailed-exitcode")
        told = await run(fleet, *QUIET, "explain", SIMS[0].imei)
        by_sim = await run(fleet, *QUIET, "explain", SIMS[0].iccid)
        rows = (await run(fleet, "history", "--pool", "sim", "--outcome", "done", "--format", "json")).document["rows"]
    assert [pool["counts"]["assign"] for pool in planned["pools"]] == [6, 6]
    assert {action.get("iccid") for action in planned["pools"][1]["actions"]} == {sim.iccid for sim in SIMS}
    assert applied.code == 0, applied.err
    assert [pool["counts"]["done"] for pool in applied.document["pools"]] == [6, 6]
    assert [pool["counts"]["pending"] for pool in applied.document["pools"]] == [0, 0]
    assert fleet.holders == {sim.imei for sim in SIMS}
    assert sku_of(fleet).licensed == set(SIMS)
    assert again.code == 0, again.out
    for pool in ("fota", "sim"):
        assert f"{SIMS[0].imei} holds a license of pool {pool} and keeps it" in told.out
    assert by_sim.out == told.out
    assert {(row["device"], row["iccid"]) for row in rows} == set(SIMS)


async def test_an_apply_that_does_not_wait_leaves_promises_that_the_running_service_settles(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        settings(fleet)
        inventory(fleet, SIMS[:2])
        scheduled(fleet)
        async with serving(fleet, CALLBACK_CREDENTIALS) as service:
            await service.told("callbacks.registered", account=ACCOUNT)
            await service.told("run.finished")
            await service.told("callback.received", 2, outcome="done", reception="settled")
            inventory(fleet, SIMS[:4])
            left = await run(fleet, "apply", "--yes", "--format", "json", "--pool", "sim")
            waited = await run(fleet, "apply", "--yes", "--wait", "20s", "--format", "json", "--pool", "sim")
            await becomes_in_step(fleet)
            metric = await service.metric('licensesync_callbacks_total{result="settled"}')
    assert left.code in {0, 6}, left.err
    assert waited.code in {0, 6}, waited.err
    assert sku_of(fleet).licensed == set(SIMS[:4])
    assert metric == 4


async def test_what_is_pending_without_a_callback_is_unknown_in_status_and_explain_and_asked_for_again(
    tmp_path: Path,
) -> None:
    async with fleet_of(tmp_path, licenses=10, quirks={"callback-lost": "on"}) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        settings(fleet, callbacks="  timeout: 1s\n")
        inventory(fleet, SIMS[:1])
        pending = await run(fleet, *QUIET, "apply", "--yes", "--format", "json")
        status = (await run(fleet, "status", "--format", "json")).document
        waited = await run(fleet, *QUIET, "apply", "--yes", "--wait", "20s", "--format", "json")
        shown = await run(fleet, "status")
        told = await run(fleet, *QUIET, "explain", SIMS[0].imei, "--pool", "sim")
        fleet.simulator.quirks.set("callback-lost", "off")
        settled = await run(fleet, *QUIET, "apply", "--yes", "--wait", "10s", "--format", "json")
    assert pending.code == 0, pending.err
    assert pending.document["pools"][1]["counts"]["pending"] == 1
    assert status["pools"][1]["open_requests"] == 1
    assert waited.code in {0, 5}, "in flight still, or asked for again"
    assert "1 open request: sent, and how it ends is not known yet; 1 of them unknown" in " ".join(shown.out.split())
    assert "may hold a license of pool sim, as nobody told how a request ended" in " ".join(told.out.split())
    assert settled.code == 0, settled.err
    assert len(sku_of(fleet).history) == 1


async def test_callbacks_that_are_somebody_elses_close_the_pool_and_are_taken_over_only_when_asked(
    tmp_path: Path,
) -> None:
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        fleet.account.callbacks[CARRIER_SERVICE] = THEIRS
        port = settings(fleet)
        inventory(fleet, SIMS[:2])
        waiting = await run(fleet, "apply", "--yes", "--wait", "5s")
        doctor = await run(fleet, "doctor")
        scheduled(fleet)
        async with serving(fleet, CALLBACK_CREDENTIALS) as service:
            unread = await service.told("pool.read", pool="sim", reading="unread")
            await service.told("pool.reconciled", pool="fota", verdict="done")
            still = fleet.account.callbacks[CARRIER_SERVICE]
        settings(fleet, callbacks="  take_over: true\n", port=port)
        scheduled(fleet)
        async with serving(fleet, CALLBACK_CREDENTIALS) as service:
            await service.told("callbacks.taken-over", account=ACCOUNT)
            await service.told("callback.received", 2, outcome="done")
    assert waiting.code == 1
    assert "take_over: true" in waiting.err
    assert doctor.code == 1
    assert "other.example.com" in unread["problem"]
    assert "take_over: true" in unread["problem"]
    assert still == THEIRS
    assert fleet.account.callbacks[CARRIER_SERVICE].url == f"http://127.0.0.1:{port}/thingspace"
    assert sku_of(fleet).licensed == set(SIMS[:2])
    for told in (waiting.err, doctor.out, str(unread)):
        assert not any(word in told for word in ("their-name-9", "their-pass-9", "hook"))


async def test_a_port_that_is_taken_and_missing_credentials_end_before_anything_is_sent(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            settings(fleet, port=taken.getsockname()[1])
            inventory(fleet, SIMS[:1])
            waiting = await run(fleet, "apply", "--yes", "--wait", "5s")
            nobody = await fleet.run("apply", "--yes", "--wait", "5s")
            wrong = await run(fleet, "apply", "--yes", "--wait", "soon")
        assert (waiting.code, nobody.code, wrong.code) == (1, 1, 64)
        assert "callbacks.listen" in waiting.err
        assert "CALLBACK_USERNAME" in nobody.err
        assert fleet.simulator.requests.of("assign", "sim-assign") == []


async def test_an_outdated_password_is_registered_anew(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        port = settings(fleet)
        ours = f"http://127.0.0.1:{port}/thingspace"
        fleet.account.callbacks[CARRIER_SERVICE] = Registration(ours, "old-name", "old-password")
        inventory(fleet, SIMS[:1])
        applied = await run(fleet, "apply", "--yes", "--wait", "10s")
    assert applied.code == 0, applied.err
    assert fleet.account.callbacks[CARRIER_SERVICE] == Registration(ours, *CALLBACK_CREDENTIALS.values())
    assert sku_of(fleet).licensed == {SIMS[0]}


async def test_removals_that_are_promised_free_a_license_for_who_waits_once_their_callbacks_come(
    tmp_path: Path,
) -> None:
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(2)
        settings(fleet)
        inventory(fleet, SIMS[:2])
        scheduled(fleet)
        async with serving(fleet, CALLBACK_CREDENTIALS) as service:
            await service.told("callback.received", 2, outcome="done")
            inventory(fleet, SIMS[1:3])
            await service.told("callback.received", verb="remove", outcome="done")
            await service.told("callback.received", verb="assign", outcome="done", device=SIMS[2].imei)
    assert sku_of(fleet).licensed == set(SIMS[1:3])


async def test_a_license_that_devices_were_asked_for_in_vain_is_for_the_next_at_once(tmp_path: Path) -> None:
    """Three hold licenses and nobody knows it: they are asked for again in their turn, with the one that is free."""
    async with fleet_of(tmp_path, licenses=10, quirks={"callback-lost": "on"}) as fleet:
        fleet.account.skus[SKU] = Sku(4)
        settings(fleet, callbacks="  timeout: 1s\n")
        inventory(fleet, SIMS[:3])
        await run(fleet, *QUIET, "apply", "--yes", "--wait", "20s")
        fleet.simulator.quirks.set("callback-lost", "off")
        inventory(fleet, SIMS[:4])
        scheduled(fleet)
        async with serving(fleet, CALLBACK_CREDENTIALS) as service:
            await service.told("callback.received", verb="assign", outcome="done", device=SIMS[3].imei)
    assert sku_of(fleet).licensed == set(SIMS[:4])


async def test_an_apply_that_waits_assigns_what_its_removals_free(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(2)
        settings(fleet)
        inventory(fleet, SIMS[:2])
        await run(fleet, *QUIET, "apply", "--yes", "--wait", "20s")
        inventory(fleet, SIMS[1:4])
        ended = await run(fleet, *QUIET, "apply", "--yes", "--wait", "20s", "--format", "json", "--pool", "sim")
    assert ended.code == 0, ended.err
    assert sku_of(fleet).licensed == set(SIMS[1:3])
    assert ended.document["pools"][0]["counts"]["done"] == 2
    assert [held["reason"] for held in ended.document["pools"][0]["held"]] == ["no-capacity"]


async def test_what_callbacks_reject_stands_in_status_and_metrics_before_the_next_run(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        fleet.account.unknown.add(SIMS[0].imei)
        settings(fleet)
        inventory(fleet, SIMS[:2])
        scheduled(fleet)
        async with serving(fleet, CALLBACK_CREDENTIALS) as service:
            await service.told("callback.received", 2)
            await service.told("run.finished")
            status = json.loads((await service.seen("/status.json"))[1])
            unfinished = await service.metric('licensesync_unfinished{outcome="rejected",pool="sim"}')
            succeeded = await service.metric('licensesync_last_success_timestamp_seconds{pool="sim"}')
        shown = (await run(fleet, "status", "--format", "json")).document
    for document in (status, shown):
        pool = document["pools"][1]
        assert pool["verdict"] == "incomplete"
        counts = {kind: pool["counts"][kind] for kind in ("done", "pending", "rejected")}
        assert counts == {"done": 1, "pending": 0, "rejected": 1}
    assert (unfinished, succeeded) == (1, 0)


async def test_a_changed_callback_password_is_registered_by_a_reload(tmp_path: Path) -> None:
    password = tmp_path / "thingspace-callback-password"
    password.write_text("callback-password-of-yesterday")
    environ = {**CALLBACK_CREDENTIALS, "CALLBACK_PASSWORD_FILE": str(password)}
    async with fleet_of(tmp_path, licenses=10) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        settings(fleet)
        inventory(fleet, SIMS[:1])
        scheduled(fleet)
        async with serving(fleet, environ) as service:
            await service.told("callback.received", outcome="done")
            password.write_text("callback-password-of-today")
            service.signal(signal.SIGHUP)
            await service.told("callbacks.renewed", account=ACCOUNT)
            inventory(fleet, SIMS[:2])
            await service.told("callback.received", 2, outcome="done")
    assert fleet.account.callbacks[CARRIER_SERVICE].password == "callback-password-of-today"


async def test_a_list_of_callbacks_in_an_error_shows_no_password(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=10, quirks={"error-503": "on@registrations"}) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        fleet.account.callbacks[CARRIER_SERVICE] = THEIRS
        settings(fleet)
        inventory(fleet, SIMS[:1])
        ended = await run(fleet, "apply", "--yes", "--wait", "5s")
    assert ended.code == 1
    assert "callback registrations: HTTP 503" in ended.err
    assert "temporarily" not in ended.err, "nothing of such an answer is quoted"


async def test_no_credential_of_callbacks_is_kept_or_told(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=10, quirks={"callback-forged": "on"}) as fleet:
        fleet.account.skus[SKU] = Sku(10)
        settings(fleet)
        inventory(fleet, SIMS[:2])
        ended = await run(fleet, "--log-level", "debug", "apply", "--yes", "--wait", "10s")
        kept = json.dumps(query(tmp_path / "licensesync.db", "SELECT * FROM outcomes"))
    assert ended.code == 0, ended.err
    assert ended.events("callback.rejected")[0]["reason"] == "credentials"
    secrets = [*CREDENTIALS.values(), *CALLBACK_CREDENTIALS.values()]
    for told in (ended.out, ended.err, kept):
        assert not any(secret in told for secret in secrets)
