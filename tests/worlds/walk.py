"""One reading of the list of licenses: as it went at the service, and as it came to the program."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson
from fleets import ACCOUNT

from licensesync.simulator.exchange import Reply


@dataclass
class Walk:
    """Whom a walk has shown, and who held a license all the time; `counts` is all that the service said they were."""

    held_throughout: set[str]
    seen: set[str] = field(default_factory=set)
    counts: set[object] = field(default_factory=set)

    def comes(self, page: Reply, holders: frozenset[str]) -> None:
        """A page has come to the program, when these hold a license."""
        self.held_throughout &= holders
        self.seen |= {imei for imei in holders if imei.encode() in page.body}
        self.counts |= _counts(page)

    @property
    def lacking(self) -> set[str]:
        """Who held a license all the time, and was not seen."""
        return self.held_throughout - self.seen


def _counts(page: Reply) -> set[object]:
    """How many licenses are assigned, by a page that a program may believe."""
    try:
        told = orjson.loads(page.body)
    except orjson.JSONDecodeError:
        return set()
    ours = isinstance(told, dict) and told.get("accountName") == ACCOUNT and "assignedLicenses" in told
    return {told["assignedLicenses"]} if ours else set()
