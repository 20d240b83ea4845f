"""Ledgers that cannot be used: a run writes nothing to the service that it could not keep, and says what to do."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleets import ACCOUNT, Ended, Fleet, fleet_of, imeis, some_of
from ledgers import (
    UNLIMITED,
    content,
    ended,
    execute,
    keep_in,
    listing,
    mode_of,
    query,
    run,
    run_without_room,
    without_privilege,
)
from msgspec import structs

from licensesync.errors import LedgerError
from licensesync.ledger import book, database, memory, migrations
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    InventoryInfo,
    Mode,
    Observed,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Place,
    Plan,
    Pool,
    Product,
    Verb,
)

APPLY, PLAN = ("apply", "--yes"), ("plan",)
PAGE = 4096
MAGIC = 16
POOL = Pool("fota", Product.FOTA, ACCOUNT, Mode.FULL)
NOW = datetime.now(UTC)
INFO = InventoryInfo(0, "sha256:0")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real ledger of some dozen pages, with something in every table that a plan asks."""
    path = tmp_path_factory.mktemp("written") / "licensesync.db"
    with book.opened(path, "run-0", lambda: NOW - timedelta(hours=1)) as opened:
        opened.begin("apply", INFO)
        actions = [Action(Verb.ASSIGN, DeviceId(each), "meters", Place("inventory.yaml", 1, 1)) for each in _many()]
        opened.undertake(
            Plan(POOL, Capacity(1000, 0), tuple(actions), (), 0, 0), set(map(DeviceId, _many())), INFO, lambda _: ""
        )
        for kind, reason in (
            (OutcomeKind.DONE, None),
            (OutcomeKind.REJECTED, OutcomeReason.DEVICE_NOT_FOUND),
            (OutcomeKind.PENDING, OutcomeReason.UPGRADE_PENDING),
        ):
            batch = [structs.replace(each, verb=Verb.REMOVE) for each in actions[:100]]
            actions = actions[100:]
            with opened.transaction():
                opened.sent(POOL, batch)
                opened.settled(POOL, batch, [Outcome(each, kind, NOW, reason, "No.", _later(kind)) for each in batch])
        with opened.transaction():
            opened.sent(POOL, actions)
    return path


def _many() -> list[str]:
    return imeis(5000, 5400)


def _later(kind: OutcomeKind) -> datetime | None:
    return NOW + timedelta(hours=5) if kind is OutcomeKind.PENDING else None


@asynccontextmanager
async def _fleet(folder: Path, ledger: Path | None = None, devices: int = 3) -> AsyncIterator[Fleet]:
    """A fleet with three removals and two assignments to make, and this ledger."""
    async with fleet_of(folder, devices=devices) as fleet:
        fleet.settings(pool=UNLIMITED)
        fleet.inventory(imeis(devices, devices + 2))
        if ledger is not None:
            shutil.copyfile(ledger, folder / "licensesync.db")
        yield fleet


def _assert_told(end: Ended, ledger: Path, *words: str) -> None:
    """It ended with 1 and one line that is no log event, which names the ledger and says what is the matter."""
    told = [line for line in end.err.splitlines() if not line.startswith("{")]
    assert end.code == 1, end.err
    assert len(told) == 1, end.err
    assert told[0].startswith("licensesync: ")
    assert str(ledger) in told[0]
    for word in words:
        assert word in told[0]
    assert end.out == ""


@dataclass(frozen=True)
class Fault:
    """How a ledger is spoilt, and words of the message."""

    spoil: Callable[[Path], object]
    words: tuple[str, ...]


def _overwrite(ledger: Path, start: int, contents: bytes) -> None:
    with ledger.open("r+b") as file:
        file.seek(start)
        file.write(contents)


def _noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def _of_another_program(ledger: Path) -> None:
    ledger.unlink()
    execute(ledger, "CREATE TABLE bookmarks (title TEXT)")


