"""Tokens, sessions, and what happens without them."""

from licensesync.simulator.auth import Credentials
from simulator.conftest import Clock, Visit
from simulator.guest import ACCOUNT, A


async def test_the_same_token_is_handed_out_again_with_what_is_left_of_its_life(visit: Visit, clock: Clock) -> None:
    guest = await visit(come_in=False, clock=clock)
    first = (await guest.token()).json
    clock.now += 600
    again = (await guest.token()).json
    assert (first["expires_in"], first["token_type"]) == (3600, "Bearer")
    assert again == {**first, "expires_in": 3000}


async def test_a_token_that_ended_is_replaced_and_refused(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"bearer_lifetime": 20})
    clock.now += 20
    refused = await guest.status()
    assert (refused.status, refused.json["fault"]["code"]) == (401, "900901")
    assert (await guest.token()).json["expires_in"] == 20
    assert (await guest.status()).status == 401


async def test_the_first_token_may_be_nearly_dead(visit: Visit, clock: Clock) -> None:
    guest = await visit(come_in=False, clock=clock, quirks={"bearer_remainder": 2})
    assert (await guest.token()).json["expires_in"] == 2
    clock.now += 2
    assert (await guest.token()).json["expires_in"] == 3600


async def test_a_revoked_token_is_refused_and_the_next_one_is_new(visit: Visit) -> None:
    guest = await visit()
    token = guest.headers["Authorization"].removeprefix("Bearer ")
    revoked = await guest.post(
        "/api/ts/v1/oauth2/revoke",
        data={"grant_type": "client_credentials", "token": token},
        headers={"Authorization": "Basic a2V5OnNlY3JldA=="},
    )
    assert (revoked.status, revoked.body, revoked.headers["RevokedAccessToken"]) == (200, b"", token)
    assert (await guest.status()).status == 401
    assert (await guest.token()).json["access_token"] != token


async def test_a_wrong_grant_is_refused_in_the_words_of_oauth(visit: Visit) -> None:
    guest = await visit(come_in=False)
    refused = await guest.token(grant="password")
    assert (refused.status, refused.json["error"]) == (400, "unsupported_grant_type")


async def test_a_token_request_without_a_basic_header_misses_credentials(visit: Visit) -> None:
    guest = await visit(come_in=False)
    refused = await guest.token(basic="")
    assert (refused.status, refused.json["fault"]["code"]) == (401, "900902")


async def test_other_credentials_than_the_chosen_ones_are_refused(visit: Visit) -> None:
    guest = await visit(come_in=False, credentials=Credentials("key", "other", "user", "password"))
    refused = await guest.token()
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")


async def test_a_call_without_a_bearer_misses_credentials_and_one_with_basic_is_forbidden(visit: Visit) -> None:
    guest = await visit(come_in=False)
    missing = await guest.status()
    assert (missing.status, missing.json["fault"]["code"]) == (401, "900902")
    guest.headers = {"Authorization": "Basic abc"}
    forbidden = await guest.status()
    assert forbidden.status == 403
    assert b"<am:fault" in forbidden.body


async def test_five_wrong_logins_lock_the_user_even_for_the_right_password(visit: Visit) -> None:
    guest = await visit(credentials=Credentials("key", "secret", "user", "password"))
    for _ in range(5):
        wrong = await guest.login(password="wrong")
        assert (wrong.status, wrong.json["errorCode"]) == (400, "UnifiedWebService.INPUT_INVALID.Password.Invalid")
    locked = await guest.login()
    assert locked.status == 400
    assert "locked" in locked.json["errorMessage"]


async def test_a_right_login_in_between_starts_the_count_of_failures_anew(visit: Visit) -> None:
    guest = await visit(credentials=Credentials("key", "secret", "user", "password"))
    for _ in range(4):
        await guest.login(password="wrong")
    assert (await guest.login()).status == 200
    for _ in range(4):
        await guest.login(password="wrong")
    assert (await guest.login()).status == 200


async def test_a_session_lives_as_long_as_it_is_used(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"session_lifetime": 10})
    for _ in range(3):
        clock.now += 9
        assert (await guest.status()).status == 200
    clock.now += 10
    assert (await guest.status()).status == 400


async def test_fota_calls_need_not_count_as_use(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"session_lifetime": 10, "session_kept_by_fota": False})
    clock.now += 9
    assert (await guest.status()).status == 200
    clock.now += 1
    assert (await guest.status()).status == 400


