"""The last whole reading of each pool, and whether a run may rest on it instead of reading the pool again."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from licensesync.columns import AT_ONCE, in_parts
from licensesync.errors import ApiError, IncompleteObservation
from licensesync.ledger import database, sendings
from licensesync.ledger.book import Book
from licensesync.model import Capacity, DeviceId, Observed, Pool
from licensesync.reconcile import LicenseService

LONGEST: Final = 18
"""Digits that fit into eight bytes, with another one before them."""


@dataclass(frozen=True, eq=False, slots=True)
class Kept:
    """A whole reading: when and by which run it was made, for which inventory, and what was seen."""

    read_at: datetime
    run: str
    inventory: str
    capacity: Capacity
    numbers: array[int]

    async def observed(self) -> Observed:
        """What was seen; of a million devices that takes a part of a second, in which others have their turn."""
        return Observed(await unpacked(self.numbers), self.capacity, rests_on=self.read_at)


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
        if not self._nothing_was_sent_since(reading) or await self._counted() != reading.capacity:
            return None
        self.readings.keep(pool, reading)
        return await reading.observed()

    async def keep(self, observed: Observed) -> None:
        """This is the last whole reading, if the settings want one to be remembered."""
        pool, read_at = self.service.pool, self.book.now()
        if pool.reread is None or observed.doubtful:
            return
        numbers = await packed(observed.holders)
        if numbers is not None:
            self.readings.keep(pool, Kept(read_at, self.book.run, self.inventory, observed.capacity, numbers))

    def _is_young(self, reading: Kept) -> bool:
        """A reading of the time to come is of a clock that was wrong."""
        age = self.book.now() - reading.read_at
        return self.service.pool.reread is not None and timedelta(0) <= age < self.service.pool.reread

    def _nothing_was_sent_since(self, reading: Kept) -> bool:
        with database.explained(self.book.path), self.book.connection.begin():
            return sendings.nothing_since(self.book.connection, self.service.pool, reading.run)

    async def _counted(self) -> Capacity | None:
        try:
            return await self.service.capacity()
        except (ApiError, IncompleteObservation):
            return None


# Not in threads: what large sets take is given back to the memory of the thread that made them, and not to others.


async def packed(devices: Collection[DeviceId]) -> array[int] | None:
    """The devices as numbers with a 1 before them, which keeps their zeros; None if one of them is no such number."""
    numbers, left = array("Q"), iter(devices)
    while part := list(islice(left, AT_ONCE)):
        if not all(each.isascii() and each.isdecimal() and len(each) <= LONGEST for each in part):
            return None
        numbers.extend([int(f"1{each}") for each in part])
        await asyncio.sleep(0)
    return numbers


async def unpacked(numbers: array[int]) -> set[DeviceId]:
    """The devices again."""
    devices: set[DeviceId] = set()
    for rows in in_parts(range(len(numbers))):
        devices.update([DeviceId(str(number)[1:]) for number in numbers[rows.start : rows.stop]])
        await asyncio.sleep(0)
    return devices
