"""The two tokens that every call carries: the OAuth bearer and the VZ-M2M session.

https://thingspace.verizon.com/documentation/ (getting credentials; start Connectivity Management session)
"""

from __future__ import annotations

import asyncio
import math
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from licensesync.errors import (
    ApiError,
    LoginRejected,
    LoginSpent,
    NoSuchResource,
    StaleBearer,
    Unauthorized,
    Unconnected,
    UnexpectedReply,
    Unreachable,
)
from licensesync.thingspace.effort import USUAL, Effort
from licensesync.thingspace.transport import Transport
from licensesync.thingspace.wire import Call, Read, answer_of

T = TypeVar("T")

NEARLY_EXPIRED = 1.0
SESSION_IDLE = 15 * 60.0
HOUR = 3600.0
MOST_UNCLEAR = 2
MOST_UNANSWERED = 4
SOONEST, LATEST = 15.0, 300.0
"""Seconds until a login is tried again after so many without an answer: twice as long each time."""

AGAIN = "It is not tried again: five rejected logins lock the user"
AGAIN_UNREMEMBERED = (
    "It is not tried again by this process, and no ledger remembers it for the next: five rejected logins lock the user"
)


class Credentials(Protocol):
    """What ThingSpace asks of a client: an application's key and secret, a user's name and password."""

    @property
    def key(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...


Given = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]+\Z")]


class Token(msgspec.Struct):
    access_token: Given
    expires_in: float | str | None = None

    @property
    def lasts(self) -> float:
        """Seconds that it is good for; an hour, as documented, where the answer does not say."""
        try:
            return max(0.0, float(HOUR if self.expires_in is None else self.expires_in))
        except ValueError:
            return HOUR


class Session(msgspec.Struct, rename="camel"):
    session_token: Given


_read_token = answer_of(Token, "OAuth token", quote=False)
_read_session = answer_of(Session, "session login", quote=False)


class Login(StrEnum):
    """The two logins: the application's for a bearer, the user's for a session."""

    APPLICATION = "application"
    USER = "user"

    @property
    def credentials(self) -> str:
        return (
            "THINGSPACE_KEY and THINGSPACE_SECRET"
            if self is Login.APPLICATION
            else "THINGSPACE_USERNAME and THINGSPACE_PASSWORD"
        )


class Rejections(Protocol):
    """What is remembered of rejected logins beyond this process."""

    def forbidden_since(self, login: str) -> datetime | None:
        """When the login was rejected for the second time in a row, or None if it may be tried."""
        ...

    def rejected(self, login: str, at: datetime) -> bool:
        """The service rejected the login; whether that is remembered."""
        ...

    def accepted(self, login: str) -> None: ...


class NoRejections:
    """Remembers nothing."""

    def forbidden_since(self, login: str) -> datetime | None:
        del login
        return None

    def rejected(self, login: str, at: datetime) -> bool:
        del login, at
        return False

    def accepted(self, login: str) -> None:
        pass


