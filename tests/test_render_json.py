"""The JSON documents of `plan` and `apply`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
import render_worlds as worlds
from hypothesis import given

from licensesync.model import (
    Action,
    Capacity,
    Held,
    HeldReason,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Place,
    Plan,
    PoolReport,
    Reading,
    Refusal,
    Report,
    Rule,
    RunPlan,
    Unread,
    Verb,
)
from licensesync.render import json as render
from licensesync.render.schemas import plan_schema, report_schema

PLAN_IS_VALID = jsonschema.Draft202012Validator(plan_schema())
REPORT_IS_VALID = jsonschema.Draft202012Validator(report_schema())


def plan(run_plan: RunPlan) -> Any:
    return json.loads(render.plan(run_plan))


def report(report: Report, exit_code: int = 0) -> Any:
    return json.loads(render.report(report, exit_code))


def same(found: object, expected: object) -> bool:
    """Equal, and the keys stand in the same order."""
    return json.dumps(found) == json.dumps(expected)


WHOLE = Plan(
    worlds.FOTA,
    Capacity(9000, 998),
    (worlds.remove(7), worlds.assign(1)),
    (Held(worlds.assign(2), HeldReason.NO_CAPACITY),),
    kept=990,
    foreign=4,
)


def test_a_plan_is_the_document_of_the_contract() -> None:
    run_plan = worlds.run_plan(WHOLE)
    assert same(
        plan(run_plan),
        {
            "version": 1,
            "kind": "plan",
            "hash": run_plan.hash,
            "made_at": "2026-11-22T15:00:00Z",
            "verdict": "changes",
            "inventory": {
                "commit": "c0ffee" * 6,
                "dirty": False,
                "devices": 1234,
                "digest": f"sha256:{'ab' * 32}",
                "author": None,
            },
            "pools": [
                {
                    "pool": "fota",
                    "product": "fota",
                    "account": "0642233522-00001",
                    "mode": "full",
                    "verdict": "changes",
                    "reading": "whole",
                    "problem": None,
                    "rests_on": None,
                    "capacity": {"total": 9000, "assigned": 998, "free": 8002},
                    "forecast": {"assigned": 998, "free": 8002, "waiting": 1},
                    "counts": {"assign": 1, "remove": 1, "held": 1, "kept": 990, "foreign": 4},
                    "actions": [
                        {"verb": "remove", "device": "990000000000007", "group": None, "place": None},
                        {
                            "verb": "assign",
                            "device": "990000000000001",
                            "group": "chicago-meters",
                            "place": "inventory/chicago.yaml:2:9",
                        },
                    ],
                    "held": [
                        {
                            "verb": "assign",
                            "device": "990000000000002",
                            "reason": "no-capacity",
                            "group": "chicago-meters",
                            "place": "inventory/chicago.yaml:3:9",
                            "until": None,
                        }
                    ],
                    "refusal": None,
                }
            ],
        },
    )


def test_an_unread_pool_has_a_problem_and_no_numbers() -> None:
    unread = Unread(worlds.FOTA, Reading.PARTIAL, "page 3 failed")
    assert same(
        plan(worlds.run_plan(unread))["pools"][0],
        {
            "pool": "fota",
            "product": "fota",
            "account": "0642233522-00001",
            "mode": "full",
            "verdict": "unread",
            "reading": "partial",
            "problem": "page 3 failed",
            "rests_on": None,
            "capacity": None,
            "forecast": None,
            "counts": {"assign": 0, "remove": 0, "held": 0, "kept": 0, "foreign": 0},
            "actions": [],
            "held": [],
            "refusal": None,
        },
    )


def test_a_pool_that_was_not_read_anew_names_the_older_reading_and_has_the_same_hash() -> None:
    resting = plan(worlds.run_plan(worlds.RESTING))
    assert resting["pools"][0]["rests_on"] == "2026-11-22T12:30:00Z"
    assert (resting["pools"][0]["reading"], resting["verdict"]) == ("whole", "in-step")
    assert resting["hash"] == plan(worlds.run_plan(replace(worlds.RESTING, rests_on=None)))["hash"]
    PLAN_IS_VALID.validate(resting)

    reported = report(worlds.run_report(PoolReport(worlds.RESTING)))
    assert reported["pools"][0]["rests_on"] == "2026-11-22T12:30:00Z"
    REPORT_IS_VALID.validate(reported)


def test_there_is_no_plan_that_acts_on_the_strength_of_an_older_reading() -> None:
    with pytest.raises(ValueError, match="nothing is asked for"):
        replace(worlds.RESTING, actions=(worlds.remove(7),))


def test_a_report_is_the_document_of_the_contract() -> None:
    sent = Outcome(
        worlds.assign(1), OutcomeKind.REJECTED, worlds.NOW, OutcomeReason.DEVICE_NOT_FOUND, "Device not found"
    )
    done = Outcome(worlds.remove(7), OutcomeKind.DONE, worlds.NOW)
    ended = worlds.run_report(PoolReport(WHOLE, (done, sent)))
    document = report(ended, 5)
    pool = document.pop("pools")[0]
    assert same(
        document,
        {
            "version": 1,
            "kind": "report",
            "run": "01K3",
            "hash": ended.plan.hash,
            "started_at": "2026-11-22T15:00:00Z",
            "finished_at": "2026-11-22T15:00:09Z",
            "verdict": "incomplete",
            "exit": 5,
            "inventory": plan(ended.plan)["inventory"],
        },
    )
    planned = plan(ended.plan)["pools"][0]
    counts = {
        "done": 1,
        "kept": 990,
        "held": 1,
        "pending": 0,
        "rejected": 1,
        "failed": 0,
        "unknown": 0,
        "foreign": 4,
    }
    outcomes = [
        {
            "device": "990000000000007",
            "verb": "remove",
            "outcome": "done",
            "reason": None,
            "service": None,
            "group": None,
            "place": None,
            "at": "2026-11-22T15:00:00Z",
        },
        {
            "device": "990000000000001",
            "verb": "assign",
            "outcome": "rejected",
            "reason": "device-not-found",
            "service": "Device not found",
            "group": "chicago-meters",
            "place": "inventory/chicago.yaml:2:9",
            "at": "2026-11-22T15:00:00Z",
        },
    ]
    assert same(pool, {**planned, "verdict": "incomplete", "counts": counts, "outcomes": outcomes})


def test_a_report_of_an_unread_pool_counts_nothing() -> None:
    pool = report(worlds.run_report(PoolReport(Unread(worlds.FOTA, Reading.UNREAD, "HTTP 403"))), 4)["pools"][0]
    assert (pool["verdict"], set(pool["counts"].values()), pool["outcomes"]) == ("unread", {0}, [])


def test_sim_secure_rows_have_imei_and_iccid() -> None:
    action = Action(Verb.ASSIGN, worlds.sim(1))
    sim = Plan(worlds.SIM, Capacity(9, 0), (action,), (Held(Action(Verb.ASSIGN, worlds.sim(2)), HeldReason.IN_FLIGHT),))
    document = report(worlds.run_report(PoolReport(sim, (worlds.outcome(action, OutcomeKind.PENDING),))))
    rows = [document["pools"][0][kind][0] for kind in ("actions", "held", "outcomes")]
    assert [(row["device"], row["iccid"]) for row in rows] == [
        ("990000000000001", "89148000001234500001"),
        ("990000000000002", "89148000001234500002"),
        ("990000000000001", "89148000001234500001"),
    ]


def test_fota_rows_have_no_iccid() -> None:
    assert "iccid" not in plan(worlds.run_plan(WHOLE))["pools"][0]["actions"][0]


@pytest.mark.parametrize(("setting", "shown"), [(10.0, "10"), (10, "10"), (12.5, "12.5"), (None, "null")])
def test_a_refusal_is_shown_with_its_figure_as_it_was_configured(setting: float | None, shown: str) -> None:
    refusal = Refusal(Rule.PERCENT, setting, 99, 400, worlds.REFUSAL.digest, "approve it")
    refused = render.plan(worlds.run_plan(Plan(worlds.FOTA, Capacity(9, 9), refusal=refusal)))
    expected = (
        f'"refusal":{{"rule":"percent","setting":{shown},"limit":99,"asked":400,'
        '"hash":"3f9ac1d25be07a44","next_step":"approve it"}'
    )
    assert expected in refused.decode()


def test_times_are_in_utc_and_whole_seconds() -> None:
    elsewhere = datetime(2026, 11, 22, 10, 30, 15, 987_654, tzinfo=timezone(timedelta(hours=-5)))
    waiting = Held(worlds.assign(1), HeldReason.QUARANTINED, elsewhere)
    pool = plan(worlds.run_plan(Plan(worlds.FOTA, Capacity(9, 9), held=(waiting,))))["pools"][0]
    assert pool["held"][0]["until"] == "2026-11-22T15:30:15Z"


@pytest.mark.parametrize("devices", [0, 1, 9_999, 10_000, 10_001, 25_000])
def test_rows_stand_in_their_order_however_many_there_are(devices: int) -> None:
    many = Plan(worlds.FOTA, Capacity(9, 9), tuple(map(worlds.assign, range(devices))))
    rows = plan(worlds.run_plan(many))["pools"][0]["actions"]
    assert [row["device"] for row in rows] == [worlds.imei(number) for number in range(devices)]


def test_a_file_name_that_is_not_text_can_be_written() -> None:
    odd = Action(Verb.ASSIGN, worlds.imei(1), "ø", Place("inventory/\udcff.yaml", 1, 1))
    rows = plan(worlds.run_plan(Plan(worlds.FOTA, Capacity(9, 9), (odd,))))["pools"][0]["actions"]
    assert (rows[0]["group"], rows[0]["place"]) == ("ø", "inventory/?.yaml:1:1")


@pytest.mark.parametrize("hostile", worlds.HOSTILE)
def test_a_document_steers_no_terminal_and_says_what_was_written(hostile: str) -> None:
    odd = Action(Verb.ASSIGN, worlds.imei(1), hostile, Place(f"{hostile}ü", 1, 1))
    written = render.plan(worlds.run_plan(Plan(worlds.FOTA, Capacity(9, 9), (odd,))))
    assert written.decode().removesuffix("\n").isprintable()
    (row,) = json.loads(written)["pools"][0]["actions"]
    shown = hostile.encode(errors="replace").decode()
    assert (row["group"], row["place"]) == (shown, f"{shown}ü:1:1")


def test_a_document_is_one_line() -> None:
    written = render.plan(worlds.run_plan(WHOLE))
    assert (written.count(b"\n"), written[-1:]) == (1, b"\n")


@worlds.unhurried
@given(worlds.run_plans)
def test_every_plan_is_valid_by_its_schema(run_plan: RunPlan) -> None:
    document = plan(run_plan)
    PLAN_IS_VALID.validate(document)
    for planned, pool in zip(run_plan.pools, document["pools"], strict=True):
        rows = len(planned.actions) if isinstance(planned, Plan) else 0
        assert len(pool["actions"]) == rows == pool["counts"]["assign"] + pool["counts"]["remove"]


@worlds.unhurried
@given(worlds.reports)
def test_every_report_is_valid_by_its_schema(run_report: Report) -> None:
    document = report(run_report)
    REPORT_IS_VALID.validate(document)
    for pool in document["pools"]:
        sent = sum(pool["counts"][kind] for kind in OutcomeKind)
        assert (len(pool["outcomes"]), len(pool["held"])) == (sent, pool["counts"]["held"])
