"""The devices of an inventory in compact columns: who is named for which pool, where, and by which group."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from itertools import chain, compress, repeat
from typing import Final, cast
from zlib import crc32

from licensesync.located import at
from licensesync.model import DeviceId, Entry, Iccid, Imei, Place, Pool, Product, Protection, imei_of
from licensesync.problems import Problems

Members = dict[DeviceId, int]
"""The devices named for a pool, each with its row."""


AT_ONCE: Final = 20_000  # rows that are enrolled at once: other threads wait meanwhile


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


@dataclass(eq=False)
class Roster:
    """One row for each device entry, in the order of the inventory; filled once, then only read."""

    pools: Mapping[str, Pool]
    imeis: list[Imei] = field(default_factory=list)
    iccids: list[Iccid | None] = field(default_factory=list)
    positions: array[int] = field(default_factory=lambda: array("Q"))
    consenting: set[int] = field(default_factory=set)
    notes: array[int] = field(default_factory=lambda: array("I"))  # checksums as far as the last note, 0 for none
    spans: list[Span] = field(default_factory=list)
    members: dict[str, Members] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.imeis)

    def add_plain(self, imeis: list[str], positions: Iterable[int]) -> None:
        """Adds devices that are known by IMEI alone."""
        self.imeis.extend(cast(list[Imei], imeis))
        self.iccids.extend(repeat(None, len(imeis)))
        self.positions.extend(positions)

    def add(self, imei: Imei, iccid: Iccid | None, position: int, *, consent: bool = False, note: str = "") -> None:
        if consent:
            self.consenting.add(len(self.imeis))
        if note:
            if len(self.notes) < len(self.imeis):
                self.notes.extend(repeat(0, len(self.imeis) - len(self.notes)))
            self.notes.append(_checksum(note))
        self.imeis.append(imei)
        self.iccids.append(iccid)
        self.positions.append(position)

    def enroll(self, span: Span, problems: Problems) -> None:
        """Names the rows of a span for the pools of its group."""
        self.spans.append(span)
        for name in span.group.licenses:
            for start in range(span.rows.start, span.rows.stop, AT_ONCE):
                self._enroll_at_once(range(start, min(start + AT_ONCE, span.rows.stop)), self.pools[name], problems)

    def _enroll_at_once(self, rows: range, pool: Pool, problems: Problems) -> None:
        members = self.members.setdefault(pool.name, {})
        fresh = dict(zip(self._ids(rows, pool.product), rows, strict=False))
        if len(fresh) == len(rows) and fresh.keys().isdisjoint(members.keys()):
            members.update(fresh)
        else:
            self._enroll_one_by_one(rows, pool, problems)

    def group(self, row: int) -> Group:
        return self._span(row).group

    def place(self, row: int) -> Place:
        return at(self._span(row).file, self.positions[row])

    def entry(self, row: int) -> Entry:
        span = self._span(row)
        return Entry(span.group.name, at(span.file, self.positions[row]), span.group.priority)

    def rows_of(self, identifier: str) -> list[int]:
        """The rows of a device, by its IMEI or its ICCID; looking at every row takes its time."""
        by_iccid = identifier in self.iccids
        return [row for row, known in enumerate(self.iccids if by_iccid else self.imeis) if known == identifier]

    def mark(self, row: int) -> str:
        """A short text that is the same, on any machine, as long as the entry and its group say the same."""
        group = self._span(row).group
        note = self.notes[row] if row < len(self.notes) else 0
        own = (self.iccids[row], note, row in self.consenting)
        shared = (group.name, sorted(group.licenses), group.priority, group.since, group.until, group.consents)
        # Marks outlive a process: JSON is the same in every version of Python, and has ASCII only.
        return blake2b(json.dumps([own, shared], default=date.isoformat).encode(), digest_size=8).hexdigest()

    def active(self, pool: str, today: date) -> Iterator[DeviceId] | None:
        """The devices named for a pool by groups that are active on a day, in order; None if all groups are."""
        spans = [span for span in self.spans if pool in span.group.licenses]
        if all(span.group.is_active(today) for span in spans):
            return None
        named = iter(self.members[pool])
        chosen = (span.group.is_active(today) for span in spans for _ in span.rows)
        return compress(named, chosen)

    def outsiders(self, product: Product) -> Members:
        """The devices of groups that have no pool of a product, as that product knows them."""
        rows: Members = {}
        for span in self.spans:
            if not any(self.pools[name].product is product for name in span.group.licenses):
                for row in span.rows:
                    if self.iccids[row] or not product.needs_iccid:
                        rows.setdefault(product.identify(self.imeis[row], self.iccids[row]), row)
        return rows

    def _ids(self, rows: range, product: Product) -> list[DeviceId]:
        """What a product calls the devices of some rows; none if it cannot tell all of them."""
        imeis = self.imeis[rows.start : rows.stop]
        if not product.needs_iccid:
            return cast(list[DeviceId], imeis)
        iccids = self.iccids[rows.start : rows.stop]
        if None in iccids:
            return []
        return [product.identify(imei, iccid) for imei, iccid in zip(imeis, iccids, strict=True)]

    def _enroll_one_by_one(self, rows: range, pool: Pool, problems: Problems) -> None:
        members = self.members[pool.name]
        for row in rows:
            imei, iccid = self.imeis[row], self.iccids[row]
            if pool.product.needs_iccid and not iccid:
                message = f"device {imei} has no ICCID, which pool {pool.name} needs"
                problems.add(self.place(row), message, f'write {{imei: "{imei}", iccid: "…"}}')
                continue
            device = pool.product.identify(imei, iccid)
            first = members.setdefault(device, row)
            if first != row:
                message = f"device {device} stands here for pool {pool.name} again, first at {self.place(first)}"
                problems.add(self.place(row), message, "remove one of the two")

    def _span(self, row: int) -> Span:
        return self.spans[bisect_right(self.spans, row, key=lambda span: span.rows.start) - 1]


def _checksum(note: str) -> int:
    """A number that tells notes apart, 0 for a blank one; the line break at the end of a block of text says nothing."""
    return crc32(note.strip().encode())


class Entries(Mapping[DeviceId, Entry]):
    """What the inventory says of each device that it names, made when it is asked for.

    What is said for the pool itself comes first, then what is said for other pools, then protection. A product that
    knows devices by IMEI and ICCID finds a protected one by its IMEI.
    """

    def __init__(self, roster: Roster, pool: Pool, protected: Mapping[Imei, Protection]) -> None:
        self._roster = roster
        self._protected = protected
        self._by_imei = not pool.product.needs_iccid
        kin = [other.name for other in roster.pools.values() if other.product is pool.product and other != pool]
        named = [roster.members.get(name, {}) for name in (pool.name, *kin)]
        self._named = [*named, roster.outsiders(pool.product)]

    def __getitem__(self, device: DeviceId) -> Entry:
        for members in self._named:
            if (row := members.get(device)) is not None:
                return self._roster.entry(row)
        return Entry(None, self._protected[imei_of(device)].place)

    def __iter__(self) -> Iterator[DeviceId]:
        protected = map(DeviceId, self._protected) if self._by_imei else ()
        return iter(dict.fromkeys(chain(*self._named, protected)))

    def __len__(self) -> int:
        return sum(1 for _ in self)
