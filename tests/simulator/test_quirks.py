"""Each quirk does what its sentence says, and the defaults spare a client that does its part."""

import aiohttp
import orjson
import pytest

from licensesync.simulator.imeis import imei_of
from licensesync.simulator.quirks import TABLE
from licensesync.simulator.values import BadValueError
from simulator.conftest import Clock, Visit
from simulator.guest import ACCOUNT, A, Answer, B, C, Guest


async def test_a_client_that_repeats_once_gets_through_an_unkind_day(visit: Visit) -> None:
    for seed in range(10):
        guest = await visit(kind=False, seed=seed, devices=90, come_in=False, quirks={"error_503": "50%@token+fota"})
        token = await twice(guest, "POST", "/api/ts/v1/oauth2/token", None, grant=True)
        guest.headers = {"Authorization": f"Bearer {token.json['access_token']}"}
        guest.headers["VZ-M2M-Token"] = (await guest.login()).json["sessionToken"]
        found: set[str] = set()
        cursor, more = "0", True
        while more:
            page = (await twice(guest, "GET", f"/api/fota/v3/licenses/{ACCOUNT}/index/{cursor}")).json
            found |= {row["deviceId"] for row in page["deviceList"]}
            cursor, more = str(page.get("lastSeenDeviceId")), page["hasMoreData"] in (True, "true")
        assert found == set(guest.licensed)
        await twice(guest, "POST", f"/api/fota/v3/licenses/{ACCOUNT}/assign", {"deviceList": [A]})
        assert A in guest.licensed


async def twice(guest: Guest, method: str, path: str, json: object = None, *, grant: bool = False) -> Answer:
    async def once() -> Answer:
        return await guest.token() if grant else await guest.ask(method, path, json)

    answer = await once()
    answer = answer if answer.status == 200 else await once()
    assert answer.status == 200
    return answer


async def test_an_unkind_day_is_unkind_and_its_seed_repeats_it(visit: Visit, clock: Clock) -> None:
    days = []
    for _ in range(2):
        guest = await visit(kind=False, seed=3, devices=90, clock=clock, quirks={"error_503": "20%@status"})
        days.append([await guest.status() for _ in range(30)])
    assert days[0] == days[1]
    pages = [answer.json for answer in days[0] if answer.status == 200]
    assert 0 < len(pages) < 30
    assert len({tuple(page) for page in pages}) > 2
    assert len({tuple(row["deviceId"] for row in page["deviceList"]) for page in pages}) > 3


async def test_a_refusal_before_the_effect_has_none(visit: Visit) -> None:
    guest = await visit()
    for quirk, status in (("503", 503), ("500", 500), ("502", 502), ("429", 429)):
        guest.sim.quirks.set(f"error-{quirk}", "1x")
        assert (await guest.assign(A)).status == status
    assert guest.licensed == []
    assert (await guest.assign(A)).status == 200


async def test_retry_after_comes_in_seconds_or_as_a_date(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"error_429": "on", "retry_after_429": 3})
    assert (await guest.status()).headers["Retry-After"] == "3"
    guest.sim.quirks.set("retry-after", "date")
    assert (await guest.status()).headers["Retry-After"] == "Fri, 15 Jan 2027 08:00:03 GMT"
    guest.sim.quirks.set("retry-after", "absent")
    assert "Retry-After" not in (await guest.status()).headers


async def test_a_503_may_ask_to_come_back_later(visit: Visit) -> None:
    guest = await visit(quirks={"error_503": "on", "retry_after_503": 2})
    assert (await guest.status()).headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("fault", b'{"fault":{"code":"900901"'),
        ("fault-number", b'{"fault":{"code":900901'),
        ("fault-bare", b'{"code":"900901"'),
        ("json", b'{"errorCode":"900901"'),
        ("oauth", b'{"error":"900901"'),
        ("response-code", b'{"responseCode":"900901"'),
        ("xml", b'<am:fault xmlns:am="http://wso2.org/apimanager"><am:code>900901'),
        ("html", b"<!DOCTYPE html>"),
        ("empty", b""),
    ],
)
async def test_an_error_of_the_gateway_has_any_shape(visit: Visit, shape: str, body: bytes) -> None:
    guest = await visit(quirks={"gateway_shape": shape})
    guest.headers["Authorization"] = "Bearer wrong"
    refused = await guest.status()
    assert refused.status == 401
    assert refused.body.startswith(body)
    assert bool(refused.body) == bool(body)


