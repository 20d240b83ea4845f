"""Documents that are as hard to read as they are long: what has made parsers slow or large before, of any length."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from fuzz_rules import ACCOUNT, DEVICE, LIST
from fuzz_targets import APART

Shape = Callable[[int], bytes]
"""Makes a document out of so many parts."""

HEAD: Final = b"groups:\n- name: g\n  licenses: [fota]\n  devices:\n"
SMALLEST: Final = b"inventory: i\npools: {p: {product: fota, account: 1, mode: full}}\n"
ICCID: Final = "89148000001234567890"


def imei(number: int) -> str:
    return f"{350_000_000_000_000 + number}"


def lines(form: str, count: int, head: bytes = b"") -> bytes:
    """So many lines of a form in which N is the number of the line, and IMEI an IMEI of its own."""
    return (
        head
        + "".join(
            f"{form.replace('IMEI', imei(number)).replace('N', str(number))}\n" for number in range(count)
        ).encode()
    )


def listed(form: str, head: bytes = HEAD) -> Shape:
    return lambda count: lines(form, count, head)


def before(form: str, end: bytes, head: bytes = HEAD) -> Shape:
    """So many good lines, and then the end."""
    return lambda count: lines(form, count, head) + end


def blocks(good: int, odd: str, form: str = '  - "IMEI"') -> Shape:
    """Runs of so many good lines, each with an odd one behind it."""

    def make(count: int) -> bytes:
        numbered = lines(form, count).decode().splitlines(keepends=True)
        return (
            HEAD
            + "".join(line + f"{odd}\n" * (place % good == good - 1) for place, line in enumerate(numbered)).encode()
        )

    return make


GROUP: Final = "- {name: g, licenses: [fota], devices: [IMEI]}"
INVENTORIES: Final[Mapping[str, Shape]] = {
    "devices": listed('  - "IMEI"'),
    "devices out of order, each odd": lambda count: (
        HEAD + b"".join(f"  - {imei(number * 7919 % count)} # ä\n".encode() for number in range(count))
    ),
    "records": listed("  - {imei: IMEI, note: pump N}"),
    "records in blocks": listed(f'  - imei: "IMEI"\n    iccid: "{ICCID}"\n    note: "pump N"'),
    "odd records": listed("  - {note: [N, {a: b}], imei: IMEI}"),
    "a list on one line": lambda count: (
        b"groups: [{name: g, licenses: [fota], devices: [" + ", ".join(map(imei, range(count))).encode() + b"]}]\n"
    ),
    "no devices": listed("  - N"),
    "no records": listed("  - {imei: N}"),
    "lists for devices": listed("  - [IMEI]"),
    "nothing for devices": listed("  -"),
    "the same device": listed("  - 350000000000001"),
    "anchors": listed("  - &aN IMEI"),
    "aliases": listed("  - *aN"),
    "tags": listed("  - !tN IMEI"),
    "merge keys": listed("  - {<<: a, imei: IMEI}"),
    "runs between odd lines": blocks(17, "  - {imei: 99}"),
    "runs between comments": blocks(20, "# ä"),
    "runs that are too short": blocks(15, "  - 99"),
    "runs of records that are too short": blocks(15, "  - 99", "  - {imei: IMEI, note: pump}"),
    "runs beside a list of another kind": lambda count: (
        lines('  - "IMEI"', count, HEAD) + b"  - [" + b"1," * (3 * count) + b"]\n"
    ),
    "runs beside small devices": lambda count: (
        lines('  - "IMEI"', count, HEAD) + b"- {name: h, licenses: [fota], devices: [" + b"1," * (3 * count) + b"]}\n"
    ),
    "runs beside a large mapping": lambda count: (
        lines('  - "IMEI"', count, HEAD) + b"- {name: h, licenses: [fota], devices: [" + b"{a: b},c," * count + b"]}\n"
    ),
    "long comments": listed("  - IMEI #" + 80 * "x"),
    "long comments behind records": listed("  - {imei: IMEI, note: p} #" + 80 * "x"),
    "blank lines": lambda count: b"\n" * 10 * count + HEAD + b"  - 350000000000000\n",
    "line ends of old": lambda count: lines("  - IMEI", count, HEAD).replace(b"\n", b"\r"),
    "line ends of another kind": lambda count: lines("  - IMEI # ä", count, HEAD).replace(b"\n", "\u2028".encode()),
    "blanks": lambda count: HEAD + b" " * 20 * count + b"- 350000000000000\n",
    "a long number": lambda count: HEAD + b"  - " + b"9" * 20 * count + b"\n",
    "a long quotation": lambda count: HEAD + b'  - "' + b"\\x41" * 5 * count + b'"\n',
    "a long note": lambda count: HEAD + b"  - {imei: 350000000000000, note: " + b"ab " * 9 * count + b"}\n",
    "a long text in many lines": lambda count: HEAD + b"  - {imei: 350000000000000, note: 'a" + b"\n a" * count + b"'}",
    "a long name": lambda count: b"groups: [{name: " + b"x" * 20 * count + b", licenses: [fota], devices: [1]}]",
    "a long priority": lambda count: b"groups: [{priority: " + b"9" * 20 * count + b"}]",
    "a long key": lambda count: b"'" + b"k" * 20 * count + b"': 1\n",
    "unknown keys": listed("keyN: 1", b""),
    "unknown keys of a group": listed("  keyN: 1", b"groups:\n- name: g\n"),
    "unknown keys of devices": listed("  - {imei: IMEI, imai: N}"),
    "the same key": listed("groups: []", b""),
    "groups": listed(GROUP, b"groups:\n"),
    "groups in blocks": listed("- name: g\n  licenses: [fota, sim, life, other]\n  devices:\n  - IMEI", b"groups:\n"),
    "groups of all pools": listed(GROUP.replace("fota", "fota, other"), b"groups:\n"),
    "groups out of order": listed(GROUP.replace("name: g,", "name: g, priority: N,"), b"groups:\n"),
    "groups without devices": listed("- {name: g, licenses: [fota]}", b"groups:\n"),
    "groups with lists": listed(f"- {{name: g, licenses: [fota], devices_from: N{LIST}}}", b"groups:\n"),
    "groups with one list": lambda count: (
        lines(f"- {{name: g, licenses: [fota], devices_from: {LIST}}}", count, b"groups:\n")
        + APART
        + lines("IMEI", count)
    ),
    "groups of no pool with one list": lambda count: (
        lines(f"- {{name: g, licenses: [], devices_from: {LIST}}}", count, b"groups:\n") + APART + lines("IMEI", count)
    ),
    "unknown pools": lambda count: (
        b"groups: [{name: g, licenses: ["
        + b", ".join(b"f%d" % number for number in range(count))
        + b"], devices: [350000000000000]}]"
    ),
    "one pool again and again": lambda count: (
        b"groups: [{name: g, licenses: [" + b"fota," * count + b"], devices: []}]"
    ),
    "devices without ICCID": listed("  - IMEI", HEAD.replace(b"fota", b"fota, sim, life")),
    "protection": listed("- {imei: IMEI, reason: r}", b"groups: []\nprotect:\n"),
    "protection again and again": listed(f"- {{imei: {DEVICE}, reason: r}}", b"groups: []\nprotect:\n"),
    "approvals": listed("- {refusal: 12345678, reason: r, until: 2030-01-01}", b"groups: []\napprovals:\n"),
    "an open quotation at the end": before('  - "IMEI"', b'  - "350'),
    "no YAML at the end": before('  - "IMEI"', b"\t- x: y: z\n"),
    "a control character at the end": before('  - "IMEI"', b"\0"),
    "no UTF-8 at the end": before('  - "IMEI"', b"\xff"),
    "no YAML after runs": before('  - "IMEI"', "  - ä\n  ] \n".encode()),
    "brackets": lambda count: b"[" * 9 * count,
    "braces": lambda count: b"{" * 9 * count,
    "braces with keys": lambda count: b"{a: " * 9 * count,
    "lists in lists in blocks": lambda count: b"- " * 9 * count,
    "keys in keys": lambda count: b"? " * 9 * count,
    "quoted keys in line": lambda count: b'"a":' * 9 * count,
    "small lists": lambda count: b"groups: [" + b"[]," * 9 * count + b"]",
    "small lists, deep": lambda count: b"a: " + b"[" * 17 + b"[[]]," * 9 * count + b"]" * 17,
    "documents": lambda count: b"groups: []\n" + b"---\n" * 9 * count,
    "directives": lambda count: b"%YAML 1.1\n" * 9 * count + b"---\ngroups: []\n",
    "tag directives": lambda count: lines("%TAG !aN! x", count) + b"---\ngroups: []\n",
    "comments": lambda count: b"# a comment\n" * 9 * count + b"groups: []\n",
    "a note that is a list": lambda count: HEAD + b"  - {imei: 350000000000000, note: [" + b"a," * 9 * count + b"]}\n",
}

LISTS: Final[Mapping[str, Shape]] = {
    "devices": listed("IMEI", b""),
    "devices, the last is odd": lambda count: lines("IMEI", count) + b"# odd\n",
    "a table": listed(f"IMEI,{ICCID},pump N", b"imei,iccid,note\n"),
    "a table in quotes": listed(f'"IMEI","{ICCID}","pump, N"', b"imei,iccid,note\n"),
    "columns": lambda count: b"imei" + b",c" * 9 * count + b"\n",
    "columns again and again": lambda count: b"imei" + b",imei" * 4 * count + b"\n",
    "columns in quotes": lambda count: b"imei" + b',"c"' * 4 * count + b"\n",
    "fields": lambda count: b"imei\n" + b"," * 20 * count + b"\n",
    "fields in quotes": lambda count: b"imei\n" + b'"",' * 5 * count + b"\n",
    "quotes": lambda count: b'"' * 20 * count,
    "an open quotation": lambda count: b'imei\n"' + b"x" * 20 * count,
    "lines with open quotations": listed('"IMEI', b"imei,note\n"),
    "no devices": listed("N", b""),
    "short lines": lambda count: b"ab\n" * 5 * count,
    "blank lines": lambda count: b"\n" * 20 * count,
    "line ends of old": lambda count: b"\r" * 20 * count,
    "comments": lambda count: b"# a comment\n" * count,
    "no UTF-8 at the end": lambda count: b"ab\n" * 5 * count + b"\xff",
    "one long line": lambda count: b"9" * 20 * count,
    "one sign beyond all others": lambda count: lines("IMEI", count) + "# \U0001f600\n".encode(),
    "the same device": listed("350000000000001", b""),
}

SETTINGS: Final[Mapping[str, Shape]] = {
    "pools": listed("  pN: {product: fota, account: N, mode: full}", b"inventory: i\npools:\n"),
    "pools of the same licenses": listed("  pN: {product: fota, account: 1, mode: full}", b"inventory: i\npools:\n"),
    "pools with odd names": listed("  'p\\N': {product: fota, account: N, mode: full}", b"inventory: i\npools:\n"),
    "pools that need callbacks": listed(
        "  pN: {product: sim-secure, sku: SN, revocable: true, account: N, mode: managed}", b"inventory: i\npools:\n"
    ),
    "unknown keys": listed("keyN: 1", SMALLEST),
    "the same key": listed("keep: 1d", SMALLEST),
    "many minutes": lambda count: SMALLEST + b'schedule: {cron: "' + b"1," * 5 * count + b'1 * * * *"}\n',
    "many fields of cron": lambda count: SMALLEST + b'schedule: {cron: "' + b"* " * 5 * count + b'"}\n',
    "a long number": lambda count: SMALLEST + b"thingspace: {requests_per_second: " + b"9" * 20 * count + b"}\n",
    "a long duration": lambda count: SMALLEST + b"keep: " + b"9" * 20 * count + b"d\n",
    "a long address": lambda count: SMALLEST + b"listen: '" + b"1:" * 9 * count + b"99999'\n",
    "a long URL": lambda count: SMALLEST + b"thingspace: {url: https://" + b"a.-" * 9 * count + b"/x}\n",
    "a long path in a URL": lambda count: SMALLEST + b"thingspace: {url: https://a" + b"/.." * 9 * count + b"}\n",
    "a long path": lambda count: SMALLEST + b"ledger: sqlite:///a" + b"/.." * 9 * count + b"\n",
    "a long path of the API": lambda count: (
        SMALLEST + b"thingspace: {fota: {licenses_path: " + b"/a" * 9 * count + b"!}}\n"
    ),
    "a long address of a repository": lambda count: (
        SMALLEST[12:] + b"inventory: {git: {url: 'x://" + b":1" * 9 * count + b"@'}}\n"
    ),
    "a long name of a commit": lambda count: (
        SMALLEST[12:] + b"inventory: {git: {url: u, ref: " + b"a/" * 9 * count + b"}}"
    ),
    "many proxies": lambda count: (
        SMALLEST
        + b"callbacks: {public_url: https://a, trusted_proxies: ["
        + ",".join(f"10.{number % 256}.{number // 256 % 256}.0/24" for number in range(count)).encode()
        + b"]}\n"
    ),
    "a long network": lambda count: (
        SMALLEST + b"callbacks: {public_url: https://a, sources: ['::/" + b"1" * 20 * count + b"']}\n"
    ),
}


def _rows(form: Mapping[str, object], count: int) -> bytes:
    """An answer with so many rows; N in a text of one is its number."""
    row = json.dumps(form)
    rows = ",".join(row.replace("IMEI", imei(number)) for number in range(count))
    return f'{{"accountName": "{ACCOUNT}", "hasMoreData": false, "deviceList": [{rows}]}}'.encode()


PAGE, SEEN, ASSIGN, SKUS, REGISTRATIONS = b"\0", b"\4", b"\5", b"\7", b"\x09"
ANSWERS: Final[Mapping[str, Shape]] = {
    "a page": lambda count: PAGE + _rows({"deviceId": "IMEI", "assignmentTime": "2017-11-29T16:03:42.000Z"}, count),
    "a page with long times": lambda count: (
        PAGE + _rows({"deviceId": "IMEI", "assignmentTime": "2017-11-29T16:03:42." + "0" * 20 * count}, 1)
    ),
    "a page with a long number": lambda count: (
        PAGE + b'{"accountName":"a","hasMoreData":false,"lastSeenDeviceId":' + b"9" * 20 * count + b"}"
    ),
    "a page with a long cursor": lambda count: (
        PAGE + json.dumps({"accountName": ACCOUNT, "hasMoreData": False, "lastSeenDeviceId": "é" * 9 * count}).encode()
    ),
    "devices that were seen": lambda count: SEEN + _rows({"deviceId": "IMEI", "licenseAssigned": "TRUE"}, count),
    "verdicts": lambda count: ASSIGN + _rows({"deviceId": "IMEI", "status": "Failure", "Reason": "IMEI"}, count),
    "verdicts about one device": lambda count: (
        ASSIGN + _rows({"deviceId": DEVICE, "status": "Success", "Reason": "IMEI"}, count)
    ),
    "a verdict of many words": lambda count: (
        ASSIGN + _rows({"deviceId": DEVICE, "status": "Failure", "Reason": "no more licenses exceeded " * count}, 1)
    ),
    "SKUs": lambda count: (
        SKUS + json.dumps({"subscriptionList": [{"skuNumber": f"S{number}"} for number in range(count)]}).encode()
    ),
    "registrations": lambda count: (
        REGISTRATIONS + json.dumps([{"serviceName": "x", "url": "https://a/"}] * count).encode()
    ),
    "a registration at a long URL": lambda count: (
        REGISTRATIONS + json.dumps([{"serviceName": "x", "url": f"https://{'a@[' * 9 * count}"}]).encode()
    ),
    "brackets": lambda count: PAGE + b"[" * 20 * count,
    "escapes": lambda count: PAGE + b'"' + b"\\u0041" * 5 * count + b'"',
}

FAILURES: Final[Mapping[str, Shape]] = {
    "brackets": lambda count: APART * 4 + b"[" * 20 * count,
    "codes": lambda count: APART * 4 + b"<code>" * 5 * count,
    "blanks in a code": lambda count: APART * 4 + b"<code>" + b" " * 20 * count,
    "a message": lambda count: APART * 4 + b"<code>1</code><message>" + b"x" * 20 * count,
    "sessions": lambda count: APART * 4 + b'{"errorMessage": "' + b"session " * 5 * count + b'"}',
    "licenses": lambda count: APART * 4 + b'{"errorMessage": "' + b"no more license " * 2 * count + b'"}',
    "a number": lambda count: APART * 4 + b'{"errorCode": ' + b"9" * 20 * count + b"}",
    "a long wait": lambda count: b"429" + APART + b"9" * 20 * count + APART * 3,
    "a long date": lambda count: b"429" + APART + b"Sun, " * 5 * count + APART * 3,
    "a long time": lambda count: b"429" + APART + b"1:" * 9 * count + APART * 3,
    "a long zone": lambda count: b"429" + APART + b"Sun, 06 Nov 1994 08:49:37 +" + b"9" * 9 * count + APART * 3,
    "a long way": lambda count: b"2" + APART * 3 + b"//" + b"a.@" * 9 * count + APART,
}


def _callback(**fields: object) -> bytes:
    ids = [{"id": DEVICE, "kind": "imei"}]
    return json.dumps({"requestId": "r", "deviceIds": ids, "status": "Failed", **fields}).encode()


CALLBACKS: Final[Mapping[str, Shape]] = {
    "devices": lambda count: _callback(deviceIds=[{"id": imei(number), "kind": "imei"} for number in range(count)]),
    "kinds": lambda count: _callback(deviceIds=[{"id": DEVICE, "kind": "ẞ" * 9 * count}]),
    "a long id": lambda count: _callback(deviceIds=[{"id": "9" * 20 * count, "kind": "imei"}]),
    "a long request": lambda count: _callback(requestId="x" * 20 * count),
    "a long status": lambda count: _callback(status="İ" * 9 * count),
    "a long comment": lambda count: _callback(comment="not a device " * count),
    "a long fault": lambda count: _callback(faultResponse={"faultstring": "already has " * count}),
    "a long fault without licenses": lambda count: _callback(faultResponse={"faultstring": "no license " * count}),
    "a long password": lambda count: _callback(username="u", password="p" * 20 * count),
    "fields": lambda count: _callback(**{f"field{number}": number for number in range(count)}),
    "brackets": lambda count: _callback()[:-1] + b',"x":' + b"[" * 20 * count,
}


def _plan(pools: int = 1, devices: int = 1) -> bytes:
    rows = [{"verb": "assign", "device": imei(number)} for number in range(devices)]
    names = ["fota", *(f"pool-{number}" for number in range(1, pools))]
    said = {"account": ACCOUNT, "reading": "whole", "actions": rows, "held": []}
    named = [{"pool": name, **said} for name in names]
    return json.dumps({"version": 1, "kind": "plan", "hash": "x", "pools": named}).encode()


PLANS: Final[Mapping[str, Shape]] = {
    "devices": lambda count: _plan(devices=count),
    "pools": lambda count: _plan(pools=count),
    "brackets": lambda count: b'{"more": ' + b"[" * 20 * count,
}

CREDENTIALS: Final[Mapping[str, Shape]] = {
    "a long one": lambda count: b"x" * 20 * count,
    "blanks": lambda count: b" " * 20 * count,
    "line ends": lambda count: b"\r\n" * 9 * count,
    "no text": lambda count: b"\xff" * 20 * count,
}

LOGINS: Final[Mapping[str, Shape]] = {
    "a long token": lambda count: b'{"access_token":"' + b"x" * 20 * count + b'"}',
    "a long life": lambda count: b'{"access_token":"x","expires_in":"' + b"9" * 20 * count + b'"}',
    "a life of blanks": lambda count: b'{"access_token":"x","expires_in":"' + b" " * 20 * count + b'x"}',
}

SHAPES: Final[Mapping[str, Mapping[str, Shape]]] = {
    "settings": SETTINGS,
    "inventory": INVENTORIES,
    "list": LISTS,
    "credential": CREDENTIALS,
    "plan": PLANS,
    "answer": ANSWERS,
    "failure": FAILURES,
    "login": LOGINS,
    "callback": CALLBACKS,
}
