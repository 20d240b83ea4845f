"""Where fuzzing begins: documents in good order, taken from the examples and the samples, and the words in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fuzz_desk import REQUEST
from fuzz_rules import ACCOUNT, SIM
from fuzz_targets import APART, CALLS, PLAN, TARGETS

from licensesync.model import iccid_of, imei_of
from licensesync.render import json

ROOT: Final = Path(__file__).parent.parent
CONFIG: Final = ROOT / "config"
SAMPLES: Final = ROOT / "tests/samples"
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{2,30}")

SETTINGS: Final = """\
thingspace:
  url: http://sim.example.com:8085/base/
  timeout: 2m
  concurrency: 16
  requests_per_second: 0.5
  insecure: true
  batch_size: 1000
  fota: {status: v3-query, licenses_path: /v2/licenses}
inventory:
  git: {url: "git@host:fleet.git", ref: main, path: inventory/, deploy_key: key, fetch_every: 1m, timeout: 1m,
    verify: {ssh: signers}}
ledger: sqlite:///state/ledger.db
schedule: {cron: "*/15 6-18 1,15 jan-mar mon", jitter: 0s}
listen: off
keep: 400d
logs: {devices: batches}
notifications: {webhook: "https://hooks.example.com/x", format: slack, repeat: 1d, unreadable_after: 3}
callbacks:
  listen: "[::1]:9001"
  public_url: https://cb.example.com/thingspace
  register: true
  take_over: false
  timeout: 1h
  tls: {certificate: fullchain.pem, key: privkey.pem}
  trusted_proxies: [10.0.0.0/8, "2001:db8::/32"]
  sources: [192.0.2.7, 198.51.100.0/24]
pools:
  a-b_c.1:
    product: fota
    account: 0012345678-00001
    mode: add-only
    removals: {count: 0, percent: 2.5, per_day: 7}
    reading: {tolerance: 3, reread: 36h}
  life: {product: sim-secure, account: 12345, sku: SIMSec-IoT-Lt, mode: add-only, others: 4}
  new: {product: sim-secure, account: "12345", sku: Another, revocable: true, mode: managed}
"""

INVENTORY: Final = """\
groups:
  - name: meters
    licenses: [fota, other]
    priority: -10
    from: 2026-01-01
    until: 2030-01-01
    devices_from: list.csv
  - name: pumps
    licenses: [fota, sim, life]
    consent: lifetime
    devices:
      - {imei: "990000473475988", iccid: "89148000001234567890", note: pump 7}
      - imei: 990000473475989
        iccid: '89148000001234567891'
        note: |
          pump 8
      - {imei: 990000473475987, iccid: 89148000001234567892, consent: lifetime}
protect:
  - {imei: "990007303425539", reason: under investigation, until: 2030-01-01}
approvals:
  - {refusal: "3f9ac1d25be07a44", reason: closing, until: 2026-12-01}
