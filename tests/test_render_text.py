"""Plans and reports as text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar

import pytest
import render_worlds as worlds
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.cells import cell_len

from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    Held,
    HeldReason,
    InventoryInfo,
    Limits,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Place,
    Plan,
    Pool,
    PoolReport,
    Reading,
    Refusal,
    Report,
    Rule,
    RunPlan,
    Unread,
    Verb,
)
from licensesync.render import text as render
from licensesync.render.listings import WHY_HELD
from licensesync.render.words import span
from licensesync.values import duration

COLOUR = re.compile(r"\033\[[0-9;]+m")
widths = st.integers(0, 200)


def fota(*actions: Action, held: tuple[Held, ...] = (), refusal: Refusal | None = None) -> Plan:
    return Plan(worlds.FOTA, Capacity(9000, 998), actions, held, kept=990, foreign=4, refusal=refusal)


def plan(*pools: Plan | Unread, width: int = 80) -> list[str]:
    return render.plan(worlds.run_plan(*pools), width=width).splitlines()


def report(*pools: PoolReport, exit_code: int = 0) -> list[str]:
    return render.report(worlds.run_report(*pools), exit_code).splitlines()


def test_a_pool_that_was_not_read_anew_says_on_which_reading_it_rests() -> None:
    sentence = "  rests on the whole reading of 2026-11-22 12:30 UTC (reread: 6h); counts are unchanged since"
    assert sentence in plan(worlds.RESTING, width=120)
    assert sentence in render.report(worlds.run_report(PoolReport(worlds.RESTING)), 0, width=120).splitlines()
    assert "rests on" not in "".join(plan(replace(worlds.RESTING, rests_on=None)))


@pytest.mark.parametrize("written", ["45s", "90m", "36h", "2d", "3601s"])
def test_a_duration_is_told_as_settings_have_it(written: str) -> None:
    assert span(duration(written)) == written


def test_a_plan_says_for_each_pool_what_would_be_done_and_ends_with_verdict_and_hash() -> None:
    run_plan = worlds.run_plan(
        fota(worlds.remove(7), worlds.assign(1), held=(Held(worlds.assign(2), HeldReason.NO_CAPACITY),))
    )
    assert (
        render.plan(run_plan)
        == f"""\
fota: changes
  fota, account 0642233522-00001, mode full
  9000 licenses: 998 → 998 assigned, 8002 → 8002 free, 1 waiting
  1 to remove, 1 to assign, 1 held, 990 kept, 4 foreign
  1 device will wait for a license (what is free goes to 1 before): priority 0:
  1 of chicago-meters
  1 to remove
    - 990000000000007  not in the inventory
  1 to assign
    + 990000000000001  chicago-meters  inventory/chicago.yaml:2:9
  1 assignment held as no-capacity: no license is free for them
    + 990000000000002  chicago-meters  inventory/chicago.yaml:3:9

