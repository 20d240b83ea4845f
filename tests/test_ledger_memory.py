"""What a ledger remembers from run to run: real files, a clock of their own, and no service at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from core_worlds import device, devices, observed
from ledgers import query

from licensesync.ledger import book, database, failures, memory
from licensesync.ledger.book import Book
from licensesync.ledger.earlier import Earlier
from licensesync.model import (
    Action,
    Approval,
    Capacity,
    DeviceId,
    Held,
    HeldReason,
    InventoryInfo,
    Memory,
    Mode,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Permit,
    Place,
    Plan,
    Pool,
    PoolReport,
    Product,
    Refusal,
    Report,
    Rule,
    RunPlan,
    Verb,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FOTA = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
RENAMED = replace(FOTA, name="meters")
OTHERS = replace(FOTA, account="0642233522-00002")
ONE = device(1)
REJECTED, FAILED, PENDING, UNKNOWN, DONE = (
    OutcomeKind.REJECTED,
    OutcomeKind.FAILED,
    OutcomeKind.PENDING,
    OutcomeKind.UNKNOWN,
    OutcomeKind.DONE,
)
NOT_FOUND = OutcomeReason.DEVICE_NOT_FOUND


@dataclass
class Past:
    """A ledger, the time, and what the inventory says of each device now."""

    path: Path
    now: datetime = START
    notes: dict[DeviceId, str] = field(default_factory=dict)
    runs: int = 0

    def mark(self, of: DeviceId) -> str:
        return self.notes.get(of, "")

    def run(self, *settled: Outcome, pool: Pool = FOTA, named: Collection[DeviceId] = ()) -> None:
        """A run in which the outcomes were these."""
        with self.opened() as kept:
            plan = self.begun(kept, [each.action for each in settled], pool, named)
            for each in settled:
                with kept.transaction():
                    kept.sent(pool, [each.action])
                with kept.transaction():
                    kept.settled(pool, [each.action], [each])
            report = PoolReport(plan, settled)
            kept.finish(Report(kept.run, RunPlan(_info(named), self.now, (plan,)), (report,), self.now), 0)

    def killed(self, *sent: Action) -> None:
        """A run that was killed after it had sent these."""
        with self.opened() as kept:
            self.begun(kept, sent)
            with kept.transaction():
                kept.sent(FOTA, sent)

    def opened(self) -> AbstractContextManager[Book]:
        self.runs += 1
        return book.opened(self.path, f"run-{self.runs}", lambda: self.now)

    def begun(self, kept: Book, actions: Sequence[Action], pool: Pool = FOTA, named: Collection[DeviceId] = ()) -> Plan:
        kept.begin("apply", _info(named))
        plan = Plan(pool, Capacity(1000, 0), tuple(actions), (), 0, 0)
        kept.undertake(plan, set(named), _info(named), self.mark)
        return plan

    def settle(self, *holders: DeviceId) -> list[Earlier]:
        """What the next run's whole reading proves."""
        with self.opened() as kept:
            kept.begin("apply", _info(()))
            _, settled = kept.recall(FOTA, observed(*holders), self.mark)
            return settled

    def recall(self, *holders: DeviceId, pool: Pool = FOTA) -> Memory:
        with database.read(self.path) as connection:
            assert connection is not None
            found = memory.recall(connection, pool, observed(*holders), self.mark, self.now)
            return replace(found, managed=frozenset(found.managed))

    def outcome(self, kind: OutcomeKind, verb: Verb = Verb.ASSIGN, of: DeviceId = ONE, **more: object) -> Outcome:
        return Outcome(Action(verb, of, "meters", Place("a.yaml", 1, 1)), kind, self.now, **more)  # type: ignore[arg-type]  # keywords of many types

    def fails(self, times: int = 1, reason: OutcomeReason = NOT_FOUND, **more: object) -> None:
        for _ in range(times):
            self.run(self.outcome(REJECTED, reason=reason, **more))  # type: ignore[arg-type]  # keywords of many types

    def set_aside_until(self) -> datetime | None:
        return self.recall().quarantined.get(ONE)


