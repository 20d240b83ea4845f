"""Knows which IMEIs a set holds and in which order they stand: a generated range, additions and removals."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import islice
from zlib import crc32

_LUHN = [n // 10 + sum(divmod(n % 10 * 2, 10)) for n in range(100)]  # what two digits add to a Luhn sum
_TAILS = [tuple(f"{n:02d}{-(head + _LUHN[n]) % 10}" for n in range(100)) for head in range(10)]
_BLOCK = 100  # generated IMEIs are made a hundred at a time: they differ in two digits and the check digit

Key = tuple[int, str]


def is_imei(text: str) -> bool:
    """Whether this has the form of an IMEI: 14 to 16 digits."""
    return 14 <= len(text) <= 16 and text.isascii() and text.isdigit()


def imei_of(body: int) -> str:
    """The 15-digit IMEI of these fourteen digits, with its check digit."""
    return _block(body // _BLOCK)[body % _BLOCK]


def _by_number(imei: str) -> Key:
    return int(imei), imei


def _by_text(imei: str) -> Key:
    return 0, imei


def _backwards(imei: str) -> Key:
    return -int(imei), imei


def _scrambled(imei: str) -> Key:
    return crc32(imei.encode()), imei


_KEYS = {"number": _by_number, "text": _by_text, "backwards": _backwards, "scrambled": _scrambled}
ORDERS = tuple(_KEYS)


class ImeiSet:
    """A set of IMEIs that pages quickly, even when a million of them are generated.

    The generated ones are made when a page asks for them, so a large set costs nothing at the start.
    """

    def __init__(self, members: Iterable[str] = (), *, first_body: int = 0, generated: int = 0) -> None:
        self._bodies = range(first_body, first_body + generated)
        self._gone: set[str] = set()
        self._added = set(members)
        self._sorted: dict[str, list[Key]] = {}
        self._all: dict[str, list[Key]] = {}

    def __len__(self) -> int:
        return len(self._bodies) - len(self._gone) + len(self._added)

    def __contains__(self, imei: object) -> bool:
        return imei in self._added or (isinstance(imei, str) and self._is_generated(imei))

    def __iter__(self) -> Iterator[str]:
        yield from self._generated_from(0)
        yield from sorted(self._added)

    def add(self, imei: str) -> None:
        if imei in self:
            return
        self._all.clear()
        if imei in self._gone:
            self._gone.discard(imei)
            return
        self._added.add(imei)
        for order, keys in self._sorted.items():
            insort(keys, _KEYS[order](imei))

    def discard(self, imei: str) -> None:
        if imei not in self:
            return
        self._all.clear()
        if imei not in self._added:
            self._gone.add(imei)
            return
        self._added.discard(imei)
        for order, keys in self._sorted.items():
            del keys[bisect_left(keys, _KEYS[order](imei))]

    def after(self, cursor: str | None, size: int, order: str = "number") -> list[str]:
        """At most so many IMEIs that follow the cursor in this order, from the first on without a cursor."""
        key = _KEYS[order]
        if order not in ("number", "text"):
            everything = self._everything(order)
            start = bisect_right(everything, key(cursor)) if cursor else 0
            return [imei for _, imei in everything[start : start + size]]
        keys = self._sorted.setdefault(order, []) or self._sort(order)
        start = bisect_right(keys, key(cursor)) if cursor else 0
        added = [imei for _, imei in keys[start : start + size]]
        skipped = bisect_right(self._bodies, key(cursor), key=lambda b: key(imei_of(b))) if cursor else 0
        generated = list(islice(self._generated_from(skipped), size))
        return sorted(generated + added, key=key)[:size] if added and generated else generated or added

    def at(self, offset: int, size: int, order: str = "number") -> list[str]:
        """At most so many IMEIs from this place on, counted from zero."""
        return [imei for _, imei in self._everything(order)[offset : offset + size]]

    def _is_generated(self, imei: str) -> bool:
        if not is_imei(imei) or imei in self._gone:
            return False
        body = int(imei[:14])
        return body in self._bodies and imei_of(body) == imei

    def _generated_from(self, skipped: int) -> Iterator[str]:
        bodies = self._bodies[skipped:]
        if not bodies:
            return
        for block in range(bodies.start // _BLOCK, (bodies.stop - 1) // _BLOCK + 1):
            first = max(bodies.start - block * _BLOCK, 0)
            imeis = _block(block)[first : bodies.stop - block * _BLOCK]
            yield from (imei for imei in imeis if imei not in self._gone) if self._gone else imeis

    def _sort(self, order: str) -> list[Key]:
        self._sorted[order] = sorted(map(_KEYS[order], self._added))
        return self._sorted[order]

    def _everything(self, order: str) -> list[Key]:
        if order not in self._all:
            self._all[order] = sorted(map(_KEYS[order], self))
        return self._all[order]


def _block(number: int) -> list[str]:
    head = f"{number:012d}"
    tails = _TAILS[sum(_LUHN[int(head[at : at + 2])] for at in range(0, 12, 2)) % 10]
    return [head + tail for tail in tails]