async def test_a_missing_call_keeps_its_code_in_a_mixed_day(visit: Visit) -> None:
    guest = await visit(quirks={"gateway_shape": "mixed"})
    assert all([b"900906" in (await guest.get("/api/fota/v3/nothing")).body for _ in range(20)])


async def test_an_error_of_fota_may_come_as_html(visit: Visit) -> None:
    guest = await visit(quirks={"service_shape": "html"})
    refused = await guest.status("1000")
    assert (refused.status, refused.headers["Content-Type"]) == (400, "text/html")


async def test_a_redirect_leads_elsewhere_and_who_follows_it_is_seen(visit: Visit) -> None:
    guest = await visit(quirks={"redirect": "on"})
    redirected = await guest.status()
    assert redirected.status == 307
    assert redirected.headers["Location"] == guest.sim.url.replace("127.0.0.1", "localhost") + "/_sim/elsewhere"
    await guest.get("/_sim/elsewhere")
    assert [seen.path for seen in guest.sim.requests][-1] == "/_sim/elsewhere"


@pytest.mark.parametrize(
    ("trouble", "status"), [("inactive", 400), ("not-found", 400), ("forbidden", 403), ("broken", 500)]
)
async def test_an_account_may_be_in_trouble(visit: Visit, trouble: str, status: int) -> None:
    guest = await visit(quirks={"account_trouble": trouble})
    assert (await guest.status()).status == status


async def test_the_key_may_be_forbidden(visit: Visit) -> None:
    guest = await visit(quirks={"forbidden": "on@status"})
    assert (await guest.status()).status == 403
    assert (await guest.subscription()).status == 200


@pytest.mark.parametrize("call", ["subscription", "lookup"])
async def test_subscription_and_look_up_may_be_unavailable(visit: Visit, call: str) -> None:
    guest = await visit()
    answers = {}
    for state in ("503", "404", "fieldless"):
        guest.sim.quirks.set(f"{call}-call", state)
        answers[state] = await (guest.subscription() if call == "subscription" else guest.look_up(A))
    assert [answer.status for answer in answers.values()] == [503, 404, 200]
    assert b"licenseAssigned" not in answers["fieldless"].body
    assert b"licenseCount" not in answers["fieldless"].body


async def test_a_look_up_may_forget_a_device(visit: Visit) -> None:
    guest = await visit(quirks={"lookup_rows_lost": "#2"})
    assert list((await guest.look_up(A, B, C)).rows) == [A, C]


async def test_the_look_up_may_filter_by_protocol_too(visit: Visit) -> None:
    guest = await visit(quirks={"lookup_filter": True})
    devices = [imei_of(10**13 + n) for n in range(8)]
    assert (await guest.look_up(*devices)).json["deviceCount"] < 8
    everything = await guest.post(f"/api/fota/v3/devices/{ACCOUNT}?protocol=all", {"deviceList": devices})
    assert everything.json["deviceCount"] == 8


async def test_every_profile_is_told_by_its_field_names(visit: Visit) -> None:
    guest = await visit(devices=3, page_size=2)
    told = {}
    for profile in ("portal-v3", "sdk-v3", "v1", "v2"):
        guest.sim.quirks.set("profile", profile)
        page, written = (await guest.status()).json, (await guest.remove(A)).json
        told[profile] = (
            "totalLicense" in page,
            type(page["lastSeenDeviceId"]),
            "maxPageSize" in page,
            "licCount" in written,
            "Reason" in written["deviceList"][0],
            written["deviceList"][0]["status"],
            "nextAttemptTime" in written["deviceList"][0],
        )
    assert told == {
        "portal-v3": (True, str, True, True, False, "Failure", True),
        "sdk-v3": (False, str, True, True, False, "Failure", True),
        "v1": (False, int, False, True, True, "LicenseRemoveFailed", False),
        "v2": (True, str, True, False, False, "Failure", False),
    }


