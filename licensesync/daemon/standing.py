"""How a pool stands now: its plan, changed by what has been done of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from licensesync.model import WAITING, HeldReason, Outcome, OutcomeKind, Plan, Verb

AS_WANTED: Final = frozenset({HeldReason.FOREIGN, HeldReason.MODE, HeldReason.PROTECTED, HeldReason.IRREVOCABLE})
"""Why devices are held for good: by policy, so that nobody has to wait for a change."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A pool in numbers: its licenses and devices by state, and how many devices are not as they should be."""

    licenses: Mapping[str, int]
    devices: Mapping[str, int]
    drift: int


def standing(plan: Plan, outcomes: Sequence[Outcome] = ()) -> Standing:
    """How a pool stands once these are the outcomes of its plan's actions.

    Which of the removed devices were foreign is not known before the next reading: `foreign` is the most that can be.
    """
    done = Counter(outcome.action.verb for outcome in outcomes if outcome.kind is OutcomeKind.DONE)
    to_assign, to_remove = (len(plan.of(verb)) - done[verb] for verb in (Verb.ASSIGN, Verb.REMOVE))
    assigned = plan.capacity.assigned + done[Verb.ASSIGN] - done[Verb.REMOVE]
    surplus = to_remove + sum(held.action.verb is Verb.REMOVE for held in plan.held)
    return Standing(
        licenses={
            "total": plan.capacity.total,
            "assigned": assigned,
            "free": max(0, plan.capacity.total - assigned),
        },
        devices={
            "desired": plan.desired,
            "kept": plan.kept + done[Verb.ASSIGN],
            "assign": to_assign,
            "remove": to_remove,
            "waiting": len(plan.held_for(*WAITING)),
            "held": len(plan.held),
            "foreign": min(plan.foreign, surplus),
            "quarantined": len(plan.held_for(HeldReason.QUARANTINED)),
        },
        drift=to_assign + to_remove + len(plan.held) - len(plan.held_for(*AS_WANTED)),
    )
