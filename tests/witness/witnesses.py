"""Starts a simulator as a program, and points Verizon's SDK at it."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from verizon.configuration import Configuration, Environment
from verizon.http.auth.thingspace_oauth import ThingspaceOauthCredentials
from verizon.http.auth.vz_m2m_token import VZM2mTokenCredentials
from verizon.models.log_in_request import LogInRequest
from verizon.verizon_client import VerizonClient

ACCOUNT = "0642233522-00001"
_PROGRAM = "import typer; from licensesync.cli.simulate import simulate; typer.run(simulate)"
_PRODUCTION = "https://thingspace.verizon.com"

Start = Callable[..., "Witness"]


class Witness:
    """The SDK, logged in at one simulator."""

    def __init__(self, url: str) -> None:
        self.url = url
        oauth = ThingspaceOauthCredentials("key", "secret")
        outside = VerizonClient(thingspace_oauth_credentials=oauth)
        login = LogInRequest(username="user", password="password")
        session = outside.session_management.start_connectivity_management_session(login).body.session_token
        self.client = VerizonClient(
            thingspace_oauth_credentials=oauth, vz_m2m_token_credentials=VZM2mTokenCredentials(session)
        )
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
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a kind simulator as a program and points the SDK at it."""
    with ExitStack() as stack:

        def begin(*arguments: str) -> Witness:
            command = [sys.executable, "-c", _PROGRAM, "--kind", "--quirk", "profile=sdk-v3", *arguments]
            program = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(program.kill)
            assert program.stdout is not None
            url = json.loads(program.stdout.readline())["url"]
            production = Configuration.environments[Environment.PRODUCTION]
            here = {server: base.replace(_PRODUCTION, url) for server, base in production.items()}
            monkeypatch.setitem(Configuration.environments, Environment.PRODUCTION, here)
            return Witness(url)

        yield begin