"""


def _runs(item: str, end: str = "\n") -> bytes:
    """A list that is long enough to be folded."""
    head = ["groups:", "  - name: long", "    licenses: [fota]", "    devices:"]
    items = [f"      - {item}".format(35_000_000_000_000_0 + number) for number in range(40)]
    return end.join([*head, *items, ""]).encode()


def _inventories() -> list[bytes]:
    chicago, protection, rotterdam = (
        (CONFIG / "inventory" / f"{name}.yaml").read_bytes() for name in ("chicago", "protection", "rotterdam")
    )
    listed = (CONFIG / "inventory/rotterdam.csv").read_bytes()
    named = INVENTORY.replace("until: 2030-01-01\n    devices_from", "devices_from").encode()
    return [
        chicago,
        protection,
        APART.join([rotterdam.replace(b"rotterdam.csv", b"list.csv"), listed, chicago]),
        APART.join([named, b"imei\n352099001761481\n"]),
        APART.join([named, b"352099001761481\r\n352099001761499\r\n"]),
        _runs('"{}"'),
        _runs("{}  # a comment", "\r\n"),
        _runs('{{imei: "{}", iccid: "89148000001234567890", note: pump}}'),
        _runs('imei: {}\n        note: "pump, 7"'),
    ]


def _lists() -> list[bytes]:
    plain = b"".join(b"%015d\n" % number for number in range(5))
    table = b"".join(b"%015d,89148000001234567890,\n" % number for number in range(5))
    return [(CONFIG / "inventory/rotterdam.csv").read_bytes(), plain, b"imei,iccid,note\r\n" + table, b"note,imei\n"]


def _plans() -> list[bytes]:
    plan = json.plan(PLAN)
    return [plan, plan.replace(b'"whole"', b'"partial"')]


def _sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def _answers() -> list[bytes]:
    bodies = [_sample(name) for name in ("fota-v1-status-200", "fota-v3-status-200", "fota-v3-assign-200")]
    bodies += [_sample(name) for name in ("fota-v3-remove-200", "sim-secure-assign-200", "subscription-200")]
    bodies += [
        b'{"accountName":"0642233522-00001","subscriptionList":[{"skuNumber":"SIMSec-IoT","licensePurchased":9}]}',
        b'[{"accountName":"0642233522-00001","serviceName":"CarrierService","url":"https://h/p","username":"u"}]',
        b'{"accountName":"0642233522-00001","deviceList":[{"deviceId":"1","licenseAssigned":true}]}',
    ]
    own = [body.replace(b"0000123456-00001", b"0642233522-00001") for body in bodies]
    return [bytes([number]) + body for body in own for number in range(len(CALLS))]


def _failures() -> list[bytes]:
    heads = [[b"400", b"", b"", b""], [b"429", b"30", b"Sun, 06 Nov 1994 08:49:37 GMT", b""]]
    heads += [[b"2", b"Sun, 06 Nov 2094 08:49:37 +0200", b"", b"https://login.example.com/?next=1"]]
    bodies = [_sample(name) for name in ("error-400", "gateway-401", "session-expired-400")]
    bodies += [
        b"<am:fault xmlns:am='http://wso2.org/apimanager'><am:code>404</am:code><am:message>none</am:message>",
        b'{"error":"invalid_request","error_description":"no"}',
        b'{"errorCode":"INPUT_INVALID.InsufficientLicense.Invalid","errorMessage":"not enough licenses"}',
    ]
    return [APART.join([*head, body]) for head in heads for body in bodies]


def _logins() -> list[bytes]:
    token = b'{"access_token":"bearer-1","token_type":"Bearer","expires_in":3600,"scope":"ts.account"}'
    return [APART.join([token, b'{"sessionToken":"c3f3d17c-79ff"}']), b"101" + _sample("gateway-401")]


def _callbacks() -> list[bytes]:
    return [_sample(f"sim-secure-callback-{end}") for end in ("success", "failed")]


def _desks() -> list[bytes]:
    """Both ends of both requests, in one order and the other, and of a request that is not known."""
    success, failed = (told.replace(b"TSS-IOT-INTLG-TIERED-SIMSEC", b"SIMSec-IoT") for told in _callbacks())
    named = [re.sub(rb'"[0-9]{20}"', f'"{iccid_of(SIM)}"'.encode(), told) for told in (success, failed)]
    named = [re.sub(rb'"[0-9]{15}"', f'"{imei_of(SIM)}"'.encode(), told) for told in named]
    ours = [told.replace(b"0000123456-00001", ACCOUNT.encode()) for told in named]
    known = [re.sub(rb'"requestId": *"[^"]*"', f'"requestId": "{REQUEST}"'.encode(), told) for told in ours]
    return [APART.join([*known, *ours]), APART.join(reversed(known)), APART.join([*known, *known])]


SEEDS: Final[Mapping[str, Sequence[bytes]]] = {
    "settings": [(CONFIG / "licensesync.yaml").read_bytes(), SETTINGS.encode()],
    "inventory": _inventories(),
    "list": _lists(),
    "credential": [b"secret-9b7d3e\n", b"key"],
    "plan": _plans(),
    "answer": _answers(),
    "failure": _failures(),
    "login": _logins(),
    "callback": _callbacks(),
    "desk": _desks(),
}
"""By target; a target without seeds is a mistake."""

SPICES: Final[Sequence[bytes]] = (
    APART,
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r\n",
    b"\r",
    b"\x85",
    "\u2028".encode(),
    "\u202e".encode(),
    b"\xed\xa0\x80",
    b'"\\0"',
    b'"\\e[2J"',
    b"\\ud800",
    b"&a ",
    b"*a",
    b"!!str ",
    b"<<: ",
    b"? ",
    b"%TAG ! x\n",
    b"%YAML 1.2\n---\n",
    b"---\n",
    b"...\n",
    b"[",
    b"{",
    b"]",
    b"}",
    b"|\n",
    b">-\n",
    b'"',
    b"'",
    b"#",
    b",",
    b": ",
    b"- ",
    b"~",
    b"null",
    b"true",
    b"1e400",
    b"-1",
    b"9" * 30,
    b"NaN",
    b"Infinity",
    b"0000-00-00",
    b"9999-12-31",
    b"%",
    b"/0",
    b"::ffff:1.2.3.4",
    b"%3A",
)
"""What has broken parsers before."""


def words(target: str) -> Sequence[bytes]:
    """What a mutation may put in: the words of the seeds, and what has broken parsers before."""
    text = b"\n".join(SEEDS[target]).decode("utf-8", "replace")
    return [*SPICES, *(word.encode() for word in sorted(set(_WORD.findall(text))))]


assert SEEDS.keys() == TARGETS.keys()
