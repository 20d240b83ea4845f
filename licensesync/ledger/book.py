"""Keeps one run: what it began with, each batch before and after it was sent, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, cast

from sqlalchemy import Connection, and_, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from licensesync.columns import in_order
from licensesync.ledger import approvals, batches, database, earlier, failures, holders, memory, pruning, settling
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.failures import Mark
from licensesync.ledger.schema import applied, managed, pool_runs, refusals, runs
from licensesync.model import (
    WAITING,
    Action,
    DeviceId,
    HeldReason,
    InventoryInfo,
    Memory,
    Observed,
    Outcome,
    Plan,
    Pool,
    PoolReport,
    Reading,
    Refusal,
    Report,
    RunVerdict,
    Unread,
)

AT_ONCE: Final = 20_000  # devices that become managed at once


@contextmanager
def opened(path: Path, run: str, now: Callable[[], datetime], *, proved: bool = False) -> Iterator[Book]:
    """The book of a new run in a ledger that may have been proved just now. Raises LedgerError."""
    with database.written(path, proved=proved) as connection:
        yield Book(path, connection, run, now)


@dataclass(eq=False)
class Book:
    """One run in the ledger; every method is one transaction, unless it says otherwise, and raises LedgerError where it
    cannot be kept.
    """

    path: Path
    connection: Connection
    run: str
    now: Callable[[], datetime]
    _marks: dict[str, Mark] = field(default_factory=dict)
    _pool_runs: dict[str, int] = field(default_factory=dict)
    _run_id: int = 0

    def begin(self, command: str, inventory: InventoryInfo) -> None:
        """The run is known from here on; that this could be kept is the proof that the ledger can be written."""
        with self.transaction():
            begun = self.connection.execute(
                _BEGIN,
                {
                    "run": self.run,
                    "command": command,
                    "started_at": self.now(),
                    "commit": inventory.commit,
                    "dirty": inventory.dirty,
                    "devices": inventory.devices,
                    "digest": inventory.digest,
                    "author": inventory.author,
                },
            )
            self._run_id = begun.scalar_one()

    def recall(self, pool: Pool, observed: Observed, mark: Mark) -> tuple[Memory, list[Earlier]]:
        """What bears on the plan of a pool, and what its reading proves of the actions that earlier runs left open.

        Those are settled by it; a plan that rests on an older reading can prove nothing.
        """
        now = self.now()
        with self.transaction():
            left = earlier.unsettled(self.connection, pool, now)
            settled = [] if observed.rests_on else self._settle(pool, left, observed, now)
            if settled:
                left = earlier.unsettled(self.connection, pool, now)
            return memory.recall(self.connection, pool, observed, mark, now, left_open=left), settled

    def _settle(self, pool: Pool, before: Sequence[Earlier], observed: Observed, now: datetime) -> list[Earlier]:
        after = earlier.proved(before, pool, observed, now)
        changed = [new for old, new in zip(before, after, strict=True) if new != old]
        earlier.settle(self.connection, changed)
        earlier.forget_past_retries(self.connection, pool, now)
        proved = [each.outcome for each in changed]
        failures.forgive(self.connection, pool, proved)
        approvals.strike_off(self.connection, pool, proved)
        if not pool.product.is_listed:
            holders.keep_proved(self.connection, pool, {each.device for each in changed}, observed)
        return changed

    def undertake(self, plan: Plan, named: AbstractSet[DeviceId], inventory: InventoryInfo, mark: Mark) -> None:
        """A plan is about to be carried out: the inventory is applied, its devices are managed from now on."""
        self._marks[plan.pool.name] = mark
        with self.transaction():
            self._pool_runs[plan.pool.name] = self._pool_run(plan)
            self._manage(plan.pool, named, inventory)
            if plan.refusal:
                refused = plan.held_for(HeldReason.REFUSED)
                approvals.keep_set(self.connection, plan.refusal.digest, [held.action for held in refused])
            if plan.permit:
                approvals.use(self.connection, self._run_id, plan, plan.permit, self.now())

    def sent(self, pool: Pool, batch: Sequence[Action]) -> None:
        """A batch is about to be sent; part of a `transaction`."""
        mark = _unmarked if pool.product.is_listed else self._marks[pool.name]
        batches.keep_sent(self.connection, self._pool_runs[pool.name], batch, self.now(), mark)

    def settled(self, pool: Pool, batch: Sequence[Action], settled: Sequence[Outcome]) -> list[Earlier]:
        """What became of a batch, of which actions without an outcome were not sent; part of a `transaction`.

        The value is each earlier action that an outcome has shown the end of.
        """
        pool_run = self._pool_runs[pool.name]
        told = {outcome.action for outcome in settled}
        batches.keep_settled(self.connection, pool_run, settled)
        batches.take_back(self.connection, pool_run, [action for action in batch if action not in told])
        return settling.follow(self.connection, pool, pool_run, settled, self._marks[pool.name])

    def finish(self, report: Report, exit_code: int) -> None:
        """How the run ended, in all its pools."""
        with self.transaction():
            for pool in report.pools:
                self._finish_pool(pool)
            self.connection.execute(
                _FINISH,
                {
                    "of_run": self._run_id,
                    "at": report.finished_at,
                    "how": report.verdict,
                    "code": int(exit_code),
                    "hash": report.plan.hash,
                },
            )

    def abandon(self) -> None:
        """The run ended without a report: nothing was asked for, or it was stopped at once."""
        with self.transaction():
            ended = {"finished_at": self.now(), "verdict": RunVerdict.STOPPED}
            unfinished = and_(runs.c.id == self._run_id, runs.c.finished_at.is_(None))
            self.connection.execute(update(runs).where(unfinished).values(ended))

    def prune(self, keep: timedelta) -> None:
        """Forgets what is older than that."""
        with self.transaction():
            now = self.now()
            pruning.prune(self.connection, now - keep, now)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is kept meanwhile is kept together, and durable when the block has ended. Raises LedgerError."""
        with database.alone(self.connection), self.connection.begin():
            yield

    def _pool_run(self, planned: Plan | Unread) -> int:
        capacity, rests_on = (planned.capacity, planned.rests_on) if isinstance(planned, Plan) else (None, None)
        begun = self.connection.execute(
            _BEGIN_POOL,
            {
                "run_id": self._run_id,
                "pool": planned.pool.name,
                "licenses": planned.pool.licenses,
                "mode": planned.pool.mode,
                "reading": Reading.WHOLE if isinstance(planned, Plan) else planned.reading,
                "read_at": rests_on or self.now(),
                "total": capacity and capacity.total,
                "assigned": capacity and capacity.assigned,
                "free": capacity and capacity.free,
                "waiting": 0,
                "counts": {},
                "held": {},
            },
        )
        pool_run: int = begun.scalar_one()
        if isinstance(planned, Plan) and planned.refusal:
            self._keep_refusal(pool_run, planned.refusal)
        return pool_run

    def _finish_pool(self, report: PoolReport) -> None:
        planned = report.plan
        if planned.pool.name not in self._pool_runs:
            self._pool_runs[planned.pool.name] = self._pool_run(planned)
        self.connection.execute(
            _FINISH_POOL,
            {
                "of_pool_run": self._pool_runs[planned.pool.name],
                "how": report.verdict,
                "why": report.problem,
                "outcomes": report.counts,
                "reasons": planned.reasons if isinstance(planned, Plan) else {},
                "wait": planned.number_held(*WAITING) if isinstance(planned, Plan) else 0,
            },
        )

    def _manage(self, pool: Pool, named: AbstractSet[DeviceId], inventory: InventoryInfo) -> None:
        """Devices that were ever named stay managed; an inventory that was applied before names nobody new."""
        digest = f"{pool.name} {inventory.digest}"
        if self.connection.execute(_APPLIED, {"whose": pool.licenses}).scalar_one_or_none() == digest:
            return
        for part in in_order(cast(AbstractSet[str], named)):
            for start in range(0, len(part), AT_ONCE):
                self._keep_new(pool, part[start : start + AT_ONCE])
        self.connection.execute(_APPLY, {"licenses": pool.licenses, "digest": digest})

    def _keep_new(self, pool: Pool, named: Sequence[str]) -> None:
        """Those of some devices, in their order, that are not managed yet: the quickest way is that of the index."""
        between = {"whose": pool.licenses, "first": named[0], "last": named[-1]}
        known = set(self.connection.execute(_MANAGED, between).scalars().all())
        if new := [(pool.licenses, device) for device in named if device not in known]:
            self.connection.exec_driver_sql("INSERT INTO managed (licenses, device) VALUES (?, ?)", new)

    def _keep_refusal(self, pool_run: int, refusal: Refusal) -> None:
        self.connection.execute(
            insert(refusals).values(
                pool_run_id=pool_run,
                rule=refusal.rule,
                setting=refusal.setting,
                limit=refusal.limit,
                asked=refusal.asked,
                digest=refusal.digest,
                next_step=refusal.next_step,
            )
        )


