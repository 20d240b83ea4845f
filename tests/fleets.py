"""A folder with settings and an inventory, a simulator beside it, and the program run in it as users run it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import warm
from warm import Copy, Program

from licensesync.simulator.imeis import imei_of
from licensesync.simulator.server import Simulator, SimulatorOptions, running
from licensesync.simulator.state import Account

ACCOUNT = "0642233522-00001"
CREDENTIALS = {
    "THINGSPACE_KEY": "key-5f1c2a",
    "THINGSPACE_SECRET": "secret-9b7d3e",
    "THINGSPACE_USERNAME": "user-4c8f6a",
    "THINGSPACE_PASSWORD": "password-1e2d3c",
}

CALLBACK_CREDENTIALS = {"CALLBACK_USERNAME": "callback-user-2c9d", "CALLBACK_PASSWORD": "callback-password-7e1f"}


def some_of(worlds: Iterable[Any], always: int) -> list[Any]:
    """The first few for every run of the tests, the others for `pytest -m exhaustive`."""
    return [
        pytest.param(world, marks=() if place < always else pytest.mark.exhaustive)
        for place, world in enumerate(worlds)
    ]


def imeis(start: int, end: int) -> list[str]:
    """Well-formed IMEIs: the same numbers give the same devices, the smaller ones are those `devices=N` licenses."""
    return [imei_of(35_000_000_000_000 + number) for number in range(start, end)]


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    def events(self, name: str) -> list[Any]:
        """The log events of this name."""
        lines = [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]


@dataclass
class Fleet:
    """One account at a simulator, and the folder in which its people work.

    Programs that are started from now on have a calendar that is `ahead` of this machine's, by so many seconds.
    """

    folder: Path
    simulator: Simulator
    ahead: float = 0

    @property
    def account(self) -> Account:
        return self.simulator.world.accounts[ACCOUNT]

    @property
    def holders(self) -> set[str]:
        return set(self.account.licensed)

    def writes(self) -> int:
        """How many writing requests the simulator has seen."""
        return len(self.simulator.requests.of("assign", "remove"))

    def settings(self, *, mode: str = "full", pool: str = "", thingspace: str = "") -> None:
        """Write settings of one FOTA pool; the texts are lines of YAML to add, indented as their section wants."""
        (self.folder / "licensesync.yaml").write_text(
            f"thingspace:\n  url: {self.simulator.url}\n  requests_per_second: 2000\n{thingspace}"
            f"inventory: inventory.yaml\npools:\n  fota:\n    product: fota\n"
            f'    account: "{ACCOUNT}"\n    mode: {mode}\n{pool}'
        )

    def inventory(self, devices: Iterable[str], more: str = "", *, group: str = "meters") -> None:
        """Write an inventory of one group with these devices, and `more` lines of YAML."""
        listed = "".join(f'      - "{device}"\n' for device in devices)
        groups = (
            f"groups:\n  - name: {group}\n    licenses: [fota]\n    devices:\n{listed}" if listed else "groups: []\n"
        )
        (self.folder / "inventory.yaml").write_text(groups + more)

    async def run(self, *arguments: str, environ: Mapping[str, str] | None = None, answer: bytes = b"") -> Ended:
        """Run `licensesync` with these arguments in the folder, with credentials; it has no terminal."""
        process = await self.start(*arguments, environ=environ)
        out, err = await process.communicate(answer)
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def start(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Program:
        """Start `licensesync` and leave it running."""
        environ = {**clean_environ(), **CREDENTIALS, **(environ or {})}
        return await warm.start(arguments, self.folder, environ, ahead=self.ahead)

    async def start_bound(self, *arguments: str, umask: int | None = None, largest_file: int | None = None) -> Program:
        """Start `licensesync` with another umask, or where no file may grow beyond so many bytes, as on a full disk."""
        environ = {**clean_environ(), **CREDENTIALS}
        return await warm.start(arguments, self.folder, environ, umask=umask, largest_file=largest_file)

    async def start_on(self, terminal: int, *arguments: str) -> Copy:
        """Start `licensesync` on this terminal, which is its own."""
        environ = {**clean_environ(), **CREDENTIALS, "TERM": "xterm"}
        return await warm.start_on(terminal, arguments, self.folder, environ)


def clean_environ() -> dict[str, str]:
    """This environment without anything that would lead the program to other settings or credentials."""
    ours = ("THINGSPACE_", "CALLBACK_", "LICENSESYNC_", "CREDENTIALS_DIRECTORY")
    slow = "PYTHONDONTWRITEBYTECODE"  # each process would compile the whole program again
    return {name: value for name, value in os.environ.items() if not name.startswith((*ours, slow))}


@asynccontextmanager
async def fleet_of(folder: Path, **options: Any) -> AsyncIterator[Fleet]:
    """A fleet whose simulator is kind unless the options say otherwise."""
    async with running(SimulatorOptions(**{"kind": True, "seed": 1, **options})) as simulator:
        fleet = Fleet(folder, simulator)
        fleet.settings()
        yield fleet
