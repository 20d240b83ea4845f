"""Licenses of a SKU: what is refused at once, what is promised, and what becomes of it."""

from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from licensesync.simulator.bought import Change, Deed, Sim, Sku
from licensesync.simulator.imeis import imei_of
from licensesync.simulator.server import SimulatorOptions, running
from simulator.conftest import Clock, Visit
from simulator.guest import ACCOUNT, LICENSES, SIM_A, SIM_B, SIM_C, SKU, A, Answer, B, Guest, sim_request
from simulator.listener import Listener, ids

LIFETIME = "SIMSec-IoT-Lt"
ALREADY = "REQUEST FAILED: Device already has license assigned."
NONE = "REQUEST FAILED: Device does not have license assigned."
PENDING = "REQUEST FAILED: At least one device is in Assigned, Pending Assignment or Pending UnAssignment state."
NOT_FOUND = "REQUEST FAILED: No device found for the given IMEI and ICCID."
UNSUCCESSFUL = "UnifiedWebService.REQUEST_FAILED.CarrierRequestUnsuccessful"
WHOLE = {"sim_batches": "whole"}


def many(number: int) -> list[Sim]:
    return [Sim(imei_of(10**13 + n), f"8914800000080{n:07d}") for n in range(number)]


def refusal(answer: Answer) -> str:
    """The code of a refusal, or its text where the code has three meanings."""
    assert answer.status == 400
    assert set(answer.json) == {"errorCode", "errorMessage"}
    return str(answer.json["errorMessage" if answer.json["errorCode"] == UNSUCCESSFUL else "errorCode"])


def outcome(body: dict[str, Any]) -> tuple[str, str]:
    """The IMEI of a callback, and what it says."""
    return ids(body)["imei"], body.get("faultResponse", {}).get("faultstring", body["status"])


async def test_an_accepted_request_has_an_id_and_on_a_kind_day_its_effect_at_once(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock)
    sku = guest.buy(9, SIM_C, others=6)
    assigned = await guest.sim_assign(SIM_A, SIM_B)
    unassigned = await guest.sim_unassign(SIM_C)
    first, second = (str(UUID(answer.json["requestId"])) for answer in (assigned, unassigned))
    assert sku.licensed == {SIM_A, SIM_B}
    assert await guest.counts() == (9, 8, 1)
    assert sku.history == [
        Change(clock.now, Deed.ASSIGN, SIM_A, first),
        Change(clock.now, Deed.ASSIGN, SIM_B, first),
        Change(clock.now, Deed.UNASSIGN, SIM_C, second),
    ]


async def test_the_ids_come_in_any_order_and_letter_case(visit: Visit) -> None:
    guest = await visit()
    sku = guest.buy(9)
    device = {"deviceIds": [{"id": SIM_A.iccid, "kind": "IccId"}, {"id": A, "kind": "IMEI"}]}
    request = {"accountName": ACCOUNT.replace("-", ""), "skuNumber": SKU, "devices": [device]}
    assert (await guest.post(LICENSES, request)).status == 200
    assert sku.licensed == {SIM_A}


