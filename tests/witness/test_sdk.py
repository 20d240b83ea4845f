"""Verizon's own SDK speaks with the simulator: an independent witness that it speaks the documented protocol."""

from typing import Any

import pytest
from apimatic_core.utilities.api_helper import ApiHelper
from verizon.exceptions.api_exception import APIException
from verizon.exceptions.fota_v3_result_exception import FotaV3ResultException
from verizon.models.device_imei import DeviceIMEI
from verizon.models.v3_license_imei import V3LicenseIMEI
from yaml import YAMLError

from witness.witnesses import ACCOUNT, Start

pytestmark = pytest.mark.witness

A, B = "990000473475989", "990003425730535"


def rows(answer: Any) -> dict[str, Any]:
    return {row.device_id: row for row in answer.body.device_list}


@pytest.mark.witness("software_management_licenses_v3.get_account_licenses_status")
def test_the_status_is_read_page_by_page(start: Start) -> None:
    witness = start(devices=25, page_size=10)
    found: list[str] = []
    cursor, more = None, True
    while more:
        page = witness.licenses.get_account_licenses_status(ACCOUNT, cursor).body
        assert (page.account_name, page.total_licenses, page.assigned_licenses) == (ACCOUNT, 1000, 25)
        assert page.max_page_size == 10
        found += [row.device_id for row in page.device_list]
        cursor, more = getattr(page, "last_seen_device_id", None), page.has_more_data
    assert found == witness.licensed()


@pytest.mark.witness(
    "software_management_licenses_v3.assign_licenses_to_devices",
    "software_management_licenses_v3.remove_licenses_from_devices",
)
def test_licenses_are_assigned_and_removed(start: Start) -> None:
    witness = start()
    assigned = witness.licenses.assign_licenses_to_devices(ACCOUNT, V3LicenseIMEI([A, B]))
    assert (assigned.body.lic_count, assigned.body.lic_used_count) == (1000, 2)
    assert {row.status for row in rows(assigned).values()} == {"LicenseAssignSuccess"}
    assert witness.licensed() == [A, B]
    removed = witness.licenses.remove_licenses_from_devices(ACCOUNT, V3LicenseIMEI([A]))
    assert rows(removed)[A].status == "Success"
    assert witness.licensed() == [B]


def test_a_refusal_is_read_as_the_documented_error(start: Start) -> None:
    witness = start()
    with pytest.raises(FotaV3ResultException) as refused:
        witness.licenses.assign_licenses_to_devices(ACCOUNT, V3LicenseIMEI(["123"]))
    assert (refused.value.error_code, refused.value.error_message) == ("INVALID_PARAMETER", "Invalid device id format")


@pytest.mark.witness("software_management_subscriptions_v3.get_account_subscription_status")
def test_the_subscription_is_read(start: Start) -> None:
    witness = start(devices=3)
    told = witness.client.software_management_subscriptions_v3.get_account_subscription_status(ACCOUNT).body
    assert (told.account_name, told.purchase_type) == (ACCOUNT, "TS-HFOTA-MRC")
    assert (told.license_count, told.license_used_count) == (1000, 3)
    assert told.update_time is not None


@pytest.mark.witness("account_devices.list_account_devices_information")
def test_devices_are_looked_up(start: Start) -> None:
    witness = start(quirks={"unknown-devices": B})
    witness.licenses.assign_licenses_to_devices(ACCOUNT, V3LicenseIMEI([A]))
    looked_up = witness.client.account_devices.list_account_devices_information(ACCOUNT, DeviceIMEI([A, B]))
    assert looked_up.body.device_count == 2
    assert (rows(looked_up)[A].license_assigned, rows(looked_up)[A].request_status) == (True, "Success")
    assert rows(looked_up)[B].result_reason == "Device Not Found. "


@pytest.mark.witness("account_devices.get_account_device_information")
def test_devices_are_listed_but_the_sdk_asks_for_one_protocol_only(start: Start) -> None:
    witness = start(devices=20)
    listed = witness.client.account_devices.get_account_device_information(ACCOUNT).body
    assert {row.protocol for row in listed.device_list} == {"LWM2M"}
    assert 0 < len(listed.device_list) < 20


def test_the_sdk_drops_the_total_and_the_reason_as_the_portal_spells_them(start: Start) -> None:
    witness = start()
    witness.switch(profile="portal-v3")
    page = witness.licenses.get_account_licenses_status(ACCOUNT).body
    assert not hasattr(page, "total_licenses")
    row = rows(witness.licenses.assign_licenses_to_devices(ACCOUNT, V3LicenseIMEI([A])))[A]
    assert getattr(row, "result_reason", None) is None


def test_the_sdk_knows_a_bad_token_only_as_a_bare_error(start: Start) -> None:
    witness = start(quirks={"bearer-dies": "#1"})
    with pytest.raises(APIException) as refused:
        witness.licenses.get_account_licenses_status(ACCOUNT)
    assert refused.value.response_code == 401
    assert ApiHelper.json_deserialize(refused.value.response.text)["fault"]["code"] == "900901"


@pytest.mark.parametrize("shape", ["html", "xml", "empty"])
def test_the_sdk_cannot_say_what_was_refused_where_the_body_is_no_json(start: Start, shape: str) -> None:
    witness = start(quirks={"service-shape": shape})
    with pytest.raises(FotaV3ResultException) as refused:
        witness.licenses.assign_licenses_to_devices(ACCOUNT, V3LicenseIMEI(["123"]))
    assert refused.value.response_code == 400
    with pytest.raises(AttributeError):
        str(refused.value)


def test_the_sdk_asks_for_the_status_by_a_query_only_where_the_portal_documents_a_path(start: Start) -> None:
    witness = start(quirks={"status-form": "path"})
    with pytest.raises(FotaV3ResultException) as refused:
        witness.licenses.get_account_licenses_status(ACCOUNT)
    assert ApiHelper.json_deserialize(refused.value.response.text)["fault"]["code"] == "900906"


def test_the_sdk_calls_a_page_of_html_a_success_and_finds_no_licenses(start: Start) -> None:
    witness = start(devices=3, quirks={"html-200": "#1@status"})
    answer = witness.licenses.get_account_licenses_status(ACCOUNT)
    assert answer.is_success()
    assert not hasattr(answer.body, "device_list")


def test_the_sdk_tries_what_was_cut_short_as_yaml_and_lets_its_error_through(start: Start) -> None:
    witness = start(devices=3, quirks={"truncated-json": "#1@status"})
    with pytest.raises(YAMLError):
        witness.licenses.get_account_licenses_status(ACCOUNT)
