"""The settings file and the credentials: what is understood, what is refused, and what is never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensesync import callers, pools, settings, sources
from licensesync.errors import CredentialsError, SettingsError
from licensesync.located import Text
from licensesync.model import Limits, Mode, Place, Pool, Product
from licensesync.notices import NoticeForm, Notifications
from licensesync.problems import Problems
from licensesync.settings import (
    Address,
    Callbacks,
    DeviceLines,
    FotaCalls,
    Logs,
    Schedule,
    Settings,
    StatusCall,
    ThingSpace,
    Tls,
)
from licensesync.sources import GitSource, LocalSource, Verify
from licensesync.values import ADDRESS, CRON, DATE, FLAG, URL, Kind, decimal, read, span, whole

ADDRESS_BY_NAME = Address("localhost", 1)
FOTA = "fota: {product: fota, account: 0642233522-00001, mode: full}"
SMALLEST = f"inventory: inventory/\npools:\n  {FOTA}\n"
CALLBACKS = "callbacks: {public_url: 'https://cb.example.com/x'}\n"
UNDOCUMENTED = "write one of these, or add revocable: true or false: whether its licenses can be taken back"
COMPLETE = """\
thingspace:
  url: https://thingspace.verizon.com
  timeout: 30s
  concurrency: 4
  requests_per_second: 10
  insecure: false
  batch_size: 200
inventory: inventory/
ledger: sqlite:////var/lib/licensesync/ledger.db
schedule: {every: 15m, jitter: 30s}
listen: 127.0.0.1:9464
pools:
  fota:
    product: fota
    account: "0642233522-00001"
    mode: full
    removals: {count: 100, percent: 10, per_day: 200}
    reading: {tolerance: 0}
  sim:
    product: sim-secure
    account: "0642233522-00001"
    sku: SIMSec-IoT
    mode: managed
    others: 0
callbacks:
  listen: 0.0.0.0:9001
  public_url: https://callbacks.example.com/thingspace
  register: true
  timeout: 30m
"""


def loaded(folder: Path, written: str) -> Settings:
    path = folder / "licensesync.yaml"
    path.write_text(written, encoding="utf-8")
    return settings.load(path)


def said(folder: Path, written: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, written)
    return [str(problem).removeprefix("licensesync.yaml:") for problem in caught.value.problems]


def test_the_documented_settings_are_the_defaults(tmp_path: Path) -> None:
    complete = loaded(tmp_path, COMPLETE)
    smallest = loaded(tmp_path, SMALLEST)

    assert complete.thingspace == smallest.thingspace == ThingSpace()
    assert complete.schedule == smallest.schedule == Schedule(timedelta(minutes=15), None, timedelta(seconds=30))
    assert complete.listen == smallest.listen == Address("127.0.0.1", 9464)
    assert complete.inventory == smallest.inventory == LocalSource(tmp_path / "inventory")
    assert complete.pools["fota"] == smallest.pools["fota"]
    assert complete.callbacks == Callbacks("https://callbacks.example.com/thingspace")
    assert smallest.callbacks is None
    assert smallest.keep == timedelta(days=400)
    assert complete.logs == smallest.logs == Logs(DeviceLines.EACH)


def test_pools_stand_in_the_order_of_the_settings(tmp_path: Path) -> None:
    complete = loaded(tmp_path, COMPLETE)

    account = "0642233522-00001"
    assert list(complete.pools.values()) == [
        Pool("fota", Product.FOTA, account, Mode.FULL, Limits(100, 10, 200), 0),
        Pool("sim", Product.SIM_SECURE, account, Mode.MANAGED, Limits(), 0, sku="SIMSec-IoT", others=0),
    ]


def test_everything_that_can_be_set_is_read(tmp_path: Path) -> None:
    written = """\
thingspace:
  url: http://sim.example.com:8085/base/
  timeout: 2m
  concurrency: 16
  requests_per_second: 0.5
  insecure: true
  batch_size: 1000
  fota: {status: v3-query, licenses_path: /v2/licenses}
