"""Decides whether the removals of a plan are refused: the rules that stand between a mistake and a fleet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from math import floor

from licensesync.columns import in_order
from licensesync.model import (
    Action,
    Approval,
    ApprovalUse,
    DeviceId,
    Held,
    HeldReason,
    Limits,
    Memory,
    Permit,
    Plan,
    Policy,
    Pool,
    Refusal,
    Rule,
    Verb,
)

ALWAYS_WITHIN_PERCENT = 5
FEWEST_DIGITS = 8


def judge(plan: Plan, policy: Policy, memory: Memory) -> Plan:
    """The plan as it is, or with all its removals held as `refused` and the refusal that says why.

    Removals that somebody has let pass stay, with the permit: exactly the set that was refused, or what is left of it.
    """
    removals = plan.of(Verb.REMOVE)
    refusal = _refusal(plan, removals, memory.removed_in_past_day)
    if refusal is None:
        return plan
    devices = frozenset(action.device for action in removals)
    if permit := _permit(refusal, devices, policy, memory):
        return replace(plan, permit=permit)
    useless = " ".join(_useless(refusal, devices, policy, memory))
    refusal = replace(refusal, next_step=f"{refusal.next_step}. {useless}" if useless else refusal.next_step)
    refused = tuple(Held(action, HeldReason.REFUSED) for action in removals)
    return replace(plan, actions=plan.of(Verb.ASSIGN), held=(*refused, *plan.held), refusal=refusal)


def digest_of(plan: Plan) -> str:
    """The hash of this plan's removals, refused or not; where they are what is left of a set that was let pass, its."""
    if plan.permit:
        return plan.permit.digest
    refused = tuple(held.action for held in plan.held_for(HeldReason.REFUSED))
    return _digest(plan.pool, refused or plan.of(Verb.REMOVE))


def in_force(approval: Approval, today: date) -> bool:
    """Whether an approval has not ended: its date is the first day on which it lets nothing pass."""
    return approval.until is None or today < approval.until


def used_up(approval: Approval, uses: tuple[ApprovalUse, ...]) -> ApprovalUse | None:
    """The use that left nothing of what was approved, if there is one."""
    return next((use for use in _uses_of(approval, uses) if not use.left), None)


def _refusal(plan: Plan, removals: tuple[Action, ...], removed_in_past_day: int) -> Refusal | None:
    asked, limits = len(removals), plan.pool.limits
    if not asked:
        return None
    broken = _broken_rule(plan, asked, limits, removed_in_past_day)
    if broken is None:
        return None
    rule, setting, limit = broken
    digest = _digest(plan.pool, removals)
    return Refusal(rule, setting, limit, asked, digest, _next_step(plan.pool, rule, asked, limit, digest[:16]))


def _broken_rule(
    plan: Plan, asked: int, limits: Limits, removed_in_past_day: int
) -> tuple[Rule, float | None, int] | None:
    """The rule that says most of what went wrong: an emptied inventory breaks others too, but is named for itself."""
    if plan.desired == 0:
        return Rule.EMPTY, None, 0
    if asked > limits.count:
        return Rule.COUNT, limits.count, limits.count
    of_observed = max(ALWAYS_WITHIN_PERCENT, floor(plan.observed * Fraction(str(limits.percent)) / 100))
    if asked > of_observed:
        return Rule.PERCENT, limits.percent, of_observed
    left_of_day = max(0, limits.per_day - removed_in_past_day)
    if asked > left_of_day:
        return Rule.PER_DAY, limits.per_day, left_of_day
    return None


def _permit(refusal: Refusal, devices: frozenset[DeviceId], policy: Policy, memory: Memory) -> Permit | None:
    """The first that lets these removals pass: the command line, then the inventory's approvals in their order."""
    for digits in policy.allowed:
        if digest := _covered(digits, refusal, devices, memory.approvals_used):
            return Permit(refusal, digest)
    for approval in policy.approvals:
        if in_force(approval, policy.today) and (digest := _approved(approval, refusal, devices, memory)):
            return Permit(refusal, digest, approval)
    return None


def _approved(approval: Approval, refusal: Refusal, devices: frozenset[DeviceId], memory: Memory) -> str | None:
    """The hash of the approved set, if the removals are what is left of it, or all of it and the entry is new."""
    if _uses_of(approval, memory.approvals_used):
        return _left(approval.refusal, devices, memory.approvals_used)
    return _covered(approval.refusal, refusal, devices, memory.approvals_used)


def _covered(digits: str, refusal: Refusal, devices: frozenset[DeviceId], uses: tuple[ApprovalUse, ...]) -> str | None:
    """The hash of the set that these digits name, if the removals are that set or what is left of it."""
    return refusal.digest if _names(digits, refusal.digest) else _left(digits, devices, uses)


def _left(digits: str, devices: frozenset[DeviceId], uses: tuple[ApprovalUse, ...]) -> str | None:
    """The hash of a set in use that these digits name, whoever let it pass first, if the removals are left of it."""
    return next((use.digest for use in uses if _names(digits, use.digest) and devices <= use.left), None)


def _uses_of(approval: Approval, uses: tuple[ApprovalUse, ...]) -> list[ApprovalUse]:
    """Where this very entry was used; another reason or date makes another entry of it."""
    known = (approval.reason, approval.until)
    return [use for use in uses if _names(approval.refusal, use.digest) and (use.reason, use.until) == known]


def _names(digits: str, digest: str) -> bool:
    return len(digits) >= FEWEST_DIGITS and digest.startswith(digits)


def _useless(refusal: Refusal, devices: frozenset[DeviceId], policy: Policy, memory: Memory) -> Iterator[str]:
    """Why approvals that are written for these removals do not let them pass."""
    for approval in policy.approvals:
        if not _covered(approval.refusal, refusal, devices, memory.approvals_used):
            continue
        if not in_force(approval, policy.today):
            yield f"The approval at {approval.place} ended on {approval.until}; write a later date if it is meant."
            continue
        for use in _uses_of(approval, memory.approvals_used):
            done = use.size - len(use.left)
            yield (
                f"The approval at {approval.place} was used on {use.used_at:%Y-%m-%d} and {done} of its {use.size} "
                "removals are done: it is used up for this set; to approve the same set again, write a new entry with "
                "another reason or date."
            )


def _digest(pool: Pool, removals: tuple[Action, ...]) -> str:
    """The same for the same pool and set of removals, whoever computes it, in whatever order."""
    digest = hashlib.sha256(f"{pool.name} {pool.account}".encode())
    for devices in in_order([action.device for action in removals]):
        digest.update("".join(f"\n{device}" for device in devices).encode())
    return digest.hexdigest()


def _next_step(pool: Pool, rule: Rule, asked: int, limit: int, hash_: str) -> str:
    doubt = {
        Rule.COUNT: f"more than the {limit} that removals.count allows in one run",
        Rule.PERCENT: f"more than the {limit} that removals.percent allows of this pool's devices",
        Rule.PER_DAY: f"more than the {limit} that removals.per_day leaves for these 24 hours",
        Rule.EMPTY: "all that it should keep is gone from the inventory",
    }[rule]
    return (
        f"{asked} removals from pool {pool.name}: {doubt}. If they are not meant, mend the inventory; if they are, add "
        f'to approvals: in the inventory {{refusal: "{hash_}", reason: …, until: …}}, or let exactly these pass once '
        f"with: licensesync apply --pool {pool.name} --allow-removals {hash_}"
    )
