"""Sets Python up for a service that lives long, and answers while a thread of it works hard."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

M_ARENA_MAX: Final = -8
M_MMAP_THRESHOLD: Final = -3
"""https://man7.org/linux/man-pages/man3/mallopt.3.html"""

LARGE: Final = 1 << 20
"""Bytes from which on a piece of memory is the system's own again as soon as it is freed."""

TURN: Final = 0.002
"""Seconds for which a thread may keep the interpreter from others that want it. An answer needs a dozen turns of the
event loop, each of which waits so long while a thread works: by itself Python lets more than twice that pass. With much
less, an answer is broken off again and again while it is made, and then has to wait for a thread's longest step."""


def settle() -> None:
    """What is there now stays; what one thread has freed, all others can use; none has to wait long for its turn.

    The C library gives each thread a heap of its own, of which little is given back: with an inventory of a million
    devices that is tens of megabytes for each thread that has ever read it. Columns of that size, which the library
    would keep among what is small, leave no holes there. What was imported is never garbage, but looking through it
    takes a tenth of a second each time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # others than glibc do not have it, nor these heaps
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE)
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(TURN)
