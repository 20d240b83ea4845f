"""The story of one device as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import record_worlds as past
import render_worlds as worlds
from hypothesis import given
from hypothesis import strategies as st

from licensesync.model import (
    Background,
    Capacity,
    Held,
    HeldReason,
    Imei,
    Intent,
    LineCommit,
    Naming,
    OutcomeKind,
    OutcomeReason,
    Place,
    Plan,
    Prospect,
    Protection,
    Queue,
    Reading,
    Shelter,
    Standing,
    Story,
    Term,
    Unread,
    imei_of,
    prospect,
)
from licensesync.render import explanation
from licensesync.render import story as render
from licensesync.render.page import Page

DEVICE = worlds.imei(1)
LINE = LineCommit("c0ffee" * 6, "Ada Lovelace", worlds.NOW, "Pump 7 comes to Chicago")
NAMING = Naming("chicago-meters", Place("inventory/chicago.yaml", 2, 9), 10, line=LINE)
CAPACITY = Capacity(9000, 998)
KEPT = Prospect(holds=True, capacity=CAPACITY, intent=Intent.KEPT)
REJECTED = past.outcome(
    outcome=OutcomeKind.REJECTED, reason="device-not-found", service="Device Not Found. " + "It is gone. " * 20
)


def standing(what: Prospect | Unread = KEPT, naming: Naming | None = NAMING, **changed: Any) -> Standing:
    return replace(Standing(worlds.FOTA, DEVICE, naming, what, Background()), **changed)


def story(*standings: Standing, **changed: Any) -> Story:
    return replace(Story(imei_of(DEVICE), None, standings), **changed)


def planned(*held: Held, refused: bool = False, **changed: Any) -> Plan:
    return replace(Plan(worlds.FOTA, CAPACITY, (), held, refusal=worlds.REFUSAL if refused else None), **changed)


def first_line(what: Prospect | Unread, naming: Naming | None = NAMING) -> str:
    told = standing(what, naming)
    return render.headline(story(told), told).removeprefix(f"{DEVICE} ")


def words(told: Story) -> str:
    return " ".join(render.text(told, past.PAGE).split())


def document(told: Story) -> Any:
    return json.loads(explanation.as_json(told))


def test_a_story_begins_with_the_sentence_that_says_it_all() -> None:
    record = past.outcome(device=DEVICE, outcome=OutcomeKind.REJECTED, reason="device-not-found", service="No.")
    told = story(standing(background=Background(managed=True, outcomes=(record, past.outcome()), of=12)))
    assert (
        render.text(told, past.PAGE)
        == """\
990000000000001 holds a license of pool fota and keeps it

fota: fota, account 0642233522-00001, mode full
  inventory   inventory/chicago.yaml:2:9, group chicago-meters, priority 10
              line of commit c0ffeec0ff by Ada Lovelace on 2026-11-22: Pump 7
              comes to Chicago
  service     holds a license; 9000 licenses, 998 assigned, 8002 free
  plan        nothing to do: it keeps its license
  ledger      managed: an inventory that was applied named it; the last 2 of 12
              outcomes; licensesync history --device 990000000000001 shows all:
              2026-11-22 15:00 UTC assign rejected: device-not-found: No.
              2026-11-22 15:00 UTC assign done
