"""The contract's words as frozen values: what a plan, an outcome and a report are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import NewType

Imei = NewType("Imei", str)
Iccid = NewType("Iccid", str)
DeviceId = NewType("DeviceId", str)
"""What a product calls a device, as one text: an IMEI, or for SIM-Secure `IMEI/ICCID`."""


def imei_of(device: DeviceId) -> Imei:
    """The IMEI in a device's identifier."""
    return Imei(device.partition("/")[0])


def iccid_of(device: DeviceId) -> Iccid | None:
    """The ICCID in a device's identifier, or None where the product knows devices by IMEI alone."""
    return Iccid(device.partition("/")[2]) or None


class Product(StrEnum):
    FOTA = "fota"
    SIM_SECURE = "sim-secure"

    @property
    def needs_iccid(self) -> bool:
        """Whether this product knows a device by IMEI and ICCID together."""
        return self is Product.SIM_SECURE

    def identify(self, imei: Imei, iccid: Iccid | None) -> DeviceId:
        """The identifier that this product has for a device."""
        return DeviceId(f"{imei}/{iccid}") if self.needs_iccid else DeviceId(imei)


class Mode(StrEnum):
    """Which removals a pool allows at all."""

    ADD_ONLY = "add-only"
    MANAGED = "managed"
    FULL = "full"


class Verb(StrEnum):
    ASSIGN = "assign"
    REMOVE = "remove"


class HeldReason(StrEnum):
    """Why an action is not asked for."""

    NO_CAPACITY = "no-capacity"
    AWAITING_REMOVALS = "awaiting-removals"
    PROTECTED = "protected"
    FOREIGN = "foreign"
    MODE = "mode"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    IN_FLIGHT = "in-flight"
    IRREVOCABLE = "irrevocable"
    SERVER_WILL_RETRY = "server-will-retry"
    NO_REMOVALS = "no-removals"
    STOPPING = "stopping"


class Reading(StrEnum):
    """How much of a pool was read."""

    WHOLE = "whole"
    PARTIAL = "partial"
    UNREAD = "unread"


class Rule(StrEnum):
    """The rules by which the guard may refuse removals."""

    COUNT = "count"
    PERCENT = "percent"
    PER_DAY = "per_day"
    EMPTY = "empty"


class OutcomeKind(StrEnum):
    """How a run ended for a device whose action was sent."""

    DONE = "done"
    PENDING = "pending"
    REJECTED = "rejected"
    FAILED = "failed"
    UNKNOWN = "unknown"


class OutcomeReason(StrEnum):
    """The fixed words that say why an outcome is what it is."""

    ALREADY = "already"
    DEVICE_NOT_FOUND = "device-not-found"
    UPGRADE_PENDING = "upgrade-pending"
    NO_CAPACITY = "no-capacity"
    NO_ANSWER = "no-answer"
    NO_ROW = "no-row"
    UNDOCUMENTED_WORD = "undocumented-word"
    NO_EFFECT = "no-effect"
    REJECTED_BY_SERVICE = "rejected-by-service"
    ACCOUNT_REJECTED = "account-rejected"
    RATE_LIMITED = "rate-limited"
    NOT_LOGGED_IN = "not-logged-in"
    CREDENTIALS_REJECTED = "credentials-rejected"


class PlanVerdict(StrEnum):
    """In the order in which they win."""

    UNREAD = "unread"
    REFUSED = "refused"
    CHANGES = "changes"
    IN_STEP = "in-step"


class RunVerdict(StrEnum):
    """In the order in which they win."""

    UNREAD = "unread"
    REFUSED = "refused"
    INCOMPLETE = "incomplete"
    STOPPED = "stopped"
    DONE = "done"
    IN_STEP = "in-step"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written; `file` is relative to the settings file's folder, the rest counts from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place, and what to write instead."""

    place: Place
    message: str
    hint: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.place}: {self.message}; {self.hint}" if self.hint else f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The guard's settings for the removals of a pool."""

    count: int = 100
    percent: float = 10
    per_day: int = 200


@dataclass(frozen=True, slots=True)
class Pool:
    """The licenses of one product in one account (for SIM-Secure: of one SKU), and how they are reconciled."""

    name: str
    product: Product
    account: str
    mode: Mode
    limits: Limits = Limits()
    tolerance: int = 0
    sku: str | None = None
    others: int = 0
    irrevocable: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What the inventory says of a device: its group (None where it is only protected), priority and place."""

    group: str | None
    place: Place
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Protection:
    """A device that is never removed from any pool, until the start of a day (UTC) or for good."""

    reason: str
    place: Place
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """Leave to carry out one refused set of removals, until the start of a day (UTC)."""

    refusal: str
    reason: str
    place: Place
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """Who should hold a license of a pool today, as the inventory says.

    `wanted` iterates in the order of the inventory and answers `in` quickly (a dict or a set).
    `dormant` are named for this pool, but not for this day.
    `entries` knows every device that the inventory names anywhere, under this product's identifier.
    """

    wanted: Collection[DeviceId] = ()
    entries: Mapping[DeviceId, Entry] = field(default_factory=dict)
    dormant: AbstractSet[DeviceId] = frozenset()
    protected: Mapping[Imei, Protection] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The licenses of a pool by the service's own counts."""

    total: int
    assigned: int

    @property
    def free(self) -> int:
        return max(0, self.total - self.assigned)


@dataclass(frozen=True, slots=True)
class Observed:
    """Who holds a license of a pool, by one whole reading."""

    holders: AbstractSet[DeviceId]
    capacity: Capacity


