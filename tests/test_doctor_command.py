"""`doctor`: each thing that can be wrong has its line, and no login is ever tried twice."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import ledgers
import pytest
from aiohttp import ClientSession, web
from fleets import ACCOUNT, CREDENTIALS, Fleet, fleet_of, imeis
from gits import git, remote_in

from licensesync.cli.examination import callbacks, examine, keeping, listener, network
from licensesync.ledger import database, lock, migrations
from licensesync.model import Check, Result
from licensesync.render import checkup
from licensesync.render.page import Page
from licensesync.settings import Address, Callbacks
from licensesync.simulator.auth import Credentials
from licensesync.simulator.bought import Registration, Sku

RIGHT = Credentials(*CREDENTIALS.values())
OURS = "https://callbacks.example.com/thingspace"
CALLBACKS = f"callbacks: {{public_url: '{OURS}'}}\n"
SIM = f'  sim: {{product: sim-secure, account: "{ACCOUNT}", sku: SIMSec-IoT, mode: managed}}\n'
HEARD = {"CALLBACK_USERNAME": "callback-user-3d", "CALLBACK_PASSWORD": "callback-password-3d"}


def settings(
    fleet: Fleet,
    *,
    account: str = ACCOUNT,
    pools: str = "",
    more: str = "listen: off\n",
    inventory: str = "inventory.yaml",
) -> None:
    """Settings of one FOTA pool and more pools, the ledger beside them, and more lines."""
    (fleet.folder / "licensesync.yaml").write_text(
        f"thingspace: {{url: '{fleet.simulator.url}', requests_per_second: 2000}}\ninventory: {inventory}\n"
        f"ledger: sqlite:///ledger.db\npools:\n"
        f'  fota: {{product: fota, account: "{account}", mode: full}}\n{pools}{more}'
    )


async def checked(fleet: Fleet, environ: Mapping[str, str] = CREDENTIALS) -> dict[str, Check]:
    """The checks by their names, made in this process."""
    return {each.check: each for each in await examined(fleet, environ)}


async def examined(fleet: Fleet, environ: Mapping[str, str] = CREDENTIALS) -> list[Check]:
    """The checks in their order. The simulator has noticed by then that each connection is over."""
    checks = await asyncio.to_thread(examine, None, environ, fleet.folder)
    async with ClientSession() as http, http.get(f"{fleet.simulator.url}/_sim/quirks") as answer:
        await answer.read()
    return checks


def make_ledger(fleet: Fleet) -> Path:
    path = fleet.folder / "ledger.db"
    with database.written(path):
        pass
    return path


def asked(fleet: Fleet) -> tuple[int, int]:
    """How often a token and how often a session was asked for."""
    return len(fleet.simulator.requests.of("token")), len(fleet.simulator.requests.of("login"))


def results(checks: Mapping[str, Check], *names: str) -> list[Result]:
    return [checks[name].result for name in names]


@pytest.fixture
def a_free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


# --- as a program


async def test_where_all_is_well_each_check_has_its_line_and_nothing_is_made(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=3, licenses=9, credentials=RIGHT) as fleet:
        settings(fleet)
        fleet.inventory(imeis(0, 4))
        ended = await fleet.run("doctor")
        assert ended.code == 0, ended.out + ended.err
        assert asked(fleet) == (1, 1)
        assert fleet.writes() == 0
    *lines, summary = ended.out.splitlines()
    assert summary == "19 checks: all is well"
    assert all(line.startswith("ok ") for line in lines)
    told = {line[13:].split("  ")[0]: line[13:].split("  ")[-1].strip() for line in lines}
    assert told["settings"] == f"{tmp_path}/licensesync.yaml: 1 pool"
    assert told["inventory"] == f"{tmp_path}/inventory.yaml: inventory of 4 devices"
    assert told["THINGSPACE_PASSWORD"] == "from the variable of that name"
    assert told["account fota"] == f"{ACCOUNT}: 9 licenses, 3 assigned, 6 free"
    assert told["subscription fota"] == "TS-HFOTA-MRC"
    assert told["callbacks"] == "not needed, as no pool is sim-secure"
    assert told["ledger"] == f"none yet at {tmp_path}/ledger.db: the first apply or serve makes it"
    assert told["connection"] == f"{fleet.simulator.url.removeprefix('http://')} takes connections, without TLS"
    assert (told["notifications"], told["service"]) == ("off", "licensesync serve does not run with this ledger")
    assert told["clock"] == "within 60 s of the service's"
    assert ledgers.listing(tmp_path) == ["inventory.yaml", "licensesync.yaml"]


async def test_a_wrong_password_is_tried_once_by_each_of_two_doctors_and_by_no_third(tmp_path: Path) -> None:
    wrong = {"THINGSPACE_PASSWORD": "wrong-password-77"}
    async with fleet_of(tmp_path, credentials=RIGHT) as fleet:
        settings(fleet)
        fleet.inventory([])
        make_ledger(fleet)
        ended = await fleet.run("doctor", "--format", "json", environ=wrong)
        first = {row["check"]: row for row in ended.document["checks"]}
        assert (ended.code, ended.document["kind"], asked(fleet)) == (1, "doctor", (1, 1))
        assert (first["login"]["result"], first["account fota"]["result"]) == ("problem", "skipped")
        assert first["login"]["do"].startswith("check THINGSPACE_USERNAME and THINGSPACE_PASSWORD")
        assert first["account fota"]["found"] == "no login"
        assert first["clock"]["result"] == "ok"
        second = await checked(fleet, CREDENTIALS | wrong)
        assert (second["login"].result, asked(fleet)) == (Result.PROBLEM, (2, 2))
        third = await checked(fleet, CREDENTIALS | wrong)
        assert asked(fleet) == (3, 2)
        assert "twice in a row" in third["login"].found
        assert "until THINGSPACE_USERNAME and THINGSPACE_PASSWORD change" in third["login"].do
        assert (await checked(fleet))["login"].result is Result.OK


async def test_a_rejected_login_that_no_ledger_remembers_is_told_as_such(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, credentials=RIGHT) as fleet:
        settings(fleet)
        fleet.inventory([])
        forgotten = (await checked(fleet, CREDENTIALS | {"THINGSPACE_PASSWORD": "wrong-password-77"}))["login"]
        make_ledger(fleet)
        remembered = (await checked(fleet, CREDENTIALS | {"THINGSPACE_PASSWORD": "wrong-password-77"}))["login"]
    assert forgotten.do.startswith("check THINGSPACE_USERNAME and THINGSPACE_PASSWORD. It is not tried again by this")
    assert "no ledger remembers it for the next: five rejected logins lock the user" in forgotten.do
    assert remembered.do.endswith("It is not tried again: five rejected logins lock the user")


async def test_settings_with_problems_are_all_told_and_what_does_not_need_them_is_checked(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet, more="listen: off\nlisden: 5\nkeep: never\n")
        fleet.inventory(imeis(0, 2))
        checks = await examined(fleet, {**CREDENTIALS, "THINGSPACE_KEY": ""})
        assert asked(fleet) == (0, 0)
    broken = [each.found for each in checks if each.check == "settings"]
    assert [each.split(": ")[0] for each in broken] == ["licensesync.yaml:7:1", "licensesync.yaml:8:7"]
    by_name = {each.check: each for each in checks}
    assert by_name["THINGSPACE_KEY"].found == "THINGSPACE_KEY is missing"
    assert set(results(by_name, "inventory", "THINGSPACE_SECRET")) == {Result.OK}
    needs_settings = ("ledger", "notifications", "connection", "login", "clock")
    assert set(results(by_name, *needs_settings)) == {Result.SKIPPED}


async def test_without_settings_the_rest_is_said_to_be_unchecked(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        (tmp_path / "licensesync.yaml").unlink()
        checks = await checked(fleet)
    assert checks["settings"].found.endswith("there is no such settings file")
    assert results(checks, "settings", "inventory", "THINGSPACE_KEY", "ledger", "login") == [
        Result.PROBLEM,
        Result.SKIPPED,
        Result.OK,
        Result.SKIPPED,
        Result.SKIPPED,
    ]


# --- one login, never more


@pytest.mark.parametrize(
    ("quirk", "value", "tokens", "logins"),
    [
        ("error-503", "on@token", 1, 0),
        ("error-503", "on@login", 1, 1),
        ("error-429", "on@login", 1, 1),
        ("error-502", "on@login", 1, 1),
        ("login-hiccup", "on", 1, 1),
        ("lost-before-effect", "on@login", 1, 1),
        ("cut-off", "on@token", 1, 0),
        ("html-200", "on@login", 1, 1),
        ("bearer-dies", "on@login", 1, 1),
        ("redirect", "on@token", 1, 0),
        ("token-rejected", "on", 1, 0),
    ],
)
async def test_a_login_that_fails_is_not_repeated_whatever_the_reason(
    tmp_path: Path, quirk: str, value: str, tokens: int, logins: int
) -> None:
    async with fleet_of(tmp_path, quirks={quirk: value}) as fleet:
        settings(fleet)
        fleet.inventory([])
        checks = await checked(fleet)
        assert asked(fleet) == (tokens, logins)
        assert len(fleet.simulator.requests) == tokens + logins
    assert checks["login"].result is Result.PROBLEM
    assert checks["login"].do
    assert results(checks, "account fota", "subscription fota") == [Result.SKIPPED, Result.SKIPPED]


@pytest.mark.parametrize("quirk", ["bearer-dies", "session-dies"])
async def test_a_token_that_is_not_accepted_any_more_is_not_renewed(tmp_path: Path, quirk: str) -> None:
    async with fleet_of(tmp_path, quirks={quirk: "on@status"}) as fleet:
        settings(fleet, pools='  more: {product: fota, account: "0000000002-00001", mode: full}\n')
        fleet.inventory([])
        checks = await checked(fleet)
        assert asked(fleet) == (1, 1)
        assert len(fleet.simulator.requests) == 3
    assert checks["account fota"].result is Result.PROBLEM
    assert "some other program uses this key or user" in checks["account fota"].do
    assert {checks[f"{what} {pool}"].result for what, pool in (("subscription", "fota"), ("account", "more"))} == {
        Result.SKIPPED
    }


async def test_a_token_that_is_nearly_over_is_used_as_it_is(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"bearer-remainder": "1.5"}) as fleet:
        settings(fleet)
        fleet.inventory([])
        checks = await checked(fleet)
        assert asked(fleet) == (1, 1)
    assert checks["login"].result is Result.OK


async def test_a_ledger_that_cannot_tell_of_rejected_logins_forbids_the_login(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet)
        fleet.inventory([])
        (tmp_path / "ledger.db").write_bytes(b"no ledger at all" * 500)
        checks = await checked(fleet)
        assert asked(fleet) == (0, 0)
    assert results(checks, "ledger", "login", "account fota", "clock") == [
        Result.PROBLEM,
        Result.SKIPPED,
        Result.SKIPPED,
        Result.SKIPPED,
    ]
    assert checks["ledger"].do.startswith("restore it from a backup")


# --- accounts


async def test_an_account_that_is_billed_by_event_only_is_a_problem_whether_or_not_its_list_answers(
    tmp_path: Path,
) -> None:
    async with fleet_of(tmp_path, quirks={"purchase-type": "event-refused"}) as fleet:
        settings(fleet)
        fleet.inventory([])
        refused = await checked(fleet)
        fleet.simulator.quirks.set("purchase-type", "event")
        answered = await checked(fleet)
    for checks in (refused, answered):
        assert checks["subscription fota"].result is Result.PROBLEM
        assert checks["subscription fota"].found.startswith("TS-HFOTA-EVNT: billed by event only")
        assert "TS-HFOTA-MRC" in checks["subscription fota"].do
    assert refused["account fota"].result is Result.SKIPPED
    assert answered["account fota"].result is Result.WARNING


async def test_what_else_was_bought_is_named_and_tolerated(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"purchase-type": "bundle"}) as fleet:
        settings(fleet)
        fleet.inventory([])
        bundle = await checked(fleet)
        fleet.simulator.quirks.set("subscription-call", "fieldless")
        fieldless = await checked(fleet)
        fleet.simulator.quirks.set("subscription-call", "503")
        down = await checked(fleet)
    assert bundle["subscription fota"] == Check.ok(
        "subscription fota", "TS-HFOTA-MRC, TSS-IOT-INTLG-CUSTOM-SWMT (not known here)"
    )
    assert fieldless["subscription fota"].result is Result.WARNING
    assert (down["subscription fota"].result, down["account fota"].result) == (Result.PROBLEM, Result.OK)
    assert down["subscription fota"].do.startswith("try again later")


async def test_an_account_that_the_user_cannot_see_is_told_with_what_the_service_says(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(
            fleet, account="0000000009-00001", pools=f'  seen: {{product: fota, account: "{ACCOUNT}", mode: full}}\n'
        )
        fleet.inventory([])
        checks = await checked(fleet)
        fleet.simulator.quirks.set("counts-absent", "both")
        fleet.simulator.quirks.set("subscription-call", "404")
        uncounted = await checked(fleet)
        assert asked(fleet) == (2, 2)
    assert "Could not find account 0000000009-00001" in checks["account fota"].found
    assert checks["account fota"].do.startswith("compare the account")
    assert checks["account seen"].result is Result.OK
    assert uncounted["account seen"].result is Result.WARNING
    assert "says how many licenses there are" in uncounted["account seen"].found


# --- the clock


async def test_a_clock_that_is_off_is_told_even_where_the_login_is_rejected(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"clock-off-by": "+400", "login-rejected": "on"}) as fleet:
        settings(fleet)
        fleet.inventory([])
        far = await checked(fleet)
        fleet.simulator.quirks.set("clock-off-by", "-100")
        fleet.simulator.quirks.set("login-rejected", "off")
        near = await checked(fleet)
    assert (far["login"].result, far["clock"].result) == (Result.PROBLEM, Result.PROBLEM)
    assert far["clock"].found in {f"this machine's clock is {off} s behind the service's" for off in (399, 400)}
    assert near["clock"].result is Result.WARNING
    assert "s ahead of the service's" in near["clock"].found
    assert "NTP" in near["clock"].do


@pytest.mark.parametrize(
    ("skew", "result"),
    [
        (0.0, Result.OK),
        (60.0, Result.OK),
        (-61.0, Result.WARNING),
        (300.0, Result.WARNING),
        (-301.0, Result.PROBLEM),
        (None, Result.SKIPPED),
    ],
)
def test_a_minute_off_is_a_warning_and_five_are_a_problem(skew: float | None, result: Result) -> None:
    assert network.clock(skew).result is result


# --- SIM-Secure and its callbacks


async def test_callbacks_are_missing_ours_or_somebody_elses_and_no_password_of_theirs_is_told(tmp_path: Path) -> None:
    environ = CREDENTIALS | HEARD
    foreign = Registration("https://user-9:pass-9@other.example.com/hook?key=url-key-9", "their-name-9", "their-pass-9")
    async with fleet_of(tmp_path) as fleet:
        settings(fleet, pools=SIM, more=f"listen: off\n{CALLBACKS}")
        fleet.inventory([])
        fleet.account.skus["SIMSec-IoT"] = Sku(9, 7)
        missing = await checked(fleet, environ)
        fleet.account.callbacks["CarrierService"] = Registration(f"{OURS}/", *HEARD.values())
        ours = await checked(fleet, environ)
        fleet.account.callbacks["CarrierService"] = Registration(f"{OURS}/", "their-name-9", "their-pass-9")
        outdated = await checked(fleet, environ)
        fleet.account.callbacks["CarrierService"] = foreign
        theirs = await fleet.run("doctor", environ=HEARD)
        fleet.simulator.quirks.set("truncated-json", "on@registrations")
        cut = await examined(fleet, environ)
    name = f"callbacks {ACCOUNT}"
    assert missing["subscription sim"] == Check.ok(
        "subscription sim", "SIMSec-IoT (Flexible): 9 purchased, 7 assigned, 2 available"
    )
    assert missing["account sim"].result is Result.WARNING
    assert "7 more than are known" in missing["account sim"].found
    assert "others: 7" in missing["account sim"].do
    assert outdated[name].result is Result.WARNING
    assert "another name or password" in outdated[name].found
    assert (missing[name].result, missing[name].found) == (Result.WARNING, "no address is registered")
    assert ours[name] == Check.ok(name, "registered for callbacks.example.com, as callbacks.public_url says")
    assert theirs.code == 1
    line = next(line for line in theirs.out.splitlines() if name in line)
    assert line.startswith("problem")
    assert "they go to other.example.com, by an address that is not callbacks.public_url" in line
    assert "the answer is not what Verizon documents" in next(each.found for each in cut if each.check == name)
    for told in (theirs.out + theirs.err, str(cut)):
        assert not any(secret in told for secret in ("user-9", "pass-9", "name-9", "key-9", "hook"))


async def test_callbacks_that_nobody_will_register_and_a_sku_that_nobody_bought_are_problems(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet, pools=SIM, more=f"listen: off\n{CALLBACKS.replace('{', '{register: false, ')}")
        fleet.inventory([])
        fleet.account.skus["SIMSec-IoT-Lt"] = Sku(1)
        checks = await checked(fleet)
        fleet.account.skus["SIMSec-IoT"] = Sku(7, 7)
        used_up = await checked(fleet)
        fleet.simulator.quirks.set("error-503", "on@m2m")
        down = await checked(fleet)
        fleet.simulator.quirks.set("login-rejected", "on")
        out = await checked(fleet)
    name = f"callbacks {ACCOUNT}"
    assert checks[name].result is Result.PROBLEM
    assert "register: true" in checks[name].do
    assert checks["subscription sim"].found.endswith("those that it has: SIMSec-IoT-Lt")
    assert checks["CALLBACK_PASSWORD"].result is Result.PROBLEM
    assert used_up["subscription sim"].result is Result.WARNING
    assert used_up["subscription sim"].do == "devices wait for a license until more are bought"
    assert results(down, "account sim", "subscription sim", name) == [Result.PROBLEM, Result.SKIPPED, Result.PROBLEM]
    assert results(out, "account sim", name) == [Result.SKIPPED, Result.SKIPPED]


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("https://c.example.com/x", Result.OK),
        ("http://c.example.com", Result.OK),
        ("https://c.example.com:9006", Result.OK),
        ("https://c.example.com:9007", Result.WARNING),
        ("https://c.example.com:8443/x", Result.WARNING),
    ],
)
def test_a_port_to_which_no_callback_is_ever_sent_is_a_warning(url: str, result: Result) -> None:
    assert callbacks.address(Callbacks(url)).result is result


# --- the way to the service


async def test_a_login_is_not_tried_where_there_is_no_way_to_the_service(tmp_path: Path, a_free_port: int) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet)
        fleet.inventory([])
        file = tmp_path / "licensesync.yaml"
        file.write_text(file.read_text().replace(fleet.simulator.url, f"https://127.0.0.1:{a_free_port}"))
        checks = await checked(fleet)
    assert checks["connection"].found == f"127.0.0.1:{a_free_port} takes no connection: Connection refused"
    assert "firewall" in checks["connection"].do
    assert checks["login"] == Check.skipped("login", "there is no way to the service")
    assert results(checks, "account fota", "clock") == [Result.SKIPPED, Result.SKIPPED]


async def test_a_proxy_is_called_instead_and_plain_http_beyond_this_machine_is_a_warning(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet)
        fleet.inventory([])
        file = tmp_path / "licensesync.yaml"
        far = "http://thingspace.example.com', insecure: true, timeout: '5s"
        file.write_text(file.read_text().replace(fleet.simulator.url, far))
        proxy = fleet.simulator.url.replace("http://", "http://proxy-user:proxy-password@")
        checks = await checked(fleet, {"http_proxy": proxy})
    assert checks["connection"].result is Result.WARNING
    assert checks["connection"].found.startswith(f"the proxy {fleet.simulator.url.removeprefix('http://')} takes")
    assert "credentials included" in checks["connection"].found
    assert "proxy-" not in str(checks).replace("the proxy", "")
    assert checks["login"].found == "a credential is missing or not usable"


# --- credentials


async def test_where_each_credential_comes_from_is_told_and_who_else_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "thingspace-key").write_text(CREDENTIALS["THINGSPACE_KEY"])
    (folder / "thingspace-key").chmod(0o400)
    secret = tmp_path / "secret-file"
    secret.write_text(CREDENTIALS["THINGSPACE_SECRET"])
    secret.chmod(0o644)
    environ = {
        **CREDENTIALS,
        "CREDENTIALS_DIRECTORY": str(folder),
        "THINGSPACE_SECRET_FILE": str(secret),
        "THINGSPACE_PASSWORD_FILE": str(tmp_path / "nowhere"),
        "THINGSPACE_USERNAME": "",
    }
    async with fleet_of(tmp_path) as fleet:
        settings(fleet, more="listen: off\nnotifications: {}\n")
        checks = await checked(fleet, environ)
        assert len(fleet.simulator.requests) == 0
    assert checks["THINGSPACE_KEY"] == Check.ok("THINGSPACE_KEY", f"from the file {folder}/thingspace-key, mode 0400")
    assert checks["THINGSPACE_SECRET"].result is Result.WARNING
    assert checks["THINGSPACE_SECRET"].found == f"from the file {secret}, mode 0644, which everybody may read"
    assert checks["THINGSPACE_SECRET"].do == f"chmod o-rw {secret}"
    assert checks["THINGSPACE_USERNAME"].do.startswith("put it into the variable of that name")
    assert "nowhere cannot be read" in checks["THINGSPACE_PASSWORD"].found
    assert checks["WEBHOOK_URL"].result is Result.PROBLEM
    assert results(checks, "connection", "notifications") == [Result.OK, Result.SKIPPED]
    assert checks["login"].found == "a credential is missing or not usable"


async def test_the_host_of_a_webhook_is_told_and_neither_the_rest_of_its_address_nor_its_token(tmp_path: Path) -> None:
    environ = {"WEBHOOK_URL": "https://hooks.example.com/secret-path-5", "WEBHOOK_TOKEN": "token-5"}
    async with fleet_of(tmp_path) as fleet:
        settings(fleet, more="listen: off\nnotifications: {format: slack}\n")
        fleet.inventory([])
        secret = await checked(fleet, environ)
        no_address = await checked(fleet, {"WEBHOOK_URL": "http://hooks.example.com/secret-path-5"})
        no_token = await checked(fleet, {**environ, "WEBHOOK_TOKEN_FILE": str(tmp_path / "nowhere")})
        settings(fleet, more="listen: off\nnotifications: {webhook: 'https://alerts.example.com/x'}\n")
        public = await checked(fleet, {})
    assert secret["notifications"].found == "for hooks.example.com, as slack, with a token; doctor sends none"
    assert results(secret, "WEBHOOK_URL", "WEBHOOK_TOKEN") == [Result.OK, Result.OK]
    assert no_address["notifications"].result is Result.PROBLEM
    assert results(no_token, "WEBHOOK_TOKEN", "notifications") == [Result.PROBLEM, Result.SKIPPED]
    assert public["notifications"].found == "for alerts.example.com, as json, without a token; doctor sends none"
    assert not {"WEBHOOK_URL", "WEBHOOK_TOKEN"} & public.keys()
    assert not any(word in str([secret, no_address, no_token]) for word in ("secret-path", "token-5"))


async def test_who_else_may_read_the_key_of_the_listener_s_certificate_is_told(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch(0o600)
    key.chmod(0o644)
    tls = (
        "callbacks: {listen: 127.0.0.1:0, public_url: https://c.example.com/, tls: {certificate: c.pem, key: key.pem}}"
    )
    async with fleet_of(tmp_path) as fleet:
        settings(fleet, more=f"listen: off\n{tls}\n")
        told = (await checked(fleet))["callbacks.tls.key"]
    assert (told.result, told.do) == (Result.WARNING, f"chmod o-rw {key}")


# --- the inventory


async def test_problems_of_the_inventory_are_counted_and_the_first_are_shown(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet)
        fleet.inventory(["1", "2", "3", "4", "5"])
        broken = (await checked(fleet))["inventory"]
        fleet.inventory(["990000473475980"])
        doubtful = (await checked(fleet))["inventory"]
    assert broken.result is Result.PROBLEM
    assert broken.found.startswith("5 errors: inventory.yaml:5:9: ")
    assert broken.found.endswith("and 2 more")
    assert broken.do == "licensesync check shows all, with what to write"
    assert (doubtful.result, doubtful.found.split(":")[0]) == (Result.WARNING, "1 warning")


async def test_an_inventory_that_must_be_committed_is_looked_at_by_git(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet, inventory="{path: inventory.yaml, require_clean: true}")
        fleet.inventory([])
        outside = (await checked(fleet))["inventory"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "c"]):
            git(tmp_path, *command)
        committed = (await checked(fleet))["inventory"]
        fleet.inventory(imeis(0, 1))
        changed = (await checked(fleet))["inventory"]
    assert [each.result for each in (outside, committed, changed)] == [Result.PROBLEM, Result.OK, Result.PROBLEM]
    assert git(tmp_path, "rev-parse", "HEAD")[:7] in committed.found
    assert changed.do.startswith("commit them")


async def test_an_inventory_in_a_git_remote_is_fetched_and_checked(tmp_path: Path) -> None:
    remote = remote_in(tmp_path)
    async with fleet_of(tmp_path) as fleet:
        settings(fleet, inventory="{git: {url: remote.git, ref: main, path: fleet}}")
        nothing = (await checked(fleet))["inventory"]
        fleet.inventory(imeis(0, 3))
        good = (tmp_path / "inventory.yaml").read_text()
        commit = remote.push(good)
        key = tmp_path / "deploy-key"
        key.touch(mode=0o644)
        with_key = await checked(fleet, {**CREDENTIALS, "GIT_DEPLOY_KEY_FILE": str(key)})
        fine = with_key["inventory"]
        key.unlink()
        without_key = await checked(fleet, {**CREDENTIALS, "GIT_DEPLOY_KEY_FILE": str(key)})
        nowhere_to_look = await checked(fleet, {**CREDENTIALS, "CREDENTIALS_DIRECTORY": f"{tmp_path}/{'x' * 300}"})
        remote.push("groups:\n")
        broken = (await checked(fleet))["inventory"]
        remote.push(good)
        await checked(fleet)
        remote.url.rename(tmp_path / "away")
        stale = (await checked(fleet))["inventory"]
    assert [each.result for each in (nothing, fine, broken, stale)] == [
        Result.PROBLEM,
        Result.OK,
        Result.PROBLEM,
        Result.PROBLEM,
    ]
    assert "main of " in nothing.found
    assert commit[:7] in fine.found
    assert with_key["GIT_DEPLOY_KEY"].found == f"from the file {key}, mode 0644, which everybody may read"
    assert without_key["GIT_DEPLOY_KEY"].found == f"{key} cannot be read"
    assert results(nowhere_to_look, "inventory", "GIT_DEPLOY_KEY", "login") == [
        Result.PROBLEM,
        Result.PROBLEM,
        Result.SKIPPED,
    ]
    assert nowhere_to_look["inventory"].do == "give this user the right to look into that folder"
    assert broken.found.startswith("1 error: fleet/a.yaml:1:")
    assert "inventory of 3 devices" in stale.found
    assert "cannot be fetched" in stale.do


# --- the ledger


async def test_a_ledger_is_proved_undamaged_and_its_lock_is_told_without_being_taken(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet)
        fleet.inventory([])
        ledger = make_ledger(fleet)
        with lock.held(ledger, "apply", datetime.now(UTC)), lock.held(ledger, "serve", datetime.now(UTC), lock.SERVICE):
            ledger.chmod(0o644)
            held = await checked(fleet)
        left = tmp_path / "ledger.db.lock"
        left.write_text('{"command": "apply", "pid": 1, "host": "h", "since": "long ago"}')
        free = await checked(fleet)
        with lock.held(ledger, "apply", datetime.now(UTC)):
            pass
        ledgers.execute(ledger, "PRAGMA user_version = 99")
        newer = await checked(fleet)
    assert held["ledger"] == Check.ok("ledger", f"{ledger}: undamaged, version {migrations.VERSION}")
    assert held["lock"].found.startswith("held by licensesync apply, process ")
    assert (held["ledger rights"].result, held["ledger rights"].do) == (Result.WARNING, f"chmod o-r {ledger}")
    assert held["service"].found.startswith("runs: licensesync serve, process ")
    assert free["lock"] == Check.ok("lock", "free")
    assert newer["ledger"].result is Result.PROBLEM
    assert newer["ledger"].do == "install that version or a later one"


async def test_a_ledger_that_may_not_be_written_or_made_is_a_problem(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        settings(fleet)
        fleet.inventory([])
        make_ledger(fleet).chmod(0o400)
        ended = await ledgers.run(fleet, "doctor", "--format", "json", before=ledgers.without_privilege)
        (tmp_path / "ledger.db").chmod(0o600)
        (tmp_path / "licensesync.yaml").write_text(
            (tmp_path / "licensesync.yaml").read_text().replace("ledger.db", "nowhere/ledger.db")
        )
        nowhere = await checked(fleet)
    rights = next(row for row in ended.document["checks"] if row["check"] == "ledger rights")
    assert (ended.code, rights["result"]) == (1, "problem")
    assert rights["found"] == f"this user may not write {tmp_path}/ledger.db"
    assert nowhere["ledger"].found == f"it cannot be made: there is no folder {tmp_path}/nowhere"


@pytest.mark.parametrize(("free", "result"), [(100 * 2**20 - 1, Result.WARNING), (100 * 2**20, Result.OK)])
def test_a_disk_that_is_nearly_full_is_a_warning(free: int, result: Result) -> None:
    assert keeping.room(Path("/var/lib"), free).result is result


# --- where the service listens


async def test_the_address_to_listen_at_is_free_our_own_or_somebody_elses(tmp_path: Path, a_free_port: int) -> None:
    async def ours(request: web.BaseRequest) -> web.Response:
        return web.Response(headers={"Server": "licensesync"})

    async with fleet_of(tmp_path) as fleet:
        settings(fleet, more=f"listen: 127.0.0.1:{a_free_port}\n")
        fleet.inventory([])
        free = (await checked(fleet))["listen"]
        runner = web.ServerRunner(web.Server(ours))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", a_free_port).start()
        own = (await checked(fleet))["listen"]
        await runner.cleanup()
        settings(fleet, more=f"listen: {fleet.simulator.url.removeprefix('http://')}\n")
        taken = (await checked(fleet))["listen"]
    assert (free.result, free.found) == (Result.OK, f"127.0.0.1:{a_free_port} is free")
    assert (own.result, own.found) == (Result.OK, f"licensesync serve answers at 127.0.0.1:{a_free_port}")
    assert taken.result is Result.WARNING


def test_who_is_silent_at_the_address_to_listen_at_may_be_a_service_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address(*silent.getsockname())
        check = listener.checked(address)
    assert (check.result, check.found) == (Result.WARNING, f"what is at {address} does not answer within 0.2 s")


# --- how it is shown


def test_each_check_is_one_line_with_its_mark_in_colour_and_then_they_are_counted() -> None:
    checks = [
        Check.ok("settings", "fine"),
        Check.warning("ledger", "odd\nin two lines", "look\033[0m"),
        Check.problem("login", "wrong", "mend it"),
        Check.skipped("clock", "no login"),
    ]
    assert checkup.text(checks, Page(colour=False, width=20)).splitlines() == [
        "ok           settings  fine",
        "warning      ledger    odd in two lines; look[0m",
        "problem      login     wrong; mend it",
        "not checked  clock     no login",
        "4 checks: 1 problem, 1 warning, 1 not checked",
    ]
    assert checkup.text(checks[:1], Page(colour=True, width=80)).startswith(
        "\033[32mok         \033[0m  settings  fine\n"
    )
    assert json.loads(checkup.document(checks[2:])) == {
        "version": 1,
        "kind": "doctor",
        "checks": [
            {"check": "login", "result": "problem", "found": "wrong", "do": "mend it"},
            {"check": "clock", "result": "skipped", "found": "no login", "do": ""},
        ],
    }
