"""SIM-Secure on the wire: the documented requests and answers, and what the service's words mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensesync.errors import ApiError, IncompleteObservation, RequestRejected, ServerBroken, UnexpectedReply
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    Mode,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Pool,
    Product,
    Remembered,
    Verb,
)
from licensesync.thingspace import callback_wire, sim_secure_calls, sim_secure_verdicts, wire
from licensesync.thingspace.sim_secure import capacity_of, disagreement
from licensesync.thingspace.sim_secure_calls import SkuCounts

SAMPLES = Path(__file__).parent / "samples"
ACCOUNT, SKU = "0000123456-00001", "TSS-IOT-INTLG-TIERED-SIMSEC"
DEVICE = DeviceId("990003425730535/89148000000800139708")
POOL = Pool("sim", Product.SIM_SECURE, ACCOUNT, Mode.MANAGED, sku=SKU)
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
PREFIXES = ["", "UnifiedWebService."]
CARRIER = "REQUEST_FAILED.CarrierRequestUnsuccessful"


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def promised(verb: Verb = Verb.ASSIGN) -> Outcome:
    return Outcome(Action(verb, DEVICE), OutcomeKind.PENDING, NOW, retry_at=NOW + timedelta(minutes=30), request="r")


def error(code: str, words: str, status: int = 400) -> ApiError:
    body = json.dumps({"errorCode": code, "errorMessage": words}).encode()
    return wire.error_for("SIM-Secure assign", status, {}, body, NOW)


def test_an_assignment_is_sent_as_it_is_documented_and_an_unassignment_deletes_with_the_same_body() -> None:
    assign = sim_secure_calls.assign(ACCOUNT, "SIMSec-IoT-Lt", [DEVICE])
    unassign = sim_secure_calls.unassign(ACCOUNT, "SIMSec-IoT-Lt", [DEVICE])
    assert json.loads(assign.body or b"") == json.loads(sample("sim-secure-assign-request"))
    assert (assign.method, unassign.method) == ("POST", "DELETE")
    assert (assign.path, assign.body) == (unassign.path, unassign.body)
    assert assign.path == "/api/m2m/v1/devices/license/actions/assign"
    assert assign.read(sample("sim-secure-assign-200")).request_id == "c3f3d17c-79ff-4b35-82df-94446785b6e0"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"requestId": ""}', b'{"requestId": 7}', b'{"requestId": "a b"}', b"<html>"]
)
def test_an_acceptance_without_an_id_of_the_request_is_no_answer(body: bytes) -> None:
    with pytest.raises(UnexpectedReply):
        sim_secure_calls.assign(ACCOUNT, SKU, [DEVICE]).read(body)


@pytest.mark.parametrize("account", [ACCOUNT, "000012345600001", None])
def test_counts_are_those_of_the_sku_whatever_its_letter_case(account: str | None) -> None:
    told = {
        "accountName": account,
        "subscriptionList": [
            {"skuNumber": SKU.lower(), "licensePurchased": 9, "licenseAssigned": 7, "licenseAvailable": 1}
        ],
    }
    counts = sim_secure_calls.subscriptions(ACCOUNT).read(json.dumps(told).encode()).of(SKU)
    assert counts is not None
    capacity = capacity_of(counts)
    assert capacity == Capacity(9, 7, 1)
    assert (capacity.free, capacity.free_beside(1), capacity.free_beside(3)) == (1, 1, 0)


@pytest.mark.parametrize(
    "body", [{"accountName": "0642233522-00001"}, {"subscriptionList": [{"skuNumber": "x", "licenseAssigned": -1}]}]
)
def test_counts_of_another_account_or_below_nothing_are_no_answer(body: object) -> None:
    with pytest.raises(UnexpectedReply):
        sim_secure_calls.subscriptions(ACCOUNT).read(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("counts", "lacking"),
    [(SkuCounts("x", license_assigned=1), "are"), (SkuCounts("x", license_purchased=1), "are assigned")],
)
def test_counts_that_lack_one_that_is_needed_say_which(counts: SkuCounts, lacking: str) -> None:
    with pytest.raises(IncompleteObservation, match=f"how many licenses of SKU x {lacking}$"):
        capacity_of(counts)


# --- callbacks


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("sim-secure-callback-success", None, None),
        (
            "sim-secure-callback-failed",
            OutcomeReason.ALREADY,
            f"UnifiedWebService.{CARRIER} REQUEST FAILED: Device already has license assigned.",
        ),
    ],
)
def test_the_documented_callbacks_say_that_the_device_holds_a_license(
    name: str, reason: OutcomeReason | None, words: str | None
) -> None:
    callback = callback_wire.read(sample(name)).callback
    outcome = sim_secure_verdicts.of_callback(callback, promised(), NOW)
    assert sim_secure_verdicts.is_about(callback, POOL, promised())
    assert (outcome.kind, outcome.reason, outcome.service, outcome.retry_at) == (OutcomeKind.DONE, reason, words, None)
    assert outcome.request == "r"


def _changed(**changes: Any) -> callback_wire.Callback:
    told = json.loads(sample("sim-secure-callback-success"))
    told["deviceResponse"]["deviceSkuSubscriptionResponse"].update(changes)
    return callback_wire.read(json.dumps(told).encode()).callback


@pytest.mark.parametrize(
    ("changes", "verb", "is_about"),
    [
        ({}, Verb.ASSIGN, True),
        ({"accountName": "000012345600001"}, Verb.ASSIGN, True),
        ({"skuNumber": SKU.lower()}, Verb.ASSIGN, True),
        ({"action": "assign"}, Verb.ASSIGN, True),
        ({"action": "Unassign"}, Verb.REMOVE, True),
        ({"action": "Remove"}, Verb.REMOVE, True),
        ({"action": None}, Verb.REMOVE, True),
        ({"accountName": "0642233522-00001"}, Verb.ASSIGN, False),
        ({"skuNumber": "SIMSec-IoT"}, Verb.ASSIGN, False),
        ({"action": "Unassign"}, Verb.ASSIGN, False),
        ({"action": "Assign"}, Verb.REMOVE, False),
    ],
)
def test_a_callback_is_about_a_promise_if_nothing_that_it_names_is_another(
    changes: dict[str, Any], verb: Verb, *, is_about: bool
) -> None:
    assert sim_secure_verdicts.is_about(_changed(**changes), POOL, promised(verb)) is is_about


# --- the service's words

DONE, UNKNOWN, REJECTED, FAILED = OutcomeKind.DONE, OutcomeKind.UNKNOWN, OutcomeKind.REJECTED, OutcomeKind.FAILED
WORDS = {
    "REQUEST FAILED: Device already has license assigned.": (Verb.ASSIGN, DONE, "already"),
    "Device already licensed": (Verb.ASSIGN, DONE, "already"),
    "REQUEST FAILED: At least one device is in Assigned, Pending Assignment or Pending UnAssignment state.": (
        Verb.ASSIGN,
        UNKNOWN,
        "in-progress",
    ),
    "REQUEST FAILED: At least one device is in Assigned, Pending Assignment or Pending UnAssignment state. ": (
        Verb.REMOVE,
        UNKNOWN,
        "in-progress",
    ),
    "REQUEST FAILED: No device found for the given IMEI and ICCID.": (Verb.ASSIGN, REJECTED, "device-not-found"),
    "REQUEST FAILED: No device found for the given IMEI and ICCID. ": (Verb.REMOVE, REJECTED, "device-not-found"),
    "REQUEST FAILED: Device does not have license assigned.": (Verb.REMOVE, DONE, "already"),
    "No license attached to device": (Verb.REMOVE, DONE, "already"),
    "License not assigned to device": (Verb.REMOVE, DONE, "already"),
    "Insufficient licenses": (Verb.ASSIGN, FAILED, "no-capacity"),
    "The carrier is not amused": (Verb.ASSIGN, REJECTED, "rejected-by-service"),
    "": (Verb.ASSIGN, REJECTED, "rejected-by-service"),
}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_one_code_has_meanings_that_only_its_words_tell_apart(words: str, prefix: str) -> None:
    verb, kind, reason = WORDS[words]
    by_callback = sim_secure_verdicts.of_words(Action(verb, DEVICE), f"{prefix}{CARRIER} {words}", NOW)
    assert (by_callback.kind, by_callback.reason) == (kind, reason)
    if reason != "no-capacity":
        answered = sim_secure_verdicts.of_error(Action(verb, DEVICE), error(f"{prefix}{CARRIER}", words), NOW)
        assert (answered.kind, answered.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("code", "words", "for_one"),
    [
        (CARRIER, "REQUEST FAILED: At least one device is in Assigned state.", True),
        ("INPUT_INVALID.InsufficientLicense.Invalid", "There are insufficient licenses.", False),
        ("UnifiedWebService.INPUT_INVALID.Unassign.NotSupported", "Unassign is not supported for this SKU.", False),
        ("Carrier.Service.INPUT_INVALID.SKUNumber.NotDefined", "SKU number is missing.", False),
        ("UnifiedWebService.INPUT_INVALID.NumberofDevices", "Too many devices.", True),
        ("UnifiedWebService.REQUEST_FAILED.AccountNotFound", "Could not find account.", False),
        ("UnifiedWebService.INPUT_INVALID.Device.Identifier.Invalid", "An identifier is not valid.", True),
    ],
)
def test_a_batch_is_halved_only_where_one_of_its_devices_may_be_the_reason(
    code: str, words: str, *, for_one: bool
) -> None:
    told = error(code, words)
    assert isinstance(told, RequestRejected)
    assert sim_secure_verdicts.may_be_for_one_device(told) is for_one
    outcome = sim_secure_verdicts.of_error(Action(Verb.ASSIGN, DEVICE), told, NOW)
    if not for_one:
        assert outcome.kind is FAILED
        assert outcome.reason in {OutcomeReason.NO_CAPACITY, OutcomeReason.ACCOUNT_REJECTED}


def test_a_service_that_breaks_leaves_the_request_unknown() -> None:
    told = error("500", "Internal Server Error", 500)
    assert isinstance(told, ServerBroken)
    outcome = sim_secure_verdicts.of_error(Action(Verb.ASSIGN, DEVICE), told, NOW)
    assert (outcome.kind, outcome.reason) == (UNKNOWN, OutcomeReason.NO_ANSWER)


@given(st.text(max_size=300), st.sampled_from(Verb))
def test_any_words_have_a_meaning(words: str, verb: Verb) -> None:
    assert sim_secure_verdicts.of_words(Action(verb, DEVICE), words, NOW).kind in {DONE, UNKNOWN, REJECTED, FAILED}


# --- the proof


numbers = st.integers(0, 6)


@given(
    holders=numbers,
    removals=numbers,
    assignments=numbers,
    others=numbers,
    assigned=st.integers(0, 25),
    tolerance=st.integers(0, 2),
)
def test_a_reading_agrees_exactly_if_some_of_the_open_requests_explain_the_count(
    holders: int, removals: int, assignments: int, others: int, assigned: int, tolerance: int
) -> None:
    removals = min(removals, holders)
    devices = [DeviceId(str(number)) for number in range(holders + assignments)]
    open_since = dict.fromkeys([*devices[:removals], *devices[holders:]], NOW)
    known = Remembered(frozenset(devices[:holders]), open_since, others)
    pool = Pool("sim", Product.SIM_SECURE, ACCOUNT, Mode.MANAGED, tolerance=tolerance, sku=SKU, others=others)
    possible = {
        holders - done + more + others + off
        for done in range(removals + 1)
        for more in range(assignments + 1)
        for off in range(-tolerance, tolerance + 1)
    }
    assert (disagreement(pool, Capacity(100, assigned), known) == "") is (assigned in possible)


@pytest.mark.parametrize(
    ("assigned", "others", "left", "told"),
    [
        (
            7,
            0,
            0,
            (
                "5 more than are known (holders in the ledger: 2, open requests: 0, others: 0); "
                "if others have these, write others: 5; else give"
            ),
        ),
        (1, 0, 0, "1 fewer than are known (holders in the ledger: 2, open requests: 0, others: 0); give"),
        (
            5,
            3,
            2,
            (
                "1 more than are known (holders in the ledger: 2, open requests: 0, others: 2, "
                "as 1 of 3 turned out to be ours); give"
            ),
        ),
    ],
)
def test_what_does_not_agree_says_by_how_many_and_the_ways_out(
    assigned: int, others: int, left: int, told: str
) -> None:
    pool = Pool("sim", Product.SIM_SECURE, ACCOUNT, Mode.MANAGED, sku=SKU, others=others)
    known = Remembered(frozenset([DeviceId("1"), DeviceId("2")]), others=left)
    assert told in disagreement(pool, Capacity(9, assigned), known)
