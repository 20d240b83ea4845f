"""`history` as a process, after real runs against the simulator."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fleets import CREDENTIALS, Ended, Fleet, clean_environ, fleet_of, imeis
from ledgers import execute

from licensesync.ledger import lock

NO_CREDENTIALS = dict.fromkeys(CREDENTIALS, "")
NAMES = ["run", "at", "commit", "pool", "verb", "device", "iccid", "outcome", "reason", "service", "group", "place"]
BAD = imeis(7, 8)[0]
MANY = 30_000
GROWN = f"""
    WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < {MANY})
    INSERT INTO outcomes (pool_run_id, device, verb, outcome, service, at, in_flight)
    SELECT 1, 350000000000000 + n, 'assign', 'done', char(27) || '[2J' || char(10) || 'cleared', '2026-11-22T15:00:00.000000Z', 0
    FROM more
"""  # noqa: E501, S608 - what a service says comes with an escape code and a new line


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first run assigned three licenses and a fourth was rejected; the second removed one, and asked once more."""
    folder = tmp_path_factory.mktemp("past")

    async def runs() -> None:
        async with fleet_of(folder, quirks={"unknown-devices": [BAD]}) as fleet:
            fleet.inventory([*imeis(0, 3), BAD])
            await fleet.run("apply", "--yes")
            fleet.inventory([*imeis(1, 3), BAD], group="pumps")
            await fleet.run("apply", "--yes")

    asyncio.run(runs())
    return folder / "licensesync.db"


@asynccontextmanager
async def two_runs(folder: Path, ledger: Path) -> AsyncIterator[Fleet]:
    """A fleet that looks back on these two runs."""
    shutil.copy(ledger, folder)
    async with fleet_of(folder) as fleet:
        yield fleet


async def asked(fleet: Fleet, *arguments: str, code: int = 0) -> Ended:
    ended = await fleet.run("history", *arguments, environ=NO_CREDENTIALS)
    assert ended.code == code, ended.err
    return ended


async def document(fleet: Fleet, *arguments: str) -> Any:
    return (await asked(fleet, "--format", "json", *arguments)).document


