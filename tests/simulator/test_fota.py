"""The documented behaviour of the FOTA calls."""

from licensesync.simulator.imeis import imei_of
from simulator.conftest import Clock, Visit
from simulator.guest import ACCOUNT, A, B, C


async def test_an_assigned_device_holds_a_license_and_is_listed(visit: Visit) -> None:
    guest = await visit()
    answer = await guest.assign(B, A)
    assert answer.json == {
        "accountName": ACCOUNT,
        "licCount": 1000,
        "licUsedCount": 2,
        "deviceList": [
            {"deviceId": B, "status": "LicenseAssignSuccess", "Reason": "Success"},
            {"deviceId": A, "status": "LicenseAssignSuccess", "Reason": "Success"},
        ],
    }
    assert guest.licensed == [A, B]
    page = (await guest.status()).json
    assert (page["totalLicense"], page["assignedLicenses"], page["hasMoreData"]) == (1000, 2, False)
    assert [row["deviceId"] for row in page["deviceList"]] == [A, B]


async def test_assigning_twice_succeeds_with_a_reason_and_uses_nothing(visit: Visit) -> None:
    guest = await visit()
    await guest.assign(A)
    row = (await guest.assign(A)).rows[A]
    assert (row["status"], row["Reason"]) == ("LicenseAssignSuccess", "Device license preexisting")
    assert guest.licensed == [A]


async def test_a_removed_device_holds_no_license_and_its_license_is_free_at_once(visit: Visit) -> None:
    guest = await visit(licenses=1)
    await guest.assign(A)
    row = (await guest.remove(A)).rows[A]
    assert (row["status"], row["resultReason"]) == ("Success", "Success")
    assert row["updatedTime"].endswith("Z")
    assert (await guest.assign(B)).rows[B]["status"] == "LicenseAssignSuccess"
    assert guest.licensed == [B]


async def test_removing_from_a_device_without_a_license_fails_with_that_reason(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock)
    row = (await guest.remove(A)).rows[A]
    assert (row["status"], row["resultReason"]) == ("Failure", "No license attached to device")
    assert (row["recentAttemptTime"], row["nextAttemptTime"]) == (
        "2027-01-15T08:00:00.000Z",
        "2027-01-16T08:00:00.000Z",
    )


async def test_an_unknown_device_fails_both_ways_in_either_wording(visit: Visit) -> None:
    guest = await visit(quirks={"unknown_devices": [A]})
    assert (await guest.assign(A)).rows[A]["Reason"] == "Device Not Found. "
    assert (await guest.remove(A)).rows[A]["resultReason"] == "Device Not Found. "
    guest.sim.quirks.set("unknown-answer", "does-not-exist")
    assert (await guest.assign(A)).rows[A]["Reason"] == "Device does not exist."


async def test_a_locked_device_fails_both_ways_until_it_is_unlocked(visit: Visit) -> None:
    guest = await visit()
    guest.give([A])
    await guest.post("/_sim/lock", {"devices": [A, B]})
    assert (await guest.remove(A)).rows[A]["status"] == "Failure"
    assert (await guest.assign(B)).rows[B]["status"] == "LicenseAssignFailure"
    assert guest.licensed == [A]
    await guest.post("/_sim/unlock", {"devices": [A]})
    assert (await guest.remove(A)).rows[A]["status"] == "Success"


async def test_a_device_that_was_upgraded_keeps_its_license(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock)
    guest.give([A])
    await guest.post("/_sim/upgraded", {"devices": [A]})
    row = (await guest.remove(A)).rows[A]
    assert (row["status"], row["nextAttemptTime"]) == ("Failure", "2027-01-16T08:00:00.000Z")
    assert guest.licensed == [A]


async def test_mixed_outcomes_come_in_one_answer(visit: Visit) -> None:
    guest = await visit()
    guest.give([A])
    rows = (await guest.remove(A, B)).rows
    assert {device: row["status"] for device, row in rows.items()} == {A: "Success", B: "Failure"}


async def test_no_more_than_the_total_is_ever_assigned(visit: Visit) -> None:
    guest = await visit(licenses=2)
    rows = (await guest.assign(A, B, C)).rows
    assert [row["status"] for row in rows.values()].count("LicenseAssignSuccess") == 2
    assert rows[C]["status"] == "LicenseAssignFailure"
    assert guest.licensed == [A, B]


async def test_the_last_licenses_may_go_to_anyone(visit: Visit) -> None:
    devices = [imei_of(10**13 + n) for n in range(50)]
    guest = await visit(licenses=25, quirks={"fill_order": "seeded"})
    await guest.assign(*devices)
    assert len(guest.licensed) == 25
    assert guest.licensed != devices[:25]


