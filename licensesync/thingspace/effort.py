"""How hard a client tries: how often it asks, and whether it logs in again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Effort:
    """A call that fails for the moment is sent `attempts` times at most.

    Unless it `renews`, each of the two logins is made at most once in the client's life, whatever becomes of it: not
    again after a failure, nor for a token that is nearly over or not accepted.
    """

    attempts: int = 3
    renews: bool = True


USUAL: Final = Effort()
ONCE: Final = Effort(attempts=1, renews=False)
