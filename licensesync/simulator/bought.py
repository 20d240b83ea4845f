"""Knows what else an account has beside FOTA licenses: addresses for callbacks, and licenses by SKU."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from licensesync.simulator.addresses import is_url
from licensesync.simulator.imeis import is_imei

CARRIER_SERVICE = "CarrierService"  # whose callbacks tell how requests for licenses ended
LIFETIME = "SIMSec-IoT-Lt"  # whoever holds it keeps it
OTHERS = "others"  # who changed a license without a request that we know
_SKU_KEYS = {"purchased", "assigned", "licensed", "licenseType", "revocable"}
_CALLBACK_KEYS = {"url", "username", "password"}


@dataclass(frozen=True)
class Registration:
    """Where the callbacks of one service go, and what they are sent along with."""

    url: str
    username: str = ""
    password: str = ""

    def as_json(self) -> dict[str, object]:
        return {"url": self.url, "username": self.username, "password": self.password}


class Sim(NamedTuple):
    """What holds a SIM-Secure license: a device with the SIM in it."""

    imei: str
    iccid: str

    def __str__(self) -> str:
        return f"{self.imei}/{self.iccid}"


class Deed(StrEnum):
    """What is done with a license of a SKU, in the words of a callback."""

    ASSIGN = "Assign"
    UNASSIGN = "Unassign"


@dataclass(frozen=True)
class Change:
    """A license of a SKU that changed hands; `request` is an id, or `others`."""

    time: float
    deed: Deed
    device: Sim
    request: str


@dataclass(frozen=True)
class Pending:
    """What was accepted for a device and is not done yet."""

    deed: Deed
    request: str


@dataclass
class Sku:
    """The licenses of a SKU. `licensed` and `history` are the truth that tests look at."""

    purchased: int
    others: int = 0  # licenses of devices whom nobody names
    kind: str = "Flexible"
    revocable: bool = True
    licensed: set[Sim] = field(default_factory=set)
    pending: dict[Sim, Pending] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)

    @property
    def assigned(self) -> int:
        return self.others + len(self.licensed)

    @property
    def on_their_way(self) -> int:
        """How many licenses were promised and are not assigned yet."""
        return sum(pending.deed is Deed.ASSIGN for pending in self.pending.values())

    @property
    def available(self) -> int:
        return max(self.purchased - self.assigned - self.on_their_way, 0)

    def give(self, device: Sim, now: float, request: str = OTHERS) -> None:
        """The device holds a license from now on: one, however often it is given."""
        if device not in self.licensed:
            self.licensed.add(device)
            self.history.append(Change(now, Deed.ASSIGN, device, request))

    def take(self, device: Sim, now: float, request: str = OTHERS) -> None:
        """The device holds no license from now on."""
        if device in self.licensed:
            self.licensed.discard(device)
            self.history.append(Change(now, Deed.UNASSIGN, device, request))

    def become(self, other: "Sku", now: float) -> None:
        """Others buy, give and take until it is like this other one; what is pending stays so."""
        self.purchased, self.others, self.kind, self.revocable = (
            other.purchased, other.others, other.kind, other.revocable
        )  # fmt: skip
        for device in sorted(self.licensed - other.licensed):
            self.take(device, now)
        for device in sorted(other.licensed - self.licensed):
            self.give(device, now)

    def may_be_unassigned(self, number: str) -> bool:
        """Whether under this number its licenses can be taken from devices."""
        return self.revocable and number != LIFETIME

    def as_json(self, number: str) -> dict[str, object]:
        return {
            "purchased": self.purchased,
            "assigned": self.assigned,
            "licensed": [list(device) for device in sorted(self.licensed)],
            "licenseType": self.kind,
            "revocable": self.may_be_unassigned(number),
        }

    def pending_as_json(self) -> list[dict[str, object]]:
        return [
            {"device": list(device), "action": pending.deed.value, "requestId": pending.request}
            for device, pending in self.pending.items()
        ]


def is_iccid(text: str) -> bool:
    """Whether this has the form of an ICCID: 18 to 20 digits."""
    return 18 <= len(text) <= 20 and text.isascii() and text.isdigit()


def registration_of(stored: object) -> Registration | None:
    """What a file or a request says, or None where it is of another form."""
    if not isinstance(stored, Mapping) or set(stored) - _CALLBACK_KEYS or not is_url(stored.get("url")):
        return None
    said = [stored.get(key) or "" for key in ("username", "password")]
    return Registration(stored["url"], *said) if all(isinstance(text, str) for text in said) else None


def sku_of(stored: object) -> Sku | None:
    """What a file or a request says, or None where it is of another form."""
    if not isinstance(stored, Mapping) or set(stored) - _SKU_KEYS:
        return None
    licensed = sims_of(stored.get("licensed", []))
    kind, revocable = stored.get("licenseType") or "Flexible", stored.get("revocable", True)
    if licensed is None or not isinstance(kind, str) or not isinstance(revocable, bool):
        return None
    purchased, assigned = _count(stored.get("purchased")), _count(stored.get("assigned", len(licensed)))
    if purchased is None or assigned is None or not len(licensed) <= assigned <= purchased:
        return None
    return Sku(purchased, assigned - len(licensed), kind, revocable, licensed)


def sims_of(listed: object) -> set[Sim] | None:
    """Pairs of IMEI and ICCID, or None where they are something else."""
    if not isinstance(listed, Iterable) or isinstance(listed, str | Mapping):
        return None
    pairs = list(listed)
    if not all(_is_pair(pair) for pair in pairs):
        return None
    return {Sim(*pair) for pair in pairs}


def _is_pair(pair: object) -> bool:
    match pair:
        case [str(imei), str(iccid)]:
            return is_imei(imei) and is_iccid(iccid)
        case _:
            return False


def _count(number: object) -> int | None:
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None
