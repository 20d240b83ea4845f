"""The inventory that an import writes: its text, and what the program's own reading makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from random import Random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from render_worlds import NOW, unhurried

from licensesync import inventory
from licensesync.files import Unreadable
from licensesync.model import Capacity, DeviceId, Iccid, Imei, Mode, Observed, Pool, Product
from licensesync.render import inventory as render
from licensesync.render.inventory import Holdings

DAY = date(2017, 11, 29)
EAST = Pool("east", Product.FOTA, "0642233522-00001", Mode.FULL)
WEST = Pool("west", Product.FOTA, "0742233522-00002", Mode.MANAGED)

imeis = st.from_regex(r"[0-9]{14,16}", fullmatch=True)
identifiers = imeis | st.text(st.characters(), min_size=1, max_size=64)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True) | st.sampled_from(
    ["null", "true", "No", "1e3", "0x1F", "1.5", "12", "012", "2026-12-01", "fota"]
)
days = st.dates()


@st.composite
def any_holdings(draw: st.DrawFn, devices: st.SearchStrategy[str] = imeis) -> list[Holdings]:
    """Pools of some accounts, whose holders overlap, some of them with a day."""
    everybody = draw(st.lists(devices, max_size=12, unique=True))
    held = []
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        holders = draw(st.sets(st.sampled_from(everybody))) if everybody else set[str]()
        since = draw(st.dictionaries(st.sampled_from(sorted(holders)), days)) if holders else {}
        held.append(holdings(Pool(name, Product.FOTA, draw(st.text(max_size=20)), Mode.FULL), holders, since))
    return held


def holdings(
    pool: Pool, holders: Iterable[str], since: Mapping[str, date] | None = None, total: int = 9000
) -> Holdings:
    observed = Observed(dict.fromkeys(map(DeviceId, holders)).keys(), Capacity(total, total))
    return Holdings(pool, observed, {DeviceId(device): day for device, day in (since or {}).items()})


@dataclass(frozen=True)
class Written:
    """A source of one file, as an editor would have saved it."""

    content: str
    place: str = "inventory.yaml"

    def place_of(self, name: str) -> str:
        return name

    def names(self) -> tuple[list[str], list[Unreadable]]:
        return [self.place], []

    def read(self, name: str) -> bytes:  # noqa: ARG002 - there is only one
        return self.content.encode()


def read_back(held: list[Holdings]) -> dict[str, set[str]]:
    """Who should hold a license of each pool, by the inventory that was written."""
    pools = {each.pool.name: each.pool for each in held}
    read = inventory.load_from(Written(render.text(held, NOW)), pools)
    return {pool.name: set(read.desired(pool, NOW.date()).wanted) for pool in pools.values()}


@unhurried
@given(any_holdings())
def test_what_is_written_is_read_back_as_exactly_the_same_devices_of_the_same_pools(held: list[Holdings]) -> None:
    assert read_back(held) == {each.pool.name: set(each.observed.holders) for each in held}


@st.composite
def of_both_products(draw: st.DrawFn) -> list[Holdings]:
    """Pools of both products, for life or not, whose devices are the same, some of them with more than one SIM."""
    devices = draw(st.lists(imeis, min_size=1, max_size=5, unique=True))
    held = []
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        product, for_life = draw(st.sampled_from(Product)), draw(st.booleans())
        pool = Pool(name, product, ACCOUNT, Mode.MANAGED, irrevocable=for_life and product is Product.SIM_SECURE)
        sims = draw(st.sets(st.tuples(st.sampled_from(devices), st.sampled_from(ICCIDS))))
        held.append(holdings(pool, {product.identify(Imei(imei), Iccid(iccid)) for imei, iccid in sims}))
    return held


ACCOUNT = "0642233522-00001"
ICCIDS = [f"8914800000000000000{last}" for last in range(3)]


@unhurried
@given(of_both_products())
def test_devices_of_both_products_are_read_back_as_exactly_the_same(held: list[Holdings]) -> None:
    assert read_back(held) == {each.pool.name: set(each.observed.holders) for each in held}


def test_a_device_with_licenses_of_both_products_is_one_entry_and_one_for_life_says_so() -> None:
    sim = Pool("sim", Product.SIM_SECURE, ACCOUNT, Mode.MANAGED, sku="SIMSec-IoT-Lt", irrevocable=True)
    first, second = "990003425730535", "990003425730543"
    both = DeviceId(f"{first}/{ICCIDS[0]}")
    held = [holdings(EAST, {first, second}, {first: DAY}), holdings(sim, {both}, {both: DAY})]
    assert (
        render.text(held, NOW).partition("groups:\n")[2]
        == f"""\
  - name: east
    licenses: [east]
    devices:
      - "{second}"
  - name: "east + sim"
    licenses: [east, sim]
    consent: lifetime  # as these devices hold their licenses for life already
    devices:
      - {{imei: "{first}", iccid: "{ICCIDS[0]}"}}  # since 2017-11-29
