"""Five rejected logins lock a user at Verizon: what one process has learnt, the next one knows by the ledger."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from fleets import CREDENTIALS, Fleet, fleet_of, imeis

from licensesync.simulator.auth import Credentials

WRONG_USER = {"THINGSPACE_PASSWORD": "wrong-password-77"}
WRONG_KEY = {"THINGSPACE_SECRET": "wrong-secret-77"}
RIGHT = Credentials(*CREDENTIALS.values())


def logins(fleet: Fleet) -> int:
    """How many logins of either kind the service has seen."""
    return len(fleet.simulator.requests.of("token", "login"))


def rejections(folder: Path) -> list[int]:
    with sqlite3.connect(folder / "licensesync.db") as ledger:
        return [row[0] for row in ledger.execute("SELECT rejections FROM rejected_logins")]


@pytest.mark.parametrize("wrong", [WRONG_USER, WRONG_KEY], ids=["user", "application"])
async def test_after_two_rejections_no_process_tries_again_until_the_credentials_change(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        fleet.inventory(imeis(0, 2))
        first = await fleet.run("apply", "--yes", environ=wrong)
        second = await fleet.run("plan", environ=wrong)
        before = logins(fleet)
        third = await fleet.run("apply", "--yes", environ=wrong)
        fourth = await fleet.run("plan", environ=wrong)
        after = logins(fleet)
        right = await fleet.run("plan")
    assert [first.code, second.code, third.code, fourth.code, right.code] == [1, 1, 1, 1, 0]
    asked_with_the_right_key = 2 if wrong is WRONG_USER else 0  # for bearers: a session is not asked for
    assert after - before == asked_with_the_right_key
    assert "twice in a row" in third.err
    assert "twice in a row" in fourth.err
    assert rejections(tmp_path) == [2]
    assert not any(value.encode() in (tmp_path / "licensesync.db").read_bytes() for value in wrong.values())


async def test_the_user_is_asked_for_no_session_after_two_rejections(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        fleet.inventory(imeis(0, 2))
        for command in (["apply", "--yes"], ["plan"], ["plan"], ["apply", "--yes"], ["plan"]):
            assert (await fleet.run(*command, environ=WRONG_USER)).code == 1
        assert len(fleet.simulator.requests.of("login")) == 2


async def test_a_success_in_between_starts_anew(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(0, 2))
        await fleet.run("apply", "--yes")
        for _ in range(3):
            fleet.simulator.quirks.set("login-rejected", "1x")
            rejected = await fleet.run("plan")
            accepted = await fleet.run("plan")
            assert (rejected.code, accepted.code) == (1, 0)
    assert rejections(tmp_path) == []


async def test_what_is_no_word_about_the_credentials_is_no_rejection(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(0, 2))
        await fleet.run("apply", "--yes")
        fleet.simulator.quirks.set("error-503", "on@token")
        assert (await fleet.run("plan")).code == 4
        fleet.simulator.quirks.set("error-503", "off")
        assert (await fleet.run("plan")).code == 0
    assert rejections(tmp_path) == []


async def test_a_plan_without_a_ledger_remembers_nothing(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        fleet.inventory(imeis(0, 2))
        before = sorted(path.name for path in tmp_path.iterdir())
        for _ in range(2):
            assert (await fleet.run("plan", environ=WRONG_KEY)).code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before