def _a_folder(ledger: Path) -> None:
    ledger.unlink()
    ledger.mkdir()


def _pages_but_first(ledger: Path) -> int:
    return ledger.stat().st_size - PAGE


FAULTS = {
    "garbage": Fault(lambda ledger: ledger.write_bytes(_noise(20_000)), ("is damaged, or is no ledger", "backup")),
    "a smashed header": Fault(lambda ledger: _overwrite(ledger, 0, _noise(MAGIC)), ("is damaged, or is no", "backup")),
    "overwritten pages": Fault(
        lambda ledger: _overwrite(ledger, PAGE, _noise(_pages_but_first(ledger))), ("is damaged", "backup")
    ),
    "a lost end": Fault(lambda ledger: os.truncate(ledger, 3 * PAGE), ("is damaged", "backup")),
    "a newer schema": Fault(
        lambda ledger: execute(ledger, "PRAGMA user_version = 99"), ("by a newer licensesync", "99", "install")
    ),
    "another program": Fault(_of_another_program, ("is a database of another program", "ledger: in the settings")),
    "a folder": Fault(_a_folder, ("is no regular file", "ledger: in the settings")),
}


@pytest.mark.parametrize("arguments", [APPLY, PLAN])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_ledger_that_cannot_be_used_is_told_before_anything_is_written(
    tmp_path: Path, written: Path, fault: str, arguments: tuple[str, ...]
) -> None:
    async with _fleet(tmp_path, written) as fleet:
        ledger = tmp_path / "licensesync.db"
        FAULTS[fault].spoil(ledger)
        before = ledger.read_bytes() if ledger.is_file() else b""

        end = await fleet.run(*arguments)

        _assert_told(end, ledger, *FAULTS[fault].words)
        assert fleet.writes() == 0
        assert (ledger.read_bytes() if ledger.is_file() else b"") == before
        assert set(listing(tmp_path)) - {"licensesync.db.lock"} == {
            "inventory.yaml",
            "licensesync.db",
            "licensesync.yaml",
        }


async def test_a_missing_folder_is_told_and_not_made(tmp_path: Path) -> None:
    async with _fleet(tmp_path) as fleet:
        ledger = keep_in(fleet, "state/ledger.db")
        before = listing(tmp_path)
        applied = await fleet.run(*APPLY)
        planned = await fleet.run(*PLAN)
        assert (fleet.writes(), listing(tmp_path)) == (0, before)
        _assert_told(applied, ledger, "there is no folder", "create it")
        assert planned.code == 0


async def test_a_read_only_ledger_stops_a_run_and_no_plan(tmp_path: Path, written: Path) -> None:
    async with _fleet(tmp_path, written) as fleet:
        ledger = tmp_path / "licensesync.db"
        ledger.chmod(0o444)
        applied = await fleet.run(*APPLY)
        planned = await fleet.run(*PLAN)
        _assert_told(applied, ledger, "is read-only", "give this user the right")
        assert (fleet.writes(), planned.code, mode_of(ledger)) == (0, 0, 0o444)


@pytest.mark.parametrize("has_ledger", [True, False])
async def test_a_read_only_folder_stops_a_run(tmp_path: Path, written: Path, has_ledger: bool) -> None:  # noqa: FBT001 - a case
    async with _fleet(tmp_path) as fleet:
        ledger = keep_in(fleet, "state/ledger.db")
        ledger.parent.mkdir()
        if has_ledger:
            shutil.copyfile(written, ledger)
        ledger.parent.chmod(0o555)
        before = listing(ledger.parent)

        applied = await run(fleet, *APPLY, before=without_privilege)
        planned = await run(fleet, *PLAN, before=without_privilege)

        ledger.parent.chmod(0o755)
        _assert_told(applied, ledger, "give this user the right to write")
        assert (fleet.writes(), listing(ledger.parent)) == (0, before)
        if has_ledger:
            _assert_told(planned, ledger, "give this user the right to write the file and its folder")
        else:
            assert planned.code == 0


