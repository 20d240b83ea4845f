"""What the whole way costs, from the inventory to the ledger, for small and large fleets.

Run it with `python tests/benchmarks/whole_way.py`; `--help` shows the sizes and the parts. Everything runs as processes
of their own against the simulator, which is one too. What counts are ratios within one run; times are for orientation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from way import applying, loading, planning, reading, serving
from way.bench import Bench, Cell, Row
from way.processes import licensesync

SIZES = (10_000, 100_000, 1_000_000)
PARTS: dict[str, Callable[[Bench, int], Iterator[Row]]] = {
    "check": loading.checks,
    "reading": reading.reading,
    "stages": loading.stages,
    "plan": planning.planning,
    "apply": applying.applying,
    "serve": serving.serving,
}


def main() -> None:
    wish = _arguments()
    began = time.perf_counter()
    told: dict[str, object] = {"machine": _machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    parts: dict[str, list[Row]] = {}
    with TemporaryDirectory(prefix="licensesync-benchmark-") as folder:
        bench = Bench(Path(folder))
        licensesync(bench.folder, "--version")
        for name in wish.only:
            parts[name] = [_noted(row) for devices in wish.devices for row in PARTS[name](bench, devices)]
            _print(name, PARTS[name].__doc__ or "", parts[name])
            budgets = [budget.as_row() for budget in bench.budgets]
            told |= {"seconds": time.perf_counter() - began, "parts": parts, "budgets": budgets}
            if wish.json:
                wish.json.write_text(json.dumps(told, indent=1) + "\n")
        _print("budgets", "What was promised; kept or not.", [budget.as_row() for budget in bench.budgets])


def _noted(row: Row) -> Row:
    print(" ", *(f"{key}={_cell(value)}" for key, value in row.items()), file=sys.stderr, flush=True)
    return row


def _print(title: str, note: str, rows: Sequence[Row]) -> None:
    heads = list(dict.fromkeys(key for row in rows for key in row))
    print(f"\n### {title}\n\n{note.strip()}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(_cell(row.get(head)) for head in heads)} |")
    sys.stdout.flush()


def _cell(value: Cell) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "**no**"
        case float():
            return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
        case int():
            return f"{value:,}".replace(",", " ")
        case _:
            return str(value)


def _machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--devices", type=int, nargs="+", default=SIZES, metavar="N", help="sizes (default %(default)s)"
    )
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all figures go")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    wanted = text.split(",")
    if unknown := set(wanted) - set(PARTS):
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; write some of {','.join(PARTS)}")
    return wanted


if __name__ == "__main__":
    main()