async def test_the_end_of_a_walk_is_written_in_many_ways(visit: Visit) -> None:
    guest = await visit(quirks={"cursor_at_end": "absent", "empty_list": "null", "more_type": "text"})
    page = (await guest.status()).json
    assert "lastSeenDeviceId" not in page
    assert (page["deviceList"], page["hasMoreData"]) == (None, "false")
    for quirk, value in (("cursor-at-end", "zero"), ("empty-list", "absent"), ("more-type", "bool")):
        guest.sim.quirks.set(quirk, value)
    page = (await guest.status()).json
    assert (page["lastSeenDeviceId"], page["hasMoreData"]) == ("0", False)
    assert "deviceList" not in page


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("go", "2027-01-15 08:00:00.000 +0000 UTC"),
        ("iso", "2027-01-15T08:00:00.000Z"),
        ("iso-short", "2027-01-15T08:00:00.00Z"),
        ("sentinel", "01-01-1900 0:0:0 +0000 UTC"),
        ("absent", None),
    ],
)
async def test_assignment_times_have_several_forms(visit: Visit, clock: Clock, form: str, written: str) -> None:
    guest = await visit(devices=1, clock=clock, quirks={"time_form": form})
    assert (await guest.status()).json["deviceList"][0].get("assignmentTime") == written


async def test_a_write_may_count_twice_with_different_values_or_not_at_all(visit: Visit) -> None:
    guest = await visit(quirks={"count_form": "both"})
    written = (await guest.assign(A)).json
    assert (written["licCount"], written["licTotalCount"]) == (1, 1000)
    guest.sim.quirks.set("count-form", "none")
    assert not {"licCount", "licTotalCount"} & set((await guest.assign(A)).json)


@pytest.mark.parametrize(
    ("case", "row"),
    [
        ("words", {"deviceId": A, "status": "LICENSEASSIGNSUCCESS", "Reason": "SUCCESS"}),
        ("reason-key", {"deviceId": A, "status": "LicenseAssignSuccess", "reason": "Success"}),
        ("keys", {"deviceid": A, "status": "LicenseAssignSuccess", "reason": "Success"}),
    ],
)
async def test_rows_may_come_in_other_letter_case(visit: Visit, case: str, row: object) -> None:
    guest = await visit(quirks={"letter_case": case})
    assert (await guest.assign(A)).json["deviceList"] == [row]


async def test_rows_within_a_page_may_be_shuffled(visit: Visit) -> None:
    guest = await visit(devices=60, page_size=20, quirks={"shuffled_rows": True})
    walked = await guest.walk()
    assert walked != guest.licensed
    assert [sorted(walked[at : at + 20]) for at in (0, 20, 40)] == [guest.licensed[at : at + 20] for at in (0, 20, 40)]


@pytest.mark.parametrize("order", ["number", "text", "backwards", "scrambled"])
@pytest.mark.parametrize("cursor", ["imei", "rows"])
async def test_whatever_the_order_a_walk_that_follows_the_cursor_is_whole(
    visit: Visit, order: str, cursor: str
) -> None:
    guest = await visit(devices=30, page_size=7, quirks={"page_order": order, "cursor_form": cursor})
    guest.give(["99000000000000", "0123456789012345", A])
    walked = await guest.walk()
    assert sorted(walked) == sorted(guest.licensed)
    assert (walked == sorted(walked, key=int)) is (order == "number")
    assert (walked == sorted(walked)) is (order == "text")


async def test_a_page_may_be_wrong_about_account_and_counts(visit: Visit) -> None:
    guest = await visit(devices=30, page_size=10)
    guest.sim.quirks.set("wrong-account", "1x")
    assert (await guest.status()).json["accountName"] != ACCOUNT
    guest.sim.quirks.set("assigned-off-by", "-2")
    guest.sim.quirks.set("subscription-off-by", 5)
    assert (await guest.status()).json["assignedLicenses"] == 28
    assert (await guest.subscription()).json["licenseUsedCount"] == 35
    guest.sim.quirks.set("assigned-off-by", "off")
    guest.sim.quirks.set("assigned-drifts", "+1")
    first = (await guest.status()).json
    second = (await guest.status(first["lastSeenDeviceId"])).json
    assert (first["assignedLicenses"], second["assignedLicenses"]) == (30, 31)
    guest.sim.quirks.set("counts-absent", "both")
    assert not {"totalLicense", "totalLicenses", "assignedLicenses"} & set((await guest.status()).json)


