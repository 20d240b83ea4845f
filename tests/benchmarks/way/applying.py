"""What it costs to carry out changes: `licensesync apply` as a process, its ledger and its log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from way.bench import Bench, Row
from way.processes import Ended, licensesync, program, simulator

CURSORS = 8
GUARD = ", removals: {count: 100000000, percent: 100, per_day: 100000000}"


class Case(NamedTuple):
    verb: str
    percent: int
    batch: int
    latency: int


def applying(bench: Bench, devices: int) -> Iterator[Row]:
    """A first run without changes, which only learns the inventory; then changes, each on a copy of its ledger."""
    with (
        simulator(devices, 2 * devices, 0) as simulated,
        bench.home(simulated.url, bench.inventory(devices), pool=GUARD) as home,
    ):
        ended = licensesync(home, "--log-format", "json", "apply", "--yes")
        before = home / "licensesync.db"
        kept = bench.folder / f"ledger-{devices}.db"
        shutil.copy(before, kept)
        size = _size(before)
        yield {"devices": devices, "changes": "none, the first run", **_cost(ended), "ledger MB": size / 1e6}
    for case in _cases(devices):
        yield _applied(bench, devices, case, kept)
    kept.unlink()


def _cases(devices: int) -> list[Case]:
    """All at 10 000; with latency, what takes minutes and tells nothing new is left out at more."""
    every = [
        Case("assign", percent, batch, latency)
        for percent in (1, 10, 100)
        for batch in (200, 1000)
        for latency in (0, 200)
    ]
    removals = [Case("remove", 1, 200, 0)]
    if devices <= 20_000:
        return every + removals
    if devices <= 200_000:
        return [each for each in every if not each.latency or (each.batch, each.percent) != (1000, 1)] + removals
    with_latency = {(1, 200), (10, 200)}
    return [each for each in every if not each.latency or (each.percent, each.batch) in with_latency] + removals


def _applied(bench: Bench, devices: int, case: Case, ledger: Path) -> Row:
    changes = max(1, devices * case.percent // 100)
    holders = devices + (changes if case.verb == "remove" else -changes)
    with (
        simulator(holders, 3 * devices, case.latency) as simulated,
        bench.home(simulated.url, bench.inventory(devices), batch=case.batch, cursors=CURSORS, pool=GUARD) as home,
    ):
        shutil.copy(ledger, home / "licensesync.db")
        before = _size(home / "licensesync.db")
        ended = licensesync(home, "--log-format", "json", "apply", "--yes")
        grown = _size(home / "licensesync.db") - before
        planned, reconciled = _events(ended.err, "pool.planned", "pool.reconciled")
        assert reconciled["outcomes"] == {"done": changes}, reconciled
        sending = (_at(reconciled) - _at(planned)).total_seconds()
        calls = -(-changes // case.batch)
        limit = calls * case.latency / 1000 / CURSORS
        if case.verb == "assign" and changes == 100_000 and case.latency and case.batch == 200:
            name = f"e: sending 100 000 assignments, {case.latency} ms, batches of {case.batch}"
            bench.promise(name, devices, sending / limit, 1.15, of=100_000)
        return {
            "devices": devices,
            "changes": f"{case.percent} % {case.verb}",
            "batch": case.batch,
            "latency ms": case.latency,
            "calls": calls,
            "sending s": sending,
            "limit": limit or None,
            "/ limit": sending / limit if limit else None,
            "a plain loop / limit": _plain(bench, changes, case) / limit if limit and case.verb == "assign" else None,
            **_cost(ended),
            "CPU ms/1000": ended.cpu / changes * 1e6,
            "ledger B/outcome": grown / changes,
            "log B/outcome": ended.err.stat().st_size / changes,
            "simulator CPU s": simulated.cpu,
        }


def _plain(bench: Bench, changes: int, case: Case) -> float:
    """The seconds that the same calls take without anything beside them."""
    with simulator(1, 2 * changes, case.latency) as simulated, TemporaryDirectory(dir=bench.folder) as folder:
        ended = program(Path(folder), "plain", "assign", simulated.url, changes, case.batch, CURSORS)
        seconds: float = ended.document[0]["seconds"]
        return seconds


def _cost(ended: Ended) -> Row:
    return {"CPU s": ended.cpu, "wall s": ended.wall, "peak MB": ended.peak}


def _size(ledger: Path) -> int:
    return sum(each.stat().st_size for each in ledger.parent.glob(f"{ledger.name}*") if not each.name.endswith("lock"))


def _events(log: Path, *names: str) -> list[dict[str, Any]]:
    """The first event of each name."""
    found: dict[str, dict[str, Any]] = {}
    with log.open("rb") as lines:
        for line in lines:
            for name in names:
                if name not in found and f'"event":"{name}"'.encode() in line:
                    found[name] = json.loads(line)
    return [found[name] for name in names]


def _at(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])
