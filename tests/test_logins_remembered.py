"""What counts as a rejected login from one process to the next, whose it is, and that no secret is kept of it."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import ledgers
import pytest
from fleets import CREDENTIALS, Ended, Fleet, fleet_of, imeis, some_of

from licensesync.simulator.auth import Credentials

RIGHT = Credentials(*CREDENTIALS.values())
WRONG_PASSWORD = {"THINGSPACE_PASSWORD": "wrong-password-77"}
WRONG_SECRET = {"THINGSPACE_SECRET": "wrong-secret-77"}
OTHER_USER = {"THINGSPACE_USERNAME": "user-of-another-desk", **WRONG_PASSWORD}
APPLY, PLAN, IMPORT = ("apply", "--yes"), ("plan",), ("import",)


def asked(fleet: Fleet, call: str) -> int:
    """How often the service was asked for a bearer (`token`) or a session (`login`)."""
    return len(fleet.simulator.requests.of(call))


async def twice_rejected(fleet: Fleet, wrong: Mapping[str, str]) -> list[Ended]:
    """Two processes of two kinds are rejected; the ledger is there from the first."""
    fleet.inventory(imeis(0, 2))
    return [await fleet.run(*APPLY, environ=wrong), await fleet.run(*PLAN, environ=wrong)]


async def test_after_two_rejections_no_command_logs_in_and_each_says_since_when_and_what_to_change(
    tmp_path: Path,
) -> None:
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        await twice_rejected(fleet, WRONG_PASSWORD)
        for command in (PLAN, APPLY, IMPORT):
            ended = await fleet.run(*command, environ=WRONG_PASSWORD)
            assert ended.code == 1, command
            assert "twice in a row, last at 20" in ended.err, command
            assert "THINGSPACE_USERNAME and THINGSPACE_PASSWORD change" in ended.err, command
        assert asked(fleet, "login") == 2
        assert fleet.writes() == 0


async def test_changed_credentials_are_tried_at_once_and_counted_by_themselves(tmp_path: Path) -> None:
    """Four wrong passwords in all do not lock the user: the fifth login is the right one."""
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        await twice_rejected(fleet, WRONG_PASSWORD)
        also_wrong = {"THINGSPACE_PASSWORD": "another-wrong-78"}
        for _ in range(3):
            assert (await fleet.run(*PLAN, environ=also_wrong)).code == 1
        assert asked(fleet, "login") == 4
        assert (await fleet.run(*PLAN)).code == 0
        assert (await fleet.run(*PLAN, environ=WRONG_PASSWORD)).code == 1
        assert asked(fleet, "login") == 5


async def test_another_user_and_another_service_are_not_affected(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        await twice_rejected(fleet, WRONG_PASSWORD)
        other_user = await fleet.run(*PLAN, environ=OTHER_USER)
        after_other_user = asked(fleet, "login")
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text().replace("127.0.0.1", "localhost"))
        elsewhere = await fleet.run(*PLAN, environ=WRONG_PASSWORD)
        assert (other_user.code, elsewhere.code) == (1, 1)
        assert (after_other_user, asked(fleet, "login")) == (3, 4)


async def test_the_application_and_the_user_are_counted_each_by_itself(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        await twice_rejected(fleet, WRONG_SECRET)
        assert (asked(fleet, "token"), asked(fleet, "login")) == (2, 0)
        third = await fleet.run(*PLAN, environ=WRONG_SECRET | WRONG_PASSWORD)
        assert asked(fleet, "token") == 2
        assert "THINGSPACE_KEY and THINGSPACE_SECRET change" in third.err
        for _ in range(3):
            assert (await fleet.run(*PLAN, environ=WRONG_PASSWORD)).code == 1
        assert (asked(fleet, "login"), asked(fleet, "token")) == (2, 5)
        assert (await fleet.run(*PLAN)).code == 0


@pytest.mark.parametrize(
    "quirk",
    some_of(
        [
            ("error-500", "on@login"),
            ("login-hiccup", "on"),
            ("lost-before-effect", "on@token"),
            ("error-502", "on@token"),
            ("error-429", "on@login"),
            ("cut-off", "on@login"),
        ],
        3,
    ),
    ids=lambda quirk: quirk[0],
)
async def test_what_is_not_a_word_about_the_credentials_never_forbids_a_login(
    tmp_path: Path, quirk: tuple[str, str]
) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(0, 2))
        fleet.simulator.quirks.set(*quirk)
        fleet.simulator.quirks.set("retry-after-429", 0)
        codes = [(await fleet.run(*command)).code for command in (APPLY, PLAN, PLAN)]
        before = asked(fleet, "token") + asked(fleet, "login")
        fleet.simulator.quirks.set(quirk[0], "off")
        well = await fleet.run(*PLAN)
        assert codes == [4, 4, 4]
        assert well.code == 0, well.err
        assert asked(fleet, "token") + asked(fleet, "login") == before + 2
    assert ledgers.query(tmp_path / "licensesync.db", "SELECT * FROM rejected_logins") == []


async def test_nobody_answers_is_no_rejection(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(0, 2))
        settings = tmp_path / "licensesync.yaml"
        right = settings.read_text()
        settings.write_text(right.replace(fleet.simulator.url, "http://127.0.0.1:9"))
        codes = [(await fleet.run(*command)).code for command in (APPLY, PLAN, PLAN)]
        settings.write_text(right)
        assert codes == [4, 4, 4]
        assert (await fleet.run(*PLAN)).code == 0
    assert ledgers.query(tmp_path / "licensesync.db", "SELECT * FROM rejected_logins") == []


async def test_a_rejection_an_unclear_answer_and_a_rejection_are_two_in_a_row(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2) as fleet:
        fleet.inventory(imeis(0, 2))
        for quirk in ("login-rejected", "login-hiccup", "login-rejected"):
            fleet.simulator.quirks.set(quirk, "on")
            await fleet.run(*(APPLY if quirk == "login-rejected" else PLAN))
            fleet.simulator.quirks.set(quirk, "off")
        before = asked(fleet, "login")
        assert (await fleet.run(*PLAN)).code == 1
        assert asked(fleet, "login") == before


async def test_processes_at_the_same_time_lock_nobody(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT, latency=0.1) as fleet:
        fleet.inventory(imeis(0, 2))
        await fleet.run(*APPLY, environ=WRONG_PASSWORD)
        at_once = await asyncio.gather(*(fleet.run(*command, environ=WRONG_PASSWORD) for command in (PLAN, APPLY)))
        assert [ended.code for ended in at_once] == [1, 1]
        assert (await fleet.run(*PLAN, environ=WRONG_PASSWORD)).code == 1
        assert asked(fleet, "login") in {2, 3}
        assert (await fleet.run(*PLAN)).code == 0, "the user was locked"


async def test_the_ledger_holds_no_form_of_a_rejected_secret(tmp_path: Path) -> None:
    wrong = {name: f"wrong-{number}-of-{name.lower()}" for number, name in enumerate(CREDENTIALS)}
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        ended = await twice_rejected(fleet, wrong)
        ended += await twice_rejected(fleet, {**CREDENTIALS, **WRONG_PASSWORD})
        rows = ledgers.query(tmp_path / "licensesync.db", "SELECT * FROM rejected_logins")
    assert len(rows) == 2
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("licensesync.db*")}
    dump = "\n".join(ledgers.content(tmp_path / "licensesync.db")).encode()
    told = "".join(each.out + each.err for each in ended).encode()
    secrets = [wrong, CREDENTIALS, WRONG_PASSWORD]
    for form in (each for given in secrets for each in _forms(given)):
        assert form not in dump
        assert form not in told
        assert not any(form in content for content in kept.values())


def _forms(given: Mapping[str, str]) -> Iterator[bytes]:
    """Whatever might be kept of these credentials by somebody who means no harm."""
    pairs = [f"{a}{between}{b}" for a in given.values() for b in given.values() for between in (":", "\n", "")]
    for secret in [*given.values(), *pairs]:
        raw = secret.encode()
        yield from (raw, raw.hex().encode(), b64encode(raw), b64encode(raw).rstrip(b"=")[:-1], quote(secret).encode())
        for name in ("md5", "sha1", "sha256", "sha512"):
            digest = hashlib.new(name, raw).digest()
            yield from (digest, digest.hex()[:32].encode(), b64encode(digest)[:16])


async def test_two_ledgers_know_the_same_login_by_different_fingerprints(tmp_path: Path) -> None:
    known = []
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        fleet.inventory(imeis(0, 2))
        for name in ("one.db", "two.db"):
            fleet.settings()
            ledger = ledgers.keep_in(fleet, name)
            assert (await fleet.run(*APPLY, environ=WRONG_PASSWORD)).code == 1
            known += ledgers.query(ledger, "SELECT fingerprint, rejections FROM rejected_logins")
    assert [row[1] for row in known] == [1, 1]
    assert known[0][0] != known[1][0]


async def test_a_plan_that_may_not_write_the_ledger_still_obeys_it(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=2, credentials=RIGHT) as fleet:
        await twice_rejected(fleet, WRONG_PASSWORD)
        (tmp_path / "licensesync.db").chmod(0o444)
        ended = await ledgers.run(fleet, *PLAN, before=ledgers.without_privilege)
        assert ended.code == 0, ended.err
        assert (await fleet.run(*PLAN, environ=WRONG_PASSWORD)).code == 1
        assert asked(fleet, "login") == 3
