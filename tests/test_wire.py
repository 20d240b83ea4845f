"""What ThingSpace's bytes mean: answers in every documented form, errors by class, and words about devices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensesync.errors import (
    ApiError,
    LoginRejected,
    NoSuchResource,
    RateLimited,
    RequestRejected,
    ServerBroken,
    StaleBearer,
    StaleSession,
    Unauthorized,
    UnexpectedReply,
    Unreachable,
)
from licensesync.model import Action, DeviceId, Outcome, OutcomeKind, OutcomeReason, Verb
from licensesync.thingspace import batch_errors, fota_calls, fota_verdicts
from licensesync.thingspace.fota_calls import StatusForm, StatusPage, VerdictRow
from licensesync.thingspace.wire import Call, Read, Write, clock_skew, error_for, excerpt, moment, retry_after

SAMPLES = Path(__file__).parent / "samples"
ACCOUNT = "0642233522-00001"
DEVICE = DeviceId("990003425730535")
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
UWS = "UnifiedWebService"
SENTINEL = "01-01-1900 0:0:0 +0000 UTC"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def page(told: bytes, account: str = ACCOUNT) -> StatusPage:
    return fota_calls.status_page(account, "0", StatusForm.V3_PATH).read(told)


def page_of(**fields: object) -> StatusPage:
    return page(body(**{"accountName": ACCOUNT, "hasMoreData": False, **fields}))


def error(status: int, told: bytes = b"", headers: dict[str, str] | None = None) -> ApiError:
    return error_for("FOTA assign", status, headers or {}, told, NOW)


def uws(code: str, words: str = "") -> bytes:
    return body(errorCode=code, errorMessage=words)


def fault(code: object, words: str = "Invalid Credentials") -> bytes:
    return body(fault={"code": code, "message": words, "description": "Access failure for API: /m2m/v1"})


def xml(code: str, words: str = "Not Found") -> bytes:
    return (
        f'<am:fault xmlns:am="http://wso2.org/apimanager"><am:code>{code}</am:code><am:type>Status report</am:type>'
        f"<am:message>{words}</am:message></am:fault>"
    ).encode()


HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body>Bad Gateway</body></html>"
NOT_JSON = [b"", b"   ", HTML, xml("404"), b"\xff\xfe\x00", b'{"accountName": "0642', b"nonsense", b"[" * 100_000]


# --- requests


@pytest.mark.parametrize(
    ("form", "path", "query"),
    [
        (StatusForm.V3_PATH, f"/api/fota/v3/licenses/{ACCOUNT}/index/{DEVICE}", {}),
        (StatusForm.V3_QUERY, f"/api/fota/v3/licenses/{ACCOUNT}", {"lastSeenDeviceId": DEVICE}),
        (StatusForm.V1, f"/api/fota/v1/licenses/{ACCOUNT}/index/{DEVICE}", {}),
    ],
)
def test_the_status_call_has_three_forms(form: StatusForm, path: str, query: dict[str, str]) -> None:
    call = fota_calls.status_page(ACCOUNT, DEVICE, form)
    assert (call.method, call.path, call.query, call.body) == ("GET", path, query, None)
    assert isinstance(call, Read)


def test_writes_name_their_devices_as_the_service_wants_them() -> None:
    devices = [DEVICE, "012345678901237"]
    for call, verb in (
        (fota_calls.assign(ACCOUNT, devices, "/licenses"), "assign"),
        (fota_calls.remove(ACCOUNT, devices, "/licenses"), "remove"),
    ):
        assert (call.method, call.path) == ("POST", f"/api/fota/v3/licenses/{ACCOUNT}/{verb}")
        assert call.content_type == "application/json"
        assert json.loads(call.body or b"") == {"deviceList": devices}
        assert isinstance(call, Write)


def test_the_other_address_of_writes_can_be_set() -> None:
    call = fota_calls.assign(ACCOUNT, [DEVICE], "/firmware/licenses")
    assert call.path == f"/api/fota/v3/firmware/licenses/{ACCOUNT}/assign"


def test_a_look_up_changes_nothing_although_it_is_a_post() -> None:
    call = fota_calls.look_up(ACCOUNT, [DEVICE])
    assert isinstance(call, Read)
    assert (call.method, call.path) == ("POST", f"/api/fota/v3/devices/{ACCOUNT}")
    assert json.loads(call.body or b"") == {"deviceList": [DEVICE]}


def test_the_subscription_is_asked_for_by_account() -> None:
    call = fota_calls.subscription(ACCOUNT)
    assert (call.method, call.path) == ("GET", f"/api/fota/v3/subscriptions/{ACCOUNT}")


@pytest.mark.parametrize("odd", ["../../v3/licenses/x/remove?", "a/b#c", "990 003", "%2e%2e", "990\r\nX: y"])
def test_nothing_that_others_wrote_leads_a_request_to_another_address(odd: str) -> None:
    for call in (fota_calls.status_page(odd, odd, StatusForm.V3_PATH), fota_calls.subscription(odd)):
        tail = call.path.removeprefix("/api/fota/v3/")
        assert tail.count("/") == (3 if "licenses" in tail[:9] else 1)
        assert not set(call.path) & set("?# \r\n")


def test_what_a_call_carries_of_secrets_is_not_in_its_picture() -> None:
    call: Call[bytes] = Read("OAuth token", "POST", "/token", bytes, headers={"Authorization": "Basic a2V5"})
    assert "a2V5" not in repr(call)


# --- pages of the status call


def test_the_documented_page_of_version_3_is_read() -> None:
    told = page(sample("fota-v3-status-200.json"), "0000123456-00001")
    assert (told.total, told.assigned_licenses, told.more, told.cursor) == (5000, 4319, True, "1000")
    assert told.identifiers == ["990003425730535", "990000473475989"]


def test_the_documented_page_of_version_1_is_read() -> None:
    told = page(sample("fota-v1-status-200.json"))
    assert (told.total, told.assigned_licenses, told.more, told.cursor) == (9000, 4319, True, "1000")
    assert told.identifiers == ["990003425730535", "990000473475989", "990000347475989", "990007303425535"]


@pytest.mark.parametrize(
    ("fields", "total"),
    [
        ({"totalLicense": 9}, 9),
        ({"totalLicenses": 9}, 9),
        ({"totalLicense": 9, "totalLicenses": 7}, 7),
        ({"totalLicense": 0}, 0),
        ({"totalLicense": None}, None),
        ({}, None),
    ],
)
def test_the_total_is_read_in_either_spelling_and_the_smaller_where_they_differ(
    fields: dict[str, object], total: int | None
) -> None:
    assert page_of(**fields).total == total


@pytest.mark.parametrize(
    ("written", "more"),
    [(True, True), (False, False), ("true", True), ("false", False), ("True", True), (" FALSE ", False)],
)
def test_has_more_data_is_read_as_a_word_too(*, written: object, more: bool) -> None:
    assert page_of(hasMoreData=written).more is more


@pytest.mark.parametrize("written", ["maybe", "", "1", "yes"])
def test_another_word_for_has_more_data_is_no_answer(written: str) -> None:
    with pytest.raises(UnexpectedReply, match="hasMoreData"):
        page_of(hasMoreData=written)


@pytest.mark.parametrize(
    ("written", "cursor"),
    [(1000, "1000"), ("1000", "1000"), (0, "0"), ("0", "0"), (None, "0"), ("", "0"), (DEVICE, DEVICE)],
)
def test_the_cursor_is_a_number_or_a_text_or_absent(written: object, cursor: str) -> None:
    assert page_of(lastSeenDeviceId=written).cursor == cursor
    assert page_of().cursor == "0"


@pytest.mark.parametrize("fields", [{}, {"deviceList": None}, {"deviceList": []}])
def test_a_page_without_devices_has_none(fields: dict[str, object]) -> None:
    assert page_of(**fields).identifiers == []


@pytest.mark.parametrize("time", [SENTINEL, "2017-11-29 20:15:42.738 +0000 UTC", "2017-11-29T16:03:42.000Z", None, ""])
def test_whatever_the_time_of_its_assignment_a_device_holds_its_license(time: str | None) -> None:
    rows = [{"deviceId": DEVICE, "assignmentTime": time}]
    assert page_of(deviceList=rows).identifiers == [DEVICE]


def test_fields_that_nobody_knows_are_passed_over() -> None:
    assert page_of(maxPageSize=10, news={"a": [1]}, deviceList=[{"deviceId": DEVICE, "x": 1}]).identifiers == [DEVICE]


@pytest.mark.parametrize(
    "fields",
    [
        {"deviceList": [{"deviceId": 990003425730535}]},
        {"deviceList": [{"deviceId": None}]},
        {"deviceList": [{"deviceId": ""}]},
        {"deviceList": [{"deviceId": "990003425730535\n"}]},
        {"deviceList": [{"deviceId": "99 0003"}]},
        {"deviceList": [{"deviceId": "9" * 65}]},
        {"deviceList": [{}]},
        {"deviceList": [DEVICE]},
        {"deviceList": {"deviceId": DEVICE}},
        {"deviceList": "none"},
        {"assignedLicenses": "998"},
        {"assignedLicenses": -1},
        {"totalLicense": 1.5},
        {"totalLicenses": True},
        {"hasMoreData": None},
        {"hasMoreData": 1},
        {"lastSeenDeviceId": [1000]},
        {"accountName": None},
        {"accountName": "0642233522-00002"},
        {"accountName": "642233522-00001"},
        {"accountName": "0642233522-00001\n"},
        {"accountName": ""},
    ],
)
def test_a_page_of_another_form_or_another_account_is_no_answer(fields: dict[str, object]) -> None:
    with pytest.raises(UnexpectedReply, match="FOTA license status"):
        page_of(**fields)


@pytest.mark.parametrize("missing", ["accountName", "hasMoreData"])
def test_a_page_without_what_it_must_have_is_no_answer(missing: str) -> None:
    told = {"accountName": ACCOUNT, "hasMoreData": False, "totalLicense": 1, "assignedLicenses": 0, "deviceList": []}
    with pytest.raises(UnexpectedReply):
        page(body(**{name: value for name, value in told.items() if name != missing}))


READERS: dict[str, Read[Any] | Write[Any]] = {
    "status": fota_calls.status_page(ACCOUNT, "0", StatusForm.V3_PATH),
    "subscription": fota_calls.subscription(ACCOUNT),
    "look-up": fota_calls.look_up(ACCOUNT, [DEVICE]),
    "assign": fota_calls.assign(ACCOUNT, [DEVICE], "/licenses"),
    "remove": fota_calls.remove(ACCOUNT, [DEVICE], "/licenses"),
}


@pytest.mark.parametrize("told", [*NOT_JSON, b"[]", b'"text"', b"null", b"0"])
@pytest.mark.parametrize("call", READERS.values(), ids=READERS)
def test_a_success_around_anything_but_the_documented_json_is_no_answer(call: Call[Any], told: bytes) -> None:
    with pytest.raises(UnexpectedReply) as raised:
        call.read(told)
    assert str(raised.value).startswith(call.what)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("call", READERS.values(), ids=READERS)
def test_an_answer_about_another_account_is_no_answer(call: Call[Any]) -> None:
    with pytest.raises(UnexpectedReply, match=r"is about account '9999999999-00001'"):
        call.read(body(accountName="9999999999-00001", hasMoreData=False))


@pytest.mark.parametrize("end", range(1, 330, 7))
def test_a_page_that_is_cut_off_is_no_answer(end: int) -> None:
    whole = json.dumps(json.loads(sample("fota-v3-status-200.json"))).encode()
    with pytest.raises(UnexpectedReply):
        page(whole[:end], "0000123456-00001")


def test_the_remove_sample_as_its_page_prints_it_is_no_answer_and_no_crash() -> None:
    printed = sample("fota-v3-remove-200.json").replace(b'"Success",', b'"Success"', 2)
    with pytest.raises(UnexpectedReply, match="FOTA remove"):
        fota_calls.remove(ACCOUNT, [DEVICE], "/licenses").read(printed)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_crash_a_reader(told: bytes) -> None:
    for call in READERS.values():
        with suppress(UnexpectedReply):
            call.read(told)


# --- the subscription, the look-up


def test_the_documented_subscription_is_read() -> None:
    told = fota_calls.subscription("0000123456-00001").read(sample("subscription-200.json"))
    assert (told.license_count, told.license_used_count, told.by_event_only) == (9000, 1000, False)


@pytest.mark.parametrize(
    ("bought", "by_event_only"),
    [
        ("TS-HFOTA-EVNT", True),
        (" ts-hfota-evnt ,", True),
        ("TS-HFOTA-MRC", False),
        ("TS-HFOTA-EVNT,TS-HFOTA-MRC", False),
        ("TSS-IOT-INTLG-CUSTOM-SWMT,TS-HFOTA-EVNT", False),
        ("TSS-IOT-INTLG-CUSTOM-SWMT", False),
        ("", False),
        (None, False),
    ],
)
def test_an_account_is_by_event_only_if_it_bought_nothing_else(bought: str | None, *, by_event_only: bool) -> None:
    told = fota_calls.subscription(ACCOUNT).read(body(accountName=ACCOUNT, purchaseType=bought))
    assert told.by_event_only is by_event_only


def test_a_subscription_without_fields_says_nothing() -> None:
    told = fota_calls.subscription(ACCOUNT).read(b"{}")
    assert (told.license_count, told.license_used_count, told.by_event_only) == (None, None, False)


@pytest.mark.parametrize(
    ("written", "holds"),
    [(True, True), (False, False), ("true", True), ("False", False), ("", None), ("yes", None), (None, None)],
)
def test_the_look_up_says_whether_a_device_holds_a_license_or_nothing(*, written: object, holds: bool | None) -> None:
    rows = [{"deviceId": DEVICE, "licenseAssigned": written}]
    told = fota_calls.look_up(ACCOUNT, [DEVICE]).read(body(accountName=ACCOUNT, deviceList=rows))
    assert [row.holds_license for row in told.device_list or []] == [holds]


@pytest.mark.parametrize("word", ["Failure", "failure", "Failed"])
def test_a_row_of_the_look_up_that_failed_says_nothing_of_the_license(word: str) -> None:
    rows = [{"deviceId": DEVICE, "licenseAssigned": False, "requestStatus": word, "resultReason": "Device Not Found."}]
    told = fota_calls.look_up(ACCOUNT, [DEVICE]).read(body(accountName=ACCOUNT, deviceList=rows))
    assert [row.holds_license for row in told.device_list or []] == [None]


# --- what is said of one device in a write


def outcome_of(verb: Verb, *rows: Mapping[str, object]) -> Outcome:
    read = [msgspec.convert({"deviceId": DEVICE, **row}, VerdictRow) for row in rows]
    (outcome,) = fota_verdicts.of_answer([Action(verb, DEVICE)], read, NOW, str)
    return outcome


DONE, REJECTED, UNKNOWN = OutcomeKind.DONE, OutcomeKind.REJECTED, OutcomeKind.UNKNOWN
PENDING_WORDS = "Upgrade pending, the device upgrade is estimated to be scheduled for 06 Oct 22 18:05 UTC"


@pytest.mark.parametrize(
    ("verb", "status", "words", "kind", "reason"),
    [
        # assign, versions 1 to 3
        (Verb.ASSIGN, "LicenseAssignSuccess", "Success", DONE, None),
        (Verb.ASSIGN, "LicenseAssignSuccess", "", DONE, None),
        (Verb.ASSIGN, "LicenseAssignSuccess", "Device license preexisting", DONE, OutcomeReason.ALREADY),
        (Verb.ASSIGN, "Success", "Success", DONE, None),
        (Verb.ASSIGN, "Success", "Device license preexisting", DONE, OutcomeReason.ALREADY),
        (Verb.ASSIGN, "Failure", "Device license preexisting", DONE, OutcomeReason.ALREADY),
        (Verb.ASSIGN, "Failure", "Device Not Found. ", REJECTED, OutcomeReason.DEVICE_NOT_FOUND),
        (Verb.ASSIGN, "Failure", "Device does not exist.", REJECTED, OutcomeReason.DEVICE_NOT_FOUND),
        (Verb.ASSIGN, "LicenseAssignFailure", "Device Not Found.", REJECTED, OutcomeReason.DEVICE_NOT_FOUND),
        (Verb.ASSIGN, "LicenseAssignFailure", "", REJECTED, OutcomeReason.REJECTED_BY_SERVICE),
        (Verb.ASSIGN, "LicenseAssignFailure", "No licenses available", REJECTED, OutcomeReason.NO_CAPACITY),
        (Verb.ASSIGN, "LicenseAssignFailure", "Insufficient licenses", REJECTED, OutcomeReason.NO_CAPACITY),
        (Verb.ASSIGN, "LicenseAssignFailure", "License limit exceeded", REJECTED, OutcomeReason.NO_CAPACITY),
        (Verb.ASSIGN, "UpgradePending", PENDING_WORDS, UNKNOWN, OutcomeReason.UPGRADE_PENDING),
        (Verb.ASSIGN, "Upgrade Pending", PENDING_WORDS, UNKNOWN, OutcomeReason.UPGRADE_PENDING),
        # remove, versions 1 to 3
        (Verb.REMOVE, "LicenseRemoveSuccess", "Success", DONE, None),
        (Verb.REMOVE, "Success", "Success", DONE, None),
        (Verb.REMOVE, "LicenseRemoveFailed", "No license attached to device", DONE, OutcomeReason.ALREADY),
        (Verb.REMOVE, "Failure", "No license attached to device", DONE, OutcomeReason.ALREADY),
        (Verb.REMOVE, "FAILURE", "NO LICENSE ATTACHED TO DEVICE", DONE, OutcomeReason.ALREADY),
        (Verb.REMOVE, "Failure", "Device Not Found. ", REJECTED, OutcomeReason.DEVICE_NOT_FOUND),
        (Verb.REMOVE, "LicenseRemoveFailed", "Upgrade in progress", REJECTED, OutcomeReason.REJECTED_BY_SERVICE),
        (Verb.REMOVE, "UpgradePending", PENDING_WORDS, UNKNOWN, OutcomeReason.UPGRADE_PENDING),
        # the words of one verb say nothing about the other
        (Verb.REMOVE, "Failure", "Device license preexisting", REJECTED, OutcomeReason.REJECTED_BY_SERVICE),
        (Verb.ASSIGN, "Failure", "No license attached to device", REJECTED, OutcomeReason.REJECTED_BY_SERVICE),
        # words that are not documented
        (Verb.ASSIGN, "Queued", "", UNKNOWN, OutcomeReason.UNDOCUMENTED_WORD),
        (Verb.ASSIGN, "", "Success", UNKNOWN, OutcomeReason.UNDOCUMENTED_WORD),
        (Verb.REMOVE, "Unsuccessful", "", UNKNOWN, OutcomeReason.UNDOCUMENTED_WORD),
        (Verb.REMOVE, None, None, UNKNOWN, OutcomeReason.UNDOCUMENTED_WORD),
        (Verb.REMOVE, "OK", "done", UNKNOWN, OutcomeReason.UNDOCUMENTED_WORD),
    ],
)
def test_every_word_about_a_device_has_its_meaning(
    verb: Verb, status: str | None, words: str | None, kind: OutcomeKind, reason: OutcomeReason | None
) -> None:
    outcome = outcome_of(verb, {"status": status, "resultReason": words})
    assert (outcome.kind, outcome.reason, outcome.at) == (kind, reason, NOW)


@pytest.mark.parametrize(
    ("words", "time"),
    [
        (PENDING_WORDS, datetime(2022, 10, 6, 18, 5, tzinfo=UTC)),
        (PENDING_WORDS.upper(), datetime(2022, 10, 6, 18, 5, tzinfo=UTC)),
        (PENDING_WORDS.replace("06 Oct 22", "6 Dec 2027"), datetime(2027, 12, 6, 18, 5, tzinfo=UTC)),
        (PENDING_WORDS.replace("06 Oct", "31 Feb"), None),
        (PENDING_WORDS.replace("Oct", "Okt"), None),
        (PENDING_WORDS.replace("18:05", "24:05"), None),
        ("Upgrade pending", None),
    ],
)
def test_a_pending_upgrade_names_its_time_in_a_field_or_in_words(words: str, time: datetime | None) -> None:
    row = {"status": "UpgradePending", "Reason": words}
    assert outcome_of(Verb.ASSIGN, row).retry_at == time
    field = outcome_of(Verb.REMOVE, {**row, "nextAttemptTime": "2028-06-11T15:13:30.941Z"})
    assert field.retry_at == datetime(2028, 6, 11, 15, 13, 30, 941_000, UTC)


@pytest.mark.parametrize("words", ["License is not available for removal, it is in use", "No license change: exceeded"])
def test_a_removal_that_is_rejected_is_no_sign_that_licenses_run_out(words: str) -> None:
    outcome = outcome_of(Verb.REMOVE, {"status": "Failure", "resultReason": words})
    assert (outcome.kind, outcome.reason) == (REJECTED, OutcomeReason.REJECTED_BY_SERVICE)


@pytest.mark.parametrize("key", ["resultReason", "Reason", "reason", "ResultReason"])
def test_the_reason_is_read_in_every_spelling_of_its_name(key: str) -> None:
    outcome = outcome_of(Verb.REMOVE, {"status": "Failure", key: "No license attached to device"})
    assert (outcome.kind, outcome.service) == (DONE, "No license attached to device")


def test_without_a_reason_the_status_is_what_the_service_said() -> None:
    assert outcome_of(Verb.ASSIGN, {"status": "Queued"}).service == "Queued"


def test_a_rejection_names_the_time_when_the_service_tries_again() -> None:
    row = {"status": "Failure", "resultReason": "busy", "nextAttemptTime": "2021-06-11T15:13:30.941Z"}
    assert outcome_of(Verb.REMOVE, row).retry_at == datetime(2021, 6, 11, 15, 13, 30, 941_000, UTC)
    assert outcome_of(Verb.REMOVE, {**row, "nextAttemptTime": SENTINEL}).retry_at is None


def test_a_device_without_a_row_is_looked_up() -> None:
    outcome = outcome_of(Verb.ASSIGN)
    assert (outcome.kind, outcome.reason) == (UNKNOWN, OutcomeReason.NO_ROW)


def test_rows_that_contradict_each_other_are_looked_up_and_those_that_agree_are_not() -> None:
    good, bad = {"status": "Success", "resultReason": "Success"}, {"status": "Failure", "resultReason": "busy"}
    assert outcome_of(Verb.REMOVE, good, good).kind is DONE
    torn = outcome_of(Verb.REMOVE, good, bad)
    assert (torn.kind, torn.reason, torn.service) == (UNKNOWN, OutcomeReason.UNDOCUMENTED_WORD, "Success; busy")


def test_the_services_words_are_kept_short_and_on_one_line() -> None:
    told = outcome_of(Verb.ASSIGN, {"status": "Failure", "resultReason": "busy\x1b[31m\r\n" + "x" * 5000}).service
    assert told is not None
    assert told.isprintable()
    assert len(told) <= 201


@pytest.mark.parametrize("before", range(180, 206))
@pytest.mark.parametrize("statuses", [("Failure",), ("Failure", "Success")])
def test_no_part_of_a_secret_is_quoted_where_words_about_a_device_are_cut(before: int, statuses: Sequence[str]) -> None:
    words = f"{'x' * before}hunter2 and so on"
    rows = [VerdictRow(DEVICE, status, words) for status in statuses]
    action = Action(Verb.ASSIGN, DEVICE)
    (told,) = fota_verdicts.of_answer([action], rows, NOW, lambda text: text.replace("hunter2", "***"))
    assert told.service is not None
    assert "h" not in told.service


@pytest.mark.parametrize("name", ["fota-v3-assign-200.json", "fota-v3-remove-200.json"])
def test_every_row_of_the_documented_writes_is_done(name: str) -> None:
    verb = Verb.ASSIGN if "assign" in name else Verb.REMOVE
    account = "0000123456-00001" if verb is Verb.ASSIGN else ACCOUNT
    call = (fota_calls.assign if verb is Verb.ASSIGN else fota_calls.remove)(account, [DEVICE], "/licenses")
    rows = call.read(sample(name)).device_list or []
    assert len(rows) == (2 if verb is Verb.ASSIGN else 3)
    batch = [Action(verb, DeviceId(row.deviceId)) for row in rows]
    assert [each.kind for each in fota_verdicts.of_answer(batch, rows, NOW, str)] == [DONE] * len(rows)


def test_a_write_may_be_answered_without_rows() -> None:
    call = fota_calls.assign(ACCOUNT, [DEVICE], "/licenses")
    assert call.read(b"{}").device_list is None
    assert call.read(body(deviceList=None, licCount=2, licTotalCount=1000)).device_list is None


# --- errors and their classes


@pytest.mark.parametrize(
    ("status", "told", "kind", "code"),
    [
        # tokens and sessions: the code counts, not the status
        (401, sample("gateway-401.json"), StaleBearer, "900901"),
        (401, fault(900901), StaleBearer, "900901"),
        (401, body(code=900902, message="Missing Credentials"), StaleBearer, "900902"),
        (401, b"", StaleBearer, ""),
        (401, HTML, StaleBearer, ""),
        (401, xml("900901"), StaleBearer, "900901"),
        (
            400,
            sample("session-expired-400.json"),
            StaleSession,
            "UnifiedWebService.REQUEST_FAILED.SessionToken.Expired",
        ),
        (401, uws("X.REQUEST_FAILED.SessionToken.Expired"), StaleSession, "X.REQUEST_FAILED.SessionToken.Expired"),
        (403, uws("UnifiedWebService.REQUEST_FAILED.SessionToken.Format"), StaleSession, None),
        (400, uws("UnifiedWebService.INPUT_INVALID.SessionToken.Invalid"), StaleSession, None),
        (400, uws("INVALID_PARAMETER", "UWS verification failure (The Session has expired.)"), StaleSession, None),
        (400, uws("INVALID_PARAMETER", "UWS verification failure (Session token invalid)"), StaleSession, None),
        (400, uws("INVALID_ACCESS", "The session has expired"), StaleSession, "INVALID_ACCESS"),
        # too many requests
        (429, b"", RateLimited, ""),
        (429, HTML, RateLimited, ""),
        (503, fault("900802", "Message throttled out"), RateLimited, "900802"),
        (403, body(code=900800, message="Message throttled out"), RateLimited, "900800"),
        # addresses
        (404, xml("404"), NoSuchResource, "404"),
        (404, b"", NoSuchResource, ""),
        (400, fault("900906", "No matching resource found in the API for the given request"), NoSuchResource, "900906"),
        (403, xml("403", "Forbidden"), RequestRejected, "403"),
        (403, xml("900908", "Resource forbidden"), RequestRejected, "900908"),
        # the service is broken
        (500, b"", ServerBroken, ""),
        (502, HTML, ServerBroken, ""),
        (503, uws("303001", "The service is temporarily unavailable"), ServerBroken, "303001"),
        (500, uws("INTERNAL_SYSTEM_ERROR"), ServerBroken, "INTERNAL_SYSTEM_ERROR"),
        (400, uws("UnifiedWebService.REQUEST_FAILED.UnexpectedError"), ServerBroken, None),
        (408, b"", Unreachable, ""),
        # the service says no
        (400, sample("error-400.json"), RequestRejected, "INVALID_PARAMETER"),
        (
            400,
            body(error="invalid_request", error_description="Missing grant_type"),
            RequestRejected,
            "invalid_request",
        ),
        (400, body(responseCode="INPUT_ERROR", message="no"), RequestRejected, "INPUT_ERROR"),
        (406, b"", RequestRejected, ""),
        (413, HTML, RequestRejected, ""),
        (400, b"[]", RequestRejected, ""),
        (400, b"{}", RequestRejected, ""),
        (400, b"\xff\xfe", RequestRejected, ""),
        (400, b"[" * 100_000, RequestRejected, ""),
        (400, body(errorCode={"a": 1}, errorMessage=None), RequestRejected, ""),
        (307, b"", RequestRejected, ""),
    ],
)
def test_every_error_has_its_class(status: int, told: bytes, kind: type[ApiError], code: str | None) -> None:
    made = error(status, told)
    assert type(made) is kind
    assert made.status == status
    assert code is None or made.code == code
    assert str(made).startswith(f"FOTA assign: HTTP {status} ")


def test_verification_that_fails_for_no_stated_reason_is_about_the_session_and_not_about_a_device() -> None:
    made = error(400, uws("INVALID_ACCESS", "UWS verification failure (Common exception)"))
    assert not batch_errors.may_be_for_one_device(made)


@pytest.mark.parametrize(
    ("kind", "transient", "unknown"),
    [
        (Unauthorized, False, False),
        (LoginRejected, False, False),
        (RequestRejected, False, False),
        (NoSuchResource, False, False),
        (RateLimited, True, False),
        (ServerBroken, True, True),
        (Unreachable, True, True),
        (UnexpectedReply, True, True),
    ],
)
def test_only_some_errors_pass_and_only_some_leave_a_write_unknown(
    kind: type[ApiError], *, transient: bool, unknown: bool
) -> None:
    assert (kind.transient, kind.leaves_write_unknown) == (transient, unknown)


def test_an_error_tells_code_and_words_and_what_to_do() -> None:
    assert str(error(400, sample("error-400.json"))) == (
        "FOTA assign: HTTP 400 INVALID_PARAMETER Invalid device id format"
    )
    assert "check pools.*.account" in str(error(403, xml("403")))
    assert "thingspace.url" in str(error(404, b""))
    assert "asks to wait 7 s" in str(error(429, b"", {"Retry-After": "7"}))


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://elsewhere.example/login?x=1", "elsewhere.example"),
        ("//elsewhere.example/", "elsewhere.example"),
        ("/login", "elsewhere"),
        ("", "elsewhere"),
        ("https://user:secret@elsewhere.example/", "elsewhere.example"),
    ],
)
def test_a_redirect_says_where_it_leads_and_nothing_else_of_it(location: str, host: str) -> None:
    told = str(error(302, b"", {"Location": location}))
    assert f"it redirects to {host}, which is never followed" in told
    assert "secret" not in told


@pytest.mark.parametrize("location", ["https://a\x1b[31mb/", "https://" + "a" * 9000 + "/"])
def test_where_a_redirect_leads_is_told_in_short_and_without_control_characters(location: str) -> None:
    told = str(error(302, b"", {"Location": location}))
    assert told.isprintable()
    assert len(told) < 500


@given(status=st.integers(300, 599), told=st.binary(max_size=300))
def test_any_body_at_all_becomes_an_error_with_a_short_printable_message(status: int, told: bytes) -> None:
    made = error(status, told)
    assert str(made).isprintable()
    assert len(str(made)) < 700


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (b"", "(empty)"),
        (b" \r\n\t", "(empty)"),
        (b"a\x00b\x1b[31m\xe2\x80\xaec\n d", "a b [31m c d"),
        (b"\xff\xfeok", "\ufffd\ufffdok"),
        (b"x" * 300, "x" * 200 + "…"),
        ("x" * 200, "x" * 200),
    ],
)
def test_a_foreign_body_is_quoted_in_short_on_one_line(told: bytes | str, shown: str) -> None:
    assert excerpt(told) == shown


# --- what an error means for the devices of a write


@pytest.mark.parametrize(
    ("told", "for_one_device"),
    [
        (error(400, sample("error-400.json")), True),
        (error(400, uws("UnifiedWebService.REQUEST_FAILED.DeviceNotFound")), True),
        (error(400, uws("X.INPUT_INVALID.Device.Identifier.Invalid")), True),
        (error(400, uws("X.INPUT_INVALID.Device.Account.Invalid", "The device is not of this group")), True),
        (error(400, uws("UnifiedWebService.INPUT_INVALID.NumberofDevices")), True),
        (error(413, HTML), True),
        (error(400, uws("INVALID_PARAMETER", "Inactive account")), False),
        (error(400, uws("INVALID_PARAMETER", "Invalid account name format")), False),
        (error(400, uws("INVALID_PARAMETER", "UWS verification failure (Could not find account 1)")), False),
        (error(400, uws("UnifiedWebService.REQUEST_FAILED.AccountNotFound")), False),
        (error(400, uws("INPUT_INVALID.InsufficientLicense.Invalid")), False),
        (error(400, uws("INVALID_PARAMETER", "Not enough unused licenses")), False),
        (error(400, fault("900906", "No matching resource found")), False),
        (error(403, xml("403")), False),
        (error(404, xml("404")), False),
        (error(429), False),
        (error(500), False),
        (error(400, sample("session-expired-400.json")), False),
        (error(401, sample("gateway-401.json")), False),
        (error(301, b"", {"Location": "https://elsewhere.example/"}), False),
        (error(307, b""), False),
        (error(407, HTML), False),
        (LoginRejected("no"), False),
        (UnexpectedReply("no"), False),
    ],
)
def test_a_batch_is_halved_only_for_what_may_be_the_fault_of_one_device(
    told: ApiError, *, for_one_device: bool
) -> None:
    assert batch_errors.may_be_for_one_device(told) is for_one_device


@pytest.mark.parametrize(
    ("told", "kind", "reason"),
    [
        (Unreachable("no"), UNKNOWN, OutcomeReason.NO_ANSWER),
        (error(503), UNKNOWN, OutcomeReason.NO_ANSWER),
        (UnexpectedReply("no"), UNKNOWN, OutcomeReason.NO_ANSWER),
        (LoginRejected("no"), OutcomeKind.FAILED, OutcomeReason.CREDENTIALS_REJECTED),
        (error(401), OutcomeKind.FAILED, OutcomeReason.NOT_LOGGED_IN),
        (error(400, sample("session-expired-400.json")), OutcomeKind.FAILED, OutcomeReason.NOT_LOGGED_IN),
        (error(429), OutcomeKind.FAILED, OutcomeReason.RATE_LIMITED),
        (error(400, uws("INPUT_INVALID.InsufficientLicense.Invalid")), OutcomeKind.FAILED, OutcomeReason.NO_CAPACITY),
        (error(400, uws("INVALID_PARAMETER", "Inactive account")), OutcomeKind.FAILED, OutcomeReason.ACCOUNT_REJECTED),
        (error(403, xml("403")), OutcomeKind.FAILED, OutcomeReason.ACCOUNT_REJECTED),
        (error(404, xml("404")), OutcomeKind.FAILED, OutcomeReason.ACCOUNT_REJECTED),
    ],
)
def test_an_error_of_a_whole_write_has_one_meaning_for_each_device(
    told: ApiError, kind: OutcomeKind, reason: OutcomeReason
) -> None:
    outcome = batch_errors.of_error(Action(Verb.ASSIGN, DEVICE), told, NOW)
    assert (outcome.kind, outcome.reason, outcome.service, outcome.at) == (kind, reason, str(told), NOW)


# --- times


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("1.5", 1.5),
        ("Sun, 22 Nov 2026 15:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 15:00:30 -0000", 30),
        ("Sun, 22 Nov 2026 17:00:30 +0200", 30),
        ("Sun, 22 Nov 2026 14:00:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("9" * 400, None),
        ("Sun, 22 Nov 99999 15:00:30 GMT", None),
        ("Sun, 22 Nov 2026 15:00:30 +99999999999999999999", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms_and_otherwise_passed_over(written: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": written}, NOW) == seconds


def test_without_retry_after_nothing_is_asked() -> None:
    assert retry_after({}, NOW) is None
    assert error(429).retry_after is None
    assert error(429, b"", {"Retry-After": "3"}).retry_after == 3


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Sun, 22 Nov 2026 15:00:00 GMT", 0),
        ("Sun, 22 Nov 2026 14:59:59 GMT", 0),  # it has whole seconds
        ("Sun, 22 Nov 2026 15:00:05 GMT", 0),  # written while the answer was on its way
        ("Sun, 22 Nov 2026 14:58:59 GMT", 60),
        ("Sun, 22 Nov 2026 15:01:05 GMT", -60),
        ("Sun, 22 Nov 2026 15:01:05 -0000", -60),
        ("soon", None),
        ("", None),
    ],
)
def test_the_service_s_clock_is_seen_as_near_as_an_answer_tells(date: str, ahead: float | None) -> None:
    assert clock_skew({"Date": date}, NOW, NOW + timedelta(seconds=5)) == ahead


@given(st.text(max_size=60))
def test_no_retry_after_at_all_crashes(written: str) -> None:
    wait = retry_after({"Retry-After": written}, NOW)
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2017-11-29 20:15:42.738 +0000 UTC", datetime(2017, 11, 29, 20, 15, 42, 738_000, UTC)),
        ("2017-11-29 20:15:42 +0000 UTC", datetime(2017, 11, 29, 20, 15, 42, 0, UTC)),
        ("2017-11-29T16:03:42.000Z", datetime(2017, 11, 29, 16, 3, 42, 0, UTC)),
        ("2021-06-10T15:13:01.19Z", datetime(2021, 6, 10, 15, 13, 1, 190_000, UTC)),
        ("2021-06-10T15:13:30Z", datetime(2021, 6, 10, 15, 13, 30, 0, UTC)),
        ("2021-6-1T5:3:0.1234567Z", datetime(2021, 6, 1, 5, 3, 0, 123_456, UTC)),
        (SENTINEL, None),
        ("01/01/1900 0:0:0", None),
        ("1900-01-01T00:00:00Z", None),
        ("0001-01-01 00:00:00 +0000 UTC", None),
        ("2017-13-29T16:03:42Z", None),
        ("2017-11-29T16:03:42+02:00", None),
        ("tomorrow", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_read_in_every_documented_form_and_1900_is_none(written: str | None, read: datetime | None) -> None:
    assert moment(written) == read


@given(st.text(max_size=40) | st.from_regex(r"\d{4}-\d\d?-\d\d?T\d\d?:\d\d?:\d\d?(\.\d{1,9})?Z", fullmatch=True))
def test_no_time_at_all_crashes(written: str) -> None:
    read = moment(written)
    assert read is None or read.tzinfo is UTC
