"""The figures of plans and runs, under the contract's names for them."""

from __future__ import annotations

from licensesync.model import Plan, PoolRecord, Unread, Verb

REPORTED = ("done", "kept", "held", "pending", "rejected", "failed", "unknown", "foreign")


def plan_counts(planned: Plan | Unread) -> dict[str, int]:
    """What is planned for a pool, in numbers, as the contract names them."""
    if isinstance(planned, Unread):
        return dict.fromkeys(("assign", "remove", "held", "kept", "foreign"), 0)
    return {
        "assign": planned.asked.get(Verb.ASSIGN, 0),
        "remove": planned.asked.get(Verb.REMOVE, 0),
        "held": len(planned.held),
        "kept": planned.kept,
        "foreign": planned.foreign,
    }


def recorded_counts(record: PoolRecord | None) -> dict[str, int]:
    """What became of a pool's devices, in numbers, as far as a run has told."""
    counts = record.counts if record else {}
    return {name: counts.get(name, 0) for name in REPORTED}


def as_configured(setting: float | None) -> float | None:
    """A figure as somebody wrote it: a whole number without `.0`."""
    return int(setting) if setting is not None and setting == int(setting) else setting
