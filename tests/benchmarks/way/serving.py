"""How `serve` lives with a large pool: its memory from run to run, and how soon it answers while runs go on."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from way.bench import Bench, Row
from way.processes import LONGEST, environ, memory_of, simulator, waited_for

RUNS = 6
MORE_RUNS = 3  # after the inventory has changed
PAUSE = 0.05
LISTENING = "schedule: {every: 1s, jitter: 0s}\nlisten: 127.0.0.1:0\n"


def serving(bench: Bench, devices: int) -> Iterator[Row]:
    """Runs without latency, one right after the other; then the inventory changes, and some more."""
    with (
        simulator(devices, 2 * devices, 0) as simulated,
        bench.home(simulated.url, Path("inventory.yaml"), more=LISTENING) as home,
    ):
        inventory = home / "inventory.yaml"
        inventory.write_bytes(bench.inventory(devices).read_bytes())
        served = _Served(home)
        try:
            served.has_run(RUNS)
            before = memory_of(served.process.pid)
            draft = home / "draft"
            _with_one_more(inventory, draft)
            draft.replace(inventory)
            served.has_loaded()
            served.has_run(len(served.memory) + MORE_RUNS)
        finally:
            _code, cpu, peak = served.stopped()
        for number, (memory, seconds) in enumerate(zip(served.memory, served.seconds, strict=True), 1):
            yield {"devices": devices, "run": number, "seconds": seconds, "MB after it": memory}
        slow = sorted(served.answered)
        p99 = slow[int(len(slow) * 0.99)]
        yield {
            "devices": devices,
            "run": "all",
            "peak MB": peak,
            "peak MB before the change": before[1],
            "CPU s": cpu,
            "probes in runs": len(slow),
            "slowest ms": slow[-1] * 1000,
            "99th % ms": p99 * 1000,
            "median ms": slow[len(slow) // 2] * 1000,
            "simulator CPU s": simulated.cpu,
        }
        bench.promise("c: serve: peak MB", devices, peak, 250)
        bench.promise("c: serve: MB after the last run / after the second", devices, before[0] / served.memory[1], 1.05)
        bench.promise("f: serve: slowest answer, ms", devices, slow[-1] * 1000, 200)


def _with_one_more(inventory: Path, draft: Path) -> None:
    """The same inventory with a device of its own in the last place."""
    draft.write_bytes(inventory.read_bytes() + b'      - "990003425730535"\n')


class _Served:
    """A service that runs; what it logs, what it weighs after each run, and how long its pages take during runs."""

    def __init__(self, home: Path) -> None:
        self.memory: list[float] = []
        self.seconds: list[float] = []
        self.answered: list[float] = []
        self._began: float | None = None
        self._loaded = 0
        self._address = ""
        self._grown = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "licensesync", "--log-format", "json", "serve"],
            cwd=home,
            env=environ(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._threads = [threading.Thread(target=each) for each in (self._listen, self._probe)]
        for thread in self._threads:
            thread.start()

    def has_run(self, times: int) -> None:
        self._until(lambda: len(self.memory) >= times)

    def has_loaded(self) -> None:
        loaded = self._loaded
        self._until(lambda: self._loaded > loaded)

    def stopped(self) -> tuple[int, float, float]:
        self.process.send_signal(signal.SIGTERM)
        told = waited_for(self.process, 60)
        for thread in self._threads:
            thread.join()
        return told

    def _until(self, is_so: Any) -> None:
        with self._grown:
            if not self._grown.wait_for(lambda: is_so() or self._ended, LONGEST) or self._ended:
                raise SystemExit("serve has ended, or takes too long")

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            event = json.loads(line)
            with self._grown:
                match event["event"]:
                    case "serve.started":
                        self._address = event["listen"]
                    case "inventory.loaded":
                        self._loaded += 1
                    case "run.started":
                        self._began = time.perf_counter()
                    case "run.finished":
                        assert self._began is not None
                        self.seconds.append(time.perf_counter() - self._began)
                        self._began = None
                        self.memory.append(memory_of(self.process.pid)[0])
                    case "pool.read" if event["reading"] != "whole":
                        raise SystemExit(line)
                self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def _probe(self) -> None:
        pages = ("/metrics", "/readyz")
        turn = 0
        while not self._ended:
            time.sleep(PAUSE)
            if not self._address or not self.memory:
                continue
            running, turn = self._began is not None, turn + 1
            began = time.perf_counter()
            connection = http.client.HTTPConnection(self._address, timeout=10)
            try:
                connection.request("GET", pages[turn % 2])
                connection.getresponse().read()
            except OSError:
                continue
            finally:
                connection.close()
            if running or self._began is not None:
                self.answered.append(time.perf_counter() - began)