_BEGIN = insert(runs).returning(runs.c.id)
_FINISH = (
    update(runs)
    .where(runs.c.id == bindparam("of_run"))
    .values(finished_at=bindparam("at"), verdict=bindparam("how"), exit=bindparam("code"), plan=bindparam("hash"))
)
_BEGIN_POOL = insert(pool_runs).returning(pool_runs.c.id)
_FINISH_POOL = (
    update(pool_runs)
    .where(pool_runs.c.id == bindparam("of_pool_run"))
    .values(
        verdict=bindparam("how"),
        problem=bindparam("why"),
        counts=bindparam("outcomes"),
        held=bindparam("reasons"),
        waiting=bindparam("wait"),
    )
)
_APPLIED = select(applied.c.digest).where(applied.c.licenses == bindparam("whose"))
_NEWLY_APPLIED = insert_or(applied)
_APPLY = _NEWLY_APPLIED.on_conflict_do_update(
    index_elements=["licenses"], set_={"digest": _NEWLY_APPLIED.excluded.digest}
)
_MANAGED = select(managed.c.device).where(
    managed.c.licenses == bindparam("whose"), managed.c.device.between(bindparam("first"), bindparam("last"))
)


def _unmarked(_: DeviceId) -> None:
    """The end of an action for a device that the service lists is told before the run is over."""
