"""Keeps what was accepted for licenses of a SKU and is not done yet, and does it when it is due."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from licensesync.simulator.bought import Deed, Pending, Sim, Sku
from licensesync.simulator.faults import Fault
from licensesync.simulator.state import Account


class Twist(StrEnum):
    """What goes wrong with the callback of one device, by the name of its quirk."""

    LOST = "callback-lost"
    DOUBLED = "callback-doubled"
    LATE = "callback-late"
    EARLY = "callback-early"
    FAILED = "callback-failed"
    CONTRADICTS = "callback-contradicts"
    FALSE = "callback-false"
    FORGED = "callback-forged"
    FOREIGN = "callback-foreign"
    OTHER_SKU = "callback-other-sku"


@dataclass(frozen=True)
class Promise:
    """One device of an accepted request. One with a fault from the start is pending nowhere and only tells it."""

    account: Account
    sku: str
    deed: Deed
    device: Sim
    request: str
    due: float
    fault: Fault | None = None
    twists: frozenset[Twist] = frozenset()


@dataclass(frozen=True)
class Outcome:
    """A promise that is kept, or broken with a fault."""

    promise: Promise
    fault: Fault | None


class Promises:
    """All that is promised, in the order in which it is due."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Promise]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._due)

    def make(self, promise: Promise) -> None:
        """From now on the device is pending."""
        heapq.heappush(self._due, (promise.due, next(self._numbers), promise))
        if promise.fault is None:
            pending = promise.account.skus[promise.sku].pending
            pending[promise.device] = Pending(promise.deed, promise.request)

    def settle(self, now: float) -> list[Outcome]:
        """What was due until now is done, in its order."""
        return [Outcome(promise, promise.fault or _keep(promise)) for promise in self._until(now)]

    def _until(self, now: float) -> Iterator[Promise]:
        while self._due and self._due[0][0] <= now:
            yield heapq.heappop(self._due)[2]


def _keep(promise: Promise) -> Fault | None:
    sku = promise.account.skus[promise.sku]
    sku.pending.pop(promise.device, None)
    if Twist.FAILED in promise.twists:
        return Fault.UNEXPECTED
    if promise.device.imei in promise.account.locked:
        return Fault.LOCKED
    return _assign(sku, promise) if promise.deed is Deed.ASSIGN else _unassign(sku, promise)


def _assign(sku: Sku, promise: Promise) -> Fault | None:
    if promise.device in sku.licensed:
        return Fault.ALREADY_LICENSED
    if sku.assigned >= sku.purchased:
        return Fault.NO_LICENSE_LEFT
    sku.give(promise.device, promise.due, promise.request)
    return None


def _unassign(sku: Sku, promise: Promise) -> Fault | None:
    if promise.device not in sku.licensed:
        return Fault.NOT_LICENSED
    sku.take(promise.device, promise.due, promise.request)
    return None
