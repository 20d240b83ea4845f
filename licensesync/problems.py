"""What is wrong, collected in the order in which people read it, and what was written made fit to be shown."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from licensesync.model import Place, Problem, Severity

MOST_PROBLEMS: Final = 10_000
MOST_GUESSES: Final = 200  # words that are compared with what was written
MOST_LISTED: Final = 50  # words of a hint


class Problems:
    """What is wrong, collected; beyond a number that nobody reads, only counted."""

    def __init__(self, most: int = MOST_PROBLEMS) -> None:
        self._kept: list[Problem] = []
        self._most = most
        self._left_out = 0
        self._first_left_out: Place | None = None

    def add(
        self, place: Place, message: str, hint: str | Callable[[], str], severity: Severity = Severity.ERROR
    ) -> None:
        """Adds a problem. A hint that takes its time to find is asked for where the problem is kept."""
        if len(self._kept) < self._most:
            self._kept.append(Problem(place, message, hint if isinstance(hint, str) else hint(), severity))
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


def nearest(written: str, words: Iterable[str]) -> str:
    """A guess at what was meant, as the end of a hint."""
    guesses = difflib.get_close_matches(written[:100], list(islice(words, MOST_GUESSES)), 1)
    return f" (did you mean {guesses[0]}?)" if guesses else ""


def either(words: Iterable[str]) -> str:
    """`a`, or `one of a, b`."""
    known = list(words)
    return "".join(known) if len(known) == 1 else f"one of {listed(known)}"


def listed(words: Iterable[str]) -> str:
    """`a, b`, and how many more there are where they are too many to be read."""
    known = list(words)
    more = len(known) - MOST_LISTED
    return ", ".join(known) if more <= 0 else f"{', '.join(known[:MOST_LISTED])} and {more} more"