async def test_over_allocation_may_refuse_the_whole_request(visit: Visit) -> None:
    guest = await visit(licenses=2, quirks={"over_allocation": "whole"})
    refused = await guest.assign(A, B, C)
    assert (refused.status, refused.json["errorCode"]) == (400, "INVALID_PARAMETER")
    assert guest.licensed == []


async def test_a_malformed_imei_refuses_the_whole_request(visit: Visit) -> None:
    guest = await visit()
    refused = await guest.assign(A, "12345")
    assert refused.json == {"errorCode": "INVALID_PARAMETER", "errorMessage": "Invalid device id format"}
    assert guest.licensed == []


async def test_a_malformed_imei_may_have_a_row_of_its_own(visit: Visit) -> None:
    guest = await visit(quirks={"malformed_answer": "row"})
    assert (await guest.assign(A, "12345")).rows["12345"]["status"] == "LicenseAssignFailure"
    assert guest.licensed == [A]


async def test_the_misspelt_list_counts_as_empty_unless_that_is_allowed(visit: Visit) -> None:
    guest = await visit()
    path = f"/api/fota/v3/licenses/{ACCOUNT}/assign"
    assert (await guest.post(path, {"devceList": [A]})).json["errorMessage"] == "Device list is empty"
    guest.sim.quirks.set("devce-list", "on")
    assert (await guest.post(path, {"devceList": [A]})).status == 200
    assert guest.licensed == [A]


async def test_a_body_that_is_no_object_with_a_list_of_text_does_not_bind(visit: Visit) -> None:
    guest = await visit()
    path = f"/api/fota/v3/licenses/{ACCOUNT}/assign"
    for body in ([A], {"deviceList": [int(A)]}, {"deviceList": A}):
        assert (await guest.post(path, body)).json["errorMessage"] == "Input binding error"
    assert (await guest.post(path)).json["errorMessage"] == "Input binding error"


async def test_an_account_is_refused_by_its_form_or_because_nobody_knows_it(visit: Visit) -> None:
    guest = await visit()
    assert (await guest.status(account="my'account")).json["errorMessage"] == "Invalid account name format"
    unknown = (await guest.status(account="0999999999-00001")).json
    assert unknown["errorMessage"] == "UWS verification failure (Could not find account 0999999999-00001)"


async def test_a_walk_of_small_pages_finds_everyone_once_in_order(visit: Visit) -> None:
    guest = await visit(devices=95, page_size=20)
    walked = await guest.walk()
    assert walked == guest.licensed
    assert len(set(walked)) == 95
    assert len(guest.sim.requests.of("status")) == 5


async def test_a_page_that_ends_with_the_last_device_is_the_last(visit: Visit) -> None:
    guest = await visit(devices=40, page_size=20)
    assert len(await guest.walk()) == 40
    assert len(guest.sim.requests.of("status")) == 2


async def test_a_cursor_must_be_zero_or_an_imei(visit: Visit) -> None:
    guest = await visit(devices=3)
    refused = await guest.status("1000")
    assert (refused.status, refused.json["errorMessage"]) == (400, "LastSeenDeviceId Not Valid")
    guest.sim.quirks.set("cursor-check", "lenient")
    assert (await guest.status("1000")).json["assignedLicenses"] == 3
    guest.sim.quirks.set("cursor-check", "licensed")
    assert (await guest.status(A)).status == 400
    assert (await guest.status(guest.licensed[1])).json["deviceList"][0]["deviceId"] == guest.licensed[2]


async def test_version_one_numbers_its_cursor_and_writes_go_times(visit: Visit, clock: Clock) -> None:
    guest = await visit(devices=3, page_size=2, clock=clock)
    page = (await guest.status(version="v1")).json
    assert page["totalLicenses"] == 1000
    assert page["lastSeenDeviceId"] == int(guest.licensed[1])
    assert page["deviceList"][0]["assignmentTime"] == "2027-01-15 08:00:00.000 +0000 UTC"
    assert (await guest.status(str(page["lastSeenDeviceId"]), version="v1")).json["lastSeenDeviceId"] == 0


async def test_version_one_has_words_of_its_own(visit: Visit) -> None:
    guest = await visit()
    assert (await guest.assign(A, version="v1")).rows[A]["status"] == "LicenseAssignSuccess"
    assert (await guest.remove(A, version="v1")).rows[A] == {
        "deviceId": A,
        "status": "LicenseRemoveSuccess",
        "Reason": "Success",
    }
    assert (await guest.remove(A, version="v1")).rows[A]["status"] == "LicenseRemoveFailed"


