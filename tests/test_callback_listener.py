"""The callback listener over real sockets: who is heard, what he is answered, and who has to go."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import aiohttp
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from licensesync.callbacks import listener
from licensesync.callbacks.caller import caller, within
from licensesync.callbacks.listener import LIMITS, Rejected, listening
from licensesync.callers import DOCUMENTED, Network
from licensesync.errors import LedgerError, LicenseSyncError
from licensesync.settings import Address, CallbackCredentials, Callbacks, Tls
from licensesync.thingspace.callback_wire import Callback
from licensesync.web import Limits

HERE = Address("127.0.0.1", 0)
SAMPLES = Path(__file__).parent / "samples"
WANTED = Callbacks("https://callbacks.example.com/thing/space", HERE)
WHO = CallbackCredentials("verizon", "pä55word")
SAMPLE = json.loads((SAMPLES / "sim-secure-callback-success.json").read_bytes())
OK = b"ok\n"


def callback(request: str = "r-1", **fields: object) -> bytes:
    return json.dumps(
        {**SAMPLE, "requestId": request, "username": "verizon", "password": WHO.password, **fields}
    ).encode()


@dataclass
class Mailbox:
    """Takes what is let through; may be made to fail or to hang."""

    taken: list[Callback] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    trouble: Exception | None = None
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.opened.set()

    async def take(self, callback: Callback) -> None:
        await self.opened.wait()
        if self.trouble:
            raise self.trouble
        self.taken.append(callback)

    def reject(self, why: Rejected) -> None:
        self.rejected.append(why)


@dataclass(frozen=True)
class Reply:
    """An answer as it came, but for its date."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Door:
    """Where somebody listens."""

    address: Address
    mailbox: Mailbox
    tls: ssl.SSLContext | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address, ssl=self.tls)

    async def says(self, written: bytes) -> bytes:
        """All that comes back until the other side closes."""
        reader, writer = await self.open()
        writer.write(written)
        try:
            return await _all(reader)
        finally:
            await _closed(writer)

    async def ask(self, body: bytes = b"", path: str = "/thing/space", method: str = "POST", **headers: str) -> Reply:
        scheme = "https" if self.tls else "http"
        url = f"{scheme}://{self.address}{path}"
        options = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=body, headers=options, ssl=self.tls or True) as answer,
        ):
            told = {name: value for name, value in answer.headers.items() if name != "Date"}
            return Reply(answer.status, told, await answer.read())


@asynccontextmanager
async def door_at(
    wanted: Callbacks = WANTED,
    limits: Limits = LIMITS,
    patience: float = listener.PATIENCE,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Door]:
    mailbox = Mailbox()
    async with listening(wanted, lambda: WHO, mailbox, limits=limits, patience=patience) as address:
        yield Door(address, mailbox, tls)


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
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


def posted(body: bytes, *headers: str, path: str = "/thing/space") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def networks(*written: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, written))


async def test_a_callback_is_taken_and_answered(door: Door) -> None:
    told = await door.ask(callback())

    assert (told.status, told.body) == (200, OK)
    assert told.headers == {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'",
        "Server": "licensesync",
        "X-Content-Type-Options": "nosniff",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "3",
    }
    (taken,) = door.mailbox.taken
    assert (taken.request, taken.imei, taken.succeeded) == ("r-1", "990003425730535", True)
    assert door.mailbox.rejected == []


FORGED = {
    "another password": callback(password="pä55wore"),
    "another name": callback(username="Verizon"),
    "no password": callback(password=None),
    "no name": callback(username=None),
    "no form": b"hello",
    "no body": b"",
    "half a body": callback()[:-1],
    "no ending": callback(status="Pending"),
    "compressed": b"\x1f\x8b\x08\x00",
}


async def test_whoever_is_not_believed_gets_the_very_bytes_that_a_good_callback_gets(door: Door) -> None:
    good = await door.ask(callback())
    answers = {why: await door.ask(body) for why, body in FORGED.items()}
    foreign = replace(WANTED, sources=networks("192.0.2.0/24"))
    async with door_at(foreign) as elsewhere:
        answers["wrong source"] = await elsewhere.ask(callback())
        assert (elsewhere.mailbox.taken, elsewhere.mailbox.rejected) == ([], [Rejected.SOURCE])

    assert {why: answer for why, answer in answers.items() if answer != good} == {}
    assert len(door.mailbox.taken) == 1
    assert door.mailbox.rejected == [Rejected.CREDENTIALS] * 4 + [Rejected.FORM] * 5


