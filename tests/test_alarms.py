"""What somebody is told of: alarms that begin, last, become others, and are over; once, and again after a while."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from render_worlds import FOTA, INVENTORY, NOW, REFUSAL, assign, outcome, run_report

from licensesync import alarms
from licensesync.alarms import Alarm, Alarms, Stage, Subject
from licensesync.model import (
    Capacity,
    Held,
    HeldReason,
    OutcomeKind,
    OutcomeReason,
    Plan,
    PoolReport,
    Reading,
    Report,
    Rule,
    Unread,
)

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
N = 3

FINE = Plan(FOTA, Capacity(10, 10))
REFUSED = replace(FINE, refusal=REFUSAL)
OTHERWISE = replace(FINE, refusal=replace(REFUSAL, rule=Rule.EMPTY, asked=4))
SHORT = replace(FINE, held=(Held(assign(1), HeldReason.NO_CAPACITY),))
AWAITING = replace(FINE, held=(Held(assign(1), HeldReason.AWAITING_REMOVALS),))
UNREAD = Unread(FOTA, Reading.UNREAD, "HTTP 403")


def report(plan: Plan | Unread, hours: float = 0) -> Report:
    return replace(run_report(PoolReport(plan)), finished_at=NOW + hours * HOUR)


def said(known: Alarms, hours: float = 0, repeat: timedelta = DAY) -> tuple[list[tuple[Alarm, Stage]], Alarms]:
    """What is due, and what is known after it was told."""
    now, words = NOW + hours * HOUR, []
    for notice in list(known.due(now, repeat)):
        words.append((notice.subject.alarm, notice.stage))
        known = known.told(notice, now)
    return words, known


@pytest.mark.parametrize(
    ("plan", "alarm", "words"),
    [
        (REFUSED, Alarm.REFUSED, "removals refused, rule"),
        (SHORT, Alarm.SHORT, "licenses run short: 1 device without one, of 10 licenses none is free"),
    ],
)
def test_a_state_is_told_when_it_begins_when_it_has_lasted_and_when_it_is_over(
    plan: Plan, alarm: Alarm, words: str
) -> None:
    known = Alarms().after(report(plan), INVENTORY, N)
    (notice,) = known.due(NOW, DAY)
    assert words in notice.what.text
    assert (notice.subject.pool, notice.occasion.commit) == ("fota", INVENTORY.commit)
    assert notice.occasion.run == report(plan).run
    first, known = said(known)
    again, known = said(known.after(report(plan, 1), INVENTORY, N), 1)
    later, known = said(known.after(report(plan, 25), INVENTORY, N), 25)
    over, known = said(known.after(report(FINE, 26), INVENTORY, N), 26)
    silent, known = said(known.after(report(FINE, 27), INVENTORY, N), 27)
    assert (first, again, later) == ([(alarm, Stage.RAISED)], [], [(alarm, Stage.LASTING)])
    assert (over, silent) == ([(alarm, Stage.RECOVERED)], [])
    assert not known.standing


def test_a_pool_is_told_of_when_it_could_not_be_read_several_times_in_a_row() -> None:
    known, told = Alarms(), []
    plans: list[Plan | Unread] = [UNREAD, UNREAD, FINE, UNREAD, UNREAD, UNREAD, UNREAD, FINE]
    for hours, plan in enumerate(plans):
        words, known = said(known.after(report(plan, hours), INVENTORY, N), hours)
        told.append(words)
    unreadable = Alarm.UNREADABLE
    assert told == [[], [], [], [], [], [(unreadable, Stage.RAISED)], [], [(unreadable, Stage.RECOVERED)]]


def test_a_pool_that_cannot_be_read_says_nothing_of_its_other_alarms() -> None:
    _, known = said(Alarms().after(report(REFUSED), INVENTORY, N))
    assert said(known.after(report(UNREAD, 1), INVENTORY, N), 1)[0] == []


def test_another_rule_that_refuses_is_told_anew_and_another_number_of_devices_is_not() -> None:
    _, known = said(Alarms().after(report(REFUSED), INVENTORY, N))
    more = replace(REFUSED, refusal=replace(REFUSAL, asked=REFUSAL.asked + 1))
    words, known = said(known.after(report(more, 1), INVENTORY, N), 1)
    assert words == []
    words, known = said(known.after(report(OTHERWISE, 2), INVENTORY, N), 2)
    assert words == [(Alarm.REFUSED, Stage.RAISED)]


def test_devices_that_only_await_removals_are_no_shortage() -> None:
    assert not Alarms().after(report(AWAITING), INVENTORY, N).standing


def test_devices_for_which_the_service_had_no_license_are_short_of_one_too() -> None:
    in_vain = structs.replace(outcome(assign(2), OutcomeKind.REJECTED), reason=OutcomeReason.NO_CAPACITY)
    ended = run_report(PoolReport(FINE, (in_vain,)))
    (notice,) = Alarms().after(ended, INVENTORY, N).due(NOW, DAY)
    assert notice.what.text == "licenses run short: 1 device without one, of 10 licenses none is free"


def test_what_nobody_can_see_is_not_said_to_last() -> None:
    _, known = said(Alarms().after(report(SHORT), INVENTORY, N))
    for hours in (22, 23, 24):
        known = known.after(report(UNREAD, hours), INVENTORY, N)
    blind, known = said(known, 24)
    seen, _ = said(known.after(report(SHORT, 25), INVENTORY, N), 25)
    assert blind == [(Alarm.UNREADABLE, Stage.RAISED)]
    assert seen == [(Alarm.SHORT, Stage.LASTING), (Alarm.UNREADABLE, Stage.RECOVERED)]


def test_runs_that_come_to_no_end_are_told_of() -> None:
    known, told = Alarms(), []
    for hours in range(N + 1):
        words, known = said(known.after_no_run(INVENTORY, NOW + hours * HOUR, N), hours)
        told.append(words)
    assert told == [[], [], [(Alarm.FAILING, Stage.RAISED)], []]
    words, known = said(known.after(report(FINE, 9), INVENTORY, N), 9)
    assert words == [(Alarm.FAILING, Stage.RECOVERED)]
    assert known.failed == 0


def test_an_inventory_that_is_rejected_is_told_of_and_so_are_other_problems_of_it() -> None:
    told = []
    known = Alarms()
    for hours, problems in enumerate((["a", "b", "c", "d"], ["a", "b", "c", "d"], ["e"], [])):
        known = known.looking(INVENTORY, NOW + hours * HOUR, problems=problems)
        texts = [notice.what.text for notice in known.due(NOW, DAY)]
        words, known = said(known, hours)
        told.append((words, texts))
    raised = [(Alarm.REJECTED, Stage.RAISED)]
    start = "the newest settings or inventory are not in force: "
    assert told == [
        (raised, [f"{start}a; b; c; and 1 more"]),
        ([], []),
        (raised, [f"{start}e"]),
        ([(Alarm.REJECTED, Stage.RECOVERED)], [alarms.OVER[Alarm.REJECTED]]),
    ]


def test_a_remote_is_told_of_when_it_has_been_away_for_an_hour() -> None:
    known, told = Alarms(), []
    for minutes, stale in ((5, "no route"), (59, "no route"), (61, "no route"), (62, None)):
        hours = minutes / 60
        known = known.looking(INVENTORY, NOW + hours * HOUR, stale=stale, fresh_at=NOW)
        words, known = said(known, hours)
        told.append(words)
    assert told == [[], [], [(Alarm.STALE, Stage.RAISED)], [(Alarm.STALE, Stage.RECOVERED)]]
    never = Alarms().looking(INVENTORY, NOW, stale="no route")
    assert said(never)[0] == [(Alarm.STALE, Stage.RAISED)]


def test_what_nobody_was_told_of_needs_no_end_and_an_end_that_was_not_told_is_due_until_it_is() -> None:
    known = Alarms().after(report(REFUSED), INVENTORY, N).after(report(FINE, 1), INVENTORY, N)
    assert not known.standing
    _, known = said(Alarms().after(report(REFUSED), INVENTORY, N))
    known = known.after(report(FINE, 1), INVENTORY, N).after(report(FINE, 2), INVENTORY, N)
    assert said(known, 2)[0] == [(Alarm.REFUSED, Stage.RECOVERED)]
    back = known.after(report(REFUSED, 3), INVENTORY, N)
    assert said(back, 3)[0] == [], "who was not told that it was over needs not hear that it is there"


def test_a_change_while_a_message_is_on_its_way_is_told_after_it() -> None:
    known = Alarms().after(report(REFUSED), INVENTORY, N)
    (raised,) = known.due(NOW, DAY)
    changed = known.after(report(OTHERWISE, 1), INVENTORY, N).told(raised, NOW)
    ended = known.after(report(FINE, 1), INVENTORY, N).told(raised, NOW)
    assert said(changed, 1)[0] == [(Alarm.REFUSED, Stage.RAISED)]
    assert said(ended, 1)[0] == [(Alarm.REFUSED, Stage.RECOVERED)]

    over = known.told(raised, NOW).after(report(FINE, 1), INVENTORY, N)
    (recovered,) = over.due(NOW, DAY)
    back = over.after(report(REFUSED, 2), INVENTORY, N).told(recovered, NOW)
    assert said(back, 2)[0] == [(Alarm.REFUSED, Stage.RAISED)]


def test_a_pool_that_is_no_more_is_forgotten() -> None:
    _, known = said(Alarms().after(report(REFUSED), INVENTORY, N).looking(INVENTORY, NOW, problems=["a"]))
    assert [subject.alarm for subject in known.of_pools([]).standing] == [Alarm.REJECTED]
    assert known.of_pools(["fota"]) == known
    assert not Alarms().after(report(UNREAD), INVENTORY, N).of_pools([]).unread


def test_it_is_known_when_what_lasts_is_to_be_told_again() -> None:
    known = Alarms().after(report(REFUSED), INVENTORY, N)
    assert not list(known.repeats(DAY))
    _, known = said(known)
    assert list(known.repeats(DAY)) == [NOW + DAY]


def test_a_run_whose_end_the_ledger_does_not_know_is_no_good_one() -> None:
    known, told = Alarms(), []
    for hours in range(N + 1):
        lost = replace(report(REFUSED if hours else FINE, hours), unrecorded=hours < N)
        words, known = said(known.after(lost, INVENTORY, N), hours)
        told.append(words)
    refused, failing = (Alarm.REFUSED, Stage.RAISED), (Alarm.FAILING, Stage.RAISED)
    assert told == [[], [refused], [failing], [(Alarm.FAILING, Stage.RECOVERED)]]


@pytest.mark.parametrize(
    "kept", [None, 5, {}, {"standing": 3}, {"standing": [{"alarm": "x"}], "unread": {}, "failed": 0}]
)
def test_what_another_version_wrote_is_passed_over(kept: object) -> None:
    assert alarms.read(kept) == Alarms()


happenings = st.lists(
    st.one_of(
        st.sampled_from([FINE, REFUSED, OTHERWISE, SHORT, UNREAD]),
        st.sampled_from([["a"], ["b"], []]),
        st.none(),
    ),
    max_size=40,
)


@given(happenings, st.lists(st.booleans(), min_size=40, max_size=40), st.integers(1, 4))
def test_nobody_is_told_the_same_twice_without_a_change_or_a_day_between(
    happened: list[Plan | Unread | list[str] | None], heard: Iterable[bool], unreadable_after: int
) -> None:
    known, last = Alarms(), dict[Subject, tuple[Stage, str, float]]()
    for hours, (each, hears) in enumerate(zip(happened, heard, strict=False)):
        now = NOW + hours * HOUR
        if isinstance(each, list):
            known = known.looking(INVENTORY, now, problems=each)
        elif each is None:
            known = known.after_no_run(INVENTORY, now, unreadable_after)
        else:
            known = known.after(report(each, hours), INVENTORY, unreadable_after)
        assert alarms.read(json.loads(json.dumps(alarms.written(known)))) == known
        notices = list(known.due(now, DAY))
        assert max(Counter(notice.subject for notice in notices).values(), default=0) <= 1
        for notice in notices if hears else ():
            stage, kind, at = last.get(notice.subject, (Stage.RECOVERED, "", -99))
            if notice.stage is Stage.RECOVERED:
                assert stage is not Stage.RECOVERED
            else:
                assert (notice.stage is Stage.RAISED) == (stage is Stage.RECOVERED or notice.what.kind != kind)
            assert notice.stage is not Stage.LASTING or hours - at >= 24
            last[notice.subject] = (notice.stage, notice.what.kind, hours)
            known = known.told(notice, now)
        if hears:
            assert not list(known.due(now, DAY))
