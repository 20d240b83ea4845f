"""What was done: outcomes, and the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from operator import attrgetter

import msgspec

from licensesync.model.plans import Action, Held, Plan, RunPlan, Unread
from licensesync.model.words import HeldReason, OutcomeKind, OutcomeReason, RunVerdict, Verb


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a run ended for one action that was sent.

    `service` holds the service's own words. `retry_at` is when the service says it will try again by itself, or until
    when it is to tell what became of what it has accepted under the id `request`.
    """

    action: Action
    kind: OutcomeKind
    at: datetime
    reason: OutcomeReason | None = None
    service: str | None = None
    retry_at: datetime | None = None
    request: str | None = None


@dataclass(frozen=True)
class PoolReport:
    """What became of one pool in a run; of `plan` as it was carried out: its actions were sent, its held are held.

    `unrecorded` says that the ledger could not keep all of it.
    """

    plan: Plan | Unread
    outcomes: tuple[Outcome, ...] = ()
    trouble: str | None = None
    unrecorded: bool = False

    @property
    def problem(self) -> str | None:
        """Why the pool was not read, or what else went wrong that is no device's outcome."""
        return self.plan.problem if isinstance(self.plan, Unread) else self.trouble

    @property
    def held(self) -> tuple[Held, ...]:
        return self.plan.held if isinstance(self.plan, Plan) else ()

    @property
    def stopped(self) -> bool:
        """Whether something was left undone because the run had to end."""
        return isinstance(self.plan, Plan) and self.plan.number_held(HeldReason.STOPPING) > 0

    @property
    def credentials_rejected(self) -> bool:
        """Whether the service rejected the login, before or in the middle of this pool's run."""
        if isinstance(self.plan, Unread):
            return self.plan.credentials_rejected
        return any(outcome.reason is OutcomeReason.CREDENTIALS_REJECTED for outcome in self.outcomes)

    @cached_property
    def settled(self) -> Mapping[tuple[Verb, OutcomeKind], int]:
        """How many actions of each verb have ended how; with a million of them, counted once."""
        return Counter(map(attrgetter("action.verb", "kind"), self.outcomes))

    def number_settled(self, *kinds: OutcomeKind) -> int:
        """How many actions have ended in one of these ways."""
        return sum(number for (_, kind), number in self.settled.items() if kind in kinds)

    @property
    def counts(self) -> dict[str, int]:
        """What became of the pool's devices, in numbers, as the contract names them."""
        kept, foreign = (self.plan.kept, self.plan.foreign) if isinstance(self.plan, Plan) else (0, 0)
        done, *others = ((kind.value, self.number_settled(kind)) for kind in OutcomeKind)
        return dict([done, ("kept", kept), ("held", len(self.held)), *others, ("foreign", foreign)])

    @property
    def verdict(self) -> RunVerdict:
        if isinstance(self.plan, Unread):
            return RunVerdict.UNREAD
        if self.plan.refusal or self.plan.number_held(HeldReason.REFUSED):
            return RunVerdict.REFUSED
        if self.number_settled(*UNFINISHED):
            return RunVerdict.INCOMPLETE
        if self.stopped:
            return RunVerdict.STOPPED
        return RunVerdict.DONE if self.outcomes else RunVerdict.IN_STEP


UNFINISHED = frozenset({OutcomeKind.REJECTED, OutcomeKind.FAILED, OutcomeKind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did; `declined` when the plan was not the one that was meant, and nothing was done.

    `unrecorded` says that the ledger does not know how the run ended.
    """

    run: str
    plan: RunPlan
    pools: tuple[PoolReport, ...]
    finished_at: datetime
    declined: bool = False
    unrecorded: bool = False

    @property
    def verdict(self) -> RunVerdict:
        verdicts = {pool.verdict for pool in self.pools} | ({RunVerdict.REFUSED} if self.declined else set())
        return next((verdict for verdict in RunVerdict if verdict in verdicts), RunVerdict.IN_STEP)
