"""Reads the values of quirks: switches, numbers, choices, lists, and doses that say how often something happens."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from licensesync.simulator.addresses import is_loopback, is_url
from licensesync.simulator.calls import WHERE, Call
from licensesync.simulator.imeis import is_imei

T = TypeVar("T")


@dataclass(frozen=True)
class Quirk(Generic[T]):
    """One way to misbehave: its name, a sentence, how its value is written, and its two defaults."""

    name: str
    help: str
    form: str
    read: Callable[[str], T]
    unkind: str
    kind: str


@dataclass(frozen=True)
class Dose:
    """How often something happens, and to which calls."""

    where: frozenset[Call]
    chance: float = 0.0
    first: int = 0  # only to the first so many
    only: int = 0  # only to this one, counted from one

    @property
    def ever(self) -> bool:
        """Whether it can happen at all."""
        return bool(self.chance or self.first or self.only)


@dataclass(frozen=True)
class Meddling:
    """So many licenses are given (or, below zero, taken) by somebody else after that many pages."""

    change: int = 0
    after: int = 0
    again: bool = False  # in every walk, not once


class BadValueError(ValueError):
    """The value of a quirk is not one that it takes; the text says what to write."""


SWITCH = "on or off"
DOSE = "a dose"
COUNT = "a number"
SECONDS = "seconds"
IMEIS = "IMEIs joined by commas, or off"
CHANGE = "+N or -N, or off"
WALK_CHANGE = "+N@PAGE or -N@PAGE, with * at its end: in every walk; or off"
NEVER_OR_SECONDS = "seconds, or never"


def switch(text: str) -> bool:
    if text in ("on", "off"):
        return text == "on"
    raise BadValueError("write on or off")


def count(text: str) -> int:
    """A number from zero on; off is zero."""
    if text == "off":
        return 0
    if text.isascii() and text.isdigit():
        return int(text)
    raise BadValueError("write a number such as 20, or off")


def page_size(text: str) -> int:
    if (size := count(text)) > 0:
        return size
    raise BadValueError("write a number from 1 on")


def change(text: str) -> int:
    """A number with its sign; off is zero."""
    if text == "off":
        return 0
    if re.fullmatch(r"[+-]?\d{1,9}", text):
        return int(text)
    raise BadValueError("write a number with its sign such as +2 or -2, or off")


def seconds(text: str) -> float:
    if text == "off":
        return 0.0
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?s?", text):
        return float(text.removesuffix("s"))
    raise BadValueError("write seconds such as 10 or 0.5")


def seconds_or_never(text: str) -> float | None:
    return None if text == "never" else seconds(text)


def imeis(text: str) -> frozenset[str]:
    """IMEIs joined by commas; off is none."""
    listed = [] if text == "off" else text.split(",")
    if all(is_imei(imei) for imei in listed):
        return frozenset(listed)
    raise BadValueError("write IMEIs of 14 to 16 digits joined by commas, or off")


def address(text: str) -> str:
    """A URL, or nothing for `off`."""
    if text == "off" or is_url(text):
        return "" if text == "off" else text
    raise BadValueError("write a URL such as http://127.0.0.1:9/elsewhere, or off")


def loopback(text: str) -> str:
    """A URL on this machine, or nothing for `off`."""
    if (url := address(text)) == "" or is_loopback(url):
        return url
    raise BadValueError("write a URL on this machine such as http://127.0.0.1:9/callbacks, or off")


def choice(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text in words:
            return text
        raise BadValueError(f"write one of {', '.join(words)}")

    return read


def walk_change(text: str) -> Meddling:
    """`+2@3`: two more after the third page of the next walk; `+2@3*`: of every walk."""
    if text == "off":
        return Meddling()
    if match := re.fullmatch(r"([+-]\d{1,6})@(\d{1,6})(\*?)", text):
        return Meddling(int(match[1]), int(match[2]), bool(match[3]))
    raise BadValueError("write +2@3 (two more after the third page), -2@3, or off; with * at its end: every walk")


def dose(where: str) -> Callable[[str], Dose]:
    """Reads a dose that, unless it says otherwise, goes to these calls."""

    def read(text: str) -> Dose:
        amount, at, spoiled = text.partition("@")
        try:
            calls = frozenset[Call]().union(*(WHERE[name] for name in (spoiled if at else where).split("+")))
        except KeyError as unknown:
            raise BadValueError(f"unknown call {unknown}; write some of {', '.join(WHERE)}, joined by +") from None
        return _amount(amount, calls)

    return read


def _amount(text: str, where: frozenset[Call]) -> Dose:
    if text in ("on", "off"):
        return Dose(where, chance=float(text == "on"))
    if match := re.fullmatch(r"(\d{1,9})x", text):
        return Dose(where, first=int(match[1]))
    if match := re.fullmatch(r"#([1-9]\d{0,8})", text):
        return Dose(where, only=int(match[1]))
    if match := re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)(%?)", text):
        chance = float(match[1]) / (100 if match[2] else 1)
        if chance <= 1:
            return Dose(where, chance=chance)
    raise BadValueError("write on, off, a chance (0.04 or 4%), 2x (the next two) or #3 (the third from now)")