async def test_a_ledger_that_may_not_be_read_is_told(tmp_path: Path, written: Path) -> None:
    async with _fleet(tmp_path, written) as fleet:
        ledger = tmp_path / "licensesync.db"
        ledger.chmod(0o200)
        ends = [await run(fleet, *arguments, before=without_privilege) for arguments in (APPLY, PLAN)]
        ledger.chmod(0o600)
        for end in ends:
            _assert_told(end, ledger)
            assert "user" in end.err
        assert fleet.writes() == 0


@pytest.mark.parametrize("begin", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
async def test_a_ledger_that_another_program_writes_stops_a_run_and_no_plan(
    tmp_path: Path, written: Path, begin: str
) -> None:
    async with _fleet(tmp_path, written) as fleet:
        ledger = tmp_path / "licensesync.db"
        with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
            other.execute(begin)
            applied, planned = await asyncio.gather(fleet.run(*APPLY), fleet.run(*PLAN))
        _assert_told(applied, ledger, "is locked by another program; end it")
        assert (fleet.writes(), planned.code) == (0, 0)


async def test_a_ledger_that_another_program_keeps_to_itself_stops_even_a_plan(tmp_path: Path, written: Path) -> None:
    async with _fleet(tmp_path, written) as fleet:
        ledger = tmp_path / "licensesync.db"
        with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            applied, planned = await asyncio.gather(fleet.run(*APPLY), fleet.run(*PLAN))
        _assert_told(applied, ledger, "is locked by another program; end it")
        _assert_told(planned, ledger, "is locked by another program; end it")
        assert fleet.writes() == 0


@pytest.mark.parametrize("room", [0, 16, 4096, 20_000, 100_000])
async def test_a_disk_without_room_for_a_ledger_stops_a_run_before_it_writes(tmp_path: Path, room: int) -> None:
    async with _fleet(tmp_path) as fleet:
        planned = await run_without_room(fleet, *PLAN, above=room)
        applied = await run_without_room(fleet, *APPLY, above=room)
        _assert_told(applied, tmp_path / "licensesync.db")
        assert "make room" in applied.err or "disk is full" in applied.err
        assert (fleet.writes(), planned.code) == (0, 0)
        again = await fleet.run(*APPLY)
        assert (again.code, fleet.holders) == (0, {*imeis(3, 5)})


async def test_a_disk_without_room_for_this_run_stops_it_before_it_writes(tmp_path: Path, written: Path) -> None:
    async with _fleet(tmp_path, written) as fleet:
        ledger = tmp_path / "licensesync.db"
        before = content(ledger)
        end = await run_without_room(fleet, *APPLY, above=4096)
        _assert_told(end, ledger, "disk is full")
        assert (fleet.writes(), content(ledger)) == (0, before)


@contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes at this folder, if this user may have one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, written: Path) -> None:
    async with _fleet(tmp_path) as fleet:
        ledger = keep_in(fleet, "state/ledger.db")
        ledger.parent.mkdir()
        with _small_disk(ledger.parent, written.stat().st_size + 2 * PAGE):
            shutil.copyfile(written, ledger)
            _fill(ledger.parent)
            applied = await fleet.run(*APPLY)
            planned = await fleet.run(*PLAN)
            assert fleet.writes() == 0
            (ledger.parent / "ballast").unlink()
    _assert_told(applied, ledger)
    _assert_told(planned, ledger)
    assert "room" in applied.err or "full" in applied.err


def _enlarge(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=50M", str(folder)], check=True)


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(PAGE))


async def test_a_disk_that_becomes_full_in_mid_run_stops_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async with _long_run(tmp_path) as fleet:
        ledger = keep_in(fleet, "state/ledger.db")
        ledger.parent.mkdir()
        with _small_disk(ledger.parent, 500_000):
            end = await fleet.run(*APPLY, "--format", "json", "--out", "report.json")
            _assert_stopped_for_want_of_room(fleet, end, ledger)
            _enlarge(ledger.parent)
            await _assert_next_run_settles_the_rest(fleet, ledger)


