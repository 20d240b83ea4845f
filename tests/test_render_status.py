"""The status as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import record_worlds as past
import render_worlds as worlds
from hypothesis import given

from licensesync.model import Capacity, OutcomeKind, PoolRecord, PoolStatus, RunVerdict, Status
from licensesync.render import status as render
from licensesync.render.page import Page
from licensesync.render.schemas import status_schema

LEDGER = "/var/lib/licensesync/ledger.db"


def stands(last: PoolRecord | None, quarantined: int = 0, open_requests: int = 0) -> Status:
    name = last.pool if last else "fota"
    return Status((PoolStatus(name, last, quarantined, open_requests),), past.run())


def lines(status: Status, page: Page = past.PAGE) -> list[str]:
    return render.text(status, LEDGER, page).splitlines()


def document(status: Status) -> Any:
    found = json.loads(render.document(status))
    jsonschema.Draft202012Validator(status_schema()).validate(found)
    return found


def test_pools_stand_in_a_table_and_what_is_not_in_step_stands_below_it() -> None:
    counts = {**past.DONE, OutcomeKind.REJECTED: 1, OutcomeKind.UNKNOWN: 2}
    refused = past.pool(
        verdict=RunVerdict.REFUSED,
        counts=counts,
        waiting=2,
        held={"refused": 400, "no-capacity": 2},
        refusal=worlds.REFUSAL,
    )
    never = PoolStatus("sim")
    status = Status((PoolStatus("fota", refused, 2, 1), never), past.run(verdict=RunVerdict.REFUSED, exit=3))
    assert (
        render.text(status, LEDGER, past.PAGE)
        == """\
pool  verdict     as of (UTC)       total  assigned  free  waiting
fota  refused     2026-11-22 15:00   9000       998  8002        2
sim   no run yet  -                     -         -     -        -

fota
  not in step: 1 rejected, 2 unknown, 400 held as refused, 2 held as no-capacity
  2 devices in quarantine; licensesync quarantine list shows why
  1 open request: sent, and how it ends is not known yet
  400 removals refused: rule percent (set to 10) allows 99
  refusal: 3f9ac1d25be07a44
  next step: approve it in the inventory

last run 20261122T150000Z-3f9ac1: refused; exit 3
  apply, began 2026-11-22 15:00 UTC, ended 2026-11-22 15:02 UTC
