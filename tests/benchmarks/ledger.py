"""What a long history costs: questions about one device in a ledger of many outcomes, beside the same in an empty one.

Run it with `python tests/benchmarks/ledger.py`; `--help` shows the sizes. All figures come from one run; what counts is
how far a command on the full ledger is from the same command on the empty one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import insert

from licensesync.ledger import book, database
from licensesync.ledger.schema import outcomes, pool_runs, runs
from licensesync.model import InventoryInfo
from licensesync.simulator.imeis import imei_of

ACCOUNT = "0642233522-00001"
FIRST = 35_000_000_000_000
AT_ONCE = 50_000
SETTINGS = f"""\
thingspace: {{url: "http://127.0.0.1:9"}}
inventory: inventory.yaml
pools: {{fota: {{product: fota, account: "{ACCOUNT}", mode: full}}}}
"""

Row = dict[str, object]


def main() -> None:
    wish = _arguments()
    device = imei_of(FIRST + wish.devices // 2)
    with tempfile.TemporaryDirectory(prefix="licensesync-benchmark-") as folder:
        empty, full = Path(folder, "empty"), Path(folder, "full")
        for home in (empty, full):
            home.mkdir()
            (home / "licensesync.yaml").write_text(SETTINGS)
            (home / "inventory.yaml").write_text(
                f'groups: [{{name: meters, licenses: [fota], devices: ["{device}"]}}]\n'
            )
        _fill(empty / "licensesync.db", 0, wish.devices)
        filled = _timed(partial(_fill, full / "licensesync.db", wish.rows, wish.devices))
        size = (full / "licensesync.db").stat().st_size / 1e6
        print(f"{wish.rows} outcomes of {wish.devices} devices: {size:.0f} MB, written in {filled:.1f} s")
        help_ = _median(partial(_run, empty, "--help"), wish.times)
        print(f"  {'--help':38} {help_:6.2f} s")
        for command in (["history", "--device", device], ["explain", device, "--offline"], ["status"], ["history"]):
            before = _median(partial(_run, empty, *command), wish.times)
            after = _median(partial(_run, full, *command), wish.times)
            told = f"{before:6.2f} s empty   {after:6.2f} s full   {after - before:+6.2f} s   {after / before:5.2f} ×"
            print(f"  {' '.join(command):38} {told}")
        print(f"  {'opening for a run (integrity check)':38} {_median(partial(_open, full), wish.times):6.2f} s")


def _fill(path: Path, count: int, devices: int) -> None:
    """A run every quarter of an hour, each with a thousand outcomes, the devices in turn."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with book.opened(path, "run-0", lambda: start) as begun:
        begun.begin("apply", InventoryInfo(devices, "sha256:0"))
    with database.written(path) as ledger:
        for number in range(1, count // 1000 + 1):
            at = start + number * timedelta(minutes=15)
            with ledger.begin():
                ledger.execute(insert(runs), [_run_row(number, at, devices)])
                ledger.execute(insert(pool_runs), [_pool_row(number, at)])
                ledger.execute(insert(outcomes), _outcome_rows(number, at, devices))


def _run_row(number: int, at: datetime, devices: int) -> Row:
    return {
        "id": number + 1,
        "run": f"run-{number}",
        "command": "apply",
        "started_at": at,
        "finished_at": at,
        "verdict": "done",
        "exit": 0,
        "commit": "3f9ac1d25be07a44" * 2,
        "dirty": False,
        "devices": devices,
        "digest": "sha256:0",
    }


def _pool_row(number: int, at: datetime) -> Row:
    return {
        "id": number,
        "run_id": number + 1,
        "pool": "fota",
        "licenses": f"fota {ACCOUNT}",
        "mode": "full",
        "reading": "whole",
        "verdict": "done",
        "read_at": at,
        "total": 9000,
        "assigned": 900,
        "free": 8100,
        "waiting": 0,
        "counts": {"done": 1000},
        "held": {},
    }


def _outcome_rows(number: int, at: datetime, devices: int) -> list[Row]:
    numbers = (each % devices for each in range((number - 1) * 1000, number * 1000))
    return [
        {
            "pool_run_id": number,
            "device": imei_of(FIRST + each),
            "verb": "assign",
            "outcome": "done",
            "service": "Success",
            "group": "chicago-meters",
            "place": f"inventory/chicago.yaml:{each + 5}:9",
            "at": at,
            "in_flight": False,
        }
        for each in numbers
    ]


def _open(home: Path) -> None:
    with database.written(home / "licensesync.db"):
        pass


def _run(home: Path, *arguments: str) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("THINGSPACE_", "LICENSESYNC_"))}
    command = [sys.executable, "-m", "licensesync", *arguments]
    subprocess.run(command, cwd=home, env=environ, check=True, capture_output=True)


def _median(work: Callable[[], None], times: int) -> float:
    return statistics.median(islice(_durations(work), times))


def _durations(work: Callable[[], None]) -> Iterator[float]:
    while True:
        yield _timed(work)


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="outcomes in the full ledger (default %(default)s)")
    parser.add_argument("--devices", type=int, default=100_000, help="devices they are of (default %(default)s)")
    parser.add_argument("--times", type=int, default=5, help="runs of each command (default %(default)s)")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
