"""What a callback says: the documented forms in all their spellings, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensesync.model import Iccid, Imei
from licensesync.thingspace import callback_wire
from licensesync.thingspace.callback_wire import Callback, NotACallback, Received, matches, read

SAMPLES = Path(__file__).parent / "samples"
REQUEST = "c3f3d17c-79ff-4b35-82df-94446785b6e0"
IMEI = Imei("990003425730535")
ICCID = Iccid("89148000000800139708")
WORDS = "REQUEST FAILED: Device already has license assigned."
CODE = "UnifiedWebService.REQUEST_FAILED.CarrierRequestUnsuccessful"


def ids(**kinds: str) -> list[Mapping[str, str]]:
    return [{"id": told, "kind": kind.rstrip("_")} for kind, told in kinds.items()]


def body(**fields: object) -> bytes:
    usual = {"requestId": REQUEST, "deviceIds": ids(Imei=IMEI, Iccid=ICCID), "status": "Success"}
    return json.dumps({**usual, **fields}).encode()


def told(**fields: object) -> Callback:
    return read(body(**fields)).callback


def why_not(written: bytes) -> str:
    with pytest.raises(NotACallback) as caught:
        read(written)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_the_documented_success_is_understood() -> None:
    assert read((SAMPLES / "sim-secure-callback-success.json").read_bytes()) == Received(
        Callback(
            REQUEST,
            IMEI,
            ICCID,
            succeeded=True,
            account="0000123456-00001",
            sku="TSS-IOT-INTLG-TIERED-SIMSEC",
            action="Assign",
            code="",
            words="",
            count=1,
        ),
        None,
        None,
    )


def test_the_documented_failure_is_understood() -> None:
    assert read((SAMPLES / "sim-secure-callback-failed.json").read_bytes()).callback == Callback(
        REQUEST,
        IMEI,
        ICCID,
        succeeded=False,
        account=None,
        sku=None,
        action=None,
        code=CODE,
        words=WORDS,
        count=1,
    )


@pytest.mark.parametrize(
    ("status", "succeeded"),
    [("Success", True), ("SUCCESS", True), ("success", True), ("Failed", False), ("failed", False), ("Failure", False)],
)
def test_the_letters_of_a_status_may_be_of_either_case(status: str, *, succeeded: bool) -> None:
    assert told(status=status).succeeded is succeeded


@pytest.mark.parametrize("kinds", [("imei", "iccId"), ("IMEI", "ICCID"), ("Imei", "Iccid")])
def test_the_letters_of_a_kind_may_be_of_either_case_and_other_kinds_are_passed_over(kinds: tuple[str, str]) -> None:
    imei, iccid = kinds
    others = ids(MDN="5551234567", eid="x", MEID="")
    callback = told(deviceIds=[*others, *ids(**{imei: IMEI, iccid: ICCID})])

    assert (callback.imei, callback.iccid) == (IMEI, ICCID)


def test_one_identifier_is_enough_and_may_be_said_twice() -> None:
    by_imei, by_iccid = told(deviceIds=ids(imei=IMEI, IMEI=IMEI)), told(deviceIds=ids(iccid="123456789012345678"))

    assert (by_imei.imei, by_imei.iccid) == (IMEI, None)
    assert (by_iccid.imei, by_iccid.iccid) == (None, "123456789012345678")


def test_what_may_be_missing_may_be_null_and_what_is_not_known_is_passed_over() -> None:
    bare = {"requestId": "r", "deviceIds": ids(imei=IMEI), "status": "Failed"}
    nothing = dict.fromkeys(("deviceResponse", "faultResponse", "comment", "callbackCount", "username", "password"))
    more = {"maxCallbackThreshold": "four", "new": {"deep": [1, {"er": None}]}}
    within = {"deviceResponse": {"deviceSkuSubscriptionResponse": None, "new": 1}, "faultResponse": {"faultcode": None}}
    expected = Callback("r", IMEI, None, False, None, None, None, "", "", 1)

    for fields in ({}, nothing, more, within):
        received = read(json.dumps({**bare, **fields}).encode())
        assert received == Received(expected, None, None)


def test_a_comment_speaks_where_no_fault_does_and_words_are_cut_short_on_one_line() -> None:
    assert told(status="Failed", comment="line 1\r\n\x1b[31mline 2\u202e").words == "line 1 [31mline 2"
    fault = {"faultcode": f"{CODE}\n", "faultstring": "x" * 5000}
    failed = told(status="Failed", comment="not this", faultResponse=fault)
    assert (failed.code, failed.words) == (CODE, "x" * 200 + "…")


def test_how_often_it_was_sent_is_told() -> None:
    assert told(callbackCount=3).count == 3


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"requestId": ""}, "what it calls its request can be none"),
        ({"requestId": " "}, "what it calls its request can be none"),
        ({"requestId": "secret\n"}, "what it calls its request can be none"),
        ({"requestId": "x" * 101}, "what it calls its request can be none"),
        ({"requestId": 7}, "the body is not JSON of the documented form"),
        ({"requestId": None}, "the body is not JSON of the documented form"),
        ({"deviceIds": []}, "it names no device by IMEI or ICCID"),
        ({"deviceIds": ids(MDN="5551234567")}, "it names no device by IMEI or ICCID"),
        ({"deviceIds": ids(imei=IMEI, IMEI="990003425730536")}, "it names two IMEIs"),
        ({"deviceIds": ids(iccid=ICCID, ICCID="89148000000800139709")}, "it names two ICCIDs"),
        ({"deviceIds": ids(imei=IMEI[:13])}, "it names an IMEI that can be none"),
        ({"deviceIds": ids(imei="99000342573053501")}, "it names an IMEI that can be none"),
        ({"deviceIds": ids(imei="٩٩٠٠٠٣٤٢٥٧٣٠٥٣٥")}, "it names an IMEI that can be none"),
        ({"deviceIds": ids(imei=f"{IMEI}\n")}, "it names an IMEI that can be none"),
        ({"deviceIds": ids(imei=IMEI, iccid="1" * 17)}, "it names an ICCID that can be none"),
        ({"deviceIds": ids(imei=IMEI, iccid="1" * 21)}, "it names an ICCID that can be none"),
        ({"deviceIds": ids(imei=IMEI) * 21}, "the body is not JSON of the documented form"),
        ({"deviceIds": [{"id": int(IMEI), "kind": "imei"}]}, "the body is not JSON of the documented form"),
        ({"deviceIds": [{"id": IMEI}]}, "the body is not JSON of the documented form"),
        ({"deviceIds": None}, "the body is not JSON of the documented form"),
        ({"status": "Pending"}, "its status is neither Success nor Failed"),
        ({"status": ""}, "its status is neither Success nor Failed"),
        ({"status": True}, "the body is not JSON of the documented form"),
        ({"faultResponse": {"faultcode": CODE}}, "it tells of a success and of a fault"),
        ({"faultResponse": {"faultstring": WORDS}}, "it tells of a success and of a fault"),
        ({"faultResponse": "x"}, "the body is not JSON of the documented form"),
        ({"callbackCount": -1}, "the body is not JSON of the documented form"),
        ({"callbackCount": 2**64}, "the body is not JSON of the documented form"),
        ({"comment": 1}, "the body is not JSON of the documented form"),
        *(
            (
                {"deviceResponse": {"deviceSkuSubscriptionResponse": {key: odd}}},
                f"what it calls its {what} can be none",
            )
            for key, what in (("accountName", "account"), ("skuNumber", "SKU"), ("action", "action"))
            for odd in ("secret\x00", "x" * 101)
        ),
        ({"username": 1}, "the body is not JSON of the documented form"),
    ],
)
def test_anything_else_is_no_callback_and_is_not_quoted(fields: Mapping[str, object], why: str) -> None:
    assert why_not(body(**fields)) == why


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"<xml/>",
        b"\xef\xbb\xbf" + body(),
        body()[:-1],
        body() + b"x",
        body().replace(b"Success", b"\xff"),
        body(x=1).replace(b'"x": 1', b'"x": 1' + b"0" * 5000 + b"."),
        b"[" * 100_000,
        b'{"x":' * 100_000,
        body(x=1).replace(b'"x": 1', b'"callbackCount": ' + b"9" * 60_000),
        body(requestId="\ud800"),
    ],
)
def test_what_is_no_json_of_an_object_is_no_callback(written: bytes) -> None:
    assert why_not(written) == "the body is not JSON of the documented form"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
KINDS = st.sampled_from(["imei", "IMEI", "iccid", "iccId", "mdn"])
NAMED = st.sampled_from([IMEI, ICCID, "5551234567"]) | st.text(max_size=3)
LIKELY = st.fixed_dictionaries(
    {
        "requestId": st.text(max_size=4) | JSON,
        "deviceIds": st.lists(st.fixed_dictionaries({"id": NAMED, "kind": KINDS}), max_size=3) | JSON,
        "status": st.sampled_from(["Success", "FAILED", "failure", "x"]) | JSON,
    },
    optional={
        "deviceResponse": JSON
        | st.fixed_dictionaries({"deviceSkuSubscriptionResponse": st.dictionaries(st.just("action"), st.text())}),
        "faultResponse": JSON | st.fixed_dictionaries({"faultcode": st.text(), "faultstring": st.text() | st.none()}),
        "comment": st.text() | JSON,
        "callbackCount": st.integers() | JSON,
        "username": st.text() | JSON,
        "password": st.text() | JSON,
    },
)


@given(st.binary() | LIKELY.map(lambda said: json.dumps(said).encode()))
def test_whatever_comes_is_a_callback_or_none(written: bytes) -> None:
    try:
        callback = read(written).callback
    except NotACallback:
        return
    assert callback.imei or callback.iccid
    assert 0 < len(callback.request) <= callback_wire.LONGEST
    assert all(text.isprintable() and len(text) <= 201 for text in (callback.code, callback.words))
    assert callback.count >= 0


@given(LIKELY, st.integers(0, 400), st.binary(max_size=3))
def test_a_callback_with_some_bytes_replaced_is_a_callback_or_none(said: object, at: int, by: bytes) -> None:
    written = json.dumps(said).encode()
    with suppress(NotACallback):
        read(written[:at] + by + written[at + 1 :])


@pytest.mark.parametrize(
    "make",
    [
        lambda size: body(comment="x y\n" * size, status="Failed"),
        lambda size: body(status="ß" * size),
        lambda size: body(deviceIds=ids(imei="1" * size)),
        lambda size: body(requestId=" " * size),
        lambda size: body(deviceIds=ids(imei=IMEI) * size),
        lambda size: body(new=[[{}]] * size),
        lambda size: body(username="x" * size),
    ],
)
def test_what_is_long_takes_no_longer_than_its_length_asks_for(make: Callable[[int], bytes]) -> None:
    """Far more than a listener takes: what takes a second a megabyte is slow, and what takes a minute is quadratic."""
    written = make(400_000)
    began = time.process_time()
    with suppress(NotACallback):
        read(written)
    assert time.process_time() - began < 3


def received(username: str | None, password: str | None) -> Received:
    return read(body(username=username, password=password))


def test_only_the_right_name_with_the_right_password_matches() -> None:
    assert matches(received("jürgen", "pä55\u00a0"), "jürgen", "pä55\u00a0")
    for username, password in (("x", "right"), ("name", "x"), ("name", "right "), ("", ""), ("right", "name")):
        assert not matches(received(username, password), "name", "right")
    for absent in (received(None, None), received("name", None), received(None, "right")):
        assert not matches(absent, "name", "right")


def test_who_sends_no_name_and_no_password_never_matches() -> None:
    assert not matches(received(None, None), "", "")
    assert not matches(read(body()), "", "")


@given(st.text(), st.text(), st.text(), st.text())
def test_a_name_and_a_password_match_themselves_alone(one: str, two: str, name: str, password: str) -> None:
    mine = Received(read(body()).callback, name, password)

    assert matches(mine, name, password)
    assert matches(mine, one, two) == ((one, two) == (name, password))


def test_the_name_and_the_password_are_never_shown() -> None:
    shown = repr(received("hunter1", "hunter2"))

    assert "hunter" not in shown
    assert REQUEST in shown
