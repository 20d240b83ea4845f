"""Which devices of a plan or a report are shown together, in which order, under which title."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from licensesync.model import (
    UNFINISHED,
    WAITING,
    Action,
    Held,
    HeldReason,
    Outcome,
    OutcomeKind,
    Plan,
    PoolReport,
    Verb,
)
from licensesync.render.words import counted, moment

UNNAMED = "not in the inventory"
NOUNS: Mapping[Verb, str] = {Verb.REMOVE: "removal", Verb.ASSIGN: "assignment"}
WHY_HELD: Mapping[HeldReason, str] = {
    HeldReason.NO_CAPACITY: "no license is free for them",
    HeldReason.AWAITING_REMOVALS: "waiting for what the removals free",
    HeldReason.PROTECTED: "the inventory protects them",
    HeldReason.FOREIGN: "never managed; mode managed leaves them alone",
    HeldReason.MODE: "mode add-only removes nothing",
    HeldReason.REFUSED: "not carried out without leave",
    HeldReason.QUARANTINED: "set aside after repeated failures",
    HeldReason.IN_FLIGHT: "an earlier request for them is still open",
    HeldReason.IRREVOCABLE: "a lifetime license is never removed",
    HeldReason.SERVER_WILL_RETRY: "the service will try again by itself",
    HeldReason.NO_REMOVALS: "--no-removals was asked for",
    HeldReason.STOPPING: "the run was stopped before they were sent",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One device as it is shown."""

    verb: Verb
    device: str
    group: str
    place: str
    note: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Devices of one kind under one title."""

    title: str
    entries: Sequence[Action | Held | Outcome]

    def rows(self, limit: int | None = None) -> list[Row]:
        """The first devices, or all."""
        return [_row(entry) for entry in self.entries[:limit]]

    def left_out(self, limit: int) -> int:
        """How many devices do not stand in `rows(limit)`."""
        return max(0, len(self.entries) - limit)

    def groups_left_out(self, limit: int) -> Counter[str]:
        """The groups of the devices that do not stand in `rows(limit)`."""
        return Counter(_action(entry).group or "without a group" for entry in self.entries[limit:])


def plan_listings(plan: Plan) -> list[Listing]:
    """All that is planned for a pool: removals, those refused, assignments, then what else is held."""
    removals, assignments = plan.of(Verb.REMOVE), plan.of(Verb.ASSIGN)
    return [
        *_unless_empty(f"{len(removals)} to remove", removals),
        *held_listings(plan.held_for(HeldReason.REFUSED)),
        *_unless_empty(f"{len(assignments)} to assign", assignments),
        *held_listings(held for held in plan.held if held.reason is not HeldReason.REFUSED),
    ]


def trouble_listings(pool: PoolReport) -> list[Listing]:
    """The outcomes that people have to look at."""
    kinds = {kind: [outcome for outcome in pool.outcomes if outcome.kind is kind] for kind in OutcomeKind}
    troubles = ((kind, outcomes) for kind, outcomes in kinds.items() if kind in UNFINISHED)
    return [listing for kind, some in troubles for listing in _unless_empty(f"{len(some)} {kind}", some)]


def held_listings(held: Iterable[Held]) -> list[Listing]:
    """What is held, by verb and reason, removals first."""
    kinds: dict[tuple[Verb, HeldReason], list[Held]] = {(verb, reason): [] for verb in NOUNS for reason in HeldReason}
    for one in held:
        kinds[one.action.verb, one.reason].append(one)
    return [Listing(_held_title(*kind, len(some)), some) for kind, some in kinds.items() if some]


def _held_title(verb: Verb, reason: HeldReason, number: int) -> str:
    return f"{counted(number, NOUNS[verb])} held as {reason}: {WHY_HELD[reason]}"


def _unless_empty(title: str, entries: Sequence[Action | Held | Outcome]) -> list[Listing]:
    return [Listing(title, entries)] if entries else []


def _action(entry: Action | Held | Outcome) -> Action:
    return entry if isinstance(entry, Action) else entry.action


def _row(entry: Action | Held | Outcome) -> Row:
    action = _action(entry)
    place = str(action.place) if action.place else UNNAMED
    return Row(action.verb, action.device, action.group or "", place, _note(entry))


def _note(entry: Action | Held | Outcome) -> str:
    if isinstance(entry, Held) and entry.until:
        return f"until {moment(entry.until)}"
    if isinstance(entry, Held) and entry.reason in WAITING and entry.action.priority:
        return f"priority {entry.action.priority}"
    if isinstance(entry, Outcome):
        return ": ".join(words for words in (entry.reason, entry.service) if words)
    return ""
