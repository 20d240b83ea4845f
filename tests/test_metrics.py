"""What the metrics say of pools, runs, the inventory and the service, in the words of the contract."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from expositions import exported, of, series
from fleets import ACCOUNT, CREDENTIALS, fleet_of, imeis
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from render_worlds import FOTA, INVENTORY, NOW, REFUSAL, assign, imei, outcome, remove, run_report

from licensesync import __version__
from licensesync.credentials import Credentials
from licensesync.daemon.metrics import Metrics
from licensesync.errors import ApiError
from licensesync.model import (
    Action,
    Capacity,
    Held,
    HeldReason,
    Outcome,
    OutcomeKind,
    Plan,
    PoolReport,
    Reading,
    Rule,
    RunVerdict,
    Unread,
    Verb,
)
from licensesync.thingspace import fota_calls
from licensesync.thingspace.client import reading
from licensesync.thingspace.fota_calls import StatusForm
from licensesync.thingspace.transport import Bounds
from licensesync.thingspace.wire import Call

LABELS_OF_THE_CONTRACT = {
    "licenses": {"pool", "state"},
    "devices": {"pool", "state"},
    "actions_total": {"pool", "verb", "outcome"},
    "runs_total": {"verdict"},
    "last_success_timestamp_seconds": {"pool"},
    "inventory_info": {"commit"},
}
STARTED = NOW.timestamp()
UNREADABLE = Unread(FOTA, Reading.PARTIAL, "the pages do not add up")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = STARTED

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    metrics = Metrics(clock)
    metrics.pools(["fota"])
    return metrics


def plan(*actions: Action, **more: Any) -> Plan:
    return Plan(FOTA, Capacity(total=100, assigned=40), actions, **{"kept": 35, "desired": 50, "foreign": 2, **more})


def reconcile(metrics: Metrics, plan: Plan, *outcomes: Outcome) -> None:
    """What a run tells of a pool, from its plan to its end."""
    metrics.planned(plan)
    metrics.settled(FOTA, outcomes)
    metrics.reconciled(PoolReport(plan, outcomes))


def now(metrics: Metrics, name: str, label: str = "state") -> dict[str, float]:
    """The series of one metric of the pool `fota`, by the value of their other label."""
    return of(metrics, name, label, pool="fota")


def test_names_and_labels_are_those_of_the_contract(metrics: Metrics) -> None:
    metrics.planned(plan())
    families = exported(metrics)
    for name, labels in LABELS_OF_THE_CONTRACT.items():
        assert all(set(sample.labels) == labels for sample in families[f"licensesync_{name}"].samples), name
    assert all(name.startswith("licensesync_") for name in families)
    assert set(now(metrics, "licenses")) == {"total", "assigned", "free"}
    assert set(now(metrics, "devices")) == {
        *("desired", "kept", "assign", "remove", "waiting", "held", "foreign", "quarantined")
    }


def test_a_new_pool_has_all_its_series_at_zero_so_that_the_first_of_an_event_counts(metrics: Metrics) -> None:
    told = series(metrics)
    of_pool = {key: value for key, value in told.items() if 'pool="fota"' in key}
    assert set(of_pool.values()) == {0}
    for verb in Verb:
        for kind in OutcomeKind:
            assert f'actions_total{{outcome="{kind}",pool="fota",verb="{verb}"}}' in of_pool
    assert {f'readings_total{{pool="fota",reading="{reading}"}}' for reading in Reading} <= of_pool.keys()
    assert {f'refusals_total{{pool="fota",rule="{rule}"}}' for rule in Rule} <= of_pool.keys()
    assert {f'runs_total{{verdict="{verdict}"}}' for verdict in (*RunVerdict, "error")} <= told.keys()
    assert told[f'build_info{{version="{__version__}"}}'] == 1
    assert told["start_time_seconds"] == STARTED


def test_what_nobody_has_read_yet_is_not_told_to_be_nothing(metrics: Metrics) -> None:
    """Zero licenses would be a reason to buy some."""
    metrics.planned(UNREADABLE)
    assert not [key for key in series(metrics) if key.startswith(("licenses", "devices", "drift"))]
    metrics.planned(plan())
    metrics.planned(UNREADABLE)
    assert now(metrics, "licenses") == {"total": 100, "assigned": 40, "free": 60}


def test_a_plan_shows_where_the_devices_are(metrics: Metrics) -> None:
    reasons = [*HeldReason]
    held = tuple(Held(assign(number), reason) for number, reason in enumerate(reasons))
    metrics.planned(plan(remove(90), assign(91), assign(92), held=held))
    assert now(metrics, "licenses") == {"total": 100, "assigned": 40, "free": 60}
    assert now(metrics, "devices") == {
        "desired": 50,
        "kept": 35,
        "assign": 2,
        "remove": 1,
        "waiting": 2,
        "held": len(reasons),
        "foreign": 1,
        "quarantined": 1,
    }
    assert series(metrics)['drift{pool="fota"}'] == 3 + len(reasons) - 4


def test_after_a_run_the_figures_say_how_things_stand_now(metrics: Metrics, clock: Clock) -> None:
    clock.now += 60
    done = [outcome(each, OutcomeKind.DONE) for each in (remove(1), remove(2), assign(3))]
    pending = outcome(assign(4), OutcomeKind.PENDING)
    planned = plan(*(each.action for each in done), assign(4), held=(Held(remove(5), HeldReason.MODE),))
    reconcile(metrics, planned, *done, pending)
    assert now(metrics, "licenses") == {"total": 100, "assigned": 39, "free": 61}
    devices = now(metrics, "devices")
    assert [devices[state] for state in ("kept", "assign", "remove", "foreign")] == [36, 1, 0, 1]
    told = series(metrics)
    assert told['drift{pool="fota"}'] == 1
    assert told['actions_total{outcome="done",pool="fota",verb="remove"}'] == 2
    assert told['actions_total{outcome="pending",pool="fota",verb="assign"}'] == 1
    assert told['last_success_timestamp_seconds{pool="fota"}'] == STARTED + 60


@pytest.mark.parametrize("kind", [OutcomeKind.REJECTED, OutcomeKind.FAILED, OutcomeKind.UNKNOWN])
def test_a_run_with_an_unfinished_device_is_no_success_until_one_without(metrics: Metrics, kind: OutcomeKind) -> None:
    reconcile(metrics, plan(assign(1)), outcome(assign(1), kind))
    told = series(metrics)
    assert told['last_success_timestamp_seconds{pool="fota"}'] == 0
    assert now(metrics, "unfinished", "outcome")[kind] == 1
    reconcile(metrics, plan())
    assert set(now(metrics, "unfinished", "outcome").values()) == {0}
    assert series(metrics)['last_success_timestamp_seconds{pool="fota"}'] == STARTED


def test_a_pool_that_cannot_be_read_keeps_its_last_figures_and_counts_its_failures(metrics: Metrics) -> None:
    reconcile(metrics, plan(refusal=REFUSAL))
    before = now(metrics, "devices")
    for _ in range(2):
        metrics.planned(UNREADABLE)
        metrics.reconciled(PoolReport(UNREADABLE))
    told = series(metrics)
    assert now(metrics, "devices") == before
    assert told['pool_failures{pool="fota"}'] == 2
    assert told['readings_total{pool="fota",reading="partial"}'] == 2
    assert told['refused{pool="fota"}'] == 1
    reconcile(metrics, plan())
    assert series(metrics)['pool_failures{pool="fota"}'] == 0


def test_a_refusal_is_counted_by_its_rule_and_over_with_the_next_plan_without_one(metrics: Metrics) -> None:
    reconcile(metrics, plan(refusal=REFUSAL))
    assert series(metrics)['refused{pool="fota"}'] == 1
    reconcile(metrics, plan())
    told = series(metrics)
    assert told['refused{pool="fota"}'] == 0
    assert told['refusals_total{pool="fota",rule="percent"}'] == 1


def test_a_pool_that_leaves_the_settings_leaves_the_metrics_and_stays_away(metrics: Metrics) -> None:
    metrics.pools(["fota", "sim"])
    metrics.planned(plan())
    metrics.scheduled(NOW, {"fota": NOW})
    metrics.pools(["sim"])
    reconcile(metrics, plan(assign(1)), outcome(assign(1), OutcomeKind.DONE))
    metrics.planned(UNREADABLE)
    metrics.quarantine("fota", 3)
    metrics.scheduled(NOW, {"fota": NOW})
    told = series(metrics)
    assert not [key for key in told if 'pool="fota"' in key]
    assert told['pool_failures{pool="sim"}'] == 0
    metrics.pools(["sim", "fota"])
    assert series(metrics)['actions_total{outcome="done",pool="fota",verb="assign"}'] == 0


def test_runs_are_counted_timed_and_announced(metrics: Metrics, clock: Clock) -> None:
    metrics.scheduled(None, {})
    assert series(metrics)["next_run_timestamp_seconds"] == 0
    metrics.run_began()
    assert series(metrics)["run_in_progress"] == 1
    clock.now += 20
    metrics.run_ended(run_report(PoolReport(plan(), ())), 20)
    metrics.run_ended(run_report(PoolReport(UNREADABLE)), 0.05)
    metrics.run_ended(None, 4000)
    again = NOW + timedelta(minutes=15)
    metrics.scheduled(again, {"fota": again + timedelta(hours=1)})
    told = series(metrics)
    assert told["run_in_progress"] == 0
    assert [told[f'runs_total{{verdict="{word}"}}'] for word in ("in-step", "unread", "error")] == [1, 1, 1]
    buckets = {key: value for key, value in told.items() if key.startswith("run_duration_seconds_bucket")}
    assert [buckets[f'run_duration_seconds_bucket{{le="{le}"}}'] for le in ("0.1", "30.0", "3600.0", "+Inf")] == [
        1,
        2,
        2,
        3,
    ]
    assert told["last_run_timestamp_seconds"] == STARTED + 20
    assert told["next_run_timestamp_seconds"] == again.timestamp()
    assert told['pool_next_attempt_timestamp_seconds{pool="fota"}'] == again.timestamp() + 3600


def test_exactly_one_commit_and_one_author_are_named(metrics: Metrics) -> None:
    def named() -> list[str]:
        return [key for key in series(metrics) if key.startswith(("inventory_info", "inventory_author_info"))]

    assert named() == ['inventory_info{commit=""}', 'inventory_author_info{author=""}']
    metrics.inventory_loaded(INVENTORY, author='Ada "A" Lovelace\n\ud800' + "x" * 100)
    metrics.inventory_loaded(replace(INVENTORY, commit="beef", dirty=True, devices=7), author="Grace")
    assert named() == ['inventory_info{commit="beef"}', 'inventory_author_info{author="Grace"}']
    told = series(metrics)
    assert (told["inventory_devices"], told["inventory_dirty"]) == (7, 1)
    metrics.inventory_loaded(replace(INVENTORY, commit=None))
    assert named() == ['inventory_info{commit=""}', 'inventory_author_info{author=""}']


def test_problems_of_the_newest_inventory_last_until_a_good_one(metrics: Metrics) -> None:
    metrics.inventory_loaded(INVENTORY)
    metrics.inventory_rejected(3)
    assert series(metrics)["inventory_problems"] == 3
    assert series(metrics)["inventory_devices"] == INVENTORY.devices
    metrics.inventory_loaded(INVENTORY)
    told = series(metrics)
    assert told["inventory_problems"] == 0
    assert [told[f'reloads_total{{result="{word}"}}'] for word in ("loaded", "rejected")] == [2, 1]


def test_the_age_of_the_inventory_is_that_of_the_last_fetch_at_the_time_of_looking(
    metrics: Metrics, clock: Clock
) -> None:
    assert series(metrics)["inventory_age_seconds"] == 0
    metrics.inventory_fresh(NOW)
    clock.now += 90
    assert series(metrics)["inventory_age_seconds"] == 90
    metrics.inventory_fresh(None)
    assert series(metrics)["inventory_age_seconds"] == 0


def test_the_longest_wait_counts_and_passes_by_itself(metrics: Metrics, clock: Clock) -> None:
    assert series(metrics)["api_retry_wait_seconds"] == 0
    metrics.waits("FOTA assign", 30)
    metrics.waits("FOTA remove", 5)
    clock.now += 10
    assert series(metrics)["api_retry_wait_seconds"] == 20
    clock.now += 100
    assert series(metrics)["api_retry_wait_seconds"] == 0


def test_readiness_is_asked_for_at_the_time_of_looking(metrics: Metrics) -> None:
    assert series(metrics)["ready"] == 0
    ready: list[bool] = []
    metrics.ready_when(lambda: bool(ready))
    ready.append(True)
    assert series(metrics)["ready"] == 1


def test_quarantine_and_notifications_are_told(metrics: Metrics) -> None:
    metrics.quarantine("fota", 4)
    metrics.notified(sent=True)
    metrics.notified(sent=False)
    metrics.notified(sent=False)
    told = series(metrics)
    assert told['quarantined_devices{pool="fota"}'] == 4
    assert (told['notifications_total{result="sent"}'], told['notifications_total{result="failed"}']) == (1, 2)


async def test_requests_of_the_real_client_are_counted_by_endpoint_and_result(metrics: Metrics, tmp_path: Path) -> None:
    credentials = Credentials(*CREDENTIALS.values())
    async with (
        fleet_of(tmp_path, devices=3) as fleet,
        reading(fleet.simulator.url, Bounds(), credentials, {}, meter=metrics) as reader,
    ):
        await reader.read(fota_calls.status_page(ACCOUNT, "0", StatusForm.V3_PATH))
        with pytest.raises(ApiError):
            await reader.read(fota_calls.subscription("no such account"))
    told = series(metrics)
    assert told['api_requests_total{endpoint="fota-license-status",result="ok"}'] == 1
    assert told['api_requests_total{endpoint="oauth-token",result="ok"}'] == 1
    assert told['api_requests_total{endpoint="session-login",result="ok"}'] == 1
    failed = {
        key: value for key, value in told.items() if 'endpoint="fota-subscription"' in key and 'result="ok"' not in key
    }
    assert failed
    assert told['api_request_duration_seconds_count{endpoint="fota-license-status"}'] == 1


def test_endpoints_are_a_closed_list_whatever_account_and_devices_are_asked_for() -> None:
    def asked(account: str, devices: list[str]) -> set[str]:
        calls: tuple[Call[Any], ...] = (
            *(fota_calls.status_page(account, devices[0], form) for form in StatusForm),
            fota_calls.subscription(account),
            fota_calls.look_up(account, devices),
            fota_calls.assign(account, devices, "/licenses"),
            fota_calls.remove(account, devices, "/licenses"),
        )
        return {call.what for call in calls}

    assert asked(ACCOUNT, imeis(0, 3)) == asked("another", imeis(3, 4))


def test_results_of_requests_are_a_closed_list() -> None:
    def words(kind: type[ApiError]) -> set[str]:
        return {kind.word}.union(*map(words, kind.__subclasses__()))

    assert all(re.fullmatch(r"[a-z-]+", word) for word in words(ApiError))


def test_the_number_of_series_does_not_grow_with_the_number_of_devices(metrics: Metrics) -> None:
    reconcile(metrics, plan(assign(1)), outcome(assign(1), OutcomeKind.DONE))
    few = series(metrics).keys()
    actions = [assign(number, f"group {number}") for number in range(5_000)]
    held = [Held(remove(number), HeldReason.FOREIGN) for number in range(5_000, 10_000)]
    outcomes = [outcome(each, OutcomeKind.REJECTED, f"words about {each.device}") for each in actions]
    reconcile(metrics, plan(*actions, held=tuple(held)), *outcomes)
    text = metrics.render()[0].decode()
    assert series(metrics).keys() == few
    for secret in (imei(1), "group 1", "words about", FOTA.account):
        assert secret not in text


def test_both_formats_are_read_by_the_official_parsers(metrics: Metrics) -> None:
    metrics.inventory_loaded(INVENTORY, author='quotes " and \\ and\nlines')
    reconcile(metrics, plan(assign(1)), outcome(assign(1), OutcomeKind.DONE))
    metrics.run_ended(run_report(PoolReport(plan(), ())), 3)
    metrics.answered("FOTA assign", "ok", 0.2)
    wanted = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    strict, content_type = metrics.render(wanted)
    assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    plain, plain_type = metrics.render("text/plain")
    assert plain_type == "text/plain; version=0.0.4; charset=utf-8"
    names = {sample.name for family in openmetrics_families(strict.decode()) for sample in family.samples}
    assert {
        "licensesync_actions_total",
        "licensesync_inventory_info",
        "licensesync_run_duration_seconds_bucket",
    } <= names
    assert {name for name in names if name.endswith("_created")} == set()
    assert {key.partition("{")[0] for key in series(metrics)} == {name.removeprefix("licensesync_") for name in names}
    assert metrics.render("application/openmetrics-text; version=\u20ac9; escaping=evil")[1] == content_type
    assert b"_created" not in plain
