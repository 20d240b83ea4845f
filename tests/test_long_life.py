"""Many runs and many lives of a service, against one that is as unkind as ever: nothing grows, nothing is left."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

import pytest
from fleets import ACCOUNT, CALLBACK_CREDENTIALS, CREDENTIALS, Fleet, clean_environ, fleet_of, imeis
from ledgers import UNLIMITED, query
from promise_worlds import SKU_NUMBER, Heard, free_port, ledger_of, sims
from promise_worlds import settings as write_settings
from services import PATIENCE, Service, scheduled, serving
from sqlalchemy import func, select

from licensesync import settings
from licensesync.daemon.serving import serve
from licensesync.ledger import database
from licensesync.ledger.schema import metadata
from licensesync.simulator.bought import Sku

MEMORY: Final = 8 * 2**20
"""Bytes that a process may use more after all runs than after the first quarter: the allocator rounds up."""

THREADS: Final = 4 + min(32, (os.cpu_count() or 1) + 4)
"""The program's own, the one that watches files, the one that keeps the batches of a run, the one that keeps what
callbacks tell, and those that asyncio makes as they are first wanted and keeps,
https://docs.python.org/3/library/concurrent.futures.html#threadpoolexecutor."""

CONNECTIONS: Final = 2
"""More or less of them may be kept open to the simulator at one moment than at another."""

LOOKS: Final = 15

KEEP: Final = timedelta(days=2)
"""How long the ledger keeps its history, by the settings; an outcome of the past day keeps its run in any case."""

QUIRKS: Final = {
    "callback-lost": "0.02",
    "callback-late": "0.1",
    "callback-lateness": "0.3",
    "callback-foreign": "0.1",
    "callback-forged": "0.1",
    "callback-failed": "0.05",
    "lost-after-effect": "0.02@sim-assign+sim-unassign",
}
"""What goes wrong beside all that an unkind simulator does by itself."""

FOTA: Final = f'  fota:\n    product: fota\n    account: "{ACCOUNT}"\n    mode: full\n{UNLIMITED}'


@dataclass
class Calendar:
    """The clock of the simulator, and how far its calendar and that of the programs is ahead of this machine's."""

    ahead: timedelta = timedelta()

    def __call__(self) -> float:
        return time.time() + self.ahead.total_seconds()


@dataclass(frozen=True)
class Figures:
    """What a process uses."""

    memory: int
    files: int
    threads: int

    @classmethod
    def of(cls, service: Service) -> Figures:
        process = Path("/proc", str(service.process.pid))
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        memory, threads = (int(status[name].split()[0]) for name in ("VmRSS", "Threads"))
        return cls(memory * 1024, len(list((process / "fd").iterdir())), threads)

    def __str__(self) -> str:
        return f"{self.memory / 2**20:.1f} MiB, {self.files} files, {self.threads} threads"


@dataclass(frozen=True)
class Kept:
    """What the ledger holds: rows of each table, and bytes of its files."""

    rows: Counter[str]
    size: int

    @classmethod
    def of(cls, ledger: Path) -> Kept:
        with database.read(ledger) as connection:
            assert connection is not None
            counts = {table: select(func.count()).select_from(table) for table in metadata.sorted_tables}
            rows = Counter({table.name: connection.execute(count).scalar_one() for table, count in counts.items()})
        return cls(rows, sum(file.stat().st_size for file in ledger.parent.glob(f"{ledger.name}*")))

    def __str__(self) -> str:
        rows = ", ".join(f"{count} {name}" for name, count in self.rows.most_common() if count > 1)
        return f"{self.size / 2**20:.2f} MiB ({rows})"


