"""How near reading a pool comes to what the latency allows, beside a plain loop and Verizon's own SDK."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from way.bench import Bench, Row
from way.processes import PAGE, Ended, program, simulator

READERS: tuple[tuple[str, int, str], ...] = (
    ("licensesync", 1, "right"),
    ("licensesync", 4, "right"),
    ("licensesync", 8, "right"),
    ("licensesync", 16, "right"),
    ("licensesync, half of the inventory wrong", 8, "half"),
    ("licensesync, no inventory", 8, "none"),
    ("licensesync, another fleet's inventory", 8, "elsewhere"),
)
BUDGETS = {"right": ("a: reading, 8 cursors", 1.05), "none": ("a: reading, 8 cursors, no inventory", 1.2)} | {
    "elsewhere": ("a: reading, 8 cursors, a wrong inventory", 1.2)
}


def reading(bench: Bench, devices: int) -> Iterator[Row]:
    """Readings without latency, and with 200 ms; walks of one cursor with latency go on side by side."""
    for latency in (0, 200):
        with simulator(devices, 2 * devices, latency) as simulated:
            alone = [each for each in _walks(simulated.url, devices) if each[1] == 1]
            with ThreadPoolExecutor(len(alone) if latency else 1) as walkers:
                walked = list(walkers.map(lambda each: _told(bench, each[2]), alone))
            for (reader, cursors, _), told in zip(alone, walked, strict=True):
                yield _row(devices, reader, cursors, latency, told)
            for reader, cursors, arguments in _walks(simulated.url, devices):
                if cursors > 1:
                    row = _row(devices, reader, cursors, latency, _told(bench, arguments))
                    yield row
                    starts = arguments[4]
                    if latency and cursors == 8 and starts in BUDGETS:
                        name, limit = BUDGETS[starts]
                        bench.promise(f"{name}, {latency} ms", devices, float(row["/ limit"] or 0), limit)
            yield {
                "devices": devices,
                "reader": "(the simulator's own CPU)",
                "latency ms": latency,
                "CPU s": simulated.cpu,
            }


def _walks(url: str, devices: int) -> list[tuple[str, int, list[str | int]]]:
    times = 3 if devices <= 20_000 else 1
    walks: list[tuple[str, int, list[str | int]]] = [("a plain aiohttp loop", 1, ["plain", "read", url, times])]
    if importlib.util.find_spec("verizon"):
        walks.append(("Verizon's SDK", 1, ["sdk", url, times]))
    walks += [(name, cursors, ["read", url, devices, cursors, starts, times]) for name, cursors, starts in READERS]
    return walks


def _told(bench: Bench, arguments: list[str | int]) -> tuple[list[dict[str, float]], Ended]:
    with TemporaryDirectory(dir=bench.folder) as folder:
        name, *others = arguments
        ended = program(Path(folder), str(name), *others)
        return ended.document, ended


def _row(devices: int, reader: str, cursors: int, latency: int, told: tuple[list[dict[str, float]], Ended]) -> Row:
    readings, process = told
    pages = -(-devices // PAGE)
    limit = pages * latency / 1000 / cursors
    in_rounds = (1 + -(-(pages - 1) // cursors)) * latency / 1000
    seconds = median(each["seconds"] for each in readings)
    return {
        "devices": devices,
        "reader": reader,
        "cursors": cursors,
        "latency ms": latency,
        "seconds": seconds,
        "limit": limit or None,
        "/ limit": seconds / limit if limit else None,
        "/ whole rounds": seconds / in_rounds if limit else None,
        "CPU s": min(each["cpu"] for each in readings),
        "peak MB": process.peak,
    }