async def test_the_log_names_devices_and_effect(visit: Visit) -> None:
    guest = await visit()
    guest.buy(9, SIM_A)
    await guest.sim_assign(SIM_A, SIM_B)
    await guest.sim_unassign(SIM_C, sku="")
    await guest.post(LICENSES, {"devices": [5]})
    seen = guest.sim.requests.of("sim-assign", "sim-unassign")
    assert [(each.call, each.devices, each.effect) for each in seen] == [
        ("sim-assign", (str(SIM_A), str(SIM_B)), (str(SIM_B),)),
        ("sim-unassign", (f"{SIM_C.imei}/{SIM_C.iccid}",), ()),
        ("sim-assign", (), ()),
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"skuNumber": None}, "Carrier.Service.INPUT_INVALID.SKUNumber.NotDefined"),
        ({"devices": []}, "UnifiedWebService.INPUT_INVALID.DeviceNotDefined"),
        ({"devices": None}, "UnifiedWebService.INPUT_INVALID.DeviceNotDefined"),
        ({"devices": {}}, "UnifiedWebService.INPUT_INVALID.DeviceNotDefined"),
        ({"devices": A}, "UnifiedWebService.REQUEST_FAILED.DeserializationFailed"),
        ({"devices": [A]}, "UnifiedWebService.REQUEST_FAILED.DeserializationFailed"),
        ({"devices": [{"deviceIds": [A]}]}, "UnifiedWebService.REQUEST_FAILED.DeserializationFailed"),
        ({"devices": [{"deviceIds": []}]}, "CarrierService.INPUT_INVALID.DeviceIdentifierCollection.Null"),
        ({"devices": [{}]}, "CarrierService.INPUT_INVALID.DeviceIdentifierCollection.Null"),
        ({"deviceGroupName": "all"}, "Carrier.Service.INPUT_INVALID.DeviceGroupName.NotSupported"),
        (
            {"devices": [{"deviceIds": [{"id": A, "kind": "imei"}]}]},
            "UnifiedWebService.INPUT_INVALID.Device.Identifier.Invalid",
        ),
        (
            {"devices": [{"deviceIds": [{"id": "1", "kind": "imei"}]}]},
            "UnifiedWebService.INPUT_INVALID.Device.Identifier.Invalid",
        ),
        (
            {"devices": [{"deviceIds": [{"id": A, "kind": "esn"}]}]},
            "UnifiedWebService.INPUT_INVALID.Device.Kind.Invalid",
        ),
        ({"accountName": ""}, "UnifiedWebService.INPUT_INVALID.Account.NotDefined"),
        ({"accountName": "0999999999-00001"}, "UnifiedWebService.REQUEST_FAILED.AccountNotFound"),
    ],
)
async def test_a_request_of_another_form_is_refused_with_the_documented_code(
    visit: Visit, change: dict[str, object], told: str
) -> None:
    guest = await visit()
    sku = guest.buy(9)
    for method in ("POST", "DELETE"):
        assert refusal(await guest.ask(method, LICENSES, sim_request(SIM_A) | change)) == told
    assert sku.history == []


async def test_a_request_without_a_readable_body_is_refused_as_the_sdk_sends_its_unassignments(visit: Visit) -> None:
    guest = await visit()
    assert refusal(await guest.ask("DELETE", LICENSES)) == "UnifiedWebService.INPUT_INVALID.RequestUndefined"
    for body in (b"{", b"[]"):
        refused = await guest.ask("POST", LICENSES, data=body)
        assert refusal(refused) == "UnifiedWebService.REQUEST_FAILED.DeserializationFailed"


async def test_a_hundred_devices_pass_and_one_more_does_not(visit: Visit) -> None:
    guest = await visit()
    sku = guest.buy(200)
    refused = await guest.sim_assign(*many(101))
    assert refusal(refused) == "UnifiedWebService.INPUT_INVALID.NumberofDevices"
    assert (await guest.sim_assign(*many(100))).status == 200
    assert len(sku.licensed) == 100


async def test_more_devices_than_available_refuse_the_whole_request(visit: Visit) -> None:
    guest = await visit()
    sku = guest.buy(3, SIM_C, others=1)
    insufficient = "UnifiedWebService.INPUT_INVALID.InsufficientLicense.Invalid"
    assert refusal(await guest.sim_assign(SIM_A, SIM_B)) == insufficient
    assert refusal(await guest.sim_assign(SIM_A, SIM_C)) == insufficient
    assert refusal(await guest.sim_assign(SIM_A, sku="SIMSec-IoT-Unknown")) == insufficient
    guest.sim.quirks.set("sim-room", "new")
    assert (await guest.sim_assign(SIM_A, SIM_C)).status == 200
    assert sku.licensed == {SIM_A, SIM_C}


async def test_a_lifetime_license_stays_where_it_is(visit: Visit) -> None:
    guest = await visit()
    skus = [guest.buy(9, SIM_A, sku=LIFETIME), guest.buy(9, SIM_A, revocable=False)]
    for number in (LIFETIME, SKU):
        refused = await guest.sim_unassign(SIM_A, sku=number)
        assert refusal(refused) == "UnifiedWebService.INPUT_INVALID.Unassign.NotSupported"
    assert [sku.licensed for sku in skus] == [{SIM_A}, {SIM_A}]


