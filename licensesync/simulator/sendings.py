"""Remembers which callbacks were sent, never a password."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass

REMEMBERED = 100_000


@dataclass
class Sending:
    """One time that a callback was sent. `answered` is None until it is answered, and where it never was."""

    time: float
    request: str
    device: str  # IMEI/ICCID
    status: str  # Success | Failed, as it was told
    count: int
    kind: str  # real | doubled | forged | foreign | other-sku | contradicting
    answered: int | None = None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class Sendings:
    """The latest sendings, oldest first."""

    def __init__(self) -> None:
        self._sent: deque[Sending] = deque(maxlen=REMEMBERED)

    def __iter__(self) -> Iterator[Sending]:
        return iter(tuple(self._sent))

    def __len__(self) -> int:
        return len(self._sent)

    def note(self, sending: Sending) -> Sending:
        self._sent.append(sending)
        return sending

    def of(self, *kinds: str) -> list[Sending]:
        """Those of these kinds: real, doubled, forged and so on."""
        return [sending for sending in self._sent if sending.kind in kinds]

    def forget(self) -> None:
        self._sent.clear()
