"""A service as a process of its own: what it logs while it runs, what it shows, and what systemd hears of it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from fleets import Fleet
from warm import PRINTED, Program

PATIENCE = 30.0


def scheduled(fleet: Fleet, *more: str, every: str = "1h") -> None:
    """Settings of a service that makes a run so often, and listens where there is room; `more` are lines of YAML."""
    settings = fleet.folder / "licensesync.yaml"
    lines = [f"schedule: {{every: {every}, jitter: 0s}}", "listen: 127.0.0.1:0", *more]
    settings.write_text(settings.read_text() + "".join(f"{line}\n" for line in lines))


@dataclass
class Service:
    """A service that was started."""

    process: Program
    events: list[dict[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    patience: float = PATIENCE
    """Seconds within which what is waited for comes."""
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    _reading: asyncio.Task[None] | None = None

    def of(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    async def told(self, name: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """The event of this name and with these fields, once there were so many of them."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.of(name) if fields.items() <= each.items()]

        async with self._grown:
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._grown.wait_for(lambda: len(found()) >= count or self.process.stderr.at_eof()), self.patience
                )
        assert len(found()) >= count, f"no {count}. {name} with {fields}; {self.events[-8:]} {self.other[-20:]}"
        return found()[count - 1]

    async def seen(self, page: str) -> tuple[int, str]:
        """Status and body of a page of its listener."""
        started = await self.told("serve.started")
        async with aiohttp.ClientSession() as session, session.get(f"http://{started['listen']}{page}") as response:
            return response.status, await response.text()

    async def shows(self, page: str, status: int) -> str:
        """The body of a page, once it has this status."""
        async with asyncio.timeout(PATIENCE):
            while (seen := await self.seen(page))[0] != status:
                await asyncio.sleep(0.05)
        return seen[1]

    async def status_after(self, run: str) -> dict[str, Any]:
        """The status page, once it tells of this run."""
        async with asyncio.timeout(PATIENCE):
            while (status := json.loads((await self.seen("/status.json"))[1]))["last_run"]["run"] != run:
                await asyncio.sleep(0.02)
        return dict(status)

    async def metric(self, name: str) -> float:
        """The value of a series as it is written in the text format."""
        _, text = await self.seen("/metrics")
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code; all that it has written was read then."""
        code = await asyncio.wait_for(self.process.wait(), self.patience)
        if self._reading:
            await self._reading
        return code

    async def _read(self) -> None:
        while line := await self.process.stderr.readline():
            PRINTED.append(line)
            async with self._grown:
                if line.startswith(b"{"):
                    self.events.append(json.loads(line))
                else:
                    self.other.append(line.decode())
                self._grown.notify_all()
        async with self._grown:
            self._grown.notify_all()


@asynccontextmanager
async def serving(fleet: Fleet, environ: Mapping[str, str] | None = None) -> AsyncIterator[Service]:
    """A service in the fleet's folder; one that has not ended by the end is stopped; it may not have warned."""
    process = await fleet.start("serve", environ=environ)
    service = Service(process)
    service._reading = asyncio.create_task(service._read())
    try:
        yield service
    finally:
        if process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), PATIENCE)
        if process.returncode is None:
            process.kill()
        await process.wait()
        await service._reading
    assert not service.other, "".join(service.other)


class Manager:
    """The socket of a service manager, and what it has heard."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path)}
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._hear)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self.heard.append(self._socket.recv(4096).decode())

    async def hears(self, is_so: Callable[[list[str]], bool]) -> None:
        """Waits until what was heard is so."""
        async with asyncio.timeout(PATIENCE):
            while not is_so(self.heard):
                await asyncio.sleep(0.02)

    def of(self, name: str) -> list[str]:
        return [each for each in self.heard if each.startswith(f"{name}=")]

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()


@asynccontextmanager
async def manager(folder: Path) -> AsyncIterator[Manager]:
    listening = Manager(folder / "notify.sock")
    try:
        yield listening
    finally:
        listening.close()
