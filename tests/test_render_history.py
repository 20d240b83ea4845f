"""Past runs, outcomes and the quarantine as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import record_worlds as past
import render_worlds as worlds
from hypothesis import given
from hypothesis import strategies as st

from licensesync.model import OutcomeKind, OutcomeRecord, QuarantineRecord, RunVerdict
from licensesync.render import history as render
from licensesync.render import quarantine
from licensesync.render.history import PastRun
from licensesync.render.page import Page

HEADER = "run,at,commit,pool,verb,device,iccid,outcome,reason,service,group,place"
REJECTED = past.outcome(outcome=OutcomeKind.REJECTED, reason="device-not-found", service="Device\r\nNot Found.")


def table_of(*records: OutcomeRecord, of: int | None = None, page: Page = past.PAGE) -> list[str]:
    return render.outcomes(records, of or len(records), page).splitlines()


def cells(records: Sequence[OutcomeRecord]) -> list[list[str]]:
    written = b"".join(render.as_csv(records)).decode()
    return list(csv.reader(io.StringIO(written, newline="")))


def test_runs_stand_in_a_table_with_what_they_came_to() -> None:
    clean = PastRun(past.run(), [past.pool(), past.pool(pool="sim", counts={"done": 1})])
    dirty = replace(worlds.INVENTORY, dirty=True, commit=None)
    other = PastRun(past.run(run="other", verdict=RunVerdict.UNREAD, exit=4, inventory=dirty), [past.unread()])
    assert (
        render.runs([clean, other], 9, past.PAGE)
        == """\
began (UTC)       run                      command  verdict  exit  commit
2026-11-22 15:00  20261122T150000Z-3f9ac1  apply    done        0  c0ffeec
    21 done, 3 held
2026-11-22 15:00  other                    apply    unread      4  -
    nothing to do; changes that were not committed
… 7 earlier left out; --limit 9 shows all, --format json and csv too
"""
    )


def test_a_run_that_has_not_ended_has_no_exit_code() -> None:
    told = render.runs([PastRun(past.going_on(), [])], 1, past.PAGE).splitlines()
    assert told[1].split()[-3:] == ["ended", "-", "c0ffeec"]
    assert told[2] == "    going on, or killed"


def test_a_run_that_was_ended_in_the_middle_does_not_pass_for_one_that_had_nothing_to_do() -> None:
    stopped = past.run(verdict=RunVerdict.STOPPED)
    cut = render.runs([PastRun(stopped, [past.pool(verdict=None, counts={})])], 1, past.PAGE).splitlines()
    ended = render.runs([PastRun(stopped, [past.pool(verdict=RunVerdict.STOPPED)])], 1, past.PAGE).splitlines()
    assert (cut[2], ended[2]) == ("    cut short", "    20 done, 3 held")


def test_on_a_wide_page_the_notes_stand_beside_their_rows() -> None:
    told = render.runs([PastRun(past.run(), [past.pool()])], 1, past.WIDE).splitlines()
    assert told[1].endswith("  c0ffeec  20 done, 3 held")
    assert len(told) == 2


def test_outcomes_stand_in_a_table_with_the_service_s_words_below() -> None:
    assert table_of(past.outcome(), REJECTED) == [
        "at (UTC)          pool  device           verb    outcome   group",
        "2026-11-22 15:00  fota  990000000000001  assign  done      chicago-meters",
        "    run 20261122T150000Z-3f9ac1; inventory/chicago.yaml:2:9",
        "2026-11-22 15:00  fota  990000000000001  assign  rejected  chicago-meters",
        "    run 20261122T150000Z-3f9ac1; device-not-found: Device Not Found.;",
        "    inventory/chicago.yaml:2:9",
    ]


def test_an_outcome_that_nobody_knows_yet_is_in_flight() -> None:
    told = table_of(past.outcome(outcome=OutcomeKind.UNKNOWN, reason="no-answer", in_flight=True))
    assert "  in flight  " in told[1]
    assert not any("no-answer" in line for line in told)


def test_the_iccid_of_a_device_is_told() -> None:
    assert "ICCID 89148000001234500001" in " ".join(table_of(past.outcome(iccid="89148000001234500001")))


def test_where_nothing_matches_it_says_so() -> None:
    assert table_of() == ["no such outcome was recorded"]
    assert render.runs([], 0, past.PAGE) == "no such run was recorded\n"


def test_a_run_is_shown_with_its_pools_and_its_outcomes() -> None:
    counts = {**past.DONE, "rejected": 1}
    refused = past.pool(verdict=RunVerdict.REFUSED, counts=counts, held={"refused": 400}, refusal=worlds.REFUSAL)
    shown = PastRun(past.run(verdict=RunVerdict.REFUSED, exit=3), [refused, past.unread()])
    assert (
        render.run(shown, [REJECTED], 2, past.WIDE)
        == f"""\
