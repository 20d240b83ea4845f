"""The plan and the report as the JSON documents of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice

import orjson

from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    Forecast,
    Held,
    InventoryInfo,
    Outcome,
    Place,
    Plan,
    PlanVerdict,
    PoolReport,
    Product,
    Reading,
    Refusal,
    Report,
    RunPlan,
    RunVerdict,
    Unread,
    iccid_of,
    imei_of,
)
from licensesync.render.counts import as_configured, plan_counts, report_counts

VERSION = 1

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
_ROWS_AT_ONCE = 10_000  # a million rows are never all in memory as objects


def plan(run_plan: RunPlan) -> bytes:
    """The document of `plan --format json`, on one line."""
    return _document(
        {
            "version": VERSION,
            "kind": "plan",
            "hash": run_plan.hash,
            "made_at": _time(run_plan.made_at),
            "verdict": run_plan.verdict,
            "inventory": _inventory(run_plan.inventory),
            "pools": [_pool(planned, planned.verdict, plan_counts(planned)) for planned in run_plan.pools],
        }
    )


def report(report: Report, exit_code: int) -> bytes:
    """The document of `apply --format json`, on one line."""
    return _document(
        {
            "version": VERSION,
            "kind": "report",
            "run": report.run,
            "hash": report.plan.hash,
            "started_at": _time(report.plan.made_at),
            "finished_at": _time(report.finished_at),
            "verdict": report.verdict,
            "exit": exit_code,
            "inventory": _inventory(report.plan.inventory),
            "pools": [_reported(pool) for pool in report.pools],
        }
    )


def _document(content: Mapping[str, object]) -> bytes:
    return orjson.dumps(content, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE)


def _inventory(inventory: InventoryInfo) -> dict[str, object]:
    return {
        "commit": inventory.commit,
        "dirty": inventory.dirty,
        "devices": inventory.devices,
        "digest": inventory.digest,
    }


def _reported(pool: PoolReport) -> dict[str, object]:
    product = pool.plan.pool.product
    return {
        **_pool(pool.plan, pool.verdict, report_counts(pool)),
        "problem": None if pool.problem is None else _utf8(pool.problem),
        "outcomes": _rows(_outcome(outcome, product) for outcome in pool.outcomes),
    }


def _pool(planned: Plan | Unread, verdict: PlanVerdict | RunVerdict, counts: Mapping[str, int]) -> dict[str, object]:
    pool = planned.pool
    named = {"pool": pool.name, "product": pool.product, "account": pool.account, "mode": pool.mode, "verdict": verdict}
    if isinstance(planned, Unread):
        return {
            **named,
            "reading": planned.reading,
            "problem": _utf8(planned.problem),
            "capacity": None,
            "forecast": None,
            "counts": counts,
            "actions": [],
            "held": [],
            "refusal": None,
        }
    return {
        **named,
        "reading": Reading.WHOLE,
        "problem": None,
        "capacity": _capacity(planned.capacity),
        "forecast": _forecast(planned.forecast),
        "counts": counts,
        "actions": _rows(_action(action, pool.product) for action in planned.actions),
        "held": _rows(_held(held, pool.product) for held in planned.held),
        "refusal": _refusal(planned.refusal) if planned.refusal else None,
    }


def _capacity(capacity: Capacity) -> dict[str, int]:
    return {"total": capacity.total, "assigned": capacity.assigned, "free": capacity.free}


def _forecast(forecast: Forecast) -> dict[str, int]:
    return {"assigned": forecast.assigned, "free": forecast.free, "waiting": forecast.waiting}


def _refusal(refusal: Refusal) -> dict[str, object]:
    return {
        "rule": refusal.rule,
        "setting": as_configured(refusal.setting),
        "limit": refusal.limit,
        "asked": refusal.asked,
        "hash": refusal.hash,
        "next_step": _utf8(refusal.next_step),
    }


def _action(action: Action, product: Product) -> dict[str, object]:
    return {"verb": action.verb, **_device(action.device, product), **_origin(action)}


def _held(held: Held, product: Product) -> dict[str, object]:
    action = held.action
    return {
        "verb": action.verb,
        **_device(action.device, product),
        "reason": held.reason,
        **_origin(action),
        "until": _time(held.until) if held.until else None,
    }


def _outcome(outcome: Outcome, product: Product) -> dict[str, object]:
    action = outcome.action
    return {
        **_device(action.device, product),
        "verb": action.verb,
        "outcome": outcome.kind,
        "reason": outcome.reason,
        "service": None if outcome.service is None else _utf8(outcome.service),
        **_origin(action),
        "at": _time(outcome.at),
    }


def _device(device: DeviceId, product: Product) -> dict[str, str | None]:
    if product.needs_iccid:
        return {"device": imei_of(device), "iccid": iccid_of(device)}
    return {"device": imei_of(device)}


def _origin(action: Action) -> dict[str, str | None]:
    return {
        "group": None if action.group is None else _utf8(action.group),
        "place": None if action.place is None else _place(action.place),
    }


def _place(place: Place) -> str:
    return _utf8(str(place))


def _time(moment: datetime) -> datetime:
    """In UTC: what orjson then writes with `Z` and whole seconds."""
    return moment.astimezone(UTC)


def _utf8(text: str) -> str:
    """Text that can be encoded: the name of a file need not be."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _rows(rows: Iterable[Mapping[str, object]]) -> orjson.Fragment:
    remaining = iter(rows)
    chunks = iter(lambda: list(islice(remaining, _ROWS_AT_ONCE)), [])
    return orjson.Fragment(b"[%s]" % b",".join(orjson.dumps(chunk, option=_OPTIONS)[1:-1] for chunk in chunks))