async def test_a_stale_session_is_told_in_the_words_of_fota_or_of_uws(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock)
    clock.now += 1200
    fota = (await guest.status()).json
    guest.sim.quirks.set("session-form", "uws")
    uws = (await guest.status()).json
    assert fota == {
        "errorCode": "INVALID_PARAMETER",
        "errorMessage": "UWS verification failure (The Session has expired.)",
    }
    assert uws == {
        "errorCode": "UnifiedWebService.REQUEST_FAILED.SessionToken.Expired",
        "errorMessage": "The Session has expired.",
    }


async def test_missing_and_unknown_sessions_have_codes_of_their_own(visit: Visit) -> None:
    guest = await visit(quirks={"session_form": "uws"})
    guest.headers["VZ-M2M-Token"] = "00000000-0000-4000-8000-000000000000"
    assert (await guest.status()).json["errorCode"].endswith("INPUT_INVALID.SessionToken.Invalid")
    del guest.headers["VZ-M2M-Token"]
    assert (await guest.status()).json["errorCode"].endswith("REQUEST_FAILED.SessionToken.Format")


async def test_logout_echoes_the_session_and_ends_it(visit: Visit) -> None:
    guest = await visit()
    answer = await guest.post("/api/m2m/v1/session/logout")
    assert answer.json == {"sessionToken": guest.headers["VZ-M2M-Token"]}
    assert "expired" in (await guest.status()).json["errorMessage"]


async def test_a_new_login_may_end_the_former_session(visit: Visit) -> None:
    guest = await visit(quirks={"one_session": True})
    await guest.login()
    assert (await guest.status()).status == 400


async def test_a_bearer_and_a_session_may_die_in_the_middle(visit: Visit) -> None:
    guest = await visit(quirks={"bearer_dies": "#2", "session_dies": "#3"})
    assert (await guest.status()).status == 200
    assert (await guest.status()).status == 401
    await guest.come_in()
    assert (await guest.status()).status == 400
    await guest.come_in()
    assert (await guest.status()).status == 200


async def test_a_stale_session_may_have_no_reason_at_all(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"session_form": "common"})
    clock.now += 1200
    assert (await guest.status()).json["errorMessage"] == "UWS verification failure (Common exception)"


async def test_a_login_may_fail_without_a_word_about_the_password(visit: Visit) -> None:
    guest = await visit(credentials=Credentials("key", "secret", "user", "password"))
    guest.sim.quirks.set("login-hiccup", "6x")
    for _ in range(6):
        assert (await guest.login()).json["errorCode"] == "UnifiedWebService.REQUEST_FAILED.UnexpectedError"
    assert (await guest.login()).status == 200


async def test_login_and_token_may_be_rejected(visit: Visit) -> None:
    guest = await visit(quirks={"login_rejected": "#2", "token_rejected": "#2"})
    assert (await guest.login()).status == 400
    assert (await guest.token()).json["error"] == "invalid_client"


async def test_the_log_holds_no_secret(visit: Visit) -> None:
    guest = await visit()
    await guest.assign(A)
    told = (await guest.get("/_sim/requests")).body.decode()
    secrets = [guest.headers["Authorization"], guest.headers["VZ-M2M-Token"], "password", "a2V5OnNlY3JldA=="]
    assert not [secret for secret in secrets if secret.removeprefix("Bearer ") in told]
    assert f"/api/fota/v3/licenses/{ACCOUNT}/assign" in told


async def test_a_login_that_cannot_be_read_has_a_code_of_its_own(visit: Visit) -> None:
    guest = await visit()
    path = "/api/m2m/v1/session/login"
    assert (await guest.post(path)).json["errorCode"].endswith("INPUT_INVALID.RequestUndefined")
    assert (await guest.post(path, data=b"{")).json["errorCode"].endswith("REQUEST_FAILED.DeserializationFailed")
    assert (await guest.post(path, {"username": 1})).json["errorCode"].endswith("REQUEST_FAILED.DeserializationFailed")


async def test_a_token_request_that_cannot_be_read_is_refused(visit: Visit) -> None:
    guest = await visit(come_in=False)
    assert (await guest.token(grant="")).json["error"] == "invalid_request"
    assert (await guest.token(basic="Basic !")).json["error"] == "invalid_client"
