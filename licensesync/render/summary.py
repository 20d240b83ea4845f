"""What a plan and a report have to say in sentences; whoever writes them down makes them safe to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from licensesync.model import OutcomeKind, Plan, PlanVerdict, Pool, Refusal, Report, RunPlan
from licensesync.render.counts import as_configured, plan_counts, report_counts
from licensesync.render.words import counted

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
    totals = _total(report_counts(pool) for pool in report.pools)
    settled = _without_zeros(f"{totals[kind]} {kind}" for kind in (*OutcomeKind, "held"))
    return f"{report.verdict}: {settled}; exit {exit_code}"


def _total(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return total


def _without_zeros(clauses: Iterable[str]) -> str:
    return ", ".join(clause for clause in clauses if not clause.startswith("0 ")) or "nothing to do"


def inventory(run_plan: RunPlan) -> str:
    """The inventory that a plan was made from."""
    info = run_plan.inventory
    commit = f", commit {info.commit}" if info.commit else ""
    uncommitted = ", with changes that are not committed" if info.dirty else ""
    return f"inventory of {counted(info.devices, 'device')}{commit}{uncommitted}"
