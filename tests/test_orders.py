"""What is in force is looked at again and again, and parsed only where it has changed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fleets import CREDENTIALS, fleet_of, imeis
from gits import Remote, git, remote_in, settings_of, wanted
from services import scheduled, serving

from licensesync.daemon.orders import Found, Orders
from licensesync.roster import Roster

PAST = 1_700_000_000
FOTA = "fota: {product: fota, account: 0642233522-00001, mode: full}"
LISTED = "groups:\n  - {name: a, licenses: [fota], devices_from: a.csv}\n"


def age(*files: Path, by: int = 0) -> None:
    """So long ago that nobody waits for them to rest."""
    for file in files:
        os.utime(file, (PAST + by, PAST + by))


def written(folder: Path, *, inventory: str = "inventory", pools: str = FOTA) -> Path:
    file = folder / "licensesync.yaml"
    file.write_text(f"inventory: {inventory}\npools: {{{pools}}}\n")
    age(file)
    return file


def listed(folder: Path) -> tuple[Path, Path]:
    """An inventory with a device list, and both of its files."""
    (folder / "inventory").mkdir()
    yaml, csv = folder / "inventory" / "a.yaml", folder / "inventory" / "a.csv"
    yaml.write_text(LISTED)
    csv.write_text("\n".join(imeis(0, 3)))
    age(yaml, csv)
    return yaml, csv


def orders_of(file: Path) -> Orders:
    return Orders(file, {**CREDENTIALS, "STATE_DIRECTORY": str(file.parent)})


def parsed(orders: Orders) -> Roster:
    return orders.in_force.inventory.roster


def problems(orders: Orders) -> tuple[str, ...]:
    return orders.rejection.problems if orders.rejection else ()


async def test_touched_files_with_the_same_content_are_not_parsed_again(tmp_path: Path) -> None:
    file = written(tmp_path)
    both = listed(tmp_path)
    orders = orders_of(file)
    before = await orders.first()
    for by in (10, 20):
        age(*both, by=by)
        assert await orders.look() is Found.LOADED
        assert parsed(orders) is before.inventory.roster
        assert orders.in_force.info == before.info
        assert await orders.look() is Found.UNCHANGED
    assert await orders.look(again=True) is Found.LOADED
    assert parsed(orders) is before.inventory.roster


def _longer(folder: Path) -> None:
    (folder / "inventory" / "a.csv").write_text("\n".join(imeis(0, 4)))


def _of_the_same_length(folder: Path) -> None:
    (folder / "inventory" / "a.csv").write_text("\n".join(imeis(1, 4)))


def _another_file(folder: Path) -> None:
    (folder / "inventory" / "b.yaml").write_text("groups: []\n")


def _a_comment(folder: Path) -> None:
    (folder / "inventory" / "a.yaml").write_text(f"# why\n{LISTED}")


def _another_name(folder: Path) -> None:
    (folder / "inventory" / "a.yaml").rename(folder / "inventory" / "c.yaml")


def _other_pools(folder: Path) -> None:
    written(folder, pools=f"{FOTA}, more: {{product: fota, account: 0642233522-00002, mode: full}}")


def _another_folder(folder: Path) -> None:
    (folder / "inventory").rename(folder / "moved")
    written(folder, inventory="moved")


CHANGES = [_longer, _of_the_same_length, _another_file, _a_comment, _another_name, _other_pools, _another_folder]


@pytest.mark.parametrize("change", CHANGES, ids=[each.__name__ for each in CHANGES])
async def test_what_has_changed_is_parsed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = written(tmp_path)
    listed(tmp_path)
    orders = orders_of(file)
    before = await orders.first()
    change(tmp_path)
    age(*(each for each in tmp_path.glob("*/*") if each.is_file()), file, by=10)
    assert await orders.look() is Found.LOADED
    assert parsed(orders) is not before.inventory.roster
    fresh = await orders_of(file).first()
    assert orders.in_force.info == fresh.info
    (pool, *_) = fresh.pools
    assert orders.in_force.inventory.named(pool) == fresh.inventory.named(pool)


async def test_a_list_that_has_gone_is_a_problem_and_once_it_is_back_nothing_is_parsed(tmp_path: Path) -> None:
    file = written(tmp_path)
    _, csv = listed(tmp_path)
    orders = orders_of(file)
    before = await orders.first()
    csv.rename(tmp_path / "away")
    assert await orders.look() is Found.REJECTED
    assert "there is no such file" in problems(orders)[0]
    (tmp_path / "away").rename(csv)
    assert await orders.look() is Found.LOADED
    assert problems(orders) == ()
    assert parsed(orders) is before.inventory.roster


def remote_of(tmp_path: Path) -> tuple[Remote, str]:
    remote = remote_in(tmp_path)
    return remote, remote.push(wanted(imeis(0, 3)))


async def test_a_new_commit_with_the_same_inventory_is_in_force_and_not_parsed_again(tmp_path: Path) -> None:
    remote, first = remote_of(tmp_path)
    orders = orders_of(written(tmp_path, inventory=settings_of(remote)))
    before = await orders.first()
    assert before.info.commit == first
    second = remote.push("words", name="README")
    assert await orders.look() is Found.LOADED
    assert (orders.in_force.info.commit, orders.in_force.info.digest) == (second, before.info.digest)
    assert orders.in_force.inventory.info == orders.in_force.info
    assert parsed(orders) is before.inventory.roster
    third = remote.push(wanted(imeis(0, 4)))
    assert await orders.look() is Found.LOADED
    assert (orders.in_force.info.commit, orders.in_force.info.devices) == (third, 4)


async def test_a_commit_of_a_work_tree_is_the_new_one_though_nothing_is_parsed(tmp_path: Path) -> None:
    remote, _ = remote_of(tmp_path)
    orders = orders_of(written(tmp_path, inventory="people/fleet"))
    before = await orders.first()
    git(remote.folder, "commit", "--quiet", "--allow-empty", "--message", "words")
    assert await orders.look() is Found.LOADED
    assert (orders.in_force.info.commit, orders.in_force.info.dirty) == (remote.head, False)
    assert orders.in_force.info.commit != before.info.commit
    assert parsed(orders) is before.inventory.roster


async def test_a_run_of_a_new_commit_is_quiet_where_the_inventory_is_the_same_and_is_told_of_it(tmp_path: Path) -> None:
    remote, first = remote_of(tmp_path)
    async with fleet_of(tmp_path, devices=3) as fleet:
        fleet.settings(pool="    reading: {reread: 6h}\n")
        scheduled(fleet)
        file = fleet.folder / "licensesync.yaml"
        file.write_text(file.read_text().replace("inventory.yaml", settings_of(remote, "fetch_every: 1s")))
        async with serving(fleet) as service:
            await service.told("run.finished", commit=first)
            second = remote.push("words", name="README")
            await service.told("run.finished", commit=second)
            assert [each["rests_on"] is None for each in service.of("pool.read")] == [True, False]
    with closing(sqlite3.connect(tmp_path / "licensesync.db")) as ledger:
        assert ledger.execute('SELECT "commit" FROM runs ORDER BY id').fetchall() == [(first,), (second,)]