async def test_a_walk_may_stand_still_or_end_early_or_have_holes(visit: Visit) -> None:
    guest = await visit(devices=30, page_size=10)
    guest.sim.quirks.set("repeated-cursor", "1x")
    repeated = (await guest.status()).json
    assert (repeated["lastSeenDeviceId"], repeated["hasMoreData"]) == ("0", True)
    guest.sim.quirks.set("empty-page", "1x")
    empty = (await guest.status()).json
    assert (empty["deviceList"], empty["hasMoreData"]) == ([], True)
    guest.sim.quirks.set("last-page-lost", "1x")
    assert len(await guest.walk()) == 20
    guest.sim.quirks.set("rows-lost", "3x")
    assert len(await guest.walk()) == 27
    guest.sim.quirks.set("rows-doubled", "1x")
    doubled = await guest.walk()
    assert (len(doubled), len(set(doubled))) == (31, 30)


@pytest.mark.parametrize(
    ("wrong", "written"),
    [
        ("imei-number", {"deviceList": [{"deviceId": int(A)}]}),
        ("imei-null", {"deviceList": [{"deviceId": None}]}),
        ("bare-rows", {"deviceList": [A]}),
        ("list-object", {"deviceList": {A: {"deviceId": A}}}),
        ("counts-text", {"assignedLicenses": "1 licenses", "totalLicense": "1000 licenses"}),
        ("more-maybe", {"hasMoreData": "maybe"}),
    ],
)
async def test_a_page_may_have_wrong_types(visit: Visit, wrong: str, written: dict[str, object]) -> None:
    guest = await visit(quirks={"wrong_types": wrong, "time_form": "absent"})
    guest.give([A])
    page = (await guest.status()).json
    assert {key: page[key] for key in written} == written
    guest.sim.quirks.set("wrong-types", "array")
    assert isinstance((await guest.status()).json, list)


async def test_too_many_devices_are_refused_whole(visit: Visit) -> None:
    guest = await visit(quirks={"max_devices": 2})
    refused = await guest.assign(A, B, C)
    assert (refused.status, refused.json["errorCode"]) == (400, "UnifiedWebService.INPUT_INVALID.NumberofDevices")
    assert (await guest.assign(A, B)).status == 200


async def test_one_bad_device_may_refuse_the_whole_batch(visit: Visit) -> None:
    guest = await visit(quirks={"poison_devices": [B]})
    assert (await guest.assign(A, B)).json["errorMessage"] == "Invalid device id format"
    assert (await guest.assign(A, C)).status == 200
    guest.sim.quirks.set("unknown-devices", B)
    guest.sim.quirks.set("poison-devices", "off")
    guest.sim.quirks.set("unknown-answer", "whole")
    assert (await guest.remove(A, B)).json["errorMessage"] == "Device Not Found. "
    assert guest.licensed == [A, C]


async def test_a_strict_account_knows_only_its_devices(visit: Visit) -> None:
    guest = await visit(quirks={"strict_devices": True})
    await guest.post("/_sim/known", {"devices": [A]})
    rows = (await guest.assign(A, B)).rows
    assert [row["Reason"] for row in rows.values()] == ["Success", "Device Not Found. "]


async def test_an_upgrade_may_be_pending_and_take_effect_later_or_never(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"upgrade_pending": "1x", "pending_takes": 60})
    guest.give([A])
    row = (await guest.remove(A)).rows[A]
    assert row["status"] == "UpgradePending"
    assert row["resultReason"].startswith(
        "Upgrade pending, the device upgrade is estimated to be scheduled for 15 Jan 27"
    )
    assert guest.licensed == [A]
    clock.now += 60
    assert (await guest.look_up(A)).rows[A]["licenseAssigned"] is False
    guest.sim.quirks.set("upgrade-pending", "1x")
    guest.sim.quirks.set("pending-takes", "never")
    assert (await guest.assign(A)).rows[A]["status"] == "UpgradePending"
    clock.now += 10**6
    await guest.come_in()
    assert (await guest.look_up(A)).rows[A]["licenseAssigned"] is False


