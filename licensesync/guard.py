"""Decides whether the removals of a plan are refused: the rules that stand between a mistake and a fleet."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import date
from fractions import Fraction
from math import floor

from licensesync.model import Action, Approval, Held, HeldReason, Limits, Plan, Pool, Refusal, Rule, Verb

ALWAYS_WITHIN_PERCENT = 5
FEWEST_DIGITS = 8


def judge(plan: Plan, *, removed_in_past_day: int = 0, allowed: Collection[str] = ()) -> Plan:
    """The plan as it is, or with all its removals held as `refused` and the refusal that says why.

    `allowed` are hashes (hex, at least eight digits) of sets of removals that somebody has let pass.
    """
    removals = plan.of(Verb.REMOVE)
    refusal = _refusal(plan, removals, removed_in_past_day)
    if refusal is None or lifted(refusal, allowed):
        return plan
    refused = tuple(Held(action, HeldReason.REFUSED) for action in removals)
    return replace(plan, actions=plan.of(Verb.ASSIGN), held=(*refused, *plan.held), refusal=refusal)


def in_force(approvals: Iterable[Approval], today: date) -> frozenset[str]:
    """The hashes of the approvals that have not ended."""
    return frozenset(each.refusal for each in approvals if each.until is None or today < each.until)


def digest_of(plan: Plan) -> str:
    """The hash that a refusal of this plan's removals has, whether they are refused or not."""
    refused = tuple(held.action for held in plan.held_for(HeldReason.REFUSED))
    return _digest(plan.pool, refused or plan.of(Verb.REMOVE))


def lifted(refusal: Refusal, allowed: Collection[str]) -> bool:
    """Whether one of the hashes, or of their first digits, at least eight, is that of this refusal."""
    return any(len(prefix) >= FEWEST_DIGITS and refusal.digest.startswith(prefix) for prefix in allowed)


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


def _digest(pool: Pool, removals: tuple[Action, ...]) -> str:
    """The same for the same pool and set of removals, whoever computes it, in whatever order."""
    lines = (f"{pool.name} {pool.account}", *sorted(action.device for action in removals))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


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