@dataclass(frozen=True, slots=True)
class Policy:
    """What one pass goes by: the day (UTC) that it plans for, whether removals are wanted, which sets of them pass.

    `allowed` holds hashes of refusals, or their first digits, at least eight, in lower case.
    """

    today: date
    removals: bool = True
    allowed: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered from earlier runs and bears on a plan."""

    managed: AbstractSet[DeviceId] = frozenset()
    quarantined: Mapping[DeviceId, datetime] = field(default_factory=dict)
    in_flight: Mapping[DeviceId, datetime | None] = field(default_factory=dict)
    retried_by_service: Mapping[DeviceId, datetime] = field(default_factory=dict)
    removed_in_past_day: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """Assign or remove one device."""

    verb: Verb
    device: DeviceId
    group: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Held:
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
class Forecast:
    """A pool's licenses after this plan, and how many devices will still wait for one."""

    assigned: int
    free: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Plan:
    """For one pool that was read whole: each device of desired and observed is in actions, held or kept, once.

    `promised` licenses belong to open requests, whether the service counts them as assigned yet or not.
    """

    pool: Pool
    capacity: Capacity
    actions: tuple[Action, ...] = ()
    held: tuple[Held, ...] = ()
    kept: int = 0
    foreign: int = 0
    desired: int = 0
    promised: int = 0
    refusal: Refusal | None = None

    def of(self, verb: Verb) -> tuple[Action, ...]:
        """The actions of one verb, in the order in which they are asked for."""
        return tuple(action for action in self.actions if action.verb is verb)

    def held_for(self, *reasons: HeldReason) -> tuple[Held, ...]:
        """What is held for one of these reasons."""
        return tuple(held for held in self.held if held.reason in reasons)

    @property
    def observed(self) -> int:
        """How many devices were seen to hold a license."""
        surplus = len(self.of(Verb.REMOVE)) + sum(held.action.verb is Verb.REMOVE for held in self.held)
        return self.kept + surplus

    @property
    def verdict(self) -> PlanVerdict:
        if self.refusal:
            return PlanVerdict.REFUSED
        return PlanVerdict.CHANGES if self.actions else PlanVerdict.IN_STEP

    @property
    def forecast(self) -> Forecast:
        assigns, removes = len(self.of(Verb.ASSIGN)), len(self.of(Verb.REMOVE))
        awaiting = len(self.held_for(HeldReason.AWAITING_REMOVALS))
        served_later = 0 if self.refusal else awaiting
        assigned = self.capacity.assigned + assigns - removes + served_later
        waiting = len(self.held_for(HeldReason.NO_CAPACITY)) + awaiting - served_later
        return Forecast(assigned, max(0, self.capacity.total - assigned), waiting)


@dataclass(frozen=True, slots=True)
class Unread:
    """A pool that was not read whole: nothing is planned for it and nothing written to it."""

    pool: Pool
    reading: Reading
    problem: str
    credentials_rejected: bool = False

    @property
    def verdict(self) -> PlanVerdict:
        return PlanVerdict.UNREAD


@dataclass(frozen=True, slots=True)
class InventoryInfo:
    """Which inventory a plan was made from: its commit where it is in git, how many devices, and its digest."""

    devices: int
    digest: str
    commit: str | None = None
    dirty: bool = False


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
                digest.update("".join(sorted(_hashed_lines(planned))).encode())
        return f"sha256:{digest.hexdigest()}"


def _hashed_lines(plan: Plan) -> list[str]:
    withheld = plan.held_for(HeldReason.REFUSED, HeldReason.AWAITING_REMOVALS)
    intended = [*plan.actions, *(held.action for held in withheld)]
    return [f"{action.verb} {action.device}\n" for action in intended]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended for one action that was sent.

    `service` holds the service's own words. `retry_at` is when the service says it will try again by itself.
    """

    action: Action
    kind: OutcomeKind
    at: datetime
    reason: OutcomeReason | None = None
    service: str | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PoolReport:
    """What became of one pool in a run; of `plan` as it was carried out: its actions were sent, its held are held."""

    plan: Plan | Unread
    outcomes: tuple[Outcome, ...] = ()

    @property
    def held(self) -> tuple[Held, ...]:
        return self.plan.held if isinstance(self.plan, Plan) else ()

    @property
    def stopped(self) -> bool:
        """Whether something was left undone because the run had to end."""
        return any(held.reason is HeldReason.STOPPING for held in self.held)

    @property
    def credentials_rejected(self) -> bool:
        """Whether the service rejected the login, before or in the middle of this pool's run."""
        if isinstance(self.plan, Unread):
            return self.plan.credentials_rejected
        return any(outcome.reason is OutcomeReason.CREDENTIALS_REJECTED for outcome in self.outcomes)

    def count(self, kind: OutcomeKind) -> int:
        return sum(outcome.kind is kind for outcome in self.outcomes)

    @property
    def verdict(self) -> RunVerdict:
        if isinstance(self.plan, Unread):
            return RunVerdict.UNREAD
        if self.plan.refusal or self.plan.held_for(HeldReason.REFUSED):
            return RunVerdict.REFUSED
        if any(outcome.kind in UNFINISHED for outcome in self.outcomes):
            return RunVerdict.INCOMPLETE
        if self.stopped:
            return RunVerdict.STOPPED
        return RunVerdict.DONE if self.outcomes else RunVerdict.IN_STEP


UNFINISHED = frozenset({OutcomeKind.REJECTED, OutcomeKind.FAILED, OutcomeKind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did; `declined` when the plan was not the one that was meant, and nothing was done."""

    run: str
    plan: RunPlan
    pools: tuple[PoolReport, ...]
    finished_at: datetime
    declined: bool = False

    @property
    def verdict(self) -> RunVerdict:
        verdicts = {pool.verdict for pool in self.pools} | ({RunVerdict.REFUSED} if self.declined else set())
        return next((verdict for verdict in RunVerdict if verdict in verdicts), RunVerdict.IN_STEP)