async def test_the_bytes_on_the_wire_are_the_same_too(door: Door) -> None:
    async def without_date(body: bytes) -> list[bytes]:
        lines = (await door.says(posted(body, "Connection: close"))).split(b"\r\n")
        return [line for line in lines if not line.startswith(b"Date: ")]

    assert await without_date(callback()) == await without_date(b"{}")


async def test_only_the_path_of_the_public_url_is_answered_with_or_without_a_slash_at_its_end(door: Door) -> None:
    good = ["/thing/space", "/thing/space/", "/thing/space?x=1", "/th%69ng/space"]
    bad = ["/", "/thing", "/thing/space//", "//thing/space", "/thing/space/x", "/Thing/space", "/x/../thing/space"]

    assert [b" 200 " in await door.says(posted(callback(), "Connection: close", path=path)) for path in good] == [
        True
    ] * 4
    for path in bad:
        told = await door.says(posted(callback(), path=path))
        assert told.startswith(b"HTTP/1.1 404 ")
        assert told.endswith(b"\r\n\r\nthere is nothing here\n")
    assert len(door.mailbox.taken) == len(good)
    assert door.mailbox.rejected == []


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example", "/"),
        ("https://a.example/a b", "/a%20b"),
        ("https://a.example/a%20b", "/a%20b"),
        ("https://a.example/ü", "/%C3%BC"),
        ("https://a.example/%ff%2Fx", "/%FF%2fx"),
    ],
)
async def test_a_path_is_what_it_means_however_it_is_written(url: str, path: str) -> None:
    async with door_at(replace(WANTED, public_url=url)) as door:
        assert b" 200 " in await door.says(posted(callback(), "Connection: close", path=path))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_whoever_does_not_post_is_told_what_is_answered(door: Door, method: str) -> None:
    told = await door.ask(method=method)

    assert (told.status, told.headers["Allow"]) == (405, "POST")
    assert (door.mailbox.taken, door.mailbox.rejected) == ([], [])


async def test_what_is_too_large_is_refused_before_it_is_read_and_the_largest_is_read(door: Door) -> None:
    largest = callback(comment="x" * (listener.LARGEST - len(callback(comment=""))))
    assert len(largest) == listener.LARGEST
    assert (await door.ask(largest)).status == 200
    assert (await door.ask(largest + b" ")).status == 413

    announced = await door.says(posted(b"", "Connection: close").replace(b"Length: 0", b"Length: 99999999999"))
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    chunked = b"POST /thing/space HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk
    told = await door.says(chunked)
    assert announced.startswith(b"HTTP/1.1 413 ")
    assert told.startswith(b"HTTP/1.1 413 ")
    assert told.endswith(b"\r\n\r\nthis is too large for a callback\n")
    assert door.mailbox.rejected == [Rejected.SIZE] * 3
    assert len(door.mailbox.taken) == 1


async def test_a_wrong_source_is_a_wrong_source_whatever_it_sends() -> None:
    async with door_at(replace(WANTED, sources=networks("192.0.2.7"))) as door:
        assert (await door.ask(b"x" * 100_000)).status == 413
        assert (await door.ask(b"x")).status == 200
        assert (await door.ask(callback())).status == 200
        assert (await door.ask(method="GET")).status == 405
    assert door.mailbox.rejected == [Rejected.SOURCE] * 3


async def test_a_body_may_come_in_chunks_and_after_a_question(door: Door) -> None:
    body = callback()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    head = b"POST /thing/space HTTP/1.1\r\nHost: here\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 200 " in await door.says(head + chunks)

    reader, writer = await door.open()
    writer.write(posted(body, "Expect: 100-continue", "Connection: close").removesuffix(body))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    told = await _all(reader)
    await _closed(writer)
    assert told.startswith(b"HTTP/1.1 200 ")
    assert len(door.mailbox.taken) == 2


async def test_a_body_is_taken_as_it_is_and_never_unpacked(door: Door) -> None:
    assert (await door.ask(callback(), Content_Encoding="identity")).status == 200
    assert (await door.ask(callback(), Content_Encoding="gzip")).status == 200
    assert (await door.ask(callback(), Content_Type="application/xml")).status == 200
    assert len(door.mailbox.taken) == 3


