"""How near reading a pool comes to what the latency allows, beside a plain loop and Verizon's own SDK.

Run it with `python tests/benchmarks/reading.py`; `--help` shows the sizes. All figures come from one run against one
simulator, which is a process of its own; what counts is their ratio to pages × latency.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from licensesync.credentials import Credentials
from licensesync.model import DeviceId, Mode, Pool, Product
from licensesync.simulator.imeis import imei_of
from licensesync.thingspace import client
from licensesync.thingspace.fota import FotaReader
from licensesync.thingspace.transport import Bounds

ACCOUNT = "0642233522-00001"
POOL = Pool("fota", Product.FOTA, ACCOUNT, Mode.FULL)
CREDENTIALS = Credentials("key", "secret", "user", "password")
STATUS = f"/api/fota/v3/licenses/{ACCOUNT}/index/"

Row = tuple[str, float]


def main() -> None:
    wish = _arguments()
    pages = -(-wish.devices // wish.page_size)
    limit = pages * wish.latency / 1000
    with _simulator(wish) as url:
        rows: list[Row] = [("plain aiohttp loop, one cursor", asyncio.run(_plain(url)))]
        rows += [(f"licensesync, cursors: {n}", asyncio.run(_ours(url, wish.devices, n))) for n in wish.cursors]
        most = max(wish.cursors)
        rows.append((f"same, {most}, half-wrong inventory", asyncio.run(_ours(url, wish.devices, most, every=2))))
        if importlib.util.find_spec("verizon"):
            rows.append(("Verizon's SDK 2.0.0, one cursor", _sdk(url)))
    _print(wish, pages, limit, rows)


def _print(wish: argparse.Namespace, pages: int, limit: float, rows: list[Row]) -> None:
    if wish.json:
        told = {name: {"seconds": round(seconds, 3), "of_limit": round(seconds / limit, 3)} for name, seconds in rows}
        print(json.dumps({"devices": wish.devices, "pages": pages, "latency_ms": wish.latency, "readings": told}))
        return
    print(f"{wish.devices} devices, {pages} pages, {wish.latency} ms a request: one by one at best {limit:.2f} s")
    alone = next(seconds for name, seconds in rows if name.startswith("licensesync"))
    for name, seconds in rows:
        print(
            f"  {name:34} {seconds:7.2f} s   {seconds / limit:5.2f} × limit   {alone / seconds:5.1f} × as fast as one"
        )


async def _ours(url: str, devices: int, cursors: int, every: int = 1) -> float:
    """Logged in before; the inventory names the holders, or every second one and as many devices that hold nothing."""
    known = dict.fromkeys(DeviceId(imei_of(35_000_000_000_000 + every * number)) for number in range(devices))
    async with client.reading(url, Bounds(60, cursors, 100_000), CREDENTIALS, {}) as reader:
        pool = FotaReader(POOL, reader, cursors=cursors)
        await pool.capacity()
        return await _timed(lambda: pool.observe(known, lambda _seen, _expected: None), devices)


async def _plain(url: str) -> float:
    """What anybody would write: a page, its cursor, the next page."""
    async with aiohttp.ClientSession(url) as session:
        headers = {"Authorization": "Basic a2V5OnNlY3JldA=="}
        async with session.post(
            "/api/ts/v1/oauth2/token",
            data="grant_type=client_credentials",
            headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
        ) as answer:
            tokens = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
        login = {"username": "user", "password": "password"}
        async with session.post("/api/m2m/v1/session/login", json=login, headers=tokens) as answer:
            tokens["VZ-M2M-Token"] = (await answer.json())["sessionToken"]
        started, cursor, more = time.perf_counter(), "0", True
        while more:
            async with session.get(f"{STATUS}{cursor}", headers=tokens) as answer:
                page = await answer.json()
            cursor, more = page.get("lastSeenDeviceId"), page["hasMoreData"]
        return time.perf_counter() - started


async def _timed(observe: Callable[[], Awaitable[Any]], devices: int) -> float:
    started = time.perf_counter()
    observed = await observe()
    assert len(observed.holders) == devices
    return time.perf_counter() - started


def _sdk(url: str) -> float:
    from verizon.configuration import Configuration, Environment  # noqa: PLC0415 - an extra that may be missing
    from verizon.http.auth.thingspace_oauth import ThingspaceOauthCredentials  # noqa: PLC0415 - as above
    from verizon.http.auth.vz_m2m_token import VZM2mTokenCredentials  # noqa: PLC0415 - as above
    from verizon.models.log_in_request import LogInRequest  # noqa: PLC0415 - as above
    from verizon.verizon_client import VerizonClient  # noqa: PLC0415 - as above

    servers = Configuration.environments[Environment.PRODUCTION]
    for server, base in servers.items():
        servers[server] = base.replace("https://thingspace.verizon.com", url)
    oauth = ThingspaceOauthCredentials("key", "secret")
    login = LogInRequest(username="user", password="password")
    outside = VerizonClient(thingspace_oauth_credentials=oauth)
    session = outside.session_management.start_connectivity_management_session(login).body.session_token
    inside = VerizonClient(thingspace_oauth_credentials=oauth, vz_m2m_token_credentials=VZM2mTokenCredentials(session))
    cursor, more = None, True
    inside.software_management_licenses_v3.get_account_licenses_status(ACCOUNT, "0")
    started = time.perf_counter()
    while more:
        page = inside.software_management_licenses_v3.get_account_licenses_status(ACCOUNT, cursor).body
        cursor, more = getattr(page, "last_seen_device_id", None), page.has_more_data
    return time.perf_counter() - started


@contextmanager
def _simulator(wish: argparse.Namespace) -> Iterator[str]:
    options = {
        "--devices": wish.devices,
        "--licenses": 2 * wish.devices,
        "--page-size": wish.page_size,
        "--latency": wish.latency,
        "--quirk": "profile=sdk-v3",
        "--stop-after": 600,
    }
    command = [sys.executable, "-m", "licensesync", "simulate", "--kind"]
    command += [str(word) for option in options.items() for word in option]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as simulator:
        assert simulator.stdout is not None
        yield json.loads(simulator.stdout.readline())["url"]
        simulator.terminate()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--latency", type=int, default=50, help="milliseconds a request")
    parser.add_argument("--cursors", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
