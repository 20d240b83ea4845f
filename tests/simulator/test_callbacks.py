"""Callbacks: what they say, where they go, how often they are sent, and all that can be wrong with them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from licensesync.simulator.bought import Sim
from licensesync.simulator.values import BadValueError
from simulator.conftest import Clock, Visit
from simulator.guest import ACCOUNT, CALLBACKS, SIM_A, SIM_B, SIM_C, SKU, Guest
from simulator.listener import Listener, ids, listening
from simulator.test_sim_secure import many

SAMPLES = Path(__file__).parent.parent / "samples"
PASSWORD = "in clear, as documented"


async def called_back(visit: Visit, listener: Listener, **options: Any) -> Guest:
    """A guest with licenses of a SKU, one of them at SIM_C, who is called back."""
    guest = await visit(**options)
    guest.buy(100, SIM_C)
    await guest.is_called_back_at(listener.url, username="ours", password=PASSWORD)
    return guest


async def test_a_success_is_told_as_the_sample_has_it(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener)
    request = (await guest.sim_assign(SIM_A)).json["requestId"]
    (told,) = await listener.hears(1)
    sample = json.loads((SAMPLES / "sim-secure-callback-success.json").read_text())
    mdn = f"555{SIM_A.iccid[-8:-1]}"
    assert list(told) == [*sample, "username", "password"]
    assert told == sample | {
        "requestId": request,
        "deviceIds": [
            {"id": SIM_A.iccid, "kind": "ICCID"}, {"id": mdn, "kind": "MDN"}, {"id": SIM_A.imei, "kind": "IMEI"}
        ],
        "deviceResponse": {
            "deviceSkuSubscriptionResponse": {"accountName": ACCOUNT, "skuNumber": SKU, "action": "Assign"}
        },
        "username": "ours",
        "password": PASSWORD,
    }  # fmt: skip


async def test_a_failure_is_told_as_the_sample_has_it(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener)
    await guest.ask("DELETE", f"{CALLBACKS}/name/CarrierService")
    await guest.is_called_back_at(listener.url)
    request = (await guest.sim_assign(SIM_C)).json["requestId"]
    (told,) = await listener.hears(1)
    sample = json.loads((SAMPLES / "sim-secure-callback-failed.json").read_text())
    listed = [{"id": SIM_C.iccid, "kind": "ICCID"}, {"id": SIM_C.imei, "kind": "IMEI"}]
    assert list(told) == list(sample)
    assert told == sample | {"requestId": request, "deviceIds": listed}


@pytest.mark.parametrize("action", ["Unassign", "UnAssign", "Remove", "absent"])
async def test_an_unassignment_has_one_of_several_words(visit: Visit, listener: Listener, action: str) -> None:
    guest = await called_back(visit, listener, quirks={"unassign_action": action})
    await guest.sim_unassign(SIM_C)
    (told,) = await listener.hears(1)
    response = told["deviceResponse"]["deviceSkuSubscriptionResponse"]
    assert response.get("action", "absent") == action


@pytest.mark.parametrize(
    ("which", "kinds"), [("all", ["ICCID", "MDN", "IMEI"]), ("iccid-only", ["ICCID"]), ("imei-only", ["IMEI"])]
)
async def test_a_callback_may_have_one_id_only(visit: Visit, listener: Listener, which: str, kinds: list[str]) -> None:
    guest = await called_back(visit, listener, quirks={"callback_ids": which})
    await guest.sim_assign(SIM_A)
    (told,) = await listener.hears(1)
    assert [each["kind"] for each in told["deviceIds"]] == kinds


async def test_kinds_may_be_spelt_anyhow(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_letter_case": "mixed"})
    await guest.sim_assign(*many(30))
    kinds = {each["kind"] for told in await listener.hears(30) for each in told["deviceIds"]}
    assert {"Iccid", "iccId", "iccid", "ICCID", "IMEI", "Imei", "imei"} <= kinds


async def test_each_device_has_its_callback_in_the_order_of_the_request_or_in_none(
    visit: Visit, listener: Listener
) -> None:
    guest = await called_back(visit, listener)
    devices = many(40)
    await guest.sim_assign(*devices)
    await listener.hears(40)
    sent = [sending.device for sending in guest.sim.callbacks]
    assert sent == [str(device) for device in devices]
    guest.sim.quirks.set("callback-order", "shuffled")
    await guest.sim_unassign(*devices)
    await listener.hears(80)
    shuffled = [sending.device for sending in guest.sim.callbacks][40:]
    assert shuffled != sent
    assert sorted(shuffled) == sorted(sent)


async def test_what_comes_without_a_registration_is_lost(visit: Visit, listener: Listener) -> None:
    guest = await visit(quirks={"callback_after": 0})
    sku = guest.buy(9)
    await guest.sim_assign(SIM_A)
    await asyncio.sleep(0.05)
    await guest.is_called_back_at(listener.url)
    await guest.sim_assign(SIM_B)
    await listener.hears(1)
    assert listener.words == [(SIM_B.iccid, "Success")]
    assert [sending.device for sending in guest.sim.callbacks] == [str(SIM_B)]
    assert sku.licensed == {SIM_A, SIM_B}


async def test_where_it_goes_is_decided_when_it_is_due(visit: Visit, listener: Listener, clock: Clock) -> None:
    guest = await visit(clock=clock, quirks={"callback_after": 60})
    guest.buy(9)
    await guest.sim_assign(SIM_A)
    await guest.is_called_back_at(listener.url)
    assert len(guest.sim.callbacks) == 0
    clock.now += 60
    await listener.hears(1)
    assert listener.words == [(SIM_A.iccid, "Success")]


async def test_effect_and_callback_come_when_the_clock_has_been_moved(
    visit: Visit, listener: Listener, clock: Clock
) -> None:
    guest = await called_back(visit, listener, clock=clock, quirks={"sim_takes": 60, "callback_after": 30})
    sku = guest.sim.world.accounts[ACCOUNT].skus[SKU]
    begun = clock.now
    await guest.sim_assign(SIM_A)
    await asyncio.sleep(0.05)
    assert sku.licensed == {SIM_C}
    clock.now += 1000
    await listener.hears(1)
    assert sku.licensed == {SIM_C, SIM_A}
    assert [(change.time, change.device) for change in sku.history] == [(begun + 60, SIM_A)]


async def test_what_is_not_answered_2xx_is_sent_three_times_again(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_retry_after": "0.02"})
    listener.statuses = [500, 302, 404, 503, 500]
    await guest.sim_assign(SIM_A)
    heard = await listener.hears(4)
    await asyncio.sleep(0.1)
    assert [told["callbackCount"] for told in heard] == [1, 2, 3, 4]
    assert [(sending.count, sending.answered) for sending in guest.sim.callbacks] == [
        (1, 500), (2, 302), (3, 404), (4, 503)
    ]  # fmt: skip


async def test_an_answer_that_comes_too_late_is_none(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_retry_after": "0.02"})
    guest.sim.post.patience = 0.2
    listener.gate.clear()
    await guest.sim_assign(SIM_A)
    await until(lambda: len(guest.sim.callbacks) == 2)
    guest.sim.post.patience = 60
    listener.gate.set()
    await until(lambda: 200 in [sending.answered for sending in guest.sim.callbacks])
    first, *_ = guest.sim.callbacks
    assert (first.count, first.answered) == (1, None)


async def until(so: Any) -> None:
    async with asyncio.timeout(20):
        while not so():
            await asyncio.sleep(0.01)


async def test_after_five_minutes_it_comes_again(visit: Visit, listener: Listener, clock: Clock) -> None:
    guest = await called_back(visit, listener, clock=clock, quirks={"callback_after": 0})
    listener.statuses = [500]
    await guest.sim_assign(SIM_A)
    await until(lambda: [sending.answered for sending in guest.sim.callbacks] == [500])
    clock.now += 299
    await asyncio.sleep(0.05)
    assert len(listener.heard) == 1
    clock.now += 1
    await listener.hears(2)


@pytest.mark.parametrize(
    "url", ["https://callbacks.example.com/x", "http://192.0.2.1/x", "http://[::2]/", "http://[x/"]
)
async def test_no_other_machine_is_ever_called(visit: Visit, url: str) -> None:
    guest = await visit(quirks={"callback_retry_after": 0})
    guest.buy(9)
    await guest.post("/_sim/callback", {"url": url})
    await guest.sim_assign(SIM_A)
    await until(lambda: [sending.count for sending in guest.sim.callbacks] == [1, 2, 3, 4])
    assert {sending.answered for sending in guest.sim.callbacks} == {None}


async def test_nor_is_it_called_when_this_one_redirects_there(visit: Visit, listener: Listener) -> None:
    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPFound(listener.url)

    application = web.Application()
    application.router.add_post("/", redirect)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    guest = await visit()
    guest.buy(9)
    await guest.is_called_back_at(f"http://localhost:{runner.addresses[0][1]}/")
    await guest.sim_assign(SIM_A)
    await until(lambda: [sending.answered for sending in guest.sim.callbacks] == [302])
    assert listener.heard == []
    await runner.cleanup()


async def test_all_callbacks_may_go_to_another_address_of_this_machine(visit: Visit, listener: Listener) -> None:
    guest = await visit(quirks={"callbacks_to": listener.url})
    guest.buy(9)
    await guest.is_called_back_at("https://callbacks.example.com/x", password=PASSWORD)
    await guest.sim_assign(SIM_A)
    (told,) = await listener.hears(1)
    assert told["password"] == PASSWORD
    with pytest.raises(BadValueError, match="write a URL on this machine"):
        guest.sim.quirks.set("callbacks-to", "https://callbacks.example.com/x")


async def test_a_certificate_of_this_machine_is_anyones(visit: Visit) -> None:
    from ssl import PROTOCOL_TLS_SERVER, SSLContext  # noqa: PLC0415 - for this one

    ssl = SSLContext(PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("elsewhere.example.com").configure_cert(ssl)
    async with listening(ssl) as listener:
        guest = await called_back(visit, listener)
        await guest.sim_assign(SIM_A)
        await listener.hears(1)
        await until(lambda: [sending.answered for sending in guest.sim.callbacks] == [200])


async def test_many_are_sent_at_once_but_not_too_many_and_answers_do_not_wait(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener)
    listener.gate.clear()
    guest.sim.post.patience = 60
    await guest.sim_assign(*many(40))
    await listener.hears(32)
    assert (await guest.counts())[1] == 41
    assert {sending.answered for sending in guest.sim.callbacks} == {None}
    listener.gate.set()
    await listener.hears(40)
    assert listener.most_at_once == 32


async def test_it_ends_quickly_although_callbacks_are_under_way(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_late": "#2", "callback_lateness": 60})
    listener.gate.clear()
    await guest.sim_assign(SIM_A, SIM_B)
    await listener.hears(1)


async def test_a_callback_may_be_lost(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_lost": "1x"})
    await guest.sim_assign(SIM_A, SIM_B)
    await listener.hears(1)
    assert listener.words == [(SIM_B.iccid, "Success")]
    assert guest.sim.world.accounts[ACCOUNT].skus[SKU].licensed == {SIM_A, SIM_B, SIM_C}


async def test_a_callback_may_come_twice(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_doubled": "1x@sim-unassign"})
    await guest.sim_assign(SIM_A)
    await listener.hears(1)
    await guest.sim_unassign(SIM_A)
    _, first, second = await listener.hears(3)
    assert first == second
    assert [sending.kind for sending in guest.sim.callbacks] == ["real", "real", "doubled"]


async def test_a_callback_may_be_late(visit: Visit, listener: Listener, clock: Clock) -> None:
    guest = await called_back(visit, listener, clock=clock, quirks={"callback_late": "1x", "callback_after": 0})
    await guest.sim_assign(SIM_A, SIM_B)
    await listener.hears(1)
    assert listener.words == [(SIM_B.iccid, "Success")]
    clock.now += 2
    await listener.hears(2)


@pytest.mark.parametrize("spoilt", ["", "lost-after-effect", "error-500-after-effect"])
async def test_a_callback_and_its_effect_may_come_before_the_answer(
    visit: Visit, listener: Listener, spoilt: str
) -> None:
    quirks = {"callback_early": "on", "sim_takes": 60} | ({spoilt: "1x"} if spoilt else {})
    guest = await called_back(visit, listener, quirks=quirks)
    guest.sim.post.longest_delay = 20
    asked = asyncio.create_task(guest.sim_assign(SIM_A, SIM_B))
    await asyncio.wait([asked])
    assert sorted(listener.words) == [(SIM_A.iccid, "Success"), (SIM_B.iccid, "Success")]
    assert (asked.exception() is not None) is (spoilt == "lost-after-effect")
    (seen,) = guest.sim.requests.of("sim-assign")
    assert seen.effect == (str(SIM_A), str(SIM_B))


async def test_an_answer_does_not_wait_for_long_for_its_early_callback(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_early": "on"})
    guest.sim.post.longest_delay = 0.05
    listener.gate.clear()
    assert (await guest.sim_assign(SIM_A)).status == 200
    await listener.hears(1)
    assert [sending.answered for sending in guest.sim.callbacks] == [None]


async def test_the_carrier_may_fail(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_failed": "1x"})
    await guest.sim_assign(SIM_A)
    (told,) = await listener.hears(1)
    assert told["faultResponse"]["faultcode"] == "UnifiedWebService.REQUEST_FAILED.UnexpectedError"
    assert guest.sim.world.accounts[ACCOUNT].skus[SKU].history == []
    assert await guest.counts() == (100, 1, 99)


@pytest.mark.parametrize(
    ("quirk", "words", "kinds"),
    [
        ("contradicts", ["Success", "Failed"], ["real", "contradicting"]),
        ("false", ["Failed"], ["real"]),
        ("forged", ["Failed", "Success"], ["forged", "real"]),
        ("foreign", ["Success", "Success"], ["foreign", "real"]),
        ("other_sku", ["Success", "Success"], ["other-sku", "real"]),
    ],
)
async def test_a_callback_may_say_or_come_with_what_is_not_so(
    visit: Visit, listener: Listener, quirk: str, words: list[str], kinds: list[str]
) -> None:
    guest = await called_back(visit, listener, quirks={f"callback_{quirk}": "1x"})
    request = (await guest.sim_assign(SIM_A)).json["requestId"]
    heard = await listener.hears(len(words))
    await until(lambda: [sending.kind for sending in guest.sim.callbacks] == kinds)
    assert [told["status"] for told in heard] == words
    assert [told["requestId"] == request for told in heard] == [kind != "foreign" for kind in kinds]
    assert [told["password"] == PASSWORD for told in heard] == [kind != "forged" for kind in kinds]
    named = [_sku(told) for told in heard if told["status"] == "Success"]
    assert [number == SKU for number in named] == [kind != "other-sku" for kind in kinds][: len(named)]
    assert guest.sim.world.accounts[ACCOUNT].skus[SKU].licensed == {SIM_A, SIM_C}


def _sku(told: dict[str, Any]) -> str:
    return str(told["deviceResponse"]["deviceSkuSubscriptionResponse"]["skuNumber"])


async def test_a_false_failure_may_hide_that_nothing_was_done(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_false": "on"})
    await guest.sim_unassign(SIM_A)
    await listener.hears(1)
    assert listener.words == [(SIM_A.iccid, "Success")]


async def test_what_goes_along_arrives_although_the_word_is_lost(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, quirks={"callback_lost": "on", "callback_forged": "on"})
    listener.statuses = [401]
    await guest.sim_assign(SIM_A)
    await until(lambda: [(each.kind, each.answered) for each in guest.sim.callbacks] == [("forged", 401)])


async def test_sendings_are_told_without_passwords_and_can_be_forgotten(
    visit: Visit, listener: Listener, clock: Clock
) -> None:
    guest = await called_back(visit, listener, clock=clock, quirks={"callback_after": 0, "callback_forged": "on"})
    request = (await guest.sim_assign(SIM_A)).json["requestId"]
    await listener.hears(2)
    await until(lambda: all(sending.answered for sending in guest.sim.callbacks))
    told = await guest.get("/_sim/callbacks")
    common = {"time": clock.now, "request": request, "device": str(SIM_A), "count": 1, "answered": 200}
    assert told.json == [
        common | {"status": "Failed", "kind": "forged"},
        common | {"status": "Success", "kind": "real"},
    ]
    assert PASSWORD not in told.body.decode()
    assert len(guest.sim.callbacks.of("forged")) == 1
    await guest.ask("DELETE", "/_sim/callbacks")
    assert (await guest.get("/_sim/callbacks")).json == []


async def test_on_an_unkind_day_every_device_is_told_and_some_of_them_twice(visit: Visit, listener: Listener) -> None:
    guest = await called_back(visit, listener, kind=False, seed=3)
    devices = many(60)
    request = (await guest.sim_assign(*devices)).json["requestId"]
    heard = await listener.hears_until(lambda: len({body_of(told) for told in listener.heard}) == 60)
    assert {told["requestId"] for told in heard} == {request}
    assert {body_of(told) for told in heard} == set(devices)
    assert guest.sim.callbacks.of("doubled")


def body_of(told: dict[str, Any]) -> Sim:
    return Sim(ids(told)["imei"], ids(told)["iccid"])
