"""What becomes of writes whose answers are lost, late, broken or wrong: proved before anything is sent again.

Each quirk of the simulator that loses, delays, corrupts or contradicts an answer to a write, a look-up or a fresh
reading plays along in a first run; a second run, a day later and without it, finds out what is left to know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import pytest
from desks import VERBS, Desk, Done, assert_kept_as_reported, desk_at
from fleets import imeis, some_of

from licensesync.ledger import earlier
from licensesync.model import HeldReason, OutcomeKind, Verb

HELD, TO_REMOVE, TO_ASSIGN = 45, 12, 25
WANTED = [*imeis(TO_REMOVE, HELD), *imeis(500, 500 + TO_ASSIGN)]
PLENTY, SHORT = 200, 55
"""Licenses; where they are short, ten are free, twelve more are freed by removals, and three devices go without."""

BATCH, PAGE = 10, 20
PHASES = 3  # removals, assignments into what is free, assignments into what was freed
WALKS = 3  # of one reading, where its pages are in doubt
FORMS = 2  # of one look-up, with and without a protocol
ATTEMPTS = 3  # of one read

DOSES = ("1x@assign", "1x@remove", "on@writes")
ANSWERS: Mapping[str, Mapping[str, str]] = {
    "lost-before-effect": {},
    "lost-after-effect": {},
    "lost-late-effect": {"late-effect": "60"},
    "error-500": {},
    "error-502": {},
    "error-503": {},
    "error-500-after-effect": {},
    "cut-off": {},
    "truncated-json": {},
    "html-200": {},
    "empty-200": {},
    "wrong-account": {},
    "write-rows-lost": {},
    "odd-status": {},
    "rows-contradict": {},
    "upgrade-pending": {"pending-takes": "0"},
    "false-success": {},
    "false-failure": {},
}
"""Quirks of a write's answer that come in doses, with what else they need."""

FORMS_OF_ANSWERS = ({"letter-case": "keys"}, {"letter-case": "words"}, {"extra-rows": "3"}, {"count-form": "both"})

LIES = {"false-success", "false-failure", "lookup-lag", "list-lag"}
"""Quirks by which the service says of a device what is not so; the rest leave open what is so, or say it."""

BLIND = ({"lookup-call": "404"}, {"lookup-call": "fieldless"}, {"lookup-rows-lost": "on"})
"""A look-up that never tells anything."""

UNREADABLE = {"forbidden": "on@status"}


async def assert_proved(
    quirks: Mapping[str, str],
    *,
    seed: int,
    look_up_tells: bool = True,
    reading_tells: bool = True,
    patience: float = 5,
    known_at_once: bool = False,
) -> None:
    """A run with these quirks, and one a day later without them, end as they should, each within its calls."""
    licenses = SHORT if seed % 2 else PLENTY
    async with desk_at(seed=seed, devices=HELD, licenses=licenses, page_size=PAGE, patience=patience) as desk:
        first = await desk.run(WANTED, batch_size=BATCH, once_planned=lambda: desk.switch(dict(quirks)))
        assert_kept_as_reported(desk, first)
        assert_nothing_was_repeated_unproved(first, look_up_tells=look_up_tells, reading_tells=reading_tells)
        assert_few_calls(first)
        if not LIES & quirks.keys():
            assert_true(desk, first)
        if known_at_once:
            assert {each.kind for each in first.pool.outcomes} == {OutcomeKind.DONE}
            assert_right(desk)

        desk.be_kind(*(name for name in quirks if name not in {"pending-takes", "late-effect", "delay"}))
        desk.clock.move(timedelta(hours=25))
        desk.simulator.world.settle(desk.clock().timestamp())
        before = desk.holders
        second = await desk.run(WANTED, batch_size=BATCH)
        assert_kept_as_reported(desk, second)
        assert_few_calls(second)
        assert_right(desk)
        assert_nothing_is_left_open(desk, first, before)
        assert {each.kind for each in second.pool.outcomes} <= {OutcomeKind.DONE}
        if not LIES & quirks.keys():
            assert not as_asked_before(first, before) & {each.action for each in second.pool.outcomes}, "asked again"

        in_step = await desk.plan(WANTED)
        assert in_step.actions == ()
        assert {held.reason for held in in_step.held} <= {HeldReason.NO_CAPACITY}