"""
    )


def test_a_device_whose_request_is_open_may_hold_a_license_and_is_asked_for_again() -> None:
    lacks, loses = (Prospect(holds=None, capacity=CAPACITY, intent=each) for each in (Intent.ASSIGN, Intent.REMOVE))
    may = "may hold a license of pool fota, as nobody told how a request ended"
    assert first_line(lacks) == f"{may}; the next run asks again"
    assert first_line(loses, None) == f"{may}, and will lose it: no group names it"
    assert "service a request for it is open, and decides whether it holds a license" in words(story(standing(lacks)))
    assert document(story(standing(lacks)))["pools"][0]["holds"] is None


def test_a_pending_request_says_until_when_its_end_is_to_be_told() -> None:
    until = worlds.NOW + timedelta(minutes=30)
    pending = past.outcome(outcome=OutcomeKind.PENDING, retry_at=until, request="r")
    told = story(standing(background=Background(managed=True, outcomes=(pending,), of=1)))
    assert "assign pending: told by 2026-11-22 15:30 UTC" in words(told)


@pytest.mark.parametrize(
    ("naming", "why"),
    [
        (None, "no group names it"),
        (replace(NAMING, term=Term.NOT_YET), "its group's time has not come"),
        (replace(NAMING, term=Term.ENDED), "its group's time is over"),
    ],
)
def test_a_device_that_is_not_wanted_is_told_why(naming: Naming | None, why: str) -> None:
    loses = Prospect(holds=True, capacity=CAPACITY, intent=Intent.REMOVE)
    lost = Prospect(holds=False, capacity=CAPACITY, intent=Intent.NOTHING)
    kept_back = prospect(planned(Held(worlds.remove(1), HeldReason.MODE)), DEVICE, wanted=False)
    assert first_line(loses, naming) == f"will lose its license of pool fota: {why}"
    assert first_line(lost, naming) == f"has no license of pool fota and needs none: {why}"
    assert first_line(kept_back, naming) == (
        f"keeps its license of pool fota, though {why}: mode add-only removes nothing"
    )


def test_a_device_in_quarantine_lacks_its_license_until_a_time() -> None:
    held = Held(worlds.assign(1), HeldReason.QUARANTINED, worlds.NOW)
    assert first_line(prospect(planned(held), DEVICE, wanted=True)) == (
        "lacks a license of pool fota: in quarantine after repeated failures, until 2026-11-22 15:00 UTC"
    )


def test_a_device_that_waits_has_a_number_in_the_queue() -> None:
    waiting = [Held(worlds.assign(number), HeldReason.NO_CAPACITY) for number in (5, 1, 7)]
    aside = Held(worlds.assign(9), HeldReason.QUARANTINED)
    made = planned(aside, *waiting, actions=(worlds.assign(2), worlds.assign(3)), promised=1)
    told = prospect(made, DEVICE, wanted=True)
    assert told.queue == Queue(served=2, waiting=1, of=3, promised=1)
    assert first_line(told) == "waits for a license of pool fota: no license is free for it"
    assert "number 2 of 3 devices that wait; 2 get a license before; open requests take 1 license" in words(
        story(standing(told))
    )


def test_a_device_that_waits_for_removals_is_told_whether_they_are_refused() -> None:
    waits = Held(worlds.assign(1), HeldReason.AWAITING_REMOVALS)
    promised = prospect(planned(waits), DEVICE, wanted=True)
    refused = prospect(planned(waits, refused=True), DEVICE, wanted=True)
    assert first_line(promised) == ("waits for a license of pool fota: it gets one that the removals of this plan free")
    assert first_line(refused).endswith("but the guard refuses them")
    assert "refusal: 3f9ac1d25be07a44" in words(story(standing(refused)))


def test_a_device_that_waits_for_capacity_is_not_told_of_a_refusal_that_would_not_help_it() -> None:
    waits = Held(worlds.assign(1), HeldReason.NO_CAPACITY)
    assert prospect(planned(waits, refused=True), DEVICE, wanted=True).refusal is None


def test_a_refused_removal_has_its_rule_its_hash_and_the_next_step() -> None:
    told = words(
        story(
            standing(
                prospect(planned(Held(worlds.remove(1), HeldReason.REFUSED), refused=True), DEVICE, wanted=False), None
            )
        )
    )
    assert "400 removals refused: rule percent (set to 10) allows 99" in told
    assert "next step: approve it in the inventory" in told


def test_what_the_plan_does_nothing_about_holds_a_license_only_where_it_is_wanted() -> None:
    assert prospect(planned(), DEVICE, wanted=True) == KEPT
    assert not prospect(planned(), DEVICE, wanted=False).holds


@pytest.mark.parametrize("reason", HeldReason)
def test_each_reason_is_told_of_one_device(reason: HeldReason) -> None:
    assert "them" not in render.WHY[reason].split()


def test_a_pool_that_was_not_read_says_why_and_what_is_wanted() -> None:
    unread = Unread(worlds.FOTA, Reading.PARTIAL, "the counts do not agree")
    assert first_line(unread) == "should hold a license of pool fota; whether it does was not read"
    assert first_line(unread, None).startswith("should not hold")
    assert "service reading partial: the counts do not agree" in words(story(standing(unread)))


def test_pools_that_do_not_matter_and_were_not_read_are_told_once_for_each_reason() -> None:
    others = [Unread(replace(worlds.FOTA, name=name), Reading.UNREAD, "--offline") for name in ("east", "west")]
    assert words(story(standing(), unread=tuple(others))).endswith("not read east, west: --offline")


def test_the_line_of_an_entry_may_be_new_or_have_no_sensible_time() -> None:
    assert "this line is not committed yet" in words(story(standing(naming=replace(NAMING, line=LineCommit(None)))))
    odd = replace(NAMING, line=replace(LINE, at=None))
    assert "by Ada Lovelace: Pump 7" in words(story(standing(naming=odd)))
    assert "commit" not in words(story(standing(naming=replace(NAMING, line=None))))


def test_the_dates_of_a_group_are_told_with_what_they_mean_today() -> None:
    dated = replace(NAMING, since=date(2026, 12, 1), until=date(2027, 2, 1), term=Term.NOT_YET, consents=True)
    told = words(story(standing(naming=dated)))
    assert "priority 10, from 2026-12-01, until 2027-02-01, not active yet, consent: lifetime" in told


def test_a_quarantine_that_the_inventory_has_overtaken_counts_no_more() -> None:
    counts = Background(quarantine=past.set_aside())
    told = story(standing(background=counts))
    outlived = story(standing(background=replace(counts, outlived=True)))
    assert "or sooner: licensesync quarantine release 990000000000001" in words(told)
    assert "so that it counts no more" in words(outlived)
    assert document(told)["pools"][0]["quarantine"]["failures"] == 3
    assert document(outlived)["pools"][0]["quarantine"] is None


def test_an_outcome_in_flight_is_no_outcome_yet() -> None:
    flying = past.outcome(outcome=OutcomeKind.UNKNOWN, reason="no-answer", in_flight=True)
    told = words(story(standing(background=Background(outcomes=(flying,), of=1))))
    assert told.endswith("never managed; 1 outcome: 2026-11-22 15:00 UTC assign in flight")


def test_a_ledger_that_is_not_there_and_one_that_knows_nothing_are_two_things() -> None:
    assert "there is none yet; licensesync apply begins it" in words(story(standing(background=None)))
    assert "never managed; nothing was ever asked for it" in words(story(standing()))
    assert document(story(standing(background=None)))["pools"][0]["managed"] is None
    assert document(story(standing()))["pools"][0]["managed"] is False


def test_a_device_that_is_only_protected_has_a_first_line_too() -> None:
    shelter = Shelter(Protection("spare", Place("a.yaml", 3, 5), date(2027, 1, 1)), LINE)
    told = story(shelter=shelter)
    assert words(told).startswith("990000000000001 has no license and needs none: no group names it, only protect")
    assert "protection a.yaml:3:5, until 2027-01-01: spare line of commit c0ffeec0ff" in words(told)
    assert "(over)" in words(replace(told, shelter=replace(shelter, lasts=False)))
    unsure = replace(told, unread=(Unread(worlds.FOTA, Reading.UNREAD, "HTTP 403"),))
    assert words(unsure).startswith("990000000000001 has no license that is known")


def test_the_longest_story_of_one_pool_is_a_screen() -> None:
    refusal = replace(worlds.REFUSAL, next_step="approve it in the inventory, or let it pass once " * 5)
    held = Held(worlds.remove(1), HeldReason.REFUSED)
    told = prospect(replace(planned(held), refusal=refusal), DEVICE, wanted=False)
    full = standing(told, replace(NAMING, term=Term.ENDED), background=Background(True, (REJECTED,) * 5, 99))
    lines = render.text(story(full), past.PAGE).splitlines()
    assert len(lines) <= 26
    assert all(len(line) <= 80 for line in lines)


namings = st.builds(
    Naming,
    past.texts,
    worlds.places,
    st.integers(-9, 9),
    st.none() | st.dates(),
    st.none() | st.dates(),
    st.sampled_from(Term),
    st.booleans(),
    st.none()
    | st.builds(LineCommit, st.none() | st.just("c0ffee" * 6), past.texts, st.none() | worlds.times, past.texts),
)
outcomes = st.builds(
    past.outcome,
    at=worlds.times,
    outcome=st.sampled_from(OutcomeKind),
    reason=st.none() | st.sampled_from(OutcomeReason),
    service=st.none() | past.texts,
    in_flight=st.booleans(),
)
backgrounds = st.builds(
    Background,
    st.booleans(),
    st.lists(outcomes, max_size=5).map(tuple),
    st.integers(0, 99),
    st.none() | st.builds(past.set_aside, service=past.texts),
    st.booleans(),
)
prospects = worlds.unread | st.builds(
    lambda plan, number, wanted: prospect(plan, worlds.imei(number), wanted=wanted),
    worlds.plans,
    st.integers(0, 5),
    st.booleans(),
)
standings = st.builds(
    Standing,
    worlds.pools,
    st.just(DEVICE) | st.just(worlds.sim(1)),
    st.none() | namings,
    prospects,
    st.none() | backgrounds,
)
stories = st.builds(
    Story,
    st.just(Imei(DEVICE)),
    st.none(),
    st.lists(standings, max_size=3).map(tuple),
    st.none() | st.builds(Shelter, st.builds(Protection, past.texts, worlds.places, st.none() | st.dates())),
    st.lists(worlds.unread, max_size=3).map(tuple),
)


@worlds.unhurried
@given(stories, past.pages)
def test_a_story_is_printable_and_fits_its_page(told: Story, page: Page) -> None:
    past.fits(render.text(told, page), page.width)


@worlds.unhurried
@given(stories)
def test_any_story_is_a_document(told: Story) -> None:
    found = document(told)
    assert (found["version"], found["kind"]) == (1, "explanation")
    assert len(found["pools"]) == len(told.standings)


def test_colours_change_nothing_but_the_colours() -> None:
    told = story(standing())
    coloured = render.text(told, Page(colour=True, width=80))
    assert "\033[" in coloured
    assert past.without_colour(coloured) == render.text(told, past.PAGE)


def test_the_document_has_the_fields_that_scripts_read() -> None:
    waits = Held(worlds.assign(1), HeldReason.NO_CAPACITY)
    told = standing(prospect(planned(waits), DEVICE, wanted=True), replace(NAMING, since=date(2026, 11, 1)))
    assert document(story(told)) == {
        "version": 1,
        "kind": "explanation",
        "device": DEVICE,
        "iccid": None,
        "known": True,
        "protection": None,
        "pools": [
            {
                "pool": "fota",
                "iccid": None,
                "summary": "990000000000001 waits for a license of pool fota: no license is free for it",
                "inventory": {
                    "place": "inventory/chicago.yaml:2:9",
                    "group": "chicago-meters",
                    "priority": 10,
                    "from": "2026-11-01",
                    "until": None,
                    "active": True,
                    "consent": False,
                    "line": {
                        "commit": "c0ffee" * 6,
                        "author": "Ada Lovelace",
                        "at": "2026-11-22T15:00:00Z",
                        "summary": "Pump 7 comes to Chicago",
                    },
                },
                "reading": "whole",
                "problem": None,
                "holds": False,
                "capacity": {"total": 9000, "assigned": 998, "free": 8002},
                "intent": "held",
                "reason": "no-capacity",
                "until": None,
                "queue": {"position": 1, "of": 1, "served_before": 0},
                "refusal": None,
                "managed": False,
                "outcomes": [],
                "outcomes_in_all": 0,
                "quarantine": None,
            }
        ],
        "unread": [],
    }


def test_a_sim_that_nobody_has_seen_is_not_known() -> None:
    nobody = Story(None, None)
    assert not nobody.is_known
    assert document(nobody)["known"] is False
