"""An operator's desk for SIM-Secure: a simulator, a ledger, and a listener for callbacks that may stop and start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from desks import CREDENTIALS, Done, Silence, Through
from fleets import ACCOUNT, CALLBACK_CREDENTIALS, imeis
from toxic_line import Line

from licensesync import reconcile
from licensesync.callbacks.desk import Desk, Received, Reception
from licensesync.callbacks.hearing import hearing
from licensesync.callbacks.listener import Rejected
from licensesync.callbacks.registration import Registrar
from licensesync.callers import Callbacks
from licensesync.credentials import CallbackCredentials
from licensesync.ledger import book, database, history, holders, keeping
from licensesync.ledger.book import Book
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.promises import Promise
from licensesync.model import (
    Desired,
    DeviceId,
    Entry,
    InventoryInfo,
    Limits,
    Memory,
    Mode,
    Observed,
    OutcomeRecord,
    Place,
    Plan,
    Policy,
    Pool,
    Product,
    Remembered,
    RunPlan,
    Unread,
    Wanted,
    iccid_of,
    imei_of,
)
from licensesync.reconcile import Target
from licensesync.simulator.bought import Sim, Sku
from licensesync.simulator.server import Simulator, SimulatorOptions, running
from licensesync.submission import Sending
from licensesync.thingspace import client
from licensesync.thingspace.client import Client
from licensesync.thingspace.sim_secure import SimSecureService
from licensesync.thingspace.transport import Bounds
from licensesync.values import Address

SKU = "SIMSec-IoT"
PATIENCE = 10.0
SECRET = CallbackCredentials(*CALLBACK_CREDENTIALS.values())


def sims(start: int, end: int) -> list[DeviceId]:
    """Devices with a SIM: the same numbers give the same ones."""
    return [DeviceId(f"{imei}/{89148000000000000000 + start + place}") for place, imei in enumerate(imeis(start, end))]


def sim_of(device: str) -> Sim:
    imei, _, iccid = device.partition("/")
    return Sim(imei, iccid)


class Heard:
    """A journal of callbacks that remembers what it was told."""

    def __init__(self) -> None:
        self.receptions: list[Reception] = []
        self.promises: list[Promise] = []
        self.proved: list[Earlier] = []
        self.rejections: list[Rejected] = []
        self.late: list[Promise] = []
        self.unclaimed = 0
        self.problems: list[Exception] = []

    def received(self, received: Received) -> None:
        self.receptions.append(received.reception)
        self.promises += [received.promise] if received.promise else []

    def shown(self, pool: Pool, earlier: Earlier) -> None:
        del pool
        self.proved.append(earlier)

    def rejected(self, why: Rejected) -> None:
        self.rejections.append(why)

    def overdue(self, promise: Promise) -> None:
        self.late.append(promise)

    def forgotten(self, strays: int) -> None:
        self.unclaimed += strays

    def unkept(self, error: Exception) -> None:
        self.problems.append(error)

    def catch_up(self) -> None:
        pass


@dataclass
class PromiseDesk:
    """One operator's service at a simulator, in this process. Where there is a `line`, it stands between the two."""

    simulator: Simulator
    client: Client
    ledger: Path
    pool: Pool
    callbacks: Callbacks
    patience: timedelta
    line: Line | None = None
    heard: Heard = field(default_factory=Heard)
    runs: int = 0
    _hearing: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def sku(self) -> Sku:
        return self.simulator.world.accounts[ACCOUNT].skus[SKU]

    @property
    def holders(self) -> set[str]:
        """Who holds a license in the world."""
        return set(map(str, self.sku.licensed))

    @property
    def known(self) -> Remembered:
        """Who holds a license by the ledger."""
        return holders.look_up(self.ledger, self.pool)

    def switch(self, **quirks: str) -> None:
        for name, setting in quirks.items():
            self.simulator.quirks.set(name.replace("_", "-"), setting)

    def trust(self) -> None:
        """From now on no callback is lost, and there is all the time for it."""
        self.switch(callback_lost="off")
        self.patience = timedelta(seconds=60)

    async def listen(self) -> None:
        """Callbacks are heard from now on, and registered."""
        desk = Desk(self.ledger, lambda: [self.pool], self.heard)
        await self._hearing.enter_async_context(hearing(self.callbacks, lambda: SECRET, desk))
        await Registrar(self.client, self.callbacks, SECRET).keep(ACCOUNT)

    async def stop_listening(self) -> None:
        await self._hearing.aclose()
        self._hearing = AsyncExitStack()

    async def plan(self, wanted: Sequence[str]) -> Plan | Unread:
        with book.opened(self.ledger, "plan", _now) as opened:
            return await self._planned(wanted, opened)

    async def run(
        self, wanted: Sequence[str], *, batch_size: int = 100, once_planned: Callable[[], None] = lambda: None
    ) -> Done:
        """One apply."""
        done = await self.attempt(wanted, batch_size=batch_size, once_planned=once_planned)
        assert isinstance(done, Done), done
        return done

    async def attempt(
        self, wanted: Sequence[str], *, batch_size: int = 100, once_planned: Callable[[], None] = lambda: None
    ) -> Done | Unread:
        """One apply, as far as it gets: a pool that was not read whole is carried out as well, to nothing."""
        self.runs += 1
        name, begun = f"run-{self.runs}", len(self.simulator.requests)
        info = InventoryInfo(len(wanted), f"sha256:{hash(tuple(wanted))}")
        with book.opened(self.ledger, name, _now) as opened:
            opened.begin("apply", info)
            planned = await self._planned(wanted, opened)
            if isinstance(planned, Plan):
                opened.undertake(planned, {*map(DeviceId, wanted)}, info, _no_mark)
            once_planned()
            services = {self.pool.name: self._service}
            run_plan = RunPlan(info, _now(), (planned,))
            with keeping.beside(opened, lambda _, earlier: self.heard.proved.append(earlier)) as record:
                sending = Sending(batch_size, 2, asyncio.Event(), _now, record)
                report = await reconcile.carry_out_all(name, run_plan, services, sending, Silence())
            opened.finish(report, 0)
        return Done(report, planned, list(self.simulator.requests)[begun:]) if isinstance(planned, Plan) else planned

    def rows(self, device: str | None = None) -> list[OutcomeRecord]:
        with database.read(self.ledger) as connection:
            assert connection is not None
            return [row for row in history.rows(connection, Wanted()) if device in {None, f"{row.device}/{row.iccid}"}]

    def ends(self, device: str) -> list[tuple[str, str, str | None]]:
        """Verb, outcome and reason of each action for a device."""
        return [(row.verb, row.outcome, row.reason) for row in self.rows(device)]

    async def becomes(self, is_so: Callable[[], bool]) -> None:
        """Waits until it is so."""
        async with asyncio.timeout(PATIENCE):
            while not is_so():
                await asyncio.sleep(0.01)

    async def is_settled(self) -> None:
        """Waits until nothing is pending."""
        await self.becomes(lambda: not any(row.outcome == "pending" for row in self.rows()))

    async def post(self, body: object, **more: Any) -> tuple[int, bytes]:
        """What the listener answers to this."""
        sent = {"json": body} if not isinstance(body, bytes) else {"data": body}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.callbacks.public_url, **sent, **more) as answer,
        ):
            return answer.status, await answer.read()

    def told(self, device: str, *, request: str, **changes: object) -> dict[str, object]:
        """The callback that says that a device was assigned a license."""
        return {
            "requestId": request,
            "deviceIds": [
                {"id": iccid_of(DeviceId(device)), "kind": "ICCID"},
                {"id": imei_of(DeviceId(device)), "kind": "IMEI"},
            ],
            "deviceResponse": {
                "deviceSkuSubscriptionResponse": {"accountName": ACCOUNT, "skuNumber": SKU, "action": "Assign"}
            },
            "comment": "",
            "status": "Success",
            "callbackCount": 1,
            "maxCallbackThreshold": 4,
            "username": SECRET.username,
            "password": SECRET.password,
            **changes,
        }

    @property
    def _service(self) -> SimSecureService:
        return SimSecureService(self.pool, self.client, self._recall, patience=self.patience)

    async def _recall(self, pool: Pool) -> Remembered:
        return await asyncio.to_thread(holders.look_up, self.ledger, pool)

    async def _planned(self, wanted: Sequence[str], opened: Book) -> Plan | Unread:
        target = Target(self._service, _desired(wanted), partial(self._recalled, opened))
        (planned,) = await reconcile.plan([target], Policy(_now().date()), Silence())
        return planned

    async def _recalled(self, opened: Book, observed: Observed) -> Memory:
        remembered, settled = opened.recall(self.pool, observed, _no_mark)
        self.heard.proved += settled
        return remembered