def _info(named: Collection[DeviceId]) -> InventoryInfo:
    return InventoryInfo(len(named), f"sha256:{'-'.join(sorted(named))}")


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path / "ledger.db")


# --- managed


def test_a_device_that_was_ever_named_stays_managed_under_any_name_of_its_pool(past: Past) -> None:
    past.run(named=devices(1, 2))
    past.run(named=devices(2, 3), pool=RENAMED)
    past.now += 1000 * DAY
    past.run(named=devices(3))
    assert past.recall().managed == set(devices(1, 2, 3))
    assert past.recall(pool=RENAMED).managed == set(devices(1, 2, 3))


def test_what_one_account_manages_another_does_not(past: Past) -> None:
    past.run(named=devices(1))
    assert past.recall(pool=OTHERS).managed == set()


def test_an_inventory_that_comes_back_still_manages_what_it_names(past: Past) -> None:
    for named in (devices(1), devices(2), devices(1), devices(1, 4)):
        past.run(named=named)
    assert past.recall().managed == set(devices(1, 2, 4))


def test_a_run_that_did_not_come_to_its_plan_manages_nothing(past: Past) -> None:
    with past.opened() as kept:
        kept.begin("apply", _info(devices(1)))
        kept.recall(FOTA, observed(ONE), past.mark)
        kept.abandon()
    assert past.recall().managed == set()
    assert query(past.path, "SELECT verdict FROM runs") == [("stopped",)]


# --- removals of a day


@pytest.mark.parametrize(
    ("age", "counted"), [(timedelta(0), 1), (DAY - timedelta(seconds=1), 1), (DAY, 0), (DAY + HOUR, 0)]
)
def test_a_removal_counts_for_24_hours(past: Past, age: timedelta, counted: int) -> None:
    past.run(past.outcome(DONE, Verb.REMOVE))
    past.now += age
    assert past.recall().removed_in_past_day == counted


def test_removals_count_across_runs_and_by_licenses_rather_than_by_the_name_of_the_pool(past: Past) -> None:
    for number, pool in enumerate((FOTA, RENAMED, FOTA, RENAMED)):
        past.run(past.outcome(DONE, Verb.REMOVE, device(number)), pool=pool)
        past.now += HOUR
    assert past.recall(pool=FOTA).removed_in_past_day == 4
    assert past.recall(pool=RENAMED).removed_in_past_day == 4
    assert past.recall(pool=OTHERS).removed_in_past_day == 0


@pytest.mark.parametrize(
    ("kind", "verb", "holds", "counted"),
    [
        (DONE, Verb.ASSIGN, 0, 0),
        (REJECTED, Verb.REMOVE, 1, 0),
        (FAILED, Verb.REMOVE, 1, 0),
        (UNKNOWN, Verb.REMOVE, 0, 1),
        (UNKNOWN, Verb.REMOVE, 1, 0),
        (PENDING, Verb.REMOVE, 0, 1),
        (PENDING, Verb.REMOVE, 1, 1),
    ],
)
def test_what_may_have_been_removed_counts_and_what_was_not_does_not(
    past: Past, kind: OutcomeKind, verb: Verb, holds: int, counted: int
) -> None:
    retry_at = past.now + 5 * HOUR if kind is PENDING else None
    past.run(past.outcome(kind, verb, retry_at=retry_at))
    past.now += HOUR
    holders = holds * [ONE]
    assert past.recall(*holders).removed_in_past_day == counted
    past.settle(*holders)
    assert past.recall(*holders).removed_in_past_day == counted, "it is the same once a run has settled it"


def test_a_removal_that_was_proved_later_counts_from_when_it_was_sent(past: Past) -> None:
    past.killed(Action(Verb.REMOVE, ONE))
    past.now += 20 * HOUR
    past.settle()
    assert past.recall().removed_in_past_day == 1
    past.now += 5 * HOUR
    assert past.recall().removed_in_past_day == 0


# --- quarantine


def test_equal_hard_failures_set_a_device_aside_for_longer_and_longer(past: Past) -> None:
    ends: list[timedelta | None] = []
    for _ in range(9):
        past.fails()
        until = past.set_aside_until()
        ends.append(until - past.now if until else None)
        past.now = until or past.now + HOUR
        assert past.set_aside_until() is None, "its time is over"
    assert ends == [None, None, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 7 * DAY, 7 * DAY]


