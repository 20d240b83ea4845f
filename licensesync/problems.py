"""What is wrong, collected in the order in which people read it, and what was written made fit to be shown."""

from __future__ import annotations

from typing import Final

from licensesync.model import Place, Problem, Severity

MOST_PROBLEMS: Final = 10_000


class Problems:
    """What is wrong, collected; beyond a number that nobody reads, only counted."""

    def __init__(self, most: int = MOST_PROBLEMS) -> None:
        self._kept: list[Problem] = []
        self._most = most
        self._left_out = 0
        self._first_left_out: Place | None = None

    def add(self, place: Place, message: str, hint: str, severity: Severity = Severity.ERROR) -> None:
        if len(self._kept) < self._most:
            self._kept.append(Problem(place, message, hint, severity))
            return
        self._left_out += 1
        self._first_left_out = self._first_left_out or place

    def __len__(self) -> int:
        return len(self._kept) + self._left_out

    def in_order(self) -> tuple[Problem, ...]:
        """By file, line and column; the last one says how many more there are."""
        kept = sorted(self._kept, key=by_place)
        if self._first_left_out:
            more = f"{self._left_out} more problems are not shown"
            kept.append(Problem(self._first_left_out, more, "mend those above first", kept[-1].severity))
        return tuple(kept)


def by_place(problem: Problem) -> tuple[str, int, int]:
    """The order in which people read problems."""
    return problem.place.file, problem.place.line, problem.place.column


def shown(text: str, longest: int = 40) -> str:
    """What was written, fit for one line of a message: quoted, shortened, with control characters escaped."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return f"'{printable(short)}'"


def printable(text: str) -> str:
    """The same text with everything escaped that would not show, or would play tricks on a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
