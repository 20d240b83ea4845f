"""Knows a ThingSpace in memory: accounts, who holds their licenses, and the rules by which that changes."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from licensesync.simulator.bought import Registration, Sku, registration_of, sku_of
from licensesync.simulator.imeis import ImeiSet, is_imei

T = TypeVar("T")

DAY = 24 * 60 * 60.0
_ACCOUNT_NAME = re.compile(r"\d{9,12}-\d{5,6}", re.ASCII)  # ten and five, but the samples know others too
_FIRST_BODY = 35_000_000_000_000  # generated devices of the first account; each further account starts later
_BODIES_APART = 10**8


def is_account_name(text: str) -> bool:
    """Whether this has the form of an account name, such as 0642233522-00001."""
    return _ACCOUNT_NAME.fullmatch(text) is not None


class Verb(StrEnum):
    ASSIGN = "assign"
    REMOVE = "remove"


class End(StrEnum):
    """What became of one device in a write."""

    ASSIGNED = "assigned"
    PREEXISTING = "preexisting"
    NO_LICENSE_LEFT = "no-license-left"
    REMOVED = "removed"
    NOT_LICENSED = "not-licensed"
    UPGRADED = "upgraded"
    LOCKED = "locked"
    NOT_FOUND = "not-found"
    MALFORMED = "malformed"
    PENDING = "pending"


@dataclass(frozen=True)
class Verdict:
    device: str
    end: End
    at: float
    next_attempt: float


@dataclass(frozen=True)
class Circumstances:
    """What a write finds when it arrives, besides the account itself."""

    now: float
    total: int
    absent: Callable[[str], bool]
    postponed: frozenset[str] = frozenset()
    due: float | None = None  # when what is postponed takes effect; None: never
    feigned: frozenset[str] = frozenset()  # nothing is done for these, and it is not told


@dataclass
class Account:
    """One account. `licensed` is the truth that tests look at."""

    name: str
    total: int
    licensed: ImeiSet = field(default_factory=ImeiSet)
    known: ImeiSet = field(default_factory=ImeiSet)  # devices without a license that were seen or declared
    strict: bool = False  # only known and licensed devices exist
    unknown: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    upgraded: set[str] = field(default_factory=set)
    callbacks: dict[str, Registration] = field(default_factory=dict)  # by the name of the service
    skus: dict[str, Sku] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    _changed: dict[str, tuple[float, bool]] = field(default_factory=dict)
    _postponed: list[tuple[float, Verb, str]] = field(default_factory=list)

    @property
    def assigned(self) -> int:
        return len(self.licensed)

    @property
    def free(self) -> int:
        return max(self.total - self.assigned, 0)

    def exists(self, device: str) -> bool:
        """Whether this is a device of the account: any IMEI is, unless it was declared otherwise."""
        return device not in self.unknown and (not self.strict or self.has_seen(device))

    def has_seen(self, device: str) -> bool:
        return device in self.licensed or device in self.known

    def held_license_at(self, device: str, moment: float) -> bool:
        """Whether it held a license then, as far as its last change tells."""
        changed_at, held_before = self._changed.get(device, (0.0, False))
        return held_before if changed_at > moment else device in self.licensed

    def as_of(self, moment: float) -> "Account":
        """The account with the licenses of that moment, as far as the last changes tell."""
        changed = {device for device, (at, _) in self._changed.items() if at > moment}
        held = {device for device in {*self.licensed, *changed} if self.held_license_at(device, moment)}
        return replace(self, licensed=ImeiSet(held))

    def write(self, verb: Verb, devices: Sequence[str], order: Iterable[int], found: Circumstances) -> list[Verdict]:
        """One verdict for each device, in the order of the request, whatever the order of the work."""
        judge = self._assign if verb is Verb.ASSIGN else self._remove
        ends = {at: judge(devices[at], found) for at in order}
        return [Verdict(device, ends[at], found.now, found.due or found.now + DAY) for at, device in enumerate(devices)]

    def give(self, device: str, now: float) -> None:
        """The device holds a license from now on."""
        self._note(device, now)
        self.licensed.add(device)
        self.known.discard(device)
        self.since[device] = now

    def take(self, device: str, now: float) -> None:
        """The device holds no license from now on; it stays a device of the account."""
        self._note(device, now)
        self.licensed.discard(device)
        self.known.add(device)
        self.since.pop(device, None)
        self.upgraded.discard(device)

    def buy(self, total: int, now: float) -> None:
        """From now on so many licenses; if fewer than are assigned, the oldest assignments go first."""
        self.total = total
        excess = self.assigned - total
        if excess > 0:
            oldest = sorted(self.licensed, key=lambda device: (self.since.get(device, 0.0), device))
            for device in oldest[:excess]:
                self.take(device, now)

    def settle(self, now: float) -> None:
        """What was postponed until now takes effect."""
        due = [entry for entry in self._postponed if entry[0] <= now]
        for entry in due:
            self._postponed.remove(entry)
            _, verb, device = entry
            if verb is Verb.REMOVE:
                self.take(device, now)
            elif self.free:
                self.give(device, now)

    def _assign(self, device: str, found: Circumstances) -> End:
        if (refused := self._refused(device, found)) is not None:
            return refused
        if device in self.licensed:
            return End.PREEXISTING
        if self.assigned >= found.total:
            return End.NO_LICENSE_LEFT
        if device in found.postponed:
            return self._postpone(Verb.ASSIGN, device, found)
        if device not in found.feigned:
            self.give(device, found.now)
        return End.ASSIGNED

    def _remove(self, device: str, found: Circumstances) -> End:
        if (refused := self._refused(device, found)) is not None:
            return refused
        if device not in self.licensed:
            return End.NOT_LICENSED
        if device in self.upgraded:
            return End.UPGRADED
        if device in found.postponed:
            return self._postpone(Verb.REMOVE, device, found)
        if device not in found.feigned:
            self.take(device, found.now)
        return End.REMOVED

    def _refused(self, device: str, found: Circumstances) -> End | None:
        if not is_imei(device):
            return End.MALFORMED
        if found.absent(device):
            return End.NOT_FOUND
        return End.LOCKED if device in self.locked else None

    def _postpone(self, verb: Verb, device: str, found: Circumstances) -> End:
        if found.due is not None:
            self._postponed.append((found.due, verb, device))
        return End.PENDING

    def _note(self, device: str, now: float) -> None:
        self._changed[device] = (now, device in self.licensed)

    def as_json(self) -> dict[str, object]:
        """The account as a state file holds it."""
        return {
            "total": self.total,
            "licensed": list(self.licensed),
            "known": list(self.known),
            "strict": self.strict,
            "unknown": sorted(self.unknown),
            "locked": sorted(self.locked),
            "upgraded": sorted(self.upgraded),
            "callbacks": {name: registration.as_json() for name, registration in self.callbacks.items()},
            "skus": {name: sku.as_json(name) for name, sku in self.skus.items()},
        }


class StateError(ValueError):
    """The state file does not have the documented form; the text says where."""


@dataclass
class World:
    """All accounts, by name."""

    accounts: dict[str, Account] = field(default_factory=dict)

    def open_account(self, name: str, total: int, devices: int = 0) -> Account:
        """A new account with so many licenses, so many of them assigned to generated devices."""
        first_body = _FIRST_BODY + len(self.accounts) * _BODIES_APART
        licensed = ImeiSet(first_body=first_body, generated=devices)
        self.accounts[name] = Account(name, max(total, devices), licensed)
        return self.accounts[name]

    def settle(self, now: float) -> None:
        for account in self.accounts.values():
            account.settle(now)

    def as_json(self) -> dict[str, object]:
        return {"accounts": {name: account.as_json() for name, account in self.accounts.items()}}

    @classmethod
    def from_json(cls, stored: object) -> "World":
        """The world of a state file: `{"accounts": {NAME: {"total": N, "licensed": [IMEI, ...], ...}}}`."""
        accounts = stored.get("accounts") if isinstance(stored, Mapping) else None
        if not isinstance(accounts, Mapping):
            raise StateError('no accounts; write {"accounts": {"0642233522-00001": {"total": 1000}}}')
        return cls({name: _account(name, entry) for name, entry in accounts.items()})


_LISTS = ("licensed", "known", "unknown", "locked", "upgraded")
_TABLES = {
    "callbacks": '{"CarrierService": {"url": "https://callbacks.example.com/", "username": "", "password": ""}}',
    "skus": '{"SIMSec-IoT": {"purchased": 9, "assigned": 7, "licensed": [["IMEI", "ICCID"]]}}',
}


def _account(name: str, entry: object) -> Account:
    if not is_account_name(name):
        raise StateError(f"{name}: not an account name; write ten digits, a hyphen and five digits")
    if not isinstance(entry, Mapping):
        raise StateError(f'{name}: not an object; write {{"total": 1000, "licensed": []}}')
    if odd := set(entry) - {"total", "strict", *_LISTS, *_TABLES}:
        known = ", ".join(["total", "strict", *_LISTS, *_TABLES])
        raise StateError(f"{name}: unknown key {min(odd)!r}; write some of {known}")
    total = entry.get("total")
    if not isinstance(total, int) or isinstance(total, bool) or total < 0:
        raise StateError(f'{name}: total is not a number; write "total": 1000')
    devices = {key: _imeis(name, key, entry.get(key, [])) for key in _LISTS}
    if len(devices["licensed"]) > total:
        raise StateError(f'{name}: more devices licensed than bought; write "total": {len(devices["licensed"])}')
    return Account(
        name,
        total,
        ImeiSet(devices["licensed"]),
        ImeiSet(devices["known"] - devices["licensed"]),
        strict=entry.get("strict") is True,
        unknown=devices["unknown"],
        locked=devices["locked"],
        upgraded=devices["upgraded"],
        callbacks=_table(name, "callbacks", entry, registration_of),
        skus=_table(name, "skus", entry, sku_of),
    )


def _table(name: str, key: str, entry: Mapping[str, object], read: Callable[[object], T | None]) -> dict[str, T]:
    stored = entry.get(key, {})
    rows = {each: read(value) for each, value in stored.items()} if isinstance(stored, Mapping) else {"": None}
    if None in rows.values():
        raise StateError(f'{name}: {key} is of another form; write "{key}": {_TABLES[key]}')
    return {each: row for each, row in rows.items() if row is not None}


def _imeis(name: str, key: str, listed: object) -> set[str]:
    if not isinstance(listed, list):
        raise StateError(f'{name}: {key} is not a list; write "{key}": ["990003425730535"]')
    for device in listed:
        if not isinstance(device, str) or not is_imei(device):
            raise StateError(f"{name}: {key}: {device!r} is not an IMEI; write 14 to 16 digits, as text")
    return set(listed)
