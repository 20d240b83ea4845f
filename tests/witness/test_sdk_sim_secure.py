"""Verizon's own SDK assigns SIM-Secure licenses at the simulator, and registers where it is called back."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from verizon.exceptions.connectivity_management_result_exception import ConnectivityManagementResultException
from verizon.exceptions.security_result_exception import SecurityResultException
from verizon.models.assign_license_request import AssignLicenseRequest
from verizon.models.license_device_id import LicenseDeviceId
from verizon.models.license_device_list import LicenseDeviceList
from verizon.models.register_callback_request import RegisterCallbackRequest
from verizon.models.security_subscription_request import SecuritySubscriptionRequest

from witness.witnesses import ACCOUNT, Start, Witness

pytestmark = pytest.mark.witness

SKU = "SIMSec-IoT"
A, B = ("990000473475989", "89148000000800139708"), ("990003425730535", "89148000000800139716")


class Heard:
    """Where the callbacks arrive."""

    def __init__(self) -> None:
        self.bodies: Queue[dict[str, Any]] = Queue()
        bodies = self.bodies

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the library calls it so
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/callbacks"


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    thread = Thread(target=heard.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield heard
    heard.server.shutdown()
    thread.join()
    heard.server.server_close()


def request(*devices: tuple[str, str]) -> AssignLicenseRequest:
    listed = [
        LicenseDeviceList([LicenseDeviceId(imei, "IMEI"), LicenseDeviceId(iccid, "ICCID")]) for imei, iccid in devices
    ]
    return AssignLicenseRequest(ACCOUNT, listed, SKU)


def counts(witness: Witness) -> tuple[int, int, int]:
    wanted = SecuritySubscriptionRequest(ACCOUNT, SKU)
    (told,) = witness.client.account_subscriptions.list_account_subscriptions(wanted).body.subscription_list
    return told.license_purchased, told.license_assigned, told.license_available


@pytest.mark.witness(
    "sim_secure_for_io_t_licenses.assign_license_to_devices",
    "account_subscriptions.list_account_subscriptions",
    "connectivity_callbacks.register_callback",
)
def test_licenses_are_assigned_counted_and_told(start: Start, heard: Heard) -> None:
    witness = start()
    witness.ask("sku", {"sku": SKU, "purchased": 9, "assigned": 6})
    registered = witness.client.connectivity_callbacks.register_callback(
        ACCOUNT, RegisterCallbackRequest("CarrierService", heard.url, "ours", "in clear")
    )
    assert (registered.body.account_name, registered.body.service_name) == (ACCOUNT, "CarrierService")
    assigned = witness.client.sim_secure_for_io_t_licenses.assign_license_to_devices(request(A, B)).body
    told = [heard.bodies.get(timeout=5) for _ in range(2)]
    assert counts(witness) == (9, 8, 1)
    assert {body["requestId"] for body in told} == {assigned.request_id}
    assert {(body["status"], body["username"], body["password"]) for body in told} == {("Success", "ours", "in clear")}
    skus = witness.world()["skus"]
    assert skus[SKU]["licensed"] == [list(A), list(B)]


@pytest.mark.witness("connectivity_callbacks.list_registered_callbacks", "connectivity_callbacks.deregister_callback")
def test_the_registration_is_listed_with_its_password_and_ended(start: Start, heard: Heard) -> None:
    callbacks = start().client.connectivity_callbacks
    callbacks.register_callback(ACCOUNT, RegisterCallbackRequest("CarrierService", heard.url, "ours", "in clear"))
    (listed,) = callbacks.list_registered_callbacks(ACCOUNT).body
    assert (listed.service_name, listed.url, listed.password) == ("CarrierService", heard.url, "in clear")
    assert callbacks.deregister_callback(ACCOUNT, "CarrierService").body.service_name == "CarrierService"


def test_a_refusal_is_read_as_the_documented_error(start: Start) -> None:
    witness = start(quirks={"sim-batches": "whole"})
    witness.ask("sku", {"sku": SKU, "purchased": 9, "licensed": [A]})
    with pytest.raises(SecurityResultException) as refused:
        witness.client.sim_secure_for_io_t_licenses.assign_license_to_devices(request(A))
    assert refused.value.error_code == "UnifiedWebService.REQUEST_FAILED.CarrierRequestUnsuccessful"
    assert refused.value.error_message == "REQUEST FAILED: Device already has license assigned."


@pytest.mark.witness("sim_secure_for_io_t_licenses.unassign_license_to_devices")
def test_the_sdk_cannot_unassign_for_it_sends_no_body(start: Start) -> None:
    witness = start()
    witness.ask("sku", {"sku": SKU, "purchased": 9, "licensed": [A]})
    with pytest.raises(SecurityResultException) as refused:
        witness.client.sim_secure_for_io_t_licenses.unassign_license_to_devices("1-23456789")
    assert refused.value.error_code == "UnifiedWebService.INPUT_INVALID.RequestUndefined"
    assert counts(witness) == (9, 1, 8)


@pytest.mark.parametrize("form", ["empty", "list"])
def test_where_nothing_is_registered_the_sdk_finds_nothing_in_each_form(start: Start, form: str) -> None:
    callbacks = start(quirks={"no-callbacks": form}).client.connectivity_callbacks
    assert not callbacks.list_registered_callbacks(ACCOUNT).body
    with pytest.raises(ConnectivityManagementResultException) as refused:
        callbacks.deregister_callback(ACCOUNT, "CarrierService")
    assert refused.value.error_code == "UnifiedWebService.REQUEST_FAILED.CallbackNotRegistered"
