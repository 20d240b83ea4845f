"""Marks of inventory entries: they change with what is written of a device, and with nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from licensesync import inventory
from licensesync.files import LocalFiles
from licensesync.model import DeviceId, Mode, Pool, Product

FOTA = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
SPARE = Pool("spare", Product.FOTA, "0642233522-00002", Mode.FULL)
SIM = Pool("sim", Product.SIM_SECURE, "0642233522-00001", Mode.MANAGED, sku="SIMSec-IoT")
POOLS = {pool.name: pool for pool in (FOTA, SPARE, SIM)}
A, B, C = "990003425730534", "990003473429898", "990000473475988"
ICCID, OTHER_ICCID = "89148000001234567890", "89148000001234567891"
ENTRY = f"{{imei: {A}, iccid: {ICCID}, note: pump 7}}"
GROUP = f"""\
groups:
  - name: meters
    licenses: [fota, spare]
    priority: 3
    from: 2026-01-01
    until: 2027-01-01
    devices:
      - {ENTRY}
      - "{B}"
"""


def mark(folder: Path, written: Mapping[str, str] | str, device: str = A, pool: Pool = FOTA) -> str:
    """The mark of a device in an inventory of some files, or of a single one, whatever may be wrong with it."""
    for name, content in ({"a.yaml": written} if isinstance(written, str) else written).items():
        path = folder / "fleet" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    read = inventory.draft(LocalFiles(folder / "fleet", folder), POOLS).inventory
    return read.mark(pool, DeviceId(device))


def test_a_mark_is_sixteen_hex_digits(tmp_path: Path) -> None:
    assert len(mark(tmp_path, GROUP)) == 16
    assert set(mark(tmp_path, GROUP)) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ICCID, OTHER_ICCID),
        (f", iccid: {ICCID}", ""),
        ("pump 7", "pump 8"),
        (", note: pump 7", ""),
        ("note: pump 7", "note: [pump 7, pump 8]"),
        ("note: pump 7", "note: {pump: 7}"),
        ("pump 7", "pump 7, consent: lifetime"),
        (ENTRY, A),
        ("name: meters", "name: pumps"),
        ("licenses: [fota, spare]", "licenses: [fota]"),
        ("priority: 3", "priority: 4"),
        ("    priority: 3\n", ""),
        ("from: 2026-01-01", "from: 2026-01-02"),
        ("    from: 2026-01-01\n", ""),
        ("until: 2027-01-01", "until: 2027-01-02"),
        ("    until: 2027-01-01\n", ""),
        ("    priority: 3\n", "    priority: 3\n    consent: lifetime\n"),
    ],
)
def test_every_change_of_an_entry_or_its_group_changes_the_mark(tmp_path: Path, before: str, after: str) -> None:
    assert GROUP.count(before) == 1
    assert mark(tmp_path / "changed", GROUP.replace(before, after)) != mark(tmp_path, GROUP)


@pytest.mark.parametrize(
    ("note", "other", "same"),
    [
        ("[7, 8]", "[7, 9]", '["7", 8]'),
        ("{pump: 7, floor: 1}", "{pump: 7, floor: 2}", "{floor: 1, pump: 7}"),
        ("[{pump: [7]}]", "[{pump: [8]}]", "\n          - pump:\n              - 7"),
    ],
)
def test_a_note_may_be_more_than_a_text(tmp_path: Path, note: str, other: str, same: str) -> None:
    block = GROUP.replace(ENTRY, f"imei: {A}\n        note: NOTE")
    marks = [mark(tmp_path, block.replace("NOTE", written)) for written in (note, other, same)]

    assert marks[0] != marks[1]
    assert marks[0] == marks[2]


@pytest.mark.parametrize(
    "entry",
    [
        f'{{imei: "{A}", iccid: "{ICCID}", note: "pump 7"}}',
        f"{{'note': 'pump 7', 'iccid': '{ICCID}', 'imei': '{A}'}}  # mended",
        f"imei: {A}\n        iccid: {ICCID}\n        note: pump\n          7",
        f"imei: {A}\n        iccid: {ICCID}\n        note: |\n          pump 7",
        f'imei: {A}\n        iccid: {ICCID}\n        note: "p\\\n          ump 7"',
    ],
)
def test_the_form_of_an_entry_does_not_matter(tmp_path: Path, entry: str) -> None:
    assert mark(tmp_path / "changed", GROUP.replace(ENTRY, entry)) == mark(tmp_path, GROUP)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("groups:\n", "# moved\n\nprotect: []\ngroups:\n"),
        ("groups:\n", f"groups:\n  - {{name: more, licenses: [fota], devices: [{C}]}}\n"),
        ("[fota, spare]", "\n      - spare\n      - 'fota'"),
        ("priority: 3\n    from: 2026-01-01", 'from: "2026-01-01"\n    priority: +3'),
        (f'"{B}"', f"{{imei: {B}, note: new, consent: lifetime}}"),
        (f'      - "{B}"\n', ""),
        (f"      - {ENTRY}\n", f"      - {{imei: {C}, note: before}}\n      - {ENTRY}\n"),
        (f"      - {ENTRY}\n", f"      - {C}\n      - {ENTRY}\n"),
        ("groups:\n", f"protect: [{{imei: {A}, reason: under investigation}}]\ngroups:\n"),
    ],
)
def test_places_and_other_devices_do_not_matter(tmp_path: Path, before: str, after: str) -> None:
    assert GROUP.count(before) == 1
    assert mark(tmp_path / "changed", GROUP.replace(before, after)) == mark(tmp_path, GROUP)


def test_a_group_may_move_to_another_file(tmp_path: Path) -> None:
    moved = {"a.yaml": f"groups: [{{name: x, licenses: [fota], devices: [{C}]}}]", "sub/b.yaml": GROUP}

    assert mark(tmp_path / "moved", moved) == mark(tmp_path, GROUP)


def test_every_note_belongs_to_its_own_device(tmp_path: Path) -> None:
    devices = f'      - "{C}"\n      - {{imei: {A}, note: " "}}\n      - {{imei: {B}, note: pump 7}}\n'
    written = f"groups:\n  - name: g\n    licenses: [fota]\n    devices:\n{devices}      - 99000342573053\n"
    bare, empty, noted, last = (mark(tmp_path, written, device) for device in (C, A, B, "99000342573053"))

    assert bare == empty == last != noted


def test_a_device_is_marked_for_the_pool_that_is_asked_about(tmp_path: Path) -> None:
    written = f"""\
