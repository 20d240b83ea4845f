"""A ledger of the first version, as a run wrote it then, opens with its history intact."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fleets import ACCOUNT, fleet_of, imeis
from sqlalchemy import Connection, create_engine, inspect

from licensesync.ledger import database, history, migrations
from licensesync.ledger.schema import metadata
from licensesync.model import Mode, Pool, Product, Wanted

FIRST = Path(__file__).parent / "samples" / "ledger-1.sql"
POOL = Pool("fota", Product.FOTA, ACCOUNT, Mode.FULL)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of version 1 where the settings of a fleet expect theirs."""
    path = tmp_path / "licensesync.db"
    with sqlite3.connect(path) as written:
        written.executescript(FIRST.read_text())
    written.close()
    return path


def rows(path: Path) -> dict[str, list[Any]]:
    """Everything that stands in the tables of the first version."""
    with sqlite3.connect(path) as looked_at:
        names = sorted(name for (name,) in looked_at.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        return {
            name: looked_at.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()  # noqa: S608 - a table's name
            for name in names
            if f"CREATE TABLE {name} " in FIRST.read_text()
        }


def version(path: Path) -> int:
    with sqlite3.connect(path) as looked_at:
        return int(looked_at.execute("PRAGMA user_version").fetchone()[0])


def test_it_is_migrated_and_keeps_every_row(ledger: Path) -> None:
    before = rows(ledger)
    with database.written(ledger):
        pass
    assert version(ledger) == migrations.VERSION > 1
    after = rows(ledger)
    assert after.pop("runs") == [(*run, None) for run in before["runs"]], "who wrote its commit was not kept then"
    assert after.pop("outcomes") == [(*outcome, None, None) for outcome in before["outcomes"]], "no callbacks then"
    assert after == {name: found for name, found in before.items() if name not in {"runs", "outcomes"}}
    assert {name: len(found) for name, found in before.items()} == {
        "applied": 1,
        "approvals": 1,
        "approved_removals": 0,
        "hard_failures": 1,
        "managed": 11,
        "outcomes": 23,
        "pool_runs": 4,
        "refusals": 3,
        "removal_sets": 20,
        "runs": 4,
    }


def test_who_only_looks_sees_its_history_and_leaves_its_version(ledger: Path) -> None:
    before = ledger.read_bytes()
    with database.read(ledger) as connection:
        assert connection is not None
        assert len(list(history.rows(connection, Wanted()))) == 23
        assert [each.device for each in history.quarantined(connection, {"fota": POOL}, _early())] == imeis(99, 100)
    assert version(ledger) == 1
    assert ledger.read_bytes() == before


async def test_the_next_run_goes_on_from_it(tmp_path: Path, ledger: Path) -> None:
    async with fleet_of(tmp_path, devices=30) as fleet:
        fleet.inventory(imeis(20, 30))
        looked = await fleet.run("history", "--format", "json")
        refused = await fleet.run("apply", "--yes", "--format", "json")
        after = await fleet.run("history", "--format", "json")
    assert len(looked.document["rows"]) == 23
    assert refused.code == 3, "its approval is used up"
    assert after.document["rows"][:23] == looked.document["rows"]
    assert len(after.document["runs"]) == 5
    assert version(ledger) == migrations.VERSION


def test_a_migrated_ledger_and_a_new_one_are_what_the_statements_expect(tmp_path: Path, ledger: Path) -> None:
    new = tmp_path / "new.db"
    for path in (ledger, new):
        with database.written(path):
            pass
    expected = create_engine("sqlite://")
    metadata.create_all(expected)
    with expected.connect() as connection:
        wanted = dict(_shape(connection))
    for path in (ledger, new):
        with database.read(path) as connection:
            assert connection is not None
            assert dict(_shape(connection)) == wanted


def _shape(connection: Connection) -> Iterator[tuple[str, Any]]:
    """Columns, keys and indexes of each table."""
    looked_at = inspect(connection)
    for table in looked_at.get_table_names():
        columns = [(each["name"], str(each["type"]), each["nullable"]) for each in looked_at.get_columns(table)]
        indexes = sorted((each["name"] or "", tuple(each["column_names"])) for each in looked_at.get_indexes(table))
        yield table, (columns, looked_at.get_pk_constraint(table)["constrained_columns"], indexes)


_early = partial(datetime, 2026, 1, 1, tzinfo=UTC)
