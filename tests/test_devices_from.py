"""Lists of devices: lines that are alike are taken together, and no differently from one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licensesync import devices_from
from licensesync.devices_from import AT_ONCE
from licensesync.model import Mode, Pool, Product
from licensesync.problems import Problems
from licensesync.roster import Group, Roster, Span

POOL = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
HEADERS = (("imei", "iccid", "note"), ("iccid", "imei"), ("imei", "note"), ("note", "imei"), ("imei", "iccid"))
NOTES = st.sampled_from(["", " ", "pump 7", "Pumpe für Öl", "#1", " # 2", "1;2"])
Fields = dict[str, str]


def fields(notes: st.SearchStrategy[str]) -> st.SearchStrategy[Fields]:
    return st.fixed_dictionaries(
        {
            "imei": st.from_regex("[0-9]{14,16}", fullmatch=True),
            "iccid": st.one_of(st.just(""), st.from_regex("[0-9]{18,20}", fullmatch=True)),
            "note": notes,
        }
    )


def rows(written: str) -> tuple[list[object], list[str], int]:
    """What a list says of each device, its problems, and how many lines were meant as devices."""
    roster, problems = Roster({"fota": POOL}), Problems()
    meant = devices_from.read(written.encode(), "list.csv", roster, problems)
    roster.enroll(Span(range(len(roster)), "list.csv", Group("g", ("fota",))), problems)
    told: list[object] = [
        (roster.imei(row), roster.iccid(row), roster.mark(row), roster.place(row).line) for row in range(len(roster))
    ]
    return told, [str(problem) for problem in problems.in_order()], meant


def table(header: Sequence[str], devices: Sequence[Fields], *, one_by_one: bool = False, end: str = "\n") -> str:
    """The same devices; where they are to be taken one by one, in quotes."""
    lines = [[f'"{each[name]}"' if one_by_one else each[name] for name in header] for each in devices]
    return end.join(map(",".join, [header, *lines, ()]))


@settings(deadline=None)  # thousands of lines take their time
@given(st.sampled_from(HEADERS), st.lists(fields(NOTES), max_size=6), st.sampled_from(["\n", "\r\n"]), st.data())
def test_alike_or_not_a_line_says_the_same(
    header: Sequence[str], few: list[Fields], end: str, data: st.DataObject
) -> None:
    filled = [{"imei": f"{number:015}", "iccid": "", "note": ""} for number in range(AT_ONCE - 3)]
    before = data.draw(st.sampled_from([[], filled]))  # so that the few stand at the border of what is taken at once
    devices = [*before, *few, *filled, *few]
    if header[0] == "note":
        devices = [each for each in devices if not each["note"].lstrip().startswith("#")]
    assert rows(table(header, devices, end=end)) == rows(table(header, devices, one_by_one=True, end=end))


def test_each_column_of_a_header_that_is_no_use_is_told_at_its_place() -> None:
    told = rows('imei,"a,b",IMEI,,note\n1')

    assert told == (
        [],
        [
            "list.csv:1:6: unknown column 'a,b'; write a header line such as imei,iccid,note",
            "list.csv:1:12: the column imei stands here a second time; keep one of the two",
            "list.csv:1:17: unknown column ''; write a header line such as imei,iccid,note",
        ],
        1,
    )


def test_every_column_of_a_header_with_a_lone_quote_is_told() -> None:
    _, problems, _ = rows('imei,x"y,foo\n1')

    assert [problem.partition(";")[0] for problem in problems] == [
        "list.csv:1:6: unknown column 'x\"y'",
        "list.csv:1:13: unknown column 'foo'",
    ]


@pytest.mark.parametrize("odd", ["12", f"{1:015},x", f"{1:015},,,", '"', "# a comment", "", f"{7:015}\r\r"])
def test_an_odd_line_among_many_alike_is_read_as_ever(odd: str) -> None:
    devices = [{"imei": f"{number:015}", "iccid": f"{number:019}"} for number in range(2, 3 * AT_ONCE)]
    header = ("imei", "iccid")
    lines, quoted = (table(header, devices, one_by_one=quotes).split("\n") for quotes in (False, True))
    at = 2 * AT_ONCE - 7
    assert rows("\n".join([*lines[:at], odd, *lines[at:]])) == rows("\n".join([*quoted[:at], odd, *quoted[at:]]))
