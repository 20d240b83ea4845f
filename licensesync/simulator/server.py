"""The web face of the simulator: its socket, its clock, its files, and its life as a program."""

import asyncio
import json
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import orjson
from aiohttp import web

from licensesync.simulator.auth import Credentials
from licensesync.simulator.calls import NAMING, SIM_WRITES, Call
from licensesync.simulator.control import PREFIX, Control
from licensesync.simulator.exchange import Asked, Reply, devices_in
from licensesync.simulator.mischief import ELSEWHERE
from licensesync.simulator.post import Post
from licensesync.simulator.quirks import CLOCK_OFF_BY, PAGE_SIZE, Quirks, Setting
from licensesync.simulator.requests import Requests, Seen
from licensesync.simulator.service import Service
from licensesync.simulator.sim_requests import sims_named
from licensesync.simulator.state import StateError, World

DEFAULT_ACCOUNT = "0642233522-00001"
_LOOPBACK = "127.0.0.1"
_LARGEST_BODY = 64 * 2**20
_PATIENCE = 0.2  # seconds that answers under way have at the end


@dataclass(frozen=True)
class SimulatorOptions:
    """What a simulator is started with; all of it has a default."""

    port: int = 0
    accounts: tuple[str, ...] = (DEFAULT_ACCOUNT,)
    licenses: int = 1000
    devices: int = 0
    state: Path | None = None
    seed: int | None = None
    kind: bool = False
    page_size: int | None = None
    latency: float = 0.0  # seconds from a request to its answer
    credentials: Credentials | None = None
    quirks: Mapping[str, Setting] = field(default_factory=dict)
    clock: Callable[[], float] = time.time


class Simulator:
    """A running simulator. `world`, `quirks`, `requests` and `callbacks` may be looked at and changed at any time."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.seed = secrets.randbelow(2**32) if options.seed is None else options.seed
        chance = random.Random(self.seed)  # noqa: S311 - a day that can be repeated, not a secret
        self.quirks = Quirks(chance, kind=options.kind)
        for name, setting in options.quirks.items():
            self.quirks.set(name, setting)
        if options.page_size is not None:
            self.quirks.set(PAGE_SIZE.name, options.page_size)
        self.world = _world(options)
        self.requests = Requests()
        self.url = ""
        self._options = options
        self._service = Service(self.world, self.quirks, chance, options.credentials, options.clock())
        self.post = Post(self._service, self.quirks, options.clock)
        self.callbacks = self.post.sent
        self._control = Control(self.world, self.quirks, self.requests, self.callbacks)

    @property
    def accounts(self) -> list[str]:
        return list(self.world.accounts)

    def listen_at(self, port: int) -> None:
        """Its address is known from now on."""
        self.url = f"http://{_LOOPBACK}:{port}"
        self._service.mischief.host = f"localhost:{port}"

    def save(self) -> None:
        """Writes the world to the state file, if there is one to write."""
        if self._options.state is not None:
            text = orjson.dumps(self.world.as_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            self._options.state.write_bytes(text)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer to any request; what is to be lost, is."""
        body = await request.read()
        date = formatdate(self._options.clock() + self.quirks[CLOCK_OFF_BY], usegmt=True)
        if request.path.startswith(PREFIX) and request.path != ELSEWHERE:
            self._service.settle(self._options.clock())
            return _response(self._control.answer(self._asked(request, body)), date)
        seen = self.requests.note(self._options.clock(), request.method, request.path_qs)
        arrived = time.monotonic()
        reply = self._reply(request, body, seen)
        self.post.look()
        await self.post.before_the_answer(reply.first)
        latency = self._options.latency - (time.monotonic() - arrived)
        if (pause := max(0.0, latency) + reply.delay) > 0:
            await asyncio.sleep(pause)
        if reply.lost or reply.cut:
            return await _break_off(request, reply)
        return _response(reply, date)

    def _reply(self, request: web.Request, body: bytes, seen: Seen) -> Reply:
        call, reply = self._service.answer(self._asked(request, body))
        seen.call = call or ""
        seen.status = "lost" if reply.lost else reply.status
        seen.effect = reply.effect
        seen.devices = _named(call, body)
        return reply

    def _asked(self, request: web.Request, body: bytes) -> Asked:
        return Asked(request.method, request.path, request.query, request.headers, body, self._options.clock())


def _named(call: Call | None, body: bytes) -> tuple[str, ...]:
    if call in SIM_WRITES:
        return sims_named(body)
    return devices_in(body) if call in NAMING else ()


def _world(options: SimulatorOptions) -> World:
    world = World()
    if options.state is not None and options.state.exists():
        world = World.from_json(_stored(options.state))
    for name in options.accounts:
        if name not in world.accounts:
            world.open_account(name, options.licenses, options.devices)
    return world


def _stored(state: Path) -> object:
    try:
        return orjson.loads(state.read_bytes())
    except orjson.JSONDecodeError as problem:
        raise StateError(f"is not JSON: {problem}") from None


def _response(reply: Reply, date: str) -> web.Response:
    headers = {**reply.headers, "Content-Type": reply.content_type, "Date": date}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


async def _break_off(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type})
    if reply.cut:
        response.content_length = len(reply.body)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


@asynccontextmanager
async def running(options: SimulatorOptions) -> AsyncIterator[Simulator]:
    """A simulator that listens on loopback until the block ends."""
    simulator = Simulator(options)
    application = web.Application(client_max_size=_LARGEST_BODY)
    application.router.add_route("*", "/{path:.*}", simulator.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_PATIENCE)
    await runner.setup()
    async with simulator.post.opened():
        try:
            site = web.TCPSite(runner, _LOOPBACK, options.port, backlog=1024)
            await site.start()
            simulator.listen_at(runner.addresses[0][1])
            yield simulator
        finally:
            await runner.cleanup()
            simulator.save()


async def serve(options: SimulatorOptions, stop_after: float | None = None) -> None:
    """Runs until a signal comes or the time is over; the first line of output says where it listens."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running(options) as simulator:
        sys.stdout.write(json.dumps({"url": simulator.url, "accounts": simulator.accounts}) + "\n")
        sys.stdout.flush()
        sys.stderr.write(f"This is a simulator, not Verizon: nothing here is real (seed {simulator.seed}).\n")
        with suppress(TimeoutError):
            async with asyncio.timeout(stop_after):
                await stopped.wait()
