"""Starts a simulator beside the test, and points Verizon's SDK at it."""

import asyncio
import json
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from verizon.configuration import Configuration, Environment
from verizon.http.auth.thingspace_oauth import ThingspaceOauthCredentials
from verizon.http.auth.vz_m2m_token import VZM2mTokenCredentials
from verizon.models.log_in_request import LogInRequest
from verizon.verizon_client import VerizonClient

from licensesync.simulator.server import SimulatorOptions, running

ACCOUNT = "0642233522-00001"
_PRODUCTION = "https://thingspace.verizon.com"
_KIND = {"kind": True, "seed": 7}

Start = Callable[..., "Witness"]


class Noted:
    """The SDK, or a part of it, that notes the names of the calls which are made through it."""

    def __init__(self, part: Any, made: set[str], name: str = "") -> None:
        self._part, self._made, self._name = part, made, name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not self._name:
            return Noted(found, self._made, name)
        self._made.add(f"{self._name}.{name}")
        return found


class Witness:
    """The SDK, logged in at one simulator."""

    def __init__(self, url: str, made: set[str]) -> None:
        self.url = url
        oauth = ThingspaceOauthCredentials("key", "secret")
        self.outside: Any = Noted(VerizonClient(thingspace_oauth_credentials=oauth), made)
        login = LogInRequest(username="user", password="password")
        self.session = self.outside.session_management.start_connectivity_management_session(login).body.session_token
        session = VZM2mTokenCredentials(self.session)
        inside = VerizonClient(thingspace_oauth_credentials=oauth, vz_m2m_token_credentials=session)
        self.client: Any = Noted(inside, made)
        self.licenses = self.client.software_management_licenses_v3

    def ask(self, path: str, body: object = None) -> Any:
        """What the simulator answers below /_sim/."""
        said = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/_sim/{path}", said) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read())

    def world(self) -> dict[str, Any]:
        account: dict[str, Any] = self.ask("world")["accounts"][ACCOUNT]
        return account

    def switch(self, **quirks: str) -> None:
        self.ask("quirks", {name.replace("_", "-"): value for name, value in quirks.items()})

    def licensed(self) -> list[str]:
        return list(self.world()["licensed"])


@pytest.fixture
def made() -> set[str]:
    """The calls of the SDK that this test has made, as `controller.method`."""
    return set()


@pytest.fixture(autouse=True)
def as_it_says(request: pytest.FixtureRequest, made: set[str]) -> Iterator[None]:
    """A test that says that it is the witness of some calls has made each of them."""
    yield
    said = {call for mark in request.node.iter_markers("witness") for call in mark.args}
    assert said <= made, f"it never calls {sorted(said - made)}"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, made: set[str]) -> Iterator[Start]:
    """Starts a kind simulator, whose options and quirks may be others, and points the SDK at it."""
    with ExitStack() as stack:

        def begin(*, quirks: dict[str, str] | None = None, **options: Any) -> Witness:
            wanted = SimulatorOptions(**{**_KIND, "quirks": {"profile": "sdk-v3", **(quirks or {})}, **options})
            url = stack.enter_context(_beside(wanted))
            production = Configuration.environments[Environment.PRODUCTION]
            here = {server: base.replace(_PRODUCTION, url) for server, base in production.items()}
            monkeypatch.setitem(Configuration.environments, Environment.PRODUCTION, here)
            return Witness(url, made)

        yield begin


@contextmanager
def _beside(options: SimulatorOptions) -> Iterator[str]:
    """The address of a simulator in a thread of its own: the SDK waits for its answers in the test's thread."""
    began: Future[tuple[str, Callable[[], object]]] = Future()

    async def run() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        async with running(options) as simulator:
            began.set_result((simulator.url, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    with ThreadPoolExecutor(1) as threads, ExitStack() as at_the_end:
        whole = threads.submit(asyncio.run, run())
        whole.add_done_callback(lambda _: began.cancel())
        at_the_end.callback(whole.result)  # it says why, if there was no beginning
        url, end = began.result()
        at_the_end.callback(end)
        yield url
