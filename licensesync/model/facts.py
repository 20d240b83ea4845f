"""What a pass goes by: places, pools, what is wanted, what was observed, what is remembered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Self

import msgspec

from licensesync.model.words import DeviceId, Imei, Mode, Product, Severity


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where something was written; `file` is relative to the settings file's folder, the rest counts from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @classmethod
    def of(cls, written: str) -> Self:
        """The place of which this is the text."""
        file, line, column = written.rsplit(":", 2)
        return cls(file, int(line), int(column))


@dataclass(frozen=True, slots=True)
class LineCommit:
    """The last commit that changed a line, as it was recorded; `commit` alone is None for a line not committed yet.

    `at` is when its author wrote it (UTC), None where the commit has no sensible time.
    """

    commit: str | None
    author: str = ""
    at: datetime | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place, and what to write instead."""

    place: Place
    message: str
    hint: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.place}: {self.message}; {self.hint}" if self.hint else f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The guard's settings for the removals of a pool."""

    count: int = 100
    percent: float = 10
    per_day: int = 200


@dataclass(frozen=True, slots=True)
class Pool:
    """The licenses of one product in one account (for SIM-Secure: of one SKU), and how they are reconciled.

    `reread` is the age up to which an older whole reading will do where nothing has changed; None: it never will.
    """

    name: str
    product: Product
    account: str
    mode: Mode
    limits: Limits = Limits()
    tolerance: int = 0
    sku: str | None = None
    others: int = 0
    irrevocable: bool = False
    reread: timedelta | None = None

    @property
    def licenses(self) -> str:
        """Whose licenses of what these are, whatever name the pool is given."""
        return " ".join(filter(None, (self.product, self.account, self.sku)))


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What the inventory says of a device: its group (None where it is only protected), priority and place."""

    group: str | None
    place: Place
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Protection:
    """A device that is never removed from any pool, until the start of a day (UTC) or for good."""

    reason: str
    place: Place
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """Leave to carry out one refused set of removals, until the start of a day (UTC)."""

    refusal: str
    reason: str
    place: Place
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """Who should hold a license of a pool today, as the inventory says.

    `wanted` iterates in the order of the inventory and answers `in` quickly (a dict or a set).
    `entries` knows every device that the inventory names anywhere, under this product's identifier.
    """

    wanted: Collection[DeviceId] = ()
    entries: Mapping[DeviceId, Entry] = field(default_factory=dict)
    protected: Mapping[Imei, Protection] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The licenses of a pool by the service's own counts.

    `available` is how many it says are left, where it says so: some that are not assigned may be on their way.
    """

    total: int
    assigned: int
    available: int | None = None

    @property
    def free(self) -> int:
        """How many can be assigned: as many as are left by every count."""
        left = self.total - self.assigned
        return max(0, left if self.available is None else min(left, self.available))

    def free_beside(self, promised: int) -> int:
        """How many are free beside those that were promised, which the service counts as assigned only later.

        What it says is available has them left out already.
        """
        return max(0, min(self.free, self.total - self.assigned - promised))


@dataclass(frozen=True, slots=True)
class Observed:
    """Who holds a license of a pool, by one whole reading: one of this run, unless it rests on an older one.

    `rests_on` is when that one was made. Of the `doubtful` it cannot tell: something was asked for them and nobody
    knows yet what became of it. Those of them that held a license before are among the holders.
    """

    holders: AbstractSet[DeviceId]
    capacity: Capacity
    doubtful: AbstractSet[DeviceId] = frozenset()
    rests_on: datetime | None = None

    def holds(self, device: DeviceId) -> bool | None:
        """Whether a device holds a license; None where that is not known."""
        return None if device in self.doubtful else device in self.holders


@dataclass(frozen=True, slots=True)
class Remembered:
    """Who holds licenses of a pool by what became of all that was asked for, where the service lists nobody.

    Devices for which something was asked whose end is not known, and decides whether they hold a license, have the time
    of the last request in `open_since`; those that held one before are among the holders. `others` is how many licenses
    belong to nobody whom we know.
    """

    holders: AbstractSet[DeviceId] = frozenset()
    open_since: Mapping[DeviceId, datetime] = field(default_factory=dict)
    others: int = 0

    @property
    def doubtful(self) -> AbstractSet[DeviceId]:
        """The devices of which it is not known whether they hold a license."""
        return frozenset(self.open_since)


@dataclass(frozen=True, slots=True)
class Policy:
    """What one pass goes by: the day (UTC) that it plans for, whether removals are wanted, which sets of them pass.

    `approvals` are those of the inventory, ended ones too; `allowed` holds what the command line lets pass once:
    hashes of refusals, or their first digits, at least eight, in lower case.
    """

    today: date
    removals: bool = True
    approvals: tuple[Approval, ...] = ()
    allowed: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ApprovalUse:
    """An approval that let removals pass in an earlier run: whose set it was, and what of it is left to remove.

    `reason` and `until` are those of the entry in the inventory, by which it is known again.
    """

    digest: str
    reason: str
    until: date | None
    used_at: datetime
    size: int
    left: AbstractSet[DeviceId]


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered from earlier runs and bears on a plan, in the light of what was observed.

    `pending` devices have an assignment that the service accepted and has not carried out yet: it will take a license.
    """

    managed: AbstractSet[DeviceId] = frozenset()
    quarantined: Mapping[DeviceId, datetime] = field(default_factory=dict)
    in_flight: Mapping[DeviceId, datetime | None] = field(default_factory=dict)
    retried_by_service: Mapping[DeviceId, datetime] = field(default_factory=dict)
    pending: AbstractSet[DeviceId] = frozenset()
    removed_in_past_day: int = 0
    approvals_used: tuple[ApprovalUse, ...] = ()
