"""Plan, apply and plan again against the simulator as it is by default, unkind, and with each of its quirks."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from desks import Silence
from fleets import ACCOUNT, imeis, some_of
from sqlalchemy import Connection

from licensesync import reconcile
from licensesync.credentials import Credentials
from licensesync.errors import UnexpectedReply
from licensesync.ledger import book, database, history, keeping, memory
from licensesync.model import (
    Desired,
    DeviceId,
    Entry,
    InventoryInfo,
    Limits,
    Memory,
    Mode,
    Observed,
    OutcomeKind,
    Place,
    Plan,
    Policy,
    Pool,
    Product,
    Report,
    RunPlan,
    Unread,
    Wanted,
)
from licensesync.reconcile import Target
from licensesync.simulator.server import Simulator, SimulatorOptions, running
from licensesync.submission import Sending
from licensesync.thingspace import client
from licensesync.thingspace.fota import FotaService
from licensesync.thingspace.fota_calls import StatusForm, status_page
from licensesync.thingspace.transport import Bounds

POOL = Pool("fota", Product.FOTA, ACCOUNT, Mode.FULL, Limits(count=1000, percent=100, per_day=1000))
BOUNDS = Bounds(timeout=5, concurrency=4, requests_per_second=5000)
CREDENTIALS = Credentials("key-5f1c2a", "secret-9b7d3e", "user-4c8f6a", "password-1e2d3c")


@dataclass
class Desk:
    """One operator's service at a simulator, in this process."""

    simulator: Simulator
    service: FotaService
    ledger: Path
    runs: int = 0

    @property
    def holders(self) -> set[str]:
        return set(self.simulator.world.accounts[ACCOUNT].licensed)

    def writes(self) -> list[str]:
        return [request.call for request in self.simulator.requests.of("assign", "remove")]

    async def plan(self, wanted: Sequence[str]) -> RunPlan:
        policy = Policy(datetime.now(UTC).date())
        with database.read(self.ledger) as connection:
            target = Target(self.service, _desired(wanted), partial(_recalled, connection))
            plans = await reconcile.plan([target], policy, Silence())
        return RunPlan(InventoryInfo(len(wanted), "sha256:0"), datetime.now(UTC), plans)

    async def apply(self, run_plan: RunPlan, *, batch_size: int = 25, at_once: int = 4) -> Report:
        self.runs += 1
        run = f"run-{self.runs}"
        with book.opened(self.ledger, run, _now) as opened:
            opened.begin("apply", run_plan.inventory)
            for planned in run_plan.planned:
                opened.undertake(planned, set(), run_plan.inventory, _no_mark)
            with keeping.beside(opened, lambda pool, earlier: None) as record:  # noqa: ARG005 - nobody wants to know
                sending = Sending(batch_size, at_once, asyncio.Event(), _now, record)
                report = await reconcile.carry_out_all(run, run_plan, {"fota": self.service}, sending, Silence())
            opened.finish(report, 0)
        self.assert_history_accounts_for(report)
        return report

    def assert_history_accounts_for(self, report: Report) -> None:
        """Every action that was sent has one row, which says what the report says."""
        with database.read(self.ledger) as connection:
            assert connection is not None
            kept = Counter(
                (row.device, row.verb, row.outcome, row.reason, row.service, row.in_flight)
                for row in history.rows(connection, Wanted(run=report.run))
            )
        assert kept == Counter(
            (each.action.device, each.action.verb, each.kind, each.reason, each.service, False)
            for pool in report.pools
            for each in pool.outcomes
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _no_mark(_: DeviceId) -> str:
    return ""


async def _recalled(connection: Connection | None, observed: Observed) -> Memory:
    return Memory() if connection is None else memory.recall(connection, POOL, observed, _no_mark, _now())


def _desired(wanted: Sequence[str]) -> Desired:
    devices = dict.fromkeys(map(DeviceId, wanted))
    return Desired(devices, {device: Entry("meters", Place("inventory.yaml", 1, 1)) for device in devices})


@asynccontextmanager
async def desk_at(*, cursors: int = 4, **options: object) -> AsyncIterator[Desk]:
    async with (
        running(SimulatorOptions(**options)) as simulator,  # type: ignore[arg-type]  # keywords of many types
        client.writing(simulator.url, BOUNDS, CREDENTIALS, {}) as writer,
    ):
        with TemporaryDirectory() as folder:
            yield Desk(simulator, FotaService(POOL, writer, cursors=cursors), Path(folder, "ledger.db"))


@pytest.mark.parametrize("seed", some_of(range(20), 8))
async def test_an_unkind_day_ends_in_step(seed: int) -> None:
    chance = random.Random(seed)
    held = chance.randrange(20, 120)
    kept = chance.sample(imeis(0, held), chance.randrange(1, held))
    wanted = [*kept, *imeis(500, 500 + chance.randrange(0, 150))]
    chance.shuffle(wanted)
    async with desk_at(seed=seed, devices=held, licenses=held + chance.randrange(0, 100)) as desk:
        run_plan = await desk.plan(wanted)
        assert desk.writes() == [], "a plan has written"

        report = await desk.apply(run_plan)

        outcomes = report.pools[0].outcomes
        assert {outcome.kind for outcome in outcomes} <= {OutcomeKind.DONE}, report.verdict
        assert {outcome.action.device for outcome in outcomes} == desk.holders ^ set(imeis(0, held))
        (again,) = (await desk.plan(wanted)).pools
        assert isinstance(again, Plan)
        assert again.actions == ()
        assert len(desk.holders) == min(len(wanted), desk.simulator.world.accounts[ACCOUNT].total)
        assert desk.holders <= set(wanted)


UNREADABLE = {
    "assigned-off-by": "+1",
    "wrong-account": "on",
    "repeated-cursor": "on",
    "empty-page": "on",
    "last-page-lost": "on",
    "rows-lost": "on",
    "truncated-json": "on@status",
    "html-200": "on@status",
    "empty-200": "on@status",
    "wrong-types": "imei-number",
    "cut-off": "on@status",
    "redirect": "on@status",
    "forbidden": "on@status",
    "error-500": "on@status",
    "account-trouble": "not-found",
    "purchase-type": "event",
}


@pytest.mark.parametrize("quirk", UNREADABLE)
async def test_a_pool_that_is_not_proved_whole_is_never_written_to(quirk: str) -> None:
    quirks = {quirk: UNREADABLE[quirk]}
    async with desk_at(cursors=1, kind=True, seed=3, devices=90, licenses=200, page_size=20, quirks=quirks) as desk:
        run_plan = await desk.plan(imeis(30, 120))
        report = await desk.apply(run_plan)
        (pool,) = run_plan.pools
        assert isinstance(pool, Unread), pool
        assert pool.problem
        assert report.verdict == "unread"
        assert desk.writes() == []


SURVIVED = {
    "error-503": "10%@status",
    "error-429": "1x",
    "error-502": "1x@status",
    "truncated-json": "1x@status",
    "html-200": "2x@status",
    "bearer-dies": "#3",
    "session-dies": "#4",
    "counts-absent": "both",
    "cursor-type": "number",
    "page-order": "scrambled",
    "cursor-form": "rows",
    "cursor-check": "licensed",
    "rows-doubled": "on",
    "others-in-walk": "+2@3",
    "wrong-account": "1x",
    "rows-lost": "1x",
    "time-form": "mixed",
    "status-form": "query",
    "profile": "mixed",
    "letter-case": "words",
    "write-rows-lost": "1x",
    "odd-status": "1x",
    "lost-after-effect": "1x@assign",
    "lost-before-effect": "1x@status",
    "error-500-after-effect": "1x@remove",
    "max-devices": "10",
    "fill-order": "seeded",
    "extra-rows": "3",
    "bearer-remainder": "0.5",
    "purchase-type": "both",
    "subscription-call": "503",
}


@pytest.mark.parametrize("quirk", SURVIVED)
async def test_a_quirk_that_can_be_survived_ends_in_the_right_world(quirk: str) -> None:
    quirks = {quirk: SURVIVED[quirk]}
    async with desk_at(kind=True, seed=5, devices=90, licenses=200, page_size=20, quirks=quirks) as desk:
        wanted = imeis(30, 150)
        run_plan = await desk.plan(wanted)
        assert isinstance(run_plan.pools[0], Plan), run_plan.pools[0]
        assert desk.writes() == []

        report = await desk.apply(run_plan)

        assert {each.kind for each in report.pools[0].outcomes} == {OutcomeKind.DONE}
        assert set(wanted) <= desk.holders
        assert not desk.holders & set(imeis(0, 30))


async def test_a_call_that_is_not_there_in_the_other_way_is_made_in_the_form_that_is() -> None:
    quirks = {"status-form": "query", "missing-call": "404"}
    async with desk_at(kind=True, seed=5, devices=90, licenses=200, page_size=20, quirks=quirks) as desk:
        assert isinstance((await desk.plan(imeis(0, 90))).pools[0], Plan)
        paths = [request.path for request in desk.simulator.requests.of("status")]
        assert ["/index/" in path for path in paths].count(True) == 1
        assert "lastSeenDeviceId=" in paths[-1]


async def test_one_bad_device_in_a_batch_does_not_stop_the_others() -> None:
    bad = imeis(110, 111)
    quirks = {"poison-devices": bad}
    async with desk_at(kind=True, seed=5, licenses=200, quirks=quirks) as desk:
        report = await desk.apply(await desk.plan(imeis(100, 164)), batch_size=64)
        assert desk.holders == set(imeis(100, 164)) - set(bad)
        assert [each.action.device for each in report.pools[0].outcomes if each.kind is OutcomeKind.REJECTED] == bad
        assert len(desk.writes()) <= 2 * 6 + 1


async def test_the_last_licenses_go_in_their_order_even_if_others_take_some_meanwhile() -> None:
    quirks = {"over-allocation": "rows", "others-before-write": "+10", "delayed": "1x@assign", "delay": 0.3}
    async with desk_at(kind=True, seed=5, licenses=20, quirks=quirks) as desk:
        await desk.apply(await desk.plan(imeis(500, 520)), batch_size=5)
        assert set(imeis(500, 520)) & desk.holders == set(imeis(500, 510))


async def test_counts_that_cannot_be_read_after_the_removals_are_told() -> None:
    async with desk_at(kind=True, seed=5, devices=10, licenses=10) as desk:
        run_plan = await desk.plan([*imeis(2, 10), *imeis(500, 504)])
        desk.simulator.quirks.set("error-503", "on@status")
        (pool,) = (await desk.apply(run_plan)).pools
        assert pool.problem is not None
        assert "HTTP 503" in pool.problem
        assert {held.reason for held in pool.held} == {"awaiting-removals", "no-capacity"}


async def test_counts_beyond_all_measure_are_no_counts() -> None:
    with pytest.raises(UnexpectedReply):
        status_page(ACCOUNT, "0", StatusForm.V3_PATH).read(
            b'{"accountName":"0642233522-00001","totalLicense":18446744073709551616,"hasMoreData":false}'
        )


@pytest.mark.parametrize("shape", ["rows", "whole"])
async def test_running_out_of_licenses_in_mid_run_stops_assigning_and_holds_the_rest(shape: str) -> None:
    quirks = {"over-allocation": shape, "others-before-write": "+40"}
    async with desk_at(kind=True, seed=5, licenses=100, quirks=quirks) as desk:
        report = await desk.apply(await desk.plan(imeis(500, 600)), batch_size=10, at_once=2)
        account = desk.simulator.world.accounts[ACCOUNT]
        (pool,) = report.pools
        assert account.assigned <= account.total
        assert {held.reason for held in pool.held} == {"no-capacity"}
        assert len(pool.outcomes) + len(pool.held) == 100
        done = {each.action.device for each in pool.outcomes if each.kind is OutcomeKind.DONE}
        assert done <= desk.holders
