"""Writes the entries of the table of quirks: one kind of value, one method."""

from collections.abc import Callable
from typing import Any, TypeVar

from licensesync.simulator import values
from licensesync.simulator.values import Dose, Quirk

T = TypeVar("T")


class Entries:
    """A part of the table that grows entry by entry. Without a default of its own, an entry is off."""

    def __init__(self) -> None:
        self.table: dict[str, Quirk[Any]] = {}

    def enter(self, quirk: Quirk[T]) -> Quirk[T]:
        self.table[quirk.name] = quirk
        return quirk

    def switch(self, name: str, sentence: str, *, unkind: str = "off", kind: str = "off") -> Quirk[bool]:
        return self.enter(Quirk(name, sentence, values.SWITCH, values.switch, unkind, kind))

    def dose(self, name: str, sentence: str, where: str, *, unkind: str = "off") -> Quirk[Dose]:
        form = f"{values.DOSE}, to {where}"
        return self.enter(Quirk(name, sentence, form, values.dose(where), unkind, "off"))

    def count(self, name: str, sentence: str, *, unkind: str = "off", kind: str = "off") -> Quirk[int]:
        return self.enter(Quirk(name, sentence, values.COUNT, values.count, unkind, kind))

    def change(self, name: str, sentence: str) -> Quirk[int]:
        return self.enter(Quirk(name, sentence, values.CHANGE, values.change, "off", "off"))

    def seconds(self, name: str, sentence: str, *, unkind: str = "off", kind: str = "off") -> Quirk[float]:
        return self.enter(Quirk(name, sentence, values.SECONDS, values.seconds, unkind, kind))

    def choice(self, name: str, sentence: str, *words: str, unkind: str = "", kind: str = "") -> Quirk[str]:
        read: Callable[[str], str] = values.choice(*words)
        return self.enter(Quirk(name, sentence, ", ".join(words), read, unkind or words[0], kind or words[0]))

    def imeis(self, name: str, sentence: str) -> Quirk[frozenset[str]]:
        return self.enter(Quirk(name, sentence, values.IMEIS, values.imeis, "off", "off"))
