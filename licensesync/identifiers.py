"""What an identifier must look like: ASCII digits, exactly as they are written."""

from __future__ import annotations

import re
from typing import Final

from stdnum import luhn

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


def has_wrong_check_digit(imei: Imei) -> bool:
    """Whether the last of fifteen digits is not the one that the others ask for."""
    return len(imei) == WITH_CHECK_DIGIT and not luhn.is_valid(imei)
