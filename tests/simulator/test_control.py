"""What an operator sees and switches below /_sim/."""

from simulator.conftest import Visit
from simulator.guest import ACCOUNT, A, B, C


async def test_the_world_is_told(visit: Visit) -> None:
    guest = await visit(licenses=5, accounts=(ACCOUNT, "0642233522-00002"))
    guest.give([A])
    accounts = (await guest.get("/_sim/world", headers={})).json["accounts"]
    assert list(accounts) == [ACCOUNT, "0642233522-00002"]
    assert accounts[ACCOUNT] == {
        "total": 5,
        "assigned": 1,
        "free": 4,
        "licensed": [A],
        "known": [],
        "strict": False,
        "unknown": [],
        "locked": [],
        "upgraded": [],
        "callbacks": {},
        "skus": {},
    }


async def test_somebody_else_gives_and_takes_licenses(visit: Visit) -> None:
    guest = await visit()
    assert (await guest.post("/_sim/add", {"devices": [A, B]})).json["assigned"] == 2
    await guest.post("/_sim/take", {"account": ACCOUNT, "devices": [A]})
    assert guest.licensed == [B]


async def test_fewer_licenses_than_assigned_take_the_oldest_first(visit: Visit) -> None:
    guest = await visit(devices=2)
    await guest.assign(A)
    await guest.post("/_sim/total", {"total": 1})
    assert guest.licensed == [A]
    assert (await guest.subscription()).json["licenseCount"] == 1


async def test_unknown_devices_are_declared_and_taken_back(visit: Visit) -> None:
    guest = await visit()
    await guest.post("/_sim/unknown", {"devices": [A]})
    assert (await guest.assign(A)).rows[A]["Reason"] == "Device Not Found. "
    await guest.post("/_sim/known", {"devices": [A]})
    assert (await guest.assign(A)).rows[A]["Reason"] == "Success"


async def test_requests_are_remembered_with_their_effect_and_can_be_forgotten(visit: Visit) -> None:
    guest = await visit()
    guest.give([A])
    await guest.assign(A, B)
    last = (await guest.get("/_sim/requests")).json[-1]
    assert (last["number"], last["method"], last["status"], last["call"]) == (3, "POST", 200, "assign")
    assert (last["devices"], last["effect"]) == ([A, B], [B])
    await guest.ask("DELETE", "/_sim/requests")
    assert (await guest.get("/_sim/requests")).json == []
    await guest.status()
    assert [seen.number for seen in guest.sim.requests] == [4]


async def test_a_write_that_was_refused_had_no_effect(visit: Visit) -> None:
    guest = await visit()
    await guest.assign("123")
    assert [(seen.status, seen.effect) for seen in guest.sim.requests.of("assign")] == [(400, ())]


async def test_quirks_are_switched_while_it_runs(visit: Visit) -> None:
    guest = await visit(devices=5)
    switched = (await guest.post("/_sim/quirks", {"page-size": 2, "shuffled-rows": True, "unknown-devices": [C]})).json
    assert (switched["page-size"], switched["shuffled-rows"], switched["unknown-devices"]) == ("2", "on", C)
    assert (await guest.get("/_sim/quirks")).json == switched
    assert len((await guest.status()).json["deviceList"]) == 2


async def test_wrong_use_says_what_to_write(visit: Visit) -> None:
    guest = await visit()
    for path, body, told in (
        ("quirks", {"page-sise": "3"}, "write one of page-size"),
        ("quirks", {"page-size": None}, "write its value as text"),
        ("add", {"devices": ["1"]}, 'write {"devices"'),
        ("add", {"account": "nobody", "devices": []}, f"write one of {ACCOUNT}"),
        ("total", {"total": "many"}, 'write {"total": 1000}'),
        ("total", [], "not a JSON object"),
    ):
        answer = await guest.post(f"/_sim/{path}", body)
        assert answer.status == 400
        assert told in answer.json["error"]
    assert (await guest.post("/_sim/nothing")).status == 404


async def test_help_lists_calls_and_quirks(visit: Visit) -> None:
    guest = await visit()
    told = (await guest.get("/_sim/help")).json
    assert "POST /_sim/add" in told["calls"]
    assert told["quirks"]["page-size"] == "How many devices a page holds."
