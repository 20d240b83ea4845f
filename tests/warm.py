"""Starts `licensesync` warm: as a copy of a process that has imported it already, in an eighth of the time."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

FORGE = Path(__file__).with_name("forge.py")

LONGEST_LINE = 2**20

PRINTED: list[bytes] = []
"""What the processes of the present test have printed."""


class Copy:
    """A running copy: its number, and how it ends."""

    def __init__(self, fate: Reading) -> None:
        self._fate = fate
        self.returncode: int | None = None
        self.pid = 0
        self._ending: asyncio.Task[int] | None = None

    async def begin(self) -> None:
        self.pid = int(await self._fate.stream.readline())
        self._ending = asyncio.create_task(self._end())

    async def wait(self) -> int:
        assert self._ending is not None
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it has ended, and nobody has told yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def _end(self) -> int:
        self.returncode = int(await self._fate.stream.readline())
        await self._fate.closed.wait()
        return self.returncode


class Program(Copy):
    """A copy with pipes for its streams, and what tests use of `asyncio.subprocess.Process`."""

    def __init__(self, stdin: asyncio.StreamWriter, out: Reading, err: Reading, fate: Reading) -> None:
        super().__init__(fate)
        self.stdin = stdin
        self.stdout, self.stderr = out.stream, err.stream
        self._readers = (out, err)

    async def communicate(self, answer: bytes = b"") -> tuple[bytes, bytes]:
        """Give it the answer; all that it then prints until it ends."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.stdin.write(answer)
            await self.stdin.drain()
        self.stdin.close()
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        PRINTED.extend((out, err))
        await self.wait()
        return out, err

    async def _end(self) -> int:
        code = await super()._end()
        self.stdin.close()
        with suppress(BrokenPipeError, ConnectionResetError):
            await self.stdin.wait_closed()
        await asyncio.gather(*(reading.closed.wait() for reading in self._readers))
        return code


class Reading(asyncio.StreamReaderProtocol):
    """A pipe that is read to its end."""

    def __init__(self) -> None:
        self.stream = asyncio.StreamReader(LONGEST_LINE)
        self.closed = asyncio.Event()
        super().__init__(self.stream)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.closed.set()


async def start(
    arguments: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    *,
    umask: int | None = None,
    largest_file: int | None = None,
    ahead: float = 0,
) -> Program:
    """`licensesync` with these arguments, in the folder, with this environment alone and pipes for its streams.

    Its calendar may be `ahead` of that of this machine, by so many seconds.
    """
    (its_in, answers), (out, its_out), (err, its_err), (fate, its_fate) = (os.pipe() for _ in range(4))
    order = {**_order(arguments, folder, environ), "umask": umask, "largest_file": largest_file, "ahead": ahead}
    _send(order, its_in, its_out, its_err, its_fate)
    program = Program(await _written(answers), await _read(out), await _read(err), await _read(fate))
    await program.begin()
    return program


async def start_on(terminal: int, arguments: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Copy:
    """`licensesync` on this terminal, which is its own; it is closed here."""
    fate, its_fate = os.pipe()
    order = {**_order(arguments, folder, environ), "terminal": True}
    _send(order, terminal, os.dup(terminal), os.dup(terminal), its_fate)
    copy = Copy(await _read(fate))
    await copy.begin()
    return copy


def _order(arguments: Sequence[str], folder: Path, environ: Mapping[str, str]) -> dict[str, object]:
    return {"arguments": arguments, "folder": str(folder), "environ": dict(environ)}


def _send(order: Mapping[str, object], *theirs: int) -> None:
    socket.send_fds(_forge(), [json.dumps(order).encode()], theirs)
    for file in theirs:
        os.close(file)


@cache
def _forge() -> socket.socket:
    """Where the orders go; the process behind it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(FORGE), str(its.fileno())],
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
        )
    atexit.register(_close, ours, process)
    return ours


def _close(orders: socket.socket, forge: subprocess.Popen[bytes]) -> None:
    orders.close()
    forge.wait()


async def _read(file: int) -> Reading:
    _, reading = await asyncio.get_running_loop().connect_read_pipe(Reading, os.fdopen(file, "rb", buffering=0))
    return reading


async def _written(file: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(Reading, os.fdopen(file, "wb", buffering=0))
    return asyncio.StreamWriter(transport, protocol, None, loop)