def assert_right(desk: Desk) -> None:
    """The simulator's world is as the inventory wants it, as far as the licenses go."""
    assert desk.holders <= set(WANTED)
    assert set(imeis(TO_REMOVE, HELD)) <= desk.holders, "a license was taken from a device that should keep it"
    assert len(desk.holders) == min(len(WANTED), desk.account.total)


def assert_true(desk: Desk, done: Done) -> None:
    """What the run calls done is so, and what it calls failed is not."""
    for each in done.pool.outcomes:
        as_asked = (each.action.device in desk.holders) is (each.action.verb is Verb.ASSIGN)
        if each.kind is OutcomeKind.DONE:
            assert as_asked, each
        elif each.kind is OutcomeKind.FAILED:
            assert not as_asked, each


def assert_nothing_is_left_open(desk: Desk, first: Done, before: set[str]) -> None:
    """What the first run left open is settled as the world was when the second one read it."""
    open_then = {each.action.device for each in first.pool.outcomes if each.kind in earlier.OPEN}
    for row in desk.rows():
        assert row.outcome not in earlier.OPEN, row
        assert (row.retry_at, row.in_flight) == (None, False), row
        if row.run == first.report.run and row.device in open_then:
            as_asked = (row.device in before) is (row.verb is Verb.ASSIGN)
            assert row.outcome is (OutcomeKind.DONE if as_asked else OutcomeKind.FAILED), row
    assert not [outcome for outcome in Counter((r.run, r.verb, r.device) for r in desk.rows()).values() if outcome > 1]


def as_asked_before(done: Done, holders: set[str]) -> set[object]:
    """The actions of a run whose devices were as asked when the next one read."""
    return {e.action for e in done.pool.outcomes if (e.action.device in holders) is (e.action.verb is Verb.ASSIGN)}


def assert_nothing_was_repeated_unproved(done: Done, *, look_up_tells: bool, reading_tells: bool) -> None:
    """Between two times that a device was sent for one verb stands a look-up of it, or a whole reading."""
    doubtful: set[tuple[str, str]] = set()
    sent: Counter[tuple[str, str]] = Counter()
    pages = 0
    for seen in done.log:
        pages = 0 if seen.call in {"lookup", *VERBS} else pages + (seen.call == "status")
        if seen.call == "lookup" and look_up_tells:
            doubtful -= {(verb, device) for verb in VERBS for device in seen.devices}
        elif pages > 1 and reading_tells:  # one page alone is asked for its counts
            doubtful.clear()
        elif seen.call in VERBS and not (isinstance(seen.status, int) and 300 <= seen.status < 500):
            actions = {(seen.call, device) for device in seen.devices}
            assert not actions & doubtful, f"{seen.call} was repeated without knowing what became of it"
            doubtful |= actions
            sent.update(actions)
    assert max(sent.values(), default=0) <= 2, "sent a third time"