def _now() -> datetime:
    return datetime.now(UTC)


def _no_mark(_: DeviceId) -> str:
    return ""


def _desired(wanted: Sequence[str]) -> Desired:
    devices = dict.fromkeys(map(DeviceId, wanted))
    return Desired(devices, {device: Entry("meters", Place("inventory.yaml", 1, 1)) for device in devices})


@asynccontextmanager
async def promise_desk(
    *,
    purchased: int = 100,
    others: int = 0,
    patience: float = 30,
    quirks: dict[str, str] | None = None,
    listens: bool = True,
    mode: Mode = Mode.MANAGED,
    irrevocable: bool = False,
    seed: int = 5,
    limit: float = 5,
    through: Through | None = None,
) -> AsyncIterator[PromiseDesk]:
    """A desk at a simulator that is kind but for these quirks; it listens for callbacks unless it shall not yet."""
    pool = Pool(
        "sim",
        Product.SIM_SECURE,
        ACCOUNT,
        mode,
        Limits(1000, 100, 1000),
        sku=SKU,
        others=others,
        irrevocable=irrevocable,
    )
    options = SimulatorOptions(kind=True, seed=seed, quirks={k.replace("_", "-"): v for k, v in (quirks or {}).items()})
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(running(options))
        line = await stack.enter_async_context(through(simulator.url)) if through else None
        url = line.url if line else simulator.url
        writer = await stack.enter_async_context(client.writing(url, Bounds(limit, 4, 5000), CREDENTIALS, {}))
        simulator.world.accounts[ACCOUNT].skus[SKU] = Sku(purchased, others)
        with TemporaryDirectory() as folder:
            callbacks = Callbacks("", listen=Address("127.0.0.1", await _free_port()))
            callbacks = replace(callbacks, public_url=f"http://{callbacks.listen}/thingspace")
            ledger = Path(folder, "ledger.db")
            database.prove(ledger)
            desk = PromiseDesk(simulator, writer, ledger, pool, callbacks, timedelta(seconds=patience), line)
            try:
                if listens:
                    await desk.listen()
                yield desk
            finally:
                await desk.stop_listening()


async def _free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port
