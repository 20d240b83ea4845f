"""Reads a pool with licensesync's own reader: read.py URL DEVICES CURSORS right|half|elsewhere|none TIMES."""

import asyncio
import json
import sys
import time

from licensesync.credentials import Credentials
from licensesync.model import DeviceId, Mode, Pool, Product
from licensesync.simulator.imeis import ImeiSet
from licensesync.thingspace import client
from licensesync.thingspace.fota import FotaReader
from licensesync.thingspace.transport import Bounds

POOL = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
FIRST = 35_000_000_000_000
ELSEWHERE = 36_000_000_000_000


async def main(url: str, devices: int, cursors: int, starts: str, times: int) -> list[dict[str, float]]:
    """Logged in before; the inventory names the holders, half of them, others' devices, or nobody."""
    known = dict.fromkeys(map(DeviceId, _known(devices, starts)))
    credentials = Credentials("key", "secret", "user", "password")
    async with client.reading(url, Bounds(60, cursors, 100_000), credentials, {}) as reader:
        return [await _reading(FotaReader(POOL, reader, cursors=cursors), known, devices) for _ in range(times)]


async def _reading(pool: FotaReader, known: dict[DeviceId, None], devices: int) -> dict[str, float]:
    await pool.capacity()
    began, busy = time.perf_counter(), time.process_time()
    observed = await pool.observe(known, lambda _seen, _expected: None)
    told = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}
    assert len(observed.holders) == devices
    return told


def _known(devices: int, starts: str) -> list[str]:
    match starts:
        case "right":
            return list(ImeiSet(first_body=FIRST, generated=devices))
        case "half":
            return list(ImeiSet(first_body=FIRST, generated=2 * devices))[::2]
        case "elsewhere":
            return list(ImeiSet(first_body=ELSEWHERE, generated=devices))
        case _:
            return []


if __name__ == "__main__":
    where, many, side_by_side, from_where, often = sys.argv[1:]
    print(json.dumps(asyncio.run(main(where, int(many), int(side_by_side), from_where, int(often)))))
