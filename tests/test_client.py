"""The client over real HTTP: logins, repetition, limits, proxies, and that no secret is ever told."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from licensesync import __version__
from licensesync.errors import (
    ApiError,
    BatchRejected,
    LicenseSyncError,
    LoginRejected,
    LoginUnavailable,
    NoSuchResource,
    RateLimited,
    RequestRejected,
    ServerBroken,
    StaleBearer,
    StaleSession,
    Unauthorized,
    Unconnected,
    UnexpectedReply,
    Unreachable,
)
from licensesync.model import Action, Capacity, DeviceId, Mode, Outcome, OutcomeKind, OutcomeReason, Pool, Product, Verb
from licensesync.simulator.server import DEFAULT_ACCOUNT, Simulator, SimulatorOptions, running
from licensesync.thingspace import client, transport
from licensesync.thingspace.client import Client, Reader
from licensesync.thingspace.fota import FotaReader, FotaService
from licensesync.thingspace.login import Logins
from licensesync.thingspace.transport import Bounds
from licensesync.thingspace.wire import Read, Write

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

QUICK = Bounds(timeout=5.0, concurrency=4, requests_per_second=2000.0)
AT_ONCE = {"Retry-After": "0"}
PASSWORD_INVALID = {"errorCode": "UnifiedWebService.INPUT_INVALID.Password.Invalid", "errorMessage": "not valid"}
SESSION_EXPIRED = {
    "errorCode": "UnifiedWebService.REQUEST_FAILED.SessionToken.Expired",
    "errorMessage": "The Session has expired.",
}
SESSION_EXPIRED_BY_FOTA = {
    "errorCode": "INVALID_PARAMETER",
    "errorMessage": "UWS verification failure (The Session has expired.)",
}
BEARER_EXPIRED = {"fault": {"code": "900901", "message": "Invalid Credentials", "description": "Access failure"}}
TOKEN, LOGIN = "/api/ts/v1/oauth2/token", "/api/m2m/v1/session/login"


@dataclass(frozen=True)
class Secrets:
    """Made-up credentials."""

    key: str = "key-of-the-application"
    secret: str = "secret-of-the-application"
    username: str = "name-of-the-user"
    password: str = "password-of-the-user"


SECRETS = Secrets()
THING: Read[str] = Read("thing", "GET", "/api/fota/v3/thing", bytes.decode)


def unreadable(body: bytes) -> str:
    """A reader to which no answer is right."""
    raise UnexpectedReply(f"thing: the answer is not what Verizon documents: {body.decode()[:200]}")


CHANGE: Write[str] = Write("change", "POST", "/api/fota/v3/change", bytes.decode, body=b'{"deviceList":[]}')
UNREADABLE: Read[str] = Read("thing", "GET", "/thing", unreadable)
UNREADABLE_CHANGE: Write[str] = Write("change", "POST", "/change", unreadable, body=b"{}")


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass
class Desk:
    """A service that gives tokens and sessions and answers calls that carry them, unless told otherwise."""

    url: str = ""
    expires_in: float | None = 3600
    seen: list[Seen] = field(default_factory=list)
    issued: int = 0
    bearer: str = ""
    session: str = ""
    stale: Mapping[str, object] = field(default_factory=lambda: SESSION_EXPIRED)
    on_token: Answer | None = None
    on_login: Answer | None = None
    on_call: Answer | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(
            Seen(request.method, request.path, request.headers.copy(), await request.read(), time.monotonic())
        )
        if request.path == TOKEN:
            return await (self.on_token or self.give_token)(request)
        if request.path == LOGIN:
            return await (self.on_login or self.give_session)(request)
        if request.headers.get("Authorization") != f"Bearer {self.bearer}":
            return web.json_response(BEARER_EXPIRED, status=401)
        if request.headers.get("VZ-M2M-Token") != self.session:
            return web.json_response(self.stale, status=400)
        return await (self.on_call or self.give_thing)(request)

    async def give_token(self, _: web.Request) -> web.StreamResponse:
        if not self.bearer:
            self.issued += 1
            self.bearer = f"bearer-number-{self.issued}"
        told = {"access_token": self.bearer, "token_type": "Bearer", "scope": "default"}
        return web.json_response(told if self.expires_in is None else {**told, "expires_in": self.expires_in})

    async def give_session(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.bearer}":
            return web.json_response(BEARER_EXPIRED, status=401)
        self.issued += 1
        self.session = f"session-number-{self.issued}"
        return web.json_response({"sessionToken": self.session})

    async def give_thing(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="a thing")

    def asked(self, *paths: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path in paths]

    @property
    def logins(self) -> tuple[int, int]:
        """How often a token and how often a session was asked for."""
        return len(self.asked(TOKEN)), len(self.asked(LOGIN))

    @property
    def calls(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.path not in {TOKEN, LOGIN}]


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """A server on loopback that answers every request so."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with listening(desk.answer) as desk.url:
        yield desk


@asynccontextmanager
async def writing(
    desk: Desk, bounds: Bounds = QUICK, secrets: Secrets = SECRETS, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Client]:
    async with client.writing(desk.url, bounds, secrets, environ or {}) as opened:
        yield opened


def always(status: int, told: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """The same answer each time, after which a client that may repeat does so at once."""
    body = told if isinstance(told, bytes) else b"" if told is None else json.dumps(told).encode()

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=AT_ONCE if headers is None else headers)

    return answer


