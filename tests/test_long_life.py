"""Many runs of one service, against a service as unkind as ever: nothing grows, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from fleets import CREDENTIALS, Fleet, clean_environ, fleet_of, imeis
from ledgers import query
from services import Service, scheduled, serving

from licensesync import settings
from licensesync.daemon.serving import serve

MEMORY = 8 * 2**20
"""Bytes that a process may use more after all runs than after the first quarter: the allocator rounds up."""

THREADS = 3 + min(32, (os.cpu_count() or 1) + 4)
"""The program's own, the one that watches files, the one that keeps the batches of a run, and those that asyncio makes
as they are first wanted and keeps, https://docs.python.org/3/library/concurrent.futures.html#threadpoolexecutor."""


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


@pytest.mark.parametrize("runs", [8, pytest.param(200, marks=pytest.mark.exhaustive)])
async def test_many_runs_use_no_more_than_a_few(tmp_path: Path, runs: int) -> None:
    chance = random.Random(runs)
    async with fleet_of(tmp_path, devices=300, licenses=600, kind=False) as fleet:
        fleet.settings(pool="    removals: {count: 1000, percent: 100, per_day: 100000}\n")
        scheduled(fleet, every="1s")
        fleet.inventory(imeis(0, 300))
        async with serving(fleet) as service:
            await service.told("run.finished")
            await _runs(fleet, service, runs // 4, chance)
            before = Figures.of(service)
            await _runs(fleet, service, runs - runs // 4, chance)
            after = Figures.of(service)
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0
        verdicts = query(tmp_path / "licensesync.db", "SELECT verdict, count(*) FROM runs GROUP BY verdict ORDER BY 1")
    print(f"{runs} runs {verdicts}: {before} after a quarter of them, {after} at the end")
    assert after.memory - before.memory < MEMORY
    assert after.files <= before.files + 2, "a connection more or less is kept open"
    assert after.threads <= THREADS
    assert dict(verdicts)["done"] >= runs / 2
    assert not service.of("serve.mistake")


async def _runs(fleet: Fleet, service: Service, count: int, chance: random.Random) -> None:
    """So many runs more, each for another inventory."""
    for _ in range(count):
        made = len(service.of("run.finished"))
        fleet.inventory(chance.sample(imeis(0, 600), 300))
        service.signal(signal.SIGHUP)
        await service.told("run.finished", made + 1)


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
