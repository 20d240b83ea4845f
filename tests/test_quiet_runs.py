"""With `reread` a run of the service rests on its last whole reading where nothing speaks against that."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from fleets import Fleet, fleet_of, imeis
from hypothesis import given
from hypothesis import strategies as st
from ledgers import query
from quiet_worlds import Watch, remembering, unread, watch_of
from services import scheduled, serving

from licensesync.model import Capacity, DeviceId, Observed, Outcome, OutcomeKind, Plan, Verb
from licensesync.readings import Kept, packed
from licensesync.thingspace.fota import FotaReader
from licensesync.thingspace.walk import Progress

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FLEET = imeis(0, 30)
STRANGER = imeis(700, 701)[0]


@contextmanager
def later(step: timedelta) -> Iterator[None]:
    with time_machine.travel(datetime.now(UTC) + step, tick=True):
        yield


def swapped(fleet: Fleet, gone: str = FLEET[3], come: str = STRANGER) -> None:
    """Somebody else takes a license and gives it to another device: the counts stay."""
    fleet.account.take(gone, 0)
    fleet.account.give(come, 0)


def sent(outcomes: tuple[Outcome, ...]) -> set[tuple[Verb, str, OutcomeKind]]:
    return {(each.action.verb, each.action.device, each.kind) for each in outcomes}


async def test_a_quiet_run_costs_one_request_and_names_the_reading_that_it_rests_on(tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        assert await watch.reads_whole()
        assert watch.asked.count("status") == 3
        with later(HOUR):
            first = await watch.rests_on()
            assert watch.asked == ["status"]
            assert await watch.rests_on() == first, "a quiet run makes no reading younger"
        whole, *quiet = watch.read_at()
        assert quiet == [first, first]
        assert timedelta(0) <= whole - first < timedelta(seconds=5) if first else False


async def test_a_quiet_run_counts_as_one_that_read_the_pool_whole_but_not_as_a_reading(tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        await watch.run()
        with later(HOUR):
            now = datetime.now(UTC)
            assert not await watch.reads_whole()
            told = watch.metrics.render("")[0].decode().splitlines()
            assert watch.course.read_whole_at["fota"] >= now
        figures = dict(line.rsplit(" ", 1) for line in told if "{pool" in line)
        assert float(figures['licensesync_last_success_timestamp_seconds{pool="fota"}']) >= now.timestamp()
        assert float(figures['licensesync_readings_total{pool="fota",reading="whole"}']) == 1


async def test_what_is_changed_behind_our_back_under_the_same_counts_is_seen_after_reread(tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        await watch.run()
        swapped(watch.fleet)
        with later(6 * HOUR - timedelta(minutes=1)):
            assert not await watch.reads_whole()
        with later(6 * HOUR):
            pool = await watch.run()
        assert sent(pool.outcomes) == {
            (Verb.REMOVE, STRANGER, OutcomeKind.DONE),
            (Verb.ASSIGN, FLEET[3], OutcomeKind.DONE),
        }
        assert watch.fleet.holders == {*FLEET}


def one_more_at(fleet: Fleet) -> None:
    fleet.account.give(STRANGER, 0)


def one_more(watch: Watch) -> None:
    one_more_at(watch.fleet)


def one_less(watch: Watch) -> None:
    watch.fleet.account.take(FLEET[3], 0)


def more_bought(watch: Watch) -> None:
    watch.fleet.account.buy(watch.fleet.account.total + 1, 0)


def a_comment(watch: Watch) -> None:
    watch.fleet.inventory(FLEET, "# nothing else\n")


def other_settings(watch: Watch) -> None:
    watch.fleet.settings(pool=remembering(more=", tolerance: 1"))


def another_time_limit(watch: Watch) -> None:
    watch.fleet.settings(pool=remembering(), thingspace="  timeout: 29s\n")


def a_clock_that_was_set(watch: Watch) -> None:
    watch.rounds.clock_was_set()


@pytest.mark.parametrize(
    "happens",
    [one_more, one_less, more_bought, a_comment, other_settings, another_time_limit, a_clock_that_was_set],
)
async def test_a_pool_is_read_whole_at_once_when(happens: Callable[[Watch], None], tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        await watch.quiet()
        happens(watch)
        pool = await watch.run()
        assert isinstance(pool.plan, Plan)
        assert pool.plan.rests_on is None
        assert watch.asked.count("status") > 1
        assert watch.fleet.holders == {*FLEET}
        await watch.quiet()


async def test_a_reading_of_the_time_to_come_does_not_do(tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        await watch.quiet()
        with later(-HOUR):
            assert await watch.reads_whole()


async def test_without_the_setting_every_run_reads_whole(tmp_path: Path) -> None:
    async with watch_of(tmp_path, remembering(None)) as watch:
        watch.fleet.inventory(FLEET)
        assert [await watch.reads_whole() for _ in range(3)] == [True, True, True]


async def test_after_its_own_actions_the_next_run_reads_whole_and_the_one_after_that_is_quiet(tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory([*FLEET, STRANGER])
        assert sent((await watch.run()).outcomes) == {(Verb.ASSIGN, STRANGER, OutcomeKind.DONE)}
        assert await watch.reads_whole()
        assert not await watch.reads_whole()


async def test_after_an_apply_in_between_the_pool_is_read_whole_though_all_is_as_it_was(tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        await watch.quiet()
        assert (await watch.fleet.run("apply", "--yes")).code == 0
        assert not await watch.reads_whole(), "an apply that sent nothing leaves the reading as good as it was"
        swapped(watch.fleet)
        assert (await watch.fleet.run("apply", "--yes", "--format", "json")).document["verdict"] == "done"
        assert watch.fleet.holders == {*FLEET}
        assert await watch.reads_whole()


async def test_a_ledger_that_does_not_know_of_the_reading_cannot_tell_what_was_sent_since(tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        await watch.quiet()
        for file in tmp_path.glob("licensesync.db*"):
            file.unlink()
        assert await watch.reads_whole()


async def test_plan_and_apply_read_whole_and_say_so(tmp_path: Path) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        await watch.quiet()
        for command in (("plan",), ("apply", "--yes")):
            watch.fleet.simulator.requests.forget()
            told = (await watch.fleet.run(*command, "--format", "json")).document
            assert len(watch.fleet.simulator.requests.of("status")) == 3
            assert (told["pools"][0]["rests_on"], told["pools"][0]["reading"]) == (None, "whole")


async def test_a_removal_that_becomes_due_rests_on_a_fresh_reading_alone(tmp_path: Path) -> None:
    gone, stays = FLEET[0], FLEET[1]
    async with watch_of(tmp_path, remembering("7d")) as watch:
        tomorrow = datetime.now(UTC).date() + DAY
        ending = f'  - name: ending\n    licenses: [fota]\n    until: {tomorrow}\n    devices: ["{gone}", "{stays}"]\n'
        watch.fleet.inventory(FLEET[2:], ending)
        await watch.quiet()
        swapped(watch.fleet, gone)
        with later(DAY):
            pool = await watch.run()
        assert watch.asked.index("remove") > [place for place, call in enumerate(watch.asked) if call == "status"][3]
        assert sent(pool.outcomes) == {
            (Verb.REMOVE, stays, OutcomeKind.DONE),
            (Verb.REMOVE, STRANGER, OutcomeKind.DONE),
        }, "the device that the older reading alone knows is not named"
        assert watch.fleet.holders == {*FLEET[2:]}


async def test_a_refusal_that_people_are_to_approve_of_rests_on_a_fresh_reading(tmp_path: Path) -> None:
    guarded = "    removals: {count: 0}\n    reading: {reread: 7d}\n"
    async with watch_of(tmp_path, guarded) as watch:
        tomorrow = datetime.now(UTC).date() + DAY
        ending = f'  - name: ending\n    licenses: [fota]\n    until: {tomorrow}\n    devices: ["{FLEET[0]}"]\n'
        watch.fleet.inventory(FLEET[1:], ending)
        await watch.quiet()
        with later(DAY):
            for _ in range(2):
                pool = await watch.run()
                assert isinstance(pool.plan, Plan)
                assert pool.plan.refusal
                assert (pool.plan.rests_on, watch.asked.count("status")) == (None, 4)


@pytest.mark.parametrize("trouble", [("forbidden", "on"), ("counts-absent", "both")])
async def test_counts_that_cannot_be_had_lead_to_what_a_run_does_anyhow(
    tmp_path: Path, trouble: tuple[str, str]
) -> None:
    async with watch_of(tmp_path) as watch:
        watch.fleet.inventory(FLEET)
        await watch.quiet()
        kind = watch.fleet.simulator.quirks.in_force()[trouble[0]]
        watch.fleet.simulator.quirks.set("subscription-call", "503")
        watch.fleet.simulator.quirks.set(*trouble)
        assert unread(await watch.run())
        watch.fleet.simulator.quirks.set(trouble[0], str(kind))
        watch.fleet.simulator.quirks.set("subscription-call", "up")
        assert await watch.reads_whole(), "a reading that was doubted once is given up"


async def test_counts_that_pages_lack_are_asked_of_the_subscription(tmp_path: Path) -> None:
    async with watch_of(tmp_path, quirks={"counts-absent": "both"}) as watch:
        watch.fleet.inventory(FLEET)
        await watch.run()
        pool = await watch.run()
        assert isinstance(pool.plan, Plan)
        assert pool.plan.rests_on
        assert watch.asked == ["status", "subscription"]


async def test_an_older_reading_settles_nothing_that_earlier_runs_left_open(tmp_path: Path) -> None:
    quirks = {"upgrade-pending": "1x@assign", "pending-takes": "never"}
    async with watch_of(tmp_path, remembering("7d"), quirks=quirks) as watch:
        watch.fleet.inventory([*FLEET, STRANGER])
        assert sent((await watch.run()).outcomes) == {(Verb.ASSIGN, STRANGER, OutcomeKind.PENDING)}
        assert await watch.reads_whole()
        assert not await watch.reads_whole()
        swapped(watch.fleet)
        with later(DAY + HOUR):
            pool = await watch.run()
        assert sent(pool.outcomes) == {(Verb.ASSIGN, FLEET[3], OutcomeKind.DONE)}
        rows = query(tmp_path / "licensesync.db", "SELECT device, outcome FROM outcomes ORDER BY id")
        assert rows == [(STRANGER, "done"), (FLEET[3], "done")], "by the older reading the first would have failed"


async def test_the_service_as_a_process_is_quiet_and_ready_and_says_what_it_rests_on(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30, page_size=10) as fleet:
        fleet.settings(pool=remembering())
        scheduled(fleet)
        fleet.inventory(FLEET)
        async with serving(fleet) as service:
            runs = [(await service.told("run.finished"))["run"]]
            read_at = (await service.status_after(runs[0]))["pools"][0]["read_at"]
            fleet.simulator.requests.forget()
            for _ in range(2):
                service.signal(signal.SIGHUP)
                runs.append((await service.told("run.finished", len(runs) + 1))["run"])
            assert [seen.call for seen in fleet.simulator.requests] == ["status", "status"]
            status = await service.status_after(runs[-1])
            assert (await service.seen("/readyz"))[0] == 200

            one_more_at(fleet)
            service.signal(signal.SIGHUP)
            assert (await service.told("run.finished", 4))["verdict"] == "done"
            assert fleet.holders == {*FLEET}
        told = [(each["reading"], each["rests_on"]) for each in service.of("pool.read")]
    first, second = (datetime.fromisoformat(rests_on) for _, rests_on in told[1:3])
    assert told[0] == told[3] == ("whole", None)
    assert status["pools"][0]["reading"] == "whole"
    assert datetime.fromisoformat(status["pools"][0]["read_at"]) == first.replace(microsecond=0)
    assert timedelta(0) <= datetime.fromisoformat(read_at) - first.replace(microsecond=0) < timedelta(seconds=5)
    assert first == second


@given(st.sets(st.one_of(st.from_regex(r"[0-9]{1,18}", fullmatch=True), st.text(max_size=20))))
def test_what_is_remembered_is_what_was_seen_zeros_included(devices: set[str]) -> None:
    kept = Kept(datetime.now(UTC), "run", "sha256:", Capacity(9, 3), packed({DeviceId(each) for each in devices}))
    assert (kept.observed().holders, kept.observed().capacity) == (devices, Capacity(9, 3))


async def test_what_was_read_or_recalled_is_let_go_of_once_it_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, Observed]] = []
    observe, recalled = FotaReader.observe, Kept.observed

    async def observed(self: FotaReader, known: Collection[DeviceId], progress: Progress) -> Observed:
        made.append((0, await observe(self, known, progress)))
        return made[-1][1]

    def still(self: Kept) -> Observed:
        made.append((1, recalled(self)))
        return made[-1][1]

    monkeypatch.setattr(FotaReader, "observe", observed)
    monkeypatch.setattr(Kept, "observed", still)
    async with watch_of(tmp_path, remembering("48h")) as watch:
        tomorrow = (datetime.now(UTC) + DAY).date()
        watch.fleet.inventory(FLEET, f"    until: {tomorrow}\n")
        assert await watch.reads_whole()
        assert not await watch.reads_whole()
        with later(DAY):
            refused = await watch.run()
    assert len(refused.held) == len(FLEET)
    assert [kind for kind, _ in made[:4]] == [0, 1, 1, 0]
    assert [each.holders for _, each in made[:4]] == [set()] * 4
