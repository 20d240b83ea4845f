"""The JSON Schemas of plan, report and status."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import jsonschema
import pytest
import render_worlds as worlds

from licensesync.model import (
    Capacity,
    Held,
    HeldReason,
    Mode,
    OutcomeKind,
    OutcomeReason,
    Plan,
    PlanVerdict,
    PoolReport,
    Product,
    Reading,
    Rule,
    RunVerdict,
    Unread,
    Verb,
)
from licensesync.render import json as render
from licensesync.render.schemas import Schema, plan_schema, report_schema, status_schema

PLANNED = Plan(
    worlds.FOTA,
    Capacity(9, 3),
    (worlds.assign(1),),
    (Held(worlds.assign(2), HeldReason.QUARANTINED, worlds.NOW),),
    refusal=worlds.REFUSAL,
)
REPORTED = PoolReport(PLANNED, (worlds.outcome(worlds.assign(1), OutcomeKind.REJECTED, "no"),))


def valid_plan() -> Any:
    return json.loads(render.plan(worlds.run_plan(PLANNED, Unread(worlds.SIM, Reading.UNREAD, "HTTP 403"))))


def valid_report() -> Any:
    return json.loads(render.report(worlds.run_report(REPORTED), 5))


def objects(schema: object) -> list[Any]:
    """Every description of an object in a schema."""
    if isinstance(schema, list):
        return [found for part in schema for found in objects(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if "additionalProperties" in schema or ("properties" in schema and "type" in schema) else []
    return own + [found for part in schema.values() for found in objects(part)]


@pytest.mark.parametrize("schema", [plan_schema(), report_schema(), status_schema()], ids=["plan", "report", "status"])
def test_a_schema_is_a_schema_and_strict_all_through(schema: Schema) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert len(objects(schema)) > 5
    assert all(described["additionalProperties"] is False for described in objects(schema))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        *((plan_schema(), words) for words in (PlanVerdict, Product, Mode, Reading, Verb, HeldReason, Rule)),
        *((report_schema(), words) for words in (RunVerdict, OutcomeKind, OutcomeReason, HeldReason)),
    ],
)
def test_a_schema_knows_each_closed_list(schema: Schema, words: type[StrEnum]) -> None:
    assert json.dumps({"type": "string", "enum": list(words)}) in json.dumps(schema)


def drop(key: str) -> Callable[[Any], object]:
    return lambda target: target.pop(key)


def put(key: str, value: object) -> Callable[[Any], object]:
    return lambda target: target.update({key: value})


SPOILED_PLANS: dict[str, Callable[[Any], object]] = {
    "a new key": put("extra", 1),
    "a missing key": drop("hash"),
    "another version": put("version", 2),
    "another kind": put("kind", "report"),
    "a short hash": put("hash", "sha256:12"),
    "a time in another zone": put("made_at", "2026-11-22T15:00:00+01:00"),
    "a time with a fraction": put("made_at", "2026-11-22T15:00:00.5Z"),
    "an unknown verdict": put("verdict", "done"),
    "a dirty word": lambda plan: plan["inventory"].update(dirty="no"),
    "a whole pool without capacity": lambda plan: plan["pools"][0].update(capacity=None),
    "a whole pool with a problem": lambda plan: plan["pools"][0].update(problem="x"),
    "a whole pool that is unread": lambda plan: plan["pools"][0].update(verdict="unread"),
    "an unread pool with capacity": lambda plan: plan["pools"][1].update(
        capacity={"total": 1, "assigned": 1, "free": 0}
    ),
    "an unread pool without a problem": lambda plan: plan["pools"][1].update(problem=None),
    "an unread pool with actions": lambda plan: plan["pools"][1].update(actions=plan["pools"][0]["actions"]),
    "an unread pool in step": lambda plan: plan["pools"][1].update(verdict="in-step"),
    "a pool with actions that rests on an older reading": lambda plan: plan["pools"][0].update(
        rests_on="2026-11-22T12:30:00Z", refusal=None
    ),
    "a refusal that rests on an older reading": lambda plan: plan["pools"][0].update(
        rests_on="2026-11-22T12:30:00Z", actions=[]
    ),
    "an unread pool that rests on an older reading": lambda plan: plan["pools"][1].update(
        rests_on="2026-11-22T12:30:00Z"
    ),
    "a negative count": lambda plan: plan["pools"][0]["counts"].update(kept=-1),
    "an unknown reason": lambda plan: plan["pools"][0]["held"][0].update(reason="because"),
    "a place without a column": lambda plan: plan["pools"][0]["actions"][0].update(place="a.yaml:1"),
    "a place before the first line": lambda plan: plan["pools"][0]["actions"][0].update(place="a.yaml:0:1"),
    "a device that is a number": lambda plan: plan["pools"][0]["actions"][0].update(device=990000000000001),
    "a long hash of a refusal": lambda plan: plan["pools"][0]["refusal"].update(hash="0" * 64),
}
SPOILED_REPORTS: dict[str, Callable[[Any], object]] = {
    "a verdict of plans": put("verdict", "changes"),
    "no exit code": drop("exit"),
    "no outcomes": lambda report: report["pools"][0].pop("outcomes"),
    "the counts of a plan": lambda report: report["pools"][0].update(counts=valid_plan()["pools"][0]["counts"]),
    "an unknown outcome": lambda report: report["pools"][0]["outcomes"][0].update(outcome="held"),
    "an unknown reason": lambda report: report["pools"][0]["outcomes"][0].update(reason="protected"),
}


def test_what_is_rendered_is_valid() -> None:
    jsonschema.Draft202012Validator(plan_schema()).validate(valid_plan())
    jsonschema.Draft202012Validator(report_schema()).validate(valid_report())


@pytest.mark.parametrize("spoil", SPOILED_PLANS.values(), ids=SPOILED_PLANS.keys())
def test_a_spoiled_plan_is_not_valid(spoil: Callable[[Any], object]) -> None:
    document = valid_plan()
    spoil(document)
    assert not jsonschema.Draft202012Validator(plan_schema()).is_valid(document)


@pytest.mark.parametrize("spoil", SPOILED_REPORTS.values(), ids=SPOILED_REPORTS.keys())
def test_a_spoiled_report_is_not_valid(spoil: Callable[[Any], object]) -> None:
    document = valid_report()
    spoil(document)
    assert not jsonschema.Draft202012Validator(report_schema()).is_valid(document)
