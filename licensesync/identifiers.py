"""What an identifier must look like: ASCII digits, exactly as they are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from licensesync.model import Imei

IMEI: Final = re.compile("[0-9]{14,16}")
ICCID: Final = re.compile("[0-9]{18,20}")
IMEI_HINT: Final = "write 14 to 16 digits"
ICCID_HINT: Final = "write 18 to 20 digits"
WITH_CHECK_DIGIT: Final = 15
_IMEIS: Final = re.compile("(?:[0-9]{14,16}\n)*")


def are_imeis(texts: list[str]) -> bool:
    """Whether all of them are IMEIs, found out at once."""
    return _IMEIS.fullmatch("\n".join([*texts, ""])) is not None


def with_wrong_check_digits(imeis: Sequence[Imei]) -> list[int]:
    """Where those stand whose last of fifteen digits is not the one that the others ask for.

    The digits of one place in all of them are added as one long number, whose bytes never overflow: a million take a
    tenth of a second.
    """
    places: Sequence[int] = range(len(imeis))
    if set(map(len, imeis)) != {WITH_CHECK_DIGIT}:
        places = [index for index in places if len(imeis[index]) == WITH_CHECK_DIGIT]
        imeis = [imeis[index] for index in places]
    digits = "".join(imeis).encode()
    total = 0
    for place in range(WITH_CHECK_DIGIT):
        worth = digits[place::WITH_CHECK_DIGIT].translate(_DOUBLED if place % 2 else _SINGLE)
        total += int.from_bytes(worth, "big")
    sums = total.to_bytes(len(places), "big")
    return (
        [index for index, sum_ in zip(places, sums, strict=True) if sum_ % 10]
        if sums.translate(_UNITS).strip(b"\0")
        else []
    )


# Of each byte what it counts: https://en.wikipedia.org/wiki/Luhn_algorithm
_SINGLE: Final = bytes(range(-48 % 256, 256)) + bytes(range(-48 % 256))
_DOUBLED: Final = bytes(sum(divmod(2 * (digit % 10), 10)) for digit in _SINGLE)
_UNITS: Final = bytes(number % 10 for number in range(256))