inventory of 1234 devices, commit c0ffeec0ffeec0ffeec0ffeec0ffeec0ffee
changes: 1 to remove, 1 to assign, 1 held
plan {run_plan.hash}
"""
    )


def test_a_plan_without_changes_says_that_there_is_nothing_to_do() -> None:
    assert "in-step: nothing to do" in plan(fota())


def test_removals_stand_before_assignments_whatever_their_order() -> None:
    lines = plan(fota(worlds.assign(1), worlds.remove(2)))
    signs = [line.strip()[0] for line in lines if re.match(r" +[+-] ", line)]
    assert signs == ["-", "+"]


def test_held_removals_stand_before_held_assignments() -> None:
    lines = plan(fota(held=(Held(worlds.assign(1), HeldReason.NO_CAPACITY), Held(worlds.remove(2), HeldReason.MODE))))
    assert [line.split()[1] for line in lines if " held as " in line] == ["removal", "assignment"]


def test_a_refusal_says_rule_figure_limit_hash_and_next_step_before_the_assignments() -> None:
    refused = (Held(worlds.remove(7), HeldReason.REFUSED), Held(worlds.assign(8), HeldReason.AWAITING_REMOVALS))
    lines = plan(fota(worlds.assign(1), held=refused, refusal=worlds.REFUSAL))
    told = [
        "  400 removals refused: rule percent (set to 10) allows 99",
        "  refusal: 3f9ac1d25be07a44",
        "  next step: approve it in the inventory",
        "  1 removal held as refused: not carried out without leave",
        "    - 990000000000007  not in the inventory",
        "  1 to assign",
    ]
    start = lines.index(told[0])
    assert lines[start : start + len(told)] == told
    assert "refused: 1 pool refused, 1 to assign, 2 held" in lines


def test_the_rule_about_empty_pools_has_no_figure() -> None:
    empty = Refusal(Rule.EMPTY, None, 0, 3, worlds.REFUSAL.digest, "x")
    assert "  3 removals refused: rule empty allows 0" in plan(fota(refusal=empty))


def test_an_unread_pool_shows_its_problem() -> None:
    lines = plan(Unread(worlds.SIM, Reading.PARTIAL, "page 3 failed"), fota(worlds.assign(1)))
    assert lines[:3] == [
        "sim: unread",
        "  sim-secure SIMSec-IoT, account 0642233522-00001, mode managed",
        "  reading partial: page 3 failed",
    ]
    assert "unread: 1 pool unread, 1 to assign" in lines


def test_a_long_list_is_shown_by_group_in_the_order_in_which_they_come_with_counts_and_the_way_to_see_it_all() -> None:
    sizes: dict[str | None, int] = {"south": 30, None: 3, "north": 2, **{f"g{number}": 5 for number in range(10)}}
    groups = [group for group, size in sizes.items() for _ in range(size)]
    lines = plan(fota(*(worlds.assign(number, group) for number, group in enumerate(groups))), width=120)
    start = lines.index("  85 to assign")
    assert lines[start + 1 : start + 13] == [
        "    south: 30",
        "      + 990000000000000  inventory/chicago.yaml:1:9",
        "      + 990000000000001  inventory/chicago.yaml:2:9",
        "      + 990000000000002  inventory/chicago.yaml:3:9",
        "    without a group: 3",
        "      + 990000000000030  inventory/chicago.yaml:31:9",
        "      + 990000000000031  inventory/chicago.yaml:32:9",
        "      + 990000000000032  inventory/chicago.yaml:33:9",
        "    north: 2",
        "      + 990000000000033  inventory/chicago.yaml:34:9",
        "      + 990000000000034  inventory/chicago.yaml:35:9",
        "    g0: 5",
    ]
    left_out = "    … and 56 more, 15 of them in 3 more groups; --format json and --out FILE show all"
    assert lines[lines.index("    g6: 5") + 4] == left_out


def test_the_fewer_groups_there_are_the_more_devices_of_each_are_shown() -> None:
    one = plan(fota(*map(worlds.assign, range(500))), width=120)
    assert sum(line.startswith("      +") for line in one) == render.SHOWN
    assert "    … and 480 more; --format json and --out FILE show all" in one
    two = plan(fota(*(worlds.assign(number, f"g{number % 2}") for number in range(500))))
    assert sum(line.startswith("      +") for line in two) == render.SHOWN
    assert [line for line in two if re.fullmatch(r" +g[01]: 250", line)] == ["    g0: 250", "    g1: 250"]


def test_a_long_list_of_which_nothing_is_left_out_says_nothing_of_more() -> None:
    lines = plan(fota(*(worlds.assign(number, f"g{number // 3}") for number in range(24))))
    assert sum(line.startswith("      +") for line in lines) == 24
    assert not any("more" in line for line in lines)
    assert lines.count("") == 1


def test_removals_of_a_large_plan_stand_before_its_assignments() -> None:
    large = (*(worlds.assign(number, f"g{number}") for number in range(100)), *map(worlds.remove, range(100, 200)))
    lines = plan(fota(*large))
    signs = [line.strip()[0] for line in lines if re.match(r" +[+-] ", line)]
    assert signs == ["-"] * render.SHOWN + ["+"] * render.GROUPS_SHOWN


class Asked(Place, frozen=True):
    """A place that remembers whether anybody has asked for it."""

    asked: ClassVar[list[int]] = []

    def __str__(self) -> str:
        self.asked.append(self.line)
        return super().__str__()


@pytest.mark.parametrize("groups", [1, 10, 25_000])
@pytest.mark.parametrize("fate", [*Verb, HeldReason.NO_CAPACITY, OutcomeKind.FAILED])
def test_a_text_is_short_however_large_the_fleet_is_and_nothing_is_made_of_what_it_does_not_show(
    groups: int, fate: Verb | HeldReason | OutcomeKind
) -> None:
    Asked.asked.clear()
    verb = fate if isinstance(fate, Verb) else Verb.ASSIGN
    actions = tuple(
        Action(verb, worlds.imei(number), f"g{number % groups}", Asked("a.yaml", number + 1, 1), number % groups)
        for number in range(50_000)
    )
    match fate:
        case HeldReason():
            written = render.plan(worlds.run_plan(fota(held=tuple(Held(action, fate) for action in actions))))
        case OutcomeKind():
            failed = PoolReport(fota(), tuple(worlds.outcome(action, fate, "no") for action in actions))
            written = render.report(worlds.run_report(failed), 5)
        case _:
            written = render.plan(worlds.run_plan(fota(*actions)))
    lines = written.splitlines()
    assert sum("more" in line for line in lines) == 1
    assert len(lines) <= 90
    assert min(Asked.asked) == 1
    assert len(Asked.asked) <= 30


def test_a_list_that_is_not_too_long_is_shown_whole() -> None:
    lines = plan(fota(*map(worlds.assign, range(render.SHOWN))))
    assert sum(line.startswith("    +") for line in lines) == render.SHOWN
    assert not any("more" in line for line in lines)


@pytest.mark.parametrize("reason", HeldReason)
def test_each_reason_for_holding_is_explained(reason: HeldReason) -> None:
    lines = plan(fota(held=(Held(worlds.remove(1), reason), Held(worlds.remove(2), reason))))
    assert f"  2 removals held as {reason}: {WHY_HELD[reason]}" in lines


def test_what_is_held_for_a_time_says_until_when() -> None:
    lines = plan(fota(held=(Held(worlds.assign(1), HeldReason.QUARANTINED, worlds.NOW),)))
    assert "        until 2026-11-22 15:00 UTC" in lines


def test_an_inventory_that_is_not_committed_is_named_so() -> None:
    dirty = RunPlan(InventoryInfo(1, "sha256:00", None, dirty=True), worlds.NOW, ())
    assert "inventory of 1 device, with changes that are not committed" in render.plan(dirty).splitlines()


def test_sim_secure_devices_are_shown_with_imei_and_iccid() -> None:
    lines = plan(Plan(worlds.SIM, Capacity(9, 3), (Action(Verb.ASSIGN, worlds.sim(1), "pumps"),)))
    assert "    + 990000000000001/89148000001234500001  pumps  not in the inventory" in lines


def test_a_long_place_keeps_its_line_and_a_long_group_its_beginning() -> None:
    place = Place(f"inventory/{'deep/' * 20}rotterdam.yaml", 123456, 9)
    lines = plan(fota(Action(Verb.ASSIGN, worlds.imei(1), f"rotterdam-{'x' * 60}", place)))
    assert any(re.search(r"rotterdam-x+…  ….*rotterdam\.yaml:123456:9$", line) for line in lines)


def test_a_device_with_an_endless_name_leaves_room_for_its_place() -> None:
    lines = plan(fota(Action(Verb.ASSIGN, DeviceId("9" * 200), "north", Place("a.yaml", 1, 1))))
    assert any(re.fullmatch(r"    \+ 9{30,}…  north  a\.yaml:1:1", line) for line in lines)


def test_a_wider_page_shows_what_a_narrow_one_has_to_cut() -> None:
    place = Place(f"inventory/{'deep/' * 20}rotterdam.yaml", 123456, 9)
    lines = plan(fota(Action(Verb.ASSIGN, worlds.imei(1), "rotterdam", place)), width=200)
    assert f"    + 990000000000001  rotterdam  {place}" in lines


def test_a_report_shows_counts_every_device_in_trouble_what_is_held_and_the_exit_code() -> None:
    outcomes = (
        Outcome(worlds.remove(7), OutcomeKind.DONE, worlds.NOW),
        Outcome(worlds.assign(1), OutcomeKind.PENDING, worlds.NOW),
        Outcome(
            worlds.assign(2), OutcomeKind.REJECTED, worlds.NOW, OutcomeReason.DEVICE_NOT_FOUND, "Device\r\nnot found"
        ),
        Outcome(worlds.assign(3), OutcomeKind.UNKNOWN, worlds.NOW, OutcomeReason.NO_ANSWER),
        Outcome(worlds.assign(4), OutcomeKind.FAILED, worlds.NOW, service="try later"),
    )
    carried_out = fota(held=(Held(worlds.remove(9), HeldReason.PROTECTED),))
    assert (
        "\n".join(report(PoolReport(carried_out, outcomes), exit_code=5))
        == """\
