"""Every misfortune of a line, by name: what is sent in place of a true answer, and whether the service did its part."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from itertools import repeat
from typing import Final

from toxic_line import END, Answer, Gone, Toxic, Turn

Act = Callable[[Turn], Awaitable[None]]
Render = Callable[[Turn, Answer], bytes]

MEGABYTES: Final = 100 * 10**6
BETWEEN_DRIPS: Final = 0.02
BROTLI_BOMB: Final = bytes.fromhex(
    "cfffff7ff82540e2b14020f7fe9ffffffff04b00c4610180eefd3fffffffe1970088c32200ddfb7ffeffffc32f0110870500baf7fffcffff875f02200e0b0074effff31fbc1ebf04401c1600e862d703"
)
"""A hundred million blanks."""


# --- how it ends


async def hang_up(turn: Turn) -> None:
    """Nothing more comes, which the caller is told in due form; what he still says is heard."""
    turn.wire.end()
    await turn.wire.gone()
    raise Gone


async def reset(turn: Turn) -> None:
    turn.wire.reset()
    raise Gone


async def stay(turn: Turn) -> None:
    """The connection is used again, as after any answer."""


async def wait(turn: Turn) -> None:
    """Nothing more comes, and the connection stays open until the caller has had enough."""
    await turn.wire.gone()
    raise Gone


# --- what is sent


def answering(render: Render, then: Act = hang_up) -> Act:
    """The service does what it is asked, and its answer becomes something else."""

    async def act(turn: Turn) -> None:
        await turn.wire.send(render(turn, await turn.answered()))
        await then(turn)

    return act


def instead(render: Callable[[Turn], bytes], then: Act = hang_up) -> Act:
    """The service is not asked at all."""

    async def act(turn: Turn) -> None:
        await turn.wire.send(render(turn))
        await then(turn)

    return act


def pouring(render: Callable[[Turn, Answer], Iterator[bytes]], pause: float = 0.0) -> Act:
    """The service does what it is asked; what comes back goes on and on."""

    async def act(turn: Turn) -> None:
        for drop in render(turn, await turn.answered()):
            await turn.wire.send(drop)
            await asyncio.sleep(pause)
        await hang_up(turn)

    return act


def nothing(_: Turn) -> bytes:
    return b""


def half(_: Turn, answer: Answer) -> bytes:
    return answer.head + answer.body[: len(answer.body) // 2]


def half_a_head(_: Turn, answer: Answer) -> bytes:
    return answer.head[: len(answer.head) * 2 // 3]


def echo(turn: Turn) -> bytes:
    """The caller's secrets, so often that wherever a quotation ends, it ends in one."""
    told = [turn.asked.headers.get(name, "") for name in ("authorization", "vz-m2m-token")]
    return (" ".join(told) * 20).encode()


def framed(*headers: str, body: Callable[[bytes], bytes] = bytes) -> Render:
    """The true answer with other words about its length, or with another body."""
    return lambda _, answer: answer.with_headers(*headers).head + body(answer.body)


def by_length(error: int) -> Render:
    """The true answer, which is said to be so much longer."""
    return lambda _, answer: (
        answer.with_headers(f"Content-Length: {max(0, len(answer.body) + error)}").head + answer.body
    )


def chunk(data: bytes, size: bytes | None = None) -> bytes:
    return (b"%x" % len(data) if size is None else size) + b"\r\n" + data + b"\r\n"


def chunked(body: Callable[[bytes], bytes]) -> Render:
    return framed("Transfer-Encoding: chunked", body=body)


def encoded(how: str, packed: Callable[[bytes], bytes]) -> Render:
    """A small body that becomes a hundred megabytes where it is unpacked."""

    def render(_: Turn, answer: Answer) -> bytes:
        body = packed(answer.body)
        return answer.with_headers(f"Content-Encoding: {how}", f"Content-Length: {len(body)}").head + body

    return render


