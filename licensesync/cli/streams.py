"""Standard output and standard error, whatever has become of them: closed, full, or a pipe that nobody reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

from licensesync.errors import LicenseSyncError
from licensesync.problems import printable


def open_what_is_closed() -> None:
    """A stream that was closed before the start leads nowhere, so that no file or socket takes its place."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for the life of the process


def say(words: str) -> None:
    """Words on standard error, line by line: what others chose, such as names of files, steers no terminal."""
    lines = "\n".join(map(printable, words.split("\n")))
    with suppress(OSError):
        print(lines, file=sys.stderr, flush=True)  # noqa: T201 - the message is the result


def print_result(result: bytes) -> None:
    """These bytes, UTF-8, as whole lines on standard output; see `print_parts`."""
    print_parts([result if result.endswith(b"\n") else result + b"\n"])


def print_parts(parts: Iterable[bytes]) -> None:
    """These bytes on standard output, each part before the next one is made.

    A reader that has gone away wanted no more; anything else that goes wrong raises LicenseSyncError.
    """
    try:
        sys.stdout.flush()
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _lead_nowhere(sys.stdout)
    except OSError as error:
        _lead_nowhere(sys.stdout)
        raise LicenseSyncError(f"the result cannot be written to standard output: {error.strerror}") from error


def all_written() -> bool:
    """Whether everything was written in the end; what Python still holds back is dropped if it cannot be."""
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _lead_nowhere(stream)
        except (OSError, ValueError):
            _lead_nowhere(stream)
            written = written and stream is sys.stderr
    return written


def _lead_nowhere(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
