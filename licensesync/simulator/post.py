"""Sends callbacks over HTTP, many at once, and sends again what was not answered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import orjson

from licensesync.simulator.addresses import is_loopback
from licensesync.simulator.bought import CARRIER_SERVICE, Registration
from licensesync.simulator.callbacks import MOST_SENT, Callback, Kind, Parcel
from licensesync.simulator.quirks import Quirks
from licensesync.simulator.refusals import JSON
from licensesync.simulator.sendings import Sending, Sendings
from licensesync.simulator.service import Service
from licensesync.simulator.sim_quirks import CALLBACK_RETRY_AFTER, CALLBACKS_TO

_AT_ONCE = 32
_ROUND = 0.01  # seconds between two looks at the clock, which may be one that somebody moves
_FORGED = {"username": "somebody", "password": "guessed"}


@dataclass
class Post:
    """Looks what is due as long as something is pending. Whatever is under way when it closes is given up."""

    service: Service
    quirks: Quirks
    clock: Callable[[], float]
    sent: Sendings = field(default_factory=Sendings)
    patience: float = 5.0  # seconds that a callback waits for its answer
    longest_delay: float = 1.0  # seconds that an answer waits for the callbacks that come before it

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """It works until the block ends."""
        self._something = asyncio.Event()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._under_way = set[asyncio.Task[None]]()
        # A new connection each time: none that a listener has closed meanwhile. On loopback certificates are nobody's.
        connector = aiohttp.TCPConnector(ssl=False, limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as self._http:
            rounds = asyncio.create_task(self._rounds())
            try:
                yield
            finally:
                await _end([rounds, *self._under_way])

    @property
    def is_busy(self) -> bool:
        """Whether a callback is on its way, or will be without another request."""
        return bool(self._under_way) or self.service.sim_secure.is_busy

    def look(self) -> None:
        """Something may be due soon."""
        if self.service.sim_secure.is_busy:
            self._something.set()

    async def before_the_answer(self, parcels: Sequence[Parcel]) -> None:
        """Sends these, and waits a little until they have arrived."""
        if begun := [self._begin(parcel) for parcel in parcels if parcel]:
            await asyncio.wait(begun, timeout=self.longest_delay)

    async def _rounds(self) -> None:
        while True:
            await self._something.wait()
            self.service.settle(self.clock())
            for parcel in self.service.sim_secure.outbox.until(self.clock()):
                self._begin(parcel)
            if not self.service.sim_secure.is_busy:
                self._something.clear()
            await asyncio.sleep(_ROUND)

    def _begin(self, parcel: Parcel) -> asyncio.Task[None]:
        task = asyncio.create_task(self._send_all(parcel))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _send_all(self, parcel: Parcel) -> None:
        for callback in parcel:
            registered = callback.account.callbacks.get(CARRIER_SERVICE)
            if registered is not None and not await self._arrives(callback, registered):
                self._send_again(callback)

    def _send_again(self, callback: Callback) -> None:
        if callback.count < MOST_SENT and callback.kind is not Kind.FORGED:
            again = replace(callback, count=callback.count + 1)
            self.service.sim_secure.outbox.put([again], self.clock() + self.quirks[CALLBACK_RETRY_AFTER])
            self.look()

    async def _arrives(self, callback: Callback, registered: Registration) -> bool:
        url = self.quirks[CALLBACKS_TO] or registered.url
        async with self._places:
            sending = self.sent.note(_noted(callback, self.clock()))
            if is_loopback(url):
                sending.answered = await self._answer(url, _body(callback, registered))
        return sending.answered is not None and 200 <= sending.answered < 300

    async def _answer(self, url: str, body: bytes) -> int | None:
        timeout, headers = aiohttp.ClientTimeout(total=self.patience), {"Content-Type": JSON}
        try:
            async with self._http.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None


def _noted(callback: Callback, now: float) -> Sending:
    return Sending(now, callback.request, str(callback.device), callback.status, callback.count, callback.kind.value)


def _body(callback: Callback, registered: Registration) -> bytes:
    said = registered.as_json() if callback.kind is not Kind.FORGED else _forged(registered)
    credentials = {key: said[key] for key in ("username", "password") if said.get(key)}
    counts = {"callbackCount": callback.count, "maxCallbackThreshold": MOST_SENT}
    return orjson.dumps({**callback.body, **counts, **credentials})


def _forged(registered: Registration) -> Mapping[str, object]:
    return _FORGED | ({"username": registered.username} if registered.username else {})


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
