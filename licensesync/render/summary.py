"""What a plan and a report have to say in sentences; whoever writes them down makes them safe to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import attrgetter

from licensesync.model import (
    HeldReason,
    InventoryInfo,
    OutcomeKind,
    Plan,
    PlanVerdict,
    Pool,
    Refusal,
    Report,
    RunPlan,
    Verb,
)
from licensesync.render.counts import as_configured, plan_counts
from licensesync.render.words import counted, moment, span

GROUPS_SHOWN = 5
HOW_TO_SEE_ALL = "--format json and --out FILE show all"


def about(pool: Pool) -> str:
    """Which licenses these are."""
    sku = f" {pool.sku}" if pool.sku else ""
    return f"{pool.product}{sku}, account {pool.account}, mode {pool.mode}"


def capacity(plan: Plan) -> str:
    """The licenses of a pool, now and after this plan."""
    now, then = plan.capacity, plan.forecast
    return (
        f"{counted(now.total, 'license')}: {now.assigned} → {then.assigned} assigned, {now.free} → {then.free} free, "
        f"{then.waiting} waiting"
    )


def planned_changes(counts: Mapping[str, int]) -> list[str]:
    """What is planned, in words, removals first."""
    return [f"{counts['remove']} to remove", f"{counts['assign']} to assign", f"{counts['held']} held"]


def refusal(refusal: Refusal) -> list[str]:
    """The rule that refuses, the hash to approve it by, the next step."""
    setting = as_configured(refusal.setting)
    configured = "" if setting is None else f" (set to {setting})"
    return [
        f"{counted(refusal.asked, 'removal')} refused: rule {refusal.rule}{configured} allows {refusal.limit}",
        f"refusal: {refusal.hash}",
        f"next step: {refusal.next_step}",
    ]


def remarks(plan: Plan) -> list[str]:
    """What else is worth a sentence: an older reading, why removals pass that the guard would refuse, who waits."""
    return [*_rested(plan), *_permitted(plan), *_waiting(plan)]


def _rested(plan: Plan) -> list[str]:
    if plan.rests_on is None:
        return []
    reread = f" (reread: {span(plan.pool.reread)})" if plan.pool.reread else ""
    return [f"rests on the whole reading of {moment(plan.rests_on)}{reread}; counts are unchanged since"]


def _permitted(plan: Plan) -> list[str]:
    if plan.permit is None:
        return []
    refusal, approval = plan.permit.refusal, plan.permit.approval
    by = f"approved at {approval.place}: {approval.reason}" if approval else "let pass by --allow-removals"
    what = "" if plan.permit.digest == refusal.digest else f", as what is left of {plan.permit.digest[:16]}"
    return [f"{counted(refusal.asked, 'removal')} beyond what rule {refusal.rule} allows ({refusal.limit}){what}, {by}"]


def _waiting(plan: Plan) -> list[str]:
    """Those that no license is foreseen for, as they will be served: by priority, then as the inventory has them."""
    waiting = Counter(map(attrgetter("action.priority", "action.group"), plan.held_for(HeldReason.NO_CAPACITY)))
    if not waiting:
        return []
    served = len(plan.of(Verb.ASSIGN)) + len(plan.held_for(HeldReason.AWAITING_REMOVALS))
    queues: dict[int, list[str]] = {}
    for (priority, group), number in waiting.items():
        queues.setdefault(priority, []).append(f"{number} of {group or 'no group'}")
    told = [f"priority {priority}: {_some(queues[priority], ', ')}" for priority in sorted(queues, reverse=True)]
    why = f"what is free goes to {served} before" if served else "none is free"
    return [f"{counted(waiting.total(), 'device')} will wait for a license ({why}): {_some(told, '; ')}"]


def _some(words: list[str], between: str) -> str:
    return between.join([*words[:GROUPS_SHOWN], *(["…"] if len(words) > GROUPS_SHOWN else [])])


def plan_verdict(run_plan: RunPlan) -> str:
    """The plan in one line."""
    verdicts = Counter(planned.verdict for planned in run_plan.pools)
    troubles = [
        f"{counted(verdicts[verdict], 'pool')} {verdict}" for verdict in (PlanVerdict.UNREAD, PlanVerdict.REFUSED)
    ]
    changes = planned_changes(_total(plan_counts(planned) for planned in run_plan.pools))
    return f"{run_plan.verdict}: {_without_zeros([*troubles, *changes])}"


def report_verdict(report: Report, exit_code: int) -> str:
    """The run in one line."""
    if report.declined:
        return f"{report.verdict}: nothing was done, as the plan was not agreed to; exit {exit_code}"
    return f"{report.verdict}: {settled(pool.counts for pool in report.pools)}; exit {exit_code}"


def settled(counts: Iterable[Mapping[str, int]]) -> str:
    """What a run came to in all its pools."""
    totals = _total(counts)
    return _without_zeros(f"{totals[kind]} {kind}" for kind in (*OutcomeKind, "held"))


def _total(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return total


def _without_zeros(clauses: Iterable[str]) -> str:
    return ", ".join(clause for clause in clauses if not clause.startswith("0 ")) or "nothing to do"


def inventory(info: InventoryInfo) -> str:
    """The inventory that a plan was made from."""
    commit = f", commit {info.commit}" if info.commit else ""
    uncommitted = ", with changes that are not committed" if info.dirty else ""
    return f"inventory of {counted(info.devices, 'device')}{commit}{uncommitted}"
