"""A plan that somebody reviewed, read back from its JSON document, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec

from licensesync.model import DeviceId, HeldReason, Iccid, Imei, Plan, RunPlan, Unread, Verb
from licensesync.problems import printable

SHOWN = 10

Intents = frozenset[tuple[Verb, DeviceId]]
"""What a plan would do to a pool: the actions that its hash covers."""

COVERED = frozenset({HeldReason.REFUSED, HeldReason.AWAITING_REMOVALS})


LONGEST = 64

Name = Annotated[str, msgspec.Meta(max_length=LONGEST)]


class _Row(msgspec.Struct):
    verb: Verb
    device: Annotated[Imei, msgspec.Meta(max_length=LONGEST)]
    iccid: Annotated[Iccid, msgspec.Meta(max_length=LONGEST)] | None = None
    reason: str | None = None

    @property
    def intent(self) -> tuple[Verb, DeviceId]:
        return self.verb, DeviceId(f"{self.device}/{self.iccid}" if self.iccid else self.device)


class _Pool(msgspec.Struct):
    pool: Name
    account: Name
    reading: str
    actions: list[_Row]
    held: list[_Row]

    @property
    def intents(self) -> Intents:
        return frozenset(row.intent for row in [*self.actions, *(held for held in self.held if held.reason in COVERED)])


class Reviewed(msgspec.Struct):
    """A plan as its document has it."""

    version: Literal[1]
    kind: Literal["plan"]
    hash: str
    pools: list[_Pool]


def read(document: bytes) -> Reviewed:
    """The plan of a document that `plan --out` wrote. Raises ValueError for anything else."""
    try:
        plan = msgspec.json.decode(document, type=Reviewed)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(printable(str(error))) from error
    if not all(map(_are_plain, _names(plan))):
        raise ValueError("a name in it has blanks or control characters")
    return plan


def _names(plan: Reviewed) -> Iterator[Iterable[str]]:
    """All that may be told of a plan."""
    for pool in plan.pools:
        yield pool.pool, pool.account
        for rows in (pool.actions, pool.held):
            yield (row.device for row in rows)
            yield (row.iccid or "" for row in rows)


def _are_plain(names: Iterable[str]) -> bool:
    """Whether none has blanks or plays tricks on a terminal, found out at once."""
    all_together = "".join(names)
    return all_together.isascii() and all_together.isprintable() and " " not in all_together


def changes(reviewed: Reviewed, run_plan: RunPlan) -> list[str]:
    """What a fresh plan would do otherwise than the one that was reviewed, a sentence for each pool and kind."""
    before = {pool.pool: pool for pool in reviewed.pools}
    now = {planned.pool.name: planned for planned in run_plan.pools}
    told = [f"pool {name} was not in it" for name in now if name not in before]
    told += [f"pool {name} is not in this run" for name in before if name not in now]
    for name, planned in now.items():
        if name in before:
            told += _changes_of(name, before[name], planned)
    return told


def _changes_of(name: str, before: _Pool, now: Plan | Unread) -> Iterator[str]:
    if before.account != now.pool.account:
        yield f"pool {name}: its account is {now.pool.account} now, not {before.account}"
    if isinstance(now, Unread):
        yield f"pool {name} could not be read whole: {now.problem}"
        return
    if before.reading != "whole":
        yield f"pool {name} could not be read whole then"
    withheld = now.held_for(*COVERED)
    intents = frozenset((each.verb, each.device) for each in [*now.actions, *(held.action for held in withheld)])
    for verb in (Verb.REMOVE, Verb.ASSIGN):
        yield from _named(f"pool {name}: now also to {verb}", intents - before.intents, verb)
        yield from _named(f"pool {name}: no longer to {verb}", before.intents - intents, verb)


def _named(what: str, intents: Intents, verb: Verb) -> Iterator[str]:
    devices = sorted(device for asked, device in intents if asked is verb)
    if devices:
        more = [f"and {len(devices) - SHOWN} more"] if len(devices) > SHOWN else []
        yield f"{what}: {', '.join([*devices[:SHOWN], *more])}"