run 20261122T150000Z-3f9ac1: refused; exit 3
  apply, began 2026-11-22 15:00 UTC, ended 2026-11-22 15:02 UTC
  inventory of 1234 devices, commit c0ffeec0ffeec0ffeec0ffeec0ffeec0ffee
  plan sha256:{"cd" * 32}

fota: refused
  fota 0642233522-00001, mode full
  9000 licenses: 998 assigned, 8002 free, 0 waiting
  20 done, 0 pending, 1 rejected, 0 failed, 0 unknown
  990 kept, 3 held, 4 foreign
  not in step: 1 rejected, 400 held as refused
  400 removals refused: rule percent (set to 10) allows 99
  refusal: 3f9ac1d25be07a44
  next step: approve it in the inventory

fota: unread
  fota 0642233522-00001, mode full
  reading unread: HTTP 403

at (UTC)          pool  device           verb    outcome   group
2026-11-22 15:00  fota  990000000000001  assign  rejected  chicago-meters  \
device-not-found: Device Not Found.; inventory/chicago.yaml:2:9
… 1 earlier left out; --limit 2 shows all, --format json and csv too
"""
    )


@worlds.unhurried
@given(st.lists(past.past_runs, max_size=3), st.lists(past.outcomes, max_size=5), past.pages)
def test_the_past_is_printable_and_fits_its_page(
    runs: list[PastRun], outcomes: list[OutcomeRecord], page: Page
) -> None:
    past.fits(render.runs(runs, 10**9, page), page.width)
    past.fits(render.outcomes(outcomes, 10**9, page), page.width)
    for run in runs:
        past.fits(render.run(run, outcomes, 10**9, page), page.width)


def test_the_document_has_runs_with_their_pools_and_the_rows_of_the_contract() -> None:
    runs = [PastRun(past.run(), [past.pool(held={"protected": 3})]), PastRun(past.going_on(), [])]
    document = json.loads(b"".join(render.as_json(runs, [REJECTED])))
    assert [*document] == ["version", "kind", "runs", "rows"]
    assert (document["version"], document["kind"]) == (1, "history")
    assert document["runs"][0]["pools"][0]["held"] == {"protected": 3}
    assert document["runs"][0]["pools"][0]["counts"] == past.DONE
    assert document["runs"][1]["finished_at"] is None
    assert [*document["rows"][0].items()] == [
        ("run", past.RUN),
        ("at", "2026-11-22T15:00:00Z"),
        ("commit", worlds.INVENTORY.commit),
        ("pool", "fota"),
        ("verb", "assign"),
        ("device", "990000000000001"),
        ("iccid", None),
        ("outcome", "rejected"),
        ("reason", "device-not-found"),
        ("service", "Device\r\nNot Found."),
        ("group", "chicago-meters"),
        ("place", "inventory/chicago.yaml:2:9"),
    ]


def test_an_empty_document_is_one_too() -> None:
    assert json.loads(b"".join(render.as_json([], []))) == {"version": 1, "kind": "history", "runs": [], "rows": []}


def test_csv_has_the_same_rows_one_line_each_under_their_names() -> None:
    written = b"".join(render.as_csv([REJECTED])).decode()
    told = f"{past.RUN},2026-11-22T15:00:00Z,{worlds.INVENTORY.commit},fota,assign,990000000000001,,rejected"
    where = "chicago-meters,inventory/chicago.yaml:2:9"
    assert written.splitlines() == [HEADER, f"{told},device-not-found,Device Not Found.,{where}"]
    assert b"".join(render.as_csv([])).decode() == f"{HEADER}\n"


@pytest.mark.parametrize("words", ["a=b; c-d@e + f", "'=1", 'say "no", then stop', "", "  padded ", ";"])
def test_words_come_out_of_csv_as_they_went_in(words: str) -> None:
    assert cells([past.outcome(service=words)])[1][9] == words


@pytest.mark.parametrize(
    ("words", "harmless"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@sum", "'@sum"),
        ("\t=1", "'=1"),
        ("\r=1", "'=1"),
        ("\u200b=1", "'=1"),
        ("  =1", "  '=1"),
        ("＝1", "'＝1"),
        ("no;=1; -2", "no;'=1; '-2"),
    ],
)
def test_words_of_others_are_no_formula_to_a_spreadsheet_that_opens_the_csv(words: str, harmless: str) -> None:
    row = cells([past.outcome(service=words, group=words, place=words)])[1]
    assert {row[9], row[10], row[11]} == {harmless}
    exact = json.loads(b"".join(render.as_json([], [past.outcome(service=words)])))
    assert exact["rows"][0]["service"] == words


@pytest.mark.parametrize("breaking", ["a\nb", "a\r\nb", "a\rb", "a\u2028b", "a\x0bb", "a\x85b"])
def test_no_words_break_a_line_of_csv(breaking: str) -> None:
    assert cells([past.outcome(service=breaking)])[1][9] == "a b"


@pytest.mark.parametrize("hostile", worlds.HOSTILE)
def test_nothing_in_csv_can_steer_a_terminal(hostile: str) -> None:
    written = b"".join(render.as_csv([past.outcome(service=hostile, group=hostile, place=hostile)])).decode()
    assert all(char.isprintable() or char == "\n" for char in written)


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 10_001])
def test_the_number_of_rows_is_right_wherever_the_parts_end(number: int) -> None:
    records = [past.outcome()] * number
    assert len(cells(records)) == number + 1
    assert len(json.loads(b"".join(render.as_json([], records)))["rows"]) == number


def test_rows_are_taken_only_as_they_are_written() -> None:
    taken = 0

    def endless() -> Iterator[OutcomeRecord]:
        nonlocal taken
        while True:
            taken += 1
            yield past.outcome()

    parts = render.as_csv(endless())
    next(parts)
    next(parts)
    assert taken <= render.AT_ONCE


def test_the_quarantine_is_a_table_with_reasons_and_the_way_out() -> None:
    records = [past.set_aside(), past.set_aside(pool="sim", iccid="89148000001234500001", place=None, failures=12)]
    assert (
        quarantine.text(records, past.PAGE)
        == """\
