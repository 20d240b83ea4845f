"""What would be done: actions, what is held and why, refusals, plans and their hash."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from operator import attrgetter

import msgspec

from licensesync.columns import in_order
from licensesync.model.facts import Approval, Capacity, Place, Pool
from licensesync.model.words import DeviceId, HeldReason, PlanVerdict, Reading, Rule, Verb


class Action(msgspec.Struct, frozen=True, gc=False):
    """Assign or remove one device."""

    verb: Verb
    device: DeviceId
    group: str | None = None
    place: Place | None = None
    priority: int = 0


class Held(msgspec.Struct, frozen=True, gc=False):
    """An action that is not asked for, with the reason and, where one is known, its end."""

    action: Action
    reason: HeldReason
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The guard's word that a pool's removals are not carried out.

    `setting` is the figure as configured, `limit` the same in devices, `asked` the removals planned. `digest` is
    the whole hash of the pool and its set of removals; people are shown its first sixteen digits.
    """

    rule: Rule
    setting: float | None
    limit: int
    asked: int
    digest: str
    next_step: str

    @property
    def hash(self) -> str:
        return self.digest[:16]


@dataclass(frozen=True, slots=True)
class Permit:
    """Why removals pass that the guard would refuse: `refusal` is what it would have said.

    `approval` is the inventory's; None is the command line's word for this one run. `digest` is the hash of the whole
    set that was approved, of which these removals are all or what is left.
    """

    refusal: Refusal
    digest: str
    approval: Approval | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """A pool's licenses after this plan, and how many devices will still wait for one."""

    assigned: int
    free: int
    waiting: int


@dataclass(frozen=True)
class Plan:
    """For one pool that was read whole: each device of desired and observed is in actions, held or kept, once.

    `promised` licenses belong to open requests, whether the service counts them as assigned yet or not. Whether the
    `doubtful` devices hold a license is what these requests decide.

    A plan that `rests_on` an older reading, made at that time, asks for nothing: there is none with an action.
    """

    pool: Pool
    capacity: Capacity
    actions: tuple[Action, ...] = ()
    held: tuple[Held, ...] = ()
    kept: int = 0
    foreign: int = 0
    desired: int = 0
    promised: int = 0
    doubtful: AbstractSet[DeviceId] = frozenset()
    refusal: Refusal | None = None
    permit: Permit | None = None
    rests_on: datetime | None = None

    def __post_init__(self) -> None:
        if self.rests_on and self.actions:
            raise ValueError("nothing is asked for on the strength of an older reading")

    def of(self, verb: Verb) -> tuple[Action, ...]:
        """The actions of one verb, in the order in which they are asked for."""
        return tuple(action for action in self.actions if action.verb is verb)

    def held_for(self, *reasons: HeldReason) -> tuple[Held, ...]:
        """What is held for one of these reasons."""
        return tuple(held for held in self.held if held.reason in reasons)

    @cached_property
    def asked(self) -> Mapping[Verb, int]:
        """How many actions there are of each verb; with a million of them, counted once."""
        return Counter(map(attrgetter("verb"), self.actions))

    @cached_property
    def withheld(self) -> Mapping[tuple[Verb, HeldReason], int]:
        """How many actions are held, of each verb and for each reason."""
        return Counter(map(attrgetter("action.verb", "reason"), self.held))

    @property
    def reasons(self) -> dict[str, int]:
        """How many actions are held for each reason that there is."""
        return {reason.value: number for reason in HeldReason if (number := self.number_held(reason))}

    def number_held(self, *reasons: HeldReason) -> int:
        """How many actions are held for one of these reasons."""
        return sum(number for (_, reason), number in self.withheld.items() if reason in reasons)

    @property
    def surplus(self) -> int:
        """How many devices hold a license and should not, whether their removals are held or not."""
        held = sum(number for (verb, _), number in self.withheld.items() if verb is Verb.REMOVE)
        return self.asked.get(Verb.REMOVE, 0) + held

    @property
    def observed(self) -> int:
        """How many devices were seen to hold a license."""
        return self.kept + self.surplus

    @property
    def verdict(self) -> PlanVerdict:
        if self.refusal:
            return PlanVerdict.REFUSED
        return PlanVerdict.CHANGES if self.actions else PlanVerdict.IN_STEP

    @property
    def forecast(self) -> Forecast:
        assigns, removes = self.asked.get(Verb.ASSIGN, 0), self.asked.get(Verb.REMOVE, 0)
        awaiting = self.number_held(HeldReason.AWAITING_REMOVALS)
        served_later = 0 if self.refusal else awaiting
        assigned = self.capacity.assigned + assigns - removes + served_later
        on_the_way = max(0, self.capacity.total - self.capacity.assigned) - self.capacity.free
        waiting = self.number_held(HeldReason.NO_CAPACITY) + awaiting - served_later
        return Forecast(assigned, max(0, self.capacity.total - assigned - on_the_way), waiting)


@dataclass(frozen=True, slots=True)
class Unread:
    """A pool that was not read whole: nothing is planned for it and nothing written to it.

    `retry_after` is for how many seconds the service asked to be left alone, if it did.
    """

    pool: Pool
    reading: Reading
    problem: str
    credentials_rejected: bool = False
    retry_after: float | None = None

    @property
    def verdict(self) -> PlanVerdict:
        return PlanVerdict.UNREAD


@dataclass(frozen=True, slots=True)
class InventoryInfo:
    """Which inventory a plan was made from: how many devices, its digest, where it is in git its commit and author."""

    devices: int
    digest: str
    commit: str | None = None
    dirty: bool = False
    author: str | None = None


@dataclass(frozen=True)
class RunPlan:
    """The plans of all pools of one pass."""

    inventory: InventoryInfo
    made_at: datetime
    pools: tuple[Plan | Unread, ...]

    @property
    def verdict(self) -> PlanVerdict:
        verdicts = {pool.verdict for pool in self.pools}
        return next((verdict for verdict in PlanVerdict if verdict in verdicts), PlanVerdict.IN_STEP)

    @property
    def planned(self) -> tuple[Plan, ...]:
        """The plans of the pools that were read whole."""
        return tuple(pool for pool in self.pools if isinstance(pool, Plan))

    @cached_property
    def hash(self) -> str:
        """`sha256:` of what would be done: the same on any machine, at any time, in any order."""
        digest = hashlib.sha256()
        for planned in sorted(self.pools, key=lambda planned: planned.pool.name):
            digest.update(f"pool {planned.pool.name} {planned.pool.account}\n".encode())
            if isinstance(planned, Plan):
                for lines in _hashed_lines(planned):
                    digest.update("".join(lines).encode())
        return f"sha256:{digest.hexdigest()}"


def _hashed_lines(plan: Plan) -> Iterator[Iterable[str]]:
    """A line for each device of which something is to be done, in the order of these lines."""
    withheld = plan.held_for(HeldReason.REFUSED, HeldReason.AWAITING_REMOVALS)
    intended = [*plan.actions, *(held.action for held in withheld)]
    for verb in sorted(Verb):
        for devices in in_order([action.device for action in intended if action.verb is verb]):
            yield (f"{verb} {device}\n" for device in devices)
