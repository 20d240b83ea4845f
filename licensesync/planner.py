"""Decides what a pool needs: which devices are assigned or removed, which are held and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time
from typing import cast

from licensesync.columns import in_order
from licensesync.model import (
    Action,
    Desired,
    DeviceId,
    Held,
    HeldReason,
    Memory,
    Mode,
    Observed,
    Plan,
    Policy,
    Pool,
    Verb,
    imei_of,
)


def plan(pool: Pool, desired: Desired, observed: Observed, policy: Policy, memory: Memory) -> Plan:
    """The plan that brings `observed` to `desired` within the capacity and the pool's mode.

    Every device of the two is in its actions, its held or counted as kept, exactly once. Nothing of chance: the last
    licenses go by priority, then by the order of the inventory; removals are in the order of their identifiers.

    What became of the doubtful is found out by asking again for what is wanted of them now, unless their requests are
    still in flight: what was done already is not done twice.
    """
    perhaps = observed.doubtful - observed.holders
    absent = [device for device in desired.wanted if device not in observed.holders]
    surplus = _surplus(desired, observed, len(desired.wanted) - len(absent), perhaps)
    removing, kept_back = _removals(pool, surplus, desired, policy, memory)
    promised = len((memory.in_flight.keys() | memory.pending) - observed.holders)
    free = observed.capacity.free_beside(promised)
    assigning, waiting = _assignments(free, len(removing), _missing(absent, desired, observed), desired, memory)
    wanted_again = sum(device in desired.wanted for device in observed.doubtful)
    return Plan(
        pool=pool,
        capacity=observed.capacity,
        actions=(*removing, *assigning),
        held=(*kept_back, *waiting),
        kept=len(observed.holders) + len(perhaps) - len(surplus) - wanted_again,
        foreign=sum(device not in memory.managed for device in surplus),
        desired=len(desired.wanted),
        promised=promised,
        doubtful=observed.doubtful,
    )


def batches(actions: Iterable[Action], size: int) -> Iterator[tuple[Action, ...]]:
    """Actions of one verb, cut into batches of at most `size`, in their order."""
    listed = tuple(actions)
    for start in range(0, len(listed), size):
        yield listed[start : start + size]


def _surplus(desired: Desired, observed: Observed, kept: int, perhaps: AbstractSet[DeviceId]) -> list[DeviceId]:
    """Who holds a license, or perhaps does, and should not: nobody, where as many are kept as hold one.

    What is wanted is only gone through, and not asked for each device: it is quick to read, and not to find.
    """
    held = set(observed.holders).difference(desired.wanted) if kept < len(observed.holders) else set()
    surplus = held.union(perhaps).difference(desired.wanted) if perhaps else held
    return [DeviceId(device) for part in in_order(cast(AbstractSet[str], surplus)) for device in part]


def _missing(absent: Sequence[DeviceId], desired: Desired, observed: Observed) -> Sequence[DeviceId]:
    """Who should hold a license and does not, or nobody knows; in the order of the inventory."""
    if not observed.doubtful:
        return absent
    asked_for = {*absent, *observed.doubtful}
    return [device for device in desired.wanted if device in asked_for]


def _removals(
    pool: Pool, surplus: list[DeviceId], desired: Desired, policy: Policy, memory: Memory
) -> tuple[list[Action], list[Held]]:
    """What is removed, and what is held of the removals; the first reason that applies is the one given."""
    removing: list[Action] = []
    kept_back: list[Held] = []
    for device in surplus:
        action = _action(Verb.REMOVE, device, desired)
        if pool.mode is Mode.ADD_ONLY:
            kept_back.append(Held(action, HeldReason.MODE))
        elif pool.mode is Mode.MANAGED and device not in memory.managed:
            kept_back.append(Held(action, HeldReason.FOREIGN))
        elif pool.irrevocable:
            kept_back.append(Held(action, HeldReason.IRREVOCABLE))
        elif held := _protected(action, desired, policy.today) or _set_aside(action, memory):
            kept_back.append(held)
        elif not policy.removals:
            kept_back.append(Held(action, HeldReason.NO_REMOVALS))
        else:
            removing.append(action)
    return removing, kept_back


def _assignments(
    free: int, removals: int, missing: Sequence[DeviceId], desired: Desired, memory: Memory
) -> tuple[list[Action], list[Held]]:
    """What is assigned within what is free, and what of the rest waits for this plan's removals or for licenses."""
    eligible: list[Action] = []
    waiting: list[Held] = []
    for action in sorted(
        (_action(Verb.ASSIGN, each, desired) for each in missing), key=lambda action: -action.priority
    ):
        if held := _set_aside(action, memory):
            waiting.append(held)
        else:
            eligible.append(action)
    waiting += [Held(action, HeldReason.AWAITING_REMOVALS) for action in eligible[free : free + removals]]
    waiting += [Held(action, HeldReason.NO_CAPACITY) for action in eligible[free + removals :]]
    return eligible[:free], waiting


def _action(verb: Verb, device: DeviceId, desired: Desired) -> Action:
    entry = desired.entries.get(device)
    return Action(verb, device, entry.group, entry.place, entry.priority) if entry else Action(verb, device)


def _protected(action: Action, desired: Desired, today: date) -> Held | None:
    protection = desired.protected.get(imei_of(action.device))
    if protection is None or (protection.until is not None and protection.until <= today):
        return None
    return Held(action, HeldReason.PROTECTED, _midnight(protection.until))


def _midnight(day: date | None) -> datetime | None:
    return datetime.combine(day, time.min, UTC) if day else None


def _set_aside(action: Action, memory: Memory) -> Held | None:
    """Held for what is remembered of this device, whichever way it should go."""
    device = action.device
    if device in memory.in_flight:
        return Held(action, HeldReason.IN_FLIGHT, memory.in_flight[device])
    if device in memory.quarantined:
        return Held(action, HeldReason.QUARANTINED, memory.quarantined[device])
    if device in memory.retried_by_service:
        return Held(action, HeldReason.SERVER_WILL_RETRY, memory.retried_by_service[device])
    return None
