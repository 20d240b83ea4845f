"""What it costs to tell of a large fleet: a log line for each device, and the texts of a plan and of a report.

Run it with `python tests/benchmarks/telling.py`; `--help` shows the sizes. Times are of the processor, the best of a
few.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from functools import partial

from licensesync import logs
from licensesync.cli.progress import SilentProgress
from licensesync.journal import RunJournal
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    InventoryInfo,
    Mode,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Place,
    Plan,
    Pool,
    PoolReport,
    Product,
    Report,
    RunPlan,
    Verb,
)
from licensesync.render import markdown, text
from licensesync.settings import DeviceLines

NOW = datetime(2026, 11, 26, 3, 7, 17, tzinfo=UTC)
POOL = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
RUN = "20261126T030717Z-57080b"


def main() -> None:
    wish = _arguments()
    done = [Outcome(action, OutcomeKind.DONE, NOW) for action in _assignments(wish.lines, 100)]
    print(f"{wish.lines} devices that are done, in batches of {wish.batch}, into a file")
    for as_json, devices in ((True, DeviceLines.EACH), (False, DeviceLines.EACH), (True, DeviceLines.BATCHES)):
        with _logged(as_json=as_json):
            journal = RunJournal(SilentProgress(), run=RUN, devices=devices)
            seconds = _best(partial(_tell, journal, done, wish.batch), wish.times)
        name = f"{'json' if as_json else 'console'}, {devices}"
        print(f"  {name:20} {seconds / wish.lines * 1e6:6.2f} µs a device")
    for groups in (1, 10, wish.devices // 20):
        _render(wish.devices, groups, wish.times)


def _render(devices: int, groups: int, times: int) -> None:
    actions = tuple(_assignments(devices, groups))
    plan = RunPlan(InventoryInfo(devices, "sha256:00"), NOW, (Plan(POOL, Capacity(devices, 0), actions),))
    failed = tuple(Outcome(action, OutcomeKind.FAILED, NOW, OutcomeReason.NO_ANSWER) for action in actions)
    report = Report(RUN, plan, (PoolReport(plan.pools[0], failed),), NOW)
    hashed = _best(lambda: plan.hash, 1)  # it is made once
    print(f"{devices} devices in {groups} groups; hash {hashed:.2f} s")
    makers: Mapping[str, Callable[[], str]] = {
        "plan, text": partial(text.plan, plan),
        "plan, markdown": partial(markdown.plan, plan),
        "report, all failed": partial(text.report, report, 5),
    }
    for name, make in makers.items():
        print(f"  {name:20} {_best(make, times):6.2f} s {len(make()):6} characters")


def _assignments(number: int, groups: int) -> Iterator[Action]:
    names = [f"group-{group:05}" for group in range(groups)]
    for each in range(number):
        place = Place("inventory/fleet.yaml", each + 1, 9)
        yield Action(Verb.ASSIGN, DeviceId(f"{990_000_000_000_000 + each}"), names[each * groups // number], place)


@contextmanager
def _logged(*, as_json: bool) -> Iterator[None]:
    """Standard error leads to a file that is gone at the end."""
    with tempfile.TemporaryFile("w", encoding="utf-8", buffering=1) as file, redirect_stderr(file):
        logs.configure(as_json=as_json, level="info")
        yield


def _tell(journal: RunJournal, outcomes: list[Outcome], size: int) -> None:
    for start in range(0, len(outcomes), size):
        journal.settled(POOL, outcomes[start : start + size])


def _best(work: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(times):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return min(spent)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000, help="devices that the log tells of")
    parser.add_argument("--batch", type=int, default=200, help="devices in a batch")
    parser.add_argument("--devices", type=int, default=1_000_000, help="devices of the plan")
    parser.add_argument("--times", type=int, default=5, help="how often each is done; the best counts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
