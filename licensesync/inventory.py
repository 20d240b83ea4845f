"""The inventory: which devices should hold a license of which pool, and who is protected or approved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path

from licensesync.columns import in_parts
from licensesync.errors import InventoryError
from licensesync.files import LocalFiles, Source, Unreadable
from licensesync.groups import Reader
from licensesync.identifiers import with_wrong_check_digits
from licensesync.model import (
    Approval,
    Desired,
    DeviceId,
    Imei,
    InventoryInfo,
    LineCommit,
    Naming,
    Place,
    Pool,
    Problem,
    Protection,
    Severity,
    Term,
)
from licensesync.problems import MOST_PROBLEMS, Problems, by_place
from licensesync.roster import Entries, Roster


@dataclass(frozen=True)
class Content:
    """What an inventory was read from: the YAML files of its source, and the digest of all files, device lists too."""

    place: str
    names: tuple[str, ...]
    digests: Mapping[str, bytes]

    def is_in(self, source: Source) -> bool:
        """Whether nothing else would be read from a source, at other places neither. All of it is read for that."""
        names, unreadable = source.names()
        if (source.place, tuple(names)) != (self.place, self.names) or unreadable:
            return False
        try:
            return all(sha256(source.read(name)).digest() == digest for name, digest in self.digests.items())
        except Unreadable:
            return False


@dataclass(frozen=True, eq=False)
class Inventory:
    """What is wanted, by the inventory as it was read once."""

    roster: Roster
    protected: Mapping[Imei, Protection]
    approvals: tuple[Approval, ...]
    info: InventoryInfo
    content: Content

    def desired(self, pool: Pool, today: date) -> Desired:
        """Who should hold a license of a pool on a day (UTC)."""
        protected = {imei: entry for imei, entry in self.protected.items() if _lasts(entry, today)}
        return Desired(self.roster.named(pool, today), Entries(self.roster, pool, self.protected), protected)

    def named(self, pool: Pool) -> AbstractSet[DeviceId]:
        """Every device that is named for a pool, on whatever day."""
        return self.roster.named(pool)

    def mark(self, pool: Pool, device: DeviceId) -> str:
        """16 hex digits that change with what is written of a device for a pool: its own entry, and its group's keys.

        Where and in which form it is written does not matter, nor what is written of others. Empty for a device that
        no entry names for the pool.
        """
        row = self.roster.row_of(pool, device)
        return "" if row is None else self.roster.mark(row)

    def naming(
        self, pool: Pool, device: DeviceId, today: date, line_of: Callable[[Place], LineCommit | None]
    ) -> Naming | None:
        """The entry that names a device for a pool, if there is one; `line_of` tells who wrote a line last."""
        row = self.roster.row_of(pool, device)
        if row is None:
            return None
        group, place = self.roster.group(row), self.roster.place(row)
        not_yet = group.since is not None and today < group.since
        term = Term.ACTIVE if group.is_active(today) else Term.NOT_YET if not_yet else Term.ENDED
        consents = group.consents or row in self.roster.consenting
        return Naming(group.name, place, group.priority, group.since, group.until, term, consents, line_of(place))

    def warnings(self) -> tuple[Problem, ...]:
        """What may be wrong; looking at every check digit takes its time."""
        problems = Problems()
        for imei, place in self._suspects():
            message = f"the check digit of IMEI {imei} is wrong"
            problems.add(place, message, "compare the IMEI with the device", Severity.WARNING)
        return problems.in_order()

    def _suspects(self) -> Iterator[tuple[Imei, Place]]:
        for rows in in_parts(range(len(self.roster))):
            imeis = self.roster.imeis(rows)
            for index in with_wrong_check_digits(imeis):
                yield imeis[index], self.roster.place(rows[index])
        protected = list(self.protected)
        for index in with_wrong_check_digits(protected):
            yield protected[index], self.protected[protected[index]].place


@dataclass(frozen=True, eq=False)
class Draft:
    """An inventory as far as it can be read, with everything that is wrong with it."""

    inventory: Inventory
    problems: tuple[Problem, ...]


def load(root: Path, pools: Mapping[str, Pool], base: Path) -> Inventory:
    """The inventory of a file or folder; places are relative to `base`. Raises InventoryError with all problems."""
    return load_from(LocalFiles(root, base), pools)


def load_from(source: Source, pools: Mapping[str, Pool]) -> Inventory:
    """The inventory of any source. Raises InventoryError with all problems."""
    written = draft(source, pools)
    if written.problems:
        raise InventoryError(written.problems)
    return written.inventory


def draft(source: Source, pools: Mapping[str, Pool]) -> Draft:
    """The inventory as far as it can be read."""
    reader = Reader(source, pools)
    names, unreadable = source.names()
    for folder in unreadable:
        reader.problems.add(Place(source.place_of(folder.name), 1, 1), folder.message, folder.hint)
    for name in names:
        reader.read(name)
    reader.roster.close(reader.problems)
    _report_emptiness(source, names, reader)
    info = InventoryInfo(reader.entries, _digest(reader.digests))
    content = Content(source.place, tuple(names), reader.digests)
    inventory = Inventory(reader.roster, reader.protected, tuple(reader.approvals), info, content)
    return Draft(inventory, reader.problems.in_order())


def with_warnings(written: Draft) -> Sequence[Problem]:
    """Everything that is or may be wrong, by place; too many errors leave no room for warnings."""
    if len(written.problems) > MOST_PROBLEMS:
        return written.problems
    return sorted([*written.problems, *written.inventory.warnings()], key=by_place)


def _report_emptiness(source: Source, names: list[str], reader: Reader) -> None:
    place = Place(source.place, 1, 1)
    if not names:
        reader.problems.add(place, "the folder has no YAML files", "add one with groups: in it")
    elif not reader.has_groups and not len(reader.problems):
        reader.problems.add(place, "there are no groups", "write groups: [] if nothing is wanted")


def _digest(digests: Mapping[str, bytes]) -> str:
    """The same for the same names and contents, on any machine."""
    whole = sha256()
    for name, digest in sorted(digests.items()):
        whole.update(f"{len(name)} {name}\n".encode(errors="surrogateescape") + digest)
    return f"sha256:{whole.hexdigest()}"


def _lasts(protection: Protection, today: date) -> bool:
    return protection.until is None or today < protection.until