inventory of 1234 devices, commit c0ffeec0ffeec0ffeec0ffeec0ffeec0ffee
ledger /var/lib/licensesync/ledger.db
"""
    )


def test_a_pool_in_which_all_is_well_takes_one_line() -> None:
    assert lines(stands(past.pool()))[2:4] == ["", "last run 20261122T150000Z-3f9ac1: done; exit 0"]


def test_a_pool_that_was_not_read_says_why() -> None:
    told = lines(stands(past.unread()))
    assert told[1].split() == ["fota", "unread", "2026-11-22", "15:00", "-", "-", "-", "-"]
    assert "  reading unread: HTTP 403" in told


def test_a_ledger_without_runs_is_said_to_have_none() -> None:
    told = " ".join(lines(Status((PoolStatus("fota"),))))
    assert f"no run was recorded yet; licensesync apply begins the ledger at {LEDGER}" in told


def test_a_run_that_has_not_ended_is_said_to_go_on_or_to_have_been_killed() -> None:
    told = lines(replace(stands(past.pool()), last_run=past.going_on()))
    assert f"last run {past.RUN}: not ended" in told
    assert "  apply, began 2026-11-22 15:00 UTC, has not ended: going on, or killed" in told


def test_the_next_run_is_told_where_one_is_planned() -> None:
    told = " ".join(lines(replace(stands(past.pool()), service=past.SERVICE)))
    assert "service runs as process 4711 since 2026-11-22 15:00 UTC; next run 2026-11-22 15:02 UTC" in told
    assert "backs off: the next attempt to read it is 2026-11-22 15:02 UTC" in told
    assert "inventory.yaml:3:9: unknown pool 'fot'; write fota" in told


def test_a_git_remote_that_does_not_answer_is_told_with_its_last_answer() -> None:
    service = replace(past.SERVICE, fresh_at=worlds.NOW, stale="main of host:fleet.git cannot be fetched")
    told = " ".join(lines(replace(stands(past.pool()), service=service), past.WIDE))
    assert "the git remote was last reached 2026-11-22 15:00 UTC" in told
    assert "the git remote does not answer: main of host:fleet.git cannot be fetched" in told


def test_a_long_name_gives_way_in_a_narrow_page_only() -> None:
    named = stands(past.pool(pool="rotterdam-harbour-meters-and-pumps", capacity=Capacity(9_000_000, 998_000)))
    assert lines(named)[1].startswith("rotterdam-")
    assert "…" in lines(named)[1]
    assert lines(named, past.WIDE)[1].startswith("rotterdam-harbour-meters-and-pumps  ")


@worlds.unhurried
@given(past.statuses, past.pages)
def test_a_status_is_printable_and_fits_its_page(status: Status, page: Page) -> None:
    past.fits(render.text(status, LEDGER, page), page.width)


def test_colours_change_nothing_but_the_colours() -> None:
    coloured = render.text(stands(past.pool(), 1), LEDGER, Page(colour=True, width=80))
    assert "\033[" in coloured
    assert past.without_colour(coloured) == render.text(stands(past.pool(), 1), LEDGER, past.PAGE)


def test_the_document_is_what_the_contract_says() -> None:
    status = replace(stands(past.pool(waiting=2, refusal=worlds.REFUSAL), 3, 1), service=past.SERVICE)
    assert document(status) == {
        "version": 1,
        "kind": "status",
        "inventory": {
            "commit": worlds.INVENTORY.commit,
            "dirty": False,
            "devices": 1234,
            "digest": worlds.INVENTORY.digest,
            "author": None,
        },
        "last_run": {
            "run": past.RUN,
            "command": "apply",
            "started_at": "2026-11-22T15:00:00Z",
            "finished_at": "2026-11-22T15:02:00Z",
            "verdict": "done",
            "exit": 0,
            "commit": worlds.INVENTORY.commit,
            "plan": f"sha256:{'cd' * 32}",
        },
        "next_run": "2026-11-22T15:02:00Z",
        "service": {
            "pid": 4711,
            "started_at": "2026-11-22T15:00:00Z",
            "problems": ["inventory.yaml:3:9: unknown pool 'fot'; write fota"],
            "rejected_at": "2026-11-22T15:00:00Z",
            "fresh_at": None,
            "stale": None,
        },
        "pools": [
            {
                "pool": "fota",
                "verdict": "done",
                "reading": "whole",
                "read_at": "2026-11-22T15:00:00Z",
                "capacity": {"total": 9000, "assigned": 998, "free": 8002},
                "counts": past.DONE,
                "waiting": 2,
                "quarantined": 3,
                "open_requests": 1,
                "unknown": 0,
                "refusal": {
                    "rule": "percent",
                    "setting": 10,
                    "limit": 99,
                    "asked": 400,
                    "hash": "3f9ac1d25be07a44",
                    "next_step": "approve it in the inventory",
                },
                "next_attempt": "2026-11-22T15:02:00Z",
            }
        ],
    }


def test_a_pool_that_no_run_has_reached_has_nulls_and_zeros() -> None:
    assert document(Status((PoolStatus("fota"),))) == {
        "version": 1,
        "kind": "status",
        "inventory": None,
        "last_run": None,
        "next_run": None,
        "service": None,
        "pools": [
            {
                "pool": "fota",
                "verdict": None,
                "reading": None,
                "read_at": None,
                "capacity": None,
                "counts": dict.fromkeys(past.DONE, 0),
                "waiting": 0,
                "quarantined": 0,
                "open_requests": 0,
                "unknown": 0,
                "refusal": None,
                "next_attempt": None,
            }
        ],
    }


@pytest.mark.parametrize("status", [stands(past.unread()), replace(stands(None), last_run=past.going_on())])
def test_a_document_is_valid_however_the_last_run_went(status: Status) -> None:
    assert document(status)["kind"] == "status"


@pytest.mark.parametrize("key", ["counts", "waiting", "refusal", "capacity"])
def test_a_document_without_one_of_its_keys_is_not_valid(key: str) -> None:
    found = document(stands(past.pool()))
    del found["pools"][0][key]
    assert not jsonschema.Draft202012Validator(status_schema()).is_valid(found)