def test_success_ends_a_row_of_failures(past: Past) -> None:
    past.fails(3)
    past.run(past.outcome(DONE))
    assert past.set_aside_until() is None
    past.fails(2)
    assert past.set_aside_until() is None
    past.fails()
    assert past.set_aside_until() == past.now + HOUR


def test_a_success_that_a_later_reading_proves_ends_it_too(past: Past) -> None:
    past.fails(2)
    past.killed(Action(Verb.ASSIGN, ONE))
    past.settle(ONE)
    past.fails()
    assert past.set_aside_until() is None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FAILED, OutcomeReason.RATE_LIMITED),
        (FAILED, OutcomeReason.NO_EFFECT),
        (FAILED, OutcomeReason.NOT_LOGGED_IN),
        (UNKNOWN, OutcomeReason.NO_ANSWER),
        (PENDING, OutcomeReason.UPGRADE_PENDING),
        (REJECTED, OutcomeReason.NO_CAPACITY),
    ],
)
def test_what_is_no_hard_failure_neither_counts_nor_resets(
    past: Past, kind: OutcomeKind, reason: OutcomeReason
) -> None:
    for _ in range(5):
        past.run(past.outcome(kind, reason=reason))
    assert past.set_aside_until() is None
    past.fails(2)
    past.run(past.outcome(kind, reason=reason))
    assert past.set_aside_until() is None
    past.fails()
    assert past.set_aside_until() == past.now + HOUR


@pytest.mark.parametrize(
    "other",
    [
        {"reason": OutcomeReason.REJECTED_BY_SERVICE, "service": "Locked."},
        {"reason": NOT_FOUND, "verb": Verb.REMOVE},
    ],
)
def test_a_different_failure_begins_anew(past: Past, other: dict[str, object]) -> None:
    past.fails(2)
    past.fails(**other)  # type: ignore[arg-type]  # keywords of many types
    past.fails(2)
    assert past.set_aside_until() is None
    past.fails()
    assert past.set_aside_until() is not None


def test_words_that_differ_in_their_numbers_are_the_same_failure(past: Past) -> None:
    for number in (17, 4711, 8):
        past.fails(reason=OutcomeReason.REJECTED_BY_SERVICE, service=f"Transaction {number} was REJECTED".title())
    assert past.set_aside_until() == past.now + HOUR


def test_another_entry_in_the_inventory_releases_and_begins_anew(past: Past) -> None:
    past.fails(3)
    past.notes[ONE] = "pump 8"
    assert past.set_aside_until() is None
    past.fails(2)
    assert past.set_aside_until() is None
    past.fails()
    assert past.set_aside_until() == past.now + HOUR


def test_a_release_by_hand_forgets_the_failures_of_that_device_alone(past: Past) -> None:
    past.fails(3)
    past.fails(3, of=device(2))
    with database.written(past.path) as connection, connection.begin():
        released = failures.release(connection, [ONE], past.now)
    assert [each.device for each in released] == [ONE]
    assert set(past.recall().quarantined) == {device(2)}
    past.fails(2)
    assert past.set_aside_until() is None


def test_quarantine_is_about_the_verb_that_failed(past: Past) -> None:
    past.fails(3)
    assert set(past.recall().quarantined) == {ONE}
    assert past.recall(ONE).quarantined == {}, "it holds a license now: to remove it was never rejected"
    past.fails(3, verb=Verb.REMOVE, of=device(2))
    assert set(past.recall(device(2)).quarantined) == {ONE, device(2)}


def test_quarantine_is_about_these_licenses_under_any_name_and_no_others(past: Past) -> None:
    past.fails(3)
    assert set(past.recall(pool=RENAMED).quarantined) == {ONE}
    assert past.recall(pool=OTHERS).quarantined == {}


# --- what the service goes on with


