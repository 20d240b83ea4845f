"""The figures of a plan and a report, under the contract's names for them."""

from __future__ import annotations

from licensesync.model import OutcomeKind, Plan, PoolReport, Unread, Verb


def plan_counts(planned: Plan | Unread) -> dict[str, int]:
    """What is planned for a pool, in numbers, as the contract names them."""
    if isinstance(planned, Unread):
        return dict.fromkeys(("assign", "remove", "held", "kept", "foreign"), 0)
    return {
        "assign": len(planned.of(Verb.ASSIGN)),
        "remove": len(planned.of(Verb.REMOVE)),
        "held": len(planned.held),
        "kept": planned.kept,
        "foreign": planned.foreign,
    }


def report_counts(pool: PoolReport) -> dict[str, int]:
    """What became of a pool's devices, in numbers, as the contract names them."""
    before = plan_counts(pool.plan)
    done, *others = ((kind.value, pool.count(kind)) for kind in OutcomeKind)
    return dict([done, ("kept", before["kept"]), ("held", len(pool.held)), *others, ("foreign", before["foreign"])])


def as_configured(setting: float | None) -> float | None:
    """A figure as somebody wrote it: a whole number without `.0`."""
    return int(setting) if setting is not None and setting == int(setting) else setting
