"""A line on which things go wrong: it stands before a service, takes HTTP or HTTPS, and strikes as it is told to."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

LARGEST_RECORD: Final = 2**16
END: Final = b"\r\n\r\n"
WITHOUT_LINGERING: Final = struct.pack("ii", 1, 0)


class Gone(Exception):
    """The caller has hung up, or never spoke."""


@dataclass(frozen=True)
class Asked:
    """A request as it came over the line. The names of headers are in lower case."""

    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode().split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


@dataclass(frozen=True)
class Answer:
    """An answer of the service."""

    status: bytes
    headers: tuple[bytes, ...]
    body: bytes

    def with_headers(self, *headers: str, without: Iterable[str] = ("content-length",)) -> Answer:
        """The same with other headers in place of those that say how long it is."""
        kept = [line for line in self.headers if line.split(b":")[0].decode().lower() not in without]
        return replace(self, headers=(*kept, *(header.encode("latin-1") for header in headers)))

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    @property
    def head(self) -> bytes:
        return b"\r\n".join((self.status, *self.headers)) + END


class Lost(Exception):
    """The service itself has hung up; `.sent` is what it had sent before."""

    def __init__(self, sent: bytes) -> None:
        super().__init__()
        self.sent = sent


@dataclass
class Wire:
    """The caller's end of the line; with TLS it is possible to write beneath it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    context: ssl.SSLContext | None = None
    held_back: bytes = b""
    """What comes before the answer to the next request."""
    _taken: bytes = b""

    def __post_init__(self) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self.context.wrap_bio(self._incoming, self._outgoing, server_side=True) if self.context else None

    async def greet(self) -> None:
        """The handshake, where there is one."""
        while self._tls:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.send_beneath(self._outgoing.read())
                self._incoming.write(await self._heard())
            else:
                await self.send_beneath(self._outgoing.read())
                return

    async def asked(self) -> Asked:
        """The next request. Raises Gone."""
        while END not in self._taken:
            self._taken += await self._read()
        head, _, self._taken = self._taken.partition(END)
        length = int(Asked(head, b"").headers.get("content-length", 0))
        while len(self._taken) < length:
            self._taken += await self._read()
        body, self._taken = self._taken[:length], self._taken[length:]
        return Asked(head, body)

    async def send(self, data: bytes) -> None:
        await self.send_beneath(self.sealed(data))

    async def send_beneath(self, data: bytes) -> None:
        """These very bytes, even if they are no record of TLS."""
        self.writer.write(data)
        await self.writer.drain()

    def sealed(self, data: bytes) -> bytes:
        """The data as it is sent."""
        if self._tls is None:
            return data
        for start in range(0, len(data), LARGEST_RECORD):
            self._tls.write(data[start : start + LARGEST_RECORD])
        return self._outgoing.read()

    async def gone(self) -> None:
        """Waits until the caller has hung up."""
        with suppress(Gone):
            while True:
                await self._heard()

    def end(self) -> None:
        """No more will be sent from here; what the caller says is still heard. TLS is not told of it."""
        if self.writer.can_write_eof():
            self.writer.write_eof()

    def reset(self) -> None:
        """The connection is gone, and whoever uses it gets an error."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, WITHOUT_LINGERING)
        self.writer.transport.abort()

    async def _read(self) -> bytes:
        while self._tls:
            try:
                if not (told := self._tls.read(LARGEST_RECORD)):
                    raise Gone
            except ssl.SSLWantReadError:
                self._incoming.write(await self._heard())
            else:
                return told
        return await self._heard()

    async def _heard(self) -> bytes:
        if not (heard := await self.reader.read(LARGEST_RECORD)):
            raise Gone
        return heard


@dataclass
class Service:
    """The way to the service behind the line: one connection for one caller."""

    host: str
    port: int
    _open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def answer_to(self, asked: Asked) -> Answer:
        """What the service answers. Raises Lost."""
        reader, writer = self._open or await asyncio.open_connection(self.host, self.port)
        self._open = reader, writer
        writer.write(asked.head + END + asked.body)
        head = body = b""
        try:
            head = await reader.readuntil(END)
            status, *headers = head.removesuffix(END).split(b"\r\n")
            lengths = [int(line[15:]) for line in headers if line.lower().startswith(b"content-length:")]
            body = await reader.readexactly(lengths[0])
        except asyncio.IncompleteReadError as cut:
            self.close()
            raise Lost(head + cut.partial) from None
        if asked.headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, tuple(headers), body)

    def close(self) -> None:
        if self._open:
            self._open[1].transport.abort()
        self._open = None


@dataclass
class Turn:
    """One request of a caller, for a toxic to do with as it likes; `elsewhere` is where redirects lead."""

    wire: Wire
    asked: Asked
    service: Service
    elsewhere: str

    async def answered(self, asked: Asked | None = None) -> Answer:
        """The service does what it is asked."""
        return await self.service.answer_to(asked or self.asked)

    async def pass_on(self) -> None:
        await self.wire.send((await self.answered()).raw)


@dataclass(frozen=True)
class Toxic:
    """A misfortune: what happens in place of a request's true answer.

    `passes` says whether the service does what it was asked, `spoils` whether its caller does not learn of it. One that
    is `endless` goes on until the caller hangs up; one that `greets` strikes as soon as somebody connects.
    """

    name: str
    act: Callable[[Turn], Awaitable[None]]
    passes: bool = True
    spoils: bool = True
    endless: bool = False
    heavy: bool = False
    tls: bool = False
    greets: bool = False


Choose = Callable[[Asked], Toxic | None]
Greet = Callable[[int], Toxic | None]


def nothing(_: object) -> None:
    """All goes well."""


@dataclass
class Line:
    """Callers call here. `choose` tells what befalls a request, `greet` what befalls a new connection."""

    service: tuple[str, int]
    choose: Choose = nothing
    greet: Greet = nothing
    tls: ssl.SSLContext | None = None
    elsewhere: str = ""
    url: str = ""
    heard: list[Asked] = field(default_factory=list)
    callers: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        service = Service(*self.service)
        wire = Wire(reader, writer, self.tls)
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await self._serve(wire, service)
        except Lost as lost:
            with suppress(OSError):
                await wire.send(lost.sent)
        except (Gone, OSError, asyncio.CancelledError):  # nobody waits for it but who has cancelled it
            pass
        finally:
            self._under_way.discard(task)
            service.close()
            writer.close()

    async def _serve(self, wire: Wire, service: Service) -> None:
        if toxic := self.greet(self.callers):
            await self._strike(toxic, Turn(wire, Asked(b"", b""), service, self.elsewhere))
            return
        await wire.greet()
        while not wire.writer.is_closing():
            asked = await wire.asked()
            self.heard.append(asked)
            if wire.held_back:
                before, wire.held_back = wire.held_back, b""
                await wire.send(before)
            turn = Turn(wire, asked, service, self.elsewhere)
            if toxic := self.choose(asked):
                await self._strike(toxic, turn)
            else:
                await turn.pass_on()

    async def _strike(self, toxic: Toxic, turn: Turn) -> None:
        self.struck[toxic.name] += 1
        await toxic.act(turn)

    async def _hang_up(self) -> None:
        under_way = list(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


@asynccontextmanager
async def line_to(
    url: str,
    choose: Choose = nothing,
    greet: Greet = nothing,
    *,
    tls: ssl.SSLContext | None = None,
    elsewhere: str = "",
) -> AsyncIterator[Line]:
    """A line to the service at this address, on loopback, until the block ends."""
    target = urlsplit(url)
    line = Line((target.hostname or "", target.port or 80), choose, greet, tls, elsewhere)
    server = await asyncio.start_server(line._called, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    line.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield line
    finally:
        server.close()
        await line._hang_up()
        await server.wait_closed()