async def test_rows_of_a_write_may_be_odd_missing_or_too_many(visit: Visit) -> None:
    guest = await visit(quirks={"odd_status": "1x", "extra_rows": 2})
    rows = (await guest.assign(A, B)).rows
    assert len(rows) == 4
    assert "uccess" not in rows[A]["status"]
    guest.sim.quirks.set("extra-rows", "off")
    guest.sim.quirks.set("write-rows-lost", "1x")
    assert list((await guest.remove(A, B)).rows) == [B]
    assert guest.licensed == []


async def test_an_answer_may_be_lost_before_or_after_the_effect(visit: Visit) -> None:
    guest = await visit(quirks={"lost_before_effect": "1x"})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await guest.assign(A)
    assert guest.licensed == []
    guest.sim.quirks.set("lost-after-effect", "1x")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await guest.assign(A)
    assert guest.licensed == [A]
    assert [(seen.status, seen.effect) for seen in guest.sim.requests.of("assign")] == [("lost", ()), ("lost", (A,))]


async def test_a_500_may_come_though_all_was_done(visit: Visit) -> None:
    guest = await visit(quirks={"error_500_after_effect": "on"})
    assert (await guest.assign(A)).status == 500
    assert guest.licensed == [A]


async def test_an_answer_may_be_lost_long_before_the_effect(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"lost_late_effect": "1x", "late_effect": 60})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await guest.assign(A)
    assert (await guest.look_up(A)).rows[A]["licenseAssigned"] is False
    clock.now += 60
    assert (await guest.look_up(A)).rows[A]["licenseAssigned"] is True
    (seen,) = guest.sim.requests.of("assign")
    assert (seen.status, seen.devices, seen.effect) == ("lost", (A,), ())


async def test_a_row_may_say_what_is_not_so(visit: Visit) -> None:
    guest = await visit(quirks={"false_success": "1x"})
    assert (await guest.assign(A)).rows[A]["status"] == "LicenseAssignSuccess"
    assert guest.licensed == []
    guest.sim.quirks.set("false-failure", "1x")
    assert (await guest.assign(A)).rows[A]["status"] == "LicenseAssignFailure"
    assert guest.licensed == [A]
    guest.sim.quirks.set("false-success", "1x@remove")
    assert (await guest.remove(A)).rows[A]["status"] == "Success"
    assert guest.licensed == [A]
    assert [seen.effect for seen in guest.sim.requests.of("assign", "remove")] == [(), (A,), ()]


async def test_two_rows_of_a_write_may_contradict_each_other(visit: Visit) -> None:
    guest = await visit(quirks={"rows_contradict": "on"})
    orders: set[tuple[bool, ...]] = set()
    for call in (guest.assign, guest.remove) * 10:
        rows = (await call(A)).json["deviceList"]
        assert [row["deviceId"] for row in rows] == [A, A]
        orders.add(tuple("Success" in row["status"] for row in rows))
    assert orders == {(True, False), (False, True)}, "what is so stands first or second"
    assert guest.licensed == []


@pytest.mark.parametrize("call", ["assign", "remove", "lookup", "subscription"])
async def test_any_answer_may_name_another_account(visit: Visit, call: str) -> None:
    guest = await visit(quirks={"wrong_account": f"1x@{call}"})
    calls = {"assign": guest.assign(A), "remove": guest.remove(A), "lookup": guest.look_up(A)}
    calls["subscription"] = guest.subscription()
    named = {name: (await asked).json["accountName"] for name, asked in calls.items()}
    assert [name for name, account in named.items() if account != ACCOUNT] == [call]


async def test_the_license_list_may_lag_behind(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"list_lag": 60})
    guest.give([B])
    await guest.remove(B)
    await guest.assign(A)
    assert (await guest.walk(), (await guest.status()).json["assignedLicenses"]) == ([B], 1)
    clock.now += 61
    assert (await guest.walk(), (await guest.status()).json["assignedLicenses"]) == ([A], 1)


