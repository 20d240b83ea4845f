"""That every test is looked through for credentials, and that this would find them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
import structlog
import warm
from fleets import CREDENTIALS, fleet_of, imeis

from licensesync import logs

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_credential_is_found_in_any_file(tmp_path: Path, name: str) -> None:
    deep = tmp_path / "state" / "ledger.db"
    deep.parent.mkdir()
    with sqlite3.connect(deep) as ledger:
        ledger.execute("CREATE TABLE outcomes (service)")
        ledger.execute("INSERT INTO outcomes VALUES (?)", (f"rejected: {CREDENTIALS[name]}",))
    ledger.close()

    found = list(leaks.leaking_files(tmp_path))

    deep.unlink()
    assert found == [deep]


async def test_what_processes_print_is_looked_through(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 3))
        ended = await fleet.run("apply", "--yes")
    assert ended.err.encode() in warm.PRINTED
    assert (tmp_path / "licensesync.db").is_file()


@pytest.fixture
def _log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_log_as_before")
@pytest.mark.parametrize("as_json", [True, False])
def test_a_mistake_is_told_with_where_it_was_made_and_without_what_the_variables_held(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    def call(bearer: str) -> None:
        headers = {"Authorization": f"Bearer {bearer}"}
        raise RuntimeError(len(headers))

    logs.configure(as_json=as_json, level="info")
    try:
        call("token-" + "31f7")
    except RuntimeError:
        structlog.get_logger().error("run.failed", exc_info=True)

    told = capsys.readouterr().err
    traceback = json.loads(told)["exception"] if as_json else told
    assert 'test_leaks.py", line ' in traceback
    assert "in call\n" in traceback
    assert "token-31f7" not in told


def test_a_test_that_leaves_a_credential_behind_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = Path(__file__).parent
    pytester.makeconftest((tests / "conftest.py").read_text())
    monkeypatch.setenv("PYTHONPATH", str(tests))
    secret = CREDENTIALS["THINGSPACE_PASSWORD"]
    pytester.makepyfile(
        f"""
        def test_prints():
            print("{secret[:5]}" + "{secret[5:]}")

        def test_writes(tmp_path):
            (tmp_path / "log").write_text("{secret[:5]}" + "{secret[5:]}")

        def test_is_silent(tmp_path):
            (tmp_path / "log").write_text("nothing")
        """
    )
    ended = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    capsys.readouterr()  # this very test is looked through as well
    for log in pytester.path.rglob("log"):
        log.unlink()
    ended.assert_outcomes(passed=1, failed=2)
