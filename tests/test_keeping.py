"""Batches are kept beside the run: nobody waits for the ledger but the batch that is kept."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from core_worlds import pool
from fleets import fleet_of, imeis
from ledgers import UNLIMITED, query
from sqlalchemy import event

from licensesync.errors import LedgerError
from licensesync.ledger import book, keeping
from licensesync.ledger.book import Book
from licensesync.ledger.keeping import Keeper
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    InventoryInfo,
    Outcome,
    OutcomeKind,
    Plan,
    Verb,
)

FOTA = pool()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
BATCHES = [[Action(Verb.ASSIGN, DeviceId(each)) for each in imeis(10 * n, 10 * n + 10)] for n in range(8)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "licensesync.db"


@pytest.fixture
def begun(ledger: Path) -> Iterator[Book]:
    """A run that has everything to send."""
    info = InventoryInfo(80, "sha256:0")
    with book.opened(ledger, "run-1", lambda: NOW) as opened:
        opened.begin("apply", info)
        actions = tuple(action for batch in BATCHES for action in batch)
        opened.undertake(Plan(FOTA, Capacity(100, 0), actions), set(), info, lambda _: "")
        yield opened


@pytest.fixture
def keeper(begun: Book) -> Iterator[Keeper]:
    with keeping.beside(begun, lambda _, earlier: None) as opened:  # noqa: ARG005 - nobody wants to know
        yield opened


@contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """Another program writes into the ledger meanwhile."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")


def done(batch: Sequence[Action]) -> list[Outcome]:
    return [Outcome(action, OutcomeKind.DONE, NOW) for action in batch]


def kept(ledger: Path) -> dict[str, int]:
    """How many devices are kept with each outcome."""
    return dict(query(ledger, "SELECT outcome, count(*) FROM outcomes GROUP BY outcome"))


async def test_the_program_goes_on_while_the_ledger_is_locked(ledger: Path, keeper: Keeper) -> None:
    """The lock ends only because it does: it is held by this very thread."""
    with locked(ledger):
        keeping_it = asyncio.create_task(keeper.sent(FOTA, BATCHES[0]))
        await asyncio.sleep(0.1)
        assert not keeping_it.done()
    await keeping_it
    assert kept(ledger) == {"unknown": 10}


async def test_what_is_kept_stands_in_the_ledger_when_that_is_said(ledger: Path, keeper: Keeper) -> None:
    for batch in BATCHES[:2]:
        await keeper.sent(FOTA, batch)
    assert kept(ledger) == {"unknown": 20}
    await keeper.settled(FOTA, BATCHES[0], done(BATCHES[0][:7]))
    assert kept(ledger) == {"unknown": 10, "done": 7}


async def test_batches_that_wait_together_are_kept_in_one_transaction_and_in_their_order(
    ledger: Path, begun: Book, keeper: Keeper
) -> None:
    commits: list[object] = []
    event.listen(begun.connection.engine, "commit", commits.append)
    with locked(ledger):
        first = asyncio.create_task(keeper.sent(FOTA, BATCHES[0]))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(keeper.sent(FOTA, batch)) for batch in BATCHES[1:]]
        await asyncio.sleep(0.05)
    await asyncio.gather(first, *others)
    assert len(commits) == 2
    sent = [action.device for batch in BATCHES for action in batch]
    assert [device for (device,) in query(ledger, "SELECT device FROM outcomes ORDER BY id")] == sent


async def test_any_number_of_outcomes_is_kept_together(ledger: Path, begun: Book, keeper: Keeper) -> None:
    """Those that one reading settles at the end, of however many batches they are."""
    actions = [Action(Verb.ASSIGN, DeviceId(each)) for each in imeis(0, 5001)]
    sqlite = begun.connection.connection.driver_connection
    assert sqlite is not None
    sqlite.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)  # as it is where nobody has raised it
    await keeper.sent(FOTA, actions)
    await keeper.settled(FOTA, actions, done(actions))
    assert kept(ledger) == {"done": 5001}


async def test_whoever_waits_hears_that_it_cannot_be_kept_and_what_comes_later_is(
    ledger: Path, begun: Book, keeper: Keeper
) -> None:
    sqlite = begun.connection.connection.driver_connection
    assert sqlite is not None
    sqlite.execute("PRAGMA query_only = ON")
    ends = await asyncio.gather(*(keeper.sent(FOTA, batch) for batch in BATCHES), return_exceptions=True)
    assert [type(end) for end in ends] == [LedgerError] * len(BATCHES)
    sqlite.execute("PRAGMA query_only = OFF")
    await keeper.sent(FOTA, BATCHES[0])
    assert kept(ledger) == {"unknown": 10}


async def test_a_run_that_ends_at_once_keeps_what_was_told_and_not_what_it_never_sends(
    ledger: Path, begun: Book
) -> None:
    with keeping.beside(begun, lambda _, earlier: None) as keeper:  # noqa: ARG005 - nobody wants to know
        await keeper.sent(FOTA, BATCHES[0])
        with locked(ledger):
            busy = asyncio.create_task(keeper.sent(FOTA, BATCHES[1]))
            await asyncio.sleep(0.05)
            told = asyncio.create_task(keeper.settled(FOTA, BATCHES[0], done(BATCHES[0])))
            never_sent = asyncio.create_task(keeper.sent(FOTA, BATCHES[2]))
            await asyncio.sleep(0.05)
            for task in (busy, told, never_sent):
                task.cancel()
            await asyncio.gather(busy, told, never_sent, return_exceptions=True)
    assert kept(ledger) == {"unknown": 10, "done": 10}


async def test_a_run_sends_no_batch_that_is_not_kept_and_goes_on_when_the_ledger_does(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=0, licenses=1000) as fleet:
        fleet.settings(pool=UNLIMITED, thingspace="  batch_size: 10\n  concurrency: 4\n")
        fleet.inventory(imeis(0, 400))
        ledger = tmp_path / "licensesync.db"
        process = await fleet.start("apply", "--yes")
        while fleet.writes() < 3:
            await asyncio.sleep(0.01)
        with locked(ledger):
            known = {device for (device,) in query(ledger, "SELECT device FROM outcomes")}
            await asyncio.sleep(0.5)
            sent = {device for request in fleet.simulator.requests.of("assign") for device in request.devices}
            assert sent <= known < set(imeis(0, 400))
        _, err = await process.communicate()
        assert process.returncode == 0, err
        assert fleet.holders == set(imeis(0, 400))


@pytest.mark.parametrize("step", ["do_begin", "do_commit"])
def test_a_run_that_is_interrupted_within_a_transaction_is_known_to_have_been_stopped(
    begun: Book, ledger: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(begun.connection.engine.dialect, step, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            begun.prune(timedelta(days=1))
    begun.abandon()
    assert query(ledger, "SELECT verdict FROM runs") == [("stopped",)]
