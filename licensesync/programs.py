"""Other programs: run to their end within a time, in a session of their own, where there is nobody to ask."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile

MOST_WORDS = 16 * 1024
RUNNING: set[subprocess.Popen[bytes]] = set()
"""What runs now, in whichever thread."""
ENDING = threading.Event()
"""Is set once this process is to end: no program is waited for any more, and none is begun."""
DYING = 5.0
"""Seconds that a killed program has to vanish; one that the kernel keeps is left to it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; `err` is the beginning of its standard error."""

    code: int
    out: bytes
    err: bytes


def run(command: Sequence[str], *, environ: Mapping[str, str], patience: float, given: bytes = b"") -> Ended:
    """How the program ended, which gets `given` as its standard input.

    Raises TimeoutError after `patience` seconds, when it and all that it has started in its session have been killed;
    InterruptedError if this process is to end; FileNotFoundError if there is no such program, and other OSErrors if it
    cannot be started.
    """
    _must_go_on()
    with TemporaryFile() as words:  # a file, since what a program leaves running may hold a pipe open for ever
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env=dict(environ),
            start_new_session=True,
        )
        RUNNING.add(process)
        try:
            _must_go_on()  # `cut` has not seen what began just now
            out, _ = process.communicate(given, timeout=patience)
            if process.returncode == -signal.SIGKILL:
                _must_go_on()
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it did not end within {patience:g} s") from None
        finally:
            RUNNING.discard(process)
            _end(process)
        words.seek(0)
        return Ended(process.returncode, out, words.read(MOST_WORDS))


def cut() -> None:
    """Kill what runs now, with all that it has started, and begin nothing more: this process is to end."""
    ENDING.set()
    for process in tuple(RUNNING):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _must_go_on() -> None:
    if ENDING.is_set():
        raise InterruptedError(errno.EINTR, "it was cut short, since this program ends")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that has not ended, with its session, and let go of its pipes."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(DYING)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):
                pipe.close()
