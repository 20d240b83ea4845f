"""How a plan is carried out: what is sent, in which order and batches, and that every action has one end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

import core_worlds as worlds
import pytest
from core_worlds import LATER, NOW, POLICY, device, devices, pool
from hypothesis import given
from hypothesis import strategies as st

from licensesync.errors import BatchRejected, IncompleteObservation, LedgerError, LoginRejected, Unreachable
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    Held,
    HeldReason,
    Limits,
    Memory,
    Observed,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Plan,
    Pool,
    PoolReport,
    Reading,
    RunVerdict,
    Unread,
    Verb,
)
from licensesync.planner import plan
from licensesync.submission import Sending, carry_on, carry_out, settle

Answer = Callable[[Action], Outcome]
UPGRADE_PENDING = OutcomeReason.UPGRADE_PENDING
DONE, PENDING, REJECTED, FAILED, UNKNOWN = (
    OutcomeKind.DONE,
    OutcomeKind.PENDING,
    OutcomeKind.REJECTED,
    OutcomeKind.FAILED,
    OutcomeKind.UNKNOWN,
)


@dataclass
class Service:
    """A service in memory: its licenses, what it answers otherwise than as asked, and what it was asked."""

    pool: Pool
    total: int = 100
    holders: set[DeviceId] = field(default_factory=set)
    answers: dict[DeviceId, Answer] = field(default_factory=dict)
    poison: set[DeviceId] = field(default_factory=set)
    moody: Callable[[], bool] = lambda: False
    uncounted: bool = False
    blind: bool = False
    hidden: set[DeviceId] = field(default_factory=set)
    readable: bool = False
    readings: int = 0
    before_batch: Callable[[Sequence[Action]], None] = lambda _: None
    batches: list[tuple[Action, ...]] = field(default_factory=list)
    answered: list[tuple[Action, ...]] = field(default_factory=list)
    look_ups: list[tuple[DeviceId, ...]] = field(default_factory=list)
    counted: int = 0
    largest_batch: int = 1000

    async def capacity(self) -> Capacity:
        await asyncio.sleep(0)
        self.counted += 1
        if self.uncounted:
            raise IncompleteObservation("neither the list nor the subscription says how many")
        return Capacity(self.total, len(self.holders))

    async def submit(self, batch: Sequence[Action]) -> list[Outcome]:
        self.before_batch(batch)
        self.batches.append(tuple(batch))
        await asyncio.sleep(0)
        if any(action.device in self.poison for action in batch) or self.moody():
            raise BatchRejected("HTTP 400 INVALID_PARAMETER Invalid device id format")
        self.answered.append(tuple(batch))
        return [self._end(action) for action in batch]

    async def look_up(self, devices: Sequence[DeviceId]) -> Mapping[DeviceId, bool]:
        self.look_ups.append(tuple(devices))
        await asyncio.sleep(0)
        if self.blind:
            raise Unreachable("no answer")
        return {each: each in self.holders for each in devices if each not in self.hidden}

    async def observe(self, known: Collection[DeviceId], progress: Callable[[int, int | None], None]) -> Observed:
        del known, progress
        self.readings += 1
        await asyncio.sleep(0)
        if not self.readable:
            raise IncompleteObservation("a page cannot be read")
        return Observed(frozenset(self.holders), Capacity(self.total, len(self.holders)))

    @property
    def sent(self) -> list[Action]:
        return [action for batch in self.batches for action in batch]

    def _end(self, action: Action) -> Outcome:
        if action.device in self.answers:
            return self.answers[action.device](action)
        if action.verb is Verb.REMOVE:
            self.holders.discard(action.device)
        elif len(self.holders) >= self.total:
            return Outcome(action, REJECTED, NOW, OutcomeReason.NO_CAPACITY)
        else:
            self.holders.add(action.device)
        return Outcome(action, DONE, NOW)


@dataclass
class Listener:
    """Hears what is told while batches are sent."""

    heard: list[tuple[str, Verb, int, int]] = field(default_factory=list)
    settlements: list[Sequence[Outcome]] = field(default_factory=list)

    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None:
        self.heard.append((pool, verb, settled, of))

    def settled(self, _: Pool, outcomes: Sequence[Outcome]) -> None:
        self.settlements.append(outcomes)


@dataclass
class Pages:
    """A record in memory: what was kept before and after each batch; `full` after so many batches, or as it `fails`."""

    before: list[tuple[Action, ...]] = field(default_factory=list)
    after: list[tuple[tuple[Action, ...], tuple[Outcome, ...]]] = field(default_factory=list)
    full: int | None = None
    full_after: int | None = None
    fails: Callable[[str], bool] = lambda _: False
    failed: bool = False
    open_or_told: dict[Action, Outcome | None] = field(default_factory=dict)

    async def sent(self, _: Pool, batch: Sequence[Action]) -> None:
        await asyncio.sleep(0)  # whoever does not wait for it is ahead of it
        self._take("before", full=self.full is not None and len(self.before) >= self.full)
        self.before.append(tuple(batch))
        self.open_or_told |= dict.fromkeys(batch)

    async def settled(self, _: Pool, batch: Sequence[Action], outcomes: Sequence[Outcome]) -> None:
        await asyncio.sleep(0)
        self._take("after", full=self.full_after is not None and len(self.after) >= self.full_after)
        self.after.append((tuple(batch), tuple(outcomes)))
        for action in batch:
            del self.open_or_told[action]
        self.open_or_told |= {outcome.action: outcome for outcome in outcomes}

    def _take(self, when: str, *, full: bool) -> None:
        if full or self.fails(when):
            self.failed = True
            raise LedgerError("the disk is full")


class SlowPages(Pages):
    """A record that takes its time: something else has to happen before it keeps what became of a batch."""

    before_after: Callable[[], Awaitable[object]]

    async def settled(self, pool: Pool, batch: Sequence[Action], outcomes: Sequence[Outcome]) -> None:
        await self.before_after()
        await super().settled(pool, batch, outcomes)


def answer(kind: OutcomeKind, reason: OutcomeReason | None = None) -> Answer:
    return lambda action: Outcome(action, kind, NOW, reason, "its own words")


async def carried_out(
    made: Plan,
    service: Service,
    *,
    size: int = 3,
    at_once: int = 1,
    stop: asyncio.Event | None = None,
    listener: Listener | None = None,
    pages: Pages | None = None,
) -> PoolReport:
    sending = Sending(size, at_once, stop or asyncio.Event(), lambda: NOW, pages or Pages())
    return await carry_out(made, service, sending, listener or Listener())


def planned(*actions: Action, held: tuple[Held, ...] = ()) -> Plan:
    return Plan(pool(), Capacity(100, 50), actions, held, kept=50, desired=50)


def awaiting(*numbers: int) -> tuple[Held, ...]:
    return tuple(Held(worlds.assign(number), HeldReason.AWAITING_REMOVALS) for number in numbers)


def kinds(report: PoolReport) -> dict[DeviceId, OutcomeKind]:
    return {outcome.action.device: outcome.kind for outcome in report.outcomes}


def reasons(report: PoolReport) -> dict[DeviceId, HeldReason]:
    return {held.action.device: held.reason for held in report.held}


def assert_every_action_has_one_end(made: Plan, report: PoolReport) -> None:
    asked = Counter([*made.actions, *(held.action for held in made.held)])
    ends = Counter([*(each.action for each in report.outcomes), *(held.action for held in report.held)])
    assert ends == asked
    assert isinstance(report.plan, Plan)
    assert report.plan.actions == tuple(outcome.action for outcome in report.outcomes)


# --- in which order, in which batches


async def test_what_is_planned_is_done_and_nothing_else() -> None:
    service = Service(pool(), holders=set(devices(1, 2, 3)))
    report = await carried_out(planned(worlds.remove(1), worlds.remove(2), worlds.assign(4)), service)
    assert service.holders == set(devices(3, 4))
    assert kinds(report) == dict.fromkeys(devices(1, 2, 4), DONE)
    assert (report.verdict, report.held, service.look_ups) == (RunVerdict.DONE, (), [])


async def test_the_service_is_not_asked_for_counts_that_nobody_waits_for() -> None:
    service = Service(pool(), holders=set(devices(1)))
    await carried_out(planned(worlds.remove(1)), service)
    assert service.counted == 0


async def test_an_empty_plan_asks_the_service_nothing() -> None:
    service, listener = Service(pool()), Listener()
    report = await carried_out(planned(), service, listener=listener)
    assert (service.batches, service.counted, listener.heard, report.outcomes) == ([], 0, [], ())
    assert report.verdict is RunVerdict.IN_STEP


@pytest.mark.parametrize("at_once", [1, 2, 8])
async def test_all_removals_are_settled_before_the_first_assignment_is_sent(at_once: int) -> None:
    service = Service(pool(), holders=set(devices(*range(20))))
    settled_removals: list[bool] = []

    def look(batch: Sequence[Action]) -> None:
        if batch[0].verb is Verb.ASSIGN:
            settled_removals.append(not service.holders & set(devices(*range(20))))

    service.before_batch = look
    actions = (*worlds.removals(20), *(worlds.assign(100 + number) for number in range(9)))
    await carried_out(planned(*actions), service, at_once=at_once)
    assert settled_removals == [True] * 3


@pytest.mark.parametrize(("count", "size", "cut"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 3, [2]), (3, 1, [1, 1, 1])])
async def test_a_batch_has_one_verb_and_at_most_the_size_that_is_set(count: int, size: int, cut: list[int]) -> None:
    service = Service(pool())
    actions = (*worlds.removals(count), *(worlds.assign(100 + number) for number in range(count)))
    await carried_out(planned(*actions), service, size=size)
    assert [len(batch) for batch in service.batches] == cut * 2
    assert all(len({action.verb for action in batch}) == 1 for batch in service.batches)
    assert service.sent == list(actions)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_as_many_batches_are_under_way_as_are_allowed_and_no_more(at_once: int) -> None:
    service, under_way, most = Service(pool()), 0, 0
    inner = service.submit

    class Watched(Service):
        async def submit(self, batch: Sequence[Action]) -> list[Outcome]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            outcomes = await inner(batch)
            under_way -= 1
            return outcomes

    await carried_out(planned(*worlds.removals(12)), Watched(pool()), size=2, at_once=at_once)
    assert (most, under_way) == (at_once, 0)


@pytest.mark.parametrize("at_once", [2, 8])
async def test_as_many_batches_are_under_way_as_are_allowed_while_others_are_kept(at_once: int) -> None:
    """The first batches are not kept as settled before as many others were sent."""
    pages, others_are_sent = SlowPages(), asyncio.Event()
    pages.before_after = others_are_sent.wait
    service = Service(pool())

    def look(_: Sequence[Action]) -> None:
        if len(service.batches) == 2 * at_once - 1:
            others_are_sent.set()

    service.before_batch = look
    made = planned(*worlds.removals(8 * at_once))
    async with asyncio.timeout(10):
        report = await carried_out(made, service, size=2, at_once=at_once, pages=pages)
    assert kinds(report) == dict.fromkeys(devices(*range(8 * at_once)), DONE)


async def test_a_batch_that_is_kept_as_sent_when_the_run_has_to_end_is_not_sent_and_taken_back() -> None:
    stop, pages = asyncio.Event(), Pages()
    service = Service(pool(), before_batch=lambda _: stop.set())
    report = await carried_out(planned(*worlds.removals(30)), service, at_once=2, stop=stop, pages=pages)
    assert len(pages.before) > len(service.batches) == 1
    assert pages.open_or_told == {outcome.action: outcome for outcome in report.outcomes}
    assert kinds(report) == dict.fromkeys(devices(0, 1, 2), DONE)
    assert reasons(report) == dict.fromkeys(devices(*range(3, 30)), HeldReason.STOPPING)


async def test_the_witness_hears_each_batch_and_how_far_it_is() -> None:
    listener = Listener()
    made = planned(*worlds.removals(4), worlds.assign(9))
    report = await carried_out(made, Service(pool()), listener=listener)
    assert [outcome for batch in listener.settlements for outcome in batch] == list(report.outcomes)
    assert listener.heard == [
        ("fota", Verb.REMOVE, 0, 4),
        ("fota", Verb.REMOVE, 3, 4),
        ("fota", Verb.REMOVE, 4, 4),
        ("fota", Verb.ASSIGN, 0, 1),
        ("fota", Verb.ASSIGN, 1, 1),
    ]


async def test_a_refused_plan_sends_no_removal_and_keeps_all_its_assignments() -> None:
    made = plan(
        pool(limits=Limits(count=1)),
        worlds.desired(*devices(1, 2, 3)),
        worlds.observed(*devices(7, 8), free=2),
        POLICY,
        Memory(),
    )
    service = Service(pool(), total=4, holders=set(devices(7, 8)))
    report = await carried_out(worlds.judged(made), service)
    assert {action.verb for action in service.sent} == {Verb.ASSIGN}
    assert service.holders == set(devices(7, 8, 1, 2))
    assert reasons(report) == {
        device(7): HeldReason.REFUSED,
        device(8): HeldReason.REFUSED,
        device(3): HeldReason.AWAITING_REMOVALS,
    }
    assert report.verdict is RunVerdict.REFUSED


# --- what removals free


async def test_what_removals_free_is_assigned_after_the_service_was_asked_for_its_counts() -> None:
    service = Service(pool(), total=3, holders=set(devices(1, 2, 3)))
    report = await carried_out(planned(*worlds.removals(3)[1:], worlds.remove(3), held=awaiting(11, 12, 13)), service)
    assert service.holders == set(devices(11, 12, 13))
    assert service.counted == 1
    assert report.held == ()


async def test_licenses_that_others_took_meanwhile_are_not_counted_on() -> None:
    service = Service(pool(), total=3, holders=set(devices(1, 2, 3)))
    made = planned(worlds.remove(1), worlds.remove(2), held=awaiting(11, 12))

    def somebody_else(batch: Sequence[Action]) -> None:
        service.holders.add(device(77))

    service.before_batch = somebody_else
    report = await carried_out(made, service)
    assert [action.device for action in service.sent if action.verb is Verb.ASSIGN] == devices(11)
    assert reasons(report) == {device(12): HeldReason.NO_CAPACITY}


async def test_nothing_is_assigned_into_removals_that_were_rejected() -> None:
    service = Service(pool(), total=1, holders=set(devices(1)), answers={device(1): answer(REJECTED)})
    report = await carried_out(planned(worlds.remove(1), held=awaiting(11)), service)
    assert reasons(report) == {device(11): HeldReason.AWAITING_REMOVALS}
    assert service.counted == 0


async def test_without_the_services_counts_nothing_more_is_assigned() -> None:
    service = Service(pool(), holders=set(devices(1)), uncounted=True)
    report = await carried_out(planned(worlds.remove(1), held=awaiting(11)), service)
    assert reasons(report) == {device(11): HeldReason.AWAITING_REMOVALS}
    assert [action.verb for action in service.sent] == [Verb.REMOVE]


async def test_what_is_held_for_other_reasons_stays_held() -> None:
    held = (*awaiting(11), Held(worlds.remove(5), HeldReason.PROTECTED, LATER))
    service = Service(pool(), total=1, holders=set(devices(1)))
    report = await carried_out(planned(worlds.remove(1), held=held), service)
    assert report.held == held[1:]


async def test_licenses_of_open_requests_are_not_given_away_when_removals_free_some() -> None:
    world = worlds.World(
        pool(),
        worlds.desired(*devices(1, 2)),
        worlds.observed(*devices(8, 9)),
        POLICY,
        Memory(in_flight={device(1): None, device(3): None}),
    )
    made = plan(world.pool, world.desired, world.observed, world.policy, world.memory)
    assert made.held_for(HeldReason.AWAITING_REMOVALS)
    service = Service(pool(), total=2, holders=set(devices(8, 9)))
    await carried_out(made, service)
    reserved = 2  # the service has accepted the requests for 1 and 3, and counts them when it has done them
    assert len(service.holders) + reserved <= service.total


async def test_licenses_that_this_run_was_promised_are_not_given_away_when_removals_free_some() -> None:
    service = Service(
        pool(),
        total=2,
        holders=set(devices(8)),
        answers={device(1): answer(UNKNOWN, OutcomeReason.UPGRADE_PENDING)},
    )
    report = await carried_out(planned(worlds.remove(8), worlds.assign(1), held=awaiting(2, 3)), service)
    assert kinds(report)[device(1)] is PENDING
    promised = 1
    assert len(service.holders) + promised <= service.total


# --- when the next batch would fare no better


async def test_licenses_that_run_out_end_the_assignments_and_hold_the_rest() -> None:
    service = Service(pool(), total=4)
    made = planned(*(worlds.assign(number) for number in range(12)))
    report = await carried_out(made, service, size=3)
    assert len(service.batches) == 2
    assert service.holders == set(devices(0, 1, 2, 3))
    assert {each for each, kind in kinds(report).items() if kind is REJECTED} == set(devices(4, 5))
    assert reasons(report) == dict.fromkeys(devices(*range(6, 12)), HeldReason.NO_CAPACITY)
    assert_every_action_has_one_end(made, report)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (REJECTED, OutcomeReason.ACCOUNT_REJECTED),
        (FAILED, OutcomeReason.NOT_LOGGED_IN),
        (FAILED, OutcomeReason.CREDENTIALS_REJECTED),
    ],
)
async def test_trouble_with_the_account_or_the_login_ends_the_run_of_the_pool(
    kind: OutcomeKind, reason: OutcomeReason
) -> None:
    service = Service(pool(), answers=dict.fromkeys(devices(3, 4, 5), answer(kind, reason)))
    made = planned(*worlds.removals(9), worlds.assign(50), held=awaiting(60))
    report = await carried_out(made, service)
    assert len(service.batches) == 2
    assert reasons(report) == {
        **dict.fromkeys(devices(6, 7, 8, 50), HeldReason.STOPPING),
        device(60): HeldReason.AWAITING_REMOVALS,
    }
    assert service.counted == 0
    assert report.verdict is RunVerdict.INCOMPLETE


async def test_a_device_that_the_service_rejects_does_not_stop_the_others() -> None:
    service = Service(pool(), answers={device(1): answer(REJECTED, OutcomeReason.REJECTED_BY_SERVICE)})
    report = await carried_out(planned(*(worlds.assign(number) for number in range(9))), service)
    assert service.holders == set(devices(0, 2, 3, 4, 5, 6, 7, 8))
    assert kinds(report)[device(1)] is REJECTED


async def test_three_batches_in_a_row_of_which_nothing_is_known_end_the_run_of_the_pool() -> None:
    silence = dict.fromkeys(devices(*range(30)), answer(UNKNOWN, OutcomeReason.NO_ANSWER))
    service = Service(pool(), answers=silence, blind=True)
    made = planned(*worlds.removals(30))
    report = await carried_out(made, service)
    assert len(service.batches) == 3
    assert reasons(report) == dict.fromkeys(devices(*range(9, 30)), HeldReason.STOPPING)
    assert_every_action_has_one_end(made, report)


async def test_a_batch_that_is_answered_lets_the_run_go_on_after_two_that_were_not() -> None:
    silent = [*range(6), *range(9, 15)]
    service = Service(
        pool(), answers=dict.fromkeys(devices(*silent), answer(UNKNOWN, OutcomeReason.NO_ANSWER)), blind=True
    )
    report = await carried_out(planned(*worlds.removals(15)), service)
    assert len(service.batches) == 5
    assert report.held == ()


# --- a batch that is rejected whole


async def test_a_batch_that_is_rejected_whole_is_halved_until_the_bad_device_stands_alone() -> None:
    service = Service(pool(), poison={device(13)})
    made = planned(*(worlds.assign(number) for number in range(32)))
    report = await carried_out(made, service, size=32)
    assert kinds(report) == {each: REJECTED if each == device(13) else DONE for each in devices(*range(32))}
    (bad,) = (outcome for outcome in report.outcomes if outcome.kind is REJECTED)
    assert (bad.reason, bad.at) == (OutcomeReason.REJECTED_BY_SERVICE, NOW)
    assert "Invalid device id format" in (bad.service or "")
    assert len(service.batches) == 11
    assert_every_action_has_one_end(made, report)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
async def test_a_batch_of_bad_devices_alone_takes_fewer_calls_than_twice_its_devices(count: int) -> None:
    service = Service(pool(), poison=set(devices(*range(count))))
    made = planned(*worlds.removals(count))
    report = await carried_out(made, service, size=100)
    assert len(service.batches) == 2 * count - 1
    assert report.counts[REJECTED] == count
    assert_every_action_has_one_end(made, report)


async def test_what_is_known_to_be_hopeless_ends_the_halving_too() -> None:
    hopeless = answer(FAILED, OutcomeReason.CREDENTIALS_REJECTED)
    service = Service(pool(), poison={device(31)}, answers=dict.fromkeys(devices(*range(31)), hopeless))
    made = planned(*worlds.removals(32))
    report = await carried_out(made, service, size=32)
    assert len(service.batches) == 2
    assert_every_action_has_one_end(made, report)


# --- what is not known


async def test_outcomes_that_are_not_known_are_looked_up_together_and_settled() -> None:
    lost = answer(UNKNOWN, OutcomeReason.NO_ANSWER)
    service = Service(pool(), holders=set(devices(1, 2)), answers=dict.fromkeys(devices(1, 2, 3, 4, 5), lost))
    service.hidden = {device(5)}
    made = planned(*(worlds.remove(number) for number in (1, 2, 3, 4, 5)))
    report = await carried_out(made, service, size=5)
    assert service.look_ups[0] == tuple(devices(1, 2, 3, 4, 5))
    assert kinds(report) == {
        device(1): FAILED,
        device(2): FAILED,
        device(3): DONE,
        device(4): DONE,
        device(5): UNKNOWN,
    }
    assert_every_action_has_one_end(made, report)


async def test_what_had_no_effect_is_sent_once_more_and_not_again() -> None:
    lost = answer(UNKNOWN, OutcomeReason.NO_ANSWER)
    service = Service(pool(), answers=dict.fromkeys(devices(1, 2), lost))

    def answer_again_for_one(batch: Sequence[Action]) -> None:
        if service.batches:
            service.answers.pop(device(1), None)

    service.before_batch = answer_again_for_one
    report = await carried_out(planned(worlds.assign(1), worlds.assign(2), worlds.assign(3)), service)
    assert kinds(report) == {device(1): DONE, device(2): FAILED, device(3): DONE}
    assert [[action.device for action in batch] for batch in service.batches] == [devices(1, 2, 3), devices(1, 2)]
    assert service.look_ups == [tuple(devices(1, 2)), (device(2),)]


@pytest.mark.parametrize("reason", [OutcomeReason.NO_ANSWER, OutcomeReason.UPGRADE_PENDING])
async def test_what_may_have_taken_effect_is_not_sent_again(reason: OutcomeReason) -> None:
    service = Service(pool(), answers={device(1): answer(UNKNOWN, reason)}, hidden={device(1)})
    await carried_out(planned(worlds.assign(1)), service)
    assert len(service.batches) == 1


async def test_what_had_no_effect_is_not_sent_again_when_the_run_must_end() -> None:
    stop = asyncio.Event()
    lost = answer(UNKNOWN, OutcomeReason.NO_ANSWER)
    service = Service(pool(), answers={device(1): lost}, before_batch=lambda _: stop.set())
    report = await carried_out(planned(worlds.assign(1)), service, stop=stop)
    assert len(service.batches) == 1
    assert [outcome.reason for outcome in report.outcomes] == [OutcomeReason.NO_EFFECT]


async def test_a_stop_while_what_had_no_effect_is_sent_once_more_gives_no_device_two_ends() -> None:
    stop = asyncio.Event()
    lost = answer(UNKNOWN, OutcomeReason.NO_ANSWER)
    service = Service(pool(), answers=dict.fromkeys(devices(*range(8)), lost))

    def reject_whole_and_stop(batch: Sequence[Action]) -> None:
        if len(service.batches) == 1:
            service.poison = {batch[0].device}
            stop.set()

    service.before_batch = reject_whole_and_stop
    made = planned(*worlds.removals(8))
    service.holders = set(devices(*range(8)))
    report = await carried_out(made, service, size=8, stop=stop)
    assert_every_action_has_one_end(made, report)


async def test_only_what_is_not_known_is_looked_up() -> None:
    service = Service(pool(), answers={device(2): answer(UNKNOWN, OutcomeReason.NO_ROW)})
    await carried_out(planned(*(worlds.assign(number) for number in range(5))), service, size=5)
    assert {each for looked_up in service.look_ups for each in looked_up} == {device(2)}


async def test_what_cannot_be_looked_up_stays_unknown() -> None:
    service = Service(pool(), answers={device(1): answer(UNKNOWN, OutcomeReason.NO_ANSWER)}, blind=True)
    report = await carried_out(planned(worlds.assign(1)), service)
    assert kinds(report) == {device(1): UNKNOWN}
    assert report.verdict is RunVerdict.INCOMPLETE


async def test_rejected_credentials_in_a_look_up_stop_nothing_that_is_known() -> None:
    class LockedOut(Service):
        async def look_up(self, devices: Sequence[DeviceId]) -> Mapping[DeviceId, bool]:  # noqa: ARG002
            raise LoginRejected("the service rejects the login")

    service = LockedOut(pool(), answers={device(1): answer(UNKNOWN, OutcomeReason.NO_ROW)})
    made = planned(worlds.assign(0), worlds.assign(1))
    report = await carried_out(made, service)
    assert kinds(report) == {device(0): DONE, device(1): UNKNOWN}


@pytest.mark.parametrize(
    ("verb", "reason", "holds", "kind", "ended_as"),
    [
        (Verb.ASSIGN, OutcomeReason.NO_ANSWER, True, DONE, OutcomeReason.NO_ANSWER),
        (Verb.ASSIGN, OutcomeReason.NO_ANSWER, False, FAILED, OutcomeReason.NO_EFFECT),
        (Verb.ASSIGN, OutcomeReason.NO_ANSWER, None, UNKNOWN, OutcomeReason.NO_ANSWER),
        (Verb.REMOVE, OutcomeReason.NO_ROW, False, DONE, OutcomeReason.NO_ROW),
        (Verb.REMOVE, OutcomeReason.NO_ROW, True, FAILED, OutcomeReason.NO_EFFECT),
        (Verb.REMOVE, OutcomeReason.NO_ROW, None, UNKNOWN, OutcomeReason.NO_ROW),
        (Verb.ASSIGN, OutcomeReason.UPGRADE_PENDING, True, DONE, OutcomeReason.UPGRADE_PENDING),
        (Verb.ASSIGN, OutcomeReason.UPGRADE_PENDING, False, PENDING, OutcomeReason.UPGRADE_PENDING),
        (Verb.ASSIGN, OutcomeReason.UPGRADE_PENDING, None, PENDING, OutcomeReason.UPGRADE_PENDING),
        (Verb.REMOVE, OutcomeReason.UPGRADE_PENDING, False, DONE, OutcomeReason.UPGRADE_PENDING),
        (Verb.REMOVE, OutcomeReason.UPGRADE_PENDING, True, PENDING, OutcomeReason.UPGRADE_PENDING),
    ],
)
def test_what_a_look_up_says_settles_what_was_not_known(
    *, verb: Verb, reason: OutcomeReason, holds: bool | None, kind: OutcomeKind, ended_as: OutcomeReason
) -> None:
    settled = settle(Outcome(Action(verb, device(1)), UNKNOWN, NOW, reason, "words"), holds)
    assert (settled.kind, settled.reason, settled.service) == (kind, ended_as, "words")


@pytest.mark.parametrize(("named", "until"), [(LATER, LATER), (None, NOW + timedelta(hours=24))])
def test_a_pending_upgrade_is_left_alone_until_its_time_or_for_a_day(named: datetime | None, until: datetime) -> None:
    told = Outcome(worlds.assign(1), UNKNOWN, NOW, OutcomeReason.UPGRADE_PENDING, retry_at=named)
    assert settle(told, None).retry_at == until
    assert settle(told, True).retry_at is None


@pytest.mark.parametrize("kind", [DONE, PENDING, REJECTED, FAILED])
@pytest.mark.parametrize("holds", [True, False, None])
def test_what_is_known_is_not_changed_by_a_look_up(kind: OutcomeKind, *, holds: bool | None) -> None:
    outcome = Outcome(worlds.assign(1), kind, NOW)
    assert settle(outcome, holds) is outcome


# --- what no look-up tells


def unanswered(service: Service, *, works: bool, reason: OutcomeReason = OutcomeReason.NO_ANSWER) -> Answer:
    """The service carries an action out, or does not; either way it gives no answer."""

    def end(action: Action) -> Outcome:
        if works:
            (service.holders.add if action.verb is Verb.ASSIGN else service.holders.discard)(action.device)
        return Outcome(action, UNKNOWN, NOW, reason)

    return end


def sent_devices(service: Service) -> list[list[DeviceId]]:
    return [[action.device for action in batch] for batch in service.batches]


async def test_a_fresh_reading_tells_what_no_look_up_does() -> None:
    service, listener = Service(pool(), holders=set(devices(1, 2)), blind=True, readable=True), Listener()
    service.answers = {device(1): unanswered(service, works=True), device(2): unanswered(service, works=False)}

    def answer_again(_: Sequence[Action]) -> None:
        if service.batches:
            service.answers.clear()

    service.before_batch = answer_again
    report = await carried_out(
        planned(worlds.remove(1), worlds.remove(2), worlds.remove(3)), service, listener=listener
    )
    assert (service.readings, service.holders) == (1, set())
    assert sent_devices(service) == [devices(1, 2, 3), devices(2)]
    assert kinds(report) == dict.fromkeys(devices(1, 2, 3), DONE)
    assert [[each.action.device for each in told] for told in listener.settlements] == [devices(3), devices(1, 2)]


async def test_each_phase_has_one_reading_at_most_and_ends_before_the_next_begins() -> None:
    service = Service(pool(), total=5, holders=set(devices(1, 2, 3, 4)), blind=True, readable=True)
    silent = devices(1, 2, 11, 13)
    service.answers = {each: unanswered(service, works=each != device(2)) for each in silent}
    readings: list[tuple[list[DeviceId], int]] = []
    service.before_batch = lambda batch: readings.append(([each.device for each in batch], service.readings))
    made = planned(*(worlds.remove(number) for number in (1, 2, 3)), worlds.assign(11), held=awaiting(12, 13, 14))
    report = await carried_out(made, service)
    assert readings == [(devices(1, 2, 3), 0), (devices(2), 1), (devices(11), 1), (devices(12, 13), 2)]
    assert service.readings == 3
    assert service.holders == set(devices(2, 4, 11, 12, 13))
    assert kinds(report) == {**dict.fromkeys(devices(1, 3, 11, 12, 13), DONE), device(2): UNKNOWN}
    assert reasons(report) == {device(14): HeldReason.NO_CAPACITY}


async def test_where_every_look_up_tells_nothing_is_read_again() -> None:
    service = Service(pool(), readable=True)
    service.answers = {device(1): unanswered(service, works=True), device(2): unanswered(service, works=False)}
    await carried_out(planned(worlds.assign(1), worlds.assign(2)), service)
    assert service.readings == 0


@pytest.mark.parametrize("blind_from", [0, 1])
async def test_what_had_no_effect_is_never_sent_a_third_time(blind_from: int) -> None:
    service = Service(pool(), readable=True)
    service.answers = dict.fromkeys(devices(*range(5)), unanswered(service, works=False))

    def go_blind(_: Sequence[Action]) -> None:
        service.blind = len(service.batches) >= blind_from

    service.before_batch = go_blind
    made = planned(*(worlds.assign(number) for number in range(5)))
    report = await carried_out(made, service, size=5)
    assert sent_devices(service) == [devices(*range(5))] * 2
    assert service.readings == 1
    if blind_from:
        assert {each.reason for each in report.outcomes} == {OutcomeReason.NO_EFFECT}
    assert Counter(each.action for each in report.outcomes) == Counter(made.actions)


async def test_without_look_up_and_reading_nothing_is_sent_a_second_time() -> None:
    service = Service(pool(), blind=True)
    service.answers = dict.fromkeys(devices(1, 2), unanswered(service, works=True))
    report = await carried_out(planned(worlds.assign(1), worlds.assign(2), worlds.assign(3)), service)
    assert (service.readings, len(service.batches)) == (1, 1)
    assert kinds(report) == {device(1): UNKNOWN, device(2): UNKNOWN, device(3): DONE}


async def test_after_a_stop_nothing_is_read_and_what_is_not_known_stays_so() -> None:
    stop = asyncio.Event()
    service = Service(pool(), blind=True, readable=True, before_batch=lambda _: stop.set())
    service.answers = {device(1): unanswered(service, works=False), device(2): answer(UNKNOWN, UPGRADE_PENDING)}
    pages = Pages()
    report = await carried_out(planned(worlds.assign(1), worlds.assign(2)), service, stop=stop, pages=pages)
    assert (service.readings, len(service.batches)) == (0, 1)
    assert kinds(report) == {device(1): UNKNOWN, device(2): PENDING}
    assert pages.open_or_told == dict(zip(report.plan.actions, report.outcomes, strict=True))  # type: ignore[union-attr]


@pytest.mark.parametrize(("works", "kind"), [(True, DONE), (False, PENDING)])
async def test_a_pending_upgrade_that_no_look_up_tells_of_is_read_too_and_not_sent_again(
    kind: OutcomeKind, *, works: bool
) -> None:
    service = Service(pool(), blind=True, readable=True)

    upgrading = unanswered(service, works=works, reason=UPGRADE_PENDING)
    service.answers = dict.fromkeys(devices(*range(12)), upgrading)
    report = await carried_out(planned(*(worlds.assign(number) for number in range(12))), service)
    assert (service.readings, len(service.batches)) == (1, 4)
    assert kinds(report) == dict.fromkeys(devices(*range(12)), kind)
    assert {each.retry_at for each in report.outcomes} == {None if works else NOW + timedelta(hours=24)}


async def test_what_is_sent_again_after_a_reading_and_is_pending_then_stays_pending() -> None:
    service = Service(pool(), blind=True, readable=True)
    service.answers = {device(1): unanswered(service, works=False)}

    def upgrade(_: Sequence[Action]) -> None:
        if service.batches:
            service.answers[device(1)] = answer(UNKNOWN, UPGRADE_PENDING)

    service.before_batch = upgrade
    report = await carried_out(planned(worlds.assign(1)), service)
    assert (service.readings, len(service.batches)) == (1, 2)
    assert kinds(report) == {device(1): PENDING}


# --- the record


async def test_a_batch_is_kept_as_sent_before_it_is_and_as_settled_before_the_next() -> None:
    pages = Pages()
    service = Service(pool(), holders=set(devices(*range(7))))
    kept: list[tuple[int, int]] = []
    service.before_batch = lambda batch: kept.append((pages.before.index(tuple(batch)), len(pages.after)))
    report = await carried_out(planned(*worlds.removals(7), worlds.assign(9)), service, pages=pages)
    assert kept == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert pages.open_or_told == {outcome.action: outcome for outcome in report.outcomes}
    assert not report.unrecorded


@pytest.mark.parametrize("at_once", [1, 3])
async def test_what_cannot_be_kept_is_not_sent_and_the_rest_is_held(at_once: int) -> None:
    service, pages = Service(pool(), holders=set(devices(*range(9)))), Pages(full=1)
    made = planned(*worlds.removals(9), worlds.assign(50), held=awaiting(60))
    report = await carried_out(made, service, pages=pages, at_once=at_once)
    assert sent_devices(service) == [devices(0, 1, 2)]
    assert kinds(report) == dict.fromkeys(devices(0, 1, 2), DONE)
    assert reasons(report) == {
        **dict.fromkeys(devices(*range(3, 9), 50), HeldReason.STOPPING),
        device(60): HeldReason.AWAITING_REMOVALS,
    }
    assert (report.unrecorded, report.problem, service.counted) == (True, "the disk is full", 0)
    assert pages.open_or_told == {outcome.action: outcome for outcome in report.outcomes}
    assert_every_action_has_one_end(made, report)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_what_is_not_kept_yet_counts_as_settled_for_nobody(at_once: int) -> None:
    pages, listener, disk = SlowPages(), Listener(), asyncio.Event()
    pages.before_after = disk.wait
    service = Service(pool())
    made = planned(*worlds.removals(30))
    running = asyncio.create_task(carried_out(made, service, at_once=at_once, listener=listener, pages=pages))
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(service.answered) == len(pages.before) == (1 if at_once == 1 else 2 * at_once)
    assert (listener.settlements, listener.heard) == ([], [("fota", Verb.REMOVE, 0, 30)])
    disk.set()
    assert kinds(await running) == dict.fromkeys(devices(*range(30)), DONE)
    assert len(listener.settlements) == 10
    assert [settled for _, _, settled, _ in listener.heard] == list(range(0, 31, 3))


async def test_a_record_that_takes_nothing_lets_nothing_be_sent() -> None:
    service = Service(pool())
    report = await carried_out(planned(worlds.assign(1), worlds.assign(2)), service, pages=Pages(full=0))
    assert (service.batches, report.outcomes, report.unrecorded) == ([], (), True)
    assert reasons(report) == dict.fromkeys(devices(1, 2), HeldReason.STOPPING)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_a_record_that_fails_afterwards_loses_no_outcome_from_the_report(at_once: int) -> None:
    service, pages, listener = Service(pool(), holders=set(devices(*range(9)))), Pages(full_after=0), Listener()
    made = planned(*worlds.removals(9), worlds.assign(50))
    report = await carried_out(made, service, pages=pages, at_once=at_once, listener=listener)
    assert set(kinds(report)) == {action.device for action in service.sent} == set(devices(*range(3 * at_once)))
    assert set(kinds(report).values()) == {DONE}
    assert {each for told in listener.settlements for each in told} == set(report.outcomes)
    assert set(reasons(report).values()) == {HeldReason.STOPPING}
    assert report.unrecorded
    assert set(pages.open_or_told) >= set(service.sent)
    assert set(pages.open_or_told.values()) == {None}
    assert_every_action_has_one_end(made, report)


async def test_an_unknown_outcome_whose_record_fails_after_the_reading_is_told_all_the_same() -> None:
    service, pages = Service(pool(), blind=True, readable=True), Pages(full_after=0)
    service.answers = {device(1): unanswered(service, works=True)}
    report = await carried_out(planned(worlds.assign(1)), service, pages=pages)
    assert (kinds(report), report.unrecorded) == ({device(1): DONE}, True)


async def test_what_was_not_sent_in_the_end_is_taken_back_from_the_record() -> None:
    stop, pages = asyncio.Event(), Pages()
    service = Service(pool(), holders=set(devices(*range(8))), poison={device(0)})

    def stop_soon(_: Sequence[Action]) -> None:
        if len(service.batches) == 3:
            stop.set()

    service.before_batch = stop_soon
    made = planned(*worlds.removals(8))
    report = await carried_out(made, service, size=8, stop=stop, pages=pages)
    assert sent_devices(service) == [devices(*range(8)), devices(0, 1, 2, 3), devices(0, 1), devices(0)]
    assert pages.before == [tuple(worlds.removals(8))]
    assert pages.open_or_told == {outcome.action: outcome for outcome in report.outcomes}
    assert kinds(report) == {device(0): REJECTED}
    assert reasons(report) == dict.fromkeys(devices(*range(1, 8)), HeldReason.STOPPING)


@given(
    world=worlds.worlds(),
    seed=st.integers(0, 2**32),
    size=st.integers(1, 5),
    at_once=st.integers(1, 4),
    troubles=st.sets(st.sampled_from(["before", "after", "blind", "unreadable", "stop", "moody"])),
)
def test_whatever_fails_every_action_has_one_end_and_the_record_knows_it(
    world: worlds.World, seed: int, size: int, at_once: int, troubles: set[str]
) -> None:
    chance, stop = Random(seed), asyncio.Event()
    everything = replace(world.pool, limits=Limits(1000, 100, 1000))
    made = worlds.judged(plan(everything, world.desired, world.observed, world.policy, world.memory))
    service = Service(everything, world.observed.capacity.total, set(world.observed.holders))
    pages = Pages(fails=lambda when: when in troubles and chance.random() < 0.3)

    def trouble(batch: Sequence[Action]) -> None:
        assert set(batch) <= pages.open_or_told.keys(), "sent before it was kept"
        service.blind = "blind" in troubles and chance.random() < 0.7
        service.readable = "unreadable" not in troubles or chance.random() < 0.5
        if "stop" in troubles and chance.random() < 0.1:
            stop.set()

    service.before_batch = trouble
    service.moody = lambda: "moody" in troubles and chance.random() < 0.1
    for each in worlds.FLEET:
        if chance.random() < 0.6:
            works, reason = chance.random() < 0.5, chance.choice([UPGRADE_PENDING, OutcomeReason.NO_ROW])
            works = works and len(service.holders) < service.total
            service.answers[each] = unanswered(service, works=works, reason=reason)
    report = asyncio.run(carried_out(made, service, size=size, at_once=at_once, stop=stop, pages=pages))

    assert_every_action_has_one_end(made, report)
    told = {outcome.action: outcome for outcome in report.outcomes}
    kept = pages.open_or_told
    left_open = {action for action, outcome in kept.items() if outcome is None}
    assert {action: outcome for action, outcome in kept.items() if outcome} == {
        action: outcome for action, outcome in told.items() if action not in left_open
    }
    assert not left_open or report.unrecorded
    assert report.unrecorded is pages.failed
    assert set(service.sent) >= told.keys()
    assert service.readings <= 3
    answered = Counter(action for batch in service.answered for action in batch)
    assert max(answered.values(), default=0) <= 2


# --- being stopped


@pytest.mark.parametrize("at_once", [1, 2])
async def test_a_stop_in_the_middle_finishes_the_batches_in_hand_and_holds_the_rest(at_once: int) -> None:
    stop = asyncio.Event()
    service = Service(pool(), holders=set(devices(*range(12))))

    def stop_at_the_second(batch: Sequence[Action]) -> None:
        if len(service.batches) == 1:
            stop.set()

    service.before_batch = stop_at_the_second
    made = planned(*worlds.removals(12), worlds.assign(50))
    report = await carried_out(made, service, stop=stop, at_once=at_once)
    assert kinds(report) == dict.fromkeys(devices(*range(6)), DONE)
    assert reasons(report) == dict.fromkeys(devices(*range(6, 12), 50), HeldReason.STOPPING)
    assert report.verdict is RunVerdict.STOPPED


async def test_a_stop_before_the_first_batch_sends_nothing() -> None:
    stop = asyncio.Event()
    stop.set()
    service = Service(pool())
    report = await carried_out(planned(*worlds.removals(4), worlds.assign(9), held=awaiting(10)), service, stop=stop)
    assert (service.batches, service.counted, report.outcomes) == ([], 0, ())
    assert report.stopped


async def test_a_stop_after_the_removals_assigns_nothing_of_what_they_freed() -> None:
    stop = asyncio.Event()
    service = Service(pool(), holders=set(devices(1)), before_batch=lambda _: stop.set())
    made = planned(worlds.remove(1), held=awaiting(10, 11))
    report = await carried_out(made, service, stop=stop)
    assert [action.verb for action in service.sent] == [Verb.REMOVE]
    assert set(reasons(report)) == set(devices(10, 11))
    assert report.verdict is RunVerdict.STOPPED


async def test_a_stop_ends_the_halving_of_a_batch_that_is_rejected_whole() -> None:
    stop = asyncio.Event()
    bad = devices(*range(64))
    service = Service(pool(), poison=set(bad))

    def stop_soon(batch: Sequence[Action]) -> None:
        if len(service.batches) == 3:
            stop.set()

    service.before_batch = stop_soon
    made = planned(*worlds.removals(64))
    report = await carried_out(made, service, size=64, stop=stop)
    assert len(service.batches) <= 10
    assert_every_action_has_one_end(made, report)


# --- whatever the service does

ENDS: tuple[tuple[OutcomeKind, OutcomeReason | None], ...] = (
    (DONE, None),
    (DONE, OutcomeReason.ALREADY),
    (REJECTED, OutcomeReason.DEVICE_NOT_FOUND),
    (REJECTED, OutcomeReason.REJECTED_BY_SERVICE),
    (REJECTED, OutcomeReason.NO_CAPACITY),
    (REJECTED, OutcomeReason.ACCOUNT_REJECTED),
    (FAILED, OutcomeReason.RATE_LIMITED),
    (FAILED, OutcomeReason.NOT_LOGGED_IN),
    (UNKNOWN, OutcomeReason.NO_ROW),
    (UNKNOWN, OutcomeReason.NO_ANSWER),
    (UNKNOWN, OutcomeReason.UPGRADE_PENDING),
)


@given(
    world=worlds.worlds(),
    seed=st.integers(0, 2**32),
    size=st.integers(1, 5),
    at_once=st.integers(1, 4),
    limits=st.sampled_from([Limits(), Limits(count=2)]),
)
def test_whatever_the_service_does_every_action_has_exactly_one_outcome_or_is_held(
    world: worlds.World, seed: int, size: int, at_once: int, limits: Limits
) -> None:
    chance, stop = Random(seed), asyncio.Event()
    limited = replace(world.pool, limits=limits)
    made = worlds.judged(plan(limited, world.desired, world.observed, world.policy, world.memory))
    odd = [each for each in worlds.FLEET if chance.random() < 0.4]
    service = Service(
        limited,
        total=world.observed.capacity.total - chance.choice([0, 0, 2]),
        holders=set(world.observed.holders),
        answers={each: answer(*chance.choice(ENDS)) for each in odd},
        poison={each for each in worlds.FLEET if chance.random() < 0.1},
        moody=lambda: chance.random() < 0.1,
        uncounted=chance.random() < 0.2,
        blind=chance.random() < 0.3,
        hidden={each for each in worlds.FLEET if chance.random() < 0.2},
        before_batch=lambda _: stop.set() if chance.random() < 0.1 else None,
    )
    listener = Listener()
    report = asyncio.run(carried_out(made, service, size=size, at_once=at_once, stop=stop, listener=listener))
    assert_every_action_has_one_end(made, report)
    assert Counter(outcome for batch in listener.settlements for outcome in batch) == Counter(report.outcomes)
    assert not {each.device for each in service.sent if each.verb is Verb.REMOVE} & set(world.desired.wanted)
    assert {each.device for each in service.sent if each.verb is Verb.REMOVE} <= {
        each.device for each in made.of(Verb.REMOVE)
    }
    assert len(service.holders) <= max(service.total, len(world.observed.holders))
    assert all(times <= 2 for times in Counter(each for asked in service.look_ups for each in asked).values())


@given(worlds.worlds())
def test_carried_out_by_a_good_service_a_plan_leaves_nothing_for_the_next_run(world: worlds.World) -> None:
    everything = replace(world.pool, limits=Limits(1000, 100, 1000))
    desired = replace(world.desired, wanted=world.desired.wanted or dict.fromkeys([device(0)]))
    if device(0) not in desired.entries:
        desired = worlds.desired(device(0))
    made = worlds.judged(plan(everything, desired, world.observed, world.policy, Memory(managed=world.memory.managed)))
    service = Service(everything, world.observed.capacity.total, set(world.observed.holders))
    report = asyncio.run(carried_out(made, service))
    seen = Observed(frozenset(service.holders), Capacity(service.total, len(service.holders)))
    again = plan(everything, desired, seen, world.policy, Memory(managed=world.memory.managed))
    assert again.actions == ()
    assert {(held.action.device, held.reason) for held in again.held} == set(reasons(report).items())


# --- what is done once promised removals are done


def promised_removals(*held: Held, kind: OutcomeKind = DONE, request: str | None = "r") -> PoolReport:
    """The report of a run whose one removal was promised, and has come to this end meanwhile."""
    made = replace(planned(worlds.remove(1)), held=held)
    return PoolReport(made, (Outcome(worlds.remove(1), kind, NOW, request=request),))


async def carried_on(report: PoolReport, service: Service) -> PoolReport:
    sending = Sending(3, 1, asyncio.Event(), lambda: NOW, Pages())
    return await carry_on(report, service, sending, Listener())


async def test_who_waits_for_promised_removals_is_served_once_they_are_done() -> None:
    before = promised_removals(*awaiting(4, 5), Held(worlds.assign(6), HeldReason.QUARANTINED))
    service = Service(pool(), total=1)
    after = await carried_on(before, service)
    assert service.holders == {worlds.device(4)}
    assert kinds(after) == {worlds.device(1): DONE, worlds.device(4): DONE}
    assert reasons(after) == {
        worlds.device(5): HeldReason.NO_CAPACITY,
        worlds.device(6): HeldReason.QUARANTINED,
    }
    assert after.verdict == RunVerdict.DONE


@pytest.mark.parametrize(
    "report",
    [
        promised_removals(),
        promised_removals(*awaiting(4), kind=PENDING),
        promised_removals(*awaiting(4), request=None),
        PoolReport(Unread(pool(), Reading.PARTIAL, "not whole")),
    ],
    ids=["nobody waits", "not done yet", "not promised", "not read"],
)
async def test_otherwise_nothing_more_is_done(report: PoolReport) -> None:
    service = Service(pool())
    assert await carried_on(report, service) is report
    assert (service.batches, service.counted) == ([], 0)