fota: incomplete
  fota, account 0642233522-00001, mode full
  1 done, 1 pending, 1 rejected, 1 failed, 1 unknown
  990 kept, 1 held, 4 foreign
  1 rejected
    + 990000000000002  chicago-meters  inventory/chicago.yaml:3:9
        device-not-found: Device not found
  1 failed
    + 990000000000004  chicago-meters  inventory/chicago.yaml:5:9
        try later
  1 unknown
    + 990000000000003  chicago-meters  inventory/chicago.yaml:4:9
        no-answer
  1 removal held as protected: the inventory protects them
    - 990000000000009  not in the inventory

inventory of 1234 devices, commit c0ffeec0ffeec0ffeec0ffeec0ffeec0ffee
run 01K3
incomplete: 1 done, 1 pending, 1 rejected, 1 failed, 1 unknown, 1 held; exit 5"""
    )


def test_a_report_of_many_devices_in_trouble_shows_the_first_of_each_group_and_where_all_are_recorded() -> None:
    rejected = (worlds.outcome(worlds.assign(number), OutcomeKind.REJECTED, "no") for number in range(500))
    unknown = (Outcome(worlds.assign(number), OutcomeKind.UNKNOWN, worlds.NOW) for number in range(500, 520))
    lines = report(PoolReport(fota(), (*rejected, *unknown)))
    assert "    chicago-meters: 500" in lines
    assert sum(line.startswith("      +") for line in lines) == render.SHOWN
    assert lines.count("          rejected-by-service: no") == render.SHOWN
    told = "… and 480 more; licensesync history --run 01K3 --outcome rejected --format csv shows all"
    assert told in " ".join(" ".join(lines).split())
    assert sum(line.startswith("    +") for line in lines) == 20, "of the unknown ones all"


def test_a_report_of_what_could_not_be_recorded_sends_nobody_to_the_ledger() -> None:
    failed = tuple(worlds.outcome(worlds.assign(number), OutcomeKind.FAILED) for number in range(50))
    lines = report(PoolReport(fota(), failed, "the disk is full", unrecorded=True))
    assert "    … and 30 more; the log has a line for each" in lines


def test_a_report_shows_what_was_refused_and_what_was_not_read() -> None:
    lines = report(PoolReport(Unread(worlds.SIM, Reading.UNREAD, "HTTP 403")), PoolReport(fota(refusal=worlds.REFUSAL)))
    assert "  reading unread: HTTP 403" in lines
    assert "  refusal: 3f9ac1d25be07a44" in lines


def test_a_plan_that_nobody_agreed_to_is_said_to_have_done_nothing() -> None:
    declined = replace(worlds.run_report(PoolReport(fota())), declined=True)
    assert "refused: nothing was done, as the plan was not agreed to; exit 3" in render.report(declined, 3).splitlines()


def test_colours_change_nothing_but_the_colours() -> None:
    run_plan = worlds.run_plan(fota(worlds.remove(7), worlds.assign(1), refusal=worlds.REFUSAL))
    coloured = render.plan(run_plan, colour=True)
    assert COLOUR.search(coloured)
    assert COLOUR.sub("", coloured) == render.plan(run_plan)


def test_removals_are_red_and_assignments_green() -> None:
    coloured = render.plan(worlds.run_plan(fota(worlds.remove(7), worlds.assign(1))), colour=True)
    assert "\033[31m-\033[0m 990000000000007" in coloured
    assert "\033[32m+\033[0m 990000000000001" in coloured


@pytest.mark.parametrize("hostile", worlds.HOSTILE)
def test_nothing_that_others_wrote_can_steer_the_terminal(hostile: str) -> None:
    pool = Pool(hostile, worlds.FOTA.product, hostile, worlds.FOTA.mode, Limits())
    action = Action(Verb.ASSIGN, worlds.imei(1), hostile, Place(hostile, 1, 1))
    refusal = Refusal(Rule.COUNT, 1, 1, 2, worlds.REFUSAL.digest, hostile)
    refused = Plan(pool, Capacity(9, 9), (action,), refusal=refusal)
    unread = Unread(pool, Reading.PARTIAL, hostile)
    sent = PoolReport(refused, (worlds.outcome(action, OutcomeKind.REJECTED, hostile),))
    written = render.plan(worlds.run_plan(refused, unread)) if "\ud800" not in hostile else ""
    written += render.report(worlds.run_report(sent), 5)
    assert all(char.isprintable() or char == "\n" for char in written)


@worlds.unhurried
@given(worlds.run_plans, widths)
def test_a_plan_is_printable_and_fits_its_page(run_plan: RunPlan, width: int) -> None:
    fits(render.plan(run_plan, width=width), width)


@worlds.unhurried
@given(worlds.reports, widths)
def test_a_report_is_printable_and_fits_its_page(run_report: Report, width: int) -> None:
    fits(render.report(run_report, 5, width=width), width)


@worlds.unhurried
@given(st.lists(worlds.actions, min_size=render.SHOWN + 1, max_size=60), st.sampled_from(HeldReason), widths)
def test_a_long_list_is_printable_and_fits_its_page(actions: list[Action], reason: HeldReason, width: int) -> None:
    held = tuple(Held(structs.replace(action, verb=Verb.ASSIGN), reason) for action in actions)
    written = render.plan(worlds.run_plan(fota(held=held)), width=width)
    fits(written, width)
    assert len(written.splitlines()) <= 90


def fits(written: str, width: int) -> None:
    lines = written.split("\n")
    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines)) <= max(80, width)
