"""Pools, inventories and readings for the tests of planner, guard and submission: by hand, and any at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from hypothesis import strategies as st

from licensesync import guard
from licensesync.model import (
    Action,
    Approval,
    ApprovalUse,
    Capacity,
    Desired,
    DeviceId,
    Entry,
    Imei,
    Limits,
    Memory,
    Mode,
    Observed,
    Place,
    Plan,
    Policy,
    Pool,
    Product,
    Protection,
    Verb,
)

T = TypeVar("T")

TODAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)
POLICY = Policy(TODAY)


def device(number: int) -> DeviceId:
    return DeviceId(f"{990000000000000 + number:015d}")


def devices(*numbers: int) -> list[DeviceId]:
    return [device(number) for number in numbers]


def pool(mode: Mode = Mode.FULL, *, limits: Limits | None = None, irrevocable: bool = False) -> Pool:
    return Pool("fota", Product.FOTA, "0642233522-00001", mode, limits or Limits(), irrevocable=irrevocable)


def place(line: int) -> Place:
    return Place("inventory/fleet.yaml", line, 9)


def desired(
    *wanted: DeviceId,
    priorities: Mapping[DeviceId, int] | None = None,
    dormant: Collection[DeviceId] = (),
    protected: Mapping[DeviceId, date | None] | None = None,
) -> Desired:
    """An inventory that names `wanted` in this order, one a line; `dormant` are named for other days."""
    entries = {
        each: Entry("fleet", place(line), (priorities or {}).get(each, 0))
        for line, each in enumerate((*wanted, *dormant), start=1)
    }
    shields = {Imei(each): Protection("why", place(99), until) for each, until in (protected or {}).items()}
    return Desired(dict.fromkeys(wanted), entries, shields)


def observed(*holders: DeviceId, free: int = 0) -> Observed:
    return Observed(frozenset(holders), Capacity(len(holders) + free, len(holders)))


def assign(number: int) -> Action:
    return Action(Verb.ASSIGN, device(number))


def remove(number: int) -> Action:
    return Action(Verb.REMOVE, device(number))


def removals(count: int) -> tuple[Action, ...]:
    return tuple(remove(number) for number in range(count))


def judged(
    plan: Plan,
    *,
    removed_in_past_day: int = 0,
    allowed: Collection[str] = (),
    approvals: Collection[Approval] = (),
    used: Collection[ApprovalUse] = (),
) -> Plan:
    """What the guard makes of a plan today."""
    policy = Policy(TODAY, approvals=tuple(approvals), allowed=frozenset(allowed))
    memory = Memory(removed_in_past_day=removed_in_past_day, approvals_used=tuple(used))
    return guard.judge(plan, policy, memory)


@dataclass(frozen=True)
class World:
    """All that a plan is made from."""

    pool: Pool
    desired: Desired
    observed: Observed
    policy: Policy
    memory: Memory

    @property
    def everyone(self) -> set[DeviceId]:
        return {*self.desired.wanted, *self.observed.holders, *self.observed.doubtful}

    @property
    def reserved(self) -> int:
        """How many licenses were promised to devices that hold none for certain."""
        return len(set(self.memory.in_flight) - self.observed.holders)


FLEET = [device(number) for number in range(10)]
moments = st.sampled_from([LATER, NOW - timedelta(days=1)])
days = st.sampled_from([None, TODAY - timedelta(days=1), TODAY, TODAY + timedelta(days=1)])


def _some(draw: st.DrawFn) -> list[DeviceId]:
    """Any of the fleet, drawn as one number: quicker than a set."""
    chosen = draw(st.integers(0, 2 ** len(FLEET) - 1))
    return [each for bit, each in enumerate(FLEET) if chosen >> bit & 1]


def _each(draw: st.DrawFn, value: st.SearchStrategy[T]) -> dict[DeviceId, T]:
    return {each: draw(value) for each in _some(draw) if draw(st.booleans())}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any small world, with everything that a plan may have to think of."""
    named = _some(draw)
    wanted = draw(st.permutations(named)) if draw(st.booleans()) else named
    dormant = [each for each in _some(draw) if each not in named]
    return World(
        pool(draw(st.sampled_from(Mode)), irrevocable=draw(st.integers(0, 5)) == 0),
        desired(*wanted, priorities=_each(draw, st.integers(-2, 2)), dormant=dormant, protected=_each(draw, days)),
        observed(*_some(draw), free=draw(st.integers(0, 8))),
        Policy(TODAY, removals=draw(st.integers(0, 5)) > 0),
        Memory(
            managed=frozenset(_some(draw)),
            quarantined=_each(draw, moments),
            in_flight=_each(draw, st.none() | moments),
            retried_by_service=_each(draw, moments),
        ),
    )


@st.composite
def doubtful_worlds(draw: st.DrawFn) -> World:
    """The same where requests are open: in flight, or nobody knows; and the service says what is available."""
    world = draw(worlds())
    doubtful = frozenset(_some(draw))
    in_flight = {each: draw(moments) for each in sorted(doubtful) if draw(st.booleans())}
    capacity = replace(world.observed.capacity, available=draw(st.none() | st.integers(0, 8)))
    return replace(
        world,
        observed=replace(world.observed, capacity=capacity, doubtful=doubtful),
        memory=replace(world.memory, in_flight=in_flight),
    )
