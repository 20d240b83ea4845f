"""Verizon's SDK speaks the two older versions of software management, which it still has, with the simulator."""

from collections.abc import Callable
from typing import Any

import pytest
from verizon.exceptions.fota_v1_result_exception import FotaV1ResultException
from verizon.exceptions.fota_v2_result_exception import FotaV2ResultException
from verizon.models.v1_licenses_assigned_removed_request import V1LicensesAssignedRemovedRequest
from verizon.models.v2_license_imei import V2LicenseIMEI

from witness.witnesses import ACCOUNT, Start

pytestmark = pytest.mark.witness

A, B = "990000473475989", "990003425730535"
AS_DOCUMENTED = {"profile": "by-version"}


def told(answer: Any) -> list[tuple[str, str, str]]:
    """Device, status and reason of each row; the two versions call the reason differently."""
    rows = answer.body.device_list
    return [(row.device_id, row.status, getattr(row, "reason", None) or row.result_reason) for row in rows]


def deprecated(call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call answers, of which the SDK says that it will go."""
    with pytest.deprecated_call():
        return call(*arguments)


@pytest.mark.witness(
    "software_management_licenses_v1.assign_licenses_to_devices",
    "software_management_licenses_v1.remove_licenses_from_devices",
)
def test_version_one_assigns_and_removes_with_words_of_its_own(start: Start) -> None:
    witness = start(quirks=AS_DOCUMENTED)
    licenses = witness.client.software_management_licenses_v1
    assigned = deprecated(licenses.assign_licenses_to_devices, ACCOUNT, V1LicensesAssignedRemovedRequest([A]))
    assert (assigned.body.account_name, assigned.body.lic_count, assigned.body.lic_used_count) == (ACCOUNT, 1000, 1)
    assert told(assigned) == [(A, "LicenseAssignSuccess", "Success")]
    assert witness.licensed() == [A]
    removed = deprecated(licenses.remove_licenses_from_devices, ACCOUNT, V1LicensesAssignedRemovedRequest([A, B]))
    assert told(removed) == [
        (A, "LicenseRemoveSuccess", "Success"),
        (B, "LicenseRemoveFailed", "No license attached to device"),
    ]
    assert witness.licensed() == []


@pytest.mark.witness(
    "software_management_licenses_v2.assign_licenses_to_devices",
    "software_management_licenses_v2.remove_licenses_from_devices",
)
def test_version_two_assigns_and_removes_though_the_sdk_does_not_say_that_it_sends_json(start: Start) -> None:
    witness = start(quirks=AS_DOCUMENTED)
    licenses = witness.client.software_management_licenses_v2
    assigned = deprecated(licenses.assign_licenses_to_devices, ACCOUNT, V2LicenseIMEI([A], ACCOUNT))
    assert assigned.request.headers["Content-Type"] == "*/*"
    assert (assigned.body.account_name, assigned.body.lic_total_count, assigned.body.lic_used_count) == (
        ACCOUNT,
        1000,
        1,
    )
    again = deprecated(licenses.assign_licenses_to_devices, ACCOUNT, V2LicenseIMEI([A]))
    assert told(assigned) == [(A, "Success", "Success")]
    assert told(again) == [(A, "Success", "Device license preexisting")]
    assert witness.licensed() == [A]
    removed = deprecated(licenses.remove_licenses_from_devices, ACCOUNT, V2LicenseIMEI([A, B], ACCOUNT))
    assert told(removed) == [(A, "Success", "Success"), (B, "Failure", "No license attached to device")]
    assert witness.licensed() == []


@pytest.mark.witness("software_management_licenses_v2.get_account_license_status")
def test_the_second_version_of_the_status_is_read_page_by_page(start: Start) -> None:
    witness = start(devices=25, page_size=10, quirks=AS_DOCUMENTED)
    found: list[str] = []
    cursor, more = None, True
    while more:
        page = witness.client.software_management_licenses_v2.get_account_license_status(ACCOUNT, cursor).body
        assert (page.account_name, page.total_license, page.assigned_licenses) == (ACCOUNT, 1000, 25)
        assert page.max_page_size == 10
        found += [row.device_id for row in page.device_list]
        cursor, more = getattr(page, "last_seen_device_id", None), page.has_more_data
    assert found == witness.licensed()


@pytest.mark.witness("software_management_subscriptions_v1.get_account_license_status")
def test_the_first_version_of_the_status_is_read_page_by_page(start: Start) -> None:
    witness = start(devices=25, page_size=10, quirks={**AS_DOCUMENTED, "time-form": "iso"})
    pages = [witness.client.software_management_subscriptions_v1.get_account_license_status(ACCOUNT, "0").body]
    while pages[-1].has_more_data:
        cursor = str(pages[-1].last_seen_device_id)
        pages += [witness.client.software_management_subscriptions_v1.get_account_license_status(ACCOUNT, cursor).body]
    assert {(page.account_name, page.total_licenses, page.assigned_licenses) for page in pages} == {(ACCOUNT, 1000, 25)}
    assert [row.device_id for page in pages for row in page.device_list] == witness.licensed()
    assert not hasattr(pages[-1], "last_seen_device_id"), "the SDK takes the 0 of the last page for nothing"


def test_the_sdk_crashes_on_the_times_that_are_documented_for_version_one(start: Start) -> None:
    witness = start(devices=1, quirks=AS_DOCUMENTED)
    with pytest.raises(ValueError, match="Unknown string format"):
        witness.client.software_management_subscriptions_v1.get_account_license_status(ACCOUNT, "0")


@pytest.mark.witness(
    "software_management_subscriptions_v1.get_account_subscription_status",
    "software_management_subscriptions_v2.get_account_subscription_status",
)
def test_the_subscription_is_read_in_both_versions(start: Start) -> None:
    client = start(devices=3, quirks=AS_DOCUMENTED).client
    for controller in (client.software_management_subscriptions_v1, client.software_management_subscriptions_v2):
        subscription = controller.get_account_subscription_status(ACCOUNT).body
        assert (subscription.account_name, subscription.purchase_type) == (ACCOUNT, "TS-HFOTA-MRC")
        assert (subscription.license_count, subscription.license_used_count) == (1000, 3)
        assert subscription.update_time


def test_a_refusal_is_read_as_the_documented_error_of_both_versions(start: Start) -> None:
    client = start(quirks=AS_DOCUMENTED).client
    with pytest.raises(FotaV1ResultException) as first:
        deprecated(
            client.software_management_licenses_v1.assign_licenses_to_devices,
            ACCOUNT,
            V1LicensesAssignedRemovedRequest(["123"]),
        )
    with pytest.raises(FotaV2ResultException) as second:
        deprecated(client.software_management_licenses_v2.assign_licenses_to_devices, ACCOUNT, V2LicenseIMEI(["123"]))
    for refused in (first.value, second.value):
        assert (refused.error_code, refused.error_message) == ("INVALID_PARAMETER", "Invalid device id format")