async def test_the_log_names_the_devices_even_of_what_was_refused(visit: Visit) -> None:
    guest = await visit(quirks={"poison_devices": [B]})
    await guest.assign(A, B)
    await guest.look_up(A, C)
    await guest.post(f"/api/fota/v3/licenses/{ACCOUNT}/remove", {"deviceList": {"A": A}})
    await guest.post(f"/api/fota/v3/licenses/{ACCOUNT}/remove", data=b"[")
    seen = guest.sim.requests.of("assign", "lookup", "remove")
    assert [(each.devices, each.effect) for each in seen] == [((A, B), ()), ((A, C), ()), ((), ()), ((), ())]


async def test_an_answer_may_break_off(visit: Visit) -> None:
    guest = await visit(quirks={"cut_off": "1x"})
    with pytest.raises(aiohttp.ClientPayloadError):
        await guest.status()


async def test_a_200_may_hold_anything(visit: Visit) -> None:
    guest = await visit(devices=3)
    guest.sim.quirks.set("truncated-json", "1x")
    with pytest.raises(orjson.JSONDecodeError):
        _ = (await guest.status()).json
    guest.sim.quirks.set("html-200", "1x")
    html = await guest.status()
    assert (html.status, html.headers["Content-Type"]) == (200, "text/html")
    guest.sim.quirks.set("empty-200", "1x@assign")
    assert ((await guest.status()).body, (await guest.assign(A)).body) != (b"", b"")
    assert A in guest.licensed


async def test_an_answer_may_come_late(visit: Visit) -> None:
    guest = await visit(quirks={"delayed": "on@status", "delay": 30})
    with pytest.raises(TimeoutError):
        await guest.get(f"/api/fota/v3/licenses/{ACCOUNT}/index/0", timeout=aiohttp.ClientTimeout(total=0.1))
    assert (await guest.subscription()).status == 200


async def test_somebody_else_may_change_licenses_in_a_walk_and_before_a_write(visit: Visit) -> None:
    guest = await visit(devices=30, page_size=10, quirks={"others_in_walk": "-3@1", "others_before_write": "+2"})
    before = set(guest.licensed)
    await guest.walk()
    assert len(before - set(guest.licensed)) == 3
    await guest.walk()
    assert len(guest.licensed) == 27
    await guest.assign(A)
    await guest.assign(A)
    assert len(guest.licensed) == 30
    guest.sim.quirks.set("others-in-walk", "+1@2*")
    await guest.walk()
    await guest.walk()
    assert len(guest.licensed) == 32


async def test_others_never_assign_more_than_there_is(visit: Visit) -> None:
    guest = await visit(licenses=3, quirks={"others_before_write": "+5"})
    assert (await guest.assign(A)).rows[A]["status"] == "LicenseAssignFailure"
    assert len(guest.licensed) == 3


async def test_a_dose_goes_where_it_is_sent(visit: Visit) -> None:
    guest = await visit(quirks={"error_503": "on@writes+subscription"})
    assert (await guest.status()).status == 200
    assert (await guest.subscription()).status == 503
    assert (await guest.remove(A)).status == 503


async def test_a_wrong_name_or_value_says_what_to_write(visit: Visit) -> None:
    guest = await visit()
    with pytest.raises(BadValueError, match="unknown quirk 'page-sise'; write one of page-size"):
        guest.sim.quirks.set("page-sise", "3")
    with pytest.raises(BadValueError, match="profile=v9: write one of by-version, portal-v3"):
        guest.sim.quirks.set("profile", "v9")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("error-503", text) for text in ("often", "2", "120%", "#0", "x", "1x@nowhere")],
        *[("page-size", text) for text in ("0", "many", "-1")],
        *[("delay", text) for text in ("soon", "-1")],
        ("assigned-off-by", "two"),
        ("others-in-walk", "2@3"),
        ("unknown-devices", "123"),
        ("shuffled-rows", "yes"),
        ("redirect-to", "elsewhere"),
        ("pending-takes", "later"),
    ],
)
async def test_a_value_of_another_kind_is_refused(visit: Visit, name: str, value: str) -> None:
    guest = await visit()
    with pytest.raises(BadValueError, match="write"):
        guest.sim.quirks.set(name, value)


def test_every_quirk_has_a_sentence_and_takes_its_own_defaults() -> None:
    for quirk in TABLE.values():
        assert quirk.help.endswith(".")
        quirk.read(quirk.unkind)
        quirk.read(quirk.kind)
