"""What a whole dry run costs: `licensesync plan` as a process."""

from __future__ import annotations

from collections.abc import Iterator

from way.bench import REPEATS, Bench, Row
from way.processes import licensesync, simulator

RUNS = (  # how the inventory is written, per cent of changes, format
    ("list", 0, "text"),
    ("mappings", 0, "text"),
    ("csv", 0, "text"),
    ("list", 1, "text"),
    ("list", 10, "markdown"),
    ("list", 100, "text"),
    ("list", 100, "json"),
)
MOST = {"list": 1.0, "mappings": 0.4}


def planning(bench: Bench, devices: int) -> Iterator[Row]:
    """`plan` without latency, by 8 cursors; the least CPU of some runs."""
    for form, percent, shown in RUNS:
        with (
            simulator(devices - devices * percent // 100, 2 * devices, 0) as simulated,
            bench.home(simulated.url, bench.inventory(devices, form)) as home,
        ):
            ended = [licensesync(home, "plan", "--format", shown) for _ in range(1 if percent else REPEATS)]
            cpu = min(each.cpu for each in ended)
            loader = bench.known.get(f"loader {form} {devices}")
            yield {
                "devices": devices,
                "written as": form,
                "changes %": percent,
                "format": shown,
                "CPU s": cpu,
                "wall s": min(each.wall for each in ended),
                "peak MB": max(each.peak for each in ended),
                "/ CSafeLoader": cpu / loader if loader else None,
                "output bytes": ended[0].out.stat().st_size,
                "simulator CPU s": simulated.cpu / len(ended),
                "of": len(ended),
            }
            if not percent:
                bench.promise(f"c: plan, {form}: peak MB", devices, max(each.peak for each in ended), 250)
                if loader:
                    bench.promise(f"b: plan / CSafeLoader, {form}: CPU", devices, cpu / loader, MOST[form])
