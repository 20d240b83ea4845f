"""What a run leaves to the service or to the next run: pending, to be tried again by the service, or not known."""

from __future__ import annotations

from datetime import timedelta

import pytest
from desks import POOL, Desk, desk_at
from fleets import imeis

from licensesync.ledger import database, history
from licensesync.model import HeldReason, OutcomeKind, OutcomeReason, Plan

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
KEPT = imeis(0, 10)
A, B, C = imeis(500, 503)
LOCKED = imeis(10, 11)[0]
UNTOLD = {"lookup-call": "404", "forbidden": "on@status"}


def held(plan: Plan, device: str) -> tuple[HeldReason, object] | None:
    """Why a device is held, and until when."""
    return next(((each.reason, each.until) for each in plan.held if each.action.device == device), None)


def asked(plan: Plan) -> list[str]:
    return [action.device for action in plan.actions]


def open_requests(desk: Desk) -> int:
    with database.read(desk.ledger) as connection:
        assert connection is not None
        return history.open_requests(connection, POOL)[0]


# --- what the service rejects and tries again by itself


async def test_a_removal_that_the_service_tries_again_is_not_asked_for_before_its_time() -> None:
    async with desk_at(devices=11) as desk:
        desk.account.locked.add(LOCKED)
        time = desk.clock() + timedelta(days=1)
        first = await desk.run(KEPT)
        assert [(each.kind, each.retry_at) for each in first.pool.outcomes] == [(OutcomeKind.REJECTED, time)]

        for gap in (timedelta(0), HOUR, timedelta(hours=22), 59 * MINUTE):
            desk.clock.move(gap)
            run = await desk.run(KEPT)
            assert run.writes == []
            assert held(run.plan, LOCKED) == held(await desk.plan(KEPT), LOCKED) == (HeldReason.SERVER_WILL_RETRY, time)

        desk.account.locked.clear()
        desk.clock.move(MINUTE)
        assert asked(await desk.plan(KEPT)) == [LOCKED]
        last = await desk.run(KEPT)
        assert [each.kind for each in last.pool.outcomes] == [OutcomeKind.DONE]
        assert desk.holders == set(KEPT)
        assert [row.outcome for row in desk.rows()] == [OutcomeKind.REJECTED, OutcomeKind.DONE]


async def test_what_the_service_did_by_itself_is_not_waited_for_any_longer() -> None:
    async with desk_at(devices=11) as desk:
        desk.account.locked.add(LOCKED)
        first = await desk.run(KEPT)
        desk.account.take(LOCKED, desk.clock().timestamp())
        second = await desk.run(KEPT)
        assert (second.writes, second.pool.held) == ([], ())
        row = desk.row_of(first, LOCKED)
        assert (row.outcome, row.retry_at) == (OutcomeKind.REJECTED, None), "the service's no stays in the history"
        desk.account.give(LOCKED, desk.clock().timestamp())
        assert asked(await desk.plan(KEPT)) == [LOCKED]


async def test_a_device_that_shall_keep_its_license_after_all_is_not_held() -> None:
    async with desk_at(devices=11) as desk:
        desk.account.locked.add(LOCKED)
        await desk.run(KEPT)
        run = await desk.run([*KEPT, LOCKED])
        assert (run.writes, run.pool.held, run.plan.kept) == ([], (), 11)
        assert held(await desk.plan(KEPT), LOCKED) is not None, "the service still goes on with the removal"


# --- what the service has accepted


async def test_a_pending_assignment_keeps_its_license_and_is_settled_by_a_later_reading() -> None:
    quirks = {"upgrade-pending": "1x@assign", "pending-takes": "7200"}
    async with desk_at(devices=10, licenses=11, quirks=quirks) as desk:
        time = desk.clock() + 2 * HOUR
        first = await desk.run([*KEPT, A, B])
        pending = first.outcome_of(A)
        assert pending is not None
        assert (pending.kind, pending.retry_at) == (OutcomeKind.PENDING, time)
        assert open_requests(desk) == 1

        desk.clock.move(HOUR)
        for plan in (await desk.plan([*KEPT, A, B]), (await desk.run([*KEPT, A, B])).plan):
            assert (plan.capacity.free, plan.actions) == (1, ()), "another device got the license of the pending one"
            assert held(plan, A) == (HeldReason.SERVER_WILL_RETRY, time)
            assert held(plan, B) == (HeldReason.NO_CAPACITY, None)

        desk.clock.move(HOUR - MINUTE)
        assert (await desk.run([*KEPT, A, B])).writes == []
        desk.clock.move(MINUTE)
        last = await desk.run([*KEPT, A, B])
        assert (last.writes, desk.holders) == ([], {*KEPT, A})
        row = desk.row_of(first, A)
        assert (row.outcome, row.reason, row.retry_at) == (OutcomeKind.DONE, OutcomeReason.UPGRADE_PENDING, None)
        assert open_requests(desk) == 0


async def test_a_pending_assignment_that_nobody_wants_any_more_keeps_its_license_until_its_time() -> None:
    quirks = {"upgrade-pending": "1x@assign", "pending-takes": "7200"}
    async with desk_at(devices=10, licenses=11, quirks=quirks) as desk:
        await desk.run([*KEPT, A])
        plan = (await desk.run([*KEPT, B])).plan
        assert (held(plan, A), held(plan, B)) == (None, (HeldReason.NO_CAPACITY, None))
        desk.clock.move(2 * HOUR)
        await desk.run([*KEPT, B])
        assert desk.holders == {*KEPT, B}, "what came of it was taken back, and its license given to the other"