@pytest.mark.parametrize(
    ("call", "devices", "told"),
    [
        ("sim_assign", (SIM_A,), ALREADY),
        ("sim_assign", (SIM_A, SIM_B), PENDING),
        ("sim_assign", (SIM_C,), NOT_FOUND),
        ("sim_assign", (SIM_B, SIM_C), NOT_FOUND),
        ("sim_assign", (SIM_B, SIM_B), PENDING),
        ("sim_unassign", (SIM_B,), NONE),
        ("sim_unassign", (SIM_A, SIM_B), NONE),
        ("sim_unassign", (SIM_A, SIM_C), NOT_FOUND),
    ],
)
async def test_one_bad_device_may_refuse_the_whole_request(
    visit: Visit, call: str, devices: tuple[Sim, ...], told: str
) -> None:
    guest = await visit(quirks={"sim_batches": "whole", "unknown_devices": [SIM_C.imei]})
    sku = guest.buy(9, SIM_A)
    assert refusal(await getattr(guest, call)(*devices)) == told
    assert sku.licensed == {SIM_A}


async def test_or_each_bad_device_fails_by_its_own_callback(visit: Visit, listener: Listener) -> None:
    guest = await visit(quirks={"unknown_devices": [SIM_C.imei]})
    sku = guest.buy(9, SIM_A)
    await guest.is_called_back_at(listener.url)
    assert (await guest.sim_assign(SIM_A, SIM_B, SIM_C)).status == 200
    assert sorted(map(outcome, await listener.hears(3))) == [(A, ALREADY), (B, "Success"), (SIM_C.imei, NOT_FOUND)]
    assert (await guest.sim_unassign(SIM_C, SIM_B, SIM_B)).status == 200
    assert sorted(map(outcome, (await listener.hears(6))[3:])) == [
        (B, PENDING), (B, "Success"), (SIM_C.imei, NOT_FOUND)
    ]  # fmt: skip
    assert sku.licensed == {SIM_A}


async def test_whether_a_batch_is_whole_may_be_another_thing_each_time(visit: Visit) -> None:
    guest = await visit(quirks={"sim_batches": "mixed"})
    guest.buy(9, SIM_A)
    assert {(await guest.sim_assign(SIM_A, SIM_B)).status for _ in range(20)} == {200, 400}


async def test_a_device_is_pending_until_its_request_has_taken_effect(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"sim_takes": 60})
    sku = guest.buy(9, SIM_C, others=2)
    await guest.sim_assign(SIM_A)
    await guest.sim_unassign(SIM_C)
    world = (await guest.get("/_sim/world")).json
    shown = world["accounts"][ACCOUNT]["skus"][SKU]["pending"]
    assert [(each["device"], each["action"]) for each in shown] == [
        (list(SIM_A), "Assign"), (list(SIM_C), "Unassign")
    ]  # fmt: skip
    guest.sim.quirks.set("sim-batches", "whole")
    assert refusal(await guest.sim_assign(SIM_A)) == PENDING
    assert refusal(await guest.sim_unassign(SIM_C)) == PENDING
    assert [seen.effect for seen in guest.sim.requests.of("sim-assign", "sim-unassign")] == [()] * 4
    assert sku.licensed == {SIM_C}
    clock.now += 60
    assert await guest.counts() == (9, 3, 6)
    assert sku.licensed == {SIM_A}
    assert sku.pending == {}


@pytest.mark.parametrize(("counted", "told"), [("apart", (9, 7, 1)), ("assigned", (9, 8, 1)), ("free", (9, 7, 2))])
async def test_what_is_pending_is_counted_in_one_of_three_ways(
    visit: Visit, clock: Clock, counted: str, told: tuple[int, int, int]
) -> None:
    guest = await visit(clock=clock, quirks={"sim_takes": 60, "pending_counts": counted})
    guest.buy(9, SIM_C, others=6)
    await guest.sim_assign(SIM_A)
    await guest.sim_unassign(SIM_C)
    assert await guest.counts() == told
    assert refusal(await guest.sim_assign(*many(2))).endswith("InsufficientLicense.Invalid")


async def test_what_others_did_meanwhile_decides(visit: Visit, clock: Clock, listener: Listener) -> None:
    guest = await visit(clock=clock, quirks={"sim_takes": 60, "callback_after": 0})
    sku = guest.buy(9, SIM_B)
    await guest.is_called_back_at(listener.url)
    await guest.sim_assign(SIM_A)
    await guest.sim_unassign(SIM_B)
    await guest.post("/_sim/sim-give", {"sku": SKU, "devices": [SIM_A]})
    await guest.post("/_sim/sim-take", {"sku": SKU, "devices": [SIM_B]})
    clock.now += 60
    assert sorted(map(outcome, await listener.hears(2))) == [(A, ALREADY), (B, NONE)]
    assert [(change.deed, change.device, change.request) for change in sku.history] == [
        (Deed.ASSIGN, SIM_A, "others"), (Deed.UNASSIGN, SIM_B, "others")
    ]  # fmt: skip