def assert_few_calls(done: Done) -> None:
    """With b batches a run takes at most 3b writes: each once, once more after look-ups, once more after readings.

    Look-ups: one a write, in two forms, asked for three times each. Readings: the plan's, one for each of three
    phases; of one walk each where the pages agree, of three where not. One page more for what the removals freed.
    """
    actions = [*done.plan.actions, *(held.action for held in done.plan.held_for(HeldReason.AWAITING_REMOVALS))]
    phases = [done.plan.of(Verb.REMOVE), done.plan.of(Verb.ASSIGN), done.plan.held_for(HeldReason.AWAITING_REMOVALS)]
    batches = sum(-(-len(phase) // BATCH) for phase in phases)
    pages = -(-len({*imeis(0, HELD), *WANTED}) // PAGE) + 1
    readings = 1 + sum(1 for phase in phases if phase)
    writes = done.count("assign", "remove")
    assert writes <= 3 * batches
    assert sum(len(seen.devices) for seen in done.writes) <= 2 * len(actions)
    assert done.count("lookup") <= writes * FORMS * ATTEMPTS
    assert done.count("status") <= (readings * WALKS * pages + 1) * ATTEMPTS
    assert done.count("subscription") <= (readings + 1) * ATTEMPTS
    assert done.count("token", "login") <= 2 * ATTEMPTS
    assert len(done.log) == sum(done.count(call) for call in CALLS)


CALLS = ("token", "login", "status", "subscription", "lookup", "assign", "remove")


def _in_turn(*doses: str) -> pytest.MarkDecorator:
    """Each quirk in one of these doses, and in the others where there is time."""
    cases = [
        pytest.param(quirk, dose, marks=() if (place + turn) % len(doses) == 0 else pytest.mark.exhaustive)
        for place, quirk in enumerate(ANSWERS)
        for turn, dose in enumerate(doses)
    ]
    return pytest.mark.parametrize(("quirk", "dose"), cases)


@_in_turn(*DOSES)
async def test_an_answer_that_goes_astray_is_looked_up_before_anything_is_sent_again(quirk: str, dose: str) -> None:
    seed = DOSES.index(dose) + list(ANSWERS).index(quirk)
    once = dose.startswith("1x") and quirk not in LIES
    await assert_proved({quirk: dose, **ANSWERS[quirk]}, seed=seed, known_at_once=once)


@_in_turn("1x@writes", "50%@writes")
async def test_where_no_look_up_tells_a_fresh_reading_does(quirk: str, dose: str) -> None:
    seed = len(dose) + list(ANSWERS).index(quirk)
    quirks = {quirk: dose, **ANSWERS[quirk], **BLIND[seed % len(BLIND)]}
    once = dose.startswith("1x") and quirk not in LIES
    await assert_proved(quirks, seed=seed, look_up_tells=False, known_at_once=once)


@pytest.mark.parametrize("quirk", ANSWERS)
async def test_where_nothing_tells_nothing_is_sent_again_until_the_next_run_has_read(quirk: str) -> None:
    seed = list(ANSWERS).index(quirk)
    quirks = {quirk: "on@writes", **ANSWERS[quirk], **BLIND[seed % len(BLIND)], **UNREADABLE}
    await assert_proved(quirks, seed=seed, look_up_tells=False, reading_tells=False)


@pytest.mark.parametrize("quirks", FORMS_OF_ANSWERS, ids=lambda quirks: "=".join(*quirks.items()))
@pytest.mark.parametrize("seed", some_of([1, 2], 1))
async def test_an_answer_of_another_form_is_understood_or_looked_up(quirks: Mapping[str, str], seed: int) -> None:
    await assert_proved(quirks, seed=seed, known_at_once=True)


@pytest.mark.parametrize("dose", ["1x@assign", "1x@remove", "#2@writes"])
async def test_an_answer_that_comes_too_late_is_as_good_as_none(dose: str) -> None:
    await assert_proved({"delayed": dose, "delay": "30"}, seed=len(dose), patience=1, known_at_once=True)


LOOK_UPS: tuple[Mapping[str, str], ...] = (
    *BLIND,
    {"lookup-call": "503"},
    {"lookup-rows-lost": "50%"},
    {"lookup-filter": "on"},
    {"lookup-lag": "60"},
    {"error-500": "1x@lookup"},
    {"error-502": "2x@lookup"},
    {"error-503": "on@lookup"},
    {"error-429": "1x@lookup", "retry-after-429": "0"},
    {"forbidden": "on@lookup"},
    {"redirect": "on@lookup"},
    {"lost-before-effect": "1x@lookup"},
    {"lost-after-effect": "2x@lookup"},
    {"cut-off": "1x@lookup"},
    {"truncated-json": "1x@lookup"},
    {"html-200": "on@lookup"},
    {"empty-200": "2x@lookup"},
    {"wrong-account": "on@lookup"},
    {"bearer-dies": "1x@lookup"},
    {"session-dies": "2x@lookup"},
)
DEAF = (*BLIND, {"lookup-call": "503"}, *({name: "on@lookup"} for name in ("error-503", "forbidden", "redirect")))
DEAF = (*DEAF, {"html-200": "on@lookup"}, {"wrong-account": "on@lookup"})
"""Those of them by which no look-up ever tells anything."""


LOSSES = ("write-rows-lost", "error-500-after-effect", "odd-status")


@pytest.mark.parametrize("seed", some_of([1, 2], 1))
async def test_a_look_up_that_goes_astray_is_made_again_or_a_reading_tells(seed: int) -> None:
    async with asyncio.TaskGroup() as scenarios:
        for number, quirks in enumerate(LOOK_UPS, start=seed):
            amiss = {**quirks, LOSSES[number % len(LOSSES)]: "50%@writes"}
            scenarios.create_task(assert_proved(amiss, seed=number, look_up_tells=quirks not in DEAF))


@pytest.mark.parametrize("seed", some_of([1, 2, 3], 1))
async def test_what_had_no_effect_twice_is_not_sent_again_even_if_a_reading_was_needed_to_tell(seed: int) -> None:
    await assert_proved({"lost-before-effect": "on@writes", "lookup-rows-lost": "50%"}, seed=seed)


READINGS: tuple[Mapping[str, str], ...] = (
    {"assigned-off-by": "+1"},
    {"assigned-drifts": "+1"},
    {"account-trouble": "forbidden"},
    {"error-503": "on@status"},
    {"wrong-account": "on@status"},
    {"rows-lost": "on"},
    {"last-page-lost": "on"},
    {"rows-doubled": "on"},
    {"others-in-walk": "+1@1"},
    {"list-lag": "60"},
    {"truncated-json": "1x@status"},
    {"html-200": "on@status"},
    {"cut-off": "2x@status"},
    {"empty-page": "1x"},
    {"counts-absent": "both"},
)


@pytest.mark.parametrize("seed", some_of([1, 2], 1))
async def test_a_fresh_reading_that_goes_astray_proves_nothing(seed: int) -> None:
    mended = {"rows-doubled", "truncated-json", "cut-off", "empty-page", "counts-absent", "list-lag"}
    async with asyncio.TaskGroup() as scenarios:
        for number, quirks in enumerate(READINGS, start=seed):
            amiss = {**quirks, "lookup-call": "fieldless", "write-rows-lost": "50%@writes"}
            tells = bool(quirks.keys() & mended)
            scenarios.create_task(assert_proved(amiss, seed=number, look_up_tells=False, reading_tells=tells))


async def test_a_service_that_says_nothing_but_500_is_left_alone_soon() -> None:
    await assert_proved({"account-trouble": "broken"}, seed=1, look_up_tells=False, reading_tells=False)


# --- a batch that is rejected whole


@pytest.mark.parametrize("lost", [{}, {"lost-after-effect": "50%@assign"}, {"write-rows-lost": "50%@assign"}])
async def test_halving_takes_few_calls_whatever_else_goes_astray(lost: dict[str, str]) -> None:
    """One bad device of a batch of n: each time that it is sent, 1 + 2 log2(n) calls; the others at most twice more."""
    (bad,) = imeis(510, 511)
    async with desk_at(seed=len(lost), quirks={"poison-devices": bad, **lost}) as desk:
        run = await desk.run(imeis(500, 532), batch_size=32)
        assert_kept_as_reported(desk, run)
        assert_nothing_was_repeated_unproved(run, look_up_tells=True, reading_tells=True)
        assert desk.holders == set(imeis(500, 532)) - {bad}
        assert [e.action.device for e in run.pool.outcomes if e.kind is not OutcomeKind.DONE] == [bad]
        assert run.count("assign") <= (1 + 2 * 5) + (2 if lost else 0)


@pytest.mark.parametrize(
    ("quirks", "calls"),
    [
        ({"account-trouble": "inactive"}, 1),
        ({"account-trouble": "not-found"}, 1),
        ({"account-trouble": "forbidden"}, 1),
        ({"purchase-type": "event-refused"}, 1),
        ({"session-dies": "on@writes"}, 2),
        ({"session-dies": "on@writes", "session-form": "uws"}, 2),
        ({"bearer-dies": "on@writes"}, 2),
        ({"over-allocation": "whole", "others-before-write": "+1000"}, 1),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
async def test_words_about_all_are_no_reason_to_halve(quirks: dict[str, str], calls: int) -> None:
    """Each batch in hand takes one call, or two where a fresh login is worth a try; the rest is not sent."""
    at_once = 2
    async with desk_at(licenses=100, quirks={"session-form": "fota"}) as desk:
        wanted = imeis(500, 560)
        run = await desk.run(wanted, at_once=at_once, once_planned=lambda: desk.switch(quirks))
        assert_kept_as_reported(desk, run)
        assert 0 < run.count("assign") <= at_once * calls
        assert run.count("lookup") == 0
        assert {each.kind for each in run.pool.outcomes} == {OutcomeKind.FAILED}
        why = HeldReason.NO_CAPACITY if "over-allocation" in quirks else HeldReason.STOPPING
        assert {each.reason for each in run.pool.held} == {why}
        assert len(run.pool.outcomes) + len(run.pool.held) == len(wanted)
        assert not desk.holders & set(wanted)
