"""The world in memory: its sets of IMEIs, and the file that it is kept in."""

import random
from itertools import pairwise
from time import perf_counter

import pytest
from stdnum import luhn

from licensesync.simulator.imeis import ImeiSet, imei_of
from licensesync.simulator.state import StateError, World
from simulator.guest import ACCOUNT, SIM_A, SIM_B, A, B, C


def test_generated_imeis_are_valid_and_ascend() -> None:
    imeis = list(ImeiSet(first_body=35_000_000_000_037, generated=250))
    assert len(imeis) == 250
    assert all(len(imei) == 15 and luhn.is_valid(imei) for imei in imeis)
    assert all(a < b for a, b in pairwise(imeis))
    assert imeis[0] == imei_of(35_000_000_000_037)


@pytest.mark.parametrize("order", ["number", "text", "backwards", "scrambled"])
def test_a_set_behaves_like_a_sorted_list_whatever_is_done_to_it(order: str) -> None:
    chance = random.Random(5)
    imeis, model = ImeiSet(first_body=35_000_000_000_000, generated=150), set[str]()
    model.update(imeis)
    for step in range(600):
        imei = chance.choice(
            [imei_of(35_000_000_000_000 + chance.randrange(200)), str(chance.randrange(10**13, 10**16))]
        )
        if chance.random() < 0.5:
            imeis.add(imei)
            model.add(imei)
        else:
            gone = chance.choice(sorted(model)) if chance.random() < 0.7 else imei
            imeis.discard(gone)
            model.discard(gone)
        if step % 20 == 0:
            walked: list[str] = []
            while page := imeis.after(walked[-1] if walked else None, 7, order):
                walked += page
            assert sorted(walked) == sorted(model)
            assert imeis.at(5, 10, order) == walked[5:15]
            assert len(imeis) == len(model)
    assert set(imeis) == model
    assert all(imei in imeis for imei in model)


def test_a_million_devices_cost_nothing_at_the_start_and_little_for_a_page() -> None:
    world = World()
    account = world.open_account(ACCOUNT, 1_000_000, 1_000_000)
    middle = imei_of(35_000_000_500_000)
    account.take(middle, 0.0)
    account.give(A, 0.0)
    start = perf_counter()
    page = [account.licensed.after(middle, 1000) for _ in range(100)][-1]
    assert (perf_counter() - start) / 100 < 0.02
    assert (page[0], len(page)) == (imei_of(35_000_000_500_001), 1000)


def test_a_world_survives_its_file() -> None:
    stored = {
        "accounts": {
            ACCOUNT: {
                "total": 3,
                "licensed": [A, B],
                "known": [C],
                "strict": True,
                "unknown": [],
                "locked": [A],
                "upgraded": [B],
                "callbacks": {"CarrierService": {"url": "https://cb.example.com/", "username": "", "password": "p"}},
                "skus": {
                    "SIMSec-IoT": {
                        "purchased": 9,
                        "assigned": 7,
                        "licensed": [list(SIM_A), list(SIM_B)],
                        "licenseType": "Flexible",
                        "revocable": True,
                    },
                    "SIMSec-IoT-Lt": {
                        "purchased": 1,
                        "assigned": 0,
                        "licensed": [],
                        "licenseType": "Lifetime",
                        "revocable": False,
                    },
                },
            }
        }
    }
    assert World.from_json(stored).as_json() == stored


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        ([], "no accounts"),
        ({"accounts": {"a": {"total": 1}}}, "a: not an account name; write ten digits"),
        ({"accounts": {ACCOUNT: []}}, f"{ACCOUNT}: not an object"),
        ({"accounts": {ACCOUNT: {"total": "1"}}}, f"{ACCOUNT}: total is not a number"),
        (
            {"accounts": {ACCOUNT: {"total": 1, "devices": []}}},
            f"{ACCOUNT}: unknown key 'devices'; write some of total",
        ),
        ({"accounts": {ACCOUNT: {"total": 1, "licensed": A}}}, f"{ACCOUNT}: licensed is not a list"),
        ({"accounts": {ACCOUNT: {"total": 1, "licensed": [int(A)]}}}, "is not an IMEI; write 14 to 16 digits"),
        ({"accounts": {ACCOUNT: {"total": 1, "skus": []}}}, f"{ACCOUNT}: skus is of another form; write"),
        ({"accounts": {ACCOUNT: {"total": 1, "skus": {"S": {"purchased": 1, "assigned": 2}}}}}, "skus is of another"),
        (
            {
                "accounts": {
                    ACCOUNT: {"total": 1, "skus": {"S": {"purchased": 1, "licensed": [list(SIM_A), list(SIM_B)]}}}
                }
            },
            "skus is of another",
        ),
        ({"accounts": {ACCOUNT: {"total": 1, "skus": {"S": {"purchased": 1, "licensed": [A]}}}}}, "skus is of another"),
        ({"accounts": {ACCOUNT: {"total": 1, "callbacks": {"S": {"url": 5}}}}}, "callbacks is of another form; write"),
        (
            {"accounts": {ACCOUNT: {"total": 1, "licensed": [A, B]}}},
            'more devices licensed than bought; write "total": 2',
        ),
    ],
)
def test_a_file_of_another_form_is_refused_with_its_place(stored: object, problem: str) -> None:
    with pytest.raises(StateError, match=problem):
        World.from_json(stored)
