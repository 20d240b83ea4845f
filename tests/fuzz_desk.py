"""A desk that takes callbacks for a ledger in which two requests are open."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path

from fuzz_rules import NOW, POOLS, SIM

from licensesync.callbacks.desk import Desk, Received, Taken
from licensesync.callbacks.listener import Rejected
from licensesync.ledger import book, database, promises
from licensesync.ledger.earlier import Earlier
from licensesync.ledger.promises import Promise
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    InventoryInfo,
    Outcome,
    OutcomeKind,
    Plan,
    Pool,
    PoolReport,
    Report,
    RunPlan,
    Verb,
)
from licensesync.thingspace.callback_wire import Callback

REQUEST = "c3f3d17c-79ff-4b35-82df-94446785b6e0"
"""Both devices were asked for in it."""

OTHER_SIM = DeviceId("990000473475988/89148000001234567909")
INFO = InventoryInfo(devices=2, digest="sha256:ab")


class _Heard:
    """A journal that remembers what could not be kept."""

    def __init__(self) -> None:
        self.taken: list[Received] = []
        self.unkept_for: list[Exception] = []

    def received(self, received: Received) -> None:
        self.taken.append(received)

    def shown(self, pool: Pool, earlier: Earlier) -> None:
        del pool, earlier

    def rejected(self, why: Rejected) -> None:
        raise AssertionError(why)

    def overdue(self, promise: Promise) -> None:
        del promise

    def forgotten(self, strays: int) -> None:
        raise AssertionError(strays)

    def unkept(self, error: Exception) -> None:
        self.unkept_for.append(error)

    def catch_up(self) -> None:
        pass


async def kept_by_a_desk(folder: Path, callbacks: Sequence[Callback]) -> None:
    """Each is taken, none is lost, and all promises can be read then."""
    ledger = folder / "ledger.db"
    shutil.copy(_prepared(folder), ledger)
    heard, pool = _Heard(), POOLS["sim"]
    desk = Desk(ledger, lambda: [pool], heard, now=lambda: NOW)
    async with desk.at_work():
        await asyncio.gather(*map(desk.take, callbacks))
    assert not heard.unkept_for
    assert len(heard.taken) == len(callbacks)
    assert Taken(tuple(heard.taken)).settled is not None
    with database.read(ledger) as connection:
        assert connection is not None
        made = promises.of_run(connection, "run-1", {pool.licenses: pool})
        assert {promise.device for promise in made} == {SIM, OTHER_SIM}
        named = {each.imei or each.iccid for each in callbacks if each.request == REQUEST}
        assert named or all(promise.is_open for promise in made)


@cache
def _prepared(folder: Path) -> Path:
    """A ledger with a run that has asked for two devices."""
    path, pool = folder / "prepared.db", POOLS["sim"]
    actions = tuple(Action(Verb.ASSIGN, device) for device in (SIM, OTHER_SIM))
    plan = Plan(pool, Capacity(9, 0), actions)
    promised = [
        Outcome(action, OutcomeKind.PENDING, NOW, retry_at=NOW + timedelta(minutes=30), request=REQUEST)
        for action in actions
    ]
    with book.opened(path, "run-1", lambda: NOW) as kept:
        kept.begin("apply", INFO)
        kept.undertake(plan, {SIM, OTHER_SIM}, INFO, str)
        with kept.transaction():
            kept.sent(pool, actions)
        with kept.transaction():
            kept.settled(pool, actions, promised)
        kept.finish(Report(kept.run, RunPlan(INFO, NOW, (plan,)), (PoolReport(plan, tuple(promised)),), NOW), 0)
    return path
