"""Knows who probably is in an account before it is read, and how far the pages so far bear that out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from licensesync.columns import every
from licensesync.thingspace.ranges import Order, Range

LARGEST_SAMPLE = 8_192
ENOUGH_TO_JUDGE = 8
ENOUGH_TO_DOUBT = 3
LEAST_SHARE = 1 / 8


@dataclass(frozen=True, slots=True)
class Known:
    """Identifiers that are probably in the account: about every `step`-th of them, sorted, enough to start from."""

    sample: Sequence[str]
    step: int

    @classmethod
    def of(cls, devices: Collection[str], apart: int = 1) -> Known:
        """What is known from these devices, each of which stands for so many."""
        step = 1 + len(devices) // LARGEST_SAMPLE
        # Copies: the originals would keep a million others' memory from being given back.
        copies = "\n".join(every(step, devices)).split("\n")
        return cls(sorted(filter(None, copies)), step * apart)

    def __or__(self, other: Known) -> Known:
        """What either knows; each alone may be wrong: an inventory of others, a list from before many were assigned."""
        return Known(sorted({*self.sample, *other.sample}), max(self.step, other.step))


class Foreknown:
    """What is known, in the order of a list of so many devices."""

    def __init__(self, known: Known, order: Order, counted: int | None) -> None:
        self._order = order
        self._step = known.step
        self._sample = sorted((each for each in known.sample if each.isdecimal()), key=order.key)
        self._keys = [order.key(each) for each in self._sample]
        self._share = min(1.0, len(self._sample) / (counted or 1))
        self._rejected: set[str] = set()
        self._foretold = self._found = 0
        self._due = 0.0

    @property
    def is_trusted(self) -> bool:
        """Whether the pages hold about as many of what is known as they should; at first there are too few to tell."""
        return self._due < ENOUGH_TO_DOUBT or self._found >= LEAST_SHARE * self._due

    def compare(self, cursor: str, listed: Sequence[str]) -> None:
        """Hold a page against what was foretold from its cursor to its end."""
        foretold = self._sample[self._up_to(cursor) : self._up_to(listed[-1])]
        on_page = frozenset(listed)
        self._foretold += len(foretold)
        self._found += sum(each in on_page for each in foretold)
        self._due += self._share * len(listed)

    def nothing_above(self, cursor: str) -> None:
        del self._sample[self._up_to(cursor) :]
        del self._keys[len(self._sample) :]

    def rejected(self, cursor: str) -> None:
        self._rejected.add(cursor)

    def ahead(self, each: Range) -> float:
        """How many devices of the range that makes, if the rest is as right as what was compared so far."""
        if not self.is_trusted:
            return 0.0
        right = self._found / self._foretold if self._foretold >= ENOUGH_TO_JUDGE else 1.0
        return len(self._within(each)) * self._step * right

    def middle(self, each: Range) -> str | None:
        """The identifier in the middle of the range, or the next above it that was not rejected."""
        within = self._within(each)
        upper_half = within[len(within) // 2 :] if len(within) > 1 else ()
        return next((self._sample[at] for at in upper_half if self._sample[at] not in self._rejected), None)

    def quantiles(self, each: Range, parts: int) -> Sequence[str]:
        """Identifiers that cut the range in so many parts; fewer where not enough are known, none where it is wrong."""
        within = self._within(each) if self.is_trusted else range(0)
        places = (within[len(within) * part // parts] for part in range(1, parts)) if within else ()
        return list(dict.fromkeys(self._sample[at] for at in places))

    def _up_to(self, cursor: str) -> int:
        return bisect_right(self._keys, self._order.key(cursor))

    def _within(self, each: Range) -> range:
        end = len(self._keys) if each.end is None else bisect_left(self._keys, self._order.key(each.end))
        return range(self._up_to(each.cursor), end)