@pytest.mark.parametrize("room", some_of([270_000, 400_000, 320_000, 700_000], 2))
async def test_a_ledger_that_cannot_grow_in_mid_run_stops_the_run_and_the_next_one_goes_on(
    tmp_path: Path, room: int
) -> None:
    async with _long_run(tmp_path) as fleet:
        ledger = tmp_path / "licensesync.db"
        end = await run_without_room(fleet, *APPLY, "--format", "json", above=room)
        _assert_stopped_for_want_of_room(fleet, end, ledger)
        await _assert_next_run_settles_the_rest(fleet, ledger)


@asynccontextmanager
async def _long_run(folder: Path) -> AsyncIterator[Fleet]:
    async with fleet_of(folder, devices=500, licenses=5000) as fleet:
        fleet.settings(pool=UNLIMITED, thingspace="  batch_size: 20\n")
        fleet.inventory(imeis(1000, 1500))
        yield fleet


def _assert_stopped_for_want_of_room(fleet: Fleet, end: Ended, ledger: Path) -> None:
    """The report tells of everything that was sent, and of everything that was not."""
    assert end.code == 1, end.err
    assert "Traceback" not in end.err
    told = [line for line in end.err.splitlines() if not line.startswith("{")]
    assert all(line.startswith(f"licensesync: the ledger {ledger} cannot") for line in told), told
    (pool,) = end.document["pools"]
    assert end.document["exit"] == 1
    assert str(ledger) in pool["problem"]
    changed = {device for request in fleet.simulator.requests for device in request.effect}
    assert {row["device"] for row in pool["outcomes"] if row["outcome"] == "done"} == changed
    assert len(pool["outcomes"]) == len(changed)
    assert 0 < len(changed) < 1000
    assert {row["reason"] for row in pool["held"]} == {"stopping"}
    assert len(pool["held"]) + len(changed) == 1000


async def _assert_next_run_settles_the_rest(fleet: Fleet, ledger: Path) -> None:
    again = await fleet.run(*APPLY)
    assert again.code == 0, again.err
    assert fleet.holders == {*imeis(1000, 1500)}
    changed = [device for request in fleet.simulator.requests for device in request.effect]
    assert sorted(changed) == sorted([*imeis(0, 500), *imeis(1000, 1500)])
    kept = query(ledger, "SELECT device FROM outcomes WHERE outcome = 'done' AND NOT in_flight")
    assert sorted(device for (device,) in kept) == sorted(changed)


async def test_without_a_ledger_a_plan_works_and_makes_no_file(tmp_path: Path) -> None:
    async with _fleet(tmp_path) as fleet:
        before = listing(tmp_path)
        end = await fleet.run("plan", "--format", "json")
        assert (end.code, len(end.document["pools"][0]["actions"])) == (0, 5)
        assert listing(tmp_path) == before


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
async def test_a_plan_changes_nothing_in_a_ledger_and_a_run_never_its_mode(
    tmp_path: Path, written: Path, mode: int
) -> None:
    async with _fleet(tmp_path, written) as fleet:
        ledger = tmp_path / "licensesync.db"
        ledger.chmod(mode)
        before, files = content(ledger), listing(tmp_path)

        planned = await fleet.run(*PLAN)

        assert (planned.code, content(ledger), listing(tmp_path), mode_of(ledger)) == (0, before, files, mode)
        applied = await fleet.run(*APPLY)
        assert (applied.code, mode_of(ledger)) == (0, mode)


