"""What a check-up of the whole set-up finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Result(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"
    """Not checked, because something else is not good."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it where something is to be done."""

    check: str
    result: Result
    found: str
    do: str = ""

    @classmethod
    def ok(cls, check: str, found: str) -> Self:
        return cls(check, Result.OK, found)

    @classmethod
    def warning(cls, check: str, found: str, do: str) -> Self:
        return cls(check, Result.WARNING, found, do)

    @classmethod
    def problem(cls, check: str, found: str, do: str) -> Self:
        return cls(check, Result.PROBLEM, found, do)

    @classmethod
    def skipped(cls, check: str, why: str) -> Self:
        return cls(check, Result.SKIPPED, why)