class Logins:
    """Keeps both tokens fresh, one login at a time; a login that the service rejects is never repeated."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        clock: Callable[[], float],
        rejections: Rejections | None = None,
        effort: Effort = USUAL,
    ) -> None:
        self._transport = transport
        self._effort = effort
        self._made: set[Login] = set()
        self._rejections = rejections or NoRejections()
        self._clock = clock
        self._basic = b64encode(f"{credentials.key}:{credentials.secret}".encode()).decode()
        self._account = msgspec.json.encode({"username": credentials.username, "password": credentials.password})
        self._one_at_a_time = asyncio.Lock()
        self._bearer, self._bearer_expires = "", 0.0
        self._session, self._session_used = "", 0.0
        self._closed: ApiError | None = None
        self._closed_until = math.inf
        self._unclear = 0
        self._unanswered, self._not_before = 0, 0.0
        transport.keep_secret(
            self._basic, credentials.key, credentials.secret, credentials.username, credentials.password
        )

    async def tokens(self) -> tuple[str, str]:
        """Bearer and session, logging in where needed. Raises ApiError, a rejection at once from the second time on."""
        async with self._one_at_a_time:
            if self._closed and self._clock() < self._closed_until:
                raise self._closed
            self._closed, self._closed_until = None, math.inf
            await self._renew_bearer()
            if not self._session or self._clock() - self._session_used > SESSION_IDLE:
                await self._start_session()
            return self._bearer, self._session

    def used(self, session: str) -> None:
        """The service accepted this session just now: its idle time starts again."""
        if session == self._session:
            self._session_used = self._clock()

    def forget_bearer(self, bearer: str) -> None:
        """The service does not accept this bearer; the next call fetches one (unless another call has done so)."""
        if bearer == self._bearer:
            self._bearer = ""

    def forget_session(self, session: str) -> None:
        """The service does not accept this session; the next call starts one (unless another call has done so)."""
        if session == self._session:
            self._session = ""

    async def _renew_bearer(self) -> None:
        """Within its hour the service hands out the same token again, perhaps nearly expired: that is waited out."""
        if self._bearer and (self._clock() < self._bearer_expires - NEARLY_EXPIRED or not self._effort.renews):
            return
        token = await self._login(self._token_call(), {}, Login.APPLICATION)
        if token.lasts <= NEARLY_EXPIRED and self._effort.renews:
            await asyncio.sleep(token.lasts + 0.1)
            token = await self._login(self._token_call(), {}, Login.APPLICATION)
        self._bearer = token.access_token
        self._bearer_expires = self._clock() + token.lasts
        self._transport.keep_secret(self._bearer)

    async def _start_session(self) -> None:
        try:
            session = await self._login_to_session()
        except _BearerNotAccepted:
            self._bearer = ""
            if not self._effort.renews:
                raise
            await self._renew_bearer()
            session = await self._login_to_session()
        self._session = session.session_token
        self._session_used = self._clock()
        self._transport.keep_secret(self._session)

    async def _login_to_session(self) -> Session:
        bearer = {"Authorization": f"Bearer {self._bearer}"}
        return await self._login(self._session_call(), bearer, Login.USER)

    async def _login(self, call: Call[T], headers: dict[str, str], login: Login) -> T:
        """What the login gives; one that may have failed is remembered, because five in a row lock the user."""
        if since := self._rejections.forbidden_since(login):
            self._closed = LoginRejected(
                f"the service rejected this login twice in a row, last at {since:%Y-%m-%d %H:%M} UTC; it is not tried "
                f"again until {login.credentials} change: five rejected logins lock the user"
            )
            raise self._closed
        if self._unanswered >= MOST_UNANSWERED and self._clock() < self._not_before:
            raise Unreachable(f"{call.what}: no answer {self._unanswered} times in a row; it is tried again later")
        if login in self._made and not self._effort.renews:
            raise LoginSpent(f"{call.what}: there was one, and no second one is made")
        self._made.add(login)
        try:
            given = await self._transport.send(call, {**headers, **call.headers})
        except ApiError as error:
            if headers and isinstance(error, StaleBearer) and error.code.startswith("9009"):
                raise _BearerNotAccepted(str(error), status=error.status, code=error.code) from error
            raise self._remembered(error, login) from error
        self._unclear = self._unanswered = 0
        self._rejections.accepted(login)
        return given

    def _remembered(self, error: ApiError, login: Login) -> ApiError:
        """The error, after thinking about whether the service may have looked at the credentials and said no."""
        if isinstance(error, UnexpectedReply) and not error.code:
            self._unclear += 1
            if self._unclear < MOST_UNCLEAR:
                return error
            words = f"{error}; it is not tried again for an hour, lest the user be locked; check thingspace.url"
            return self._closed_for_now(Unauthorized(words, status=error.status))
        if error.transient and not isinstance(error, UnexpectedReply):
            self._waits_after(error)
            return error
        if isinstance(error, NoSuchResource) and error.code in {"", "404", "900906"}:
            return error
        if 300 <= (error.status or 0) < 400:
            return self._closed_for_now(error)
        remembered = self._rejections.rejected(login, datetime.now(UTC))
        again = AGAIN if remembered else AGAIN_UNREMEMBERED
        self._closed = LoginRejected(
            f"the service rejects the login ({error}); check {login.credentials}. {again}",
            status=error.status,
            code=error.code,
        )
        return self._closed

    def _waits_after(self, error: ApiError) -> None:
        """The service may have looked at a login that it did not answer, though not at one that was never sent."""
        if not isinstance(error, Unconnected):
            self._unanswered += 1
            wait = SOONEST * 2.0 ** min(10, self._unanswered - MOST_UNANSWERED)
            self._not_before = self._clock() + min(wait, LATEST)

    def _closed_for_now(self, error: ApiError) -> ApiError:
        """The error, which stands for an hour: who answers like that is not the service."""
        self._closed, self._closed_until = error, self._clock() + HOUR
        return error

    def _token_call(self) -> Read[Token]:
        return Read(
            "OAuth token",
            "POST",
            "/api/ts/v1/oauth2/token",
            _read_token,
            body=urlencode({"grant_type": "client_credentials"}).encode(),
            content_type="application/x-www-form-urlencoded",
            headers={"Authorization": f"Basic {self._basic}"},
        )

    def _session_call(self) -> Read[Session]:
        return Read("session login", "POST", "/api/m2m/v1/session/login", _read_session, body=self._account)


class _BearerNotAccepted(StaleBearer):
    """The gateway did not let a login pass to the service: that was no attempt at a login."""