inventory: {git: {url: "git@host:fleet.git", ref: main, path: inventory/}}
ledger: sqlite:///state/ledger.db
schedule: {cron: "*/15 6-18 1,15 jan-mar mon"}
listen: off
keep: 400d
logs: {devices: batches}
callbacks: {listen: "[::1]:9001", public_url: https://cb.example.com, register: false, timeout: 1h}
pools:
  a-b_c.1:
    product: fota
    account: 0012345678-00001
    mode: add-only
    removals: {count: 0, percent: 2.5, per_day: 7}
    reading: {tolerance: 3, reread: 36h}
  life: {product: sim-secure, account: 12345, sku: SIMSec-IoT-Lt, mode: add-only, others: 4}
"""
    read = loaded(tmp_path, written)

    assert read.thingspace == ThingSpace(
        "http://sim.example.com:8085/base",
        timedelta(minutes=2),
        16,
        0.5,
        insecure=True,
        batch_size=1000,
        fota=FotaCalls(StatusCall.V3_QUERY, "/v2/licenses"),
    )
    assert read.inventory == GitSource("git@host:fleet.git", "main", "inventory")
    assert read.ledger == f"sqlite:///{tmp_path}/state/ledger.db"
    assert read.schedule == Schedule(None, "*/15 6-18 1,15 jan-mar mon", timedelta())
    assert read.listen is None
    assert read.keep == timedelta(days=400)
    assert read.logs == Logs(DeviceLines.BATCHES)
    assert read.callbacks == Callbacks("https://cb.example.com", Address("::1", 9001), False, timedelta(hours=1))
    assert [str(address) for address in (read.callbacks.listen, ADDRESS_BY_NAME)] == ["[::1]:9001", "localhost:1"]
    assert read.pools == {
        "a-b_c.1": Pool(
            "a-b_c.1", Product.FOTA, "0012345678-00001", Mode.ADD_ONLY, Limits(0, 2.5, 7), 3, reread=timedelta(hours=36)
        ),
        "life": Pool(
            "life", Product.SIM_SECURE, "12345", Mode.ADD_ONLY, sku="SIMSec-IoT-Lt", others=4, irrevocable=True
        ),
    }


@pytest.mark.parametrize(
    "account", ["0642233522-00001", '"0642233522-00001"', "0012345678", "'0012345678-000001'", "007"]
)
def test_account_names_are_text_with_their_zeros(tmp_path: Path, account: str) -> None:
    read = loaded(tmp_path, f"inventory: i\npools: {{p: {{product: fota, account: {account}, mode: full}}}}")

    assert read.pools["p"].account == account.strip("\"'")


@pytest.mark.parametrize(
    ("written", "place", "message"),
    [
        ("timeout: 30", "1:23", "timeout '30' is not a duration; write a duration such as 30s, 15m, 2h or 7d"),
        ("timeout: 0s", "1:23", "timeout '0s' is out of range; write a duration such as 30s, 15m, 2h or 7d"),
        ("timeout: 99999999d", "1:23", "timeout '99999999d' is out of range"),
        ("timeout: 1_0s", "1:23", "timeout '1_0s' is not a duration"),
        ("timeout: ", "1:24", "timeout has no value"),
        ("timeout: ~", "1:23", "timeout has no value"),
        ("timeout: [30s]", "1:23", "timeout cannot be a list"),
        ("timeout: {a: 1}", "1:23", "timeout cannot be a mapping"),
        ("concurrency: 0", "1:27", "concurrency '0' is out of range; write a whole number 1 or more"),
        ("concurrency: 1_000", "1:27", "concurrency '1_000' is not a whole number"),
        ("concurrency: 010", "1:27", "concurrency '010' is not a whole number"),
        ('concurrency: "4"', "1:27", "concurrency '4' is quoted; write it without quotes"),
        ("concurrency: 4.0", "1:27", "concurrency '4.0' is not a whole number"),
        ("concurrency: 1e2", "1:27", "concurrency '1e2' is not a whole number"),
        (f"concurrency: {'9' * 5000}", "1:27", f"concurrency '{'9' * 39}…' is not a whole number"),
        ("requests_per_second: 0", "1:35", "requests_per_second '0' is out of range; write a number, more than 0"),
        ("requests_per_second: .inf", "1:35", "requests_per_second '.inf' is not a number"),
        ("batch_size: 1001", "1:26", "batch_size '1001' is out of range; write a whole number from 1 to 1000"),
        ("batch_size: 0", "1:26", "batch_size '0' is out of range"),
        ("insecure: yes", "1:24", "insecure 'yes' is neither true nor false; write true or false"),
        ("insecure: True", "1:24", "insecure 'True' is neither true nor false"),
        ('insecure: "true"', "1:24", "insecure 'true' is neither true nor false"),
        ("url: http://10.0.0.1", "1:19", "url 'http://10.0.0.1' is plain http beyond this machine; write https://"),
        ("url: http://127.0.0.1.evil.com", "1:19", "url 'http://127.0.0.1.evil.com' is plain http"),
        ("url: ftp://a", "1:19", "url 'ftp://a' is not a URL"),
        ("url: https://", "1:19", "url 'https://' is not a URL"),
        ("url: 'https://[::1'", "1:19", "url is not a URL"),
        ("url: 'https://a:99999'", "1:19", "url is not a URL"),
        ("url: 'https://a_b!'", "1:19", "url 'https://a_b!' names no host"),
        ("url: 'https://a b'", "1:19", "url has blanks or control characters in it"),
        ('url: "https://a\\u202e"', "1:19", "url has blanks or control characters in it"),
        ("url: 'https://a/?x=1'", "1:19", "url has a query or a fragment"),
        ("url: 'https://a/#x'", "1:19", "url has a query or a fragment"),
        ("url: 'https://me:hunter2@a'", "1:19", "url holds a user name or a password"),
        ("fota: {status: v4}", "1:29", "status 'v4' is not known; write one of auto, v3-path, v3-query, v1"),
        ("fota: {licenses_path: licenses}", "1:36", "licenses_path 'licenses' is not of the right form"),
        ("fota: []", "1:20", "fota is not a mapping"),
        ("tiemout: 30s", "1:14", "unknown key 'tiemout'; write one of url, timeout, concurrency"),
        ("fota: {x: 1}", "1:21", "unknown key 'x'; write one of status, licenses_path"),
    ],
)
def test_what_is_wrong_with_thingspace_is_said_at_its_place(
    tmp_path: Path, written: str, place: str, message: str
) -> None:
    problems = said(tmp_path, f"thingspace: {{{written} }}\n{SMALLEST}")

    assert len(problems) == 1
    assert problems[0].startswith(f"{place}: {message}")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8085", "http://127.9.9.9", "http://[::1]:80", "http://localhost:1/x"]
)
def test_plain_http_is_accepted_for_loopback(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, f"thingspace: {{url: '{url}'}}\n{SMALLEST}").thingspace.url == url


@pytest.mark.parametrize(
    ("written", "place", "message"),
    [
        (
            "product: fot, account: 12345-1, mode: full",
            "3:16",
            "product 'fot' is not known; write one of fota, sim-secure (",
        ),
        ("account: 12345-1, mode: full", "3:6", "pool 'p' has no product; add product: one of fota, sim-secure"),
        (
            "product: fota, mode: full",
            "3:6",
            "pool 'p' has no account; add account: the account as ThingSpace shows it",
        ),
        ("product: fota, account: 12345-1", "3:6", "pool 'p' has no mode; add mode: one of add-only, managed, full"),
        (
            "product: fota, account: 12345-1, mode: all",
            "3:46",
            "mode 'all' is not known; write one of add-only, managed",
        ),
        ("product: fota, account: 1_0, mode: full", "3:31", "account '1_0' is not of the right form"),
        ("product: fota, account: 12:30, mode: full", "3:31", "account '12:30' is not of the right form"),
        ("product: fota, account: ١٢٣٤٥, mode: full", "3:31", "account '١٢٣٤٥' is not of the right form"),
        (f"{FOTA[7:-1]}, sku: x", "3:61", "sku is only for pools of sim-secure; remove it"),
        (f"{FOTA[7:-1]}, others: 1", "3:61", "others is only for pools of sim-secure; remove it"),
        (
            f"{FOTA[7:-1]}, removals: {{count: -1}}",
            "3:79",
            "count '-1' is out of range; write a whole number 0 or more",
        ),
        (
            f"{FOTA[7:-1]}, removals: {{percent: 101}}",
            "3:81",
            "percent '101' is out of range; write a number, 0 to 100",
        ),
        (f"{FOTA[7:-1]}, removals: {{percent: 10%}}", "3:81", "percent '10%' is not a number"),
        (
            f"{FOTA[7:-1]}, removals: {{perday: 1}}",
            "3:72",
            "unknown key 'perday'; write one of count, percent, per_day",
        ),
        (f"{FOTA[7:-1]}, reading: {{tolerance: x}}", "3:82", "tolerance 'x' is not a whole number"),
        (
            f"{FOTA[7:-1]}, reading: {{tolerence: 1}}",
            "3:71",
            "unknown key 'tolerence'; write one of tolerance, reread (did",
        ),
        (f"{FOTA[7:-1]}, reading: {{reread: 6}}", "3:79", "reread '6' is not a duration; write a duration such as"),
        (f"{FOTA[7:-1]}, reading: {{reread: 0h}}", "3:79", "reread '0h' is out of range"),
        (
            "product: sim-secure, account: 12345-1, sku: SIMSec-IoT, mode: managed, reading: {tolerance: 1,reread: 6h}",
            "3:101",
            "reread is only for pools of fota: to read one of sim-secure is one request anyhow; remove it",
        ),
        (f"{FOTA[7:-1]}, accounts: 1", "3:61", "unknown key 'accounts'"),
        ("product: sim-secure, account: 12345-1, mode: managed", "3:6", "pool 'p' has no sku; add sku: the SKU as"),
        (
            "product: sim-secure, account: 12345-1, sku: SIMSec-IoT, mode: full",
            "3:69",
            "mode full needs a list of who holds",
        ),
        (f"{FOTA[7:-1]}, revocable: true", "3:61", "revocable is only for pools of sim-secure; remove it"),
        (
            "product: sim-secure, account: 12345-1, mode: managed, sku: SIMSec-IoTa",
            "3:66",
            f"SKU 'SIMSec-IoTa' is not one that Verizon documents ({', '.join(pools.REVOCABLE)}); {UNDOCUMENTED}",
        ),
        (
            "product: sim-secure, account: 12345-1, mode: managed, sku: x, revocable: yes",
            "3:80",
            "revocable 'yes' is neither true nor false; write true or false",
        ),
        (
            "product: sim-secure, account: 12345-1, mode: managed, sku: simsec-iot-LT, revocable: true",
            "3:92",
            "revocable contradicts Verizon, by whom licenses of SIMSec-IoT-Lt can never be taken back; write false, or",
        ),
        (
            "product: sim-secure, account: 12345-1, mode: managed, sku: SIMSec-IoT, revocable: false",
            "3:89",
            "revocable contradicts Verizon, by whom licenses of SIMSec-IoT can be taken back; write true, or remove",
        ),
        (
            "product: sim-secure, account: 12345-1, mode: managed, revocable: false",
            "3:6",
            "pool 'p' has no sku; add sku: the SKU as",
        ),
        ("product: sim-secure, account: 12345-1, sku: 'a b', mode: managed", "3:51", "sku 'a b' is not of the right"),
    ],
)
def test_what_is_wrong_with_a_pool_is_said_at_its_place(tmp_path: Path, written: str, place: str, message: str) -> None:
    problems = said(tmp_path, f"inventory: i\npools:\n  p: {{{written}}}\n{CALLBACKS}")

    assert problems[0].startswith(f"{place}: {message}")
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (f"pools: {{{FOTA}}}", "1:1: there is no inventory; add inventory: a file or a folder"),
        ("inventory: i", "1:1: there are no pools; add pools: with at least one pool below it"),
        ("inventory: i\npools: {}", "2:8: there are no pools; write at least one"),
        ("inventory: i\npools:", "2:7: pools has no value; write its keys below it"),
        ("inventory: i\npools: [fota]", "2:8: pools is not a mapping; write its keys below it"),
        ("inventory: i\npools: {p: full}", "2:12: pool 'p' is not a mapping; write its keys below it"),
        (f"inventory: i\npools: {{'a b': {FOTA[6:]}}}", "2:9: the name 'a b' is not of the right form; write letters"),
        (
            f"inventory: [a]\npools: {{{FOTA}}}",
            "1:12: inventory cannot be a list; write the path of a file or a folder",
        ),
        (f"inventory: ''\npools: {{{FOTA}}}", "1:12: inventory '' is not a path"),
        (f"inventory: {{get: {{}}}}\npools: {{{FOTA}}}", "1:12: inventory has neither git nor path; add git: {url: …"),
        (f"inventory: {{git: {{}}}}\npools: {{{FOTA}}}", "1:18: git has no url; add url: what git clone takes"),
        (f"inventory: {{git: {{url: a, ref: -x}}}}\npools: {{{FOTA}}}", "1:32: ref '-x' is not of the right form"),
        (f"inventory: {{git: {{url: a, verify: {{}}}}}}\npools: {{{FOTA}}}", "1:35: verify wants one of ssh and gpg"),
        (f"inventory: {{git: {{url: a, verify: {{ssh: a, gpg: b}}}}}}\npools: {{{FOTA}}}", "1:35: verify wants one"),
        (f"inventory: {{require_clean: true}}\npools: {{{FOTA}}}", "1:12: inventory has neither git nor path"),
        (f"inventory: {{path: a, require_clean: 1}}\npools: {{{FOTA}}}", "1:37: require_clean '1' is neither true"),
        (SMALLEST + "notifications: {format: x}", "4:25: format 'x' is not known; write one of json, slack"),
        (
            SMALLEST + "notifications: {webhook: http://h.example.com/}",
            "4:26: webhook 'http://h.example.com' is plain http",
        ),
        (SMALLEST + "notifications: {webhook: hooks.example.com/hunter2}", "4:26: webhook is not a URL; write a URL"),
        (SMALLEST + "notifications: {webhook: 'ftp://h/hunter2'}", "4:26: webhook 'ftp://h' is not a URL; write a URL"),
        (f"inventory: {{git: {{url: -x}}}}\npools: {{{FOTA}}}", "1:24: url '-x' is not a URL"),
        *(
            (f"inventory: {{git: {{url: '{url}'}}}}\npools: {{{FOTA}}}", f"1:24: url {wrong}")
            for url, wrong in (
                ("HTTPS://hunter2@h/r", "holds a password or a token; write the URL without it"),
                ("https://ada:hunter2@h/r", "holds a password or a token"),
                ("ssh://ada:hunter2@h:22/r", "holds a password or a token"),
                ("ext::https://ada:hunter2@h/r", "holds a password or a token"),
                ("https://h/r?token=hunter2", "has a query or a fragment"),
            )
        ),
        (f"inventory: {{git: {{url: a, path: ../b}}}}\npools: {{{FOTA}}}", "1:33: path '../b' leaves the repository"),
        (SMALLEST + "ledger: ledger.db", "4:9: ledger is not the URL of an SQLite file; write sqlite:///"),
        (SMALLEST + "ledger: 'sqlite:///'", "4:9: ledger is not the URL of an SQLite file"),
        (SMALLEST + "listen: 9464", "4:9: listen '9464' is not an address to listen at; write host:port"),
        (SMALLEST + "listen: 'a:99999'", "4:9: listen 'a:99999' has no port from 0 to 65535"),
        (SMALLEST + "listen: '[x]:1'", "4:9: listen '[x]:1' is not an address to listen at"),
        (SMALLEST + "listen: false", "4:9: listen 'false' is not an address to listen at"),
        (SMALLEST + "keep: 0d", "4:7: keep '0d' is out of range"),
        (SMALLEST + "schedule: {every: 5m, cron: '* * * * *'}", "4:29: cron and every exclude each other"),
        (SMALLEST + "schedule: {cron: '* * * *'}", "4:18: cron '* * * *' has 4 fields instead of 5; write minute"),
        (SMALLEST + "schedule: {cron: '60 * * * *'}", "4:18: cron '60 * * * *' has no valid minute: '60'"),
        (SMALLEST + "schedule: {cron: '* 9-5 * * *'}", "4:18: cron '* 9-5 * * *' has no valid hour: '9-5'"),
        (SMALLEST + "schedule: {cron: '* * * foo *'}", "4:18: cron '* * * foo *' has no valid month: 'foo'"),
        (SMALLEST + "schedule: {cron: '*/0 * * * *'}", "4:18: cron '*/0 * * * *' has no valid minute: '*/0'"),
        (SMALLEST + "schedule: {cron: '*-5 * * * *'}", "4:18: cron '*-5 * * * *' has no valid minute: '*-5'"),
        (SMALLEST + "schedule: {cron: '0 0 31 2,4 *'}", "4:18: cron '0 0 31 2,4 *' names days that no month of it has"),
        (SMALLEST + "schedule: {cron: 'x! * * * *'}", "4:18: cron 'x! * * * *' has no valid minute: 'x!'"),
        (SMALLEST + "logs: {devices: none}", "4:17: devices 'none' is not known; write one of each, batches"),
        (SMALLEST + "logs: {device: each}", "4:8: unknown key 'device'; write one of devices (did you mean devices?)"),
        (SMALLEST + "logs: batches", "4:7: logs is not a mapping"),
        (SMALLEST + "callbacks: {}", "4:12: callbacks has no public_url; add public_url: a URL such as"),
        (SMALLEST + "callbacks: {public_url: 'http://a.b/c'}", "4:25: public_url 'http://a.b' is plain http beyond"),
        (SMALLEST + "pool: {}", "4:1: unknown key 'pool'; write one of inventory, pools"),
        (
            SMALLEST + "inventory: x",
            "4:1: the key 'inventory' stands here a second time, first at licensesync.yaml:1:1",
        ),
        (SMALLEST + "keep: *a", "4:7: the alias '*a' is not read; write the value itself"),
        (SMALLEST + "schedule: *a", "4:11: the alias '*a' is not read; write the value itself"),
        ("- 1", "1:1: the file is not a mapping; write its keys below it"),
        ("", "1:1: the file is empty"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said_at_its_place(tmp_path: Path, written: str, expected: str) -> None:
    problems = said(tmp_path, written)

    assert problems[0].startswith(expected)
    assert len(problems) == (2 if "get:" in written else 1)


def test_sim_secure_without_callbacks_is_a_problem(tmp_path: Path) -> None:
    written = "inventory: i\npools: {s: {product: sim-secure, account: 1, sku: SIMSec-IoT, mode: managed}}"

    hint = "add callbacks: {listen: 0.0.0.0:9001, public_url: https://…}"
    assert said(tmp_path, written) == [f"2:9: pool 's' is sim-secure, which needs callbacks; {hint}"]


def test_two_pools_of_the_same_licenses_are_a_problem_that_names_both(tmp_path: Path) -> None:
    sim = "{product: sim-secure, account: 12345-1, mode: managed, revocable: true, sku: "
    written = f"inventory: i\npools:\n  {FOTA}\n  b{FOTA}\n  s: {sim}x}}\n  t: {sim}y}}\n  u: {sim}X}}\n{CALLBACKS}"

    assert said(tmp_path, written) == [
        "4:3: pool 'bfota' is of the same licenses as pool 'fota' at licensesync.yaml:3:3; keep one of the two",
        "7:3: pool 'u' is of the same licenses as pool 's' at licensesync.yaml:5:3; keep one of the two",
    ]


@pytest.mark.parametrize(
    ("sku", "spelled", "irrevocable"),
    [
        ("SIMSec-IoT-Lt", "SIMSec-IoT-Lt", True),
        ("simsec-iot-lt", "SIMSec-IoT-Lt", True),
        ("SIMSEC-IOT-LT, revocable: false", "SIMSec-IoT-Lt", True),
        ("SIMSec-IoT", "SIMSec-IoT", False),
        ("SIMSec-IoT, revocable: true", "SIMSec-IoT", False),
        ("ts-bundle-kto-simsec-mrc", "TS-BUNDLE-KTO-SIMSEC-MRC", False),
        ("tss-iot-intlg-tiered-simsec", "TSS-IOT-INTLG-TIERED-SIMSEC", False),
        ("New-Sku, revocable: true", "New-Sku", False),
        ("New-Sku, revocable: false", "New-Sku", True),
    ],
)
def test_a_sku_says_whether_its_licenses_can_be_taken_back_or_the_settings_do(
    tmp_path: Path, sku: str, spelled: str, *, irrevocable: bool
) -> None:
    pool = f"{{product: sim-secure, account: 12345-1, mode: managed, sku: {sku}}}"
    read = loaded(tmp_path, f"inventory: i\npools: {{s: {pool}}}\n{CALLBACKS}").pools["s"]

    assert (read.sku, read.irrevocable) == (spelled, irrevocable)


TLS = "tls: {certificate: tls/chain.pem, key: /etc/key.pem}"


def callbacks_by(folder: Path, *written: str, url: str = "https://cb.example.com:9001/x") -> Callbacks:
    found = loaded(folder, f"{SMALLEST}callbacks: {{{', '.join((f'public_url: {url!r}', *written))}}}").callbacks
    assert found
    return found


def test_everything_about_callbacks_that_can_be_set_is_read(tmp_path: Path) -> None:
    sources, proxies = "sources: [192.0.2.7, 2001:db8::/32]", "trusted_proxies: [10.0.0.0/8, '::1']"
    read = callbacks_by(tmp_path, TLS, "take_over: true", sources, proxies)
    plain = callbacks_by(tmp_path)

    assert read.tls == Tls(tmp_path / "tls/chain.pem", Path("/etc/key.pem"))
    assert read.take_over
    assert read.sources == (IPv4Network("192.0.2.7/32"), IPv6Network("2001:db8::/32"))
    assert read.trusted_proxies == (IPv4Network("10.0.0.0/8"), IPv6Network("::1/128"))
    assert (plain.tls, plain.take_over, plain.sources, plain.trusted_proxies) == (None, False, None, ())


def test_the_documented_sources_are_the_default_where_nothing_is_before_the_listener(tmp_path: Path) -> None:
    documented = callbacks_by(tmp_path, TLS).sources

    assert documented is not None
    assert [str(network) for network in documented] == [
        "3.87.163.45/32",
        "3.91.119.203/32",
        "54.197.62.209/32",
        "35.165.205.14/32",
        "54.200.43.232/32",
        "34.216.81.234/32",
        "137.117.33.109/32",
        "168.62.173.153/32",
        "68.128.212.217/32",
    ]
    assert callbacks_by(tmp_path).sources is None
    assert callbacks_by(tmp_path, TLS, "sources: off").sources is None
    assert callbacks_by(tmp_path, TLS, "trusted_proxies: [10.0.0.1]").sources is None
    assert callbacks_by(tmp_path, TLS, url="https://localhost:9001/x").sources is None
    assert callbacks_by(tmp_path, "trusted_proxies: [10.0.0.1]", "sources: documented").sources == documented
    assert callbacks_by(tmp_path, "sources: documented", url="http://127.0.0.1:9001/x").sources == documented


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://cb.example.com", "/"),
        ("https://cb.example.com/", "/"),
        ("https://cb.example.com:9001/a/b/", "/a/b"),
        ("http://[::1]:80/a", "/a"),
    ],
)
def test_the_listener_answers_at_the_path_of_the_public_url(tmp_path: Path, url: str, path: str) -> None:
    assert callbacks_by(tmp_path, url=url).path == path


@pytest.mark.parametrize(
    ("written", "column", "expected"),
    [
        ("public_url: 'https://me:hunter2@a/x'", 25, "public_url holds a user name or a password; write the URL"),
        ("public_url: 'https://a/x?t=1'", 25, "public_url has a query or a fragment; write the URL without"),
        ("public_url: 'https://a/x#t'", 25, "public_url has a query or a fragment; write the URL without"),
        ("public_url: https://a, take_over: yes", 47, "take_over 'yes' is neither true nor false; write true or"),
        ("public_url: https://a, tls: cert.pem", 41, "tls is not a mapping; write its keys below it"),
        ("public_url: https://a, tls: {key: k}", 41, "tls has no certificate; add certificate: the path of a PEM"),
        ("public_url: https://a, tls: {certificate: k}", 41, "tls has no key; add key: the path of a PEM file"),
        ("public_url: https://a, tls: {certificate: k, key: }", 63, "key has no value; write the path of a PEM file"),
        (
            "public_url: https://a, tls: {certificate: k, key: k, kee: k}",
            66,
            "unknown key 'kee'; write one of certificate, key (did you mean key?)",
        ),
        (
            "public_url: https://a, sources: on",
            45,
            "sources 'on' is not known; write off, documented, or addresses and networks such as [192.0.2.7, 198.51.",
        ),
        ("public_url: https://a, sources: {a: 1}", 45, "sources is not a list; write off, documented, or addresses"),
        ("public_url: https://a, sources: []", 45, "sources is empty: nobody's callbacks would be taken; write off,"),
        (
            "public_url: https://a, sources: documented",
            45,
            "sources are not seen where public_url is https and the listener has no tls: a proxy is before it; add",
        ),
        (
            "public_url: https://a, sources: [300.0.0.1]",
            46,
            "sources: '300.0.0.1' is neither an IP address nor a network; write an address or a network such as",
        ),
        ("public_url: https://a, sources: [[]]", 46, "sources: cannot be a list; write an address or a network"),
        (
            "public_url: https://a, trusted_proxies: [10.0.0.1/8]",
            54,
            "trusted_proxies: '10.0.0.1/8' is an address inside a network; write 10.0.0.0/8, or 10.0.0.1 alone",
        ),
        (
            "public_url: https://a, trusted_proxies: ['::ffff:10.0.0.0/104']",
            54,
            "trusted_proxies: '::ffff:10.0.0.0/104' is IPv4 written as IPv6; write 10.0.0.0/8",
        ),
        (
            "public_url: https://a, trusted_proxies: ['fe80::1%eth0']",
            54,
            "trusted_proxies: 'fe80::1%eth0' names an interface; write the address alone",
        ),
        (
            "public_url: https://a, trusted_proxies: 10.0.0.1",
            53,
            "trusted_proxies is not a list; write addresses and networks such as [192.0.2.7, 198.51.100.0/24]",
        ),
        ("public_url: https://a, trustedproxies: []", 36, "unknown key 'trustedproxies'; write one of public_url,"),
    ],
)
def test_what_is_wrong_with_callbacks_is_said_at_its_place(
    tmp_path: Path, written: str, column: int, expected: str
) -> None:
    problems = said(tmp_path, f"{SMALLEST}callbacks: {{{written}}}")

    assert problems[0].startswith(f"4:{column}: {expected}")
    assert len(problems) == 1
    assert "hunter2" not in problems[0]


def test_all_that_is_wrong_with_callbacks_is_said_at_once(tmp_path: Path) -> None:
    written = "{public_url: 'https://a?b', take_over: 1, tls: {}, sources: [x, y], trusted_proxies: z}"
    places = [problem.split(" ")[0] for problem in said(tmp_path, f"{SMALLEST}callbacks: {written}")]

    assert places == ["4:25:", "4:51:", "4:59:", "4:59:", "4:73:", "4:76:", "4:97:"]


@pytest.mark.parametrize("url", ["https://me:hunter2@host/x", "https://hunter2@host/x", "ssh://me:hunter2@host/x"])
def test_secrets_in_urls_are_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    git = said(tmp_path, f"inventory: {{git: {{url: '{url}'}}}}\npools: {{{FOTA}}}")
    service = said(tmp_path, f"thingspace: {{url: '{url}'}}\n{SMALLEST}")
    ledger = said(tmp_path, f"ledger: 'postgresql://me:hunter2@host/x'\n{SMALLEST}")

    assert "hunter2" not in "".join([*git, *service, *ledger])


def test_all_problems_come_at_once_and_in_order(tmp_path: Path) -> None:
    problems = said(tmp_path, "pools: {p: {product: x}}\nlisten: 1\nschedule: {every: 1}\nthingspace: {url: x}\ny: *a")

    assert [problem.split(" ")[0] for problem in problems] == [
        "1:1:", "1:12:", "1:12:", "1:22:", "2:9:", "3:19:", "4:19:", "5:1:", "5:4:",
    ]  # fmt: skip


def test_sources_and_notifications_are_read_with_absolute_paths(tmp_path: Path) -> None:
    git = "{git: {url: /fleet.git, deploy_key: key, fetch_every: 5m, timeout: 9s, verify: {ssh: signers}}}"
    by_git = loaded(tmp_path, SMALLEST.replace("inventory/", git))
    by_path = loaded(tmp_path, SMALLEST.replace("inventory/", "{path: fleet, require_clean: true}"))
    told = loaded(tmp_path, SMALLEST + "notifications: {format: slack, repeat: 2h, unreadable_after: 1}")

    expected = timedelta(minutes=5), timedelta(seconds=9), Verify(ssh=tmp_path / "signers")
    assert by_git.inventory == GitSource("/fleet.git", "HEAD", ".", tmp_path / "key", *expected)
    assert by_path.inventory == LocalSource(tmp_path / "fleet", require_clean=True)
    assert told.notifications == Notifications(None, NoticeForm.SLACK, timedelta(hours=2), 1)
    assert by_path.notifications is None


def test_broken_settings_still_tell_where_the_inventory_is_and_what_pools_are_called(tmp_path: Path) -> None:
    path = tmp_path / "licensesync.yaml"
    path.write_text("inventory: fleet\npools: {a: {product: sim-secure}, b: 1}\nx: 1")

    draft = settings.draft(path)

    assert draft.settings is None
    assert draft.inventory == LocalSource(tmp_path / "fleet")
    assert draft.pools is not None
    assert {name: pool.product for name, pool in draft.pools.items()} == {"a": Product.SIM_SECURE, "b": Product.FOTA}


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_a_settings_file_that_cannot_be_read_is_a_problem(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "licensesync.yaml"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)

    with pytest.raises(SettingsError) as caught:
        settings.load(path)

    assert str(caught.value).startswith("licensesync.yaml:1:1: ")


def test_the_ledger_is_by_default_in_the_state_folder_else_beside_the_settings(tmp_path: Path) -> None:
    read = loaded(tmp_path, SMALLEST)
    written = loaded(tmp_path, SMALLEST + "ledger: sqlite:////a/b.db")

    assert read.ledger_path({}) == tmp_path / "licensesync.db"
    assert read.ledger_path({"STATE_DIRECTORY": "/var/lib/x:/other"}) == Path("/var/lib/x/ledger.db")
    assert written.ledger_path({"STATE_DIRECTORY": "/var/lib/x"}) == Path("/a/b.db")


def test_what_is_beside_a_ledger_that_can_be_none_has_a_name_too(tmp_path: Path) -> None:
    read = loaded(tmp_path, SMALLEST + f"ledger: sqlite:///{'../' * 40}\n")

    assert read.mirror_path({}) == Path("/-inventory.git")


def test_the_settings_file_is_looked_for_in_the_documented_order(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    usual = [tmp_path / "licensesync.yaml", tmp_path / "config/licensesync.yaml"]
    named = [tmp_path / "asked.yaml", tmp_path / "variable.yaml"]
    for path in [*usual, *named]:
        path.touch()
    environ = {"LICENSESYNC_SETTINGS": "variable.yaml"}

    assert settings.find("asked.yaml", environ, tmp_path) == named[0]
    assert settings.find(None, environ, tmp_path) == named[1]
    assert settings.find(None, {}, tmp_path) == usual[0]
    usual[0].unlink()
    assert settings.find(None, {}, tmp_path) == usual[1]


def test_a_settings_file_that_nobody_can_look_for_is_a_problem(tmp_path: Path) -> None:
    named = "x" * 5000
    path = settings.find(named, {}, tmp_path)
    with pytest.raises(SettingsError, match="the file cannot be read: File name too long"):
        settings.load(path)


def test_a_settings_file_that_is_asked_for_is_not_replaced_by_another(tmp_path: Path) -> None:
    (tmp_path / "licensesync.yaml").touch()

    with pytest.raises(SettingsError, match=r"^other.yaml:1:1: there is no such settings file; create it"):
        settings.find("other.yaml", {}, tmp_path)


KINDS = (ADDRESS, CRON, DATE, FLAG, URL, decimal(), span(), whole(0), settings.LEDGER, sources.GIT_URL, callers.NETWORK)


@given(st.sampled_from(KINDS), st.text(max_size=20))
def test_no_text_breaks_the_reading_of_settings(kind: Kind[object], text: str) -> None:
    problems = Problems()
    place = Place("f", 1, 1)

    otherwise = object()
    found = read(Text(text, quoted=False, place=place), kind, problems, "key", otherwise)

    assert (found is otherwise) == (len(problems) == 1)
    assert all(str(problem).isprintable() for problem in problems.in_order())


VARIABLES = {
    "THINGSPACE_KEY": "k-1",
    "THINGSPACE_SECRET": "s-2",
    "THINGSPACE_USERNAME": "u-3",
    "THINGSPACE_PASSWORD": "p-4",
}


def refused(environ: Mapping[str, str]) -> str:
    with pytest.raises(CredentialsError) as caught:
        settings.credentials(environ)
    return str(caught.value)


def test_credentials_come_from_variables() -> None:
    found = settings.credentials(VARIABLES)

    assert (found.key, found.secret, found.username, found.password) == ("k-1", "s-2", "u-3", "p-4")


def test_credentials_come_first_from_systemd_then_from_named_files_then_from_variables(tmp_path: Path) -> None:
    (tmp_path / "thingspace-key").write_bytes(b"from systemd\n")
    (tmp_path / "key").write_bytes(b"never read")
    (tmp_path / "secret").write_bytes("from fïle \r\n\n".encode())
    environ = {
        **VARIABLES,
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "THINGSPACE_KEY_FILE": str(tmp_path / "key"),
        "THINGSPACE_SECRET_FILE": str(tmp_path / "secret"),
    }

    found = settings.credentials(environ)

    assert (found.key, found.secret, found.username) == ("from systemd", "from fïle ", "u-3")


def test_credentials_are_never_shown() -> None:
    found = settings.credentials(VARIABLES)
    callbacks = settings.callback_credentials({"CALLBACK_USERNAME": "u-3", "CALLBACK_PASSWORD": "p-4"})

    assert (callbacks.username, callbacks.password) == ("u-3", "p-4")
    assert repr(found) == str(found) == "Credentials()"
    assert repr(callbacks) == "CallbackCredentials()"


def test_all_missing_credentials_are_named_with_where_to_put_them() -> None:
    assert refused({"THINGSPACE_KEY": "k", "THINGSPACE_SECRET": "s", "THINGSPACE_USERNAME": " "}) == (
        "THINGSPACE_USERNAME, THINGSPACE_PASSWORD are missing; put each into the variable of that name, into a file "
        "that THINGSPACE_USERNAME_FILE names (and so on), or into $CREDENTIALS_DIRECTORY as thingspace-username, "
        "thingspace-password"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"hunter2\nhunter3\n", "holds a newline or a control character"),
        (b"hunter2\x00", "holds a newline or a control character"),
        (b"hunter2\xff", "is not UTF-8"),
        (b"hunter2" * 10_000, "is too large for a credential"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_credential_file_that_cannot_be_used_is_named_and_its_content_is_not(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    message = refused({**VARIABLES, "THINGSPACE_KEY_FILE": str(path)})

    assert message.startswith(f"THINGSPACE_KEY: the file {path} {why}")
    assert "hunter" not in message


def test_a_variable_with_a_newline_is_refused_and_not_shown() -> None:
    message = refused({**VARIABLES, "THINGSPACE_PASSWORD": "hunter2\nhunter3"})

    assert message.startswith("the variable THINGSPACE_PASSWORD holds a newline")
    assert "hunter" not in message


def test_a_variable_that_is_no_text_is_refused_and_not_shown() -> None:
    message = refused({**VARIABLES, "THINGSPACE_PASSWORD": os.fsdecode(b"hunter2\xff")})

    assert message.startswith("the variable THINGSPACE_PASSWORD is not UTF-8")
    assert "hunter" not in message


def test_a_folder_that_nobody_can_look_into_is_told_as_such() -> None:
    message = refused({**VARIABLES, "CREDENTIALS_DIRECTORY": "/" + "x" * 5000})

    assert "cannot be read: File name too long" in message


def test_unusable_and_missing_credentials_are_reported_together(tmp_path: Path) -> None:
    message = refused({"THINGSPACE_KEY_FILE": str(tmp_path), "THINGSPACE_SECRET": "s", "THINGSPACE_USERNAME": "u"})

    assert message.splitlines()[0] == f"THINGSPACE_KEY: the file {tmp_path} cannot be read: Is a directory"
    assert message.splitlines()[1].startswith("THINGSPACE_PASSWORD is missing; put it into")
