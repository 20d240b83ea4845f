"""What is told of callbacks: an event for each that is ours, and no word of what the others say."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

import structlog

from licensesync.callbacks.desk import Received, Reception
from licensesync.callbacks.listener import Rejected
from licensesync.journal import tell_of_device
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.promises import Promise
from licensesync.model import Pool

BETWEEN: Final = 1.0
"""Seconds between two events of rejected callbacks: who floods the listener does not fill the disk."""


class CallbackJournal:
    """Tells of callbacks as log events."""

    def __init__(self) -> None:
        self._log: Any = structlog.get_logger()
        self._rejected: Counter[Rejected] = Counter()
        self._told_at = float("-inf")

    def received(self, received: Received) -> None:
        promise = received.promise
        if received.reception is Reception.FOREIGN:
            self.rejected(Rejected.FOREIGN)
        elif promise is None:
            self._log.info("callback.received", reception=received.reception)
        else:
            log = self._log.bind(run=promise.run, reception=received.reception)
            tell_of_device(log, "callback.received", promise.pool, promise.outcome)

    def rejected(self, why: Rejected) -> None:
        """One event at once, and one for all that come within the next moment."""
        self._rejected[why] += 1
        if time.monotonic() - self._told_at >= BETWEEN:
            self.catch_up()

    def shown(self, pool: Pool, earlier: Earlier) -> None:
        """What became of an earlier action, by the answer to a later one; its one line if it never had one."""
        event = "device.settled" if earlier.never_told else "device.proved"
        tell_of_device(self._log.bind(run=earlier.run), event, pool, earlier.outcome)

    def overdue(self, promise: Promise) -> None:
        """Nobody knows what became of it: the next run asks again."""
        tell_of_device(self._log.bind(run=promise.run), "device.proved", promise.pool, promise.outcome)

    def forgotten(self, strays: int) -> None:
        self._log.warning("callback.rejected", reason="unclaimed", count=strays)

    def unkept(self, error: Exception) -> None:
        self._log.error("callback.unkept", problem=str(error), next_step="the service sends it again in a while")

    def catch_up(self) -> None:
        if not self._rejected:
            return
        self._told_at = time.monotonic()
        for why, count in sorted(self._rejected.items()):
            self._log.warning("callback.rejected", reason=why, count=count)
        self._rejected.clear()
