"""How a pool stands now: its plan, changed by what has been done of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from licensesync.model import WAITING, HeldReason, OutcomeKind, Plan, Verb

AS_WANTED: Final = frozenset({HeldReason.FOREIGN, HeldReason.MODE, HeldReason.PROTECTED, HeldReason.IRREVOCABLE})
"""Why devices are held for good: by policy, so that nobody has to wait for a change."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A pool in numbers: its licenses and devices by state, and how many devices are not as they should be."""

    licenses: Mapping[str, int]
    devices: Mapping[str, int]
    drift: int


def standing(plan: Plan, settled: Mapping[tuple[Verb, OutcomeKind], int] | None = None) -> Standing:
    """How a pool stands once so many of its plan's actions have ended so.

    Which of the removed devices were foreign is not known before the next reading: `foreign` is the most that can be.
    """
    done = {verb: (settled or {}).get((verb, OutcomeKind.DONE), 0) for verb in Verb}
    to_assign, to_remove = (plan.asked.get(verb, 0) - done[verb] for verb in (Verb.ASSIGN, Verb.REMOVE))
    assigned = plan.capacity.assigned + done[Verb.ASSIGN] - done[Verb.REMOVE]
    surplus = plan.surplus - done[Verb.REMOVE]
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
            "waiting": plan.number_held(*WAITING),
            "held": len(plan.held),
            "foreign": min(plan.foreign, surplus),
            "quarantined": plan.number_held(HeldReason.QUARANTINED),
        },
        drift=to_assign + to_remove + len(plan.held) - plan.number_held(*AS_WANTED),
    )
