"""`apply` as a process against the simulator: what is looked at is the simulator's world."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path

import pytest
from fleets import CREDENTIALS, Ended, Fleet, clean_environ, fleet_of, imeis
from jsonschema import Draft202012Validator

from licensesync.render.schemas import report_schema


async def test_a_run_brings_the_account_to_what_the_inventory_says(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=4, licenses=10) as fleet:
        fleet.inventory([*imeis(2, 4), *imeis(100, 103)])

        ended = await fleet.run("apply", "--yes", "--format", "json", "--out", "report.json")

        assert ended.code == 0, ended.err
        report = ended.document
        Draft202012Validator(report_schema()).validate(report)
        assert report["verdict"] == "done"
        assert report["pools"][0]["counts"]["done"] == 5
        assert fleet.holders == {*imeis(2, 4), *imeis(100, 103)}
        assert (tmp_path / "report.json").read_text().strip() == ended.out.strip()
        settled = ended.events("device.settled")
        assert {event["device"] for event in settled} == {*imeis(0, 2), *imeis(100, 103)}
        assert all(event["run"] == report["run"] and event["level"] == "info" for event in settled)
        assert ended.events("run.finished")[0]["exit"] == 0
        again = await fleet.run("apply", "--yes", "--format", "json")
        assert again.document["verdict"] == "in-step"


async def test_without_a_terminal_a_run_wants_yes(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        ended = await fleet.run("apply", answer=b"y\n")
        assert ended.code == 64
        assert "--yes" in ended.err
        assert fleet.writes() == 0


@pytest.mark.parametrize(("answer", "code", "holders"), [(b"y\n", 0, 1), (b"n\n", 3, 0), (b"\x03", 3, 0)])
async def test_on_a_terminal_a_person_is_asked(tmp_path: Path, answer: bytes, code: int, holders: int) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        ended = await _on_terminal(fleet, answer, "apply")
        assert ended.code == code, ended.out
        assert "Carry out this plan?" in ended.out
        assert len(fleet.holders) == holders


async def test_the_devices_of_a_refused_removal_stay_and_assignments_go_on(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30, licenses=100) as fleet:
        fleet.inventory([*imeis(20, 30), *imeis(50, 53)])
        refused = await fleet.run("apply", "--yes", "--format", "json")
        after_refusal = fleet.holders
        refusal = refused.document["pools"][0]["refusal"]
        wrong = await fleet.run("apply", "--yes", "--allow-removals", "0123456789abcdef")
        after_wrong_hash = fleet.holders
        allowed = await fleet.run("apply", "--yes", "--allow-removals", refusal["hash"])
        after_leave = fleet.holders
    assert (refused.code, refused.document["verdict"]) == (3, "refused")
    assert after_refusal == after_wrong_hash == {*imeis(0, 30), *imeis(50, 53)}
    assert wrong.code == 3
    assert "0123456789abcdef" in wrong.err
    assert allowed.code == 0
    assert after_leave == {*imeis(20, 30), *imeis(50, 53)}


async def test_an_approval_in_the_inventory_lifts_exactly_its_refusal(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30, licenses=100) as fleet:
        fleet.inventory(imeis(20, 30))
        refused = await fleet.run("plan", "--format", "json")
        hash_ = refused.document["pools"][0]["refusal"]["hash"]
        approval = f'approvals:\n  - {{refusal: "{hash_}", reason: closing down, until: 2099-01-01}}\n'
        fleet.inventory(imeis(21, 30), approval)
        other_set = await fleet.run("apply", "--yes")
        untouched = fleet.holders
        fleet.inventory(imeis(20, 30), approval)
        approved = await fleet.run("apply", "--yes")
        holders = fleet.holders
    assert other_set.code == 3
    assert len(untouched) == 30
    assert approved.code == 0
    assert holders == set(imeis(20, 30))


async def test_an_emptied_inventory_removes_nothing(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.inventory([])
        ended = await fleet.run("apply", "--yes", "--format", "json")
        assert ended.code == 3
        assert ended.document["pools"][0]["refusal"]["rule"] == "empty"
        assert len(fleet.holders) == 3


async def test_no_removals_is_a_stop_switch(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.inventory([*imeis(1, 3), *imeis(9, 10)])
        ended = await fleet.run("apply", "--yes", "--no-removals", "--format", "json")
        assert ended.code == 0
        assert [row["reason"] for row in ended.document["pools"][0]["held"]] == ["no-removals"]
        assert fleet.holders == {*imeis(0, 3), *imeis(9, 10)}


async def test_a_plan_that_is_not_the_one_that_was_reviewed_is_not_carried_out(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 2))
        reviewed = (await fleet.run("plan", "--format", "json")).document["hash"]
        fleet.inventory(imeis(0, 3))
        stale = await fleet.run("apply", "--yes", "--plan-hash", reviewed, "--format", "json")
        writes_of_stale = fleet.writes()
        fleet.inventory(imeis(0, 2))
        fresh = await fleet.run("apply", "--yes", "--plan-hash", reviewed.removeprefix("sha256:")[:8])
        short = await fleet.run("apply", "--yes", "--plan-hash", "1234567")
        holders = fleet.holders
    assert (stale.code, stale.document["verdict"], writes_of_stale) == (3, "refused", 0)
    assert fresh.code == 0
    assert short.code == 64
    assert holders == set(imeis(0, 2))


async def test_the_last_licenses_go_by_priority_then_by_order_and_what_removals_free_is_used(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3, licenses=5) as fleet:
        low, high = imeis(110, 113), imeis(100, 103)
        (tmp_path / "inventory.yaml").write_text(
            "groups:\n"
            f"  - {{name: low, licenses: [fota], devices: {_flow(low)}}}\n"
            f"  - {{name: high, licenses: [fota], priority: 5, devices: {_flow(high)}}}\n"
            f"  - {{name: old, licenses: [fota], devices: {_flow(imeis(2, 3))}}}\n"
        )
        ended = await fleet.run("apply", "--yes", "--format", "json")
        (pool,) = ended.document["pools"]
        assert ended.code == 0
        assert fleet.holders == {*imeis(2, 3), *high, low[0]}
        assert [(row["device"], row["reason"]) for row in pool["held"]] == [
            (low[1], "no-capacity"),
            (low[2], "no-capacity"),
        ]


async def test_a_rejected_device_does_not_stop_the_others_and_is_exit_5(tmp_path: Path) -> None:
    unknown = imeis(7, 8)
    async with fleet_of(tmp_path, quirks={"unknown-devices": unknown}) as fleet:
        fleet.inventory(imeis(0, 20))
        ended = await fleet.run("apply", "--yes", "--format", "json")
        (pool,) = ended.document["pools"]
        rejected = [row for row in pool["outcomes"] if row["outcome"] == "rejected"]
        assert (ended.code, ended.document["verdict"]) == (5, "incomplete")
        assert [(row["device"], row["reason"], row["service"]) for row in rejected] == [
            (unknown[0], "device-not-found", "Device Not Found.")
        ]
        assert fleet.holders == {*imeis(0, 20)} - {*unknown}
        (event,) = [event for event in ended.events("device.settled") if event["outcome"] == "rejected"]
        assert event["level"] == "warning"


async def test_where_many_devices_are_rejected_the_report_names_the_command_that_shows_all(tmp_path: Path) -> None:
    unknown = imeis(0, 33)
    async with fleet_of(tmp_path, quirks={"unknown-devices": unknown}) as fleet:
        fleet.inventory(imeis(0, 40))
        ended = await fleet.run("apply", "--yes")
        told = " ".join(ended.out.split())
        assert ended.code == 5, ended.err
        assert "33 rejected meters: 33 + " in told
        assert ended.out.count("device-not-found: Device Not Found.") == 20
        command = re.search(r"… and 13 more; licensesync (history --run .*? --format csv) shows all", told)
        assert command
        all_of_them = await fleet.run(*command[1].split())
    assert all_of_them.code == 0, all_of_them.err
    rows = list(csv.DictReader(all_of_them.out.splitlines()))
    assert [(row["device"], row["outcome"]) for row in rows] == [(device, "rejected") for device in unknown]


async def test_a_protected_device_keeps_its_license(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.inventory(imeis(1, 3), f'protect:\n  - {{imei: "{imeis(0, 1)[0]}", reason: under investigation}}\n')
        ended = await fleet.run("apply", "--yes", "--format", "json")
        assert ended.code == 0
        assert [row["reason"] for row in ended.document["pools"][0]["held"]] == ["protected"]
        assert len(fleet.holders) == 3


async def test_nothing_is_written_after_a_reading_that_was_not_whole(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3, quirks={"assigned-off-by": "+1"}) as fleet:
        fleet.inventory(imeis(50, 60))
        ended = await fleet.run("apply", "--yes", "--format", "json")
        assert (ended.code, ended.document["verdict"]) == (4, "unread")
        assert fleet.writes() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_in_mid_run_finishes_the_batches_in_hand_and_holds_the_rest(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with fleet_of(tmp_path, licenses=500, latency=0.15) as fleet:
        fleet.settings(thingspace="  batch_size: 2\n  concurrency: 2\n")
        fleet.inventory(imeis(0, 200))
        process = await fleet.start("apply", "--yes", "--format", "json")
        while not fleet.holders:
            await asyncio.sleep(0.01)
        process.send_signal(number)
        out, err = await process.communicate()
        ended = Ended(process.returncode or 0, out.decode(), err.decode())
        (pool,) = ended.document["pools"]
        done = {row["device"] for row in pool["outcomes"] if row["outcome"] == "done"}
        held = {row["device"] for row in pool["held"] if row["reason"] == "stopping"}
        assert (ended.code, ended.document["verdict"]) == (0, "stopped")
        assert done == fleet.holders
        assert done | held == {*imeis(0, 200)}
        assert 0 < len(done) < 200


@pytest.mark.parametrize("arguments", [["plan"], ["apply", "--yes"]])
async def test_ctrl_c_before_anything_is_written_ends_at_once(tmp_path: Path, arguments: list[str]) -> None:
    async with fleet_of(tmp_path, latency=20) as fleet:
        fleet.inventory(imeis(0, 10))
        process = await fleet.start(*arguments)
        while not list(fleet.simulator.requests):
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert b"interrupted" in err
        assert b"Traceback" not in err
        assert fleet.writes() == 0


async def test_a_second_signal_ends_the_run_at_once(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=500, quirks={"delayed": "on@assign", "delay": 20}) as fleet:
        fleet.inventory(imeis(0, 10))
        process = await fleet.start("apply", "--yes")
        assert process.stderr is not None
        while not fleet.holders:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        while b"once more" not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"the next run finds out" in err
    assert b"Traceback" not in err


async def test_an_answer_that_is_lost_after_the_write_took_effect_is_looked_up(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=500, quirks={"lost-after-effect": "1x@assign"}) as fleet:
        fleet.inventory(imeis(0, 10))
        ended = await fleet.run("apply", "--yes", "--format", "json")
        assert ended.code == 0, ended.out
        assert ended.document["pools"][0]["counts"]["done"] == 10
        assert fleet.holders == {*imeis(0, 10)}
        assert fleet.writes() == 1


@pytest.mark.parametrize(
    "broken", ["2>/dev/full", "2>&-", ">/dev/full", ">&-", "| true", "2>&1 | head -n 1 >/dev/null"]
)
async def test_a_run_ends_and_saves_its_report_whatever_becomes_of_its_streams(tmp_path: Path, broken: str) -> None:
    async with fleet_of(tmp_path, licenses=500) as fleet:
        fleet.settings(thingspace="  batch_size: 5\n")
        fleet.inventory(imeis(0, 100))
        line = f"{sys.executable} -m licensesync apply --yes --out report.json {broken}"
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", line, cwd=tmp_path, env={**clean_environ(), **CREDENTIALS}, stderr=asyncio.subprocess.PIPE
        )
        _, err = await process.communicate()
        report = json.loads((tmp_path / "report.json").read_text())
        assert fleet.holders == {*imeis(0, 100)}
        assert report["pools"][0]["counts"]["done"] == 100
        assert process.returncode == (1 if broken == ">/dev/full" else 0)
        assert b"Traceback" not in err


async def test_no_secret_is_in_any_output(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"error-500": "2x", "service-shape": "html"}) as fleet:
        fleet.inventory(imeis(0, 3))
        ended = await fleet.run("--log-level", "debug", "apply", "--yes", "--format", "json")
    assert not any(secret in ended.out + ended.err for secret in CREDENTIALS.values())


async def _on_terminal(fleet: Fleet, answer: bytes, *arguments: str) -> Ended:
    """Run on a pseudo-terminal, and answer the first question."""
    main, side = pty.openpty()
    process = await fleet.start_on(side, *arguments)
    said = bytearray()
    answering: asyncio.Task[None] | None = None
    while True:
        try:
            said += await asyncio.to_thread(os.read, main, 65536)
        except OSError:
            break
        if not answering and b"?" in said and b"[y/N]" in said:
            answering = asyncio.create_task(_type(main, answer))
    code = await process.wait()
    if answering:
        answering.cancel()
    os.close(main)
    return Ended(code, said.decode("utf-8", "replace"), "")


async def _type(terminal: int, answer: bytes) -> None:
    """As a person does who sees that Ctrl-C came a moment before Python began to wait for it, and so was not heard."""
    while True:
        os.write(terminal, answer)
        await asyncio.sleep(5)


def _flow(devices: list[str]) -> str:
    return "[" + ", ".join(f'"{device}"' for device in devices) + "]"