def test_what_the_service_tries_again_is_left_to_it_until_its_time(past: Past) -> None:
    until = past.now + 3 * HOUR
    past.run(past.outcome(REJECTED, reason=NOT_FOUND, retry_at=until))
    assert past.recall().retried_by_service == {ONE: until}
    assert past.recall(ONE).retried_by_service == {}, "it holds a license: that is another matter"
    past.settle()
    assert past.recall().retried_by_service == {ONE: until}
    past.now = until
    assert past.recall().retried_by_service == {}
    past.settle()
    assert query(past.path, "SELECT outcome, retry_at FROM outcomes") == [("rejected", None)]


def test_a_pending_assignment_reserves_a_license_until_it_is_seen_or_its_time_is_over(past: Past) -> None:
    until = past.now + 24 * HOUR
    past.run(past.outcome(PENDING, reason=OutcomeReason.UPGRADE_PENDING, retry_at=until))
    assert (past.recall().pending, past.recall().retried_by_service) == ({ONE}, {ONE: until})
    assert past.recall(ONE).pending == set()
    past.settle()
    assert past.recall().pending == {ONE}
    past.now = until
    assert past.recall().pending == set()
    past.settle()
    assert query(past.path, "SELECT outcome, reason, retry_at FROM outcomes") == [("failed", "no-effect", None)]


def test_a_pending_assignment_that_a_reading_shows_is_done(past: Past) -> None:
    past.run(past.outcome(PENDING, reason=OutcomeReason.UPGRADE_PENDING, retry_at=past.now + HOUR))
    (settled,) = past.settle(ONE)
    assert (settled.outcome.kind, settled.never_told) == (DONE, False)
    assert query(past.path, "SELECT outcome, retry_at FROM outcomes") == [("done", None)]


# --- what a crash leaves


def test_what_a_killed_run_left_is_settled_by_the_next_reading_once(past: Past) -> None:
    sent = [
        Action(Verb.ASSIGN, device(1)),
        Action(Verb.ASSIGN, device(2)),
        Action(Verb.REMOVE, device(3)),
        Action(Verb.REMOVE, device(4)),
    ]
    past.killed(*sent)
    begun = past.now
    assert query(past.path, "SELECT DISTINCT outcome, reason, in_flight FROM outcomes") == [("unknown", "no-answer", 1)]
    past.now += HOUR

    settled = past.settle(device(1), device(3))

    ends = {each.device: each.outcome.kind for each in settled}
    assert ends == {device(1): DONE, device(2): FAILED, device(3): FAILED, device(4): DONE}
    assert all(each.never_told and each.run == "run-1" and each.outcome.at == begun for each in settled)
    assert [each.outcome.action for each in settled] == sent
    kept = query(past.path, "SELECT device, outcome, in_flight FROM outcomes ORDER BY id")
    assert kept == [(each.device, ends[each.device], 0) for each in sent]
    assert past.settle(*devices(2, 3)) == [], "what was proved is not proved otherwise"


def test_a_plan_sees_what_a_killed_run_left_and_settles_nothing(past: Past) -> None:
    past.killed(Action(Verb.REMOVE, ONE))
    assert past.recall().removed_in_past_day == 1
    assert query(past.path, "SELECT outcome, in_flight FROM outcomes") == [("unknown", 1)]


def test_a_removal_that_is_proved_later_is_no_longer_left_of_its_approval(past: Past) -> None:
    _approved(past, until=None, reason="closing", numbers=(1, 2))
    past.killed(*(Action(Verb.REMOVE, each) for each in devices(1, 2)))
    past.settle(device(2))
    assert [use.left for use in past.recall(device(2)).approvals_used] == [{device(2)}]


def test_actions_that_were_not_sent_in_the_end_leave_no_row(past: Past) -> None:
    first, second = past.outcome(DONE), past.outcome(DONE, of=device(2))
    with past.opened() as kept:
        past.begun(kept, [first.action, second.action])
        with kept.transaction():
            kept.sent(FOTA, [first.action, second.action])
            kept.settled(FOTA, [first.action, second.action], [first])
    assert query(past.path, "SELECT device, outcome FROM outcomes") == [(ONE, "done")]


# --- forgetting