@dataclass
class LongLife:
    """A service with both products that ends again and again, in order or by `kill -9`, and is started days later."""

    fleet: Fleet
    calendar: Calendar
    chance: random.Random
    devices: int
    """How many are wanted of software management at a time, and twice as many are there; a tenth of them have SIMs."""
    verdicts: Counter[str] = field(default_factory=Counter)
    callbacks: Counter[str] = field(default_factory=Counter)
    used: list[tuple[Figures, Figures]] = field(default_factory=list)
    """What each process used after a quarter of its runs, and after the last."""
    kept: list[Kept] = field(default_factory=list)
    """What the ledger held after each life."""

    def __post_init__(self) -> None:
        self.fleet.account.skus[SKU_NUMBER] = Sku(self.devices)
        write_settings(self.fleet, Heard(free_port()), batch_size=50, more=f"{FOTA}keep: {KEEP.days}d\n")

    @property
    def ledger(self) -> Path:
        return ledger_of(self.fleet.folder)

    async def life(self, runs: int, end: signal.Signals) -> None:
        """The service is started, makes so many runs, and ends by this signal: where it cannot be caught, in a run."""
        self.fleet.ahead = self.calendar.ahead.total_seconds()
        self._edit()
        async with serving(self.fleet, CALLBACK_CREDENTIALS) as service:
            service.patience = 10 * PATIENCE
            await service.told("run.finished")
            await self._runs(service, runs // 4)
            early = await self._at_rest(service)
            await self._runs(service, runs - runs // 4 - 1)
            self.used.append((early, await self._at_rest(service)))
            if end is signal.SIGKILL:
                self._edit()
                service.signal(signal.SIGHUP)
                await asyncio.sleep(self.chance.uniform(0, 0.3))
            service.signal(end)
            assert await service.ended() == (-end if end is signal.SIGKILL else 0)
        assert not service.of("serve.mistake")
        self.kept.append(Kept.of(self.ledger))
        self.verdicts.update(each["verdict"] for each in service.of("run.finished"))
        self.callbacks.update(each["reception"] for each in service.of("callback.received"))
        print(f"{self.used[-1][0]}; {self.used[-1][1]}; ledger {self.kept[-1]}")

    async def _runs(self, service: Service, count: int) -> None:
        """So many runs more, each for another inventory."""
        for _ in range(count):
            made = len(service.of("run.finished"))
            self._edit()
            service.signal(signal.SIGHUP)
            await service.told("run.finished", made + 1)

    async def _at_rest(self, service: Service) -> Figures:
        """What it uses when no callback is under way, each of which comes over a connection of its own.

        Of several looks the least counts: each second it opens the ledger for a moment, which is three files.
        """
        looks: list[Figures] = []
        async with asyncio.timeout(service.patience):
            while self.fleet.simulator.post.is_busy or len(looks) < LOOKS:
                await asyncio.sleep(0.07)
                looks.append(Figures.of(service))
        least = looks[-LOOKS:]
        return Figures(*(min(getattr(each, name) for each in least) for name in ("memory", "files", "threads")))

    def _edit(self) -> None:
        """Half of the devices of each product are wanted, now these and now those."""
        fotas = self.chance.sample(imeis(0, 2 * self.devices), self.devices)
        some = self.chance.sample(sims(0, self.devices // 5), self.devices // 10)
        listed = "".join(f'      - {{imei: "{each.imei}", iccid: "{each.iccid}"}}\n' for each in some)
        self.fleet.inventory(fotas, f"  - name: pumps\n    licenses: [sim]\n    devices:\n{listed}")


@pytest.mark.parametrize(
    ("lives", "runs", "apart", "devices"),
    [
        pytest.param(2, 4, KEEP + timedelta(days=1), 50, id="8-runs"),
        pytest.param(2, 200, KEEP + timedelta(days=1), 300, id="400-runs", marks=pytest.mark.exhaustive),
        pytest.param(20, 100, timedelta(hours=12), 50, id="2000-runs", marks=pytest.mark.exhaustive),
    ],
)
async def test_many_runs_in_many_lives_use_no_more_than_a_few(
    tmp_path: Path, lives: int, runs: int, apart: timedelta, devices: int
) -> None:
    calendar = Calendar()
    options = {"devices": devices, "licenses": 2 * devices, "kind": False, "quirks": QUIRKS, "clock": calendar}
    async with fleet_of(tmp_path, **options) as fleet:
        long = LongLife(fleet, calendar, random.Random(runs), devices)
        for left in reversed(range(lives)):
            await long.life(runs, signal.SIGKILL if left % 2 else signal.SIGTERM)
            calendar.ahead += apart if left else timedelta()
    print(f"{sum(long.verdicts.values())} runs {dict(long.verdicts)}, {dict(long.callbacks)}")
    _assert_no_process_has_grown(long)
    _assert_the_ledger_keeps_no_more_than_it_shall(long, apart)
    assert long.verdicts["done"] >= lives * runs / 2
    assert long.callbacks


def _assert_no_process_has_grown(long: LongLife) -> None:
    for early, late in [*long.used, (long.used[0][1], long.used[-1][1])]:
        assert late.memory - early.memory < MEMORY
        assert late.files <= early.files + CONNECTIONS
        assert late.threads <= THREADS


def _assert_the_ledger_keeps_no_more_than_it_shall(long: LongLife, apart: timedelta) -> None:
    """Nothing is older than the settings want it, and from the first life on that forgets another, it does not grow."""
    now = datetime.fromtimestamp(long.calendar(), UTC)
    (oldest,) = query(long.ledger, "SELECT min(started_at) FROM runs")[0]
    assert datetime.fromisoformat(oldest).replace(tzinfo=UTC) > now - KEEP - timedelta(hours=1)
    full = long.kept[KEEP // apart + 1]
    assert max(kept.rows.total() for kept in long.kept) <= 1.1 * full.rows.total()
    assert max(kept.size for kept in long.kept) <= 1.25 * full.size
    assert query(long.ledger, "PRAGMA integrity_check") == [("ok",)]


async def test_a_service_that_has_ended_leaves_no_task_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with fleet_of(tmp_path, devices=4) as fleet:
        scheduled(fleet)
        fleet.inventory(imeis(0, 5))
        environ = {**clean_environ(), **CREDENTIALS}
        before = asyncio.all_tasks()
        service = asyncio.create_task(serve(settings.load(tmp_path / "licensesync.yaml"), environ))
        for devices in (5, 6, 7):
            fleet.inventory(imeis(0, devices))
            if devices > 5:
                os.kill(os.getpid(), signal.SIGHUP)
            while fleet.holders != {*imeis(0, devices)}:
                assert not service.done()
                await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await service
        assert asyncio.all_tasks() == before
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            assert cast("signal.Handlers", signal.getsignal(number)) in {signal.SIG_DFL, signal.default_int_handler}