pool  device           failures  since (UTC)       until (UTC)
fota  990000000000001         3  2026-11-22 15:00  2026-11-22 16:00
    assign device-not-found: Device Not Found.; inventory/chicago.yaml:2:9
sim   990000000000001        12  2026-11-22 15:00  2026-11-22 16:00
    assign device-not-found: Device Not Found.; ICCID 89148000001234500001
1 device in quarantine: nothing is sent until then; licensesync quarantine
release DEVICE ends it
"""
    )


def test_an_empty_quarantine_is_said_to_be_empty() -> None:
    assert quarantine.text([], past.PAGE) == "no device is in quarantine\n"
    assert json.loads(quarantine.as_json([])) == {"version": 1, "kind": "quarantine", "devices": []}


def test_the_document_of_the_quarantine_names_everything() -> None:
    assert json.loads(quarantine.as_json([past.set_aside()]))["devices"] == [
        {
            "pool": "fota",
            "device": "990000000000001",
            "iccid": None,
            "verb": "assign",
            "reason": "device-not-found",
            "service": "Device Not Found.",
            "failures": 3,
            "since": "2026-11-22T15:00:00Z",
            "until": "2026-11-22T16:00:00Z",
            "group": "chicago-meters",
            "place": "inventory/chicago.yaml:2:9",
        }
    ]


@worlds.unhurried
@given(st.lists(past.quarantined, max_size=4), past.pages)
def test_the_quarantine_is_printable_and_fits_its_page(records: list[QuarantineRecord], page: Page) -> None:
    past.fits(quarantine.text(records, page), page.width)
    past.fits(quarantine.released(records, page), page.width)
