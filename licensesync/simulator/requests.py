"""Remembers what was asked and what was answered, never a token or a password."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass

REMEMBERED = 100_000


@dataclass
class Seen:
    """One request. `status` is None until it is answered and "lost" if it never was."""

    number: int
    time: float
    method: str
    path: str
    call: str = ""
    status: int | str | None = None
    devices: tuple[str, ...] = ()  # that it named, even where it was refused or lost; of SIM-Secure: IMEI/ICCID
    effect: tuple[str, ...] = ()  # those whose license it changed at once

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class Requests:
    """The latest requests, oldest first; those to /_sim/ are not among them."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=REMEMBERED)
        self._number = 0

    def __iter__(self) -> Iterator[Seen]:
        return iter(tuple(self._seen))

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, time: float, method: str, path: str) -> Seen:
        self._number += 1
        seen = Seen(self._number, time, method, path)
        self._seen.append(seen)
        return seen

    def of(self, *calls: str) -> list[Seen]:
        """Those of these calls: token, login, status, assign, lookup, sim-assign and so on."""
        return [seen for seen in self._seen if seen.call in calls]

    def forget(self) -> None:
        self._seen.clear()
