"""Whatever stands in a file, an answer or a callback, it is understood or refused as is documented: no input breaks it.

The same functions are led by the lines that they reach in `fuzz.py`; here are what it has found, and documents that are
nearly in order.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import pytest
from fuzz_seeds import ROOT, SEEDS, words
from fuzz_targets import APART, TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

Mutation = Callable[[bytes], bytes]

JSON_TARGETS: Final = ("plan", "answer", "login", "callback", "failure")
YAML_TARGETS: Final = ("settings", "inventory")


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzing_begins_with_is_read(target: str) -> None:
    assert SEEDS[target]
    for seed in SEEDS[target]:
        TARGETS[target](seed)


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "desk"])
@given(st.data())
def test_a_document_that_was_mangled_is_read_or_refused(target: str, data: st.DataObject) -> None:
    written = data.draw(st.sampled_from(SEEDS[target]))
    for mangle in data.draw(st.lists(mutations(target), min_size=1, max_size=6)):
        written = mangle(written)
    TARGETS[target](written)


@settings(deadline=None)  # a disk takes its time
@given(st.lists(st.sampled_from(sorted({told for seed in SEEDS["desk"] for told in seed.split(APART)})), max_size=5))
def test_callbacks_in_any_order_are_kept(told: list[bytes]) -> None:
    TARGETS["desk"](APART.join(told))


@cache
def mutations(target: str) -> st.SearchStrategy[Mutation]:
    """Ways to change a document a little, with what has broken parsers before."""
    places = st.tuples(st.integers(0, 4_000), st.sampled_from([0, 0, 1, 2, 5, 20, 100]))
    put = st.sampled_from(words(target)) | st.binary(max_size=3)
    return st.one_of(
        st.builds(_replaced, places, put, st.just(1)),
        st.builds(_replaced, places, put, st.sampled_from([2, 16, 17, 40])),
        st.builds(_repeated, places, st.sampled_from([2, 3, 20])),
        st.builds(_moved, places, st.integers(0, 4_000)),
        st.sampled_from(sorted(SEEDS[target])).map(lambda other: lambda written: written + other),
        st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b"'", b'"', b"0"]).flatmap(
            lambda old: st.sampled_from([b"\r", b"\t", b"\x85", b"\xe2\x80\xa8", b"", b"9" * 99]).map(
                lambda new: lambda written: written.replace(old, new)
            )
        ),
        st.sampled_from(["utf-16", "utf-8-sig", "utf-32", "latin-1"]).map(_encoded),
    )


def _replaced(place: tuple[int, int], put: bytes, times: int) -> Mutation:
    def mangle(written: bytes) -> bytes:
        start = place[0] % (len(written) + 1)
        return written[:start] + times * put + written[start + place[1] :]

    return mangle


def _repeated(place: tuple[int, int], times: int) -> Mutation:
    def mangle(written: bytes) -> bytes:
        start = place[0] % (len(written) + 1)
        end = start + place[1]
        return written[:start] + times * written[start:end] + written[end:]

    return mangle


def _moved(place: tuple[int, int], to: int) -> Mutation:
    def mangle(written: bytes) -> bytes:
        start = place[0] % (len(written) + 1)
        moved, rest = written[start : start + place[1]], written[:start] + written[start + place[1] :]
        at = to % (len(rest) + 1)
        return rest[:at] + moved + rest[at:]

    return mangle


def _encoded(encoding: str) -> Mutation:
    return lambda written: written.decode("utf-8", "replace").encode(encoding, "replace")


# --- documents of the right form with wrong things in them

NUMBERS: Final = ["0", "-1", "1e400", "9" * 30, "9" * 5_000, "-0", "1.5", "NaN", "2e308", f"{2**53 + 1}", f"{2**64}"]
ODD_TEXTS: Final = [r'"\ud800"', r'"\u0000"', r'"\u001b[2J"', r'"\u202e"', '"' + "x" * 300 + '"', '"\x7f"', '""']
ODD: Final = st.sampled_from(["null", "true", "[]", "{}", "[[]]", "[" * 2_000, *NUMBERS, *ODD_TEXTS])


@pytest.mark.parametrize("target", JSON_TARGETS)
@given(st.data())
def test_an_odd_value_for_any_field_is_read_or_refused(target: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS[target]))
    start = next((place for place in range(len(seed)) if seed[place : place + 1] in {b"{", b"["}), len(seed))
    head, body = seed[:start], seed[start:].split(APART)[0]
    if not _is_json(body):
        body = b'{"errorCode": "x"}'
    told = json.loads(body)
    places = list(_places(told))
    for _ in range(data.draw(st.integers(1, 3))):
        _put(told, data.draw(st.sampled_from(places)), f"ODD{data.draw(ODD)}DDO")
    text = json.dumps(told)
    for odd in [*NUMBERS, *ODD_TEXTS, "null", "true", "[]", "{}", "[[]]", "[" * 2_000]:
        text = text.replace(json.dumps(f"ODD{odd}DDO"), odd)
    TARGETS[target](head + text.encode() + seed[start + len(body) :])


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _places(told: Any, path: tuple[Any, ...] = ()) -> Sequence[tuple[Any, ...]]:
    """The ways that lead to the values in a document."""
    items = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ()
    deeper = [each for key, value in items for each in _places(value, (*path, key))]
    return [path, *deeper] if path else deeper or [("new",)]


def _put(told: Any, path: tuple[Any, ...], value: str) -> None:
    for key in path[:-1]:
        if not isinstance(told, dict | list):
            return  # something odd stands there already
        told = told[key]
    if isinstance(told, dict | list):
        told[path[-1]] = value


SCALARS: Final = st.one_of(
    st.sampled_from(
        ["fota", "sim", "1", "-1", "990003425730535", "89148000001234567890", "lifetime", "2026-12-01", "list.csv", "~"]
    ),
    st.sampled_from(
        ["'a'", '"\\0"', '"\\e[2J"', '"\\u202e"', "&a 1", "*a", "!!str 1", "!t 1", "'<<'", "<<", '""', "''"]
    ),
    st.sampled_from(
        ["1" * 400, "1:2:3", "0x1f", "1_000", "yes", "off", "10s", "https://a/", "a:1", "[::1]:1", "\u00e4"]
    ),
    st.text(st.characters(codec="utf-8"), max_size=4).map(lambda text: json.dumps(text, ensure_ascii=False)),
)


def documents(target: str) -> st.SearchStrategy[str]:
    """YAML on one line, with the keys that a parser looks for, and what they never have."""
    known = [word.decode() for word in words(target) if word.isalpha()]
    keys = st.sampled_from(known) | SCALARS
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
            st.lists(st.tuples(keys, inner), max_size=5).map(
                lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
            ),
            inner.map(lambda item: f"{'[' * 21}{item}{']' * 21}"),
        ),
        max_leaves=12,
    )


@pytest.mark.parametrize("target", YAML_TARGETS)
@given(st.data())
def test_a_document_of_the_known_keys_is_read_or_refused(target: str, data: st.DataObject) -> None:
    inner = documents(target)
    known = {"settings": ["pools", "thingspace", "schedule", "callbacks", "inventory", "notifications"]}
    tops = known.get(target, ["groups", "protect", "approvals"])
    chosen = data.draw(st.lists(st.tuples(st.sampled_from(tops), inner), min_size=1, max_size=4))
    listed = data.draw(st.sampled_from([b"", APART + b"imei\n990003425730535\n", APART + b"1\x0e,\xff"]))
    written = "".join(f"{key}: {value}\n" for key, value in chosen).encode()
    TARGETS[target](written + (listed if target == "inventory" else b""))


DEVICES: Final = [
    "990003425730535",
    '{imei: "990003425730535", iccid: "89148000001234567890"}',
    '{imei: 990003425730535, note: "a, b", consent: lifetime}',
    "imei: 990003425730535",
    "99",
    "[1]",
    "",
]


@given(
    st.lists(
        st.tuples(st.sampled_from(DEVICES), st.integers(1, 40), st.sampled_from(["\n", "\r\n", " # ä\n"])), max_size=4
    ),
    st.sampled_from(["[fota]", "[sim]", "[life, other]", "[]", "[fot]", "~"]),
    st.sampled_from(
        ["", "}", "  - [", "- name: h\n  licenses: [fota]\n  devices: [99", "\t", "---\n", "\0", "protect: ~"]
    ),
)
def test_runs_of_devices_with_anything_behind_them_are_read_or_refused(
    parts: list[tuple[str, int, str]], licenses: str, end: str
) -> None:
    devices = [(device, line_end) for device, times, line_end in parts for _ in range(times)]
    text = "".join(
        f"  - {device.replace('30535', f'{number:05}')}{line_end}" for number, (device, line_end) in enumerate(devices)
    )
    TARGETS["inventory"](f"groups:\n- name: g\n  licenses: {licenses}\n  devices:\n{text}{end}".encode())


# --- what has been found


@pytest.mark.parametrize(
    ("target", "written"),
    [
        ("credential", b"hunter2\xff"),
        ("plan", SEEDS["plan"][0].replace(b"0642233522", b"064\xe2\x80\xa82233522")),
        ("plan", SEEDS["plan"][0].replace(b'"assign"', b'"\\u001b[2J"')),
        ("inventory", b"groups:\n- devices: [990003425730535, {"),
        ("inventory", b"groups:\n- {name: a, licenses: [sim], devices: [1234567890123456]}\n" * 2),
        ("settings", b"inventory: i\npools: {p: {product: fota, account: 1, mode: full}}\nledger: sqlite:////..\n"),
        ("list", b"\rn}o\xff\xfeOaN"),
    ],
)
def test_what_was_found_once_is_not_found_again(target: str, written: bytes) -> None:
    TARGETS[target](written)


@pytest.mark.parametrize("arguments", [("--again",), ("--help",)])
def test_what_was_found_can_be_given_to_its_target_once_more(arguments: tuple[str], tmp_path: Any) -> None:
    found = tmp_path / "fuzz-callback-crash"
    found.write_bytes(SEEDS["callback"][0])
    more = (str(found), "callback") if arguments == ("--again",) else ()
    command = [sys.executable, str(ROOT / "tests/fuzz.py"), *arguments, *more]
    ended = subprocess.run(command, check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
