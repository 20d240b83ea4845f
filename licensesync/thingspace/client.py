"""The one client of ThingSpace: calls with both tokens, renewed where they expire, repeated where that is harmless."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import stamina
from stamina.instrumentation import set_on_retry_hooks

from licensesync.errors import ApiError, LoginUnavailable, RateLimited, StaleBearer, StaleSession
from licensesync.thingspace import transport
from licensesync.thingspace.effort import USUAL, Effort
from licensesync.thingspace.login import Credentials, Logins, Rejections
from licensesync.thingspace.transport import Bounds, Meter, Transport
from licensesync.thingspace.wire import Call, Read, Write

T = TypeVar("T")

LONGEST_WAIT = 120.0

set_on_retry_hooks([])


class Reader:
    """A client that can only read: it has no way to write."""

    def __init__(self, transport: Transport, logins: Logins, effort: Effort = USUAL) -> None:
        self._transport = transport
        self._logins = logins
        self._effort = effort

    async def read(self, call: Read[T]) -> T:
        """The call's value; what fails for the moment is asked for again, usually at most twice. Raises ApiError."""
        return await self._repeated(call, (ApiError,))

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[Reader]:
        """A client for calls that belong together and prove each other: they use each other's connections."""
        async with self._transport.keeping() as kept:
            yield Reader(kept, self._logins, self._effort)

    async def log_in(self) -> None:
        """Both logins, unless they were made before; a call makes them by itself. Raises ApiError."""
        await self._logged_in()

    @property
    def clock_skew(self) -> float | None:
        """By how many seconds this machine's clock is ahead of the service's, by its last answer that has a time."""
        return self._transport.clock_skew

    def keep_secret(self, *secrets: str) -> None:
        """No message of this client holds these from now on."""
        self._transport.keep_secret(*secrets)

    def redacted(self, words: str) -> str:
        """Words of the service, without anything that is secret here."""
        return self._transport.redacted(words)

    async def _repeated(self, call: Call[T], repeatable: tuple[type[ApiError], ...]) -> T:
        def again(error: Exception) -> bool | float:
            if not isinstance(error, repeatable) or not error.transient:
                return False
            if error.retry_after is None:
                return True
            return error.retry_after if error.retry_after <= LONGEST_WAIT else False

        async for attempt in stamina.retry_context(
            on=again, attempts=self._effort.attempts, timeout=None, wait_initial=0.2, wait_max=10.0, wait_jitter=0.3
        ):
            with attempt:
                try:
                    return await self._authorized(call)
                except ApiError as error:
                    if attempt.num < self._effort.attempts and (wait := again(error)):
                        self._transport.meter.waits(call.what, attempt.next_wait if wait is True else wait)
                    raise
        raise AssertionError("retry_context ends by returning or raising")  # pragma: no cover - tells mypy so

    async def _authorized(self, call: Call[T]) -> T:
        """Sent with both tokens; each is renewed at most once, if at all, when the service says that it has expired."""
        renewed: set[type[ApiError]] = set()
        while True:
            bearer, session = await self._logged_in()
            try:
                told = await self._transport.send(call, {"Authorization": f"Bearer {bearer}", "VZ-M2M-Token": session})
            except (StaleBearer, StaleSession) as error:
                if isinstance(error, StaleBearer):
                    self._logins.forget_bearer(bearer)
                else:
                    self._logins.forget_session(session)
                if type(error) in renewed or not self._effort.renews:
                    raise
                renewed.add(type(error))
            else:
                self._logins.used(session)
                return told

    async def _logged_in(self) -> tuple[str, str]:
        """Both tokens. What fails here is no word about the call: that was not sent."""
        try:
            return await self._logins.tokens()
        except ApiError as error:
            if not error.transient:
                raise
            raise LoginUnavailable(str(error), status=error.status, retry_after=error.retry_after) from error


class Client(Reader):
    """A client that can write as well."""

    async def write(self, call: Write[T]) -> T:
        """The call's value. Repeated only when the service said that it did nothing. Raises ApiError."""
        return await self._repeated(call, (RateLimited, LoginUnavailable))


@asynccontextmanager
async def reading(  # noqa: PLR0913 - what a client is made of
    url: str,
    bounds: Bounds,
    credentials: Credentials,
    environ: Mapping[str, str],
    rejections: Rejections | None = None,
    *,
    meter: Meter | None = None,
    effort: Effort = USUAL,
) -> AsyncIterator[Reader]:
    """A client for looking only."""
    async with transport.opened(url, bounds, environ, meter) as opened:
        clock = asyncio.get_running_loop().time
        yield Reader(opened, Logins(opened, credentials, clock, rejections, effort), effort)


@asynccontextmanager
async def writing(  # noqa: PLR0913 - what a client is made of
    url: str,
    bounds: Bounds,
    credentials: Credentials,
    environ: Mapping[str, str],
    rejections: Rejections | None = None,
    *,
    meter: Meter | None = None,
) -> AsyncIterator[Client]:
    """A client for a run that changes things."""
    async with transport.opened(url, bounds, environ, meter) as opened:
        yield Client(opened, Logins(opened, credentials, asyncio.get_running_loop().time, rejections))