async def test_what_the_ledger_cannot_have_is_to_be_sent_again(door: Door) -> None:
    door.mailbox.trouble = LedgerError("the disk is full")
    told = await door.ask(callback())
    assert (told.status, told.body) == (503, b"not now\n")
    assert (await door.ask(b"forged")).status == 200

    door.mailbox.trouble = None
    assert (await door.ask(callback())).status == 200
    assert len(door.mailbox.taken) == 1


async def test_what_the_ledger_does_not_have_in_time_is_to_be_sent_again() -> None:
    async with door_at(patience=0.2) as door:
        door.mailbox.opened.clear()
        assert (await door.ask(callback())).status == 503
        door.mailbox.opened.set()
        assert (await door.ask(callback())).status == 200
    assert len(door.mailbox.taken) == 1


async def test_what_nobody_thought_of_is_said_to_the_log_and_not_to_the_caller(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    door.mailbox.trouble = ValueError("the ledger is on fire")
    told = await door.ask(callback())

    assert (told.status, told.body) == (500, b"this cannot be taken; the log of the service says why\n")
    printed = "".join(capsys.readouterr())
    assert "callback.failed" in printed
    assert "the ledger is on fire" in printed


@pytest.mark.parametrize(
    "written",
    [
        b"nonsense <script>\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03<script>\r\n\r\n",
        posted(b"", "X-Long: " + "x" * 20_000),
        posted(b"", *["X-Many: 1"] * 200),
        posted(b"", "Content-Length: 7"),
        posted(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"zz\r\n",
        posted(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"0\r\n" + b"X-After: 1\r\n" * 200,
        posted(b"", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        posted(b"").replace(b"here", b"here\r\nHost: there"),
        posted(b"", "X-Folded: a\r\n b"),
    ],
)
async def test_what_cannot_be_read_is_said_so_in_our_words_and_not_logged(
    door: Door, written: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        told = await door.says(written)
    assert told.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert told.endswith(b"\r\n\r\nthis is not a request that can be read\n")
    assert b"aiohttp" not in told
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert "".join(capfd.readouterr()) == ""
    assert (door.mailbox.taken, door.mailbox.rejected) == ([], [])


async def test_who_hangs_up_in_the_middle_leaves_nothing_behind(
    door: Door, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for part in (posted(callback())[:-1], posted(callback())[:40], b""):
        _, writer = await door.open()
        writer.write(part)
        await writer.drain()
        await _closed(writer)
    assert (await door.ask(callback())).status == 200
    gc.collect()
    assert len(door.mailbox.taken) == 1
    assert "".join(capfd.readouterr()) == ""
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


PROXY, CLIENT = "127.0.0.1", "192.0.2.7"


@pytest.mark.parametrize(
    ("forwarded", "heard"),
    [
        ([CLIENT], True),
        ([f"{CLIENT}:51234"], True),
        ([f"203.0.113.9, {CLIENT}"], True),
        (["garbage", CLIENT], True),
        ([f"{CLIENT}, 10.1.2.3"], True),
        ([CLIENT, "10.1.2.3", "10.1.2.4"], True),
        ([f"::ffff:{CLIENT}"], True),
        ([f"{CLIENT}, 203.0.113.9"], False),
        ([CLIENT, "203.0.113.9"], False),
        ([f"{CLIENT}, garbage"], False),
        ([f"{CLIENT},"], False),
        (["10.1.2.3"], False),
        ([], False),
    ],
)
async def test_a_proxy_that_is_trusted_says_who_calls(forwarded: list[str], *, heard: bool) -> None:
    wanted = replace(WANTED, sources=networks(CLIENT), trusted_proxies=networks(PROXY, "10.0.0.0/8"))
    async with door_at(wanted) as door:
        headers = [f"X-Forwarded-For: {each}" for each in forwarded]
        assert b" 200 " in await door.says(posted(callback(), "Connection: close", *headers))
    assert (len(door.mailbox.taken), door.mailbox.rejected) == ((1, []) if heard else (0, [Rejected.SOURCE]))


async def test_nobody_else_says_who_calls() -> None:
    async with door_at(replace(WANTED, sources=networks(CLIENT))) as door:
        await door.ask(callback(), X_Forwarded_For=CLIENT)
    async with door_at(replace(WANTED, sources=networks("127.0.0.0/8"))) as open_door:
        await open_door.ask(callback(), X_Forwarded_For="203.0.113.9")
    assert (door.mailbox.rejected, len(open_door.mailbox.taken)) == ([Rejected.SOURCE], 1)


def test_an_address_of_ipv4_counts_as_one_however_it_is_written() -> None:
    seen = caller("::ffff:3.87.163.45", [], ())

    assert seen == ip_address("3.87.163.45")
    assert within(seen, DOCUMENTED)
    assert caller("::ffff:10.0.0.1", ["[2001:db8::7]:443"], networks("10.0.0.0/8")) == ip_address("2001:db8::7")
    assert caller("::1", ["[2001:db8::7]"], networks("::1")) == ip_address("2001:db8::7")
    assert caller(None, ["192.0.2.7"], networks("0.0.0.0/0")) is None


HOPS = st.sampled_from(["10.0.0.1", "192.0.2.7", "::1", "::ffff:10.1.1.1", "x", "", "1.2.3.4:5", "[::2]:1"]) | st.text()


@given(st.sampled_from(["10.0.0.1", "192.0.2.7", "::ffff:10.0.0.1"]), st.lists(HOPS.map(str)))
def test_what_a_caller_writes_himself_never_makes_him_another(peer: str, made_up: list[str]) -> None:
    """The proxy adds whom it saw at the right: what its client has sent before that changes nothing."""
    trusted = networks("10.0.0.0/8")
    alone = caller(peer, ["203.0.113.9"], trusted)

    assert caller(peer, [*made_up, "203.0.113.9"], trusted) == alone
    assert caller(peer, [f"{','.join(made_up)}, 203.0.113.9"], trusted) == alone


async def test_a_connection_serves_one_callback_after_the_other(door: Door) -> None:
    reader, writer = await door.open()
    for number in range(3):
        writer.write(posted(callback(f"r-{number}") if number != 1 else b"forged"))
        assert (await reader.readuntil(OK)).startswith(b"HTTP/1.1 200 ")
    writer.write(posted(callback("r-3")) + posted(callback("r-4"), "Connection: close"))
    assert (await _all(reader)).count(b"HTTP/1.1 200 ") == 2
    await _closed(writer)
    assert [taken.request for taken in door.mailbox.taken] == ["r-0", "r-2", "r-3", "r-4"]


async def test_a_thousand_callbacks_over_fifty_connections_are_all_taken(door: Door) -> None:
    url = f"http://{door.address}/thing/space"
    bodies = [
        callback(f"r-{number}") if number % 10 else callback(f"r-{number}", password="x") for number in range(1000)
    ]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:

        async def send(body: bytes) -> tuple[int, bytes]:
            async with session.post(url, data=body) as answer:
                return answer.status, await answer.read()

        told = await asyncio.gather(*map(send, bodies))

    assert Counter(told) == {(200, OK): 1000}
    assert {taken.request for taken in door.mailbox.taken} == {f"r-{number}" for number in range(1000) if number % 10}
    assert (len(door.mailbox.taken), Counter(door.mailbox.rejected)) == (900, {Rejected.CREDENTIALS: 100})


QUICK = replace(LIMITS, idle=3, request=0.5, answer=1)


async def test_idle_and_slow_clients_are_closed_in_time_and_a_good_one_is_not() -> None:
    """All kinds at once, so that the wait is paid for once."""
    async with door_at(limits=QUICK) as door:
        loop = asyncio.get_running_loop()

        async def lasts(*parts: bytes) -> tuple[float, bytes]:
            began = loop.time()
            told = await _trickled(door, parts)
            return loop.time() - began, told

        head, body = posted(callback()).split(b"\r\n\r\n", 1)
        ended = await asyncio.gather(
            lasts(b""),
            lasts(b"P"),
            lasts(b"POST /thing/space HTTP/1.1\r\n", *[b"X-Slow: 1\r\n"] * 50),
            lasts(head + b"\r\n\r\n", *(body[at : at + 1] for at in range(50))),
            lasts(head + b"\r\n\r\n" + body),
            lasts(head + b"\r\n\r\n" + body, *[b""] * 5, b"POST /", *[b"x"] * 50),
        )
    (idle, byte, headers, slow, good, second) = [seconds for seconds, _ in ended]
    assert 2.9 < idle < 9
    assert all(0.4 < seconds < 2.9 for seconds in (byte, headers, slow))
    assert 2.9 < good < 9, "after its answer it may be idle"
    assert 0.9 < second < 2.9, "the time of the next request begins with its first byte"
    assert [told.count(b" 200 ") for _, told in ended] == [0, 0, 0, 0, 1, 1]
    assert len(door.mailbox.taken) == 2


async def _trickled(door: Door, parts: tuple[bytes, ...]) -> bytes:
    """What comes back to who sends a part after the other, ten a second."""
    reader, writer = await door.open()
    reading = asyncio.create_task(_all(reader))
    for part in parts:
        writer.write(part)
        await asyncio.wait([reading], timeout=0.1)
        if reading.done():
            break
    told = await reading
    await _closed(writer)
    return told


async def test_who_never_reads_is_closed_in_time() -> None:
    async with door_at(limits=QUICK) as door:
        with socket.socket() as never_reads:
            never_reads.setblocking(False)
            never_reads.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(never_reads, tuple(door.address))
            with pytest.raises(ConnectionError):
                await _flooded(never_reads)
        assert (await door.ask(callback())).status == 200


async def _flooded(connection: socket.socket) -> None:
    async with asyncio.timeout(60):
        while True:
            await asyncio.get_running_loop().sock_sendall(connection, posted(b"") * 1000)


async def test_whoever_has_waited_for_longest_makes_room_for_who_comes(door: Door) -> None:
    async with AsyncExitStack() as held:
        readers, writers = [], []
        for number in range(LIMITS.connections):
            reader, writer = await door.open()
            held.push_async_callback(_closed, writer)
            if number % 2:
                writer.write(b"POST /thing/space HTTP/1.1\r\n")
            readers.append(reader)
            writers.append(writer)
        writers[0].write(posted(callback()))
        assert (await readers[0].readuntil(OK)).startswith(b"HTTP/1.1 200 ")
        assert (await door.ask(callback())).status == 200
        async with asyncio.timeout(5):
            assert await _all(readers[1]) == b""
        writers[0].write(posted(callback(), "Connection: close"))
        assert (await _all(readers[0])).startswith(b"HTTP/1.1 200 ")
        assert not any(reader.at_eof() for reader in readers[2:])


async def test_an_end_answers_what_is_being_taken_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    mailbox = Mailbox()
    async with listening(WANTED, lambda: WHO, mailbox) as address:
        door = Door(address, mailbox)
        mailbox.opened.clear()
        idle, writer = await door.open()
        asking = asyncio.create_task(door.says(posted(callback())))
        await asyncio.sleep(0.1)
        asyncio.get_running_loop().call_later(0.2, mailbox.opened.set)
    assert (await asking).startswith(b"HTTP/1.1 200 ")
    assert await _all(idle) == b""
    await _closed(writer)
    assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionError):
        await door.open()


async def test_an_address_that_cannot_be_had_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Address(*other.getsockname())
        reasons = {
            taken: "another program listens there",
            Address("192.0.2.1", 9001): "this machine has no such address",
        }
        for address, reason in reasons.items():
            with pytest.raises(LicenseSyncError) as raised:
                async with door_at(replace(WANTED, listen=address)):
                    pass
            hint = "write another address at callbacks.listen in the settings"
            assert str(raised.value) == f"cannot listen at {address}: {reason}; {hint}"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's side of TLS."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def certified(folder: Path, authority: trustme.CA) -> Tls:
    leaf = authority.issue_cert("127.0.0.1")
    files = Tls(folder / "chain.pem", folder / "key.pem")
    leaf.private_key_pem.write_to_path(files.key)
    for part in leaf.cert_chain_pems:
        part.write_to_path(files.certificate, append=True)
    return files


@pytest.fixture
async def secret_door(tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext) -> AsyncIterator[Door]:
    async with door_at(replace(WANTED, tls=certified(tmp_path, authority)), tls=trusting) as door:
        yield door


async def test_with_a_certificate_it_speaks_tls_and_nothing_else(
    secret_door: Door, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    told = await secret_door.ask(callback())
    assert (told.status, told.body) == (200, OK)
    assert (await secret_door.ask(b"x" * 100_000)).status == 413
    reader, writer = await secret_door.open()
    for _ in range(3):
        writer.write(posted(callback()))
        assert (await reader.readuntil(OK)).startswith(b"HTTP/1.1 200 ")
    await _closed(writer)
    plain = replace(secret_door, tls=None)
    assert b"HTTP" not in await plain.says(posted(callback()))
    untrusting = replace(secret_door, tls=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        await untrusting.open()
    assert (await secret_door.ask(callback())).status == 200
    assert len(secret_door.mailbox.taken) == 5
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert "".join(capfd.readouterr()) == ""


async def test_over_tls_the_source_is_seen_too(tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    wanted = replace(WANTED, tls=certified(tmp_path, authority), sources=DOCUMENTED)
    async with door_at(wanted, tls=trusting) as door:
        assert (await door.ask(callback())).status == 200
    assert door.mailbox.rejected == [Rejected.SOURCE]


async def test_a_renewed_certificate_is_used_and_a_broken_one_leaves_the_last_in_force(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext, capfd: pytest.CaptureFixture[str]
) -> None:
    async def shown(door: Door) -> bytes:
        _, writer = await door.open()
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        await _closed(writer)
        assert isinstance(certificate, bytes)
        return certificate

    files = certified(tmp_path, authority)
    async with door_at(replace(WANTED, tls=files), tls=trusting) as door:
        first = await shown(door)
        files.certificate.unlink()
        assert await shown(door) == await shown(door) == first
        certified(tmp_path, authority)
        second = await shown(door)
        assert second == await shown(door) != first
        assert (await door.ask(callback())).status == 200
    told = "".join(capfd.readouterr())
    assert (told.count("callback.certificate-kept"), told.count("callback.certificate-renewed")) == (1, 1)


async def test_old_tls_is_not_spoken(secret_door: Door, trusting: ssl.SSLContext) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await secret_door.open()


async def test_a_thousand_callbacks_over_tls_are_all_taken(secret_door: Door) -> None:
    url = f"https://{secret_door.address}/thing/space"
    connector = aiohttp.TCPConnector(limit=50, ssl=secret_door.tls or True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send(number: int) -> int:
            async with session.post(url, data=callback(f"r-{number}")) as answer:
                return answer.status

        assert Counter(await asyncio.gather(*map(send, range(1000)))) == {200: 1000}
    assert len({taken.request for taken in secret_door.mailbox.taken}) == 1000


async def test_who_never_greets_takes_nobody_s_place_and_is_closed_in_time(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failed.append(context))
    before = asyncio.all_tasks()
    wanted = replace(WANTED, tls=certified(tmp_path, authority))
    async with (
        door_at(wanted, replace(QUICK, request=3, connections=20), tls=trusting) as door,
        AsyncExitStack() as held,
    ):
        plain = replace(door, tls=None)
        opened = [await plain.open() for _ in range(40)]
        for _, writer in opened:
            held.push_async_callback(_closed, writer)
        assert (await door.ask(callback())).status == 200
        async with asyncio.timeout(2):
            assert [await _all(reader) for reader, _ in opened[:20]] == [b""] * 20
        async with asyncio.timeout(9):
            assert [await _all(reader) for reader, _ in opened[20:]] == [b""] * 20
        _, late = await plain.open()
    await _closed(late)
    gc.collect()
    assert not failed
    assert asyncio.all_tasks() == before


def _locked(key: Path, password: str) -> Path:
    """The same key, encrypted."""
    locked = key.with_stem("locked")
    command = ["openssl", "pkey", "-aes256", "-passout", f"pass:{password}", "-in", str(key), "-out", str(locked)]
    subprocess.run(command, capture_output=True, check=True)
    return locked


async def test_files_of_a_certificate_that_cannot_be_used_are_named(tmp_path: Path, authority: trustme.CA) -> None:
    good = certified(tmp_path, authority)
    other = tmp_path / "other.pem"
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(other)
    locked = _locked(other, "x")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("hunter2")
    missing = tmp_path / "missing.pem"
    pairs = "are no certificate and its key ("
    expected = {
        replace(good, certificate=missing): f"{missing} cannot be read: No such file or directory; let the user",
        replace(good, key=missing): f"{missing} cannot be read: No such file or directory; let the user",
        replace(good, key=tmp_path): f"{tmp_path} cannot be read: Is a directory; let the user",
        replace(good, key=other): f"{good.certificate} and {other} {pairs}KEY_VALUES_MISMATCH); write PEM files",
        replace(good, key=locked): f"{good.certificate} and {locked} {pairs}",
        replace(good, certificate=nonsense): f"{nonsense} and {good.key} {pairs}",
        Tls(nonsense, nonsense): f"{nonsense} and {nonsense} {pairs}",
    }
    for files, why in expected.items():
        with pytest.raises(LicenseSyncError) as raised:
            async with door_at(replace(WANTED, tls=files)):
                pass
        assert str(raised.value).startswith(f"callbacks.tls: {why}")
        assert "hunter2" not in str(raised.value)