def first(odd: Answer, then: Answer, times: int = 1) -> Answer:
    """The odd answer so many times, and then the other."""
    left = times

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal left
        left -= 1
        return await (odd if left >= 0 else then)(request)

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    """No answer at all."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def whatever(awaitable: Awaitable[Any]) -> Any:
    """What it gives, or the error that it raises."""
    try:
        return await awaitable
    except ApiError as error:
        return error


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def by_clock(desk: Desk, clock: Clock) -> AsyncIterator[Reader]:
    async with transport.opened(desk.url, QUICK, {}) as opened:
        yield Reader(opened, Logins(opened, SECRETS, clock))


# --- what is sent


async def test_a_call_carries_both_tokens_and_says_who_asks(desk: Desk) -> None:
    async with writing(desk) as opened:
        assert await opened.read(THING) == "a thing"
    token, login, call = desk.seen
    assert token.headers["Authorization"] == "Basic " + b64encode(f"{SECRETS.key}:{SECRETS.secret}".encode()).decode()
    assert (token.body, token.headers["Content-Type"]) == (
        b"grant_type=client_credentials",
        "application/x-www-form-urlencoded",
    )
    assert login.headers["Authorization"] == f"Bearer {desk.bearer}"
    assert json.loads(login.body) == {"username": SECRETS.username, "password": SECRETS.password}
    assert login.headers["Content-Type"] == "application/json"
    assert call.headers["Authorization"] == f"Bearer {desk.bearer}"
    assert call.headers["VZ-M2M-Token"] == desk.session
    assert {seen.headers["User-Agent"] for seen in desk.seen} == {f"licensesync/{__version__}"}
    assert {seen.headers["Accept"] for seen in desk.seen} == {"application/json"}


async def test_the_path_and_query_of_a_call_arrive_as_they_are_written(desk: Desk) -> None:
    odd: Read[str] = Read("odd", "GET", "/api/a%2Fb/index/990", bytes.decode, {"lastSeenDeviceId": "9 &9"})
    raw: list[str] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        raw.append(request.raw_path)
        return web.Response(text="")

    desk.on_call = remember
    async with writing(desk) as opened:
        await opened.read(odd)
    assert raw == ["/api/a%2Fb/index/990?lastSeenDeviceId=9+%269"]


async def test_cookies_are_not_kept(desk: Desk) -> None:
    desk.on_call = always(200, b"ok", {"Set-Cookie": "a=b; Path=/"})
    async with writing(desk) as opened:
        await opened.read(THING)
        await opened.read(THING)
    assert not any("Cookie" in seen.headers for seen in desk.seen)


def test_what_can_only_read_has_no_way_to_write() -> None:
    assert not hasattr(Reader, "write")
    assert not hasattr(FotaReader, "submit")


# --- logging in


async def test_many_calls_at_once_log_in_once(desk: Desk) -> None:
    async with writing(desk) as opened:
        told = await asyncio.gather(*(opened.read(THING) for _ in range(30)))
    assert told == ["a thing"] * 30
    assert desk.logins == (1, 1)


@pytest.mark.parametrize("stale", [SESSION_EXPIRED, SESSION_EXPIRED_BY_FOTA])
async def test_a_session_that_expires_in_the_middle_is_renewed_once_for_all(
    desk: Desk, stale: Mapping[str, object]
) -> None:
    desk.stale = stale
    async with writing(desk) as opened:
        await opened.read(THING)
        desk.session = "another user's"
        told = await asyncio.gather(*(opened.read(THING) for _ in range(20)), opened.write(CHANGE))
    assert told == ["a thing"] * 21
    assert desk.logins == (1, 2)


async def test_a_bearer_that_is_revoked_in_the_middle_is_renewed_once_for_all(desk: Desk) -> None:
    async with writing(desk) as opened:
        await opened.read(THING)
        desk.bearer = ""
        told = await asyncio.gather(*(opened.read(THING) for _ in range(20)), opened.write(CHANGE))
    assert told == ["a thing"] * 21
    assert desk.logins == (2, 1)


async def test_bearer_and_session_that_are_lost_together_are_both_renewed(desk: Desk) -> None:
    async with writing(desk) as opened:
        await opened.read(THING)
        desk.bearer, desk.session = "", "another"
        assert await opened.write(CHANGE) == "a thing"
    assert desk.logins == (2, 2)


@pytest.mark.parametrize(
    ("answer", "kind", "logins"),
    [
        (always(401, BEARER_EXPIRED), StaleBearer, (2, 1)),
        (always(400, SESSION_EXPIRED), StaleSession, (1, 2)),
        (always(400, SESSION_EXPIRED_BY_FOTA), StaleSession, (1, 2)),
    ],
)
async def test_tokens_that_are_never_accepted_are_renewed_once_and_then_the_call_fails(
    desk: Desk, answer: Answer, kind: type[ApiError], logins: tuple[int, int]
) -> None:
    desk.on_call = answer
    async with writing(desk) as opened:
        for call in (opened.read(THING), opened.write(CHANGE)):
            desk.seen.clear()
            error = await whatever(call)
            assert type(error) is kind
            assert isinstance(error, Unauthorized)
            assert len(desk.calls) == 2
            assert desk.logins <= logins


async def test_a_bearer_is_renewed_before_it_expires(desk: Desk) -> None:
    clock, desk.expires_in = Clock(), 100
    async with by_clock(desk, clock) as opened:
        await opened.read(THING)
        clock.now += 98.5
        await opened.read(THING)
        assert desk.logins == (1, 1)
        clock.now += 1.0
        desk.bearer = ""
        await opened.read(THING)
    assert desk.logins == (2, 1)
    assert len(desk.calls) == 3


async def test_a_bearer_without_a_lifetime_lives_for_an_hour(desk: Desk) -> None:
    clock, desk.expires_in = Clock(), None
    async with by_clock(desk, clock) as opened:
        await opened.read(THING)
        for _ in range(4):
            clock.now += 895
            await opened.read(THING)
        assert desk.logins == (1, 1)
        clock.now += 20
        await opened.read(THING)
    assert desk.logins == (2, 1)


async def test_a_session_is_renewed_after_a_quarter_of_an_hour_without_use_and_use_keeps_it(desk: Desk) -> None:
    clock, desk.expires_in = Clock(), 100_000
    async with by_clock(desk, clock) as opened:
        for _ in range(5):
            clock.now += 890
            await opened.read(THING)
        assert desk.logins == (1, 1)
        clock.now += 901
        await opened.read(THING)
    assert desk.logins == (1, 2)


async def test_a_token_that_is_nearly_over_is_waited_out(desk: Desk) -> None:
    lives = iter([0, 3600])

    async def shrinking(request: web.Request) -> web.StreamResponse:
        desk.expires_in = next(lives)
        return await desk.give_token(request)

    desk.on_token = shrinking
    async with writing(desk) as opened:
        assert await opened.read(THING) == "a thing"
        assert await opened.read(THING) == "a thing"
    assert desk.logins == (2, 1)


async def test_a_token_that_is_over_each_time_is_no_endless_loop(desk: Desk) -> None:
    desk.expires_in = -5
    async with writing(desk) as opened:
        assert await opened.read(THING) == "a thing"
    assert desk.logins == (2, 1)


# --- rejected logins

REJECTIONS: dict[str, Answer] = {
    "password": always(400, PASSWORD_INVALID),
    "locked": always(400, {"errorCode": "UnifiedWebService.REQUEST_FAILED.Contact.Locked", "errorMessage": "locked"}),
    "oauth": always(401, {"error": "invalid_client", "error_description": "Client Authentication failed."}),
    "401": always(401, b"<html>no</html>"),
    "403": always(403, b"<am:fault><am:code>403</am:code></am:fault>"),
    "404": always(404, {"errorCode": "UnifiedWebService.INPUT_INVALID.UserName.NotFound", "errorMessage": "no user"}),
    "400": always(400, b""),
    "redirect": always(302, b"", {"Location": "http://127.0.0.1:9/"}),
    "200": always(200, PASSWORD_INVALID),
}


@pytest.mark.parametrize("rejection", REJECTIONS)
async def test_a_rejected_session_login_is_tried_exactly_once_whatever_happens_after(
    desk: Desk, rejection: str
) -> None:
    desk.on_login = REJECTIONS[rejection]
    async with writing(desk) as opened:
        at_once = await asyncio.gather(
            *(whatever(opened.read(THING)) for _ in range(10)), whatever(opened.write(CHANGE))
        )
        later = [await whatever(opened.read(THING)), await whatever(opened.write(CHANGE))]
    assert len(desk.asked(LOGIN)) == 1
    assert {type(error) for error in (*at_once, *later)} == {_kind_of(rejection)}
    assert desk.calls == []


@pytest.mark.parametrize("rejection", ["oauth", "401", "403", "400", "redirect"])
async def test_a_rejected_key_is_tried_exactly_once_whatever_happens_after(desk: Desk, rejection: str) -> None:
    desk.on_token = REJECTIONS[rejection]
    async with writing(desk) as opened:
        at_once = await asyncio.gather(*(whatever(opened.read(THING)) for _ in range(10)))
        later = await whatever(opened.write(CHANGE))
    assert desk.logins == (1, 0)
    assert {type(error) for error in (*at_once, later)} == {_kind_of(rejection)}


def _kind_of(rejection: str) -> type[ApiError]:
    """A redirect says nothing of the credentials, only that the address is wrong."""
    return RequestRejected if rejection == "redirect" else LoginRejected


async def test_logins_without_an_answer_end_before_they_could_lock_the_user(desk: Desk) -> None:
    desk.on_login = always(503)
    async with writing(desk) as opened:
        told = [await whatever(opened.read(THING)) for _ in range(5)]
    assert len(desk.asked(LOGIN)) == 4
    assert {type(error) for error in told} == {LoginUnavailable}


async def test_a_login_without_an_answer_is_made_again_ever_more_rarely(desk: Desk) -> None:
    desk.on_login = always(503)
    now, made = [0.0], []
    async with transport.opened(desk.url, QUICK, {}) as opened:
        logins = Logins(opened, SECRETS, lambda: now[0])
        for now[0] in (0, 0, 0, 0, 1, 14, 16, 45, 47, 106, 108, 3000, 3001, 3239, 3241):
            await whatever(logins.tokens())
            made.append(len(desk.asked(LOGIN)))
        desk.on_login, now[0] = None, 5000
        assert await logins.tokens()
    assert made == [1, 2, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 8, 8, 9]


async def test_a_service_that_is_not_there_was_not_asked_for_a_login_and_is_found_as_soon_as_it_is(desk: Desk) -> None:
    async with transport.opened("http://127.0.0.1:9", QUICK, {}) as opened:
        logins = Logins(opened, SECRETS, time.monotonic)
        told = [await whatever(logins.tokens()) for _ in range(9)]
    assert {type(error) for error in told} == {Unconnected}


async def test_who_does_not_answer_like_the_service_is_asked_again_after_an_hour(desk: Desk) -> None:
    now = [0.0]
    async with transport.opened(desk.url, QUICK, {}) as opened:
        for answer, most in ((always(200, {}), 2), (always(302), 1)):
            desk.on_login, before = answer, len(desk.asked(LOGIN))
            logins = Logins(opened, SECRETS, lambda: now[0])
            for now[0] in (0, 0, 0, 3599):
                await whatever(logins.tokens())
            assert len(desk.asked(LOGIN)) - before == most
            desk.on_login, now[0] = None, 3601
            assert await logins.tokens()


async def test_a_login_that_answers_something_else_twice_is_not_repeated_and_blames_no_credentials(desk: Desk) -> None:
    desk.on_login = always(200, {})
    async with writing(desk) as opened:
        told = [await whatever(opened.read(THING)) for _ in range(5)]
    assert len(desk.asked(LOGIN)) == 2
    assert not any(isinstance(error, LoginRejected) for error in told)
    assert "THINGSPACE_PASSWORD" not in str(told[-1])


@pytest.mark.parametrize("written", ["3600", 3600, 3600.5, None, "soon"])
async def test_a_lifetime_in_any_form_is_good_enough(desk: Desk, written: object) -> None:
    desk.bearer = "a-bearer"
    desk.on_token = always(200, {"access_token": desk.bearer, "expires_in": written})
    async with writing(desk) as opened:
        assert await opened.read(THING) == "a thing"


@pytest.mark.parametrize("session", ["", "a\r\nX-Injected: y", "a b"])
async def test_a_session_that_is_no_token_is_not_used(desk: Desk, session: str) -> None:
    desk.on_login = always(200, {"sessionToken": session})
    async with writing(desk) as opened:
        error = await whatever(opened.read(THING))
    assert isinstance(error, ApiError)
    assert desk.calls == []


async def test_a_proxy_that_is_no_address_is_said_to_be_so_without_its_password(desk: Desk) -> None:
    with pytest.raises(LicenseSyncError, match="write http://host:port") as told:
        async with client.reading("https://thingspace.example", QUICK, SECRETS, {"https_proxy": "me:pw@127.0.0.1:x"}):
            pass
    assert "pw" not in str(told.value)


async def test_a_login_that_is_rejected_in_the_middle_of_a_run_is_not_repeated_either(desk: Desk) -> None:
    async with writing(desk) as opened:
        await opened.read(THING)
        desk.session, desk.on_login = "gone", REJECTIONS["password"]
        told = await asyncio.gather(*(whatever(opened.read(THING)) for _ in range(10)))
        desk.on_login = None
        told.append(await whatever(opened.read(THING)))
    assert {type(error) for error in told} == {LoginRejected}
    assert len(desk.asked(LOGIN)) == 2


async def test_a_rejected_login_says_which_credentials_to_check(desk: Desk) -> None:
    desk.on_login = REJECTIONS["password"]
    async with writing(desk) as opened:
        with pytest.raises(LoginRejected, match=r"THINGSPACE_USERNAME and THINGSPACE_PASSWORD.*not tried again"):
            await opened.read(THING)
    desk.on_token = REJECTIONS["oauth"]
    async with writing(desk) as opened:
        with pytest.raises(LoginRejected, match="THINGSPACE_KEY and THINGSPACE_SECRET"):
            await opened.read(THING)


@pytest.mark.parametrize(
    "hiccup",
    [
        always(503),
        always(500),
        always(429),
        always(502, b"<html>Bad Gateway</html>"),
        always(400, {"errorCode": "UnifiedWebService.REQUEST_FAILED.UnexpectedError", "errorMessage": "oops"}),
        hang_up,
    ],
    ids=["503", "500", "429", "502", "unexpected", "no-answer"],
)
@pytest.mark.parametrize("where", ["token", "login"])
async def test_a_login_without_a_verdict_is_no_rejection(desk: Desk, where: str, hiccup: Answer) -> None:
    if where == "token":
        desk.on_token = first(hiccup, desk.give_token)
    else:
        desk.on_login = first(hiccup, desk.give_session)
    async with writing(desk) as opened:
        assert await opened.read(THING) == "a thing"
    assert desk.logins == ((2, 1) if where == "token" else (1, 2))


async def test_a_service_that_is_down_at_login_is_no_rejection_for_the_next_call(desk: Desk) -> None:
    desk.on_login = always(503)
    async with writing(desk) as opened:
        with pytest.raises(LoginUnavailable):
            await opened.read(THING)
        assert len(desk.asked(LOGIN)) == 3
        desk.on_login = None
        assert await opened.read(THING) == "a thing"


async def test_a_bearer_that_the_gateway_refuses_at_login_is_no_attempt_at_a_login(desk: Desk) -> None:
    desk.on_login = first(always(401, BEARER_EXPIRED), desk.give_session)
    async with writing(desk) as opened:
        assert await opened.read(THING) == "a thing"
    assert desk.logins == (2, 2)


async def test_a_bearer_that_the_gateway_always_refuses_at_login_ends_the_call(desk: Desk) -> None:
    desk.on_login = always(401, BEARER_EXPIRED)
    async with writing(desk) as opened:
        error = await whatever(opened.read(THING))
    assert isinstance(error, Unauthorized)
    assert not isinstance(error, LoginRejected)
    assert desk.logins == (2, 2)


async def test_an_address_that_is_no_thingspace_says_so(desk: Desk) -> None:
    desk.on_token = always(404, b"<html>nothing here</html>")
    async with writing(desk) as opened:
        with pytest.raises(NoSuchResource, match=r"check .*thingspace\.url"):
            await opened.read(THING)


# --- repeating

BROKEN: dict[str, tuple[Answer, type[ApiError]]] = {
    "503": (always(503), ServerBroken),
    "408": (always(408), Unreachable),
    "hang-up": (hang_up, Unreachable),
}


@pytest.mark.parametrize("trouble", BROKEN)
async def test_a_read_is_repeated_at_most_twice(desk: Desk, trouble: str) -> None:
    answer, kind = BROKEN[trouble]
    async with writing(desk) as opened:
        await opened.read(THING)
        desk.on_call = answer
        desk.seen.clear()
        with pytest.raises(kind):
            await opened.read(THING)
    assert len(desk.calls) == 3


@pytest.mark.parametrize("times", [1, 2])
async def test_a_read_that_succeeds_when_it_is_repeated_has_succeeded(desk: Desk, times: int) -> None:
    desk.on_call = first(always(503), desk.give_thing, times)
    async with writing(desk) as opened:
        assert await opened.read(THING) == "a thing"
    assert len(desk.calls) == times + 1


async def test_an_answer_that_cannot_be_read_is_asked_for_again(desk: Desk) -> None:
    async with running(SimulatorOptions(kind=True, seed=1, quirks={"html-200": "2x@subscription"})) as simulator:
        desk.url = simulator.url
        async with writing(desk) as opened:
            service = fota(opened)
            assert await service.capacity() == Capacity(1000, 0)
            assert (await service.observe([], lambda _, __: None)).holders == set()
        assert len(simulator.requests.of("subscription")) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 406, 413])
async def test_what_the_service_rejects_is_not_asked_again(desk: Desk, status: int) -> None:
    desk.on_call = always(status)
    async with writing(desk) as opened:
        for call in (opened.read(THING), opened.write(CHANGE)):
            assert isinstance(await whatever(call), RequestRejected)
    assert len(desk.calls) == 2


async def stay_silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'{"accountName": ')
    if request.transport is not None:
        request.transport.close()
    return response


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (always(500), ServerBroken),
        (always(503), ServerBroken),
        (always(408), Unreachable),
        (hang_up, Unreachable),
        (cut_off, Unreachable),
        (stay_silent, Unreachable),
    ],
    ids=["500", "503", "408", "hang-up", "cut-off", "silence"],
)
async def test_a_write_that_may_have_taken_effect_is_sent_once(
    desk: Desk, method: str, answer: Answer, kind: type[ApiError]
) -> None:
    async with writing(desk, replace(QUICK, timeout=0.3)) as opened:
        await opened.read(THING)  # so that there is a connection to be used again
        desk.on_call = answer
        desk.seen.clear()
        error = await whatever(opened.write(replace(CHANGE, method=method)))
    assert type(error) is kind
    assert error.leaves_write_unknown
    assert len(desk.calls) == 1


async def test_a_write_whose_answer_cannot_be_read_is_sent_once(desk: Desk) -> None:
    async with writing(desk) as opened:
        with pytest.raises(UnexpectedReply):
            await opened.write(UNREADABLE_CHANGE)
    assert len(desk.calls) == 1


async def test_a_write_is_repeated_when_the_service_said_that_it_did_nothing(desk: Desk) -> None:
    desk.on_call = first(always(429), desk.give_thing, 2)
    async with writing(desk) as opened:
        assert await opened.write(CHANGE) == "a thing"
    assert len(desk.calls) == 3


async def test_a_write_that_is_never_let_through_is_repeated_at_most_twice(desk: Desk) -> None:
    desk.on_call = always(429)
    async with writing(desk) as opened:
        with pytest.raises(RateLimited):
            await opened.write(CHANGE)
    assert len(desk.calls) == 3


async def test_the_time_that_the_service_asks_for_is_waited(desk: Desk) -> None:
    desk.on_call = first(always(429, None, {"Retry-After": "1"}), desk.give_thing)
    async with writing(desk) as opened:
        await opened.write(CHANGE)
    refused, let_through = desk.calls
    assert 0.95 <= let_through.at - refused.at < 4


@pytest.mark.parametrize("wait", ["121", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_a_wait_beyond_all_patience_is_an_error_at_once(desk: Desk, wait: str) -> None:
    desk.on_call = always(429, None, {"Retry-After": wait})
    async with writing(desk) as opened:
        with pytest.raises(RateLimited, match="asks to wait"):
            await opened.read(THING)
    assert len(desk.calls) == 1


@pytest.mark.parametrize("wait", ["Sun, 22 Nov 2026 15:00:30 +99999999999999999999", "\x80", "soon"])
async def test_a_wait_that_makes_no_sense_is_passed_over(desk: Desk, wait: str) -> None:
    desk.on_call = always(429, None, {"Retry-After": wait})
    async with writing(desk, replace(QUICK, timeout=2)) as opened:
        error = await whatever(opened.write(CHANGE))
    assert isinstance(error, RateLimited)
    assert len(desk.calls) == 3


# --- limits


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_never_more_requests_are_under_way_than_are_allowed(desk: Desk, concurrency: int) -> None:
    under_way, most, full = 0, 0, asyncio.Event()

    async def wait_for_the_others(_: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == concurrency:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        under_way -= 1
        return web.Response(text="")

    desk.on_call = wait_for_the_others
    async with writing(desk, replace(QUICK, concurrency=concurrency)) as opened:
        await asyncio.gather(*(opened.read(THING) for _ in range(12)))
    assert most == concurrency


async def test_never_more_requests_are_sent_in_a_second_than_are_allowed(desk: Desk) -> None:
    async with writing(desk, replace(QUICK, requests_per_second=25, concurrency=8)) as opened:
        await asyncio.gather(*(opened.read(THING) for _ in range(8)))
    times = [seen.at for seen in desk.seen]
    assert len(times) == 10
    assert times[-1] - times[0] >= 9 / 25 * 0.8


async def test_a_service_that_does_not_answer_in_time_is_unreachable(desk: Desk) -> None:
    desk.on_call = stay_silent
    async with writing(desk, replace(QUICK, timeout=0.2)) as opened:
        with pytest.raises(Unreachable, match=r"change: no answer within 0\.2 s"):
            await opened.write(CHANGE)


async def test_a_service_that_is_not_there_is_unreachable(desk: Desk) -> None:
    async with listening(desk.answer) as gone:
        pass
    desk.url = gone
    async with writing(desk) as opened:
        with pytest.raises(LoginUnavailable, match=f"no answer from {urlsplit(gone).netloc}"):
            await opened.write(CHANGE)


async def test_an_answer_without_measure_is_no_answer(desk: Desk) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 4 * transport.LARGEST_BODY:
            await response.write(b" " * 2**20)
            sent += 2**20
        return response

    desk.on_call = flood
    async with writing(desk) as opened:
        with pytest.raises(UnexpectedReply, match="larger than 32 MiB"):
            await opened.write(CHANGE)
    assert sent < 4 * transport.LARGEST_BODY


# --- redirects and proxies


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["token", "login", "call"])
async def test_a_redirect_is_never_followed_and_no_credentials_go_elsewhere(
    desk: Desk, where: str, status: int
) -> None:
    elsewhere = Desk()
    async with listening(elsewhere.answer) as elsewhere.url:
        redirect = always(status, b"", {"Location": f"{elsewhere.url}/login"})
        if where == "token":
            desk.on_token = redirect
        elif where == "login":
            desk.on_login = redirect
        else:
            desk.on_call = redirect
        async with writing(desk) as opened:
            told = [await whatever(opened.read(THING)), await whatever(opened.write(CHANGE))]
    assert elsewhere.seen == []
    assert all("which is never followed; check thingspace.url" in str(error) for error in told)
    assert urlsplit(elsewhere.url).netloc in str(told[0])


async def test_a_proxy_of_the_environment_is_asked_in_place_of_the_service(desk: Desk) -> None:
    through: list[tuple[str, str | None]] = []

    async def pass_on(request: web.Request) -> web.StreamResponse:
        through.append((request.raw_path, request.headers.get("Proxy-Authorization")))
        return await desk.answer(request)

    async with listening(pass_on) as proxy:
        named = {"HTTP_PROXY": proxy.replace("http://", "http://me:pass%21word@")}
        async with client.reading("http://thingspace.example", QUICK, SECRETS, named) as opened:
            assert await opened.read(THING) == "a thing"
    credentials = "Basic " + b64encode(b"me:pass!word").decode()
    assert through[-1] == ("http://thingspace.example/api/fota/v3/thing", credentials)
    assert {credential for _, credential in through} == {credentials}


async def test_a_proxy_is_asked_for_a_tunnel_and_told_nothing_that_is_meant_for_the_service() -> None:
    heard: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        named = {"https_proxy": f"http://me:pass%21word@127.0.0.1:{port}"}
        async with client.writing("https://thingspace.example", QUICK, SECRETS, named) as opened:
            error = await whatever(opened.write(CHANGE))
    asked = heard[0]
    assert asked.startswith(b"CONNECT thingspace.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " + b64encode(b"me:pass!word") in asked
    assert asked.count(b"Authorization:") == 1
    assert isinstance(error, LoginUnavailable)
    assert "pass!word" not in everything_told(error)


async def test_what_a_proxy_was_told_is_in_no_message() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(status=407, text=f"no entry with {request.headers.get('Proxy-Authorization')}")

    async with listening(echo) as proxy:
        named = {"http_proxy": proxy.replace("http://", "http://me:pass%21word@")}
        async with client.reading("http://thingspace.example", QUICK, SECRETS, named) as opened:
            error = await whatever(opened.read(THING))
    assert isinstance(error, ApiError)
    assert b64encode(b"me:pass!word").decode() not in everything_told(error)
    assert "pass!word" not in everything_told(error)


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://thingspace.example", {"HTTPS_PROXY": "http://proxy.example:8080"}, "http://proxy.example:8080"),
        ("https://thingspace.example", {"https_proxy": "proxy.example:8080"}, "http://proxy.example:8080"),
        ("https://thingspace.example", {"all_proxy": "http://proxy.example"}, "http://proxy.example"),
        ("https://thingspace.example", {"HTTP_PROXY": "http://proxy.example"}, None),
        ("http://thingspace.example", {"HTTPS_PROXY": "http://proxy.example"}, None),
        ("https://thingspace.example", {"HTTPS_PROXY": ""}, None),
        ("https://thingspace.example", {}, None),
        ("https://thingspace.example", {"HTTPS_PROXY": "http://p.example", "NO_PROXY": ".example"}, None),
        ("https://thingspace.example", {"HTTPS_PROXY": "http://p.example", "no_proxy": "*"}, None),
        ("https://thingspace.example", {"HTTPS_PROXY": "http://p.example", "no_proxy": "x.y"}, "http://p.example"),
        ("http://127.0.0.1:8000", {"HTTP_PROXY": "http://p.example", "all_proxy": "http://p.example"}, None),
        ("http://localhost:8000", {"HTTP_PROXY": "http://p.example"}, None),
        ("http://[::1]:8000", {"HTTP_PROXY": "http://p.example"}, None),
        ("http://localhost.example", {"HTTP_PROXY": "http://p.example"}, "http://p.example"),
        ("http://127.example", {"HTTP_PROXY": "http://p.example"}, "http://p.example"),
    ],
)
async def test_the_environment_names_the_proxy_as_it_does_for_other_programs(
    url: str, environ: dict[str, str], proxy: str | None
) -> None:
    async with transport.opened(url, QUICK, environ) as opened:
        address = opened.proxy.address
        assert (None if address is None else str(address).rstrip("/")) == proxy


async def test_a_service_on_loopback_is_asked_directly(desk: Desk) -> None:
    async with writing(desk, environ={"http_proxy": "http://127.0.0.1:9", "all_proxy": "http://127.0.0.1:9"}) as opened:
        assert await opened.read(THING) == "a thing"


# --- secrets


def everything_told(error: BaseException) -> str:
    """All that a log could hold of an error: its words, its picture, its whole traceback."""
    return "\n".join([str(error), repr(error), *traceback.format_exception(error)])


def echo(status: int, form: str) -> Answer:
    """All that it was told, in an answer of some form."""

    async def answer(request: web.Request) -> web.StreamResponse:
        told = " ".join([*request.headers.values(), (await request.read()).decode(), request.path_qs])
        if form == "location":
            location = f"https://{told.replace('/', '_').replace(' ', '_')}@elsewhere.example/"
            return web.Response(status=status, headers={"Location": location})
        if form == "json":
            return web.json_response({"errorCode": "INVALID", "errorMessage": told}, status=status, headers=AT_ONCE)
        body = f"<html><title>{told}</title></html>" if form == "html" else told
        return web.Response(status=status, text=body, headers=AT_ONCE)

    return answer


AWKWARD = Secrets("k3y", 'quoted"sec\\ret', "name@example.com", "pass  wörd/€100")
ECHOES = [(400, "json"), (400, "text"), (401, "json"), (500, "html"), (403, "html"), (200, "text"), (302, "location")]


@pytest.mark.parametrize(("status", "form"), ECHOES)
@pytest.mark.parametrize("secrets", [SECRETS, AWKWARD], ids=["plain", "awkward"])
@pytest.mark.parametrize("where", ["token", "login", "call"])
async def test_no_secret_is_in_any_message_even_if_the_server_echoes_it(
    desk: Desk, where: str, secrets: Secrets, status: int, form: str
) -> None:
    if where == "token":
        desk.on_token = echo(status, form)
    elif where == "login":
        desk.on_login = echo(status, form)
    else:
        desk.on_call = echo(status, form)
    async with writing(desk, secrets=secrets) as opened:
        told = [await whatever(opened.read(UNREADABLE)), await whatever(opened.write(UNREADABLE_CHANGE))]
    basic = b64encode(f"{secrets.key}:{secrets.secret}".encode()).decode()
    for error in told:
        assert isinstance(error, ApiError)
        for secret in (secrets.secret, secrets.password, basic, desk.bearer or "(none)", desk.session or "(none)"):
            assert secret not in everything_told(error)
            assert " ".join(secret.split()) not in everything_told(error)


@pytest.mark.parametrize("margin", range(0, 24, 4))
async def test_no_part_of_a_secret_is_in_a_message_where_the_servers_words_are_cut(desk: Desk, margin: int) -> None:
    desk.on_login = always(400, b"x" * (200 - margin) + SECRETS.password.encode())
    async with writing(desk) as opened:
        error = await whatever(opened.read(THING))
    assert SECRETS.password[:4] not in everything_told(error)
    desk.on_login = always(200, b"x" * (200 - margin) + SECRETS.password.encode())
    async with writing(desk) as opened:
        error = await whatever(opened.write(CHANGE))
    assert SECRETS.password[:4] not in everything_told(error)


@pytest.mark.parametrize(
    "body",
    [
        b'{"accessToken": "fresh-token-of-today", "expires_in": 3600}',
        b'{"access_token": "fresh-token-of-today", "expires_in": "3600 s"}',
        b'{"access_token": "fresh-token-of-today", "expi',
        b"access_token=fresh-token-of-today&expires_in=3600",
    ],
)
async def test_a_token_in_an_answer_of_another_form_is_in_no_message(desk: Desk, body: bytes) -> None:
    desk.on_token = always(200, body)
    async with writing(desk) as opened:
        error = await whatever(opened.write(CHANGE))
    assert isinstance(error, ApiError)
    assert "fresh-token" not in everything_told(error)


@pytest.mark.parametrize(
    "body",
    [
        b'{"session_token": "fresh-session-of-today"}',
        b'{"sessionToken": "fresh-session-of-to',
        b'{"sessionToken": {"value": "fresh-session-of-today"}}',
        b"fresh-session-of-today",
    ],
)
async def test_a_session_in_an_answer_of_another_form_is_in_no_message(desk: Desk, body: bytes) -> None:
    desk.on_login = always(200, body)
    async with writing(desk) as opened:
        error = await whatever(opened.write(CHANGE))
    assert isinstance(error, ApiError)
    assert "fresh-session" not in everything_told(error)


async def test_no_object_of_the_client_shows_a_secret(desk: Desk) -> None:
    async with transport.opened(desk.url, QUICK, {}) as opened:
        logins = Logins(opened, SECRETS, Clock())
        reader = Reader(opened, logins)
        await reader.read(THING)
        picture = f"{opened!r} {logins!r} {reader!r} {vars(reader)!r}"
    for secret in (SECRETS.secret, SECRETS.password, desk.bearer, desk.session):
        assert secret not in picture


# --- the FOTA product over HTTP


IMEIS = [DeviceId(f"{990000000000000 + number:015d}") for number in range(40)]


def fota(opened: Client, **settings: Any) -> FotaService:
    return FotaService(Pool("fota", Product.FOTA, DEFAULT_ACCOUNT, Mode.FULL), opened, cursors=2, **settings)


@asynccontextmanager
async def simulated(**quirks: str) -> AsyncIterator[tuple[Simulator, FotaService]]:
    """A kind simulator with these quirks, and the FOTA product on it."""
    named = {name.replace("_", "-"): value for name, value in quirks.items()}
    async with (
        running(SimulatorOptions(kind=True, seed=7, licenses=20, quirks=named)) as simulator,
        client.writing(simulator.url, QUICK, SECRETS, {}) as opened,
    ):
        yield simulator, fota(opened)


def batch(verb: Verb, *devices: DeviceId) -> list[Action]:
    return [Action(verb, device) for device in devices]


def ends(outcomes: list[Outcome]) -> list[tuple[DeviceId, OutcomeKind, OutcomeReason | None]]:
    return [(each.action.device, each.kind, each.reason) for each in outcomes]


async def test_what_is_assigned_and_removed_is_so_in_the_world() -> None:
    async with simulated() as (simulator, service):
        assigned = await service.submit(batch(Verb.ASSIGN, *IMEIS[:5]))
        again = await service.submit(batch(Verb.ASSIGN, IMEIS[0], IMEIS[5]))
        removed = await service.submit(batch(Verb.REMOVE, IMEIS[0], IMEIS[9]))
        seen = await service.observe(IMEIS, lambda _, __: None)
        assert await service.look_up(IMEIS[:3]) == {IMEIS[0]: False, IMEIS[1]: True, IMEIS[2]: True}
    done, already = OutcomeKind.DONE, OutcomeReason.ALREADY
    assert ends(assigned) == [(each, done, None) for each in IMEIS[:5]]
    assert ends(again) == [(IMEIS[0], done, already), (IMEIS[5], done, None)]
    assert ends(removed) == [(IMEIS[0], done, None), (IMEIS[9], done, already)]
    assert seen.holders == set(IMEIS[1:6]) == set(simulator.world.accounts[DEFAULT_ACCOUNT].licensed)
    assert seen.capacity == Capacity(20, 5)


async def test_a_batch_that_may_be_rejected_for_one_device_says_so() -> None:
    async with simulated(poison_devices=IMEIS[3]) as (simulator, service):
        with pytest.raises(BatchRejected, match="Invalid device id format"):
            await service.submit(batch(Verb.ASSIGN, *IMEIS[:5]))
        assert simulator.world.accounts[DEFAULT_ACCOUNT].assigned == 0


@pytest.mark.parametrize(
    ("quirks", "kind", "reason"),
    [
        ({"error_500_after_effect": "on@writes"}, OutcomeKind.UNKNOWN, OutcomeReason.NO_ANSWER),
        ({"lost_after_effect": "on"}, OutcomeKind.UNKNOWN, OutcomeReason.NO_ANSWER),
        ({"html_200": "on@writes"}, OutcomeKind.UNKNOWN, OutcomeReason.NO_ANSWER),
        ({"write_rows_lost": "on"}, OutcomeKind.UNKNOWN, OutcomeReason.NO_ROW),
        ({"odd_status": "on"}, OutcomeKind.UNKNOWN, OutcomeReason.UNDOCUMENTED_WORD),
        ({"upgrade_pending": "on"}, OutcomeKind.UNKNOWN, OutcomeReason.UPGRADE_PENDING),
        ({"error_429": "on@writes", "retry_after": "absent"}, OutcomeKind.FAILED, OutcomeReason.RATE_LIMITED),
        ({"account_trouble": "inactive"}, OutcomeKind.FAILED, OutcomeReason.ACCOUNT_REJECTED),
        ({"account_trouble": "forbidden"}, OutcomeKind.FAILED, OutcomeReason.ACCOUNT_REJECTED),
        ({"login_rejected": "on"}, OutcomeKind.FAILED, OutcomeReason.CREDENTIALS_REJECTED),
        ({"unknown_devices": IMEIS[1]}, OutcomeKind.REJECTED, OutcomeReason.DEVICE_NOT_FOUND),
    ],
)
async def test_whatever_happens_to_a_write_each_device_has_one_outcome(
    quirks: dict[str, str], kind: OutcomeKind, reason: OutcomeReason
) -> None:
    async with simulated(**quirks) as (simulator, service):
        outcomes = await service.submit(batch(Verb.ASSIGN, *IMEIS[1:3]))
        assert [outcome.action.device for outcome in outcomes] == IMEIS[1:3]
        assert (outcomes[0].kind, outcomes[0].reason) == (kind, reason)
        assert len(simulator.requests.of("assign")) <= 3
        assert len(simulator.requests.of("login")) == 1


@pytest.mark.parametrize("where", ["token", "login"])
async def test_a_write_that_was_never_sent_because_nobody_could_log_in_has_failed_and_is_not_unknown(
    desk: Desk, where: str
) -> None:
    desk.on_token = always(503) if where == "token" else None
    desk.on_login = always(503) if where == "login" else None
    async with writing(desk) as opened:
        (outcome,) = await fota(opened).submit(batch(Verb.REMOVE, IMEIS[0]))
    assert desk.calls == []
    assert outcome.kind is OutcomeKind.FAILED


async def test_a_row_of_the_look_up_that_says_nothing_is_left_out() -> None:
    async with simulated(lookup_call="fieldless") as (_, service):
        assert await service.look_up(IMEIS[:2]) == {}


async def test_a_user_whose_name_is_part_of_an_identifier_gets_the_same_answers() -> None:
    numeric = Secrets(username="99000", password="0000")
    async with (
        running(SimulatorOptions(kind=True, seed=7)) as simulator,
        client.writing(simulator.url, QUICK, numeric, {}) as opened,
    ):
        outcomes = await fota(opened).submit(batch(Verb.ASSIGN, *IMEIS[:2]))
    assert ends(outcomes) == [(each, OutcomeKind.DONE, None) for each in IMEIS[:2]]
