"""Which removals the guard lets pass, which it refuses, and what it says then."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import core_worlds as worlds
import pytest
from core_worlds import NOW, POLICY, TODAY, World, device, devices, pool
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from licensesync import guard
from licensesync.model import (
    Action,
    Approval,
    ApprovalUse,
    Capacity,
    DeviceId,
    Held,
    HeldReason,
    InventoryInfo,
    Limits,
    Memory,
    Mode,
    Plan,
    PlanVerdict,
    Refusal,
    Rule,
    RunPlan,
    Verb,
)
from licensesync.planner import plan

GENEROUS = Limits(count=10_000, percent=100, per_day=10_000)


def removing(count: int, of: int, limits: Limits = GENEROUS) -> Plan:
    """A plan that removes so many of the observed devices and assigns two others."""
    actions = (*worlds.removals(count), worlds.assign(8001), worlds.assign(8002))
    return Plan(pool(limits=limits), Capacity(9000, of), actions, kept=of - count, desired=of - count + 2)


def refusal_of(judged: Plan) -> Refusal:
    assert judged.refusal is not None
    return judged.refusal


# --- the rules and their boundaries


@pytest.mark.parametrize(
    ("count", "of", "limits", "in_past_day", "rule"),
    [
        # count: the limit itself passes
        (99, 1000, replace(GENEROUS, count=100), 0, None),
        (100, 1000, replace(GENEROUS, count=100), 0, None),
        (101, 1000, replace(GENEROUS, count=100), 0, Rule.COUNT),
        (1, 1000, replace(GENEROUS, count=0), 0, Rule.COUNT),
        (0, 1000, replace(GENEROUS, count=0), 0, None),
        # percent: rounded down, of the devices that were observed
        (99, 998, replace(GENEROUS, percent=10), 0, None),
        (100, 998, replace(GENEROUS, percent=10), 0, Rule.PERCENT),
        (100, 1000, replace(GENEROUS, percent=10), 0, None),
        (101, 1000, replace(GENEROUS, percent=10), 0, Rule.PERCENT),
        (7, 1000, replace(GENEROUS, percent=0.7), 0, None),
        (8, 1000, replace(GENEROUS, percent=0.7), 0, Rule.PERCENT),
        (57, 10_000, replace(GENEROUS, percent=0.57), 0, None),
        (29, 100, replace(GENEROUS, percent=29), 0, None),
        # percent: five are always within it
        (5, 6, replace(GENEROUS, percent=10), 0, None),
        (6, 7, replace(GENEROUS, percent=10), 0, Rule.PERCENT),
        (6, 59, replace(GENEROUS, percent=10), 0, Rule.PERCENT),
        (6, 60, replace(GENEROUS, percent=10), 0, None),
        (5, 5000, replace(GENEROUS, percent=0), 0, None),
        (6, 5000, replace(GENEROUS, percent=0), 0, Rule.PERCENT),
        # five are within percent alone
        (3, 3000, replace(GENEROUS, count=2), 0, Rule.COUNT),
        (3, 3000, replace(GENEROUS, per_day=2), 0, Rule.PER_DAY),
        # per_day: with what was removed in the past 24 hours
        (200, 5000, replace(GENEROUS, per_day=200), 0, None),
        (201, 5000, replace(GENEROUS, per_day=200), 0, Rule.PER_DAY),
        (50, 5000, replace(GENEROUS, per_day=200), 150, None),
        (51, 5000, replace(GENEROUS, per_day=200), 150, Rule.PER_DAY),
        (1, 5000, replace(GENEROUS, per_day=200), 200, Rule.PER_DAY),
        (1, 5000, replace(GENEROUS, per_day=200), 500, Rule.PER_DAY),
        (0, 5000, replace(GENEROUS, per_day=200), 500, None),
        # the defaults
        (100, 1000, Limits(), 100, None),
        (101, 2000, Limits(), 0, Rule.COUNT),
        (100, 999, Limits(), 0, Rule.PERCENT),
        (100, 1000, Limits(), 101, Rule.PER_DAY),
    ],
)
def test_each_rule_lets_its_limit_pass_and_refuses_one_more(
    count: int, of: int, limits: Limits, in_past_day: int, rule: Rule | None
) -> None:
    judged = worlds.judged(removing(count, of, limits), removed_in_past_day=in_past_day)
    assert (judged.refusal and judged.refusal.rule) == rule


@pytest.mark.parametrize("count", [1, 5, 50])
def test_a_pool_of_which_nothing_is_desired_any_more_is_not_emptied(count: int) -> None:
    made = plan(pool(limits=GENEROUS), worlds.desired(), worlds.observed(*devices(*range(count))), POLICY, Memory())
    refusal = refusal_of(worlds.judged(made))
    assert (refusal.rule, refusal.setting, refusal.limit, refusal.asked) == (Rule.EMPTY, None, 0, count)


def test_a_pool_of_which_only_dormant_devices_are_left_is_not_emptied() -> None:
    wish = worlds.desired(dormant=devices(1, 2))
    managed = Memory(managed=frozenset(devices(1, 2)))
    made = plan(pool(Mode.MANAGED), wish, worlds.observed(*devices(1, 2)), POLICY, managed)
    assert refusal_of(worlds.judged(made)).rule is Rule.EMPTY


def test_a_pool_that_is_empty_and_wants_nothing_is_in_step() -> None:
    made = plan(pool(), worlds.desired(), worlds.observed(), POLICY, Memory())
    assert worlds.judged(made) == made


def test_foreign_devices_of_a_pool_that_wants_nothing_break_no_rule() -> None:
    made = plan(pool(Mode.MANAGED), worlds.desired(), worlds.observed(device(1)), POLICY, Memory())
    assert worlds.judged(made).refusal is None


def test_the_percentage_is_of_all_observed_devices_also_of_those_whose_removal_is_held() -> None:
    limits = replace(GENEROUS, percent=10)
    held = tuple(Held(worlds.remove(500 + number), HeldReason.PROTECTED) for number in range(30))
    made = replace(removing(6, 36, limits), held=held)
    assert made.observed == 66
    assert worlds.judged(made).refusal is None


@pytest.mark.parametrize(
    ("made", "in_past_day", "told"),
    [
        (removing(400, 998, Limits(count=1000)), 0, (Rule.PERCENT, 10, 99, 400)),
        (removing(101, 4000), 9_900, (Rule.PER_DAY, 10_000, 100, 101)),
        (removing(101, 4000), 20_000, (Rule.PER_DAY, 10_000, 0, 101)),
        (removing(101, 4000, Limits()), 0, (Rule.COUNT, 100, 100, 101)),
        (removing(6, 10, replace(GENEROUS, percent=2.5)), 0, (Rule.PERCENT, 2.5, 5, 6)),
    ],
)
def test_a_refusal_says_the_rule_the_setting_the_limit_in_devices_and_what_was_asked(
    made: Plan, in_past_day: int, told: tuple[Rule, float, int, int]
) -> None:
    refusal = refusal_of(worlds.judged(made, removed_in_past_day=in_past_day))
    assert (refusal.rule, refusal.setting, refusal.limit, refusal.asked) == told


@pytest.mark.parametrize(
    ("made", "in_past_day", "setting"),
    [
        (removing(101, 4000, Limits()), 0, "removals.count"),
        (removing(50, 100, Limits()), 0, "removals.percent"),
        (removing(50, 4000, Limits()), 190, "removals.per_day"),
        (replace(removing(50, 4000, Limits()), desired=0), 0, "inventory"),
    ],
)
def test_a_refusal_says_the_way_out_with_its_pool_and_hash(made: Plan, in_past_day: int, setting: str) -> None:
    refusal = refusal_of(worlds.judged(made, removed_in_past_day=in_past_day))
    assert setting in refusal.next_step
    assert f"licensesync apply --pool fota --allow-removals {refusal.hash}" in refusal.next_step
    assert f'refusal: "{refusal.hash}"' in refusal.next_step
    assert "approvals:" in refusal.next_step
    assert re.fullmatch("[0-9a-f]{16}", refusal.hash)
    assert re.fullmatch("[0-9a-f]{64}", refusal.digest)


# --- what a refused plan still does


def test_a_refused_plan_sends_no_removal_and_all_its_assignments() -> None:
    waiting = Held(worlds.assign(8003), HeldReason.AWAITING_REMOVALS)
    made = replace(removing(101, 4000, Limits()), held=(waiting,))
    judged = worlds.judged(made)
    assert judged.actions == made.of(Verb.ASSIGN)
    assert tuple(held.action for held in judged.held_for(HeldReason.REFUSED)) == made.of(Verb.REMOVE)
    assert judged.held_for(HeldReason.AWAITING_REMOVALS) == (waiting,)
    assert judged.verdict is PlanVerdict.REFUSED
    assert (judged.kept, judged.observed, judged.capacity) == (made.kept, made.observed, made.capacity)


@given(worlds.worlds(), st.integers(0, 3), st.integers(0, 3))
def test_whatever_is_refused_no_device_is_lost_and_nothing_else_changes(world: World, count: int, past: int) -> None:
    limited = replace(world.pool, limits=Limits(count=count, percent=100, per_day=3))
    made = plan(limited, world.desired, world.observed, world.policy, world.memory)
    judged = worlds.judged(made, removed_in_past_day=past)
    refused = tuple(held.action for held in judged.held_for(HeldReason.REFUSED))
    assert judged.of(Verb.ASSIGN) == made.of(Verb.ASSIGN)
    assert (*refused, *judged.of(Verb.REMOVE)) == made.of(Verb.REMOVE)
    assert judged.held[len(refused) :] == made.held
    assert (judged.refusal is None) == (not refused)
    asked = len(made.of(Verb.REMOVE))
    must_refuse = asked > min(count, 3 - past) or not world.desired.wanted
    assert bool(refused) == (asked > 0 and must_refuse)


# --- the hash of a refusal


def test_the_hash_of_a_refusal_is_of_pool_and_removals_and_not_of_their_order() -> None:
    made = removing(101, 4000, Limits())
    shuffled = list(made.actions)
    random.Random(1).shuffle(shuffled)
    others = replace(
        made,
        actions=tuple(structs.replace(action, group="g", place=worlds.place(3)) for action in shuffled),
        held=(Held(worlds.remove(700), HeldReason.PROTECTED),),
        capacity=Capacity(5, 5),
        pool=replace(made.pool, limits=Limits(count=3)),
    )
    assert refusal_of(worlds.judged(others)).digest == refusal_of(worlds.judged(made)).digest


def test_the_hash_of_a_refusal_does_not_know_the_assignments() -> None:
    made = removing(101, 4000, Limits())
    fewer = replace(made, actions=made.of(Verb.REMOVE))
    assert refusal_of(worlds.judged(fewer)).digest == refusal_of(worlds.judged(made)).digest


@pytest.mark.parametrize(
    "other",
    [
        removing(102, 4000, Limits()),
        replace(removing(101, 4000), pool=replace(pool(limits=Limits()), name="fota-2")),
        replace(removing(101, 4000), pool=replace(pool(limits=Limits()), account="0642233522-00002")),
        replace(removing(101, 4000, Limits()), actions=tuple(worlds.remove(number) for number in range(1, 102))),
    ],
)
def test_the_hash_of_a_refusal_changes_with_pool_account_and_any_removal(other: Plan) -> None:
    made = removing(101, 4000, Limits())
    assert refusal_of(worlds.judged(other)).digest != refusal_of(worlds.judged(made)).digest


def test_the_hash_of_removals_is_the_same_before_and_after_they_are_refused() -> None:
    made = removing(101, 4000, Limits())
    judged = worlds.judged(made)
    assert guard.digest_of(made) == guard.digest_of(judged) == refusal_of(judged).digest


# --- lifting a refusal


@pytest.mark.parametrize("digits", [64, 16, 8])
def test_a_refusal_is_lifted_by_its_whole_hash_and_by_its_first_digits(digits: int) -> None:
    made = removing(101, 4000, Limits())
    digest = refusal_of(worlds.judged(made)).digest
    assert worlds.judged(made, allowed={"0123456789abcdef", digest[:digits]}).of(Verb.REMOVE) == made.of(Verb.REMOVE)


@pytest.mark.parametrize("digits", [0, 1, 7])
def test_fewer_than_eight_digits_lift_nothing(digits: int) -> None:
    made = removing(101, 4000, Limits())
    digest = refusal_of(worlds.judged(made)).digest
    assert worlds.judged(made, allowed={digest[:digits]}).refusal is not None


def test_the_hash_of_other_removals_lifts_nothing() -> None:
    made = removing(101, 4000, Limits())
    other = refusal_of(worlds.judged(removing(102, 4000, Limits()))).digest
    judged = worlds.judged(made, allowed={other, other[:16], refusal_of(worlds.judged(made)).digest[1:]})
    assert judged.refusal is not None


def test_a_lifted_refusal_lets_exactly_its_own_removals_pass() -> None:
    made = removing(101, 4000, Limits())
    allowed = {refusal_of(worlds.judged(made)).hash}
    more = replace(made, actions=(*made.actions, worlds.remove(3000)))
    assert worlds.judged(more, allowed=allowed).refusal is not None
    assert worlds.judged(made, allowed=allowed).of(Verb.REMOVE) == made.of(Verb.REMOVE)


@pytest.mark.parametrize("rule", Rule)
def test_any_rule_can_be_lifted(rule: Rule) -> None:
    made, past = {
        Rule.COUNT: (removing(101, 4000, Limits()), 0),
        Rule.PERCENT: (removing(50, 100, Limits()), 0),
        Rule.PER_DAY: (removing(50, 4000, Limits()), 190),
        Rule.EMPTY: (replace(removing(3, 3), desired=0), 0),
    }[rule]
    refusal = refusal_of(worlds.judged(made, removed_in_past_day=past))
    assert refusal.rule is rule
    assert worlds.judged(made, removed_in_past_day=past, allowed={refusal.hash}).refusal is None


@pytest.mark.parametrize(
    ("ends_in_days", "in_force"), [(None, True), (1, True), (400, True), (0, False), (-1, False), (-400, False)]
)
def test_an_approval_is_in_force_until_the_start_of_its_last_day(ends_in_days: int | None, *, in_force: bool) -> None:
    made = removing(101, 4000, Limits())
    until = None if ends_in_days is None else TODAY + timedelta(days=ends_in_days)
    approval = Approval(refusal_of(worlds.judged(made)).hash, "Rotterdam is closing", worlds.place(7), until)
    approvals = [Approval("00000000", "another", worlds.place(8)), approval]
    judged = worlds.judged(made, approvals=approvals)
    assert (judged.refusal is None) is in_force
    assert (judged.permit is not None and judged.permit.approval == approval) is in_force
    assert in_force or "ended on" in refusal_of(judged).next_step


@given(st.sets(st.integers(0, 300), min_size=1), st.sets(st.integers(0, 300), min_size=1))
def test_two_sets_of_removals_have_one_hash_exactly_if_they_are_the_same(one: set[int], other: set[int]) -> None:
    def digest(numbers: set[int]) -> str:
        actions = tuple(worlds.remove(number) for number in numbers)
        return guard.digest_of(Plan(pool(), Capacity(900, 900), actions, kept=1, desired=1))

    assert (digest(one) == digest(other)) is (one == other)


def test_lifting_changes_nothing_of_the_plan_hash() -> None:
    made = removing(101, 4000, Limits())
    info = InventoryInfo(devices=1, digest="sha256:ab")
    hashes = {RunPlan(info, NOW, (each,)).hash for each in (made, worlds.judged(made))}
    assert len(hashes) == 1


def test_judging_says_nothing_of_an_action_that_is_no_removal() -> None:
    only = Plan(pool(limits=Limits(count=0, percent=0, per_day=0)), Capacity(9, 0), (Action(Verb.ASSIGN, device(1)),))
    assert worlds.judged(only, removed_in_past_day=99) == only


# --- approvals in use: what is left of a set

MADE = removing(101, 4000, Limits())
DIGEST = refusal_of(worlds.judged(MADE)).digest
ENTRY = Approval(DIGEST[:16], "Rotterdam is closing", worlds.place(7), TODAY + timedelta(days=9))
THEIRS = frozenset(each.device for each in MADE.of(Verb.REMOVE))
TIGHT = replace(GENEROUS, count=2)


def used(entry: Approval, left: Iterable[DeviceId], size: int = 101) -> ApprovalUse:
    """This entry was used yesterday, and these are left of its set."""
    return ApprovalUse(DIGEST, entry.reason, entry.until, NOW - timedelta(days=1), size, frozenset(left))


def removes(*numbers: int) -> Plan:
    """A plan that removes these devices, which is more than the guard lets pass."""
    actions = tuple(worlds.remove(number) for number in numbers)
    return Plan(pool(limits=TIGHT), Capacity(9000, 4000), actions, kept=3000, desired=3000)


def test_the_first_use_of_an_approval_names_itself_and_what_would_have_been_said() -> None:
    judged = worlds.judged(MADE, approvals=[ENTRY])
    assert judged.permit is not None
    assert (judged.permit.approval, judged.permit.digest) == (ENTRY, DIGEST)
    assert judged.permit.refusal == refusal_of(worlds.judged(MADE))
    assert judged.of(Verb.REMOVE) == MADE.of(Verb.REMOVE)


def test_within_the_limits_no_approval_is_used() -> None:
    approval = replace(ENTRY, refusal=guard.digest_of(removing(3, 4000))[:16])
    assert worlds.judged(removing(3, 4000), approvals=[approval], used=[used(ENTRY, THEIRS)]).permit is None


def test_an_approval_in_use_of_which_nothing_is_done_yet_lets_its_whole_set_pass() -> None:
    assert worlds.judged(MADE, approvals=[ENTRY], used=[used(ENTRY, THEIRS)]).refusal is None


@pytest.mark.parametrize("left", [(0, 1, 2), (0, 1, 2, 3, 4, 5)])
def test_what_is_left_of_an_approval_in_use_passes_whole_or_in_part(left: tuple[int, ...]) -> None:
    judged = worlds.judged(removes(0, 1, 2), approvals=[ENTRY], used=[used(ENTRY, devices(*left))])
    assert judged.permit is not None
    assert (judged.permit.digest, judged.permit.approval) == (DIGEST, ENTRY)
    assert judged.permit.refusal.digest == guard.digest_of(removes(0, 1, 2)) != DIGEST


@pytest.mark.parametrize("asked", [(0, 1, 2, 200), (200, 201, 202), (0, 1, 2, 50)])
def test_a_device_that_is_not_left_of_the_set_does_not_pass_and_nothing_with_it(asked: tuple[int, ...]) -> None:
    """200 was never in the set; 50 was, and is removed: somebody gave it a license again."""
    judged = worlds.judged(removes(*asked), approvals=[ENTRY], used=[used(ENTRY, devices(0, 1, 2))])
    assert refusal_of(judged).asked == len(asked)
    assert judged.of(Verb.REMOVE) == ()


def test_what_would_be_left_of_an_approval_that_was_never_used_does_not_pass() -> None:
    assert worlds.judged(removes(0, 1, 2), approvals=[ENTRY]).refusal is not None


@pytest.mark.parametrize("left", [(), (0, 1)])
def test_a_used_up_approval_does_not_let_the_same_set_pass_again_and_says_so(left: tuple[int, ...]) -> None:
    judged = worlds.judged(MADE, approvals=[ENTRY], used=[used(ENTRY, devices(*left))])
    told = refusal_of(judged).next_step
    assert str(ENTRY.place) in told
    assert f"{101 - len(left)} of its 101 removals are done" in told
    assert "used up" in told
    assert "another reason or date" in told


@pytest.mark.parametrize("other", [{"reason": "and once more"}, {"until": TODAY + timedelta(days=30)}, {"until": None}])
def test_a_new_entry_with_another_reason_or_date_approves_the_same_set_again(other: dict[str, Any]) -> None:
    entry = replace(ENTRY, **other)
    for approvals in ([entry], [ENTRY, entry]):
        judged = worlds.judged(MADE, approvals=approvals, used=[used(ENTRY, ())])
        assert judged.permit is not None
        assert judged.permit.approval == entry


def test_only_the_same_reason_and_date_make_the_same_entry() -> None:
    moved = replace(ENTRY, place=worlds.place(70))
    longer = replace(ENTRY, refusal=DIGEST[:40])
    for same in (moved, longer):
        assert worlds.judged(MADE, approvals=[same], used=[used(ENTRY, ())]).refusal is not None


def test_an_approval_that_ended_lets_nothing_pass_of_what_is_left() -> None:
    ended = replace(ENTRY, until=TODAY)
    judged = worlds.judged(removes(0, 1, 2), approvals=[ended], used=[used(ended, devices(0, 1, 2))])
    assert f"{ended.place} ended on {TODAY}; write a later date" in refusal_of(judged).next_step


def test_a_later_date_lets_what_is_left_of_an_ended_approval_pass() -> None:
    """That is what the refusal says to do; the hash of what is left is another one."""
    ended = replace(ENTRY, until=TODAY)
    uses = [used(ended, devices(0, 1, 2))]
    for approvals in ([ENTRY], [ended, ENTRY]):
        judged = worlds.judged(removes(0, 1, 2), approvals=approvals, used=uses)
        assert judged.permit is not None
        assert (judged.permit.approval, judged.permit.digest) == (ENTRY, DIGEST)
    assert worlds.judged(removes(0, 1, 2, 200), approvals=[ENTRY], used=uses).refusal is not None


def test_an_ended_and_a_used_up_approval_both_say_so() -> None:
    ended = replace(ENTRY, until=TODAY, place=worlds.place(8))
    told = refusal_of(worlds.judged(MADE, approvals=[ended, ENTRY], used=[used(ENTRY, ())])).next_step
    assert f"{ended.place} ended on {TODAY}" in told
    assert f"{ENTRY.place} was used on" in told


def test_approvals_of_other_removals_are_not_talked_about() -> None:
    others = [
        Approval("0" * 16, "another", worlds.place(1), TODAY),
        Approval("1" * 16, "another", worlds.place(2)),
        replace(ENTRY, until=TODAY),
    ]
    told = refusal_of(worlds.judged(removes(200, 201, 202), approvals=others, used=[used(ENTRY, devices(1))]))
    assert "approval at" not in told.next_step


@pytest.mark.parametrize("digits", [8, 16, 64])
def test_the_command_line_lets_what_is_left_of_a_set_in_use_pass_by_the_hash_of_the_set(digits: int) -> None:
    uses = [used(Approval(DIGEST, "--allow-removals", worlds.place(1)), devices(0, 1, 2))]
    judged = worlds.judged(removes(0, 1, 2), allowed={DIGEST[:digits]}, used=uses)
    assert judged.permit is not None
    assert (judged.permit.approval, judged.permit.digest) == (None, DIGEST)
    assert guard.digest_of(judged) == DIGEST
    assert worlds.judged(removes(0, 1, 200), allowed={DIGEST[:digits]}, used=uses).refusal is not None
    assert worlds.judged(removes(0, 1, 2), allowed={DIGEST[:7]}, used=uses).refusal is not None
    assert worlds.judged(removes(0, 1, 2), used=uses).refusal is not None


def test_the_command_line_lets_pass_what_a_used_up_approval_does_not() -> None:
    judged = worlds.judged(MADE, allowed={DIGEST[:16]}, approvals=[ENTRY], used=[used(ENTRY, ())])
    assert judged.permit is not None
    assert judged.permit.approval is None


@given(st.sets(st.integers(0, 12), min_size=3), st.sets(st.integers(0, 12)))
def test_an_approval_in_use_lets_pass_exactly_what_is_left_of_its_set(asked: set[int], left: set[int]) -> None:
    judged = worlds.judged(removes(*asked), approvals=[ENTRY], used=[used(ENTRY, devices(*left))])
    assert (judged.permit is not None) is (asked <= left)
    assert (judged.refusal is None) is (asked <= left)
