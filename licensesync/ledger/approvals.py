"""Approvals in use: which set of removals each let pass, and what of it is left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as insert_or

from licensesync.ledger.schema import approvals, approved_removals, removal_sets
from licensesync.model import Action, ApprovalUse, DeviceId, Outcome, OutcomeKind, Permit, Plan, Pool, Verb

COMMAND_LINE = "--allow-removals"


def used(connection: Connection, pool: Pool) -> tuple[ApprovalUse, ...]:
    """The approvals that let removals of a pool pass, in the order in which they were used first."""
    rows = connection.execute(_USED, {"whose": pool.licenses})
    return tuple(
        ApprovalUse(each.digest, each.reason, each.until, each.used_at, each.size, _left_of(connection, each.id))
        for each in rows.all()
    )


def use(connection: Connection, run_id: int, plan: Plan, permit: Permit, now: datetime) -> None:
    """An approval is in use from here on, with its whole set; a new entry of a set in use, with what is left of it."""
    whole = permit.refusal.digest == permit.digest
    if not whole and permit.approval is None:
        return
    reason, until = (permit.approval.reason, permit.approval.until) if permit.approval else (COMMAND_LINE, None)
    known = _known(connection, plan.pool, permit.digest, reason, until)
    if known is not None and permit.approval:
        return
    if known is not None:
        connection.execute(delete(approved_removals).where(approved_removals.c.approval_id == known))
        connection.execute(delete(approvals).where(approvals.c.id == known))
    removals = plan.of(Verb.REMOVE)
    if whole:
        keep_set(connection, permit.digest, removals)
    begun = connection.execute(
        insert(approvals)
        .values(
            licenses=plan.pool.licenses,
            digest=permit.digest,
            reason=reason,
            until=until,
            place=None if permit.approval is None else str(permit.approval.place),
            run_id=run_id,
            used_at=now,
            size=len(removals),
        )
        .returning(approvals.c.id)
    ).scalar_one()
    rows = [{"approval_id": begun, "device": action.device} for action in removals]
    connection.execute(insert(approved_removals), rows)


def keep_set(connection: Connection, digest: str, removals: Sequence[Action]) -> None:
    """The very devices that a hash stands for, once for each hash."""
    rows = [{"digest": digest, "device": action.device} for action in removals]
    connection.execute(insert_or(removal_sets).on_conflict_do_nothing(), rows)


def strike_off(connection: Connection, pool: Pool, settled: Sequence[Outcome]) -> None:
    """Removals that are done are no longer left of any approval."""
    gone = [
        {"gone": outcome.action.device, "whose": pool.licenses}
        for outcome in settled
        if outcome.kind is OutcomeKind.DONE and outcome.action.verb is Verb.REMOVE
    ]
    if gone and connection.execute(_IN_USE.limit(1), {"whose": pool.licenses}).first():
        connection.execute(_STRIKE_OFF, gone)


def _left_of(connection: Connection, approval: int) -> frozenset[DeviceId]:
    rows = connection.execute(select(approved_removals.c.device).where(approved_removals.c.approval_id == approval))
    return frozenset(rows.scalars())


def _known(connection: Connection, pool: Pool, digest: str, reason: str, until: date | None) -> int | None:
    """The row of an approval that was used before."""
    query = select(approvals.c.id).where(
        approvals.c.licenses == pool.licenses,
        approvals.c.digest == digest,
        approvals.c.reason == reason,
        approvals.c.until.is_not_distinct_from(until),
    )
    return connection.execute(query).scalar_one_or_none()


_IN_USE = select(approvals.c.id).where(approvals.c.licenses == bindparam("whose"))
_STRIKE_OFF = delete(approved_removals).where(
    approved_removals.c.device == bindparam("gone"), approved_removals.c.approval_id.in_(_IN_USE)
)
_USED = select(approvals).where(approvals.c.licenses == bindparam("whose")).order_by(approvals.c.id)
