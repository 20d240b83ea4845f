"""How texts, times and numbers are put into words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta


def clean(text: str) -> str:
    """Text on one line without control characters: nothing in it can steer a terminal, or hide."""
    if text.isprintable():
        return text
    visible = (char if char.isprintable() else " " if char.isspace() else "" for char in text)
    return " ".join("".join(visible).split())


def visible(document: bytes) -> bytes:
    """The same JSON, with what a terminal would obey or hide written as escapes, as JSON itself does with the first 32.

    What is read from it is the same.
    """
    is_plain = document.isascii() and b"\x7f" not in document
    if is_plain or all(found[0].decode().isprintable() for found in _BEYOND_ASCII.finditer(document)):
        return document  # a large one is not copied
    return _BEYOND_ASCII.sub(_escaped, document)


_BEYOND_ASCII = re.compile(rb"[\x7f-\xff]+")


def _escaped(found: re.Match[bytes]) -> bytes:
    return "".join(char if char.isprintable() else _as_json_has_it(char) for char in found[0].decode()).encode()


def _as_json_has_it(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def moment(when: datetime) -> str:
    """A time as people read it."""
    return f"{stamp(when)} UTC"


def stamp(when: datetime) -> str:
    """The same where it is said elsewhere that it is UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"


def span(length: timedelta) -> str:
    """A duration as it is written in settings, in the largest unit that has it whole."""
    seconds = int(length.total_seconds())
    number, unit = next((seconds // size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{number}{unit}"


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
