"""A process that has imported the program once, and becomes a fresh copy of it, by fork, for each one asked for.

The imports are most of what a command costs. A copy is a process of its own in all that a test may look at (arguments,
folder, environment, streams, signals, exit), but it did not come by `exec`: `test_cold.py` compares the two.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import runpy
import socket
import sys
import termios
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

import licensesync

STREAMS = 3
"""An order comes with files: standard input, output and error, and where to tell the copy's number and its end."""

_AT_MOST = 1_000_000  # bytes of an order: its arguments and environment


def _import_all() -> None:
    for module in pkgutil.walk_packages(licensesync.__path__, "licensesync."):
        if module.name != "licensesync.__main__":
            importlib.import_module(module.name)


def _serve(orders: socket.socket) -> dict[str, Any]:
    """Fork for each order until there are no more; in the copy, return its order."""
    while True:
        written, files, _flags, _address = socket.recv_fds(orders, _AT_MOST, STREAMS + 1)
        _bury()
        if not written:
            os._exit(0)
        if not os.fork():
            orders.close()
            _keep(*files)
            return dict(json.loads(written))
        for file in files:
            os.close(file)


def _bury() -> None:
    """Keepers that have ended are waited for, so that what they and their copies cost is counted with this process."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _keep(*files: int) -> None:
    """Fork once more, and tell at the end how the copy ended; returns in the copy only."""
    *streams, end = files
    if copy := os.fork():
        for stream in (*range(STREAMS), *streams):
            os.close(stream)
        os.write(end, b"%d\n" % copy)
        _, status = os.waitpid(copy, 0)
        os.write(end, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(STREAMS, max(files) + 1)


def _become(order: dict[str, Any]) -> None:
    _bind(order)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    sys.argv[1:] = order["arguments"]
    try:
        runpy.run_module("licensesync", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, int | None):
            _leave(end.code or 0)
        raise


def _bind(order: dict[str, Any]) -> None:
    """Take the limits, the terminal or the date that the order names."""
    if order.get("umask") is not None:
        os.umask(order["umask"])
    if order.get("largest_file") is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"], resource.RLIM_INFINITY))
    if order.get("ahead"):
        time_machine.travel(datetime.now(UTC) + timedelta(seconds=order["ahead"]), tick=True).start()
    if order.get("terminal"):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=os.isatty(1))  # as Python does at its start


def _leave(code: int) -> None:
    """End as Python does, but do not take all modules apart: that is half of what a short command costs.

    What is garbage by now is still collected, so that a file or connection that nobody closed is complained of.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python does first
    atexit._run_exitfuncs()
    gc.collect()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()  # where this fails, Python ends in its own way, and says so
    os._exit(code)


if __name__ == "__main__":
    sys.path.pop(0)  # the tests' folder
    _import_all()
    gc.freeze()  # what all copies share is nobody's garbage
    _become(_serve(socket.socket(fileno=int(sys.argv.pop()))))
