"""What the ledger knows of one device: found without looking at the rows of others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from licensesync.ledger import database, device
from licensesync.ledger.schema import hard_failures, managed, outcomes, pool_runs, runs
from licensesync.model import Background, DeviceId, Iccid, Imei, Mode, OutcomeKind, OutcomeReason, Pool, Product, Verb

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
FOTA = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
SIM = Pool("sim", Product.SIM_SECURE, "0642233522-00001", Mode.MANAGED, sku="SIMSec-IoT")
METER, OTHER = Imei("990003425730535"), Imei("990000473475989")
OLD, NEW = Iccid("89148000001234567890"), Iccid("89148000001234567891")
RUN_OF = {"fota": 1, "sim": 2, "fota-as-it-was-called": 3}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Connection]:
    """A ledger of three runs: one of each pool, and one when a pool had another name."""
    with database.written(tmp_path / "ledger.db") as connection, connection.begin():
        for name, number in RUN_OF.items():
            run: dict[str, Any] = {"id": number, "run": f"run-{number}", "command": "apply", "started_at": NOW}
            connection.execute(insert(runs).values(**run, dirty=False, devices=1, digest="sha256:"))
            pool = SIM if name == "sim" else FOTA
            of_run: dict[str, Any] = {"id": number, "run_id": number, "pool": name, "licenses": pool.licenses}
            figures: dict[str, Any] = {"waiting": 0, "counts": {}, "held": {}}
            connection.execute(insert(pool_runs).values(**of_run, mode=pool.mode, reading="whole", **figures))
        yield connection


def asked(ledger: Connection, pool: str, imei: Imei, iccid: Iccid | None = None, times: int = 1) -> None:
    row: dict[str, Any] = {"pool_run_id": RUN_OF[pool], "device": imei, "iccid": iccid, "verb": Verb.ASSIGN, "at": NOW}
    ledger.execute(insert(outcomes), [{**row, "outcome": OutcomeKind.DONE, "in_flight": False}] * times)


def manage(ledger: Connection, pool: Pool, *devices: str) -> None:
    ledger.execute(insert(managed), [{"licenses": pool.licenses, "device": each} for each in devices])


def set_aside(ledger: Connection, pool: Pool, name: str, mark: str) -> None:
    row: dict[str, Any] = {"licenses": pool.licenses, "device": name, "verb": Verb.ASSIGN, "words": "", "mark": mark}
    told: dict[str, Any] = {"reason": OutcomeReason.DEVICE_NOT_FOUND, "service": "Device Not Found.", "failures": 3}
    times = {"first_at": NOW - timedelta(hours=1), "last_at": NOW, "until": NOW + timedelta(hours=1)}
    ledger.execute(insert(hard_failures).values(**row, **told, **times))


def known(ledger: Connection, pool: Pool, imei: Imei = METER, mark: str = "") -> dict[DeviceId, Background]:
    return dict(device.backgrounds(ledger, pool, imei, lambda _: mark, NOW))


def test_the_last_outcomes_are_told_with_how_many_there_are_and_none_of_other_devices(ledger: Connection) -> None:
    asked(ledger, "fota", METER, times=7)
    asked(ledger, "fota", OTHER)
    (meter,) = known(ledger, FOTA).values()
    assert (len(meter.outcomes), meter.of, meter.managed) == (device.LAST, 7, False)
    assert {outcome.device for outcome in meter.outcomes} == {METER}


def test_a_device_that_was_named_and_never_asked_for_is_known(ledger: Connection) -> None:
    manage(ledger, FOTA, METER)
    (meter,) = known(ledger, FOTA).values()
    assert (meter.managed, meter.outcomes, meter.of) == (True, (), 0)


def test_what_the_ledger_does_not_know_is_not_there(ledger: Connection) -> None:
    asked(ledger, "sim", METER, OLD)
    manage(ledger, FOTA, OTHER)
    assert known(ledger, FOTA) == {}


def test_a_pool_keeps_its_past_under_another_name(ledger: Connection) -> None:
    asked(ledger, "fota-as-it-was-called", METER)
    assert known(ledger, FOTA)[DeviceId(METER)].of == 1


def test_each_sim_of_a_device_has_its_own_past(ledger: Connection) -> None:
    asked(ledger, "sim", METER, OLD, times=2)
    asked(ledger, "sim", METER, NEW)
    manage(ledger, SIM, f"{METER}/{NEW}", f"{METER}0/{OLD}")
    found = known(ledger, SIM)
    assert {name: (each.of, each.managed) for name, each in found.items()} == {
        f"{METER}/{OLD}": (2, False),
        f"{METER}/{NEW}": (1, True),
    }
    assert device.imeis_of(ledger, OLD) == {METER}


@pytest.mark.parametrize(("mark", "outlived"), [("as it was", False), ("changed", True)])
def test_a_quarantine_is_outlived_by_another_entry(ledger: Connection, mark: str, outlived: bool) -> None:  # noqa: FBT001 - a parameter
    set_aside(ledger, FOTA, METER, "as it was")
    set_aside(ledger, SIM, f"{METER}/{OLD}", "as it was")
    for pool in (FOTA, SIM):
        (meter,) = known(ledger, pool, mark=mark).values()
        assert meter.quarantine is not None
        assert (meter.quarantine.pool, meter.quarantine.failures) == (pool.name, 3)
        assert meter.outlived is outlived


def test_no_question_looks_at_every_row(ledger: Connection) -> None:
    asked(ledger, "fota", METER, times=device.LAST)
    asked(ledger, "sim", METER, OLD, times=device.LAST)
    statements: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, values: Any, _context: object, _many: object) -> None:
        statements.append((statement, values))

    event.listen(ledger, "before_cursor_execute", note)
    known(ledger, FOTA)
    known(ledger, SIM)
    device.imeis_of(ledger, OLD)
    event.remove(ledger, "before_cursor_execute", note)

    assert statements
    for statement, values in statements:
        steps = [row[3] for row in ledger.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
        assert not [step for step in steps if step.startswith("SCAN")], statement
        assert any(step.startswith("SEARCH") for step in steps)
