"""The Connectivity Management calls: where callbacks go, and how many licenses of a SKU there are."""

import json
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest

from licensesync.simulator.server import SimulatorOptions, running
from simulator.conftest import Clock, Visit
from simulator.guest import ACCOUNT, Answer, Guest

CALLBACKS = f"/api/m2m/v1/callbacks/{ACCOUNT}"
OURS = {"name": "CarrierService", "url": "https://cb.example.com/x", "username": "ours", "password": "in clear"}
ECHO = {"accountName": ACCOUNT, "serviceName": "CarrierService"}


def code(answer: Answer) -> str:
    assert answer.status == 400
    return str(answer.json["errorCode"]).removeprefix("UnifiedWebService.")


async def skus(guest: Guest, **wanted: str) -> Answer:
    return await guest.post("/api/m2m/v1/accounts/subscriptions/actions/list", wanted)


async def test_callbacks_are_registered_listed_with_their_passwords_and_deregistered(visit: Visit) -> None:
    guest = await visit()
    none = await guest.get(CALLBACKS)
    registered = await guest.post(CALLBACKS, OURS)
    listed = await guest.get(CALLBACKS)
    gone = await guest.ask("DELETE", f"{CALLBACKS}/name/CarrierService")
    assert (none.status, none.body) == (200, b"")
    assert registered.json == gone.json == ECHO
    assert listed.json == [ECHO | {key: OURS[key] for key in ("url", "username", "password")}]
    assert (await guest.get(CALLBACKS)).body == b""
    assert [seen.call for seen in guest.sim.requests][2:6] == [
        "registrations",
        "register",
        "registrations",
        "deregister",
    ]


async def test_no_callbacks_may_be_an_empty_list_instead_of_an_empty_body(visit: Visit) -> None:
    guest = await visit(quirks={"no_callbacks": "list"})
    assert (await guest.get(CALLBACKS)).json == []


async def test_a_second_registration_replaces_the_first_or_is_refused(visit: Visit) -> None:
    guest = await visit()
    await guest.post(CALLBACKS, OURS)
    await guest.post(CALLBACKS, OURS | {"url": "https://second.example.com/"})
    guest.sim.quirks.set("callback-again", "refused")
    third = await guest.post(CALLBACKS, OURS)
    assert code(third) == "REQUEST_FAILED.CallbackAlreadyRegistered"
    assert [row["url"] for row in (await guest.get(CALLBACKS)).json] == ["https://second.example.com/"]


