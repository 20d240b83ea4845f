"""SIM-Secure fleets: devices with their SIMs, settings with callbacks, and both sides' words about who holds what."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleets import ACCOUNT, Fleet, imeis
from ledgers import UNLIMITED, query

from licensesync.simulator.bought import Sim, Sku

SKU_NUMBER: Final = "SIMSec-IoT"
LICENSES: Final = f"sim-secure {ACCOUNT} {SKU_NUMBER}"
HEARD: Final = {"CALLBACK_USERNAME": "callback-user-7d20", "CALLBACK_PASSWORD": "callback-password-7d20"}
PATH: Final = "/thingspace"
PORTS: Final = range(10_000, 32_000)
"""Below those that the system gives to whoever wants any: none of these is taken while nobody listens for a moment."""


def sims(start: int, end: int) -> list[Sim]:
    """Devices with their SIMs: the same numbers give the same ones."""
    numbers = range(start, end)
    return [Sim(imei, f"89148000{number:012d}") for imei, number in zip(imeis(start, end), numbers, strict=True)]


def free_port() -> int:
    """A port at which nobody listens."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@dataclass(frozen=True)
class Heard:
    """Where a fleet's callbacks are listened for, and how long the service has to send them."""

    port: int
    timeout: str = "1s"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def lines(self) -> str:
        return f'callbacks: {{listen: "127.0.0.1:{self.port}", public_url: "{self.url}", timeout: {self.timeout}}}\n'


def settings(
    fleet: Fleet, heard: Heard, *, batch_size: int, others: int = 0, every: str = "1h", more: str = ""
) -> None:
    """Write settings of a SIM-Secure pool; `more` are lines of further pools."""
    (fleet.folder / "licensesync.yaml").write_text(
        f"thingspace:\n  url: {fleet.simulator.url}\n  requests_per_second: 2000\n  batch_size: {batch_size}\n"
        f"inventory: inventory.yaml\nschedule: {{every: {every}, jitter: 0s}}\nlisten: 127.0.0.1:0\n{heard.lines}"
        f'pools:\n  sim:\n    product: sim-secure\n    account: "{ACCOUNT}"\n    sku: {SKU_NUMBER}\n    mode: managed\n'
        f"    others: {others}\n{UNLIMITED}{more}"
    )


def inventory(fleet: Fleet, wanted: Mapping[int, Sequence[Sim]], pools: str = "sim") -> None:
    """Write an inventory of these devices by priority."""
    groups = [
        f"  - name: priority-{priority}\n    licenses: [{pools}]\n    priority: {priority}\n    devices:\n"
        + "".join(f'      - {{imei: "{device.imei}", iccid: "{device.iccid}"}}\n' for device in devices)
        for priority, devices in wanted.items()
        if devices
    ]
    (fleet.folder / "inventory.yaml").write_text("groups:\n" + "".join(groups))


def sku_of(fleet: Fleet) -> Sku:
    """The licenses as they really are."""
    return fleet.account.skus[SKU_NUMBER]


def ledger_of(folder: Path) -> Path:
    return folder / "licensesync.db"


def holders_of(folder: Path) -> set[str]:
    """Who holds a license by the ledger's word, as IMEI/ICCID."""
    rows = query(ledger_of(folder), "SELECT device FROM holders WHERE licenses = ?", LICENSES)
    return {device for (device,) in rows}


@dataclass(frozen=True)
class Row:
    """What the ledger says of one action of the pool that was sent; `device` is IMEI/ICCID."""

    id: int
    run: str
    device: str
    verb: str
    outcome: str
    reason: str | None
    request: str | None
    service: str | None


def rows_of(folder: Path) -> list[Row]:
    """All actions that were ever sent, in their order."""
    rows = query(
        ledger_of(folder),
        "SELECT outcomes.id, run, device || '/' || iccid, verb, outcome, reason, request, service FROM outcomes"
        " JOIN pool_runs ON pool_run_id = pool_runs.id JOIN runs ON run_id = runs.id"
        " WHERE licenses = ? ORDER BY outcomes.id",
        LICENSES,
    )
    return [Row(*row) for row in rows]


def names(devices: Iterable[Sim]) -> set[str]:
    return set(map(str, devices))
