"""Keeps the memory of a service that lives long small, and the pauses in which it is tidied short."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

M_ARENA_MAX: Final = -8
"""https://man7.org/linux/man-pages/man3/mallopt.3.html"""


def settle() -> None:
    """What is there now stays; and what one thread has freed, all others can use.

    The C library gives each thread a heap of its own, of which little is given back: with an inventory of a million
    devices that is tens of megabytes for each thread that has ever read it. What was imported is never garbage, but
    looking through it takes a tenth of a second each time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # others than glibc do not have it, nor these heaps
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
    gc.collect()
    gc.freeze()