async def test_what_soap_holds_is_not_listed_and_lets_nobody_register(visit: Visit) -> None:
    guest = await visit(quirks={"callback_by_soap": "on"})
    assert code(await guest.post(CALLBACKS, OURS)) == "REQUEST_FAILED.CallbackAlreadyRegistered"
    assert (await guest.get(CALLBACKS)).body == b""


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", CALLBACKS, OURS | {"url": "ftp://x"}, "INPUT_INVALID.CallbackUrl.Invalid"),
        ("POST", CALLBACKS, OURS | {"password": 5}, "INPUT_INVALID.CallbackUrl.Invalid"),
        ("POST", CALLBACKS, {"url": OURS["url"]}, "INPUT_INVALID.ServiceName.NotDefined"),
        ("POST", CALLBACKS, None, "INPUT_INVALID.RequestUndefined"),
        ("POST", CALLBACKS, [], "REQUEST_FAILED.DeserializationFailed"),
        ("GET", "/api/m2m/v1/callbacks/0000000000-00009", None, "REQUEST_FAILED.AccountNotFound"),
        ("DELETE", f"{CALLBACKS}/name/CarrierService", None, "REQUEST_FAILED.CallbackNotRegistered"),
        ("POST", "/api/m2m/v1/accounts/subscriptions/actions/list", {}, "INPUT_INVALID.Account.NotDefined"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_code(
    visit: Visit, method: str, path: str, body: object, told: str
) -> None:
    guest = await visit()
    assert code(await guest.ask(method, path, body)) == told


async def test_a_stale_session_is_told_in_the_words_of_uws_and_a_call_is_a_use_of_it(
    visit: Visit, clock: Clock
) -> None:
    guest = await visit(clock=clock, quirks={"session_lifetime": "100", "session_form": "fota"})
    clock.now += 90
    assert (await guest.get(CALLBACKS)).status == 200
    clock.now += 90
    assert (await guest.get(CALLBACKS)).status == 200
    clock.now += 100
    assert code(await guest.get(CALLBACKS)) == "REQUEST_FAILED.SessionToken.Expired"


async def test_the_counts_of_a_sku_are_told_and_need_not_add_up(visit: Visit) -> None:
    guest = await visit(quirks={"available_off_by": "-1"})
    await guest.post("/_sim/sku", {"sku": "SIMSec-IoT", "purchased": 9, "assigned": 7})
    await guest.post("/_sim/sku", {"sku": "SIMSec-IoT-Lt", "purchased": 5, "licenseType": "Lifetime"})
    told = (await skus(guest, accountName=ACCOUNT)).json
    assert told["subscriptionList"] == [
        {
            "skuNumber": sku,
            "licenseType": kind,
            "licensePurchased": bought,
            "licenseAssigned": used,
            "licenseAvailable": left,
        }
        for sku, kind, bought, used, left in (
            ("SIMSec-IoT", "Flexible", 9, 7, 1),
            ("SIMSec-IoT-Lt", "Lifetime", 5, 0, 4),
        )
    ]
    without_hyphen = (await skus(guest, accountName=ACCOUNT.replace("-", ""), skuNumber="SIMSec-IoT-Lt")).json
    assert [row["skuNumber"] for row in without_hyphen["subscriptionList"]] == ["SIMSec-IoT-Lt"]


async def test_somebody_else_registers_below_sim_and_it_is_kept_in_the_file(tmp_path: Path) -> None:
    state = tmp_path / "world.json"
    async with running(SimulatorOptions(kind=True, state=state)) as sim, aiohttp.ClientSession() as http:
        guest = Guest(sim, http)
        assert (await guest.post("/_sim/callback", {"url": OURS["url"], "password": "in clear"})).status == 200
        await guest.post("/_sim/callback", {"name": "DeviceService", "url": OURS["url"]})
        await guest.post("/_sim/callback", {"name": "DeviceService", "url": None})
        await guest.post("/_sim/sku", {"sku": "SIMSec-IoT", "purchased": 9})
        wrong = [
            (await guest.post("/_sim/callback", {"url": "nowhere"})).json["error"],
            (await guest.post("/_sim/sku", {"sku": "SIMSec-IoT", "purchased": 1, "assigned": 2})).json["error"],
        ]
        world = (await guest.get("/_sim/world")).json
    kept = json.loads(state.read_text())["accounts"][ACCOUNT]
    assert kept["callbacks"] == {"CarrierService": {"url": OURS["url"], "username": "", "password": "in clear"}}
    assert kept["skus"] == {
        "SIMSec-IoT": {"purchased": 9, "assigned": 0, "licensed": [], "licenseType": "Flexible", "revocable": True}
    }
    assert ['write {"url"' in wrong[0], 'write {"sku"' in wrong[1]] == [True, True]
    async with running(SimulatorOptions(kind=True, state=state)) as sim, aiohttp.ClientSession() as http:
        assert (await Guest(sim, http).get("/_sim/world")).json == world


async def test_every_answer_has_the_time_of_the_simulators_clock_or_is_some_seconds_off(
    visit: Visit, clock: Clock
) -> None:
    guest = await visit(clock=clock)

    async def told() -> float:
        async with guest.http.get(f"{guest.sim.url}{CALLBACKS}", headers=guest.headers) as response:
            return parsedate_to_datetime(response.headers["Date"]).timestamp() - clock.now

    assert await told() == 0
    guest.sim.quirks.set("clock-off-by", "-400")
    assert await told() == -400
