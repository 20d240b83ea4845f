"""What a company has on its machine: settings, an inventory that people edit, credentials, and a ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from fleets import ACCOUNT

from licensesync import inventory
from licensesync.callers import Callbacks
from licensesync.credentials import Credentials
from licensesync.errors import InventoryError
from licensesync.inventory import Inventory
from licensesync.ledger import database, holders
from licensesync.model import DeviceId, InventoryInfo, Limits, Pool, Product
from licensesync.settings import LocalSource, Settings
from licensesync.settings import ThingSpace as Wanted
from licensesync.simulator.bought import Sim
from worlds.clock import Clock
from worlds.ledger import reader
from worlds.service import Fleet
from worlds.story import Beginning, Edit, Wish

FOTA, SIM = "fota", "sim"
PATIENCE: Final = timedelta(minutes=30)
"""That the service has to tell how a request ended."""

GENEROUS: Final = Limits(1000, 100, 100_000)


@dataclass(frozen=True)
class Approved:
    """Devices whose removal is approved, until a day of the story."""

    devices: frozenset[str]
    until: int | None = None


@dataclass(frozen=True, eq=False)
class Force:
    """The inventory that is in force: as it was written, and as the program has read it."""

    edit: Edit
    inventory: Inventory
    info: InventoryInfo
    approved: Mapping[str, Approved] = field(default_factory=dict)
    """By the hash of their refusal, what is approved."""


class Office:
    """What a company has on its machine: files and words, no program."""

    def __init__(self, beginning: Beginning, fleet: Fleet, clock: Clock, ledger: Path) -> None:
        self.fleet, self.clock = fleet, clock
        self.ledger, self.folder = ledger, ledger.parent
        self.beginning = beginning
        self._reader = reader(ledger)
        self.today = clock.here.date()
        self.passwords = 0
        self.refused: tuple[str, str, frozenset[str]] | None = None
        """Pool, hash and devices of the last refusal."""
        self.approved: dict[str, Approved] = {}
        self.settings = self._settings(Limits(beginning.count, float(beginning.percent), beginning.per_day))
        self._read_before: dict[str, Inventory] = {}
        self._force: Force | None = None
        if beginning.sim and beginning.sim.held:
            self.import_list(fleet.sims[held] for held in beginning.sim.held)

    @property
    def force(self) -> Force:
        """What is in force now: before the first commit nobody is named."""
        self._force = self._force or self._read(Edit())
        return self._force

    def import_list(self, sims: Iterable[Sim]) -> None:
        """The ledger takes these for the holders of SIM-Secure licenses, and nobody else."""
        with database.changed(self.ledger) as connection:
            holders.replace_all(connection, self.settings.pools[SIM], {DeviceId(str(sim)) for sim in sims})

    def look(self, query: str, *given: object) -> list[Any]:
        """Rows of the ledger, for whoever holds the program to its word."""
        return self._reader.execute(query, given).fetchall()

    def be_generous(self) -> None:
        """The guard lets everything pass but the removal of all."""
        self.settings = self._settings(GENEROUS)

    @property
    def credentials(self) -> Credentials:
        return Credentials("key-5f1c2a", "secret-9b7d3e", "user-4c8f6a", f"password-{self.passwords}-1e2d3c")

    def edit(self, edit: Edit) -> None:
        """A commit; what is not in order changes nothing."""
        with suppress(InventoryError):
            self._force = self._read(edit)

    def approve(self, until: int | None) -> None:
        if self.refused:
            _, hash_, devices = self.refused
            self.approved[hash_] = Approved(devices, until)
            self.edit(self.force.edit)

    def day(self, number: int | None) -> date | None:
        return None if number is None else self.today + timedelta(days=number)

    def _settings(self, limits: Limits) -> Settings:
        beginning, pools = self.beginning, dict[str, Pool]()
        reread = timedelta(hours=6) if beginning.reread else None
        if beginning.mode:
            pools[FOTA] = Pool(FOTA, Product.FOTA, ACCOUNT, beginning.mode, limits, reread=reread)
        if sim := beginning.sim:
            number = "SIMSec-IoT-Lt" if sim.lifetime else "SIMSec-IoT"
            pools[SIM] = Pool(
                SIM,
                Product.SIM_SECURE,
                ACCOUNT,
                sim.mode,
                limits,
                sku=number,
                others=sim.others,
                irrevocable=sim.lifetime,
            )
        return Settings(
            self.folder / "licensesync.yaml",
            LocalSource(self.folder / "inventory.yaml"),
            pools,
            Wanted("http://127.0.0.1", concurrency=beginning.concurrency, batch_size=beginning.batch_size),
            callbacks=Callbacks("http://127.0.0.1/thingspace", timeout=PATIENCE),
        )

    def _read(self, edit: Edit) -> Force:
        """Raises InventoryError."""
        text = "\n".join(self._lines(edit)) + "\n"
        read = self._read_before.get(text)
        if read is None:
            path = self.folder / "inventory.yaml"
            path.write_text(text)
            read = self._read_before[text] = inventory.load(path, self.settings.pools, self.folder)
        commit = sha256(text.encode()).hexdigest()[:40]
        return Force(edit, read, replace(read.info, commit=commit), dict(self.approved))

    def _lines(self, edit: Edit) -> Iterator[str]:
        groups = [*self._groups(FOTA, edit.fota), *self._groups(SIM, edit.sim, consents=not edit.bold)]
        yield from ["groups:", *groups] if groups else ["groups: []"]
        if edit.protected:
            yield "protect:"
        for device, until in edit.protected.items():
            ends = f", until: {self.day(until)}" if until is not None else ""
            yield f'  - {{imei: "{self.fleet.imeis[device]}", reason: under investigation{ends}}}'
        if self.approved:
            yield "approvals:"
        for hash_, approved in self.approved.items():
            ends = f", until: {self.day(approved.until)}" if approved.until is not None else ""
            yield f'  - {{refusal: "{hash_}", reason: it is meant{ends}}}'

    def _groups(self, pool: str, wishes: Collection[Wish], *, consents: bool = False) -> Iterator[str]:
        for priority, until in dict.fromkeys((wish.priority, wish.until) for wish in wishes):
            yield f"  - name: {pool}-{priority}-{until}"
            yield f"    licenses: [{pool}]"
            yield f"    priority: {priority}"
            if until is not None:
                yield f"    until: {self.day(until)}"
            if consents:
                yield "    consent: lifetime"
            yield "    devices:"
            for wish in wishes:
                if (wish.priority, wish.until) == (priority, until):
                    yield self._line(pool, wish.device)

    def _line(self, pool: str, device: int) -> str:
        if pool == FOTA:
            return f'      - "{self.fleet.imeis[device]}"'
        sim = self.fleet.sims[device]
        return f'      - {{imei: "{sim.imei}", iccid: "{sim.iccid}"}}'
