"""What the commands share: options, and what they hand on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

HASH = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})", re.IGNORECASE)


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Globals:
    """What stands before the command."""

    settings: str | None
    log_format: LogFormat | None
    log_level: LogLevel


def hash_digits(written: str) -> str:
    """The hex digits of a hash, or of its beginning. Raises BadParameter for fewer than eight."""
    found = HASH.fullmatch(written.strip())
    if not found:
        raise typer.BadParameter(f"{written!r} is not a hash; write at least its first eight hex digits")
    return found[1].lower()


def span(written: str, option: str) -> timedelta:
    """A duration. Raises BadParameter for anything else."""
    from licensesync.values import Unfit, duration

    try:
        return duration(written.strip(), zero=True)
    except Unfit:
        wanted = "write a duration such as 30s, 10m or 2h"
        raise typer.BadParameter(f"{written!r} is no duration; {wanted}", param_hint=option) from None


def identifier(device: str, option: str) -> str:
    """An IMEI or an ICCID as it was written. Raises BadParameter for anything else."""
    from licensesync.identifiers import ICCID, IMEI

    if not IMEI.fullmatch(device) and not ICCID.fullmatch(device):
        wanted = "write an IMEI (14 to 16 digits) or an ICCID (18 to 20 digits)"
        raise typer.BadParameter(f"{device!r} is no device; {wanted}", param_hint=option)
    return device


Pools = Annotated[
    list[str] | None, typer.Option("--pool", metavar="NAME", help="Only this pool of the settings; repeatable.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the JSON to this file as well.")]
