"""The story of one device: all that explains why it has, lacks, waits for or loses a license."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from licensesync.model.facts import Capacity, LineCommit, Place, Pool, Protection
from licensesync.model.plans import Action, Held, Plan, Refusal, Unread
from licensesync.model.records import OutcomeRecord, QuarantineRecord
from licensesync.model.words import WAITING, DeviceId, HeldReason, Iccid, Imei, Verb


class Term(StrEnum):
    """Where a day lies in the dates of a group."""

    NOT_YET = "not-yet"
    ACTIVE = "active"
    ENDED = "ended"


class Intent(StrEnum):
    """What a plan does about one device."""

    ASSIGN = "assign"
    REMOVE = "remove"
    HELD = "held"
    KEPT = "kept"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Naming:
    """The entry that names a device for a pool, with its group and, where git knows it, the last commit of its line."""

    group: str
    place: Place
    priority: int = 0
    since: date | None = None
    until: date | None = None
    term: Term = Term.ACTIVE
    consents: bool = False
    line: LineCommit | None = None

    @property
    def is_active(self) -> bool:
        return self.term is Term.ACTIVE


@dataclass(frozen=True, slots=True)
class Queue:
    """Who comes before a device that waits for a license, by priority and then by the order of the inventory.

    `served` devices get one by this plan, `waiting` ones wait too, of so many in all; `promised` licenses belong to
    open requests.
    """

    served: int
    waiting: int
    of: int
    promised: int = 0


@dataclass(frozen=True, slots=True)
class Prospect:
    """Whether a device holds a license of a pool that was read whole, and what the plan would do about it.

    `holds` is None while nobody knows what became of a request for it.

    `refusal` is that of its own removal, or of the removals that it waits for.
    """

    holds: bool | None
    capacity: Capacity
    intent: Intent
    held: Held | None = None
    queue: Queue | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Background:
    """What the ledger knows of a device in a pool: its last outcomes, oldest first, of so many in all.

    `outlived` says that the quarantine counts no more, because the inventory says something else of the device now.
    """

    managed: bool = False
    outcomes: tuple[OutcomeRecord, ...] = ()
    of: int = 0
    quarantine: QuarantineRecord | None = None
    outlived: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How one device stands in one pool; `background` is None where there is no ledger."""

    pool: Pool
    device: DeviceId
    naming: Naming | None
    prospect: Prospect | Unread
    background: Background | None = None

    @property
    def is_wanted(self) -> bool:
        return self.naming is not None and self.naming.is_active


@dataclass(frozen=True, slots=True)
class Shelter:
    """The protection of a device from every removal, whether it still lasts, and the last commit of its line."""

    protection: Protection
    line: LineCommit | None = None
    lasts: bool = True


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one device; `device` is None for an ICCID that nobody has seen in a device.

    `standings` are the pools that matter for it. `unread` are the others that were not read: it may hold a license
    of them.
    """

    device: Imei | None
    iccid: Iccid | None
    standings: tuple[Standing, ...] = ()
    shelter: Shelter | None = None
    unread: tuple[Unread, ...] = ()

    @property
    def is_known(self) -> bool:
        return bool(self.standings) or self.shelter is not None


def prospect(plan: Plan, device: DeviceId, *, wanted: bool) -> Prospect:
    """What a plan says of one device; `wanted` is whether the inventory wants a license for it."""
    held = next((held for held in plan.held if held.action.device == device), None)
    action = next((action for action in plan.actions if action.device == device), None)
    decided = held.action if held else action
    holds = wanted if decided is None else decided.verb is Verb.REMOVE
    waits = held is not None and held.reason in WAITING
    refused = held is not None and held.reason in {HeldReason.AWAITING_REMOVALS, HeldReason.REFUSED}
    return Prospect(
        holds=None if device in plan.doubtful else holds,
        capacity=plan.capacity,
        intent=_intent(action, held, wanted=wanted),
        held=held,
        queue=_queue(plan, held) if held and waits else None,
        refusal=plan.refusal if refused else None,
    )


def _intent(action: Action | None, held: Held | None, *, wanted: bool) -> Intent:
    if held:
        return Intent.HELD
    if action:
        return Intent(action.verb)
    return Intent.KEPT if wanted else Intent.NOTHING


def _queue(plan: Plan, held: Held) -> Queue:
    """A plan lists what waits in the order in which it is served."""
    waiting = plan.held_for(*WAITING)
    return Queue(len(plan.of(Verb.ASSIGN)), waiting.index(held), len(waiting), plan.promised)
