"""What a world begins with and what happens to it: values that can be told, and left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Final

from licensesync.model import Mode

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR


@dataclass(frozen=True)
class Wish:
    """A device that the inventory names, by its number: with which priority, and until which day of the story."""

    device: int
    priority: int = 0
    until: int | None = None

    def __str__(self) -> str:
        priority = f" by {self.priority}" if self.priority else ""
        return f"{self.device}{priority}{'' if self.until is None else f' until day {self.until}'}"


@dataclass(frozen=True)
class Bought:
    """The SIM-Secure licenses of the account: for how many devices, and how many of them others have."""

    licenses: int
    others: int = 0
    lifetime: bool = False
    mode: Mode = Mode.MANAGED
    held: tuple[int, ...] = ()
    """Who holds one at the beginning; the ledger was given the list."""


@dataclass(frozen=True)
class Beginning:
    """What does not change: the account, its devices, and the operator's settings."""

    devices: int
    licenses: int
    held: tuple[int, ...]
    mode: Mode | None
    """Of the FOTA pool; None where there is none."""
    count: int
    percent: int
    per_day: int
    page_size: int
    batch_size: int
    concurrency: int
    reread: bool
    latency: float
    sim: Bought | None = None


class Step(StrEnum):
    """What happens in the middle of a run."""

    KILL = "the program is killed"
    STOP = "the program is asked to end"
    FULL = "the disk is full"
    ROOM = "there is room on the disk again"
    SECOND = "somebody starts another run"
    MEDDLE = "others change licenses"
    CLOCK = "the operator's clock is set"


@dataclass(frozen=True)
class Trouble:
    """Something that happens once the program has gone so many steps: requests, answers, transactions."""

    at: int
    step: Step
    gives: tuple[int, ...] = ()
    takes: tuple[int, ...] = ()
    ahead: float = 0.0

    def __str__(self) -> str:
        more = f" (+{list(self.gives)} -{list(self.takes)})" if self.step is Step.MEDDLE else ""
        more += f" {self.ahead:+.0f} s" if self.step is Step.CLOCK else ""
        return f"at step {self.at} {self.step}{more}"


@dataclass(frozen=True)
class Edit:
    """The inventory from now on, as a commit. `bold` devices lack the consent that a lifetime license needs."""

    fota: tuple[Wish, ...] = ()
    sim: tuple[Wish, ...] = ()
    protected: Mapping[int, int | None] = field(default_factory=dict)
    """Until which day of the story a device is protected."""
    bold: bool = False

    def __str__(self) -> str:
        wanted = " ".join(f"{pool} {_wishes(wishes)}" for pool, wishes in (("fota", self.fota), ("sim", self.sim)))
        protected = f", protected {dict(self.protected)}" if self.protected else ""
        return f"the inventory wants {wanted}{protected}{', without consent' if self.bold else ''}"


@dataclass(frozen=True)
class Approval:
    """The inventory has an approval for the removals that were refused last, until a day of the story."""

    until: int | None = None

    def __str__(self) -> str:
        return f"somebody approves what was refused last{'' if self.until is None else f' until day {self.until}'}"


@dataclass(frozen=True)
class Run:
    """One run: of the service, or an `apply` of its own."""

    apply: bool = False
    removals: bool = True
    allows: bool = False
    """With --allow-removals for what was refused last."""
    waits: bool = True
    """For callbacks."""
    troubles: tuple[Trouble, ...] = ()

    def __str__(self) -> str:
        options = ["--no-removals"] * (not self.removals) + ["--allow-removals"] * self.allows
        troubles = f": {', '.join(map(str, self.troubles))}" if self.troubles else ""
        return f"{'apply' if self.apply else 'a run of the service'} {' '.join(options)}{troubles}".rstrip()


@dataclass(frozen=True)
class Restart:
    """The service is started anew."""

    def __str__(self) -> str:
        return "the service is started anew"


@dataclass(frozen=True)
class Others:
    """Other people change licenses."""

    gives: tuple[int, ...] = ()
    takes: tuple[int, ...] = ()
    sims: int = 0
    """So many SIM-Secure licenses more, or fewer, belong to devices that nobody names."""

    def __str__(self) -> str:
        return f"others give {list(self.gives)}, take {list(self.takes)}, and have {self.sims:+d} licenses for SIMs"


@dataclass(frozen=True)
class Purchase:
    """The company buys more licenses, or fewer."""

    licenses: int

    def __str__(self) -> str:
        return f"there are {self.licenses} licenses now"


@dataclass(frozen=True)
class Fortune:
    """The quirks of the service from now on, the devices that it has locked, and whether requests come in twice."""

    quirks: Mapping[str, str] = field(default_factory=dict)
    locked: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    doubled: bool = False

    def __str__(self) -> str:
        doubled = ", requests come in twice" if self.doubled else ""
        return f"the service: {dict(self.quirks)}, locked {list(self.locked)}, unknown {list(self.unknown)}{doubled}"


@dataclass(frozen=True)
class Wait:
    """Time goes by."""

    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds / HOUR:.1f} h go by"


@dataclass(frozen=True)
class ClockSet:
    """The operator's clock is so many seconds ahead from now on."""

    ahead: float

    def __str__(self) -> str:
        return f"the operator's clock is {self.ahead:+.0f} s wrong"


@dataclass(frozen=True)
class Password:
    """Somebody changes the password at the service, and tells the operator of it or not."""

    known: bool

    def __str__(self) -> str:
        return f"the password changes, and the operator {'has' if self.known else 'does not have'} the new one"


Event = Edit | Approval | Run | Restart | Others | Purchase | Fortune | Wait | ClockSet | Password


@dataclass(frozen=True)
class Story:
    """A whole story. The same one is played alike at any time, on any machine."""

    seed: int
    beginning: Beginning
    events: tuple[Event, ...]

    def told(self) -> Iterator[str]:
        said = ", ".join(f"{each.name} {getattr(self.beginning, each.name)}" for each in fields(self.beginning))
        yield f"seed {self.seed}: {said}"
        for number, event in enumerate(self.events, 1):
            yield f"  {number}. {event}"


def _wishes(wishes: tuple[Wish, ...]) -> str:
    return f"[{', '.join(map(str, wishes))}]"
