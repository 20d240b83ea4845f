"""The daemon's pages over real sockets: what is answered, what is not, and who has to go."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from licensesync.daemon import listener
from licensesync.daemon.listener import Answer, listening
from licensesync.errors import LicenseSyncError
from licensesync.values import Address

HERE = Address("127.0.0.1", 0)
ALIVE = Answer(ok=True, reason="the service is alive")
READY = Answer(ok=True, reason="the last run that read every pool whole ended 3 minutes ago")
PROMETHEUS = "application/openmetrics-text;version=1.0.0"


@dataclass
class Daemon:
    """What is shown; may be changed while it is."""

    healthy: Answer = ALIVE
    ready: Answer = READY
    document: bytes = b'{"version": 1}'
    accepted: list[str] = field(default_factory=list)

    def health(self) -> Answer:
        return self.healthy

    def readiness(self) -> Answer:
        return self.ready

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        self.accepted.append(accept)
        return b"licensesync_ready 1\n", "text/plain; version=0.0.4; charset=utf-8"

    async def status(self) -> bytes:
        if not self.document:
            raise ValueError("the ledger is on fire")
        return self.document


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Door:
    """Where somebody listens."""

    address: Address
    daemon: Daemon

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    async def says(self, written: bytes) -> bytes:
        """All that comes back until the other side closes."""
        reader, writer = await self.open()
        writer.write(written)
        try:
            return await _all(reader)
        finally:
            await _closed(writer)

    async def ask(
        self, target: str, *headers: str, method: str = "GET", host: str = "localhost", body: str = ""
    ) -> Reply:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", body]
        head, _, told = (await self.says("\r\n".join(lines).encode())).decode().partition("\r\n\r\n")
        first, *others = head.split("\r\n")
        named = dict(line.split(": ", 1) for line in others)
        return Reply(int(first.split()[1]), named, told)


@asynccontextmanager
async def door_at(address: Address = HERE, patience: float = listener.LONGEST_CONNECTION) -> AsyncIterator[Door]:
    daemon = Daemon()
    async with listening(address, daemon, patience=patience) as actual:
        yield Door(actual, daemon)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with door_at() as door:
        yield door


async def _all(reader: asyncio.StreamReader) -> bytes:
    """What is read until the connection ends in whatever way."""
    read = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(30):
            while more := await reader.read(65_536):
                read += more
    return read


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_the_pages_say_what_the_daemon_says(door: Door) -> None:
    health, ready = await door.ask("/healthz"), await door.ask("/readyz?verbose=1")
    assert (health.status, health.body) == (200, "the service is alive\n")
    assert (ready.status, ready.body) == (200, f"{door.daemon.ready.reason}\n")
    metrics = await door.ask("/metrics", f"Accept: {PROMETHEUS}")
    assert (metrics.status, metrics.body) == (200, "licensesync_ready 1\n")
    assert metrics.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert door.daemon.accepted == [PROMETHEUS]
    status = await door.ask("/status.json")
    assert (status.status, json.loads(status.body)) == (200, {"version": 1})
    assert status.headers["Content-Type"] == "application/json"


async def test_who_is_not_ready_or_not_well_says_why_with_503(door: Door) -> None:
    door.daemon.ready = Answer(ok=False, reason="fota could not be read whole for 50 minutes \ud800")
    door.daemon.healthy = Answer(ok=False, reason="the run loop has ended")
    ready, health = await door.ask("/readyz"), await door.ask("/healthz")
    assert (ready.status, ready.body) == (503, "fota could not be read whole for 50 minutes ?\n")
    assert (health.status, health.body) == (503, "the run loop has ended\n")


async def test_every_answer_has_the_headers_that_keep_browsers_and_caches_out(door: Door) -> None:
    answers = [
        await door.ask("/healthz"),
        await door.ask("/nothing"),
        await door.ask("/metrics", method="PUT"),
        await door.ask("/healthz", host="evil.example"),
        await door.ask("/healthz", "no colon"),
    ]
    assert [answer.status for answer in answers] == [200, 404, 405, 403, 400]
    for answer in answers:
        assert answer.headers.items() >= {
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", "default-src 'none'"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("X-Content-Type-Options", "nosniff"),
            ("Server", "licensesync"),
            ("Connection", "close"),
            ("Content-Length", str(len(answer.body))),
        }


async def test_head_is_get_without_its_body(door: Door) -> None:
    got = await door.ask("/status.json")
    head = await door.ask("/status.json", method="HEAD")
    assert (head.status, head.body) == (200, "")
    assert head.headers | {"Date": ""} == got.headers | {"Date": ""}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_whoever_wants_to_change_something_is_told_what_is_answered(door: Door, method: str) -> None:
    told = await door.ask("/status.json", "Content-Length: 7", method=method, body="a=<b>&c")
    assert (told.status, told.headers["Allow"]) == (405, "GET, HEAD")
    assert "<b>" not in told.body


async def test_no_body_is_taken_however_it_is_sent(door: Door) -> None:
    with_length = await door.ask("/healthz", "Content-Length: 3", body="abc")
    in_chunks = await door.ask("/healthz", "Transfer-Encoding: chunked", body="3\r\nabc\r\n0\r\n\r\n")
    never_sent = await door.ask("/healthz", "Content-Length: 99999999999", method="POST")
    assert [told.status for told in (with_length, in_chunks, never_sent)] == [400, 400, 405]


@pytest.mark.parametrize("target", ["/", "/metrics/", "/../etc/passwd", "/%2e%2e/healthz", "/HEALTHZ", "/<script>x"])
async def test_other_addresses_get_a_small_text_that_repeats_nothing(door: Door, target: str) -> None:
    told = await door.ask(target, "User-Agent: <script>x")
    assert (told.status, told.body) == (
        404,
        "there is no such page; there are /healthz, /readyz, /metrics, /status.json\n",
    )


@pytest.mark.parametrize(
    "written",
    [
        b"BREW /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"nonsense <script>\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03<script>\r\n\r\n",
        b"GET /healthz HTTP/9.9<script>\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: 1\r\n" * 200 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_what_cannot_be_read_or_is_too_long_is_said_so_in_our_words(
    door: Door, written: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        told = await door.says(written)
    assert told.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert told.endswith(b"\r\n\r\nthis is not a request that can be read\n")
    assert b"aiohttp" not in told
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert capfd.readouterr().err == ""


async def test_one_connection_serves_one_request(door: Door) -> None:
    told = await door.says(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
    assert told.count(b"HTTP/1.1 200") == 1


async def test_on_loopback_only_this_machine_is_a_good_name_for_it(door: Door) -> None:
    good = ["localhost", f"localhost:{door.address.port}", "127.0.0.1:1", "127.8.8.8", "[::1]:9464"]
    bad = [
        "evil.example",
        "evil.example:9464",
        "localhost.evil.example",
        "192.0.2.7",
        "[::1",
        "",
        "127.0.0.1@evil.example",
    ]
    assert {host: (await door.ask("/healthz", host=host)).status for host in good} == dict.fromkeys(good, 200)
    assert {host: (await door.ask("/healthz", host=host)).status for host in bad} == dict.fromkeys(bad, 403)
    assert (await door.says(b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200")


async def test_beyond_loopback_every_name_is_good() -> None:
    async with door_at(Address("0.0.0.0", 0)) as door:  # noqa: S104 - it is what is tested
        assert (await door.ask("/healthz", host="licensesync.example.com")).status == 200


async def test_a_page_that_fails_says_so_without_details_and_the_log_has_them(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    door.daemon.document = b""
    told = await door.ask("/status.json", "Accept: text/html")
    assert (told.status, told.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert told.body == "this page cannot be made; the log of the service says why\n"
    printed = "".join(capsys.readouterr())
    assert "listener.failed" in printed
    assert "the ledger is on fire" in printed
    assert (await door.ask("/healthz")).status == 200


async def test_idle_slow_and_unreading_clients_are_closed_in_time() -> None:
    """All kinds at once, so that the wait is paid for once."""
    async with door_at(patience=1) as door:
        door.daemon.document = b"x" * 8_000_000
        loop = asyncio.get_running_loop()
        began = loop.time()
        with socket.socket() as never_reads:
            never_reads.setblocking(False)
            never_reads.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(never_reads, tuple(door.address))
            await loop.sock_sendall(never_reads, b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            without_end = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nslow"
            idle, slow, cut = await asyncio.gather(door.says(b""), _trickle(door), door.says(without_end))
            assert 0 < await _received(never_reads) < len(door.daemon.document)
    assert (idle, slow) == (b"", b"")
    assert cut.startswith(b"HTTP/1.1 405")
    assert 1 <= loop.time() - began < 5


async def _trickle(door: Door) -> bytes:
    """What comes back to who sends one header after the other and never comes to the end."""
    reader, writer = await door.open()
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
    reading = asyncio.create_task(_all(reader))
    while not reading.done():
        writer.write(b"X-Slow: 1\r\n")
        await asyncio.wait([reading], timeout=0.1)
    await _closed(writer)
    return await reading


async def _received(connection: socket.socket) -> int:
    """How many bytes had come when the other side gave up."""
    read = 0
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            while more := await asyncio.get_running_loop().sock_recv(connection, 1_000_000):
                read += len(more)
    return read


async def test_only_so_many_connections_are_kept_and_the_oldest_makes_room_for_who_asks(door: Door) -> None:
    async with AsyncExitStack() as held:
        idle = []
        for _ in range(listener.MOST_CONNECTIONS):
            reader, writer = await door.open()
            held.push_async_callback(_closed, writer)
            idle.append(reader)
        for _ in range(3):
            assert (await door.ask("/healthz")).status == 200
        async with asyncio.timeout(5):
            assert await _all(idle[0]) == b""
        assert not any(reader.at_eof() for reader in idle[1:]), "one place was enough for them all"


async def test_a_crowd_at_once_leaves_no_failed_task_and_is_answered_after_it(door: Door) -> None:
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failed.append(context))
    async with AsyncExitStack() as held:
        for _, writer in await asyncio.gather(*(door.open() for _ in range(2 * listener.MOST_CONNECTIONS))):
            held.push_async_callback(_closed, writer)
        assert (await door.ask("/healthz")).status == 200
    assert (await door.ask("/healthz")).status == 200
    gc.collect()  # a task that has failed says so when it goes
    assert not failed


async def test_an_end_closes_who_is_still_connected_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with door_at() as door:
        reader, writer = await door.open()
        writer.write(b"GET /healthz HT")
        await door.ask("/healthz")
    assert await _all(reader) == b""
    await _closed(writer)
    assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionError):
        await door.open()


@pytest.fixture
def taken() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield Address(*other.getsockname())


async def test_an_address_that_cannot_be_had_is_named_with_the_way_out(taken: Address) -> None:
    reasons = {
        taken: "another program listens there",
        Address("192.0.2.1", 9464): "this machine has no such address",
        Address("nowhere.invalid", 9464): "",
    }
    for address, reason in reasons.items():
        with pytest.raises(LicenseSyncError) as raised:
            async with listening(address, Daemon()):
                pass
        assert str(raised.value).startswith(f"cannot listen at {address}: {reason}")
        assert str(raised.value).endswith("; write another address at listen: in the settings, or off")


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_a_name_can_be_listened_at() -> None:
    async with door_at(Address("localhost", 0)) as door:
        assert door.address.host == "localhost"
        assert (await door.ask("/healthz")).status == 200


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6_can_be_listened_at() -> None:
    async with door_at(Address("::1", 0)) as door:
        assert (await door.ask("/healthz", host=str(door.address))).status == 200
        assert (await door.ask("/healthz", host="[2001:db8::1]")).status == 403
