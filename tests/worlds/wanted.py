"""What a story's inventory means: who should hold a license, and who may lose one. Reckoned without the program."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from licensesync.model import Mode
from worlds.office import FOTA, SIM, Force, Office
from worlds.story import Wish


@dataclass(frozen=True)
class Wanted:
    """The wishes of an office, as IMEIs for the FOTA pool and as IMEI/ICCID for the other."""

    office: Office

    def desired(self, pool: str, force: Force, today: date) -> Mapping[str, int]:
        """Who should hold a license on a day, each with its rank: the smaller is served first."""
        wishes = force.edit.fota if pool == FOTA else force.edit.sim
        current = [wish for wish in _in_order(wishes) if self.lasts(wish.until, today)]
        ranked = sorted(current, key=lambda wish: -wish.priority)
        return {self.name(pool, wish.device): rank for rank, wish in enumerate(ranked)}

    def removable(self, pool: str, devices: Collection[str], managed: Collection[str]) -> set[str]:
        """Those of undesired devices whose license is to be taken at last, where these are managed."""
        mode, sim = self.mode(pool), self.office.beginning.sim
        if mode is Mode.ADD_ONLY or (pool == SIM and sim and sim.lifetime):
            return set()
        ours = managed if mode is Mode.MANAGED else devices
        force, today = self.office.force, self.office.clock.here.date()
        return {each for each in devices if each in ours and not self.is_protected(force, today, each)}

    def mode(self, pool: str) -> Mode | None:
        beginning = self.office.beginning
        if pool == FOTA:
            return beginning.mode
        return beginning.sim.mode if beginning.sim else None

    def is_protected(self, force: Force, today: date, device: str) -> bool:
        imei = device.partition("/")[0]
        by_imei = {self.office.fleet.imeis[each]: until for each, until in force.edit.protected.items()}
        return imei in by_imei and self.lasts(by_imei[imei], today)

    def named(self, pool: str, force: Force) -> set[str]:
        """Every device that an inventory names for a pool, on whatever day."""
        wishes = force.edit.fota if pool == FOTA else force.edit.sim
        return {self.name(pool, wish.device) for wish in wishes}

    def name(self, pool: str, device: int) -> str:
        return self.office.fleet.imeis[device] if pool == FOTA else str(self.office.fleet.sims[device])

    def lasts(self, until: int | None, today: date) -> bool:
        day = self.office.day(until)
        return day is None or today < day


def _in_order(wishes: Sequence[Wish]) -> Iterator[Wish]:
    """As they stand in the file: group after group."""
    for priority, until in dict.fromkeys((wish.priority, wish.until) for wish in wishes):
        yield from (wish for wish in wishes if (wish.priority, wish.until) == (priority, until))
