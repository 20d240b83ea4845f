"""The plan and the report as the JSON documents of the contract."""

from __future__ import annotations

from collections.abc import Mapping

from licensesync.model import (
    Action,
    DeviceId,
    Forecast,
    Held,
    Outcome,
    Place,
    Plan,
    PlanVerdict,
    PoolReport,
    Product,
    Reading,
    Report,
    RunPlan,
    RunVerdict,
    Unread,
    iccid_of,
    imei_of,
)
from licensesync.render.counts import plan_counts
from licensesync.render.fields import VERSION, capacity, document, inventory, refusal, rows, time, utf8


def plan(run_plan: RunPlan) -> bytes:
    """The document of `plan --format json`, on one line."""
    return document(
        {
            "version": VERSION,
            "kind": "plan",
            "hash": run_plan.hash,
            "made_at": time(run_plan.made_at),
            "verdict": run_plan.verdict,
            "inventory": inventory(run_plan.inventory),
            "pools": [_pool(planned, planned.verdict, plan_counts(planned)) for planned in run_plan.pools],
        }
    )


def report(report: Report, exit_code: int) -> bytes:
    """The document of `apply --format json`, on one line."""
    return document(
        {
            "version": VERSION,
            "kind": "report",
            "run": report.run,
            "hash": report.plan.hash,
            "started_at": time(report.plan.made_at),
            "finished_at": time(report.finished_at),
            "verdict": report.verdict,
            "exit": exit_code,
            "inventory": inventory(report.plan.inventory),
            "pools": [_reported(pool) for pool in report.pools],
        }
    )


def _reported(pool: PoolReport) -> dict[str, object]:
    product = pool.plan.pool.product
    return {
        **_pool(pool.plan, pool.verdict, pool.counts),
        "problem": None if pool.problem is None else utf8(pool.problem),
        "outcomes": rows(_outcome(outcome, product) for outcome in pool.outcomes),
    }


def _pool(planned: Plan | Unread, verdict: PlanVerdict | RunVerdict, counts: Mapping[str, int]) -> dict[str, object]:
    pool = planned.pool
    named = {"pool": pool.name, "product": pool.product, "account": pool.account, "mode": pool.mode, "verdict": verdict}
    if isinstance(planned, Unread):
        return {
            **named,
            "reading": planned.reading,
            "problem": utf8(planned.problem),
            "rests_on": None,
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
        "rests_on": time(planned.rests_on) if planned.rests_on else None,
        "capacity": capacity(planned.capacity),
        "forecast": _forecast(planned.forecast),
        "counts": counts,
        "actions": rows(_action(action, pool.product) for action in planned.actions),
        "held": rows(_held(held, pool.product) for held in planned.held),
        "refusal": refusal(planned.refusal) if planned.refusal else None,
    }


def _forecast(forecast: Forecast) -> dict[str, int]:
    return {"assigned": forecast.assigned, "free": forecast.free, "waiting": forecast.waiting}


def _action(action: Action, product: Product) -> dict[str, object]:
    return {"verb": action.verb, **_device(action.device, product), **_origin(action)}


def _held(held: Held, product: Product) -> dict[str, object]:
    action = held.action
    return {
        "verb": action.verb,
        **_device(action.device, product),
        "reason": held.reason,
        **_origin(action),
        "until": time(held.until) if held.until else None,
    }


def _outcome(outcome: Outcome, product: Product) -> dict[str, object]:
    action = outcome.action
    return {
        **_device(action.device, product),
        "verb": action.verb,
        "outcome": outcome.kind,
        "reason": outcome.reason,
        "service": None if outcome.service is None else utf8(outcome.service),
        **_origin(action),
        "at": time(outcome.at),
    }


def _device(device: DeviceId, product: Product) -> dict[str, str | None]:
    if product.needs_iccid:
        return {"device": imei_of(device), "iccid": iccid_of(device)}
    return {"device": imei_of(device)}


def _origin(action: Action) -> dict[str, str | None]:
    return {
        "group": None if action.group is None else utf8(action.group),
        "place": None if action.place is None else _place(action.place),
    }


def _place(place: Place) -> str:
    return utf8(str(place))
