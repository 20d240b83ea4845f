"""The devices of an inventory in compact columns: who is named for which pool, where, and by which group."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from hashlib import blake2b
from itertools import chain, repeat
from typing import Final, cast
from zlib import crc32

from licensesync.columns import NONE, Digits, Index, Numbers, in_parts
from licensesync.located import at
from licensesync.model import DeviceId, Entry, Iccid, Imei, Place, Pool, Product, Protection, imei_of
from licensesync.problems import Problems

LONGEST_IMEI: Final = 16
LONGEST_ICCID: Final = 20


@dataclass(frozen=True, slots=True)
class Group:
    """What the inventory says of a group's devices together."""

    name: str
    licenses: tuple[str, ...]
    priority: int = 0
    since: date | None = None
    until: date | None = None
    consents: bool = False

    def is_active(self, today: date) -> bool:
        return (self.since is None or self.since <= today) and (self.until is None or today < self.until)


@dataclass(frozen=True, slots=True)
class Span:
    """Rows that stand in one file and belong to one group."""

    rows: range
    file: str
    group: Group


class Roster:
    """One row for each device entry, in the order of the inventory; filled once, then only read.

    A million devices take some ten megabytes, with ICCIDs and notes some forty.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self.pools = pools
        self.consenting: set[int] = set()
        self._spans: list[Span] = []
        self._starts: list[int] = []  # of the spans
        self._named: dict[str, list[Span]] = {name: [] for name in pools}  # the spans by pool
        self._imeis = Digits(LONGEST_IMEI)
        self._iccids = Digits(LONGEST_ICCID)  # as far as the last one
        self._positions = Numbers()
        self._notes: array[int] = array("I")  # checksums as far as the last note, 0 for none

    def __len__(self) -> int:
        return len(self._imeis)

    def add_plain(self, imeis: Sequence[str], positions: Sequence[int]) -> None:
        """Adds devices that are known by IMEI alone."""
        self._imeis.extend(imeis)
        self._positions.extend(positions)

    def add_named(self, imeis: Sequence[str], iccids: Sequence[str], positions: Sequence[int]) -> None:
        """Adds devices that are known by IMEI and, where it is not empty, ICCID."""
        if any(iccids):
            self._iccids.fill(len(self))
            self._iccids.extend([iccid or NONE for iccid in iccids])
        self.add_plain(imeis, positions)

    def add(self, imei: Imei, iccid: Iccid | None, position: int, *, consent: bool = False, note: str = "") -> None:
        if consent:
            self.consenting.add(len(self))
        if note:
            self.note(len(self), [note])
        self.add_named([imei], [iccid or ""], [position])

    def note(self, first: int, notes: Iterable[str]) -> None:
        """Keeps what the entries from a row on say beside their identifiers; nothing is known of later ones yet."""
        self._notes.extend(repeat(0, first - len(self._notes)))
        self._notes.extend(map(_checksum, notes))

    def enroll(self, span: Span, problems: Problems) -> None:
        """Names the rows of a span for the pools of its group."""
        self._spans.append(span)
        self._starts.append(span.rows.start)
        for name in span.group.licenses:
            self._named[name].append(span)
            if self.pools[name].product.needs_iccid:
                self._report_without_iccid(span, self.pools[name], problems)

    def close(self, problems: Problems) -> None:
        """Reports every device that stands twice for one pool: no more are added."""
        if self._imeis.are_unique():
            return
        for pool in self.pools.values():
            named = self.named(pool)
            if len(set(named)) < len(named):
                self._report_doubles(pool, problems)

    def named(self, pool: Pool, today: date | None = None) -> Named:
        """The devices that are named for a pool; those that are active on a day, where one is given."""
        spans = self._named.get(pool.name, [])
        return Named(self, pool, [span for span in spans if today is None or span.group.is_active(today)])

    def imei(self, row: int) -> Imei:
        return Imei(self._imeis[row])

    def imeis(self, rows: range) -> list[Imei]:
        return cast(list[Imei], self._imeis.texts(rows))

    def iccid(self, row: int) -> Iccid | None:
        iccid = self._iccids[row] if row < len(self._iccids) else NONE
        return None if iccid == NONE else Iccid(iccid)

    def devices(self, rows: range, product: Product) -> Iterator[DeviceId]:
        """What a product calls the devices of some rows; those that it cannot tell are left out."""
        if not product.needs_iccid:
            yield from cast(list[DeviceId], self._imeis.texts(rows))
            return
        for imei, iccid in zip(self.imeis(rows), self._iccids.texts(rows), strict=False):
            if iccid != NONE:
                yield product.identify(imei, Iccid(iccid))

    def group(self, row: int) -> Group:
        return self._span(row).group

    def place(self, row: int) -> Place:
        return at(self._span(row).file, self._positions[row])

    def entry(self, row: int) -> Entry:
        span = self._span(row)
        return Entry(span.group.name, at(span.file, self._positions[row]), span.group.priority)

    def rows_of(self, imei: Imei) -> list[int]:
        """The rows of a device in the order of the inventory."""
        return [row for row in self._index.rows(imei) if self._imeis[row] == imei]

    def rows_with(self, iccid: Iccid) -> list[int]:
        """The rows of a SIM; looking at every row takes its time."""
        return [row for row, known in enumerate(self._iccids.texts(range(len(self._iccids)))) if known == iccid]

    def row_of(self, pool: Pool, device: DeviceId) -> int | None:
        """The row that names a device for a pool, if there is one."""
        return next((row for row in self.rows_of(imei_of(device)) if self.names(row, device, pool)), None)

    def names(self, row: int, device: DeviceId, pool: Pool) -> bool:
        """Whether a row names a device for a pool."""
        return self.is_called(row, device, pool.product) and pool.name in self.group(row).licenses

    def is_called(self, row: int, device: DeviceId, product: Product) -> bool:
        """Whether the device of a row has this name for a product."""
        imei = self.imei(row)
        return device == (product.identify(imei, self.iccid(row)) if product.needs_iccid else imei)

    def mark(self, row: int) -> str:
        """A short text that is the same, on any machine, as long as the entry and its group say the same."""
        group = self._span(row).group
        note = self._notes[row] if row < len(self._notes) else 0
        own = (self.iccid(row), note, row in self.consenting)
        shared = (group.name, sorted(group.licenses), group.priority, group.since, group.until, group.consents)
        # Marks outlive a process: JSON is the same in every version of Python, and has ASCII only.
        return blake2b(json.dumps([own, shared], default=date.isoformat).encode(), digest_size=8).hexdigest()

    @cached_property
    def _index(self) -> Index:
        return Index(self._imeis)

    def _report_without_iccid(self, span: Span, pool: Pool, problems: Problems) -> None:
        for row in span.rows:
            if self.iccid(row) is None:
                imei = self.imei(row)
                message = f"device {imei} has no ICCID, which pool {pool.name} needs"
                problems.add(self.place(row), message, f'write {{imei: "{imei}", iccid: "…"}}')

    def _report_doubles(self, pool: Pool, problems: Problems) -> None:
        first: dict[DeviceId, int] = {}
        for span in self._named[pool.name]:
            for row in span.rows:
                for device in self.devices(range(row, row + 1), pool.product):
                    before = first.setdefault(device, row)
                    if before != row:
                        message = (
                            f"device {device} stands here for pool {pool.name} again, first at {self.place(before)}"
                        )
                        problems.add(self.place(row), message, "remove one of the two")

    def _span(self, row: int) -> Span:
        return self._spans[bisect_right(self._starts, row) - 1]


def _checksum(note: str) -> int:
    """A number that tells notes apart, 0 for a blank one; the line break at the end of a block of text says nothing."""
    return crc32(note.strip().encode())


class Named(AbstractSet[DeviceId]):
    """The devices that some groups name for a pool, in the order of the inventory."""

    def __init__(self, roster: Roster, pool: Pool, spans: Sequence[Span]) -> None:
        self._roster = roster
        self._pool = pool
        self._spans = spans
        self._starts = [span.rows.start for span in spans]
        self._length = sum(len(span.rows) for span in spans)

    @classmethod
    def _from_iterable(cls, devices: Iterable[DeviceId]) -> AbstractSet[DeviceId]:  # type: ignore[override]  # not of its own kind
        """What is made of this set and another is an ordinary one."""
        return frozenset(devices)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[DeviceId]:
        for span in self._spans:
            for rows in in_parts(span.rows):
                yield from self._roster.devices(rows, self._pool.product)

    def __contains__(self, device: object) -> bool:
        row = self._roster.row_of(self._pool, DeviceId(device)) if isinstance(device, str) else None
        if row is None:
            return False
        at = bisect_right(self._starts, row) - 1
        return at >= 0 and row in self._spans[at].rows


class Entries(Mapping[DeviceId, Entry]):
    """What the inventory says of each device that it names, made when it is asked for.

    What is said for the pool itself comes first, then what is said for other pools, then protection. A product that
    knows devices by IMEI and ICCID finds a protected one by its IMEI.
    """

    def __init__(self, roster: Roster, pool: Pool, protected: Mapping[Imei, Protection]) -> None:
        self._roster = roster
        self._pool = pool
        self._protected = protected
        self._kin = [other.name for other in roster.pools.values() if other.product is pool.product and other != pool]
        self._next = 0

    def __getitem__(self, device: DeviceId) -> Entry:
        row = self._row(device)
        if row is None:
            return Entry(None, self._protected[imei_of(device)].place)
        self._next = row + 1
        return self._roster.entry(row)

    def __iter__(self) -> Iterator[DeviceId]:
        rows = self._roster.devices(range(len(self._roster)), self._pool.product)
        protected = () if self._pool.product.needs_iccid else map(DeviceId, self._protected)
        return iter(dict.fromkeys(chain(rows, protected)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _row(self, device: DeviceId) -> int | None:
        """Who asks for one device of a pool often asks for the one that follows it then."""
        if self._next < len(self._roster) and self._roster.names(self._next, device, self._pool):
            return self._next
        rows = self._roster.rows_of(imei_of(device))
        called = [row for row in rows if self._roster.is_called(row, device, self._pool.product)]
        return min(called, key=self._distance, default=None)

    def _distance(self, row: int) -> int:
        """How far the groups' licenses are from this pool."""
        licenses = self._roster.group(row).licenses
        near = (rank for rank, name in enumerate((self._pool.name, *self._kin)) if name in licenses)
        return next(near, len(self._kin) + 1)