"""
    )


@unhurried
@given(any_holdings(identifiers))
def test_whatever_the_service_calls_its_devices_the_rest_is_read_back(held: list[Holdings]) -> None:
    odd = set(render.unnameable(held))
    assert read_back(held) == {each.pool.name: set(each.observed.holders) - odd for each in held}


@unhurried
@given(any_holdings(identifiers))
def test_other_readers_of_yaml_see_texts_and_nothing_but_printable_ascii(held: list[Holdings]) -> None:
    written = render.text(held, NOW)
    assert all(line.isascii() and line.isprintable() for line in written.split("\n"))
    for group in yaml.safe_load(written)["groups"]:
        assert set(group) == {"name", "licenses", "devices"}
        assert set(group["licenses"]) <= {each.pool.name for each in held}
        assert all(isinstance(device, str) for device in group["devices"])


@unhurried
@given(any_holdings(identifiers), st.randoms(use_true_random=False))
def test_the_order_in_which_devices_were_read_is_irrelevant(held: list[Holdings], chance: Random) -> None:
    shuffled = []
    for each in held:
        read = chance.sample(sorted(each.observed.holders), len(each.observed.holders))
        shuffled.append(Holdings(each.pool, Observed(dict.fromkeys(read).keys(), each.observed.capacity), each.since))
    assert render.text(shuffled, NOW) == render.text(held, NOW)


def test_an_inventory_is_quoted_grouped_sorted_and_says_since_when() -> None:
    held = holdings(EAST, {"990003425730535", "01234567890123", "0990003425730535"}, {"01234567890123": DAY})
    assert (
        render.text([held], NOW)
        == """\
# Who held a license on 2026-11-22 15:00 UTC, written by licensesync import.
# Pool east, account 0642233522-00001: 3 devices, 9000 licenses.
groups:
  - name: east
    licenses: [east]
    devices:
      - "01234567890123"    # since 2017-11-29
      - "0990003425730535"
      - "990003425730535"
"""
    )


def test_devices_with_licenses_of_the_same_pools_share_a_group() -> None:
    first, second, third, fourth = (f"99000342573053{last}" for last in range(4))
    later = date(2021, 6, 10)
    east = holdings(EAST, {first, second, third}, {second: DAY, third: DAY})
    west = holdings(WEST, {second, third, fourth}, {second: DAY, third: later, fourth: later}, total=3)
    written = render.text([east, west], NOW).splitlines()
    assert written[1:3] == [
        "# Pool east, account 0642233522-00001: 3 devices, 9000 licenses.",
        "# Pool west, account 0742233522-00002: 3 devices, 3 licenses.",
    ]
    assert written[3:] == [
        "groups:",
        "  - name: east",
        "    licenses: [east]",
        "    devices:",
        f'      - "{first}"',
        '  - name: "east + west"',
        "    licenses: [east, west]",
        "    devices:",
        f'      - "{second}"  # since 2017-11-29',
        f'      - "{third}"  # since 2017-11-29 (east), 2021-06-10 (west)',
        "  - name: west",
        "    licenses: [west]",
        "    devices:",
        f'      - "{fourth}"  # since 2021-06-10',
    ]


def test_a_day_that_only_one_of_two_pools_has_recorded_is_the_day_of_that_pool() -> None:
    device = "990003425730535"
    written = render.text([holdings(EAST, {device}), holdings(WEST, {device}, {device: DAY})], NOW)
    assert f'- "{device}"  # since 2017-11-29 (west)\n' in written


def test_where_nothing_is_held_nothing_is_wanted() -> None:
    written = render.text([holdings(EAST, ())], NOW)
    assert written.endswith("account 0642233522-00001: 0 devices, 9000 licenses.\ngroups: []\n")
    assert read_back([holdings(EAST, ())]) == {"east": set()}


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [
        ("A1000015", '"A1000015"'),
        ("1234567890123", '"1234567890123"'),
        ("9" * 17, f'"{"9" * 17}"'),
        ("1\n  - name: x", '"1\\n  - name: x"'),
        ("\u2028\x1b[31m\x85", '"\\u2028\\x1b[31m\\x85"'),
        ('"', '"\\""'),
        ("٠" * 15, f'"{chr(92)}u0660{chr(92)}u0660'),
    ],
)
def test_what_an_inventory_cannot_name_is_a_comment_that_no_character_leaves(identifier: str, shown: str) -> None:
    held = [holdings(EAST, {identifier, "990003425730535"}, {identifier: DAY})]
    comment = render.text(held, NOW).splitlines()[-1]
    assert render.unnameable(held) == [identifier]
    assert comment.startswith(f"#     {shown}")
    assert comment.endswith("  of east, since 2017-11-29")
    assert read_back(held) == {"east": {"990003425730535"}}