async def test_a_pending_assignment_that_never_comes_is_asked_for_again_after_its_time() -> None:
    quirks = {"upgrade-pending": "1x@assign", "pending-takes": "never"}
    async with desk_at(devices=10, licenses=11, quirks=quirks) as desk:
        first = await desk.run([*KEPT, A, B])
        desk.clock.move(timedelta(hours=24) - MINUTE)
        assert (await desk.run([*KEPT, A, B])).writes == []
        desk.clock.move(MINUTE)
        again = await desk.run([*KEPT, A, B])
        row = desk.row_of(first, A)
        assert (row.outcome, row.reason) == (OutcomeKind.FAILED, OutcomeReason.NO_EFFECT)
        assert (asked(again.plan), desk.holders) == ([A], {*KEPT, A})


async def test_a_pending_removal_frees_no_license_before_it_is_done() -> None:
    quirks = {"upgrade-pending": "1x@remove", "pending-takes": "7200"}
    async with desk_at(devices=11, licenses=11, quirks=quirks) as desk:
        first = await desk.run([*KEPT, A])
        assert [each.kind for each in first.pool.outcomes] == [OutcomeKind.PENDING]
        desk.clock.move(HOUR)
        second = await desk.run([*KEPT, A])
        assert second.writes == []
        assert held(second.plan, LOCKED) == (HeldReason.SERVER_WILL_RETRY, first.report.finished_at + 2 * HOUR)
        assert held(second.plan, A) == (HeldReason.NO_CAPACITY, None)
        desk.clock.move(HOUR)
        last = await desk.run([*KEPT, A])
        assert ([(seen.call, seen.devices) for seen in last.writes], desk.holders) == ([("assign", (A,))], {*KEPT, A})
        assert desk.row_of(first, LOCKED).outcome is OutcomeKind.DONE


async def test_pending_licenses_are_kept_where_removals_free_some_in_the_same_run() -> None:
    quirks = {"upgrade-pending": "2x@assign", "pending-takes": "7200"}
    async with desk_at(devices=12, licenses=14, quirks=quirks) as desk:
        wanted = [*KEPT, *imeis(500, 510)]
        first = await desk.run(wanted)
        assert len(desk.holders) == 12
        assert sum(each.kind is OutcomeKind.PENDING for each in first.pool.outcomes) == 2
        assert (await desk.run(wanted)).writes == []
        desk.clock.move(2 * HOUR)
        await desk.run(wanted)
        assert desk.holders == {*KEPT, *imeis(500, 504)}


@pytest.mark.parametrize("tells", ["lookup", "reading"])
async def test_an_upgrade_that_is_over_by_the_time_of_the_look_up_is_done(tells: str) -> None:
    quirks = {"upgrade-pending": "on@writes", "pending-takes": "0"} | (
        {"lookup-call": "fieldless"} if tells == "reading" else {}
    )
    async with desk_at(devices=11, quirks=quirks) as desk:
        run = await desk.run([*KEPT, A])
        assert {each.kind for each in run.pool.outcomes} == {OutcomeKind.DONE}
        assert desk.holders == {*KEPT, A}
        assert run.count("assign", "remove") == 2


# --- what an earlier run could not know


@pytest.mark.parametrize(
    ("quirk", "kind"), [("lost-before-effect", OutcomeKind.FAILED), ("lost-after-effect", OutcomeKind.DONE)]
)
async def test_what_a_run_could_not_know_the_next_one_settles(quirk: str, kind: OutcomeKind) -> None:
    async with desk_at(devices=11) as desk:
        amiss = {**UNTOLD, quirk: "on@writes"}
        first = await desk.run([*KEPT, A], once_planned=lambda: desk.switch(amiss))
        assert {each.kind for each in first.pool.outcomes} == {OutcomeKind.UNKNOWN}
        assert (open_requests(desk), first.count("assign", "remove")) == (2, 2)
        sent_at = {row.device: row.at for row in desk.rows(first)}

        desk.be_kind(*amiss)
        desk.clock.move(HOUR)
        await desk.plan([*KEPT, A])
        assert open_requests(desk) == 2, "a plan writes nothing"
        second = await desk.run([*KEPT, A])
        assert {(row.outcome, row.retry_at, row.in_flight) for row in desk.rows(first)} == {(kind, None, False)}
        assert {row.device: row.at for row in desk.rows(first)} == sent_at
        assert open_requests(desk) == 0
        assert desk.holders == {*KEPT, A}
        assert len(second.writes) == (2 if kind is OutcomeKind.FAILED else 0)


async def test_runs_that_cannot_read_leave_it_open_until_one_can() -> None:
    async with desk_at(devices=11) as desk:
        amiss = {**UNTOLD, "lost-after-effect": "on@writes"}
        first = await desk.run([*KEPT, A], once_planned=lambda: desk.switch(amiss))
        for _ in range(2):
            with pytest.raises(AssertionError, match="403"):
                await desk.run([*KEPT, A])
        assert open_requests(desk) == 2
        desk.be_kind(*amiss)
        run = await desk.run([*KEPT, A])
        assert (run.writes, {row.outcome for row in desk.rows(first)}) == ([], {OutcomeKind.DONE})
