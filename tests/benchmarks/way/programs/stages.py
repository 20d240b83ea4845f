"""Times each stage between reading and sending inside one process: stages.py INVENTORY DEVICES."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import TypeVar

from licensesync import guard, inventory, planner
from licensesync.model import Capacity, DeviceId, Limits, Memory, Mode, Observed, Policy, Pool, Product, RunPlan
from licensesync.render import json as as_json
from licensesync.render import markdown, text
from licensesync.simulator.imeis import ImeiSet

T = TypeVar("T")

FIRST = 35_000_000_000_000
TODAY = date(2026, 1, 1)
POLICY, MEMORY = Policy(TODAY), Memory()


class Clock:
    """Seconds of CPU that each stage has taken."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, stage: str, work: Callable[[], T]) -> T:
        began = time.process_time()
        made = work()
        self.seconds[stage] = time.process_time() - began
        return made


def main(path: Path, devices: int) -> Iterator[dict[str, object]]:
    """First what loading takes, then a row for each share of the devices that has to be assigned."""
    pool = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL, Limits(devices, 100, devices))
    clock = Clock()
    loaded = clock.timed("load", lambda: inventory.load(path, {pool.name: pool}, path.parent))
    yield {**clock.seconds, "peak MB": getrusage(RUSAGE_SELF).ru_maxrss / 1024}
    for percent in (0, 1, 10, 100):
        yield {"changes %": percent, **_planned(pool, loaded, devices, devices * percent // 100)}


def _planned(pool: Pool, loaded: inventory.Inventory, devices: int, missing: int) -> dict[str, object]:
    holders = set(map(DeviceId, ImeiSet(first_body=FIRST, generated=devices - missing)))
    observed, clock = Observed(holders, Capacity(2 * devices, len(holders))), Clock()
    desired = clock.timed("desired", lambda: loaded.desired(pool, TODAY))
    planned = clock.timed("plan", lambda: planner.plan(pool, desired, observed, POLICY, MEMORY))
    judged = clock.timed("judge", lambda: guard.judge(planned, POLICY, MEMORY))
    assert len(judged.actions) == missing
    whole = RunPlan(loaded.info, datetime(2026, 1, 1, tzinfo=UTC), (judged,))
    clock.timed("hash", lambda: whole.hash)
    shown = clock.timed("text", lambda: text.plan(whole))
    document = clock.timed("json", lambda: as_json.plan(whole))
    comment = clock.timed("markdown", lambda: markdown.plan(whole))
    sizes = {"text": shown, "json": document, "markdown": comment}
    return {**clock.seconds, **{f"{name} bytes": len(size) for name, size in sizes.items()}}


if __name__ == "__main__":
    print(json.dumps(list(main(Path(sys.argv[1]), int(sys.argv[2])))))
