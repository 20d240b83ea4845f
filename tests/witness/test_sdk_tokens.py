"""Verizon's SDK gets both tokens from the simulator, and is told when they are no longer good."""

from base64 import b64encode

import pytest
from verizon.exceptions.connectivity_management_result_exception import ConnectivityManagementResultException
from verizon.exceptions.fota_v3_result_exception import FotaV3ResultException
from verizon.exceptions.oauth_provider_exception import OauthProviderException
from verizon.exceptions.security_result_exception import SecurityResultException
from verizon.models.log_in_request import LogInRequest
from verizon.models.security_subscription_request import SecuritySubscriptionRequest

from licensesync.simulator.auth import Credentials
from witness.witnesses import ACCOUNT, Start

pytestmark = pytest.mark.witness

KNOWN = Credentials("key", "secret", "user", "password")


def basic(key: str, secret: str) -> str:
    return "Basic " + b64encode(f"{key}:{secret}".encode()).decode()


@pytest.mark.witness("oauth_authorization.request_token_thingspace_oauth")
def test_a_bearer_token_is_given_and_the_same_one_again(start: Start) -> None:
    oauth = start().client.oauth_authorization
    first, second = (oauth.request_token_thingspace_oauth(basic("key", "secret")).body for _ in range(2))
    assert first.access_token
    assert second.access_token == first.access_token
    assert (first.token_type, first.scope) == ("Bearer", "am_application_scope default")
    assert 0 < second.expires_in <= first.expires_in <= 3600


def test_a_wrong_key_is_read_as_the_documented_error(start: Start) -> None:
    oauth = start(credentials=KNOWN).client.oauth_authorization
    with pytest.raises(OauthProviderException) as refused:
        oauth.request_token_thingspace_oauth(basic("key", "another"))
    assert refused.value.response_code == 401
    assert refused.value.error == "invalid_client"


def test_the_sdk_has_a_second_way_to_ask_for_a_token_which_leads_nowhere(start: Start) -> None:
    witness = start()
    with pytest.raises(OauthProviderException) as refused:
        witness.client.oauth_authorization.request_token_thingspace_oauth_1(basic("key", "secret"))
    assert refused.value.response_code == 400
    last = witness.ask("requests")[-1]
    assert (last["method"], last["path"], last["call"]) == ("POST", "/api/ts/v1/", "")


@pytest.mark.witness("session_management.start_connectivity_management_session")
def test_a_wrong_password_is_read_as_the_documented_error(start: Start) -> None:
    sessions = start(credentials=KNOWN).outside.session_management
    with pytest.raises(ConnectivityManagementResultException) as refused:
        sessions.start_connectivity_management_session(LogInRequest(username="user", password="another"))
    assert refused.value.error_code == "UnifiedWebService.INPUT_INVALID.Password.Invalid"


@pytest.mark.witness("session_management.end_connectivity_management_session")
def test_a_session_that_was_ended_is_refused_in_the_words_of_each_service(start: Start) -> None:
    witness = start()
    ended = witness.client.session_management.end_connectivity_management_session().body
    assert ended.session_token == witness.session
    with pytest.raises(FotaV3ResultException) as by_fota:
        witness.licenses.get_account_licenses_status(ACCOUNT)
    assert by_fota.value.error_message == "UWS verification failure (The Session has expired.)"
    with pytest.raises(SecurityResultException) as by_uws:
        witness.client.account_subscriptions.list_account_subscriptions(SecuritySubscriptionRequest(ACCOUNT))
    assert by_uws.value.error_code == "UnifiedWebService.REQUEST_FAILED.SessionToken.Expired"


def test_the_sdk_does_not_log_in_again_when_its_session_has_run_out(start: Start) -> None:
    witness = start(quirks={"session-lifetime": "0"})
    for _ in range(2):
        with pytest.raises(FotaV3ResultException):
            witness.licenses.get_account_licenses_status(ACCOUNT)
    assert [seen["call"] for seen in witness.ask("requests") if seen["call"] == "login"] == ["login"]
