"""A flood of callbacks, half of them forged: all get the same answer, the service responds, and the ledger is exact."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from fleets import ACCOUNT, fleet_of, some_of
from leaks import leaked
from promise_worlds import (
    HEARD,
    PATH,
    SKU_NUMBER,
    Heard,
    Row,
    free_port,
    holders_of,
    inventory,
    rows_of,
    settings,
    sims,
)
from services import Service, serving

from licensesync.simulator.bought import Sku

CONNECTIONS: Final = 50
LOOKS: Final = 0.1
"""Seconds between two looks at the service."""

RESPONSIVE: Final = 5.0
"""Seconds in which a service answers that is not drowned, on however busy a machine."""

CODE: Final = "UnifiedWebService.REQUEST_FAILED.CarrierRequestUnsuccessful"
ENDS: Final[dict[str | None, tuple[str, str | None]]] = {
    None: ("done", None),
    "REQUEST FAILED: Device already has license assigned.": ("done", "already"),
    "REQUEST FAILED: No device found for the given IMEI and ICCID.": ("rejected", "device-not-found"),
    "REQUEST FAILED: The device is locked.": ("rejected", "rejected-by-service"),
    "REQUEST FAILED: At least one device is in Assigned, Pending Assignment or Pending UnAssignment state.": (
        "unknown",
        "in-progress",
    ),
}
"""What a callback may say (None: success), and which outcome and reason that stands for."""


@dataclass(frozen=True)
class Flood:
    """So many devices, each with a callback that is real and one that is forged, and in how many seconds they come."""

    devices: int
    seconds: float

    def __str__(self) -> str:
        return f"{2 * self.devices}-in-{self.seconds:g}s"


@dataclass
class Seen:
    """What was seen while the flood came: how long answers took, and all different answers to callbacks."""

    answers: set[bytes] = field(default_factory=set)
    callbacks: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    statuses: set[tuple[str, int]] = field(default_factory=set)
    is_over: bool = False
    took: float = 0.0

    def __str__(self) -> str:
        return (
            f"{len(self.callbacks)} callbacks in {self.took:.1f} s, answered within {_slowest(self.callbacks)}; "
            f"{len(self.looks)} looks, answered within {_slowest(self.looks)}"
        )


@pytest.mark.parametrize("flood", some_of([Flood(500, 1.5), Flood(5000, 10)], 1), ids=str)
async def test_a_flood_of_callbacks_half_of_them_forged_leaves_the_service_responsive_and_the_ledger_exact(
    tmp_path: Path, flood: Flood
) -> None:
    heard, chance = Heard(free_port(), "30m"), random.Random(2026)
    async with _promised(tmp_path, heard, flood.devices) as service:
        rows = _rows(tmp_path)
        words = {row.id: _said_of(chance) for row in rows}
        real = [_posted(row, words[row.id], HEARD["CALLBACK_PASSWORD"]) for row in rows]
        forged = [_posted(row, _opposite(words[row.id]), "guessed") for row in rows]
        bodies = [*real, *forged]
        chance.shuffle(bodies)

        seen = await _flooded(service, heard, bodies, flood.seconds)

        print(seen)
        assert len(seen.callbacks) == 2 * flood.devices
        (answer,) = seen.answers
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert seen.statuses == {("/healthz", 200), ("/metrics", 200)}
        assert max(seen.looks) < RESPONSIVE
        assert await _counted(service) == {"settled": flood.devices, "credentials": flood.devices, "repeated": 0}
        _assert_the_ledger_tells_what_the_real_ones_told(tmp_path, words)
    assert not any(leaked(line.encode()) for line in service.other)


@asynccontextmanager
async def _promised(folder: Path, heard: Heard, devices: int) -> AsyncIterator[Service]:
    """A service for whose devices all was accepted, and of which nothing is told yet."""
    async with fleet_of(folder, quirks={"callback-lost": "on"}) as fleet:
        fleet.account.skus[SKU_NUMBER] = Sku(devices)
        settings(fleet, heard, batch_size=100)
        inventory(fleet, {0: sims(0, devices)})
        async with serving(fleet, HEARD) as service:
            finished = await service.told("run.finished")
            assert (finished["verdict"], finished["exit"]) == ("done", 0)
            yield service


def _rows(folder: Path) -> list[Row]:
    rows = rows_of(folder)
    assert {(row.verb, row.outcome) for row in rows} == {("assign", "pending")}
    return rows


def _said_of(chance: random.Random) -> str | None:
    """Most requests succeed, and some fail in each of the documented ways."""
    failures = [words for words in ENDS if words]
    return chance.choice(failures) if chance.random() < 0.2 else None


def _opposite(words: str | None) -> str | None:
    return "REQUEST FAILED: An unexpected error occurred." if words is None else None


def _posted(row: Row, fault: str | None, password: str) -> bytes:
    """The HTTP request that tells of the end of one device's request."""
    imei, iccid = row.device.split("/")
    ids = [{"id": iccid, "kind": "ICCID"}, {"id": imei, "kind": "IMEI"}]
    subscription = {"accountName": ACCOUNT, "skuNumber": SKU_NUMBER, "action": "Assign"}
    response = {"deviceResponse": {"deviceSkuSubscriptionResponse": subscription}}
    body = json.dumps(
        {
            "requestId": row.request,
            "deviceIds": ids,
            **({"faultResponse": {"faultcode": CODE, "faultstring": fault}} if fault else response),
            "comment": "",
            "status": "Failed" if fault else "Success",
            "callbackCount": 1,
            "maxCallbackThreshold": 4,
            "username": HEARD["CALLBACK_USERNAME"],
            "password": password,
        }
    ).encode()
    lines = [f"POST {PATH} HTTP/1.1", "Host: here", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _flooded(service: Service, heard: Heard, bodies: Sequence[bytes], seconds: float) -> Seen:
    """Sends all of them, evenly over so many seconds, and looks at the service meanwhile."""
    seen, begun = Seen(), time.monotonic()
    times = (begun + seconds * number / len(bodies) for number in range(len(bodies)))
    due = zip(times, bodies, strict=True)
    looking = asyncio.create_task(_look(service, seen))
    async with asyncio.TaskGroup() as senders:
        for _ in range(CONNECTIONS):
            senders.create_task(_send(heard, due, seen))
    seen.took = time.monotonic() - begun
    seen.is_over = True
    await looking
    return seen


async def _send(heard: Heard, due: Iterator[tuple[float, bytes]], seen: Seen) -> None:
    """One connection, which takes the next callback whenever it has the answer to its last one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", heard.port)
    for at, request in due:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        sent = time.monotonic()
        writer.write(request)
        seen.answers.add(await _answer(reader))
        seen.callbacks.append(time.monotonic() - sent)
    writer.close()
    await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The bytes of an answer, but for its date."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Date: ")]
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"Content-Length:"))
    return b"\r\n".join(lines) + await reader.readexactly(length)


async def _look(service: Service, seen: Seen) -> None:
    while not seen.is_over:
        for page in ("/healthz", "/metrics"):
            asked = time.monotonic()
            status, _ = await service.seen(page)
            seen.looks.append(time.monotonic() - asked)
            seen.statuses.add((page, status))
        await asyncio.sleep(LOOKS)


async def _counted(service: Service) -> dict[str, float]:
    results = ("settled", "credentials", "repeated")
    return {result: await service.metric(f'licensesync_callbacks_total{{result="{result}"}}') for result in results}


def _assert_the_ledger_tells_what_the_real_ones_told(folder: Path, words: dict[int, str | None]) -> None:
    rows = rows_of(folder)
    assert {row.id: (row.outcome, row.reason) for row in rows} == {id_: ENDS[said] for id_, said in words.items()}
    assert all(said in (row.service or "") for row in rows if (said := words[row.id]))
    assert holders_of(folder) == {row.device for row in rows if ENDS[words[row.id]][0] == "done"}


def _slowest(times: Sequence[float]) -> str:
    ordered = sorted(times)
    return f"{ordered[-1] * 1000:.0f} ms (median {ordered[len(ordered) // 2] * 1000:.1f} ms)"