def test_what_is_older_than_keep_goes_with_all_that_belongs_to_it_and_the_rest_stays(past: Past) -> None:
    past.run(past.outcome(DONE), named=devices(1, 2))
    _refused(past)
    _approved(past, until=START.date() + 2 * DAY, reason="ended", numbers=(20, 21))
    _approved(past, until=None, reason="open", numbers=(30, 31))
    past.fails(3, of=device(2))
    past.now += 100 * DAY
    past.run(past.outcome(DONE, of=device(3)), named=devices(1, 2, 3))

    _prune(past, 50 * DAY)

    assert query(past.path, "SELECT device FROM outcomes") == [(device(3),)]
    assert query(past.path, "SELECT count(*) FROM refusals") == [(0,)]
    assert query(past.path, "SELECT run FROM runs ORDER BY id") == [("run-4",), ("run-8",), ("run-9",)]
    assert query(past.path, "SELECT run_id FROM pool_runs") == [(8,)]
    assert query(past.path, "SELECT reason FROM approvals") == [("open",)]
    assert query(past.path, "SELECT device FROM approved_removals") == [(device(30),), (device(31),)]
    assert query(past.path, "SELECT DISTINCT digest FROM removal_sets") == [("open",)]
    found = past.recall()
    assert found.managed == set(devices(1, 2, 3))
    assert [use.left for use in found.approvals_used] == [set(devices(30, 31))]
    assert query(past.path, "SELECT device, failures FROM hard_failures") == [(device(2), 3)]
    assert query(past.path, "PRAGMA foreign_key_check") == []


def test_nothing_is_forgotten_that_is_no_older_than_keep(past: Past) -> None:
    past.run(past.outcome(DONE))
    past.now += 50 * DAY
    _prune(past, 50 * DAY)
    assert query(past.path, "SELECT count(*) FROM outcomes") == [(1,)]


def test_however_little_is_to_be_kept_the_removals_of_a_day_are_counted(past: Past) -> None:
    past.run(past.outcome(DONE, Verb.REMOVE))
    past.now += DAY - HOUR
    _prune(past, HOUR)
    assert past.recall().removed_in_past_day == 1
    past.now += HOUR
    _prune(past, HOUR)
    assert query(past.path, "SELECT count(*) FROM outcomes") == [(0,)]


def test_however_little_is_to_be_kept_what_the_service_goes_on_with_is_left_to_it(past: Past) -> None:
    until = past.now + 5 * DAY
    past.run(past.outcome(PENDING, reason=OutcomeReason.UPGRADE_PENDING, retry_at=until))
    past.run(past.outcome(REJECTED, reason=NOT_FOUND, retry_at=until, of=device(2)))
    past.now += 3 * DAY
    _prune(past, HOUR)
    found = past.recall()
    assert (found.pending, found.retried_by_service) == ({ONE}, {ONE: until, device(2): until})
    past.now = until
    _prune(past, HOUR)
    assert query(past.path, "SELECT count(*) FROM outcomes") == [(0,)]


def _prune(past: Past, keep: timedelta) -> None:
    with past.opened() as kept:
        kept.begin("apply", _info(()))
        kept.prune(keep)


def _refused(past: Past) -> None:
    held = Held(Action(Verb.REMOVE, device(10)), HeldReason.REFUSED)
    plan = Plan(FOTA, Capacity(10, 1), (), (held,), 0, 0, refusal=Refusal(Rule.COUNT, 0, 0, 1, "refused", "…"))
    with past.opened() as kept:
        kept.begin("apply", _info(()))
        kept.undertake(plan, set(), _info(()), past.mark)


def _approved(past: Past, *, until: object, reason: str, numbers: tuple[int, ...]) -> None:
    """A run with removals that an entry of this reason, which is their hash too, let pass."""
    refusal = Refusal(Rule.COUNT, 0, 0, len(numbers), reason, "…")
    approval = Approval(reason, reason, Place("a.yaml", 1, 1), until)  # type: ignore[arg-type]  # a date or None
    actions = tuple(Action(Verb.REMOVE, device(number)) for number in numbers)
    plan = Plan(FOTA, Capacity(10, 1), actions, (), 0, 0, permit=Permit(refusal, reason, approval))
    with past.opened() as kept:
        kept.begin("apply", _info(()))
        kept.undertake(plan, set(), _info(()), past.mark)