@cache
def bomb(body: bytes, window: int) -> bytes:
    """The body and a hundred million blanks; `window` as zlib has it."""
    packing = zlib.compressobj(1, zlib.DEFLATED, window)
    packed = packing.compress(body) + b"".join(packing.compress(b" " * 10**6) for _ in range(MEGABYTES // 10**6))
    return packed + packing.flush()


@cache
def zstd_bomb(_: bytes) -> bytes:
    """A frame of blocks that each repeat one blank 2^17 times."""
    block = ((2**17 << 3) | 2).to_bytes(3, "little") + b" "
    return bytes.fromhex("28b52ffd0058") + block * (MEGABYTES >> 17) + b"\x01\x00\x00"


def redirect(status: int) -> Toxic:
    def render(turn: Turn) -> bytes:
        return (
            f"HTTP/1.1 {status} Go There\r\nLocation: {turn.elsewhere}{turn.asked.path}\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    return Toxic(f"redirect-{status}", instead(render, stay), passes=False)


# --- what comes too often


async def doubled_at_once(turn: Turn) -> None:
    answer = await turn.answered()
    await turn.wire.send(answer.raw * 2)


async def doubled_while_idle(turn: Turn) -> None:
    answer = await turn.answered()
    await turn.wire.send(answer.raw)
    await asyncio.sleep(BETWEEN_DRIPS)
    await turn.wire.send(answer.raw)


async def doubled_later(turn: Turn) -> None:
    """Once the next request has come on the same connection, and before its own answer."""
    answer = await turn.answered()
    turn.wire.held_back = answer.raw
    await turn.wire.send(answer.raw)


async def asked_twice(turn: Turn) -> None:
    answer = await turn.answered()
    await turn.answered()
    await turn.wire.send(answer.raw)


async def asked_again(turn: Turn) -> None:
    await turn.answered()
    await turn.pass_on()


# --- beneath TLS


async def cut_in_a_record(turn: Turn) -> None:
    sealed = turn.wire.sealed((await turn.answered()).raw)
    await turn.wire.send_beneath(sealed[: len(sealed) * 2 // 3])
    await hang_up(turn)


async def garbage_for_a_record(turn: Turn) -> None:
    await turn.answered()
    await turn.wire.send_beneath(b"\x17\x03\x03\x00\x40" + b"\xa5" * 64)
    await hang_up(turn)


async def spoilt_record(turn: Turn) -> None:
    sealed = bytearray(turn.wire.sealed((await turn.answered()).raw))
    sealed[-1] ^= 1
    await turn.wire.send_beneath(bytes(sealed))
    await hang_up(turn)


async def not_a_handshake(turn: Turn) -> None:
    await turn.wire.send_beneath(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await hang_up(turn)


async def reset_after_a_moment(turn: Turn) -> None:
    """Good until the answer is there: the next request finds nobody."""
    await turn.pass_on()
    await asyncio.sleep(BETWEEN_DRIPS)
    await reset(turn)


def _status(line: str, *headers: str, body: bytes = b"") -> Callable[[Turn], bytes]:
    return lambda _: "\r\n".join((line, *headers)).encode("latin-1") + END + body


def _endless_head(_: Turn, answer: Answer) -> Iterator[bytes]:
    yield answer.status + b"\r\n"
    yield from repeat(b"X-More: and more\r\n" * 8)


def _drops(_: Turn, answer: Answer) -> Iterator[bytes]:
    yield answer.with_headers("Content-Length: 1000000").head
    yield from repeat(b" ")


def _continues(_: Turn, __: Answer) -> Iterator[bytes]:
    yield from repeat(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 50)


def _hundred_megabytes(status: bytes = b"") -> Callable[[Turn, Answer], Iterator[bytes]]:
    def render(_: Turn, answer: Answer) -> Iterator[bytes]:
        long = answer.with_headers(f"Content-Length: {len(answer.body) + MEGABYTES}")
        yield (long.head.replace(long.status, status) if status else long.head) + answer.body
        yield from repeat(b" " * 10**5, MEGABYTES // 10**5)

    return render


def _endless_chunks(_: Turn, answer: Answer) -> Iterator[bytes]:
    yield answer.with_headers("Transfer-Encoding: chunked").head
    yield from repeat(chunk(b" ") * 100)


def _endless_trailers(_: Turn, answer: Answer) -> Iterator[bytes]:
    yield answer.with_headers("Transfer-Encoding: chunked").head + chunk(answer.body) + b"0\r\n"
    yield from repeat(b"X-More: and more\r\n" * 8)


def _quoting(before: bytes, after: bytes = b"") -> Render:
    """What the caller said, in a place where an answer has none of it."""
    return lambda turn, answer: before.replace(b"STATUS", answer.status) + echo(turn) + after


_TABLE: Final = (
    # --- connections
    Toxic("reset-at-once", reset, passes=False, greets=True),
    Toxic("closed-at-once", hang_up, passes=False, greets=True),
    Toxic("reset-before", reset, passes=False),
    Toxic("closed-before", hang_up, passes=False),
    Toxic("silence", wait, passes=False, endless=True),
    Toxic("silence-after", answering(lambda _, __: b"", wait), endless=True),
    Toxic("reset-after", answering(lambda _, __: b"", reset)),
    Toxic("closed-after", answering(lambda _, __: b"")),
    Toxic("reset-in-answer", answering(half, reset)),
    Toxic("closed-in-answer", answering(half)),
    Toxic("closed-in-head", answering(half_a_head)),
    Toxic("stuck-in-answer", answering(half, wait), endless=True),
    Toxic("stuck-in-head", answering(half_a_head, wait), endless=True),
    Toxic("drip", pouring(_drops, BETWEEN_DRIPS), endless=True),
    Toxic("reset-when-idle", reset_after_a_moment, spoils=False),
    # --- lengths
    Toxic("length-too-long", answering(by_length(+7))),
    Toxic("length-too-short", answering(by_length(-7), stay)),
    Toxic("length-zero", answering(by_length(-(10**9)), stay)),
    Toxic("length-doubled", answering(framed("Content-Length: 5", "Content-Length: 50000"))),
    Toxic("length-listed", answering(framed("Content-Length: 5, 5"))),
    Toxic("length-negative", answering(framed("Content-Length: -5"))),
    Toxic("length-beyond-measure", answering(framed(f"Content-Length: {10**30}"))),
    Toxic("length-is-no-number", answering(framed("Content-Length: many"))),
    Toxic("no-length", answering(framed()), spoils=False),
    Toxic("no-length-and-nothing", answering(framed(body=lambda _: b""))),
    Toxic("no-length-and-cut", answering(framed(body=lambda body: body[: len(body) // 2]))),
    # --- chunks
    Toxic("chunked", answering(chunked(lambda body: chunk(body) + chunk(b"")), stay), spoils=False),
    Toxic("chunk-of-no-size", answering(chunked(lambda body: chunk(body, b"some")))),
    Toxic("chunk-of-negative-size", answering(chunked(lambda body: chunk(body, b"-5")))),
    Toxic("chunk-beyond-measure", answering(chunked(lambda body: chunk(body, b"f" * 40)))),
    Toxic("chunk-too-long", answering(chunked(lambda body: chunk(body, b"%x" % (len(body) - 3)) + chunk(b"")))),
    Toxic("chunks-without-end", answering(chunked(chunk))),
    Toxic("huge-extension", answering(chunked(lambda body: chunk(body, b"5;" + b"x" * 10**6))), endless=True),
    Toxic("chunks-and-a-length", answering(framed("Transfer-Encoding: chunked", "Content-Length: 5", body=chunk))),
    Toxic("chunks-for-ever", pouring(_endless_chunks), endless=True, heavy=True),
    Toxic("trailers-for-ever", pouring(_endless_trailers), endless=True),
    # --- sizes
    Toxic("a-hundred-megabytes", pouring(_hundred_megabytes()), heavy=True),
    Toxic("a-hundred-megabytes-of-error", pouring(_hundred_megabytes(b"HTTP/1.1 503 Down")), heavy=True),
    Toxic("gzip-bomb", answering(encoded("gzip", lambda body: bomb(body, 31)), stay), heavy=True),
    Toxic("deflate-bomb", answering(encoded("deflate", lambda body: bomb(body, 15)), stay), heavy=True),
    Toxic("brotli-bomb", answering(encoded("br", lambda _: BROTLI_BOMB), stay), heavy=True),
    Toxic("zstd-bomb", answering(encoded("zstd", zstd_bomb), stay), heavy=True),
    Toxic("gzip-garbage", answering(encoded("gzip", bytes), stay)),
    Toxic("gzip-cut", answering(encoded("gzip", lambda body: gzip.compress(body)[:-12]), stay)),
    Toxic("gzip", answering(encoded("gzip", gzip.compress), stay), spoils=False),
    # --- heads
    Toxic("giant-header", answering(_quoting(b"STATUS\r\nX-Echo: " + b"x" * 10**6, END))),
    Toxic("many-headers", answering(lambda _, a: a.status + b"\r\n" + b"X-More: 1\r\n" * 5000 + b"\r\n" + a.body)),
    Toxic("headers-for-ever", pouring(_endless_head), endless=True),
    Toxic("hints-for-ever", pouring(_continues), endless=True),
    Toxic("a-few-hints", answering(lambda _, a: b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + a.raw, stay), spoils=False),
    Toxic("switching-protocols", instead(_status("HTTP/1.1 101 Switching Protocols", "Upgrade: h2c")), passes=False),
    Toxic("no-head", answering(_quoting(b"<html>"))),
    Toxic("another-protocol", answering(_quoting(b"SSH-2.0-"))),
    Toxic("half-a-status", answering(_quoting(b"HTTP/1.1 2"))),
    Toxic("a-header-without-a-colon", answering(_quoting(b"STATUS\r\n", END))),
    Toxic("a-zero-in-a-header", answering(_quoting(b"STATUS\r\nX-Echo: \0", END))),
    Toxic("quoted-and-closed", answering(_quoting(b"STATUS\r\nX-Echo: "))),
    Toxic("quoted-for-a-chunk", answering(_quoting(b"STATUS\r\nTransfer-Encoding: chunked\r\n\r\n", b"\r\n"))),
    Toxic("quoted-for-a-length", answering(_quoting(b"STATUS\r\nContent-Length: ", END))),
    Toxic("html-for-json", answering(framed("Content-Type: text/html", body=lambda _: b"<html>no</html>"))),
    Toxic("json-called-html", answering(framed("Content-Type: text/html; charset=klingon")), spoils=False),
    *map(redirect, (301, 302, 303, 307, 308)),
    # --- too often
    Toxic("answer-doubled-at-once", doubled_at_once),
    Toxic("answer-doubled-while-idle", doubled_while_idle, spoils=False),
    Toxic("answer-doubled-later", doubled_later, spoils=False),
    Toxic("asked-twice", asked_twice, spoils=False),
    Toxic("asked-again", asked_again, spoils=False),
    # --- beneath TLS
    Toxic("cut-in-a-record", cut_in_a_record, tls=True),
    Toxic("garbage-for-a-record", garbage_for_a_record, tls=True),
    Toxic("spoilt-record", spoilt_record, tls=True),
    Toxic("not-a-handshake", not_a_handshake, passes=False, tls=True, greets=True),
)

TOXICS: Final = {toxic.name: toxic for toxic in _TABLE}