async def test_a_plan_leaves_what_a_killed_run_left(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, licenses=500, quirks={"delayed": "on@assign", "delay": 20}) as fleet:
        fleet.inventory(imeis(0, 10))
        process = await fleet.start(*APPLY)
        while not fleet.holders:
            await asyncio.sleep(0.01)
        process.kill()
        await process.communicate()
        ledger = tmp_path / "licensesync.db"
        end = await fleet.run(*PLAN)
        assert end.code == 0
        assert query(ledger, "SELECT count(*) FROM outcomes WHERE outcome = 'unknown' AND in_flight") == [(10,)]


async def test_an_empty_file_becomes_a_ledger_that_is_its_owners(tmp_path: Path) -> None:
    async with _fleet(tmp_path) as fleet:
        ledger = tmp_path / "licensesync.db"
        ledger.touch(0o644)
        planned = await fleet.run(*PLAN)
        assert (planned.code, ledger.read_bytes()) == (0, b"")
        applied = await fleet.run(*APPLY)
        assert (applied.code, mode_of(ledger)) == (0, 0o600)


@pytest.mark.parametrize("umask", [0o000, 0o022])
async def test_only_its_owner_may_read_a_ledger_and_what_is_beside_it(tmp_path: Path, umask: int) -> None:
    async with fleet_of(tmp_path, quirks={"delayed": "on@assign", "delay": 1}) as fleet:
        fleet.inventory(imeis(0, 2))
        ledger = keep_in(fleet, "state/ledger.db")
        ledger.parent.mkdir()
        process = await fleet.start_bound(*APPLY, umask=umask)
        while not fleet.holders:
            await asyncio.sleep(0.01)
        meanwhile = {path.name: mode_of(path) for path in ledger.parent.iterdir()}
        end = await ended(process)
        assert end.code == 0, end.err
        assert set(meanwhile) == {"ledger.db", "ledger.db-shm", "ledger.db-wal", "ledger.db.lock"}
        assert set(meanwhile.values()) == {0o600}
        assert listing(ledger.parent) == ["ledger.db", "ledger.db.lock"]
        assert mode_of(ledger) == 0o600


@pytest.mark.parametrize("contents", ["noise", "nothing"])
def test_whatever_page_is_damaged_a_ledger_says_so_or_answers(tmp_path: Path, written: Path, contents: str) -> None:
    """No damage ends in anything but an answer or a `LedgerError`, and a run never writes on top of it."""
    ledger = tmp_path / "licensesync.db"
    pages = written.stat().st_size // PAGE
    assert pages > 20
    spoilt = 0
    for page in range(pages):
        shutil.copyfile(written, ledger)
        _overwrite(ledger, page * PAGE, random.Random(page).randbytes(PAGE) if contents == "noise" else bytes(PAGE))
        try:
            with database.written(ledger):
                pass
        except LedgerError:
            spoilt += 1
        shutil.copyfile(written, ledger)
        _overwrite(ledger, page * PAGE, random.Random(page).randbytes(PAGE) if contents == "noise" else bytes(PAGE))
        try:
            with database.read(ledger) as connection, database.explained(ledger):
                if connection is not None:
                    observed = Observed(frozenset(), Capacity(0, 0))
                    list(memory.recall(connection, POOL, observed, lambda _: "", NOW).managed)
        except LedgerError:
            pass
    assert spoilt >= pages - 1


def test_an_older_ledger_is_read_without_a_change_while_a_run_of_its_time_goes_on(
    tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "licensesync.db"
    shutil.copyfile(written, ledger)
    newer = (*migrations.STEPS, ("CREATE TABLE later (a INTEGER)",))
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        before = content(ledger)
        other.execute("BEGIN IMMEDIATE")
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "STEPS", newer)
            patch.setattr(migrations, "VERSION", len(newer))
            with database.read(ledger) as connection:
                assert connection is not None
                assert connection.exec_driver_sql("SELECT count(*) FROM later").scalar_one() == 0
                other.execute("UPDATE runs SET command = 'serve'")
                other.execute("COMMIT")
    assert [line.replace("'serve'", "'apply'") for line in content(ledger)] == before
