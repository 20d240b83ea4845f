"""The last whole reading of each pool, and whether a run may rest on it instead of reading the pool again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from licensesync.aside import aside
from licensesync.columns import Packed
from licensesync.errors import ApiError, IncompleteObservation
from licensesync.ledger import sendings
from licensesync.ledger.book import Book
from licensesync.model import Capacity, DeviceId, Observed, Pool
from licensesync.reconcile import LicenseService

AT_ONCE: Final = 5_000  # devices that are packed at once


@dataclass(frozen=True, eq=False, slots=True)
class Kept:
    """A whole reading: when and by which run it was made, for which inventory, and what was seen."""

    read_at: datetime
    run: str
    inventory: str
    capacity: Capacity
    holders: Packed

    def observed(self) -> Observed:
        """What was seen; of a million devices that takes a part of a second."""
        return Observed(set(map(DeviceId, self.holders)), self.capacity, rests_on=self.read_at)


class Readings:
    """The last whole readings that a process has made. They take eight bytes a device from run to run."""

    def __init__(self) -> None:
        self._kept: dict[Pool, Kept] = {}

    def keep(self, pool: Pool, reading: Kept) -> None:
        self._kept[pool] = reading

    def take(self, pool: Pool) -> Kept | None:
        """The reading of a pool as the settings have it now. It is forgotten unless it is kept again."""
        return self._kept.pop(pool, None)

    def forget(self) -> None:
        """Every pool is read whole by the next run."""
        self._kept.clear()


@dataclass(frozen=True, eq=False, slots=True)
class Recollection:
    """What one run, whose inventory has this digest, may rest on of a pool."""

    readings: Readings
    service: LicenseService
    inventory: str
    book: Book

    async def still_holds(self) -> Observed | None:
        """The last whole reading, if it is young enough, nothing was sent since, and inventory and counts are the same.

        It is given up at the least doubt, even one that might be gone by the next run. Raises LedgerError.
        """
        pool = self.service.pool
        reading = self.readings.take(pool)
        if reading is None or not self._is_young(reading) or reading.inventory != self.inventory:
            return None
        if not await aside(self._nothing_was_sent_since, reading) or await self._counted() != reading.capacity:
            return None
        self.readings.keep(pool, reading)
        return await aside(reading.observed)

    async def keep(self, observed: Observed) -> None:
        """This is the last whole reading, if the settings want one to be remembered."""
        pool, read_at = self.service.pool, self.book.now()
        if pool.reread is None or observed.doubtful:
            return
        holders = await aside(packed, observed.holders)
        self.readings.keep(pool, Kept(read_at, self.book.run, self.inventory, observed.capacity, holders))

    def _is_young(self, reading: Kept) -> bool:
        """A reading of the time to come is of a clock that was wrong."""
        age = self.book.now() - reading.read_at
        return self.service.pool.reread is not None and timedelta(0) <= age < self.service.pool.reread

    def _nothing_was_sent_since(self, reading: Kept) -> bool:
        with self.book.transaction():
            return sendings.nothing_since(self.book.connection, self.service.pool, reading.run)

    async def _counted(self) -> Capacity | None:
        try:
            return await self.service.capacity()
        except (ApiError, IncompleteObservation):
            return None


def packed(devices: Iterable[DeviceId]) -> Packed:
    """The same devices in little memory."""
    rest = iter(devices)
    return Packed(iter(lambda: list(islice(rest, AT_ONCE)), []))
