"""What is shown does not wait for a ledger that takes its time."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from render_worlds import FOTA

from licensesync.daemon.backoff import Backoff
from licensesync.daemon.board import Board
from licensesync.daemon.course import Course
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.orders import Orders
from licensesync.daemon.systemd import Manager, Pulse
from licensesync.errors import LedgerError
from licensesync.ledger import database, standing
from licensesync.model import PoolStatus, Status


class SlowLedger:
    """Says how many devices are in quarantine, once it may."""

    def __init__(self) -> None:
        self.quarantined = 1
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.problem: Exception | None = None

    def status(self, *_: Any) -> Status:
        quarantined = self.quarantined
        assert self.may_answer.wait(30)
        if self.problem:
            raise self.problem
        return Status((PoolStatus(FOTA.name, quarantined=quarantined),))


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> SlowLedger:
    slow = SlowLedger()
    monkeypatch.setattr(standing, "status", slow.status)
    return slow


@pytest.fixture
async def board(tmp_path: Path, ledger: SlowLedger) -> Board:
    path = tmp_path / "ledger.db"
    database.prove(path)
    in_force = SimpleNamespace(settings=SimpleNamespace(pools={FOTA.name: FOTA}), pools=(FOTA,))
    orders = SimpleNamespace(in_force=in_force, rejection=None, fresh_at=None, stale=None)
    pulse = Pulse(Manager({}), asyncio.get_running_loop().time)
    metrics = Metrics()
    metrics.pools([FOTA.name])
    return Board(path, cast(Orders, orders), Course(), Backoff(), metrics, pulse)


async def quarantined(board: Board) -> str:
    text, _ = await board.metrics("")
    name = f'licensesync_quarantined_devices{{pool="{FOTA.name}"}} '
    return next(line.removeprefix(name) for line in text.decode().splitlines() if line.startswith(name))


async def test_metrics_say_what_a_slow_ledger_said_before_and_then_what_it_says(
    board: Board, ledger: SlowLedger
) -> None:
    assert await quarantined(board) == "1.0"
    ledger.quarantined = 2
    ledger.may_answer.clear()
    await board.keep()
    async with asyncio.timeout(10):  # the ledger answers nobody before this has
        assert await quarantined(board) == "1.0"
        assert await quarantined(board) == "1.0"
    ledger.may_answer.set()
    await board.status()
    assert await quarantined(board) == "2.0"


async def test_a_first_answer_waits_for_the_ledger(board: Board, ledger: SlowLedger) -> None:
    ledger.may_answer.clear()
    answer = asyncio.create_task(quarantined(board))
    await asyncio.sleep(0.1)
    assert not answer.done()
    ledger.may_answer.set()
    assert await answer == "1.0"


async def test_what_was_kept_while_the_ledger_was_looked_at_is_looked_at_again(
    board: Board, ledger: SlowLedger
) -> None:
    assert await quarantined(board) == "1.0"
    await board.keep()
    ledger.may_answer.clear()
    assert await quarantined(board) == "1.0"
    early = asyncio.create_task(board.status())
    await asyncio.sleep(0.05)
    ledger.quarantined = 2
    await board.keep()
    ledger.may_answer.set()
    for document in (await board.status(), await early):
        assert json.loads(document)["pools"][0]["quarantined"] == 2
    assert await quarantined(board) == "2.0"


async def test_who_stops_asking_stops_nobody_else(board: Board, ledger: SlowLedger) -> None:
    ledger.may_answer.clear()
    first, second = asyncio.create_task(board.status()), asyncio.create_task(board.status())
    await asyncio.sleep(0.05)
    first.cancel()
    ledger.may_answer.set()
    assert FOTA.name.encode() in await second


async def test_a_ledger_that_cannot_be_read_spoils_no_metrics(board: Board, ledger: SlowLedger) -> None:
    assert await quarantined(board) == "1.0"
    ledger.problem = LedgerError("the disk is gone")
    await board.keep()
    assert await quarantined(board) == "1.0"
    with pytest.raises(LedgerError, match="the disk is gone"):
        await board.status()


async def test_a_mistake_in_the_program_is_not_kept_back(board: Board, ledger: SlowLedger) -> None:
    assert await quarantined(board) == "1.0"
    ledger.problem = TypeError("a mistake")
    await board.keep()
    with pytest.raises(TypeError, match="a mistake"):
        await board.status()


async def test_what_is_kept_is_shown_by_the_first_answer_that_comes_later(board: Board, ledger: SlowLedger) -> None:
    assert await quarantined(board) == "1.0"
    ledger.quarantined = 2
    await board.keep()
    await asyncio.sleep(0.5)  # a look takes longer than metrics wait, but not so long
    ledger.may_answer.clear()
    assert await quarantined(board) == "2.0"
