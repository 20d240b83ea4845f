"""What a pool needs: who is assigned, who is removed, who waits and why."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import core_worlds as worlds
import pytest
from core_worlds import LATER, NOW, POLICY, TODAY, World, desired, devices, observed, pool
from hypothesis import given
from hypothesis import strategies as st

from licensesync.model import (
    Action,
    Capacity,
    Desired,
    DeviceId,
    Forecast,
    Held,
    HeldReason,
    Iccid,
    Imei,
    InventoryInfo,
    Memory,
    Mode,
    Observed,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Place,
    Plan,
    PlanVerdict,
    Policy,
    Pool,
    PoolReport,
    Product,
    Protection,
    Reading,
    Report,
    RunPlan,
    RunVerdict,
    Unread,
    Verb,
    iccid_of,
    imei_of,
)
from licensesync.planner import batches, plan

INVENTORY = InventoryInfo(devices=3, digest="sha256:ab")
LASTING = frozenset(HeldReason) - {HeldReason.AWAITING_REMOVALS, HeldReason.REFUSED, HeldReason.STOPPING}
A, B, C, D = devices(1, 2, 3, 4)


def planned(world: World) -> Plan:
    return plan(world.pool, world.desired, world.observed, world.policy, world.memory)


def simple(wish: Desired, seen: Observed, mode: Mode = Mode.FULL, memory: Memory | None = None) -> Plan:
    return plan(pool(mode), wish, seen, POLICY, memory or Memory())


def names(actions: tuple[Action, ...]) -> list[DeviceId]:
    return [action.device for action in actions]


def reasons(made: Plan) -> dict[DeviceId, HeldReason]:
    return {held.action.device: held.reason for held in made.held}


def run_plan(*plans: Plan | Unread) -> RunPlan:
    return RunPlan(INVENTORY, NOW, plans)


# --- assigning and removing


def test_who_is_wanted_and_lacks_a_license_is_assigned_and_who_is_neither_is_removed() -> None:
    made = simple(desired(A, B), observed(B, C, free=1))
    assert names(made.of(Verb.ASSIGN)) == [A]
    assert names(made.of(Verb.REMOVE)) == [C]
    assert (made.kept, made.held, made.desired) == (1, (), 2)


def test_nothing_is_planned_for_a_pool_that_is_as_wanted() -> None:
    made = simple(desired(A, B), observed(A, B))
    assert (made.actions, made.held, made.kept, made.verdict) == ((), (), 2, PlanVerdict.IN_STEP)


def test_removals_stand_before_assignments_and_in_the_order_of_their_identifiers() -> None:
    made = simple(desired(D), observed(C, A, B, free=1))
    assert [(action.verb, action.device) for action in made.actions] == [
        (Verb.REMOVE, A),
        (Verb.REMOVE, B),
        (Verb.REMOVE, C),
        (Verb.ASSIGN, D),
    ]


def test_an_action_says_where_its_device_stands_in_the_inventory() -> None:
    made = simple(desired(A, dormant=[B]), observed(B, C, free=1))
    assert made.of(Verb.ASSIGN) == (Action(Verb.ASSIGN, A, "fleet", worlds.place(1)),)
    assert made.of(Verb.REMOVE) == (Action(Verb.REMOVE, B, "fleet", worlds.place(2)), Action(Verb.REMOVE, C))


def test_the_last_licenses_go_by_priority_and_then_by_the_order_of_the_inventory() -> None:
    made = simple(desired(A, B, C, D, priorities={C: 5, B: -1}), observed(free=2))
    assert names(made.of(Verb.ASSIGN)) == [C, A]
    assert [held.action.device for held in made.held_for(HeldReason.NO_CAPACITY)] == [D, B]


def test_who_can_have_a_removed_license_waits_for_it_and_the_rest_waits_for_more_licenses() -> None:
    made = simple(desired(A, B, C), observed(D, free=1))
    assert names(made.of(Verb.ASSIGN)) == [A]
    assert reasons(made) == {B: HeldReason.AWAITING_REMOVALS, C: HeldReason.NO_CAPACITY}


def test_nobody_waits_for_removals_that_are_not_planned() -> None:
    made = simple(desired(A), observed(B), Mode.ADD_ONLY)
    assert reasons(made) == {B: HeldReason.MODE, A: HeldReason.NO_CAPACITY}


def test_open_requests_for_devices_that_hold_nothing_yet_have_their_license_reserved() -> None:
    memory = Memory(in_flight={A: LATER, C: None})
    made = simple(desired(A, B, C, D), observed(D, free=3), memory=memory)
    assert names(made.of(Verb.ASSIGN)) == [B]
    assert reasons(made) == {A: HeldReason.IN_FLIGHT, C: HeldReason.IN_FLIGHT}


def test_more_open_requests_than_free_licenses_leave_none_to_assign() -> None:
    made = simple(desired(A, B), observed(free=1), memory=Memory(in_flight={C: None, D: None}))
    assert reasons(made) == {A: HeldReason.NO_CAPACITY, B: HeldReason.NO_CAPACITY}


def test_an_open_request_for_a_device_that_is_counted_already_reserves_nothing() -> None:
    made = simple(desired(A, B), observed(A, free=1), memory=Memory(in_flight={A: None}))
    assert names(made.of(Verb.ASSIGN)) == [B]


def test_more_assigned_than_bought_is_no_license_free() -> None:
    made = simple(desired(A, B), Observed(frozenset({A}), Capacity(total=3, assigned=5)))
    assert reasons(made) == {B: HeldReason.NO_CAPACITY}
    assert made.capacity.free == 0


# --- modes


@pytest.mark.parametrize(
    ("mode", "removed", "held"),
    [
        (Mode.FULL, [B, C, D], {}),
        (Mode.MANAGED, [B], {C: HeldReason.FOREIGN, D: HeldReason.FOREIGN}),
        (Mode.ADD_ONLY, [], {B: HeldReason.MODE, C: HeldReason.MODE, D: HeldReason.MODE}),
    ],
)
def test_the_mode_says_which_removals_there_are(
    mode: Mode, removed: list[DeviceId], held: dict[DeviceId, HeldReason]
) -> None:
    memory = Memory(managed=frozenset({B}))
    made = simple(desired(A, dormant=[C]), observed(A, B, C, D), mode, memory)
    assert names(made.of(Verb.REMOVE)) == removed
    assert reasons(made) == held
    assert made.foreign == 2


def test_a_device_that_is_named_for_another_day_is_foreign_until_a_run_has_managed_it() -> None:
    never = simple(desired(dormant=[A]), observed(A), Mode.MANAGED)
    once = simple(desired(dormant=[A]), observed(A), Mode.MANAGED, Memory(managed=frozenset({A})))
    assert (reasons(never), never.foreign) == ({A: HeldReason.FOREIGN}, 1)
    assert (names(once.of(Verb.REMOVE)), once.foreign) == ([A], 0)


# --- held, and why


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize(
    ("memory", "reason", "until"),
    [
        (Memory(in_flight={A: LATER}), HeldReason.IN_FLIGHT, LATER),
        (Memory(in_flight={A: None}), HeldReason.IN_FLIGHT, None),
        (Memory(quarantined={A: LATER}), HeldReason.QUARANTINED, LATER),
        (Memory(retried_by_service={A: LATER}), HeldReason.SERVER_WILL_RETRY, LATER),
        (Memory(in_flight={A: None}, quarantined={A: LATER}), HeldReason.IN_FLIGHT, None),
        (Memory(quarantined={A: LATER}, retried_by_service={A: NOW}), HeldReason.QUARANTINED, LATER),
    ],
)
def test_what_is_remembered_of_a_device_holds_it_whichever_way_it_should_go(
    verb: Verb, memory: Memory, reason: HeldReason, until: datetime | None
) -> None:
    wish, seen = (desired(A), observed(free=5)) if verb is Verb.ASSIGN else (desired(B), observed(A, B, free=5))
    (held,) = simple(wish, seen, memory=memory).held
    assert (held.action.verb, held.action.device, held.reason, held.until) == (verb, A, reason, until)


def test_an_irrevocable_license_is_never_removed() -> None:
    made = plan(pool(irrevocable=True), desired(B), observed(A, B), POLICY, Memory())
    assert reasons(made) == {A: HeldReason.IRREVOCABLE}


def test_removals_that_are_not_wanted_now_are_held_and_free_nothing() -> None:
    made = plan(pool(), desired(B), observed(A), Policy(TODAY, removals=False), Memory())
    assert reasons(made) == {A: HeldReason.NO_REMOVALS, B: HeldReason.NO_CAPACITY}


def test_a_protected_device_keeps_its_license_for_good_where_no_end_is_named() -> None:
    (held,) = simple(desired(B, protected={A: None}), observed(A, B)).held
    assert (held.action.device, held.reason, held.until) == (A, HeldReason.PROTECTED, None)


def test_protection_holds_until_the_start_of_its_last_day_in_utc() -> None:
    tomorrow = TODAY + timedelta(days=1)
    (held,) = simple(desired(B, protected={A: tomorrow}), observed(A, B)).held
    assert held.reason is HeldReason.PROTECTED
    assert held.until == datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize("until", [TODAY, TODAY - timedelta(days=1)])
def test_protection_that_has_ended_protects_nothing(until: date) -> None:
    assert names(simple(desired(B, protected={A: until}), observed(A, B)).of(Verb.REMOVE)) == [A]


def test_protection_goes_by_imei_where_devices_have_an_iccid_too() -> None:
    sim = Pool("sim", Product.SIM_SECURE, "0642233522-00001", Mode.FULL)
    card = Product.SIM_SECURE.identify(Imei("990000473475989"), Iccid("89148000001234567890"))
    wish = Desired(protected={imei_of(card): Protection("why", worlds.place(1))})
    made = plan(sim, wish, observed(card), POLICY, Memory())
    assert reasons(made) == {card: HeldReason.PROTECTED}


@pytest.mark.parametrize(
    ("mode", "irrevocable", "removals", "reason"),
    [
        (Mode.ADD_ONLY, True, False, HeldReason.MODE),
        (Mode.MANAGED, True, False, HeldReason.FOREIGN),
        (Mode.FULL, True, False, HeldReason.IRREVOCABLE),
        (Mode.FULL, False, False, HeldReason.PROTECTED),
    ],
)
def test_of_several_reasons_that_which_lasts_longest_is_given(
    *, mode: Mode, irrevocable: bool, removals: bool, reason: HeldReason
) -> None:
    wish = desired(B, protected={A: None})
    memory = Memory(quarantined={A: LATER})
    made = plan(pool(mode, irrevocable=irrevocable), wish, observed(A, B), Policy(TODAY, removals=removals), memory)
    assert reasons(made) == {A: reason}


# --- forecast and verdict


def test_the_forecast_counts_what_is_assigned_removed_and_served_from_what_removals_free() -> None:
    made = simple(desired(A, B, C, D), observed(*devices(8, 9), free=1))
    assert made.forecast == Forecast(assigned=3, free=0, waiting=1)


def test_the_forecast_of_refused_removals_lets_those_wait_who_need_them() -> None:
    made = simple(desired(A, B), observed(*devices(8, 9), free=1))
    refused = worlds.judged(made, removed_in_past_day=10_000)
    assert refused.refusal is not None
    assert refused.forecast == Forecast(assigned=3, free=0, waiting=1)


def test_the_forecast_never_has_less_than_nothing_free() -> None:
    assert Plan(pool(), Capacity(total=2, assigned=5)).forecast == Forecast(assigned=5, free=0, waiting=0)


def test_the_verdict_of_a_run_is_the_first_that_applies() -> None:
    in_step = Plan(pool(), Capacity(1, 1))
    changes = simple(desired(A), observed(free=1))
    refused = worlds.judged(simple(desired(), observed(A)))
    unread = Unread(pool(), Reading.PARTIAL, "a page is missing")
    assert run_plan().verdict is PlanVerdict.IN_STEP
    assert run_plan(in_step, changes).verdict is PlanVerdict.CHANGES
    assert run_plan(changes, refused, in_step).verdict is PlanVerdict.REFUSED
    assert run_plan(refused, unread).verdict is PlanVerdict.UNREAD
    assert run_plan(refused, unread).planned == (refused,)


def test_held_devices_alone_are_no_change() -> None:
    assert simple(desired(A), observed()).verdict is PlanVerdict.IN_STEP


# --- reports


def ended(kind: OutcomeKind, reason: OutcomeReason | None = None) -> Outcome:
    return Outcome(worlds.assign(1), kind, NOW, reason)


def test_the_verdict_of_a_pool_in_a_report_is_the_first_that_applies() -> None:
    calm = Plan(pool(), Capacity(1, 1))
    stopping = replace(calm, held=(Held(worlds.assign(2), HeldReason.STOPPING),))
    refused = replace(calm, held=(Held(worlds.remove(2), HeldReason.REFUSED),))
    failed = ended(OutcomeKind.FAILED)
    told = [
        PoolReport(Unread(pool(), Reading.UNREAD, "no answer")),
        PoolReport(refused, (failed,)),
        PoolReport(stopping, (failed,)),
        PoolReport(stopping, (ended(OutcomeKind.DONE),)),
        PoolReport(calm, (ended(OutcomeKind.PENDING),)),
        PoolReport(calm),
    ]
    assert [each.verdict for each in told] == list(RunVerdict)


@pytest.mark.parametrize("kind", [OutcomeKind.REJECTED, OutcomeKind.FAILED, OutcomeKind.UNKNOWN])
def test_a_device_that_was_not_served_makes_a_run_incomplete(kind: OutcomeKind) -> None:
    report = PoolReport(Plan(pool(), Capacity(1, 1)), (ended(OutcomeKind.DONE), ended(kind)))
    assert report.verdict is RunVerdict.INCOMPLETE
    assert (report.counts[kind], report.counts[OutcomeKind.DONE]) == (1, 1)


def test_a_run_that_was_declined_is_refused_whatever_its_pools_say() -> None:
    report = Report("run", run_plan(), (PoolReport(Plan(pool(), Capacity(1, 1))),), NOW, declined=True)
    assert report.verdict is RunVerdict.REFUSED
    assert replace(report, declined=False).verdict is RunVerdict.IN_STEP


def test_rejected_credentials_are_known_before_and_in_the_middle_of_a_run() -> None:
    rejected = ended(OutcomeKind.FAILED, OutcomeReason.CREDENTIALS_REJECTED)
    assert PoolReport(Unread(pool(), Reading.UNREAD, "no", credentials_rejected=True)).credentials_rejected
    assert PoolReport(Plan(pool(), Capacity(1, 1)), (rejected,)).credentials_rejected
    assert not PoolReport(Plan(pool(), Capacity(1, 1)), (ended(OutcomeKind.FAILED),)).credentials_rejected
    assert PoolReport(Unread(pool(), Reading.UNREAD, "no")).held == ()


# --- identifiers and batches


def test_a_device_has_the_identifier_that_its_product_speaks() -> None:
    imei, iccid = Imei("990000473475989"), Iccid("89148000001234567890")
    card = Product.SIM_SECURE.identify(imei, iccid)
    assert (imei_of(card), iccid_of(card)) == (imei, iccid)
    assert imei_of(Product.FOTA.identify(imei, iccid)) == imei
    assert iccid_of(Product.FOTA.identify(imei, iccid)) is None


@given(count=st.integers(0, 50), size=st.integers(1, 60))
def test_batches_hold_every_action_once_in_order_and_none_is_too_large(count: int, size: int) -> None:
    actions = worlds.removals(count)
    cut = list(batches(actions, size))
    assert [action for batch in cut for action in batch] == list(actions)
    assert all(0 < len(batch) <= size for batch in cut)
    assert len(cut) == -(-count // size)


# --- whatever the world is like


any_world = worlds.worlds() | worlds.doubtful_worlds()


@given(any_world)
def test_every_device_of_inventory_and_account_has_exactly_one_fate(world: World) -> None:
    made = planned(world)
    fates = [*names(made.actions), *(held.action.device for held in made.held)]
    kept = (set(world.desired.wanted) & world.observed.holders) - world.observed.doubtful
    assert len(fates) == len(set(fates))
    assert set(fates) == world.everyone - kept
    assert made.kept == len(kept)
    assert made.observed == len({*world.observed.holders, *world.observed.doubtful} - set(world.desired.wanted)) + len(
        kept
    )


@given(any_world)
def test_never_more_is_assigned_than_is_free_and_not_reserved(world: World) -> None:
    made = planned(world)
    capacity = world.observed.capacity
    assert len(made.of(Verb.ASSIGN)) <= max(0, capacity.total - capacity.assigned - world.reserved)
    assert len(made.of(Verb.ASSIGN)) <= capacity.free
    assert len(made.held_for(HeldReason.AWAITING_REMOVALS)) <= len(made.of(Verb.REMOVE))


@given(worlds.doubtful_worlds())
def test_a_device_in_doubt_is_asked_for_as_it_is_wanted_now_or_held(world: World) -> None:
    made = planned(world)
    asked = {action.device: action.verb for action in (*made.actions, *(held.action for held in made.held))}
    for each in world.observed.doubtful:
        assert asked[each] is (Verb.ASSIGN if each in world.desired.wanted else Verb.REMOVE)


@given(worlds.worlds())
def test_a_license_stays_unused_only_when_nobody_can_have_it(world: World) -> None:
    made = planned(world)
    left = world.observed.capacity.free - world.reserved - len(made.of(Verb.ASSIGN))
    assert left <= 0 or not made.held_for(HeldReason.NO_CAPACITY, HeldReason.AWAITING_REMOVALS)


@given(any_world)
def test_a_desired_or_protected_device_is_never_removed(world: World) -> None:
    removed = names(planned(world).of(Verb.REMOVE))
    shielded = {
        imei for imei, shield in world.desired.protected.items() if shield.until is None or shield.until > TODAY
    }
    assert not set(removed) & set(world.desired.wanted)
    assert not {imei_of(each) for each in removed} & shielded


@given(any_world)
def test_a_device_that_is_set_aside_is_in_no_action(world: World) -> None:
    memory = world.memory
    aside = {*memory.in_flight, *memory.quarantined, *memory.retried_by_service}
    assert not aside & set(names(planned(world).actions))


@given(any_world)
def test_removals_are_only_of_what_the_pool_allows(world: World) -> None:
    removed = set(names(planned(world).of(Verb.REMOVE)))
    if world.pool.mode is Mode.ADD_ONLY or world.pool.irrevocable or not world.policy.removals:
        assert not removed
    if world.pool.mode is Mode.MANAGED:
        assert removed <= world.memory.managed


@given(world=worlds.worlds(), seed=st.integers(0, 2**16))
def test_the_order_of_the_inventory_decides_nothing_but_who_gets_the_last_licenses(world: World, seed: int) -> None:
    shuffled = list(world.desired.wanted)
    random.Random(seed).shuffle(shuffled)
    one, other = planned(world), planned(replace(world, desired=replace(world.desired, wanted=dict.fromkeys(shuffled))))
    scarce = {HeldReason.NO_CAPACITY, HeldReason.AWAITING_REMOVALS}

    def firm(made: Plan) -> set[tuple[Verb, DeviceId, HeldReason]]:
        return {(held.action.verb, held.action.device, held.reason) for held in made.held if held.reason not in scarce}

    def served_priorities(made: Plan) -> list[int]:
        return sorted(world.desired.entries[each].priority for each in names(made.of(Verb.ASSIGN)))

    assert one.of(Verb.REMOVE) == other.of(Verb.REMOVE)
    assert firm(one) == firm(other)
    assert served_priorities(one) == served_priorities(other)
    if not one.held_for(*scarce):
        assert set(one.actions) == set(other.actions)


@given(worlds.worlds())
def test_nobody_is_served_before_a_device_of_higher_priority_or_an_earlier_line(world: World) -> None:
    made = planned(world)
    order = {each: rank for rank, each in enumerate(world.desired.wanted)}

    def turn(action: Action) -> tuple[int, int]:
        return -world.desired.entries[action.device].priority, order[action.device]

    queue = [
        *made.of(Verb.ASSIGN),
        *(held.action for held in made.held_for(HeldReason.AWAITING_REMOVALS)),
        *(held.action for held in made.held_for(HeldReason.NO_CAPACITY)),
    ]
    assert queue == sorted(queue, key=turn)


@given(worlds.worlds())
def test_the_same_world_has_the_same_plan(world: World) -> None:
    again = replace(world, observed=Observed(frozenset(sorted(world.observed.holders)[::-1]), world.observed.capacity))
    assert planned(again) == planned(world)


@given(worlds.worlds())
def test_after_two_rounds_nothing_is_left_to_do_but_what_is_held_for_lasting_reasons(world: World) -> None:
    settled = after(after(world))
    made = planned(settled)
    assert not made.actions
    assert {held.reason for held in made.held} <= LASTING


def after(world: World) -> World:
    """The world when a plan was carried out, by a service that does as it is told."""
    made = planned(world)
    holders = (world.observed.holders - set(names(made.of(Verb.REMOVE)))) | set(names(made.of(Verb.ASSIGN)))
    capacity = Capacity(world.observed.capacity.total, len(holders))
    return replace(world, observed=Observed(frozenset(holders), capacity))


# --- the hash of a plan


def test_a_plan_hash_does_not_depend_on_the_order_of_pools_or_actions_nor_on_time() -> None:
    first, second = simple(desired(A, B), observed(C, free=2)), Plan(replace(pool(), name="sim"), Capacity(1, 1))
    turned = replace(first, actions=first.actions[::-1])
    elsewhere = RunPlan(replace(INVENTORY, commit="c0ffee"), LATER, (second, turned))
    assert elsewhere.hash == run_plan(first, second).hash
    assert elsewhere.hash.startswith("sha256:")
    assert len(elsewhere.hash) == len("sha256:") + 64


@pytest.mark.parametrize(
    "other",
    [
        simple(desired(A), observed(B, C, free=2)),
        simple(desired(A, D), observed(C, free=2)),
        simple(desired(A, B), observed(free=2)),
        plan(replace(pool(), name="other"), desired(A, B), observed(C, free=2), POLICY, Memory()),
        plan(replace(pool(), account="0642233522-00002"), desired(A, B), observed(C, free=2), POLICY, Memory()),
        Plan(pool(), Capacity(3, 1), (worlds.assign(3), worlds.assign(1), worlds.assign(2))),
    ],
)
def test_a_plan_hash_changes_with_any_pool_account_verb_or_device(other: Plan) -> None:
    made = simple(desired(A, B), observed(C, free=2))
    assert run_plan(other).hash != run_plan(made).hash


def test_a_plan_has_one_hash_whether_its_removals_are_refused_or_not() -> None:
    made = simple(desired(A, B, C), observed(*devices(*range(10, 30)), free=2))
    refused = worlds.judged(made)
    assert refused.refusal is not None
    assert run_plan(refused).hash == run_plan(made).hash


@pytest.mark.parametrize(
    ("mode", "memory"),
    [(Mode.FULL, Memory(quarantined={D: LATER})), (Mode.FULL, Memory(retried_by_service={D: NOW}))],
)
def test_what_is_held_for_its_own_reasons_is_not_in_the_hash(mode: Mode, memory: Memory) -> None:
    with_it = simple(desired(A, D), observed(free=5), mode, memory)
    assert run_plan(with_it).hash == run_plan(simple(desired(A), observed(free=5))).hash


def test_a_pool_that_could_not_be_read_is_in_the_hash() -> None:
    made = simple(desired(A), observed(free=1))
    unread = Unread(replace(pool(), name="sim"), Reading.UNREAD, "no answer")
    assert run_plan(made, unread).hash != run_plan(made).hash
    assert run_plan(made, replace(unread, problem="403")).hash == run_plan(made, unread).hash


@given(st.lists(st.tuples(st.sampled_from(Verb), st.sampled_from(worlds.FLEET)), unique=True), st.integers(0, 99))
def test_two_plans_have_one_hash_exactly_if_they_do_the_same(pairs: list[tuple[Verb, DeviceId]], seed: int) -> None:
    actions = [Action(verb, each, f"group {rank}", Place("x.yaml", rank, 1)) for rank, (verb, each) in enumerate(pairs)]
    shuffled = [Action(action.verb, action.device) for action in actions]
    random.Random(seed).shuffle(shuffled)
    whole = run_plan(Plan(pool(), Capacity(9, 9), tuple(actions))).hash
    assert run_plan(Plan(pool(), Capacity(5, 1), tuple(shuffled))).hash == whole
    if actions:
        assert run_plan(Plan(pool(), Capacity(9, 9), tuple(actions[1:]))).hash != whole
