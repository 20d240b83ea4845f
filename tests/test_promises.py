"""SIM-Secure requests end by callbacks: every misfortune of a callback, over real HTTP with a real ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from promise_desks import SKU, PromiseDesk, promise_desk, sim_of, sims
from sqlalchemy import event

from licensesync.callbacks.desk import Reception
from licensesync.callbacks.listener import Rejected
from licensesync.ledger import database, holders, promises
from licensesync.model import HeldReason, Limits, Mode, OutcomeKind, Plan, Reading, Unread, Verb

A, B, C = sims(0, 3)
DONE = [("assign", "done", None)]


async def in_step(desk: PromiseDesk, wanted: list[str]) -> None:
    """The ledger, the world and what is wanted agree, and nothing is left to do."""
    planned = await desk.plan(wanted)
    assert isinstance(planned, Plan), planned
    assert (planned.actions, planned.held, planned.kept) == ((), (), len(wanted))
    assert desk.known.holders == desk.holders == set(wanted)
    assert not desk.known.doubtful


async def test_a_request_is_pending_until_each_device_has_its_callback_and_done_then() -> None:
    async with promise_desk() as desk:
        done = await desk.run([A, B])
        assert {each.kind for each in done.pool.outcomes} == {OutcomeKind.PENDING}
        assert len({each.request for each in done.pool.outcomes}) == 1
        await desk.is_settled()
        assert desk.ends(A) == desk.ends(B) == DONE
        await in_step(desk, [A, B])


async def test_a_license_is_taken_back_by_an_unassignment_and_its_callback() -> None:
    async with promise_desk() as desk:
        await desk.run([A, B])
        await desk.is_settled()
        done = await desk.run([A])
        assert [each.action.verb for each in done.pool.outcomes] == [Verb.REMOVE]
        assert B in desk.known.holders
        await desk.is_settled()
        await in_step(desk, [A])
        assert desk.ends(B) == [*DONE, ("remove", "done", None)]


SURVIVED = {
    "in any order": {"callback_order": "shuffled"},
    "each of them twice": {"callback_doubled": "on"},
    "before the answer to the request": {"callback_early": "on"},
    "late": {"callback_late": "on", "callback_lateness": "0.3"},
    "with ids in any spelling": {"callback_letter_case": "mixed"},
    "with the ICCID alone": {"callback_ids": "iccid-only"},
    "with the IMEI alone": {"callback_ids": "imei-only"},
    "with pending licenses counted as assigned": {"pending_counts": "assigned", "sim_takes": "0.2"},
    "with pending licenses counted as free": {"pending_counts": "free", "sim_takes": "0.2"},
    "beside forged ones": {"callback_forged": "on"},
    "beside foreign ones": {"callback_foreign": "on"},
    "beside some about another SKU": {"callback_other_sku": "on"},
    "for batches that are done as a whole": {"sim_batches": "whole"},
    "with another word for an unassignment": {"unassign_action": "Remove"},
    "without the word for an unassignment": {"unassign_action": "absent"},
}


@pytest.mark.parametrize("quirks", SURVIVED.values(), ids=SURVIVED)
async def test_callbacks_settle_their_promises_once(quirks: dict[str, str]) -> None:
    wanted = sims(0, 12)
    async with promise_desk(quirks=quirks) as desk:
        await desk.run(wanted, batch_size=5)
        await desk.is_settled()
        await in_step(desk, [*wanted])
        await desk.run(wanted[6:], batch_size=5)
        await desk.is_settled()
        await in_step(desk, [*wanted[6:]])
        assert all(desk.ends(device) == DONE for device in wanted[6:])
        assert desk.heard.receptions.count(Reception.SETTLED) == 18
        assert len(desk.sku.history) == 18


async def test_the_same_callback_again_changes_nothing_and_one_that_says_the_opposite_raises_a_doubt() -> None:
    async with promise_desk(quirks={"callback_contradicts": "on"}) as desk:
        await desk.run([A])
        await desk.becomes(lambda: Reception.CONTRADICTED in desk.heard.receptions)
        assert desk.ends(A) == [("assign", "unknown", "contradicted")]
        desk.switch(callback_contradicts="off")
        again = await desk.run([A])
        assert [each.action.device for each in again.pool.outcomes] == [A]
        await desk.is_settled()
        assert desk.ends(A) == [("assign", "done", "contradicted"), ("assign", "done", "already")]
        await in_step(desk, [A])


async def test_a_callback_before_the_answer_to_its_request_is_kept_until_the_request_is_known() -> None:
    async with promise_desk(quirks={"callback_early": "on", "delayed": "on@sim-assign", "delay": "0.3"}) as desk:
        running = asyncio.create_task(desk.run([A]))
        await desk.becomes(lambda: Reception.KEPT in desk.heard.receptions)
        assert desk.ends(A) == [("assign", "unknown", "no-answer")]
        await running
        await desk.is_settled()
        assert desk.ends(A) == DONE
        await in_step(desk, [A])


async def test_callbacks_while_nobody_listens_come_again_after_a_restart() -> None:
    async with promise_desk(quirks={"callback_retry_after": "0.2", "callback_after": "0.1"}) as desk:
        await desk.run([A, B])
        await desk.stop_listening()
        await desk.becomes(lambda: len(desk.simulator.callbacks) >= 2)
        assert not desk.heard.receptions
        await desk.listen()
        await desk.is_settled()
        assert {sending.count for sending in desk.simulator.callbacks} > {1}
        await in_step(desk, [A, B])


async def test_a_callback_that_the_ledger_cannot_take_is_answered_503_and_settles_when_it_comes_again() -> None:
    async with promise_desk(quirks={"callback_retry_after": "0.3", "callback_after": "0.1"}) as desk:
        await desk.run([A])
        away = desk.ledger.with_name("away.db")
        desk.ledger.rename(away)
        await desk.becomes(lambda: 503 in {sending.answered for sending in desk.simulator.callbacks})
        away.rename(desk.ledger)
        await desk.is_settled()
        assert desk.heard.problems
        await in_step(desk, [A])


async def test_a_lost_callback_leaves_an_unknown_promise_that_asking_again_settles() -> None:
    async with promise_desk(quirks={"callback_lost": "on"}, patience=0.2) as desk:
        await desk.run([A])
        await desk.becomes(lambda: bool(desk.heard.late))
        assert desk.ends(A) == [("assign", "unknown", "no-callback")]
        desk.trust()
        again = await desk.run([A])
        assert again.plan.actions[0].device == A
        await desk.is_settled()
        assert desk.ends(A) == [("assign", "done", "no-callback"), ("assign", "done", "already")]
        assert desk.known.others == 0
        await in_step(desk, [A])


async def test_where_no_license_is_left_to_ask_with_the_counts_tell_that_an_assignment_was_done() -> None:
    async with promise_desk(purchased=2, others=1, quirks={"callback_lost": "on"}, patience=0.2) as desk:
        await desk.run([A])
        await desk.becomes(lambda: bool(desk.heard.late))
        again = await desk.run([A, B])
        assert again.pool.outcomes == ()
        assert [(each.action.device, each.reason) for each in again.pool.held] == [(B, HeldReason.NO_CAPACITY)]
        assert desk.ends(A) == [("assign", "done", "no-callback")]
        assert desk.known.holders == {A}


async def test_where_no_license_is_left_an_assignment_that_had_no_effect_waits_like_any_other() -> None:
    quirks = {"lost_before_effect": "1x@sim-assign"}
    async with promise_desk(purchased=2, others=1, quirks=quirks, patience=0.1) as desk:
        await desk.run([A])
        desk.sku.purchased = 1
        again = await desk.run([A])
        assert again.pool.outcomes == ()
        assert [(each.action.device, each.reason) for each in again.pool.held] == [(A, HeldReason.NO_CAPACITY)]
        desk.sku.purchased = 2
        desk.trust()
        await desk.run([A])
        await desk.is_settled()
        await in_step(desk, [A])


async def test_what_later_requests_have_overtaken_is_unknown_for_good_and_stands_in_nobodys_way() -> None:
    async with promise_desk(quirks={"callback_lost": "on"}, patience=0.2) as desk:
        await desk.run([A, B])
        await desk.becomes(lambda: len(desk.heard.late) == 2)
        await desk.run([B])
        await desk.becomes(lambda: len(desk.heard.late) == 4)
        desk.trust()
        await desk.run([B])
        await desk.is_settled()
        assert desk.ends(A) == [
            ("assign", "unknown", "superseded"),
            ("remove", "done", "no-callback"),
            ("remove", "done", "already"),
        ]
        assert desk.ends(B) == [*[("assign", "done", "no-callback")] * 2, ("assign", "done", "already")]
        await in_step(desk, [B])


async def test_a_doubtful_device_comes_in_its_turn_when_licenses_are_short() -> None:
    async with promise_desk(purchased=1, quirks={"lost_before_effect": "1x@sim-assign"}) as desk:
        await desk.run([B])
        planned = await desk.plan([A, B])
        assert isinstance(planned, Plan)
        assert [each.device for each in planned.actions] == [A]
        assert [(each.action.device, each.reason) for each in planned.held] == [(B, HeldReason.NO_CAPACITY)]


async def test_a_removal_without_a_callback_is_asked_for_again_and_an_assignment_tells_when_it_is_wanted_again() -> (
    None
):
    async with promise_desk(patience=0.2) as desk:
        await desk.run([A, B, C])
        await desk.is_settled()
        desk.switch(callback_lost="on")
        await desk.run([C])
        await desk.becomes(lambda: len(desk.heard.late) == 2)
        desk.trust()
        again = await desk.run([B, C])
        assert [(each.verb, each.device) for each in again.plan.actions] == [(Verb.REMOVE, A), (Verb.ASSIGN, B)]
        await desk.is_settled()
        assert desk.ends(A)[1:] == [("remove", "done", "no-callback"), ("remove", "done", "already")]
        assert desk.ends(B)[1:] == [("remove", "done", "no-callback"), ("assign", "done", None)]
        await in_step(desk, [B, C])


async def test_an_unknown_assignment_of_a_device_that_is_not_wanted_any_more_is_taken_back() -> None:
    async with promise_desk(quirks={"callback_lost": "on"}, patience=0.2) as desk:
        await desk.run([A])
        await desk.becomes(lambda: bool(desk.heard.late))
        desk.trust()
        again = await desk.run([B])
        assert [(each.verb, each.device) for each in again.plan.actions] == [(Verb.REMOVE, A), (Verb.ASSIGN, B)]
        await desk.is_settled()
        assert desk.ends(A) == [("assign", "done", "no-callback"), ("remove", "done", None)]
        await in_step(desk, [B])


async def test_a_callback_that_comes_after_its_time_settles_its_promise_all_the_same() -> None:
    async with promise_desk(quirks={"callback_late": "on", "callback_lateness": "1.6"}, patience=0.1) as desk:
        await desk.run([A])
        await desk.becomes(lambda: bool(desk.heard.late))
        assert desk.ends(A) == [("assign", "unknown", "no-callback")]
        await desk.becomes(lambda: desk.ends(A) == DONE)
        await in_step(desk, [A])


async def test_an_answer_that_is_lost_is_asked_for_again_and_its_callbacks_change_nothing() -> None:
    async with promise_desk(quirks={"lost_after_effect": "1x@sim-assign"}) as desk:
        done = await desk.run([A])
        assert [(each.kind, each.reason) for each in done.pool.outcomes] == [(OutcomeKind.UNKNOWN, "no-answer")]
        await desk.becomes(lambda: Reception.KEPT in desk.heard.receptions)
        assert desk.ends(A) == [("assign", "unknown", "no-answer")]
        await desk.run([A])
        await desk.is_settled()
        assert desk.ends(A) == [("assign", "done", "no-answer"), ("assign", "done", "already")]
        assert len(desk.sku.history) == 1
        await in_step(desk, [A])


async def test_while_a_request_is_open_its_device_is_in_flight_and_its_license_taken() -> None:
    for counted in ("apart", "assigned", "free"):
        async with promise_desk(purchased=2, quirks={"sim_takes": "60", "pending_counts": counted}) as desk:
            await desk.run([A])
            planned = await desk.plan([A, B, C])
            assert isinstance(planned, Plan), planned
            held = {each.action.device: each.reason for each in planned.held}
            assert held[A] is HeldReason.IN_FLIGHT
            assert [each.device for each in planned.actions] == ([] if counted == "assigned" else [B])
            assert held[C] is HeldReason.NO_CAPACITY
            unwanted = await desk.plan([C])
            assert isinstance(unwanted, Plan)
            assert (A, HeldReason.IN_FLIGHT) in [(each.action.device, each.reason) for each in unwanted.held]


# --- what is not ours


async def test_forged_and_foreign_callbacks_are_counted_answered_alike_and_change_nothing() -> None:
    async with promise_desk(quirks={"callback_lost": "on"}) as desk:
        done = await desk.run([A])
        request = str(done.pool.outcomes[0].request)
        wrong = {
            "password": desk.told(A, request=request, password="guessed"),
            "no password": desk.told(A, request=request, password=None, username=None),
            "user": desk.told(A, request=request, username="somebody"),
            "device": desk.told(B, request=request),
            "sku": desk.told(A, request=request, deviceResponse=_response(skuNumber="SIMSec-IoT-Lt")),
            "account": desk.told(A, request=request, deviceResponse=_response(accountName="0742233522-00002")),
            "action": desk.told(A, request=request, deviceResponse=_response(action="Unassign")),
            "request": desk.told(A, request="00000000-0000-0000-0000-000000000000"),
            "form": {"requestId": request},
            "status": desk.told(A, request=request, status="Perhaps"),
            "bytes": b"\xff\x00 no JSON",
        }
        answers = {name: await desk.post(body) for name, body in wrong.items()}
        assert desk.ends(A) == [("assign", "pending", None)]
        assert Counter(desk.heard.rejections) == {Rejected.CREDENTIALS: 3, Rejected.FORM: 3}
        assert Counter(desk.heard.receptions) == {Reception.FOREIGN: 4, Reception.KEPT: 1}
        assert await desk.post(b"x" * 70_000) != (200, b"ok\n")
        ours = await desk.post(desk.told(A, request=request))
        assert set(answers.values()) == {ours}
        assert desk.ends(A) == DONE


def _response(**changes: str) -> dict[str, object]:
    told = {"accountName": "0642233522-00001", "skuNumber": SKU, "action": "Assign", **changes}
    return {"deviceSkuSubscriptionResponse": told}


async def test_a_callback_that_no_request_claims_is_forgotten_after_a_while() -> None:
    async with promise_desk() as desk:
        await desk.run([])
        await desk.post(desk.told(A, request="11111111-0000-0000-0000-000000000000"))
        with database.written(desk.ledger) as connection, connection.begin():
            connection.exec_driver_sql("UPDATE stray_callbacks SET received_at = '2026-01-01T00:00:00.000000Z'")
        await desk.becomes(lambda: desk.heard.unclaimed == 1)
        await in_step(desk, [])


# --- what the service says no with


@pytest.mark.parametrize("batches", ["per-device", "whole"])
async def test_a_device_that_does_not_exist_is_rejected_and_in_quarantine_after_three_times(batches: str) -> None:
    async with promise_desk(quirks={"sim_batches": batches}) as desk:
        desk.simulator.world.accounts[desk.pool.account].unknown.add(sim_of(A).imei)
        for _ in range(3):
            await desk.run([A, B, C])
            await desk.is_settled()
        assert desk.ends(A) == [("assign", "rejected", "device-not-found")] * 3
        assert desk.ends(B) == desk.ends(C) == DONE
        planned = await desk.plan([A, B, C])
        assert isinstance(planned, Plan)
        assert {each.action.device: each.reason for each in planned.held} == {A: HeldReason.QUARANTINED}


@pytest.mark.parametrize("batches", ["per-device", "whole"])
async def test_a_device_that_has_one_already_was_one_of_the_others_and_is_counted_once(batches: str) -> None:
    async with promise_desk(others=3, quirks={"sim_batches": batches}) as desk:
        desk.sku.others = 2
        desk.sku.give(sim_of(A), 0.0)
        await desk.run([A, B])
        await desk.is_settled()
        assert desk.ends(A) == [("assign", "done", "already")]
        assert desk.ends(B) == DONE
        assert desk.known.others == 2
        planned = await desk.plan([A, B])
        assert isinstance(planned, Plan)
        assert (planned.actions, planned.held, planned.kept) == ((), (), 2)
        await desk.run([B])
        await desk.is_settled()
        await in_step(desk, [B])


async def test_a_request_that_a_carrier_fails_is_rejected_in_the_words_of_the_service_and_asked_again_later() -> None:
    async with promise_desk(quirks={"callback_failed": "1x"}) as desk:
        await desk.run([A])
        await desk.is_settled()
        (row,) = desk.rows(A)
        assert row.outcome is OutcomeKind.REJECTED
        assert row.service
        await desk.run([A])
        await desk.is_settled()
        assert desk.ends(A)[1:] == DONE
        await in_step(desk, [A])


async def test_when_licenses_run_out_in_mid_run_the_rest_is_held_for_want_of_them() -> None:
    async with promise_desk(purchased=10) as desk:
        wanted = sims(0, 10)

        def others_take_some() -> None:
            desk.sku.others = 5

        done = await desk.run(wanted, batch_size=4, once_planned=others_take_some)
        kinds = Counter(each.kind for each in done.pool.outcomes)
        assert kinds == {OutcomeKind.PENDING: 4, OutcomeKind.FAILED: 4}
        assert {each.reason for each in done.pool.outcomes} == {None, "no-capacity"}
        assert [each.reason for each in done.pool.held] == [HeldReason.NO_CAPACITY] * 2


async def test_a_batch_with_one_device_that_has_one_is_halved_until_that_one_stands_alone() -> None:
    wanted = sims(0, 8)
    async with promise_desk(others=1, quirks={"sim_batches": "whole"}) as desk:
        desk.sku.others = 0
        desk.sku.give(sim_of(wanted[5]), 0.0)
        done = await desk.run(wanted)
        await desk.is_settled()
        assert desk.ends(wanted[5]) == [("assign", "done", "already")]
        assert desk.holders == set(wanted)
        assert len([seen for seen in done.log if seen.call == "sim-assign"]) == 7
        await in_step(desk, [*wanted])


# --- who holds one


@pytest.mark.parametrize(("there", "said"), [(2, "2 more than are known"), (0, None)])
async def test_licenses_that_nobody_knows_of_make_a_partial_reading_that_says_by_how_many(
    there: int, said: str | None
) -> None:
    async with promise_desk() as desk:
        desk.sku.others = there
        planned = await desk.plan([A])
        if said is None:
            assert isinstance(planned, Plan)
            return
        assert isinstance(planned, Unread)
        assert planned.reading is Reading.PARTIAL
        assert said in planned.problem
        assert "others: 2" in planned.problem
        assert "licensesync import --pool sim --file" in planned.problem


async def test_a_license_that_somebody_has_taken_away_makes_a_partial_reading() -> None:
    async with promise_desk() as desk:
        await desk.run([A, B])
        await desk.is_settled()
        desk.sku.take(sim_of(A), 0.0)
        planned = await desk.plan([A, B])
        assert isinstance(planned, Unread)
        assert "1 fewer than are known" in planned.problem
        assert len(desk.simulator.requests.of("sim-assign", "sim-unassign")) == 1


async def test_a_list_that_the_operator_has_makes_the_reading_whole() -> None:
    async with promise_desk(others=1) as desk:
        desk.sku.others = 1
        for device in (A, B):
            desk.sku.give(sim_of(device), 0.0)
        assert isinstance(await desk.plan([A, B]), Unread)
        with database.written(desk.ledger) as connection, connection.begin():
            assert holders.replace_all(connection, desk.pool, [A, B]) == (2, 0)
        planned = await desk.plan([A, B])
        assert isinstance(planned, Plan)
        assert planned.kept == 2


async def test_a_reading_is_whole_while_callbacks_come_in() -> None:
    wanted = sims(0, 30)
    async with promise_desk(quirks={"callback_after": "0.3", "delayed": "on@skus", "delay": "0.5"}) as desk:
        await desk.run(wanted, batch_size=1)
        assert isinstance(await desk.plan(wanted), Plan)
        await desk.is_settled()
        await in_step(desk, [*wanted])


async def test_a_holder_whose_second_assignment_is_open_is_a_holder_for_certain() -> None:
    async with promise_desk(quirks={"callback_lost": "on"}, patience=0.2) as desk:
        first = await desk.run([A, B])
        await desk.becomes(lambda: len(desk.heard.late) == 2)
        await desk.run([A, B])
        await desk.becomes(lambda: len(desk.heard.late) == 4)
        for device in (A, B):
            await desk.post(desk.told(device, request=str(first.pool.outcomes[0].request)))
        assert desk.known.holders == {A, B}
        assert not desk.known.doubtful
        desk.sku.take(sim_of(A), 0.0)
        planned = await desk.plan([A, B])
        assert isinstance(planned, Unread)
        assert "1 fewer than are known" in planned.problem


async def test_a_removal_that_is_asked_for_again_is_one_of_the_day() -> None:
    async with promise_desk(patience=0.2) as desk:
        desk.pool = replace(desk.pool, limits=Limits(100, 100, per_day=4))
        wanted = sims(0, 12)
        desk.trust()
        await desk.run(wanted)
        await desk.is_settled()
        desk.patience = timedelta(seconds=0.2)
        desk.switch(callback_lost="on")
        await desk.run(wanted[3:])
        await desk.becomes(lambda: len(desk.heard.late) == 3)
        desk.trust()
        again = await desk.run(wanted[3:])
        assert again.plan.refusal is None
        await desk.is_settled()
        more = await desk.plan(wanted[4:])
        assert isinstance(more, Plan)
        assert [each.device for each in more.actions] == [wanted[3]]


async def test_a_lifetime_license_is_assigned_and_never_removed() -> None:
    async with promise_desk(irrevocable=True) as desk:
        await desk.run([A])
        await desk.is_settled()
        planned = await desk.plan([])
        assert isinstance(planned, Plan)
        assert planned.actions == ()
        assert [(each.action.device, each.reason) for each in planned.held] == [(A, HeldReason.IRREVOCABLE)]


async def test_in_mode_add_only_nothing_is_removed_not_even_what_is_in_doubt() -> None:
    async with promise_desk(mode=Mode.ADD_ONLY, quirks={"callback_lost": "on"}, patience=0.1) as desk:
        await desk.run([A])
        await desk.becomes(lambda: bool(desk.heard.late))
        planned = await desk.plan([])
        assert isinstance(planned, Plan)
        assert planned.actions == ()
        assert [each.reason for each in planned.held] == [HeldReason.MODE]


def test_what_is_asked_every_second_looks_at_open_actions_only(tmp_path: Path) -> None:
    """A ledger keeps every promise of a year: to go through them each second would take longer and longer."""
    statements: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, values: Any, _context: object, _many: object) -> None:
        statements.append((statement, values))

    database.prove(tmp_path / "ledger.db")
    with database.changed(tmp_path / "ledger.db") as ledger:
        event.listen(ledger, "before_cursor_execute", note)
        promises.is_something_over(ledger, datetime.now(UTC), datetime.now(UTC))
        promises.count_open(ledger, {"sim-secure 0642233522-00001 SIMSec-IoT"})
        event.remove(ledger, "before_cursor_execute", note)
        for statement, values in statements:
            steps = [row[3] for row in ledger.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
            assert any("outcomes_unsettled" in step for step in steps), steps
            assert not any("outcomes_by_request" in step for step in steps), steps
    assert len(statements) == 2
