"""Sets Python up for a service that lives long, and answers while a thread of it works hard."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

M_ARENA_MAX: Final = -8
"""https://man7.org/linux/man-pages/man3/mallopt.3.html"""

TURN: Final = 0.0005
"""Seconds for which a thread may keep the interpreter from others that want it; by itself Python lets it ten times that
pass, and an answer needs many turns."""


def settle() -> None:
    """What is there now stays; what one thread has freed, all others can use; none has to wait long for its turn.

    The C library gives each thread a heap of its own, of which little is given back: with an inventory of a million
    devices that is tens of megabytes for each thread that has ever read it. What was imported is never garbage, but
    looking through it takes a tenth of a second each time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # others than glibc do not have it, nor these heaps
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(TURN)
