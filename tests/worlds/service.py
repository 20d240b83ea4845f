"""ThingSpace without its sockets: the simulator's own service, its postman, and the line between it and a program."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar, cast
from urllib.parse import unquote

from aiohttp import ClientSession
from aiolimiter import AsyncLimiter
from fleets import ACCOUNT, imeis
from multidict import CIMultiDict

from licensesync.errors import Unreachable
from licensesync.simulator.bought import CARRIER_SERVICE, LIFETIME, Registration, Sim, Sku
from licensesync.simulator.callbacks import MOST_SENT, Callback, Kind, Parcel
from licensesync.simulator.calls import Call as Called
from licensesync.simulator.exchange import Asked, Reply, route_of
from licensesync.simulator.imeis import ImeiSet
from licensesync.simulator.post import _body
from licensesync.simulator.quirks import Quirks
from licensesync.simulator.service import Service
from licensesync.simulator.state import Account, World
from licensesync.thingspace.transport import Bounds, Proxy, Transport, Unmetered
from licensesync.thingspace.wire import Call
from worlds.clock import Clock
from worlds.story import Fortune, Story

T = TypeVar("T")

SKU: Final = "SIMSec-IoT"
WRITES: Final = frozenset({Called.ASSIGN, Called.REMOVE, Called.SIM_ASSIGN, Called.SIM_UNASSIGN})
ROUND: Final = 0.1
"""Seconds between two looks of the postman."""

AGAIN: Final = 1.0
"""Seconds after which a callback that was not answered is sent again."""


@dataclass(frozen=True)
class Fleet:
    """The devices, by their numbers."""

    imeis: Sequence[str]
    sims: Sequence[Sim]

    @classmethod
    def of(cls, devices: int) -> Fleet:
        numbers = imeis(0, devices)
        return cls(numbers, [Sim(imei, f"89148000{number:012d}") for number, imei in enumerate(numbers)])


class Watcher(Protocol):
    """Sees every request at the service, before it has its effect and after that."""

    def arrives(self, line: Line, call: Called | None, asked: Asked) -> None: ...
    def is_answered(self, call: Called | None, reply: Reply) -> None: ...
    def is_delivered(self, call: Called | None, reply: Reply) -> None: ...
    def changed(self) -> None:
        """Others may have changed licenses."""

    def took_effect(self) -> None:
        """What was asked for may have its effect only now."""


Letterbox = Callable[[bytes], Awaitable[bool]]
"""Takes a callback; whether it was answered well."""


class ThingSpace:
    """One account at the service; `account` and `sku` are the truth."""

    def __init__(self, story: Story, fleet: Fleet, clock: Clock, watcher: Watcher) -> None:
        beginning = story.beginning
        self.fleet, self.clock, self.watcher = fleet, clock, watcher
        self.chance = random.Random(f"service {story.seed}")
        self.quirks = Quirks(self.chance, kind=True)
        self.account = Account(ACCOUNT, beginning.licenses, ImeiSet(fleet.imeis[held] for held in beginning.held))
        self.number = LIFETIME if beginning.sim and beginning.sim.lifetime else SKU
        self.sku = Sku(beginning.sim.licenses, beginning.sim.others) if beginning.sim else Sku(0)
        if beginning.sim:
            self.sku.licensed.update(fleet.sims[held] for held in beginning.sim.held)
            self.account.skus[self.number] = self.sku
        self.doubled = False
        self.letterbox: Letterbox | None = None
        """Where callbacks go, if anybody hears them."""
        self._beginning = beginning
        self._service = Service(World({ACCOUNT: self.account}), self.quirks, self.chance, None, clock.now)
        self._work = asyncio.Event()
        self._kindness = self.quirks.in_force() | {
            "page-size": str(beginning.page_size),
            "callback-retry-after": "1",
        }
        self.become(Fortune())

    def become(self, fortune: Fortune) -> None:
        """Kind but for this."""
        unknown = ",".join(self.fleet.imeis[each] for each in fortune.unknown) or "off"
        before = self.quirks.in_force()
        for name, value in (self._kindness | {"unknown-devices": unknown, **fortune.quirks}).items():
            if before[name] != value or name in fortune.quirks:
                self.quirks.set(name, value)
        self.account.locked.clear()
        self.account.locked.update(self.fleet.imeis[each] for each in fortune.locked)
        self.doubled = fortune.doubled

    def others_change(self, gives: Sequence[int], takes: Sequence[int]) -> None:
        for device in (self.fleet.imeis[each] for each in takes):
            if device in self.account.licensed:
                self.account.take(device, self.clock.now)
        for device in (self.fleet.imeis[each] for each in gives):
            if self.account.free and device not in self.account.licensed:
                self.account.give(device, self.clock.now)
        self.watcher.changed()

    def settle(self) -> None:
        """What is due takes effect."""
        self._service.settle(self.clock.now)
        self._work.set()
        self.watcher.took_effect()

    def answer(self, line: Line, asked: Asked) -> tuple[Called | None, Reply]:
        """One request, with all that it does."""
        self.settle()
        call = _called(asked)
        self.watcher.arrives(line, call, asked)
        _, reply = self._service.answer(asked)
        self._work.set()
        self.watcher.is_answered(call, reply)
        return call, reply

    # The post

    @property
    def is_busy(self) -> bool:
        return self._service.sim_secure.is_busy

    async def deliver(self) -> None:
        """Callbacks are sent as long as the world lasts."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self.is_busy:
                await asyncio.sleep(ROUND)
                self.settle()
                due = self._service.sim_secure.outbox.until(self.clock.now)
                await asyncio.gather(*[self.send(parcel) for parcel in due])

    async def send(self, parcel: Parcel) -> None:
        for callback in parcel:
            registered = self.account.callbacks.get(CARRIER_SERVICE)
            if registered is not None and not await self._arrives(callback, registered):
                self._send_again(callback)

    async def _arrives(self, callback: Callback, registered: Registration) -> bool:
        return self.letterbox is not None and await self.letterbox(_body(callback, registered))

    def _send_again(self, callback: Callback) -> None:
        if callback.count < MOST_SENT and callback.kind is not Kind.FORGED:
            again = replace(callback, count=callback.count + 1)
            self._service.sim_secure.outbox.put([again], self.clock.now + AGAIN)
            self._work.set()