async def test_licenses_that_are_no_longer_bought_are_not_assigned(
    visit: Visit, clock: Clock, listener: Listener
) -> None:
    guest = await visit(clock=clock, quirks={"sim_takes": 60, "callback_after": 0})
    sku = guest.buy(2, SIM_C)
    await guest.is_called_back_at(listener.url)
    await guest.sim_assign(SIM_A)
    await guest.post("/_sim/sku", {"sku": SKU, "purchased": 1})
    clock.now += 60
    (told,) = await listener.hears(1)
    assert told["faultResponse"]["faultcode"].endswith("InsufficientLicense.Invalid")
    assert sku.licensed == {SIM_C}


async def test_a_locked_device_fails_and_a_poisonous_one_refuses_the_request(visit: Visit, listener: Listener) -> None:
    guest = await visit(quirks={"poison_devices": [B]} | WHOLE)
    sku = guest.buy(9)
    await guest.is_called_back_at(listener.url)
    await guest.post("/_sim/lock", {"devices": [A]})
    refused = await guest.sim_assign(SIM_A, SIM_B)
    assert refusal(refused) == "UnifiedWebService.INPUT_INVALID.Device.Identifier.Invalid"
    assert (await guest.sim_assign(SIM_A)).status == 200
    (told,) = await listener.hears(1)
    assert told["status"] == "Failed"
    assert sku.history == []


@pytest.mark.parametrize("quirks", [{"unknown_devices": [A]}, {"strict_devices": "on"}, {}])
async def test_a_device_that_does_not_exist_has_no_license_but_one_that_holds_one_exists(
    visit: Visit, quirks: dict[str, Any]
) -> None:
    guest = await visit(quirks=quirks | WHOLE)
    if not quirks:
        await guest.post("/_sim/unknown", {"devices": [A]})
    sku = guest.buy(9)
    assert refusal(await guest.sim_assign(SIM_A)) == NOT_FOUND
    sku.give(SIM_A, 0.0)
    assert (await guest.sim_unassign(SIM_A)).status == 200


@pytest.mark.parametrize(("prefix", "begins"), [("plain", {"REQUEST"}), ("uws", {"UnifiedWebService"})])
async def test_codes_begin_with_the_service_or_not(visit: Visit, prefix: str, begins: set[str]) -> None:
    guest = await visit(quirks={"sim_error_prefix": prefix} | WHOLE)
    guest.buy(9, SIM_A)

    async def beginnings() -> set[str]:
        codes = [(await guest.sim_assign(SIM_A)).json["errorCode"] for _ in range(20)]
        return {code.split("_")[0].split(".")[0] for code in codes}

    assert await beginnings() == begins
    guest.sim.quirks.set("sim-error-prefix", "mixed")
    assert await beginnings() == {"REQUEST", "UnifiedWebService"}


async def test_an_answer_may_be_lost_before_the_effect_or_after_it_or_long_before(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock)
    sku = guest.buy(9)
    for quirk, device in (("before", SIM_A), ("after", SIM_B), ("late", SIM_C)):
        name = "lost-late-effect" if quirk == "late" else f"lost-{quirk}-effect"
        guest.sim.quirks.set(name, "1x")
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await guest.sim_assign(device)
    assert sku.licensed == {SIM_B}
    clock.now += 2
    await guest.counts()
    assert sku.licensed == {SIM_B, SIM_C}
    assert [(seen.status, seen.effect) for seen in guest.sim.requests.of("sim-assign")] == [
        ("lost", ()), ("lost", (str(SIM_B),)), ("lost", ())
    ]  # fmt: skip


@pytest.mark.parametrize(("quirk", "status"), [("error-500-after-effect", 500), ("error-500", 500), ("error-429", 429)])
async def test_what_spoils_any_call_spoils_these(visit: Visit, quirk: str, status: int) -> None:
    guest = await visit(quirks={quirk: "2x@sim"})
    sku = guest.buy(9)
    assert (await guest.sim_assign(SIM_A)).status == status
    assert (await guest.sim_unassign(SIM_A)).status == status
    assert len(sku.history) == (2 if "after" in quirk else 0)


