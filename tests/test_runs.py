"""Long runs of devices that look alike are read as a parser of YAML reads each of them, and told at their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from licensesync import inventory
from licensesync.files import LocalFiles
from licensesync.model import DeviceId, Iccid, Imei, Mode, Pool, Product
from licensesync.roster import Roster
from licensesync.runs import FEWEST, MOST, fold

POOL = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
HEAD = "groups:\n  - name: meters\n    licenses: [fota]\n    devices:\n"
MANY = FEWEST + 4

Row = tuple[str, str | None, tuple[int, int]]


def drafted(written: bytes) -> inventory.Draft:
    class OneFile(LocalFiles):
        def read(self, name: str) -> bytes:
            del name
            return written

    return inventory.draft(OneFile(Path("inventory.yaml"), Path()), {POOL.name: POOL})


def rows(roster: Roster) -> list[Row]:
    places = [roster.place(row) for row in range(len(roster))]
    return [(roster.imei(row), roster.iccid(row), (place.line, place.column)) for row, place in enumerate(places)]


def rows_by_pyyaml(written: bytes) -> list[Row]:
    """The same by a tree that PyYAML makes of the whole document."""
    told: list[Row] = []
    root: Any = yaml.compose(written, Loader=yaml.CBaseLoader)
    for group in {key.value: value for key, value in root.value}["groups"].value:
        for item in {key.value: value for key, value in group.value}["devices"].value:
            place = item.start_mark.line + 1, item.start_mark.column + 1
            if isinstance(item, yaml.ScalarNode):
                told.append((item.value, None, place))
            else:
                keys = {key.value: value.value for key, value in item.value}
                told.append((keys["imei"], keys.get("iccid"), place))
    return told


def device(number: int, form: str, indent: str = "      ") -> str:
    imei, iccid = f"{35_000_000_000_000_0 + number}", f"{89_148_000_000_000_000_000 + number}"
    return f"{indent}- {form}\n".replace("IMEI", imei).replace("ICCID", iccid).replace("\n  ", f"\n{indent}  ")


FORMS = [
    "IMEI",
    '"IMEI"',
    "'IMEI'",
    '"IMEI"  # pump 7',
    "{imei: IMEI}",
    '{imei: "IMEI", iccid: "ICCID"}',
    "{ imei: 'IMEI', iccid: ICCID, note: pump 7 }",
    '{imei: "IMEI",iccid: "ICCID", note: "pump, {7}: #1"} # north',
    '{imei: "IMEI", note: pump 7}',
    '{imei: "IMEI", iccid: "ICCID", note: p-7, consent: lifetime}',
    'imei: "IMEI"',
    'imei: "IMEI"\n  iccid: "ICCID"',
    "imei: IMEI\n  iccid: ICCID  # in a hurry\n  note: pump 7",
    'imei: "IMEI"\n  note: ""',
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_usual_form_is_folded_and_read_as_it_is_written(form: str, end: str) -> None:
    written = (HEAD + "".join(device(number, form) for number in range(MANY))).replace("\n", end).encode()

    assert len(fold(written).document) < len(written) / 2
    assert rows(drafted(written).inventory.roster) == rows_by_pyyaml(written)
    assert not drafted(written).problems


def test_marks_tell_the_notes_of_a_run_apart() -> None:
    written = HEAD + "".join(device(number, f"{{imei: IMEI, note: pump {number % 3}}}") for number in range(MANY))
    quoted = written.replace("note: pump 1}", 'note: "pump 1"}')
    read, other = (drafted(text.encode()).inventory for text in (written, quoted))
    marks = [read.mark(POOL, DeviceId(str(350_000_000_000_000 + number))) for number in range(MANY)]

    assert len(set(marks)) == 3
    assert marks == [other.mark(POOL, DeviceId(str(350_000_000_000_000 + number))) for number in range(MANY)]


def test_consent_in_a_run_is_known_of_each_device() -> None:
    forms = ["{imei: IMEI, consent: lifetime}", "{imei: IMEI}"]
    written = HEAD + "".join(device(number, forms[number % 3 == 0]) for number in range(MANY))

    assert drafted(written.encode()).inventory.roster.consenting == {n for n in range(MANY) if n % 3}


def test_a_run_is_as_long_as_others_can_wait_for() -> None:
    written = (HEAD + "".join(device(number, '"IMEI"') for number in range(MOST + MANY))).encode()

    assert [run.items for _, run in fold(written).runs] == [MOST, MANY]
    assert len(rows(drafted(written).inventory.roster)) == MOST + MANY


RUN = "".join(device(number, '"IMEI"') for number in range(MANY))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (f"{HEAD}{RUN}      - 99\n", f"{MANY + 5}:9: '99' is not an IMEI"),
        (f"{HEAD}{RUN}    licences: [fota]\n", f"{MANY + 5}:5: unknown key 'licences'"),
        (f"{HEAD}{RUN}  - name: pumps\n    licenses: [fot]\n    devices: [99]\n", f"{MANY + 6}:16: unknown pool 'fot'"),
        (f"{HEAD}{RUN}      - {{imei: 99}}\n{RUN}", f"{MANY + 5}:16: imei '99'"),
        (f"{HEAD}{RUN}{RUN[:30]}\n", f"{MANY + 5}:9: device 350000000000000 stands here for pool fota again"),
        (f'{HEAD}{RUN}      - "350\n', f"{MANY + 5}:9: this is not YAML"),
        (f"{HEAD}{RUN}\t- 99\n", f"{MANY + 5}:1: this is not YAML"),
        (f"{HEAD}{RUN}---\ngroups: []\n", f"{MANY + 5}:1: a second document begins here"),
        (f"{HEAD}{RUN}        more\n", f"{MANY + 5}:9: this is not YAML"),
        (f"{HEAD}{RUN.replace(chr(34), '')}        more\n", f"{MANY + 4}:9: '350000000000019 more' is not an IMEI"),
    ],
)
def test_what_is_wrong_behind_a_run_is_told_at_its_own_place(written: str, expected: str) -> None:
    problems = drafted(written.encode()).problems

    assert str(problems[0]).startswith(f"inventory.yaml:{expected}")


def test_lines_that_only_look_like_devices_are_none() -> None:
    note = "".join(device(number, '"IMEI"', " " * 12) for number in range(MANY))
    written = f"{HEAD}      - imei: 990003425730534\n        note: |\n          pumps\n{note}      - 990003425730542\n"
    named = rows(drafted(written.encode()).inventory.roster)

    assert named == [("990003425730534", None, (5, 9)), ("990003425730542", None, (8 + MANY, 9))]


def test_lines_of_another_list_are_not_taken_for_devices() -> None:
    written = f"{HEAD.replace('devices', 'licensees')}{RUN}    devices: [990003425730534]\n"
    found = drafted(written.encode())

    assert [str(problem)[:48] for problem in found.problems] == ["inventory.yaml:4:5: unknown key 'licensees'; wri"]
    assert rows(found.inventory.roster) == [("990003425730534", None, (MANY + 5, 15))]


items = st.one_of(
    st.sampled_from(FORMS),
    st.sampled_from(
        ["[990003425730534]", "{imei: 99}", "# nothing", "{imei: IMEI, note: größer}", "&a IMEI", "!!str IMEI"]
    ),
)
documents = st.lists(st.tuples(items, st.integers(1, 40)), max_size=6)


@given(documents, st.sampled_from(["      ", "    ", "     "]))
def test_folding_changes_nothing_that_is_read(pieces: list[tuple[str, int]], indent: str) -> None:
    lines = [each for form, times in pieces for each in [form] * times]
    text = (
        HEAD
        + "".join(device(number, form, indent) for number, form in enumerate(lines))
        + f"{indent}- 990003425730534\n"
    )
    whole = drafted(text.encode())
    # A comment behind every device breaks each run, and changes no place.
    parted = drafted("".join(_apart(text.splitlines())).encode())

    assert rows(whole.inventory.roster) == rows(parted.inventory.roster)
    assert list(map(str, whole.problems)) == list(map(str, parted.problems))
    assert whole.inventory.info.devices == parted.inventory.info.devices


def _apart(lines: list[str]) -> list[str]:
    """The same lines; every second ends with what no run has."""
    return [f"{line}{'  # ä' if number % 2 and line else ''}\n" for number, line in enumerate(lines)]


def test_identifiers_in_a_run_are_what_was_written() -> None:
    written = HEAD + "".join(device(number, "IMEI") for number in range(MANY)).replace("35000", "00000")
    roster = drafted(written.encode()).inventory.roster

    assert (roster.imei(3), roster.iccid(3)) == (Imei("000000000000003"), None)
    assert roster.rows_with(Iccid("1")) == []