def _called(asked: Asked) -> Called | None:
    route = route_of(asked)
    return route.call if route else None


class Step(Protocol):
    """A program, which may be killed at any step."""

    def step(self, what: str) -> None: ...


class Line(Transport):
    """What a program has instead of a socket; all above it is the real client."""

    def __init__(self, thingspace: ThingSpace, program: Step, bounds: Bounds, latency: float) -> None:
        super().__init__(
            session=cast(ClientSession, None),
            url="http://127.0.0.1",
            bounds=bounds,
            proxy=Proxy(),
            limiter=AsyncLimiter(1000, 1.0),
            in_flight=asyncio.Semaphore(bounds.concurrency),
            meter=Unmetered(),
        )
        self._thingspace, self.program, self._latency = thingspace, program, latency

    async def _exchange(self, call: Call[T], headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        self.program.step(f"asks: {call.what}")
        await asyncio.sleep(self._pause())
        called, reply = self._arrived(call, headers)
        for parcel in reply.first:
            await self._thingspace.send(parcel)
        if reply.delay >= self.bounds.timeout:
            await asyncio.sleep(self.bounds.timeout)
            raise Unreachable(f"{call.what}: no answer within {self.bounds.timeout:g} s")
        await asyncio.sleep(self._pause() + reply.delay)
        if reply.lost or reply.cut:
            self.program.step(f"no answer: {call.what}")
            raise Unreachable(f"{call.what}: no answer from 127.0.0.1: Server disconnected")
        self._thingspace.watcher.is_delivered(called, reply)
        self.program.step(f"answered {reply.status}: {call.what}")
        return reply.status, CIMultiDict({**reply.headers, "Content-Type": reply.content_type}), reply.body

    def _arrived(self, call: Call[T], headers: Mapping[str, str]) -> tuple[Called | None, Reply]:
        """The request arrives, perhaps twice; then either answer may be the one that comes back."""
        asked = Asked(
            call.method,
            unquote(call.path),
            call.query,
            CIMultiDict({**headers, "Content-Type": call.content_type}),
            call.body or b"",
            self._thingspace.clock.now,
        )
        called, reply = self._thingspace.answer(self, asked)
        if self._thingspace.doubled and called in WRITES and self._thingspace.chance.random() < 0.5:
            _, again = self._thingspace.answer(self, asked)
            reply = self._thingspace.chance.choice([reply, again])
        return called, reply

    def _pause(self) -> float:
        return self._thingspace.chance.uniform(0, self._latency)