groups:
  - {{name: f, licenses: [fota], devices: [{{imei: {A}, iccid: {ICCID}, note: pump 7}}]}}
  - {{name: s, licenses: [sim], devices: [{{imei: {A}, iccid: {ICCID}, note: pump 7}}]}}
"""
    changed = written.replace("name: s", "name: t")

    assert mark(tmp_path, written) == mark(tmp_path, changed)
    sim = f"{A}/{ICCID}"
    assert "" != mark(tmp_path, written, sim, SIM) != mark(tmp_path, changed, sim, SIM)


@pytest.mark.parametrize(("device", "pool"), [(B, FOTA), (C, FOTA), (A, SPARE), (A, SIM), (f"{A}/{ICCID}", SIM)])
def test_a_device_that_no_entry_names_for_the_pool_has_no_mark(tmp_path: Path, device: str, pool: Pool) -> None:
    written = f"groups: [{{name: g, licenses: [fota], devices: [{ENTRY}]}}]\nprotect: [{{imei: {B}, reason: x}}]"

    assert mark(tmp_path, written, device, pool) == ""


def test_a_group_whose_time_has_not_come_is_marked_like_any_other(tmp_path: Path) -> None:
    assert mark(tmp_path, f"groups: [{{name: g, licenses: [fota], from: 2099-01-01, devices: [{A}]}}]")


@pytest.mark.parametrize("more", ["", ", consent: lifetime"])
@pytest.mark.parametrize("note", ["pump 7", '"pump 7"', '""', "~", "ähm 🚰"])
def test_both_ways_of_reading_an_entry_give_the_same_mark(tmp_path: Path, note: str, more: str) -> None:
    entry = f"{{imei: {A}, iccid: {ICCID}, note: {note}{more}}}"
    slow = entry.replace("{", "{serial: 7, ")  # an unknown key: its problem is found on the slow way

    quickly, slowly = (mark(tmp_path / name, GROUP.replace(ENTRY, name)) for name in (entry, slow))

    assert quickly == slowly


LIST = f"""\
imei,iccid,note
{C},,
{A},{ICCID},pump 7
{B},,pump 9
"""


def listed(folder: Path, csv: str, device: str = A) -> str:
    yaml = "groups: [{name: g, licenses: [fota], devices_from: a.csv}]"
    return mark(folder, {"a.yaml": yaml, "a.csv": csv}, device)


@pytest.mark.parametrize(
    ("before", "after"),
    [("pump 7", "pump 8"), (",pump 7", ""), (ICCID, OTHER_ICCID), (ICCID, ""), ("pump 7", '"pump, 7"')],
)
def test_every_change_of_a_line_of_a_list_changes_the_mark(tmp_path: Path, before: str, after: str) -> None:
    assert listed(tmp_path / "changed", LIST.replace(before, after)) != listed(tmp_path, LIST)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pump 7", '"pump 7"'),
        (ICCID, f'"{ICCID}"'),
        ("imei,iccid,note\n", "# a list\n\nimei,iccid,note\n"),
        (f"{C},,\n", ""),
        ("pump 9", "pump 10"),
        ("\n", "\r\n"),
    ],
)
def test_the_form_of_a_list_and_its_other_lines_do_not_matter(tmp_path: Path, before: str, after: str) -> None:
    assert listed(tmp_path / "changed", LIST.replace(before, after)) == listed(tmp_path, LIST)


def test_a_plain_list_has_marks_too(tmp_path: Path) -> None:
    assert listed(tmp_path, f"{A}\n{B}\n") == listed(tmp_path / "other", f"{B}\n{A}\n{C}\n") != ""


def test_a_mark_is_the_same_on_every_machine_and_in_every_process(tmp_path: Path) -> None:
    assert mark(tmp_path, GROUP.replace("pump 7", "pump ÄΩ🚰")) == "6a53a82df564fa05"
