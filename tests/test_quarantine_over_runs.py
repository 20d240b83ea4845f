"""Quarantine over runs against the simulator: how a device comes in, how it comes out, and what does not count."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from desks import Desk, Done, desk_at
from fleets import Fleet, fleet_of, imeis

from licensesync.model import HeldReason, OutcomeKind, Plan

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
KEPT = imeis(0, 10)
BAD, GOOD = imeis(500, 502)
WANTED = [*KEPT, BAD]
GAPS = [HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 7 * DAY]
NO_SUCH_DEVICE = {"unknown-devices": BAD}


async def fails(desk: Desk, times: int, gap: timedelta = MINUTE) -> None:
    """So many runs, in each of which the service rejects the bad device."""
    for _ in range(times):
        run = await desk.run(WANTED)
        assert kind_of(run) is OutcomeKind.REJECTED
        desk.clock.move(gap)


def kind_of(run: Done) -> OutcomeKind | None:
    outcome = run.outcome_of(BAD)
    return outcome.kind if outcome else None


def held(plan: Plan) -> list[tuple[str, HeldReason, object]]:
    return [(each.action.device, each.reason, each.until) for each in plan.held]


async def is_asked_for(desk: Desk) -> bool:
    plan = await desk.plan(WANTED)
    assert len(plan.actions) + len(plan.held) == 1
    return bool(plan.actions)


async def test_a_device_that_fails_again_and_again_is_set_aside_for_longer_and_longer() -> None:
    async with desk_at(devices=10, quirks=NO_SUCH_DEVICE) as desk:
        await fails(desk, 2)
        for gap in GAPS:
            failed_at = desk.clock()
            await fails(desk, 1, gap - MINUTE)
            expected = [(BAD, HeldReason.QUARANTINED, failed_at + gap)]
            run = await desk.run(WANTED)
            assert held(await desk.plan(WANTED)) == held(run.plan) == expected
            assert run.writes == []
            desk.clock.move(MINUTE)
        assert await is_asked_for(desk), "time alone ends a quarantine"


async def test_a_device_in_quarantine_stops_no_other() -> None:
    async with desk_at(devices=11, quirks=NO_SUCH_DEVICE) as desk:
        await fails(desk, 3)
        run = await desk.run([*WANTED, GOOD])
        assert desk.holders == {*KEPT, GOOD}
        assert [seen.devices for seen in run.writes] == [(GOOD,)]


async def test_success_resets() -> None:
    async with desk_at(devices=10, quirks=NO_SUCH_DEVICE) as desk:
        await fails(desk, 3)
        desk.clock.move(HOUR)
        desk.be_kind(*NO_SUCH_DEVICE)
        assert kind_of(await desk.run(WANTED)) is OutcomeKind.DONE
        desk.account.take(BAD, desk.clock().timestamp())
        desk.switch(NO_SUCH_DEVICE)
        await fails(desk, 2)
        assert await is_asked_for(desk)
        await fails(desk, 1)
        assert not await is_asked_for(desk)


async def test_a_success_that_only_the_next_run_can_prove_resets_too() -> None:
    amiss = {"write-rows-lost": "on@writes", "lookup-call": "fieldless", "forbidden": "on@status"}
    async with desk_at(devices=10, quirks=NO_SUCH_DEVICE) as desk:
        await fails(desk, 2)
        desk.be_kind(*NO_SUCH_DEVICE)
        run = await desk.run(WANTED, once_planned=lambda: desk.switch(amiss))
        assert kind_of(run) is OutcomeKind.UNKNOWN
        desk.be_kind(*amiss)
        assert (await desk.run(WANTED)).writes == []
        desk.account.take(BAD, desk.clock().timestamp())
        desk.switch(NO_SUCH_DEVICE)
        await fails(desk, 2)
        assert await is_asked_for(desk)


async def test_a_license_that_came_by_itself_ends_it_and_one_that_goes_again_is_asked_for_again() -> None:
    async with desk_at(devices=10, quirks=NO_SUCH_DEVICE) as desk:
        await fails(desk, 3)
        desk.account.give(BAD, desk.clock().timestamp())
        run = await desk.run(WANTED)
        assert (run.writes, run.pool.held, run.plan.kept) == ([], (), 11)


async def test_a_changed_entry_releases_and_begins_anew() -> None:
    async with desk_at(devices=10, quirks=NO_SUCH_DEVICE) as desk:
        await fails(desk, 3)
        desk.notes[BAD] = "the SIM was changed"
        assert await is_asked_for(desk)
        del desk.notes[BAD]
        assert not await is_asked_for(desk), "the entry that failed is back"
        desk.notes[BAD] = "the SIM was changed"
        await fails(desk, 2)
        assert await is_asked_for(desk)
        await fails(desk, 1)
        assert not await is_asked_for(desk)


async def test_a_release_ends_it_at_once_and_forgets_the_failures() -> None:
    async with desk_at(devices=10, quirks=NO_SUCH_DEVICE) as desk:
        await fails(desk, 3)
        assert desk.release(GOOD) == []
        assert desk.release(BAD) == [BAD]
        await fails(desk, 2)
        assert await is_asked_for(desk)


TRANSIENT: tuple[Mapping[str, str], ...] = (
    {"error-503": "on@writes"},
    {"error-500": "on@writes"},
    {"lost-before-effect": "on@writes"},
    {"lost-before-effect": "on@writes", "lookup-call": "fieldless", "account-trouble": "broken"},
    {"account-trouble": "inactive"},
    {"forbidden": "on@writes"},
    {"session-dies": "on@writes"},
    {"over-allocation": "whole", "others-before-write": "+1000"},
    {"over-allocation": "rows", "others-before-write": "+1000"},
)


@pytest.mark.parametrize("quirks", TRANSIENT, ids="-".join)
async def test_what_is_not_about_the_device_never_counts_and_never_resets(quirks: Mapping[str, str]) -> None:
    async with desk_at(devices=10, licenses=20, quirks=NO_SUCH_DEVICE) as desk:
        await fails(desk, 2)
        desk.be_kind(*NO_SUCH_DEVICE)
        for _ in range(3):
            run = await desk.run(WANTED, once_planned=lambda: desk.switch(dict(quirks)))
            assert kind_of(run) not in {None, OutcomeKind.DONE}
            desk.be_kind(*quirks)
            for stranger in desk.holders - set(WANTED):
                desk.account.take(stranger, 0.0)
            assert await is_asked_for(desk), "set aside for what was not about the device"
        desk.switch(NO_SUCH_DEVICE)
        await fails(desk, 1)
        assert not await is_asked_for(desk), "the failures before were forgotten"


async def test_a_removal_is_set_aside_too_and_then_still_left_to_the_service() -> None:
    locked = imeis(10, 11)[0]
    async with desk_at(devices=11) as desk:
        desk.account.locked.add(locked)
        for _ in range(3):
            failed_at = desk.clock()
            run = await desk.run(KEPT)
            assert [each.kind for each in run.pool.outcomes] == [OutcomeKind.REJECTED]
            desk.clock.move(DAY)
        assert held(await desk.plan(KEPT)) == []
        failed_at = desk.clock()
        await desk.run(KEPT)
        assert held(await desk.plan(KEPT)) == [(locked, HeldReason.QUARANTINED, failed_at + 6 * HOUR)]
        desk.clock.move(6 * HOUR)
        assert held(await desk.plan(KEPT)) == [(locked, HeldReason.SERVER_WILL_RETRY, failed_at + DAY)]


async def test_what_is_said_of_a_removal_does_not_bear_on_an_assignment() -> None:
    locked = imeis(10, 11)[0]
    async with desk_at(devices=11) as desk:
        desk.account.locked.add(locked)
        for _ in range(3):
            await desk.run(KEPT)
            desk.clock.move(DAY)
        await desk.run(KEPT)
        assert held(await desk.plan(KEPT)) != []
        desk.account.locked.clear()
        desk.account.take(locked, desk.clock().timestamp())
        plan = await desk.plan([*KEPT, locked])
        assert ([action.device for action in plan.actions], plan.held) == ([locked], ())


# --- as people see it


async def planned(fleet: Fleet) -> tuple[list[str], list[tuple[str, str, str | None]]]:
    """What `plan` shows of one pool: the devices of its actions, and what is held."""
    ended = await fleet.run("plan", "--format", "json")
    (pool,) = ended.document["pools"]
    return [each["device"] for each in pool["actions"]], [
        (each["device"], each["reason"], each["until"]) for each in pool["held"]
    ]


async def test_plan_shows_who_is_in_quarantine_until_when_and_a_changed_entry_is_out_of_it(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=10, quirks=NO_SUCH_DEVICE) as fleet:
        fleet.inventory(WANTED)
        for _ in range(3):
            assert (await fleet.run("apply", "--yes")).code == 5
        actions, ((device, reason, until),) = await planned(fleet)
        assert (actions, device, reason) == ([], BAD, "quarantined")
        assert timedelta(0) < datetime.fromisoformat(until or "") - datetime.now(UTC) <= HOUR

        inventory = fleet.folder / "inventory.yaml"
        written = inventory.read_text()
        for before, after in ((f'"{BAD}"', f'{{imei: "{BAD}", note: new SIM}}'), ("name: meters", "name: pumps")):
            inventory.write_text(written.replace(before, after))
            assert await planned(fleet) == ([BAD], [])
