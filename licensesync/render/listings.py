"""Which devices of a plan or a report are shown together, in which order, under which title."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from operator import attrgetter

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
from licensesync.render.summary import HOW_TO_SEE_ALL
from licensesync.render.words import counted, moment

UNNAMED = "not in the inventory"
UNGROUPED = "without a group"
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
class Group:
    """The devices of one kind and one group: how many there are, and the first of them."""

    name: str
    devices: int
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Rest:
    """Devices that are not shown, by their groups: the first groups, and what there is beside these."""

    devices: int
    named: Sequence[tuple[str | None, int]]
    other_groups: int

    @property
    def of_other_groups(self) -> int:
        return self.devices - sum(number for _, number in self.named)


@dataclass(frozen=True)
class Listing:
    """Devices of one kind under one title. What is not shown of them costs no more than to be counted, once."""

    title: str
    entries: Sequence[Action | Held | Outcome]
    how_to_see_all: str = HOW_TO_SEE_ALL

    @cached_property
    def groups(self) -> Counter[str | None]:
        """How many devices there are of each group, in the order in which the groups come."""
        return Counter(map(self._group, self.entries))

    def rows(self, limit: int) -> list[Row]:
        """The first devices."""
        return [_row(entry) for entry in self.entries[:limit]]

    def first_groups(self, limit: int, devices: int) -> list[Group]:
        """The first groups, each with its first devices."""
        numbers = dict(islice(self.groups.items(), limit))
        first: dict[str | None, list[Row]] = {name: [] for name in numbers}
        lacking, group = dict(first), self._group
        for entry in self.entries:
            rows = lacking.get(group(entry))
            if rows is None:
                continue
            rows.append(replace(_row(entry), group=""))
            name = group(entry)
            if len(rows) == min(numbers[name], devices):
                del lacking[name]
                if not lacking:
                    break
        return [Group(name or UNGROUPED, number, first[name]) for name, number in numbers.items()]

    def rest(self, limit: int, groups: int) -> Rest:
        """The devices that do not stand in `rows(limit)`."""
        shown = Counter(map(self._group, self.entries[:limit]))
        left = ((name, number - shown[name]) for name, number in self.groups.items() if number > shown[name])
        named = list(islice(left, groups))
        whole = sum(self.groups[name] == number for name, number in shown.items())
        return Rest(max(0, len(self.entries) - limit), named, len(self.groups) - whole - len(named))

    @cached_property
    def _group(self) -> Callable[[Action | Held | Outcome], str | None]:
        return attrgetter("group" if isinstance(self.entries[0], Action) else "action.group")


def plan_listings(plan: Plan) -> list[Listing]:
    """All that is planned for a pool: removals, those refused, assignments, then what else is held."""
    removals, assignments = plan.of(Verb.REMOVE), plan.of(Verb.ASSIGN)
    return [
        *_unless_empty(f"{len(removals)} to remove", removals),
        *held_listings(plan.held_for(HeldReason.REFUSED)),
        *_unless_empty(f"{len(assignments)} to assign", assignments),
        *held_listings(held for held in plan.held if held.reason is not HeldReason.REFUSED),
    ]


def trouble_listings(pool: PoolReport, run: str) -> list[Listing]:
    """The outcomes of a run that people have to look at."""
    kinds: dict[OutcomeKind, list[Outcome]] = {kind: [] for kind in OutcomeKind if kind in UNFINISHED}
    for outcome in pool.outcomes:
        if outcome.kind in kinds:
            kinds[outcome.kind].append(outcome)
    return [
        Listing(f"{len(some)} {kind}", some, _how_to_see_outcomes(pool, run, kind))
        for kind, some in kinds.items()
        if some
    ]


def _how_to_see_outcomes(pool: PoolReport, run: str, kind: OutcomeKind) -> str:
    """Whoever reads a report cannot ask for another form of it any more."""
    if pool.unrecorded:
        return "the log has a line for each"
    return f"licensesync history --run {run} --outcome {kind} --format csv shows all"


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
