"""The simulator as a program: what it prints, keeps, and how it ends."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import aiohttp
import pytest
import typer
from typer.testing import CliRunner

from licensesync.cli.simulate import simulate
from licensesync.simulator.quirks import TABLE
from simulator.conftest import Visit
from simulator.guest import ACCOUNT, A, B

app = typer.Typer(rich_markup_mode="rich")
app.command()(simulate)

_PROGRAM = "import typer; from licensesync.cli.simulate import simulate; typer.run(simulate)"


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            ready = json.loads(program.stdout.readline())
            yield program, ready["url"]
        finally:
            program.kill()


def words(output: str) -> str:
    return " ".join(output.replace("│", " ").split())


def asked(url: str, path: str, body: object = None) -> object:
    wanted = urllib.request.Request(url + path, json.dumps(body).encode() if body else None)  # noqa: S310 - loopback
    with urllib.request.urlopen(wanted) as answer:  # noqa: S310 - loopback
        return json.loads(answer.read())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_ends_quickly_at_a_signal(number: signal.Signals) -> None:
    with started("--kind") as (program, url):
        assert url.startswith("http://127.0.0.1:")
        begun = monotonic()
        program.send_signal(number)
        rest, told = program.communicate(timeout=10)
        assert (program.returncode, rest) == (0, "")
        assert monotonic() - begun < 3
        assert "not Verizon" in told


def test_a_million_devices_do_not_delay_its_start() -> None:
    with started("--kind", "--devices", "1000000", "--licenses", "1000000") as (_, url):
        assert asked(url, "/_sim/quirks")


def test_it_ends_by_itself_and_keeps_its_world_for_the_next_time(tmp_path: Path) -> None:
    state = tmp_path / "world.json"
    with started("--state", str(state), "--licenses", "7") as (program, url):
        asked(url, "/_sim/add", {"devices": [A, B]})
        program.send_signal(signal.SIGTERM)
        program.wait(10)
    assert json.loads(state.read_text())["accounts"][ACCOUNT]["licensed"] == [A, B]
    with started("--state", str(state), "--stop-after", "0.5") as (program, url):
        world = asked(url, "/_sim/world")
        assert isinstance(world, dict)
        assert (world["accounts"][ACCOUNT]["total"], world["accounts"][ACCOUNT]["assigned"]) == (7, 2)
        assert program.wait(10) == 0


def test_help_lists_every_quirk_with_its_sentence_in_80_columns() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    told = words(shown.output)
    for quirk in TABLE.values():
        assert f"{quirk.name} (" in told
        assert quirk.help.split()[-1] in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--quirk", "page-sise=3"], "unknown quirk 'page-sise'; write one of page-size"),
        (["--quirk", "page-size=many"], "page-size=many: write a number"),
        (["--quirk", "shuffled-rows"], "write on or off"),
        (["--credentials", "key:secret"], "write KEY:SECRET:USER:PASSWORD"),
        (["--account", "my account"], "write ten digits, a hyphen and five digits"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(arguments: list[str], told: str) -> None:
    shown = CliRunner().invoke(app, [*arguments, "--stop-after", "0"])
    assert shown.exit_code == 2
    assert told in words(shown.output)


@pytest.mark.parametrize(("text", "told"), [("{", "is not JSON"), ("[]", "no accounts")])
def test_a_state_file_of_another_form_is_a_usage_error(tmp_path: Path, text: str, told: str) -> None:
    state = tmp_path / "world.json"
    state.write_text(text)
    shown = CliRunner().invoke(app, ["--state", str(state), "--stop-after", "0"])
    assert shown.exit_code == 2
    assert told in words(shown.output)
    assert state.read_text() == text


def test_credentials_come_from_a_file(tmp_path: Path) -> None:
    kept = tmp_path / "credentials"
    kept.write_text("key:secret:user:pass:word\n")
    with started("--credentials", str(kept), "--kind", "--stop-after", "5") as (_, url):
        basic = {"Authorization": "Basic a2V5OnNlY3JldA=="}
        form = b"grant_type=client_credentials"
        wanted = urllib.request.Request(f"{url}/api/ts/v1/oauth2/token", form, basic)  # noqa: S310 - loopback
        with urllib.request.urlopen(wanted) as answer:  # noqa: S310 - loopback
            assert json.loads(answer.read())["expires_in"] == 3600


def test_nothing_heavy_is_imported_for_help() -> None:
    command = (
        "import sys; import licensesync.cli.simulate; sys.exit('aiohttp' in sys.modules or 'orjson' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", command], check=True)


async def test_latency_delays_many_answers_at_once(visit: Visit) -> None:
    guest = await visit(latency=0.2, come_in=False)
    begun = monotonic()
    await asyncio.gather(*(guest.status() for _ in range(50)))
    assert 0.2 < monotonic() - begun < 2


async def test_it_ends_quickly_although_an_answer_is_under_way(visit: Visit) -> None:
    guest = await visit(quirks={"delayed": "on", "delay": 60})
    with pytest.raises(TimeoutError):
        await guest.get("/api/fota/v3/subscriptions/" + ACCOUNT, timeout=aiohttp.ClientTimeout(total=0.1))


async def test_ports_are_chosen_freely(visit: Visit) -> None:
    first, second = await visit(), await visit()
    assert first.sim.url != second.sim.url
