"""Every call that Verizon's SDK has is witnessed at the simulator, or it is said here why not: none is forgotten."""

import importlib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from licensesync.simulator.calls import Call
from witness.calls import SdkCall, every_call
from witness.witnesses import Start, Witness

pytestmark = pytest.mark.witness

NOT_IN_THE_SDK = {Call.REVOKE: "the SDK has no way to end a bearer token"}
"""Calls of the simulator that no method of the SDK makes."""

CALLS_WITHOUT_A_WITNESS = {
    "oauth_authorization.request_token_thingspace_oauth_1": "asks where no tokens are: test_sdk_tokens.py shows it",
    "session_management.reset_connectivity_management_password": "would change the password that the program has",
    **dict.fromkeys(
        (
            f"software_management_licenses_v{version}.{name}_licenses_to_remove"
            for version in (1, 2)
            for name in ("create_list_of", "delete_list_of", "list")
        ),
        "says which licenses go first if fewer are bought: none is given or taken, and version 3 has no such list",
    ),
}
"""Calls of controllers that have witnessed ones too, each with the reason why the simulator does not know it."""

CONTROLLERS_WITHOUT_A_WITNESS = {
    controller: reason
    for reason, controllers in {
        "tells of firmware and upgrades: none of these callbacks is about a license": (
            "software_management_callbacks_v1 software_management_callbacks_v2 software_management_callbacks_v3"
        ),
        "brings firmware, software and files to devices that have a license; gives and takes none": (
            "campaigns_v2 campaigns_v3 firmware_v1 firmware_v3 configuration_files client_logging server_logging "
            "software_management_reports_v1 software_management_reports_v2 software_management_reports_v3"
        ),
        "is about lines, SIMs, profiles and groups of devices, which are there before there is a license": (
            "device_management device_groups device_profile_management e_uicc_device_profile_management "
            "managing_e_sim_profiles device_actions device_role_controller global_reporting sim_actions pwn "
            "m_5g_bi_device_actions account_requests"
        ),
        "is about accounts and what they pay, not about which device has a license": (
            "account_service_controller accounts service_plans billing retrieve_rate_plan_list "
            "promotion_period_information usage_trigger_management create_price_plan_triggers "
            "update_price_plan_triggers retrieve_the_triggers update_triggers"
        ),
        "belongs to a service that is neither software management nor SIM-Secure": (
            "sms device_sms_messaging device_diagnostics device_monitoring devices_locations exclusions "
            "devices_location_subscriptions device_location_callbacks diagnostics_subscriptions "
            "diagnostics_observations diagnostics_history diagnostics_settings diagnostics_callbacks "
            "diagnostics_factory_reset targets cloud_connector_subscriptions cloud_connector_devices "
            "hpl_device_management device_service_management device_reports hyper_precise_location_callbacks "
            "device_credential_management anomaly_settings anomaly_triggers anomaly_triggers_v2 "
            "intelligence_service_controller wireless_network_performance thing_space_quality_of_service_api_actions "
            "map_data_manager client sensor_insights_sensors sensor_insights_devices sensor_insights_gateways "
            "sensor_insights_smart_alerts sensor_insights_rules sensor_insights_health_score "
            "sensor_insights_notification_groups sensor_insights_users sensor_insights_device_profile "
            "sensor_insights_smart_alert_metrics"
        ),
    }.items()
    for controller in controllers.split()
}
"""Whole controllers of which the simulator knows nothing, each with the reason."""


@pytest.fixture(scope="module")
def calls() -> list[SdkCall]:
    return list(every_call())


def test_what_the_simulator_knows_of_the_sdk_is_witnessed_call_by_call(calls: list[SdkCall], start: Start) -> None:
    known = {str(call): meant for call, meant in zip(calls, _understood(start(), calls), strict=True) if meant}
    assert set(known) == set(_witnessed())
    assert {*known.values(), *NOT_IN_THE_SDK} == set(Call)


def test_what_has_no_witness_has_a_reason(calls: list[SdkCall]) -> None:
    unseen = {str(call): call.controller for call in calls if str(call) not in _witnessed()}
    by_controller = {call for call, controller in unseen.items() if controller in CONTROLLERS_WITHOUT_A_WITNESS}
    assert set(unseen) - by_controller == set(CALLS_WITHOUT_A_WITNESS)
    assert {unseen[call] for call in by_controller} == set(CONTROLLERS_WITHOUT_A_WITNESS)
    assert not {call.partition(".")[0] for call in _witnessed()} & set(CONTROLLERS_WITHOUT_A_WITNESS)


def _understood(witness: Witness, calls: list[SdkCall]) -> Iterator[Call | None]:
    """What the simulator takes each request for, which it tells of one without a token too."""
    at = urlsplit(witness.url)
    connection = HTTPConnection(at.hostname or "", at.port)
    before = len(witness.ask("requests"))
    for call in calls:
        connection.request(call.method, call.path)
        connection.getresponse().read()
    connection.close()
    seen = witness.ask("requests")[before:]
    assert [(each["method"], each["path"]) for each in seen] == [(call.method, call.path) for call in calls]
    return (Call(each["call"]) if each["call"] else None for each in seen)


def _witnessed() -> set[str]:
    """What the tests beside this one say that they are the witnesses of; each is held to its word."""
    modules = (importlib.import_module(f"witness.{path.stem}") for path in Path(__file__).parent.glob("test_*.py"))
    tests = (value for module in modules for name, value in vars(module).items() if name.startswith("test_"))
    marks = (mark for test in tests for mark in getattr(test, "pytestmark", ()) if mark.name == "witness")
    return {call for mark in marks for call in mark.args}
