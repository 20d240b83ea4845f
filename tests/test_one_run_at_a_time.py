"""One run at a time for a ledger: whoever comes second goes away at once, says for whom, and touches nothing."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleets import Fleet, fleet_of, imeis, some_of
from ledgers import content, ended, mode_of, query
from warm import PRINTED, Copy, Program

from licensesync.errors import Locked
from licensesync.ledger import lock

APPLY = ("apply", "--yes")
QUESTION = "[y/N]"
HOLDER = re.compile(
    r"licensesync: another run holds the lock of (?P<ledger>\S+): licensesync apply, process (?P<pid>\d+) on "
    r"(?P<host>\S+), since (?P<since>\S+); wait for its end, or stop it"
)


@asynccontextmanager
async def _holding(fleet: Fleet) -> AsyncIterator[Program]:
    """A run that holds the lock in the middle of a write which is answered in an hour; killed in the end."""
    fleet.simulator.quirks.set("delay", 3600)
    fleet.simulator.quirks.set("delayed", "on@writes")
    process = await fleet.start(*APPLY)
    while not fleet.writes():
        await asyncio.sleep(0.01)
    fleet.simulator.quirks.set("delayed", "off")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("attempt", some_of(range(20), 5))
async def test_of_two_runs_at_once_one_works_and_the_other_says_who_it_is(tmp_path: Path, attempt: int) -> None:
    async with fleet_of(tmp_path, devices=4, licenses=100) as fleet:
        fleet.inventory(imeis(2, 14))
        begun = datetime.now(UTC)
        both = await asyncio.gather(_on_terminal(fleet, "apply"), _on_terminal(fleet, "apply"))

        (works, question), (leaves, words) = sorted(both, key=lambda each: QUESTION not in each[1])

        assert (QUESTION in question, QUESTION in words) == (True, False)
        found = HOLDER.fullmatch(words.strip())
        assert found, words
        assert found["ledger"] == str(tmp_path / "licensesync.db")
        assert (int(found["pid"]), found["host"]) == (works.pid, socket.gethostname())
        assert begun - timedelta(seconds=1) < datetime.fromisoformat(found["since"]) < datetime.now(UTC)
        assert (await leaves.left(), fleet.writes()) == (6, 0)
        assert await works.left(answer=b"y\n") == 0
        assert (fleet.holders, fleet.writes()) == ({*imeis(2, 14)}, 2)
        assert len(fleet.simulator.requests.of("login")) == 1, "the one that left has talked to the service"
        assert query(tmp_path / "licensesync.db", "SELECT verdict FROM runs") == [("done",)]


async def test_the_lock_of_a_run_that_was_killed_is_free(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(1, 5))
        async with _holding(fleet) as first:
            first.kill()
            await first.wait()
            lock = tmp_path / "licensesync.db.lock"
            assert json.loads(lock.read_text())["pid"] == first.pid, "it was left behind as it was"
            end = await fleet.run(*APPLY)
        assert end.code == 0, end.err
        assert fleet.holders == {*imeis(1, 5)}


@pytest.mark.parametrize("left", ["{pid}", '{{"pid": {pid}, "command": "apply", "host": "{host}", "since": "2026"}}'])
async def test_a_lock_file_that_names_a_living_process_is_no_lock(tmp_path: Path, left: str) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(1, 5))
        lock = tmp_path / "licensesync.db.lock"
        lock.write_text(left.format(pid=os.getpid(), host=socket.gethostname()))
        end = await fleet.run(*APPLY)
        assert end.code == 0, end.err
        assert fleet.holders == {*imeis(1, 5)}
        assert lock.read_text() == "", "who holds no lock is not named in it"


async def test_a_holder_that_says_nothing_of_itself_is_respected_too(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(1, 5))
        with (tmp_path / "licensesync.db.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            end = await fleet.run(*APPLY)
        assert (end.code, fleet.writes()) == (6, 0)
        assert "it does not say who it is" in end.err
        assert "Traceback" not in end.err


async def test_all_that_only_looks_works_while_a_run_goes_on(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(1, 5))
        async with _holding(fleet) as running:
            ledger = tmp_path / "licensesync.db"
            before = content(ledger)
            planned, status, history, quarantine, second = await asyncio.gather(
                fleet.run("plan", "--format", "json"),
                fleet.run("status"),
                fleet.run("history", "--format", "json"),
                fleet.run("quarantine", "list"),
                fleet.run(*APPLY),
            )
            assert running.returncode is None
            assert [each.code for each in (planned, status, history, quarantine, second)] == [0, 0, 0, 0, 6]
            assert planned.document["pools"][0]["reading"] == "whole"
            assert [each["outcome"] for each in history.document["rows"]] == ["unknown"]
            assert content(ledger) == before
            assert fleet.writes() == 1


async def test_a_run_of_another_ledger_is_not_in_the_way(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(1, 5))
        async with _holding(fleet):
            settings = tmp_path / "licensesync.yaml"
            settings.write_text(settings.read_text() + "ledger: sqlite:///other.db\n")
            assert (await fleet.run(*APPLY)).code == 0


async def test_a_ledger_has_one_lock_by_whatever_path_it_is_named(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(1, 5))
        async with _holding(fleet) as first:
            (tmp_path / "link.db").symlink_to("licensesync.db")
            settings = tmp_path / "licensesync.yaml"
            settings.write_text(settings.read_text() + "ledger: sqlite:///link.db\n")
            end = await fleet.run(*APPLY)
            assert (end.code, f"process {first.pid} " in end.err) == (6, True)


async def test_only_its_owner_may_read_the_lock(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(1, 5))
        end = await ended(await fleet.start_bound(*APPLY, umask=0))
        assert (end.code, mode_of(tmp_path / "licensesync.db.lock")) == (0, 0o600)


def test_a_lock_file_that_was_removed_is_made_again_and_locks(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    with lock.held(ledger, "apply", datetime.now(UTC)):
        pass
    (tmp_path / "ledger.db.lock").unlink()
    with (
        lock.held(ledger, "apply", datetime.now(UTC)),
        pytest.raises(Locked, match="licensesync apply, process"),
        lock.held(ledger, "serve", datetime.now(UTC)),
    ):
        pass


@pytest.mark.parametrize("answer", [b"y\n", b"n\n"])
async def test_a_question_that_waits_for_its_answer_holds_the_lock(tmp_path: Path, answer: bytes) -> None:
    """What is agreed to is what was shown: nothing may change it between the question and the answer."""
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(1, 5))
        asked, question = await _on_terminal(fleet, "apply")
        assert QUESTION in question
        meanwhile = await fleet.run(*APPLY)
        code = await asked.left(answer)
        afterwards = await fleet.run(*APPLY)
    assert (meanwhile.code, f"process {asked.pid} " in meanwhile.err) == (6, True)
    assert code == (0 if answer == b"y\n" else 3)
    assert afterwards.code == 0
    assert fleet.writes() == 1


@dataclass
class OnTerminal:
    """A process on a terminal of its own."""

    process: Copy
    terminal: int

    @property
    def pid(self) -> int:
        return self.process.pid

    async def heard(self) -> str:
        """What it says until it asks, or until its end."""
        said = bytearray()
        while QUESTION.encode() not in said and (more := await asyncio.to_thread(self._read)):
            said += more
        PRINTED.append(bytes(said))
        return said.decode().replace("\r\n", "\n")

    async def left(self, answer: bytes = b"") -> int:
        """Its exit code, after this answer."""
        os.write(self.terminal, answer)
        while await asyncio.to_thread(self._read):
            pass
        os.close(self.terminal)
        return await self.process.wait()

    def _read(self) -> bytes:
        try:
            return os.read(self.terminal, 65536)
        except OSError:
            return b""


async def _on_terminal(fleet: Fleet, *arguments: str) -> tuple[OnTerminal, str]:
    """A process on a terminal, and what it has said when it asks or has ended."""
    main, side = pty.openpty()
    started = OnTerminal(await fleet.start_on(side, *arguments), main)
    return started, await started.heard()
