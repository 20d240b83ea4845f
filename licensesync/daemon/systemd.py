"""Tells systemd how the service is: ready, reloading, alive, stopping, and in words what it does.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

LONGEST_STATUS: Final = 300


class Manager:
    """The service manager, if one has started this process and wants to be told; else it is told to nobody.

    One that does not listen for a while is told later: nobody here waits for it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind) if address else None
        self._untold: dict[str, str] = {}
        self.patience = _watchdog(environ)
        """Seconds within which it wants to hear that the service is alive; None where it does not."""

    def close(self) -> None:
        if self._socket:
            self._socket.close()

    def ready(self) -> None:
        self._tell("READY=1")

    def reloading(self) -> None:
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")
        self._untold.pop("WATCHDOG", None)  # to have been alive once is nothing to tell later

    def status(self, words: str) -> None:
        """What `systemctl status` shows: one line."""
        self._tell(f"STATUS={' '.join(words.split())[:LONGEST_STATUS]}")

    def catch_up(self) -> None:
        """Tells what it had no ear for when it was said; a manager that cannot be reached ends no run."""
        while self._socket and self._untold:
            what, words = next(iter(self._untold.items()))
            try:
                self._socket.sendto(words.encode("utf-8", "replace"), self._address)
            except BlockingIOError:
                return
            except OSError:
                pass
            del self._untold[what]

    def _tell(self, *lines: str) -> None:
        """Of each kind of message only the newest counts."""
        what = lines[0].partition("=")[0]
        self._untold.pop(what, None)
        self._untold[what] = "\n".join(lines)
        self.catch_up()


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """https://www.freedesktop.org/software/systemd/man/latest/sd_watchdog_enabled.html"""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        return int(environ.get("WATCHDOG_USEC", "")) / 1_000_000 or None
    return None


class Pulse:
    """Beats where work goes on: who only waits for an answer that never comes is not alive."""

    def __init__(self, manager: Manager, clock: Callable[[], float]) -> None:
        self._manager = manager
        self._clock = clock
        self._told = float("-inf")
        self._beaten = clock()

    @property
    def pause(self) -> float:
        """Seconds after which somebody who has nothing to do beats again."""
        return min(10.0, self._manager.patience / 3) if self._manager.patience else 10.0

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._beaten

    def beat(self) -> None:
        """Something was done just now. The manager hears of it, though not more often than it needs."""
        self._beaten = self._clock()
        self._manager.catch_up()
        if self._manager.patience and self._beaten - self._told >= self._manager.patience / 10:
            self._told = self._beaten
            self._manager.alive()