async def shell(fleet: Fleet, line: str) -> Ended:
    """What becomes of a line that a shell runs, in which $history stands for the command."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-o",
        "pipefail",
        "-c",
        line.replace("$history", f"{sys.executable} -m licensesync history"),
        cwd=fleet.folder,
        env=clean_environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def test_each_action_that_was_sent_is_a_row_with_exactly_these_names(tmp_path: Path, ledger: Path) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        told = await document(fleet)
        status = (await fleet.run("status", "--format", "json")).document
    first, second = told["runs"]
    assert (first["exit"], second["exit"]) == (5, 5)
    assert second == {**status["last_run"], "pools": second["pools"]}
    assert [[*row] for row in told["rows"]] == [NAMES] * 6
    whole = [(row["run"], row["verb"], row["device"], row["outcome"], row["group"]) for row in told["rows"]]
    assert sorted(whole[:4]) == sorted(
        [(first["run"], "assign", device, "done", "meters") for device in imeis(0, 3)]
        + [(first["run"], "assign", BAD, "rejected", "meters")]
    )
    assert whole[4:] == [
        (second["run"], "remove", imeis(0, 1)[0], "done", None),
        (second["run"], "assign", BAD, "rejected", "pumps"),
    ]
    (rejected,) = [row for row in told["rows"][:4] if row["device"] == BAD]
    assert (rejected["pool"], rejected["iccid"], rejected["commit"]) == ("fota", None, None)
    assert (rejected["reason"], rejected["service"]) == ("device-not-found", "Device Not Found.")
    assert rejected["place"] == "inventory.yaml:8:9"
    assert first["started_at"] <= rejected["at"] <= first["finished_at"]


async def test_csv_has_the_rows_of_the_json(tmp_path: Path, ledger: Path) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        rows = (await document(fleet))["rows"]
        ended = await asked(fleet, "--format", "csv")
    told = list(csv.reader(io.StringIO(ended.out)))
    assert told == [NAMES, *([row[name] or "" for name in NAMES] for row in rows)]
    assert ended.out.count("\n") == len(told)


async def test_without_options_text_is_the_table_of_the_runs_within_80_columns(tmp_path: Path, ledger: Path) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        ended = await asked(fleet)
        runs = (await document(fleet))["runs"]
    lines = ended.out.splitlines()
    assert lines[0].split() == ["began", "(UTC)", "run", "command", "verdict", "exit", "commit"]
    assert [line.split()[2] for line in lines[1::2]] == [run["run"] for run in runs]
    assert [line.strip() for line in lines[2::2]] == ["3 done, 1 rejected", "1 done, 1 rejected"]
    assert max(map(len, lines)) <= 80


async def test_one_run_is_shown_with_its_pools_and_outcomes(tmp_path: Path, ledger: Path) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        run = (await document(fleet))["runs"][1]["run"]
        only = await document(fleet, "--run", run)
        told = await asked(fleet, "--run", run)
    assert [each["run"] for each in only["runs"]] == [run]
    assert {row["run"] for row in only["rows"]} == {run}
    lines = told.out.splitlines()
    assert lines[0] == f"run {run}: incomplete; exit 5"
    assert "fota: incomplete" in lines
    assert "  1 done, 0 pending, 1 rejected, 0 failed, 0 unknown" in lines
    assert sum(BAD in line for line in lines) == 1
    assert max(map(len, lines)) <= 80


async def test_a_device_and_an_outcome_are_looked_for_in_all_runs(tmp_path: Path, ledger: Path) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        of_device = await document(fleet, "--device", BAD)
        rejected = await document(fleet, "--outcome", "rejected")
        removed = await document(fleet, "--device", imeis(0, 1)[0])
        both = await document(fleet, "--device", imeis(0, 1)[0], "--outcome", "rejected")
        told = await asked(fleet, "--device", BAD)
    assert of_device["rows"] == rejected["rows"]
    assert [row["device"] for row in rejected["rows"]] == [BAD, BAD]
    assert len(rejected["runs"]) == 2
    assert [row["verb"] for row in removed["rows"]] == ["assign", "remove"]
    assert (both["runs"], both["rows"]) == ([], [])
    assert told.out.count(f"  {BAD}  assign  rejected  ") == 2
    assert told.out.count("device-not-found: Device Not Found.") == 2


async def test_the_last_so_many_are_told_oldest_first_and_text_says_what_it_leaves_out(
    tmp_path: Path, ledger: Path
) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        everything = await document(fleet)
        last = await document(fleet, "--limit", "1")
        rejected = await document(fleet, "--outcome", "rejected", "--limit", "1")
        of_runs = await asked(fleet, "--limit", "1")
        of_rows = await asked(fleet, "--outcome", "rejected", "--limit", "1")
        whole = await asked(fleet, "--limit", "2")
    assert (last["runs"], last["rows"]) == (everything["runs"][-1:], everything["rows"][-1:])
    assert [row["run"] for row in rejected["rows"]] == [everything["runs"][-1]["run"]]
    for text in (of_runs.out, of_rows.out):
        assert "… 1 earlier left out; --limit 2 shows all" in text
    assert "left out" not in whole.out


@pytest.mark.parametrize(
    ("since", "runs"),
    [("7d", 2), ("15m", 2), ("2020-01-01", 2), ("2020-01-01T00:00+02:00", 2), ("2999-01-01T15:00:00Z", 0)],
)
async def test_since_is_so_long_ago_or_a_day_or_a_time(tmp_path: Path, ledger: Path, since: str, runs: int) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        told = await document(fleet, "--since", since)
    assert (len(told["runs"]), len(told["rows"])) == (runs, 3 * runs)


async def test_what_was_before_that_time_is_left_out(tmp_path: Path, ledger: Path) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        copy = tmp_path / "licensesync.db"
        execute(copy, "UPDATE runs SET started_at = '2020-02-03T04:05:06.000000Z' WHERE id = 1")
        execute(copy, "UPDATE outcomes SET at = '2020-02-03T04:05:06.000000Z' WHERE pool_run_id = 1")
        for since, runs, rows in [("7d", 1, 2), ("2020-02-03", 2, 6), ("2020-02-03T04:05:07Z", 1, 2)]:
            told = await document(fleet, "--since", since)
            assert (len(told["runs"]), len(told["rows"])) == (runs, rows), since


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "yesterday"], "write 30s, 15m, 2h or 7d"),
        (["--since", "2026-13-01"], "write 30s, 15m, 2h or 7d"),
        (["--since", "9999999999999d"], "is no time"),
        (["--since", ""], "is no time"),
        (["--since", "0001-01-01"], "is no time"),
        (["--limit", "0"], "--limit"),
        (["--limit", "-1"], "--limit"),
        (["--limit", "99999999999999999999"], "--limit"),
        (["--outcome", "broken"], "rejected"),
        (["--device", "12345"], "write an IMEI (14 to 16 digits) or an ICCID (18 to 20 digits)"),
        (["--device", "٣٥٠٠٠٠٠٠٠٠٠٠٠٠٠"], "write an IMEI"),
        (["--pool", "fot"], "write one of fota"),
        (["--format", "xml"], "csv"),
        (["surplus"], "surplus"),
    ],
)
async def test_a_value_that_cannot_be_meant_is_exit_64_with_what_to_write(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    async with fleet_of(tmp_path) as fleet:
        ended = await asked(fleet, *arguments, code=64)
    assert ended.out == ""
    assert says in " ".join(ended.err.replace("│", " ").split())


@pytest.mark.parametrize("form", ["text", "json", "csv"])
async def test_a_run_that_nobody_knows_is_exit_1(tmp_path: Path, form: str) -> None:
    async with fleet_of(tmp_path) as fleet:
        without_ledger = await asked(fleet, "--run", "20260101T000000Z-000000", "--format", form, code=1)
        fleet.inventory(imeis(0, 1))
        await fleet.run("apply", "--yes")
        ended = await asked(fleet, "--run", "20260101T000000Z-000000", "--format", form, code=1)
    for each in (without_ledger, ended):
        assert each.out == ""
        assert "knows no run '20260101T000000Z-000000'; licensesync history lists runs" in each.err


async def test_before_the_first_run_the_documents_are_empty_and_nothing_is_made(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        told = await document(fleet)
        table = await asked(fleet, "--format", "csv", "--device", BAD, "--pool", "fota")
        text = await asked(fleet)
    assert told == {"version": 1, "kind": "history", "runs": [], "rows": []}
    assert table.out == f"{','.join(NAMES)}\n"
    assert " ".join(text.out.split()).startswith("no run was recorded yet; licensesync apply begins the ledger at ")
    assert [path.name for path in tmp_path.iterdir()] == ["licensesync.yaml"]


async def test_a_pool_that_left_the_settings_is_still_found_in_the_past(tmp_path: Path, ledger: Path) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text().replace("  fota:\n", "  renamed:\n"))
        before = await document(fleet, "--pool", "fota")
        since = await document(fleet, "--pool", "renamed")
    assert (len(before["runs"]), len(before["rows"])) == (2, 6)
    assert (since["runs"], since["rows"]) == ([], [])


async def test_while_a_run_goes_on_history_does_not_wait_and_shows_what_is_in_flight(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, quirks={"delayed": "on@assign", "delay": 30}) as fleet:
        fleet.inventory(imeis(0, 2))
        process = await fleet.start("apply", "--yes")
        while not fleet.holders:
            await asyncio.sleep(0.01)
        told = await document(fleet)
        text = await asked(fleet, "--run", told["runs"][0]["run"])
        assert process.returncode is None
        process.kill()
        await process.communicate()
    assert (told["runs"][0]["finished_at"], told["runs"][0]["verdict"]) == (None, None)
    assert {(row["outcome"], row["reason"]) for row in told["rows"]} == {("unknown", "no-answer")}
    assert "has not ended: going on, or killed" in text.out
    assert text.out.count("in flight") == 2


async def test_while_another_process_holds_the_lock_the_past_is_told(tmp_path: Path, ledger: Path) -> None:
    async with two_runs(tmp_path, ledger) as fleet:
        with lock.held(tmp_path / "licensesync.db", "serve", datetime.now(UTC)):
            told = await document(fleet)
            status = await fleet.run("status", "--format", "json")
    assert len(told["rows"]) == 6
    assert (status.code, status.document["last_run"]["run"]) == (0, told["runs"][-1]["run"])


async def test_a_file_whose_name_is_no_text_does_not_stop_a_run_and_has_its_place_in_the_past(tmp_path: Path) -> None:
    (unknown,) = imeis(90, 91)
    async with fleet_of(tmp_path, devices=30, quirks={"unknown-devices": [unknown]}) as fleet:
        settings = tmp_path / "licensesync.yaml"
        settings.write_text(settings.read_text().replace("inventory.yaml", "fleet"))
        fleet.inventory([unknown])
        (tmp_path / "fleet").mkdir()
        odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/fleet/\xff.yaml"))
        (tmp_path / "inventory.yaml").rename(odd)
        refusal = (await fleet.run("plan", "--format", "json")).document["pools"][0]["refusal"]["hash"]
        odd.write_text(f'{odd.read_text()}approvals:\n  - {{refusal: "{refusal}", reason: ended, until: 2020-01-01}}\n')
        runs = [await fleet.run("apply", "--yes") for _ in range(3)]
        told = await document(fleet)
        aside = await fleet.run("quarantine", "list", "--format", "json")
    place = "fleet/?.yaml:5:9"
    assert [run.code for run in runs] == [3, 3, 3], runs[0].err
    assert [event["place"] for event in runs[0].events("device.settled")] == [place]
    assert [row["place"] for row in told["rows"]] == [place] * 3
    assert [row["place"] for row in aside.document["devices"]] == [place]
    assert "The approval at fleet/?.yaml:7:" in told["runs"][0]["pools"][0]["refusal"]["next_step"]


async def test_many_rows_are_told_whole_and_a_reader_that_has_enough_is_no_failure(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        await fleet.run("apply", "--yes")
        execute(tmp_path / "licensesync.db", GROWN)
        rows = (await document(fleet))["rows"]
        table = await asked(fleet, "--format", "csv")
        text = await asked(fleet, "--outcome", "done")
        heads = [await shell(fleet, f"$history --format {form} | head -c 9") for form in ("csv", "json")]
        full = await shell(fleet, "$history --format csv >/dev/full")
    assert len(rows) == MANY + 1
    assert rows[-1]["service"] == "\033[2J\ncleared"
    assert len(table.out.splitlines()) == MANY + 2
    for words in (table.out, text.out):
        assert "\033" not in words
    assert f"… {MANY - 99} earlier left out" in text.out
    for head in heads:
        assert (head.code, head.err, len(head.out)) == (0, "", 9)
    assert full.code == 1
    assert "cannot be written to standard output: No space left on device" in full.err


async def test_a_ledger_that_is_damaged_in_the_middle_of_the_reading_is_named(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet:
        fleet.inventory(imeis(0, 1))
        await fleet.run("apply", "--yes")
        execute(tmp_path / "licensesync.db", GROWN)
        path = tmp_path / "licensesync.db"
        damaged = bytearray(path.read_bytes())
        middle = len(damaged) // 8192 * 4096
        damaged[middle : middle + 400 * 4096] = b"\xff" * (400 * 4096)
        path.write_bytes(damaged)
        ended = await fleet.run("history", "--format", "csv")
    assert ended.code == 1
    assert f"the ledger {path} is damaged; restore it from a backup" in ended.err
    assert "Traceback" not in ended.err