async def test_no_device_gets_a_second_license_whatever_is_asked(visit: Visit) -> None:
    for seed in range(10):
        guest = await visit(kind=False, seed=seed, quirks={"sim_takes": "0.01", "callback_failed": "20%"})
        sku = guest.buy(100)
        for _ in range(10):
            await guest.sim_assign(*many(8))
            await guest.sim_unassign(*many(4))
        for device in many(8):
            deeds = [change.deed for change in sku.history if change.device == device]
            assert all(one is not other for one, other in pairwise(deeds))
            assert (device in sku.licensed) is (len(deeds) % 2 == 1)


async def test_others_buy_give_and_take_below_sim(visit: Visit, clock: Clock) -> None:
    guest = await visit(clock=clock)
    first = {"sku": SKU, "purchased": 5, "assigned": 3, "licensed": [SIM_A], "licenseType": "Flexible Bundle"}
    shown = {
        "account": ACCOUNT, "sku": SKU, "purchased": 5, "assigned": 3, "licensed": [list(SIM_A)],
        "licenseType": "Flexible Bundle", "revocable": True, "pending": [],
    }  # fmt: skip
    assert (await guest.post("/_sim/sku", first)).json == shown
    assert (await guest.post("/_sim/sku", {"sku": SKU, "purchased": 6})).json == shown | {"purchased": 6}
    given = (await guest.post("/_sim/sim-give", {"sku": SKU, "devices": [SIM_B, SIM_A]})).json
    assert (given["assigned"], given["licensed"]) == (4, [list(SIM_A), list(SIM_B)])
    taken = (await guest.post("/_sim/sim-take", {"sku": SKU, "devices": [SIM_A, SIM_C]})).json
    assert (taken["assigned"], taken["licensed"]) == (3, [list(SIM_B)])
    last = (await guest.post("/_sim/sku", {"sku": SKU, "purchased": 2, "assigned": 1, "licensed": [SIM_C]})).json
    assert (last["assigned"], last["licensed"]) == (1, [list(SIM_C)])
    assert [(change.deed, change.device) for change in guest.sim.world.accounts[ACCOUNT].skus[SKU].history] == [
        (Deed.ASSIGN, SIM_A),
        (Deed.ASSIGN, SIM_B),
        (Deed.UNASSIGN, SIM_A),
        (Deed.UNASSIGN, SIM_B),
        (Deed.ASSIGN, SIM_C),
    ]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("sim-give", {"sku": "SIMSec", "devices": [SIM_A]}, f"unknown SKU 'SIMSec'; write one of {SKU}"),
        ("sim-give", {"sku": SKU, "devices": [A]}, 'write {"devices": [["990003425730535"'),
        ("sim-give", {"sku": SKU, "devices": [SIM_A, SIM_C]}, "only 1 licenses are available"),
        ("sim-take", {"sku": SKU}, 'write {"devices"'),
        ("sku", {"sku": SKU, "purchased": 5, "assigned": 0}, 'write {"sku"'),
        ("sku", {"sku": SKU, "purchased": 5, "licensed": [["1", "2"]]}, 'write {"sku"'),
    ],
)
async def test_wrong_use_says_what_to_write(visit: Visit, path: str, body: object, told: str) -> None:
    guest = await visit()
    guest.buy(2, SIM_B)
    answer = await guest.post(f"/_sim/{path}", body)
    assert answer.status == 400
    assert told in answer.json["error"]


async def test_what_was_promised_takes_effect_although_nobody_asks(visit: Visit, listener: Listener) -> None:
    guest = await visit(quirks={"sim_takes": "0.05"})
    sku = guest.buy(2)
    await guest.is_called_back_at(listener.url)
    await guest.sim_assign(SIM_A)
    assert sku.licensed == set()
    await listener.hears(1)
    assert sku.licensed == {SIM_A}


async def test_a_world_with_licenses_of_a_sku_survives_its_file_but_not_what_is_pending(tmp_path: Path) -> None:
    options = SimulatorOptions(kind=True, state=tmp_path / "world.json", quirks={"sim-takes": "60"})
    async with running(options) as sim, aiohttp.ClientSession() as http:
        guest = Guest(sim, http)
        await guest.come_in()
        guest.buy(9, SIM_A, others=3, kind="Flexible Bundle", revocable=False)
        await guest.sim_assign(SIM_B)
        assert set(guest.sim.world.accounts[ACCOUNT].skus[SKU].pending) == {SIM_B}
    async with running(options) as sim:
        kept = Sku(9, 3, "Flexible Bundle", revocable=False, licensed={SIM_A})
        assert sim.world.accounts[ACCOUNT].skus == {SKU: kept}
