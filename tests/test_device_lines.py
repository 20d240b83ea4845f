"""A line for each device or for each batch: what runs of both kinds log, and that the ledger holds each device."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleets import Fleet, fleet_of, imeis
from ledgers import query
from services import scheduled, serving

BATCHES = "logs: {devices: batches}"
NEW, UNKNOWN = imeis(100, 125), imeis(107, 109)
LEFT = imeis(0, 2)


def settings(fleet: Fleet, *lines: str) -> None:
    """Settings of a service and of one pool whose batches have ten devices; the lines are added."""
    fleet.settings(thingspace="  batch_size: 10\n  concurrency: 1\n")
    scheduled(fleet, *lines)


def recorded(fleet: Fleet) -> list[tuple[str, str, str]]:
    rows = query(fleet.folder / "licensesync.db", "SELECT device, verb, outcome FROM outcomes")
    return sorted((device, verb, outcome) for device, verb, outcome in rows)


@pytest.mark.parametrize("lines", [[], ["logs: {devices: each}"], [BATCHES]])
async def test_a_run_logs_devices_as_the_settings_ask_and_records_each_of_them(
    tmp_path: Path, lines: list[str]
) -> None:
    async with fleet_of(tmp_path, devices=30, licenses=90, quirks={"unknown-devices": UNKNOWN}) as fleet:
        settings(fleet, *lines)
        fleet.inventory([*imeis(2, 30), *NEW])
        ended = await fleet.run("apply", "--yes", "--format", "json")
        rows = recorded(fleet)
    assert ended.code == 5, ended.err
    fate = {device: ("assign", "rejected" if device in UNKNOWN else "done") for device in NEW}
    fate |= dict.fromkeys(LEFT, ("remove", "done"))
    assert rows == sorted((device, *became) for device, became in fate.items())
    by_batches = lines == [BATCHES]
    told = {each["device"]: (each["verb"], each["outcome"]) for each in ended.events("device.settled")}
    assert told == ({device: fate[device] for device in UNKNOWN} if by_batches else fate)
    assert len(ended.events("device.settled")) == len(told)
    batches = [
        (each["level"], each["run"], each["verb"], each["devices"], each["outcomes"], each["first"], each["last"])
        for each in ended.events("batch.settled")
    ]
    run = ended.document["run"]
    expected = [
        ("info", run, "remove", 2, {"done": 2}, LEFT[0], LEFT[1]),
        ("info", run, "assign", 10, {"done": 8, "rejected": 2}, NEW[0], NEW[9]),
        ("info", run, "assign", 10, {"done": 10}, NEW[10], NEW[19]),
        ("info", run, "assign", 5, {"done": 5}, NEW[20], NEW[24]),
    ]
    assert batches == (expected if by_batches else [])


async def test_a_service_logs_by_batches_as_soon_as_its_settings_say_so(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=90, quirks={"unknown-devices": UNKNOWN}) as fleet:
        settings(fleet)
        fleet.inventory(imeis(0, 20))
        async with serving(fleet) as service:
            await service.told("run.finished")
            settings(fleet, BATCHES)
            second = await service.told("run.finished", 2)
            fleet.inventory([*imeis(0, 20), *NEW])
            third = await service.told("run.finished", 3)
        rows = recorded(fleet)
    assert second["verdict"] == "in-step"
    assert third["verdict"] == "incomplete"
    assert [each["device"] for each in service.of("device.settled")] == [*imeis(0, 20), *UNKNOWN]
    assert {each["run"] for each in service.of("batch.settled")} == {third["run"]}
    assert sum(each["devices"] for each in service.of("batch.settled")) == len(NEW)
    assert service.of("settings.need-restart") == []
    assert [device for device, _, _ in rows] == [*imeis(0, 20), *NEW]