async def test_the_status_call_has_two_forms_and_either_may_be_missing(visit: Visit) -> None:
    guest = await visit(devices=3, page_size=2)
    query = f"/api/fota/v3/licenses/{ACCOUNT}"
    assert len((await guest.get(query)).json["deviceList"]) == 2
    assert len((await guest.get(f"{query}?lastSeenDeviceId={guest.licensed[1]}")).json["deviceList"]) == 1
    guest.sim.quirks.set("status-form", "path")
    missing = await guest.get(query)
    assert (missing.status, missing.json["fault"]["code"]) == (400, "900906")
    guest.sim.quirks.set("status-form", "query")
    guest.sim.quirks.set("missing-call", "404")
    as_xml = await guest.status()
    assert as_xml.status == 404
    assert b"<am:fault" in as_xml.body


async def test_the_firmware_path_does_not_exist_unless_it_is_asked_for(visit: Visit) -> None:
    guest = await visit()
    path = f"/api/fota/v3/firmware/licenses/{ACCOUNT}/assign"
    assert (await guest.post(path, {"deviceList": [A]})).json["fault"]["code"] == "900906"
    assert guest.licensed == []
    guest.sim.quirks.set("firmware-alias", "on")
    assert (await guest.post(path, {"deviceList": [A]})).status == 200
    assert guest.licensed == [A]


async def test_the_subscription_tells_what_was_bought_and_used(visit: Visit) -> None:
    guest = await visit(devices=3)
    for version in ("v1", "v2", "v3"):
        told = (await guest.subscription(version)).json
        assert (told["accountName"], told["purchaseType"]) == (ACCOUNT, "TS-HFOTA-MRC")
        assert (told["licenseCount"], told["licenseUsedCount"]) == (1000, 3)


async def test_an_account_of_events_has_no_licenses(visit: Visit) -> None:
    guest = await visit(quirks={"purchase_type": "event"})
    told = (await guest.subscription()).json
    assert (told["purchaseType"], told["licenseCount"]) == ("TS-HFOTA-EVNT", 0)
    assert (await guest.assign(A)).rows[A]["status"] == "LicenseAssignFailure"
    guest.sim.quirks.set("purchase-type", "event-refused")
    assert (await guest.assign(A)).status == 400


async def test_a_look_up_tells_who_holds_a_license(visit: Visit) -> None:
    guest = await visit(quirks={"unknown_devices": [C]})
    await guest.assign(A)
    looked_up = await guest.look_up(A, B, C)
    assert looked_up.json["deviceCount"] == 3
    assert [looked_up.rows[device].get("licenseAssigned") for device in (A, B, C)] == [True, False, None]
    assert (looked_up.rows[C]["requestStatus"], looked_up.rows[C]["resultReason"]) == ("Failure", "Device Not Found. ")


async def test_a_look_up_may_lag_behind_the_write(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"lookup_lag": 5})
    await guest.assign(A)
    assert (await guest.look_up(A)).rows[A]["licenseAssigned"] is False
    clock.now += 5
    assert (await guest.look_up(A)).rows[A]["licenseAssigned"] is True


async def test_a_look_up_of_more_than_a_thousand_is_refused(visit: Visit) -> None:
    guest = await visit()
    devices = [imei_of(10**13 + n) for n in range(1001)]
    assert (await guest.look_up(*devices)).status == 400
    assert (await guest.look_up(*devices[1:])).json["deviceCount"] == 1000


async def test_the_device_list_hides_other_protocols_unless_all_are_asked_for(visit: Visit) -> None:
    guest = await visit(devices=50, page_size=30)
    path = f"/api/fota/v3/devices/{ACCOUNT}"
    by_default = (await guest.get(path)).json
    assert {row["protocol"] for row in by_default["deviceList"]} == {"LWM2M"}
    first = (await guest.get(f"{path}?protocol=all")).json
    rest = (await guest.get(f"{path}?protocol=all&lastSeenDeviceId={first['lastSeenDeviceId']}")).json
    listed = [row["deviceId"] for row in first["deviceList"] + rest["deviceList"]]
    assert listed == guest.licensed
    assert (first["hasMoreData"], rest["hasMoreData"]) == (True, False)


async def test_a_device_that_lost_its_license_stays_in_the_device_list(visit: Visit) -> None:
    guest = await visit()
    await guest.assign(A)
    await guest.remove(A)
    listed = (await guest.get(f"/api/fota/v3/devices/{ACCOUNT}?protocol=all")).rows
    assert listed[A]["licenseAssigned"] is False


async def test_an_unknown_protocol_is_refused(visit: Visit) -> None:
    guest = await visit()
    assert (await guest.get(f"/api/fota/v3/devices/{ACCOUNT}?protocol=FTP")).status == 400


async def test_a_device_that_is_asked_twice_has_two_rows(visit: Visit) -> None:
    guest = await visit()
    listed = (await guest.assign(A, A)).json["deviceList"]
    assert [row["Reason"] for row in listed] == ["Success", "Device license preexisting"]
