"""JSON Schemas of the plan, the report and the status, for editors, scripts and tests."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from licensesync.model import (
    HeldReason,
    Mode,
    OutcomeKind,
    OutcomeReason,
    PlanVerdict,
    Product,
    Reading,
    Rule,
    RunVerdict,
    Verb,
)
from licensesync.render.counts import REPORTED
from licensesync.render.fields import VERSION

Schema = dict[str, object]
CAPACITY = ("total", "assigned", "free")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL: Schema = {"type": "null"}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_HASH: Schema = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_PLACE: Schema = {"description": "file:line:column", "type": "string", "pattern": ":[1-9][0-9]*:[1-9][0-9]*$"}
_TIME: Schema = {
    "description": "RFC 3339, in UTC",
    "type": "string",
    "format": "date-time",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
}


def plan_schema() -> Schema:
    """What `plan --format json` prints."""
    return {
        "$schema": _DIALECT,
        "title": "A plan of licensesync",
        **_object(
            {
                "version": {"const": VERSION},
                "kind": {"const": "plan"},
                "hash": _HASH,
                "made_at": _TIME,
                "verdict": _one_of(PlanVerdict),
                "inventory": _inventory(),
                "pools": _list_of(_pool(PlanVerdict, _counts("assign", "remove", "held", "kept", "foreign"), {})),
            }
        ),
    }


def report_schema() -> Schema:
    """What `apply --format json` prints."""
    return {
        "$schema": _DIALECT,
        "title": "A report of licensesync",
        **_object(
            {
                "version": {"const": VERSION},
                "kind": {"const": "report"},
                "run": _TEXT,
                "hash": _HASH,
                "started_at": _TIME,
                "finished_at": _TIME,
                "verdict": _one_of(RunVerdict),
                "exit": _COUNT,
                "inventory": _inventory(),
                "pools": _list_of(_pool(RunVerdict, _counts(*REPORTED), {"outcomes": _list_of(_outcome())})),
            }
        ),
    }


def status_schema() -> Schema:
    """What `status --format json` prints."""
    return {
        "$schema": _DIALECT,
        "title": "The status of licensesync",
        **_object(
            {
                "version": {"const": VERSION},
                "kind": {"const": "status"},
                "inventory": {"description": "of the last run", **_or_null(_inventory())},
                "last_run": {"description": "the one that began last", **_or_null(_run())},
                "next_run": {"description": "null where no service runs", **_or_null(_TIME)},
                "service": {"description": "null where none runs", **_or_null(_service())},
                "pools": _list_of(_pool_status()),
            }
        ),
    }


def _run() -> Schema:
    ended = {"description": "null while it is going on, or where it was killed"}
    return _object(
        {
            "run": _TEXT,
            "command": _TEXT,
            "started_at": _TIME,
            "finished_at": {**ended, **_or_null(_TIME)},
            "verdict": {**ended, **_or_null(_one_of(RunVerdict))},
            "exit": _or_null(_COUNT),
            "commit": _or_null(_TEXT),
            "plan": {"description": "the hash of the plan", **_or_null(_HASH)},
        }
    )


def _pool_status() -> Schema:
    reached = {"description": "null where no run has reached the pool"}
    return _object(
        {
            "pool": _TEXT,
            "verdict": {**reached, **_or_null(_one_of(RunVerdict))},
            "reading": {**reached, **_or_null(_one_of(Reading))},
            "read_at": {**reached, **_or_null(_TIME)},
            "capacity": {"description": "null where it is not known", **_or_null(_counts(*CAPACITY))},
            "counts": _counts(*REPORTED),
            "waiting": {"description": "devices that wait for a license", **_COUNT},
            "quarantined": {"description": "devices that are set aside", **_COUNT},
            "open_requests": {"description": "devices for which something was sent whose end is not known", **_COUNT},
            "unknown": {"description": "those of them whose end nobody is to tell: the next run finds out", **_COUNT},
            "refusal": _or_null(_refusal()),
            "next_attempt": {
                "description": "when the service tries again to read a pool that could not be read",
                **_or_null(_TIME),
            },
        }
    )


def _inventory() -> Schema:
    of_commit = {"commit": _or_null(_TEXT), "author": {"description": "of the commit", **_or_null(_TEXT)}}
    return _object({**of_commit, "dirty": {"type": "boolean"}, "devices": _COUNT, "digest": _HASH})


def _service() -> Schema:
    return _object(
        {
            "pid": _COUNT,
            "started_at": _TIME,
            "problems": {
                "description": "of the newest settings or inventory, where the last good ones are in force",
                **_list_of(_TEXT),
            },
            "rejected_at": {"description": "since when that is so", **_or_null(_TIME)},
            "fresh_at": {
                "description": "when a git remote was last reached",
                **_or_null(_TIME),
            },
            "stale": {"description": "why it did not answer when it was last asked", **_or_null(_TEXT)},
        }
    )


def _pool(verdict: type[StrEnum], counts: Schema, more: Mapping[str, Schema]) -> Schema:
    fields = {
        "pool": _TEXT,
        "product": _one_of(Product),
        "account": _TEXT,
        "mode": _one_of(Mode),
        "verdict": _one_of(verdict),
        "reading": _one_of(Reading),
        "problem": {
            "description": "why the pool was not read whole, or what else went wrong with it",
            **_or_null(_TEXT),
        },
        "rests_on": {
            "description": "when the older whole reading was made, if it was not read anew",
            **_or_null(_TIME),
        },
        "capacity": _or_null(_counts(*CAPACITY)),
        "forecast": _or_null(_object({"assigned": {"type": "integer"}, "free": _COUNT, "waiting": _COUNT})),
        "counts": counts,
        "actions": {"description": "what would be sent", **_list_of(_action())},
        "held": {"description": "what would not be asked for, and why", **_list_of(_held())},
        "refusal": _or_null(_refusal()),
    }
    problem = _NULL if verdict is PlanVerdict else _or_null(_TEXT)
    kinds = [_only_whole_pools_are_planned(problem), _only_plans_without_actions_rest()]
    return {**_object({**fields, **more}), "allOf": kinds}


def _only_whole_pools_are_planned(problem: Schema) -> Schema:
    """What else holds of a pool by its reading; `problem` is that of a pool that was read whole."""
    return {
        "if": {"properties": {"reading": {"const": Reading.WHOLE.value}}},
        "then": {
            "properties": {
                "problem": problem,
                "capacity": {"type": "object"},
                "forecast": {"type": "object"},
                "verdict": {"not": {"const": PlanVerdict.UNREAD.value}},
            }
        },
        "else": {
            "properties": {
                "problem": _TEXT,
                "rests_on": _NULL,
                "capacity": _NULL,
                "forecast": _NULL,
                "verdict": {"const": PlanVerdict.UNREAD.value},
                "actions": {"maxItems": 0},
                "refusal": _NULL,
            }
        },
    }


def _only_plans_without_actions_rest() -> Schema:
    """Nothing is ever sent on the strength of an older reading."""
    resting: Schema = {"properties": {"rests_on": {"type": "string"}}, "required": ["rests_on"]}
    return {"if": resting, "then": {"properties": {"actions": {"maxItems": 0}, "refusal": _NULL}}}


def _action() -> Schema:
    return _device_row({"verb": _one_of(Verb)})


def _held() -> Schema:
    return _device_row({"verb": _one_of(Verb), "reason": _one_of(HeldReason), "until": _or_null(_TIME)})


def _outcome() -> Schema:
    return _device_row(
        {
            "verb": _one_of(Verb),
            "outcome": _one_of(OutcomeKind),
            "reason": _or_null(_one_of(OutcomeReason)),
            "service": {"description": "the service's own words", **_or_null(_TEXT)},
            "at": _TIME,
        }
    )


def _device_row(fields: Mapping[str, Schema]) -> Schema:
    device: Schema = {"description": "the IMEI", "type": "string", "minLength": 1}
    origin = {"group": _or_null(_TEXT), "place": _or_null(_PLACE)}
    iccid = {"iccid": {"description": "SIM-Secure only", **_or_null(_TEXT)}}
    return _object({"device": device, **fields, **origin}, iccid)


def _refusal() -> Schema:
    return _object(
        {
            "rule": _one_of(Rule),
            "setting": {"description": "the rule's figure as configured", "type": ["number", "null"]},
            "limit": {"description": "the same in devices", **_COUNT},
            "asked": {"description": "the removals planned", **_COUNT},
            "hash": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "next_step": _TEXT,
        }
    )


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def _counts(*names: str) -> Schema:
    return _object(dict.fromkeys(names, _COUNT))


def _list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _one_of(words: type[StrEnum]) -> Schema:
    return {"type": "string", "enum": [word.value for word in words]}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, _NULL]}
