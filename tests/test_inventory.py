"""The inventory: who is wanted, where it says so, and every problem at its place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from licensesync import files, inventory
from licensesync.errors import InventoryError
from licensesync.files import LocalFiles, Unreadable
from licensesync.identifiers import with_wrong_check_digits
from licensesync.inventory import Inventory
from licensesync.model import Approval, DeviceId, Entry, Imei, Mode, Place, Pool, Product, Protection, Severity
from licensesync.problems import MOST_PROBLEMS, printable

FOTA = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
SPARE = Pool("spare", Product.FOTA, "0642233522-00002", Mode.FULL)
SIM = Pool("sim", Product.SIM_SECURE, "0642233522-00001", Mode.MANAGED, sku="SIMSec-IoT")
LIFE = Pool("life", Product.SIM_SECURE, "0642233522-00001", Mode.MANAGED, sku="SIMSec-IoT-Lt", irrevocable=True)
POOLS = {pool.name: pool for pool in (FOTA, SPARE, SIM, LIFE)}
A, B, C = "990003425730534", "990003473429898", "990000473475988"
ICCID, OTHER_ICCID = "89148000001234567890", "89148000001234567891"
NOW = date(2026, 11, 22)


def loaded(folder: Path, written: Mapping[str, str | bytes] | str) -> Inventory:
    """The inventory of some files, or of a single one."""
    named = {"inventory.yaml": written} if isinstance(written, str) else written
    for name, content in named.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    root = folder / "inventory.yaml" if isinstance(written, str) else folder / "fleet"
    return inventory.load(root, POOLS, folder)


def said(folder: Path, written: Mapping[str, str | bytes] | str = "") -> list[str]:
    with pytest.raises(InventoryError) as caught:
        loaded(folder, written)
    return [str(problem).removeprefix("inventory.yaml:") for problem in caught.value.problems]


def group(devices: str, licenses: str = "[fota]", at: str = "", **more: str) -> str:
    keys = "".join(f", {key.rstrip('_')}: {value}" for key, value in more.items())
    return f"groups: [{at}{{name: g, licenses: {licenses}, devices: {devices}{keys}}}]\n"


def entry(read: Inventory, device: str, pool: Pool = FOTA) -> Entry:
    return read.desired(pool, NOW).entries[DeviceId(device)]


def wanted(read: Inventory, pool: Pool = FOTA, today: date = NOW) -> list[str]:
    return list(read.desired(pool, today).wanted)


def test_the_documented_inventory_is_understood(tmp_path: Path) -> None:
    chicago = f"""\
groups:
  - name: chicago-meters
    licenses: [fota]
    priority: 10
    devices:
      - "990003425730535"
      - 012345678901237
      - {{imei: "990000473475989", iccid: "{ICCID}", note: pump 7}}
  - name: rotterdam
    licenses: [fota, sim]
    from: 2026-12-01
    until: 2027-02-01
    devices_from: rotterdam.csv
    consent: lifetime
protect:
  - {{imei: "990007303425535", reason: under investigation, until: 2027-01-01}}
approvals:
  - {{refusal: "3f9ac1d25be07a44", reason: Rotterdam is closing, until: 2026-12-01}}
"""
    read = loaded(tmp_path, {"fleet/chicago.yaml": chicago, "fleet/rotterdam.csv": f"imei,iccid\n{A},{ICCID}\n"})

    fota, sim = read.desired(FOTA, NOW), read.desired(SIM, NOW)
    assert list(fota.wanted) == ["990003425730535", "012345678901237", "990000473475989"]
    assert A not in fota.wanted
    assert list(sim.wanted) == []
    assert read.named(SIM) == {f"{A}/{ICCID}"}
    assert entry(read, "012345678901237") == Entry("chicago-meters", Place("fleet/chicago.yaml", 7, 9), 10)
    assert entry(read, A) == Entry("rotterdam", Place("fleet/rotterdam.csv", 2, 1), 0)
    assert entry(read, "990007303425535") == Entry(None, Place("fleet/chicago.yaml", 16, 5), 0)
    protection = Protection("under investigation", Place("fleet/chicago.yaml", 16, 5), date(2027, 1, 1))
    assert read.protected == fota.protected == sim.protected == {"990007303425535": protection}
    place = Place("fleet/chicago.yaml", 18, 5)
    assert read.approvals == (Approval("3f9ac1d25be07a44", "Rotterdam is closing", place, date(2026, 12, 1)),)
    assert read.info.devices == 4
    assert (read.info.commit, read.info.dirty) == (None, False)


@pytest.mark.parametrize(
    ("today", "active"),
    [
        (date(2026, 11, 30), False),
        (date(2026, 12, 1), True),
        (date(2027, 1, 31), True),
        (date(2027, 2, 1), False),
    ],
)
def test_a_group_is_wanted_from_its_first_day_and_not_from_its_last_day_on(
    tmp_path: Path, today: date, *, active: bool
) -> None:
    written = f"""
groups:
  - {{name: before, licenses: [fota], devices: [{A}]}}
  - {{name: season, licenses: [fota], devices: [{B}], from: 2026-12-01, until: "2027-02-01"}}
  - {{name: after, licenses: [fota], devices: [{C}]}}
"""
    read = loaded(tmp_path, written)
    desired = read.desired(FOTA, today)

    assert list(desired.wanted) == ([A, B, C] if active else [A, C])
    assert B in read.named(FOTA)
    assert entry(read, B).group == "season"


@pytest.mark.parametrize(("today", "protected"), [(date(2026, 12, 31), True), (date(2027, 1, 1), False)])
def test_protection_ends_with_the_beginning_of_its_day(tmp_path: Path, today: date, *, protected: bool) -> None:
    read = loaded(tmp_path, f"groups: []\nprotect: [{{imei: {A}, reason: x, until: 2027-01-01}}]")

    assert (Imei(A) in read.desired(SIM, today).protected) is protected


def test_files_are_read_in_the_order_of_their_paths_and_devices_in_the_order_of_their_places(tmp_path: Path) -> None:
    ids = [f"{n:015d}" for n in range(10)]
    read = loaded(
        tmp_path,
        {
            "fleet/b.yml": group(f"[{ids[4]}, {ids[3]}]", devices_from="z.csv"),
            "fleet/a/b.yaml": group(f"[{ids[1]}]"),
            "fleet/a/a.yaml": group(f"[{ids[2]}]"),
            "fleet/a-b.yaml": group(f"[{ids[5]}]"),
            "fleet/z.csv": f"{ids[7]}\n{ids[6]}\n",
            "fleet/.hidden.yaml": "not: read",
            "fleet/.git/config.yaml": "not: read",
            "fleet/notes.txt": "not: read",
        },
    )

    assert wanted(read) == [ids[5], ids[2], ids[1], ids[4], ids[3], ids[7], ids[6]]


def test_the_order_of_the_keys_of_a_group_does_not_matter(tmp_path: Path) -> None:
    read = loaded(tmp_path, f"groups: [{{devices: [{A}], until: 2027-01-01, licenses: [spare, fota], name: x}}]")

    assert wanted(read) == wanted(read, SPARE) == [A]
    assert entry(read, A).group == "x"


def test_an_inventory_may_want_nothing(tmp_path: Path) -> None:
    read = loaded(tmp_path, "groups: []")

    assert wanted(read) == []
    assert read.info.devices == 0
    assert len(read.desired(FOTA, NOW).entries) == 0


def test_entries_know_every_device_that_is_named_anywhere(tmp_path: Path) -> None:
    written = f"""
groups:
  - {{name: f, licenses: [fota], devices: [{A}, {{imei: {B}, iccid: {ICCID}}}]}}
  - {{name: s, licenses: [sim], priority: -3, devices: [{{imei: {C}, iccid: {ICCID}}}]}}
  - {{name: p, licenses: [spare], devices: [{A}]}}
protect: [{{imei: 12345678901234, reason: x}}]
"""
    read = loaded(tmp_path, written)
    fota, spare, sim = (read.desired(pool, NOW).entries for pool in (FOTA, SPARE, SIM))

    assert set(fota) == set(spare) == {A, B, C, "12345678901234"}
    assert [entry(read, A, pool).group for pool in (FOTA, SPARE)] == ["f", "p"]
    assert entry(read, B, SPARE).group == "f"
    assert entry(read, C) == Entry("s", Place("inventory.yaml", 4, 56), -3)
    assert set(sim) == {f"{B}/{ICCID}", f"{C}/{ICCID}"}
    assert len(fota) == 4
    assert entry(read, f"{B}/{ICCID}", SIM).group == "f"
    assert entry(read, f"12345678901234/{ICCID}", SIM) == Entry(None, Place("inventory.yaml", 6, 11))
    assert DeviceId("00000000000000") not in fota


def test_a_sim_secure_device_is_known_by_imei_and_iccid_together(tmp_path: Path) -> None:
    read = loaded(tmp_path, group(f"[{{imei: {A}, iccid: {ICCID}}}, {{imei: {A}, iccid: {OTHER_ICCID}}}]", "[sim]"))

    assert wanted(read, SIM) == [f"{A}/{ICCID}", f"{A}/{OTHER_ICCID}"]


IDENTIFIERS = ["1_000", "12:30", "1e5", "~", "no", '" 990003425730534"', "'990003425730534 '", "1234567890123"]
IDENTIFIERS += ["12345678901234567", "0x1F", "٩٩٠٠٠٣٤٢٥٧٣٠٥٣٤", "990003425730534.0", "+99000342573053", "null", "[]"]
IDENTIFIERS += ['"99000342573053\\n"', '""', "-", "99000342573053 4", "1e14"]


@pytest.mark.parametrize("identifier", IDENTIFIERS)
@pytest.mark.parametrize(("form", "column"), [("{}", 48), ("{{imei: {} }}", 55)])
def test_an_identifier_is_digits_exactly_as_they_are_written(
    tmp_path: Path, identifier: str, form: str, column: int
) -> None:
    problems = said(tmp_path, group(f"[{form.format(identifier)}]"))

    assert len(problems) == 1
    assert problems[0].startswith(f"1:{column}: ")
    assert problems[0].isprintable()


@pytest.mark.parametrize("imei", ["01234567890123", "012345678901237", "0123456789012345"])
@pytest.mark.parametrize("form", ["{}", '"{}"', "'{}'", "{{imei: {} }}", '{{imei: "{}"}}', "{{imei: {}, note: }}"])
def test_identifiers_are_the_text_that_was_written(tmp_path: Path, imei: str, form: str) -> None:
    assert wanted(loaded(tmp_path, group(f"[{form.format(imei)}]"))) == [imei]


WRONG = [
    ("▸", "the file is empty; write its content, or delete it"),
    ("▸- a", "an inventory is a mapping; write one of groups, protect, approvals, each with a list"),
    ("groups:▸", "groups has no value; write a list, or groups: [] for none"),
    ("groups: ▸{}", "groups is not a list; write a list, or groups: [] for none"),
    ("▸protect: []", "there are no groups; write groups: [] if nothing is wanted"),
    ("groups: []\nprotect:▸", "protect has no value; write a list, or protect: [] for none"),
    ("groups: []\napprovals: ▸x", "approvals is not a list; write a list, or approvals: [] for none"),
    ("▸group: [{a: [1]}]", "unknown key 'group'; write one of groups, protect, approvals (did you mean groups?)"),
    ("groups: []\n▸groups: []", "the key 'groups' stands here a second time, first at inventory.yaml:1:1; keep one"),
    ("groups: [▸x]", "a group is not a mapping; write its keys below it, each with its value"),
    ("groups: ▸*a", "the alias '*a' is not read; write the value itself"),
    ("groups: []\n▸---\ngroups: []", "a second document begins here; write one document for each file"),
    ("groups: [▸", "this is not YAML"),
    ("▸!x groups", "the tag '!x' is not read; remove it"),
    ("groups: [▸{name: g, licenses: [fota]}]", "the group has no devices"),
    (group("[]", at="▸"), "the group has no devices; add devices: or devices_from:, or remove the group"),
    (group("~", at="▸"), "the group has no devices"),
    (group("▸{}"), "devices is not a list; write one line for each, such as"),
    (group("▸x"), "devices is not a list"),
    (group("[▸[1]]"), "a device cannot be a list"),
    (group("[▸*a]"), "the alias '*a' is not read; write the value itself"),
    (group(f"[▸&a {A}]"), "the anchor '&a' is not read; remove it"),
    (group(f"[▸!!str {A}]"), "the tag 'tag:yaml.org,2002:str' is not read; remove it"),
    (group(f"[{{▸<<: {{a: b}}, imei: {A}}}]"), "merge keys are not read; write the keys themselves"),
    (group(f"[{{imei: {A}, ▸imei: {A}}}]"), "the key 'imei' stands here a second time"),
    (group(f"[{{imei: {A}, ▸serial: 1}}]"), "unknown key 'serial'; write one of imei, iccid, note, consent"),
    (group(f"[▸{{iccid: {ICCID}}}]"), "the device has no imei; add imei: 14 to 16 digits"),
    (group(f"[{{imei: {A}, iccid: ▸123}}]"), "iccid '123' is not of the right form; write 18 to 20 digits"),
    (group(f"[{{imei: {A}, iccid: ▸}}]"), "iccid has no value; write 18 to 20 digits"),
    (group(f"[{{imei: {A}, consent: ▸life}}]"), "consent 'life' is not known; write lifetime (did you mean"),
    (group(f"[{A}]", "▸fota"), "licenses is not a list; write a list of pools, out of fota, spare, sim, life"),
    (group(f"[{A}]", "▸[]"), "licenses is empty; write a list of pools, out of fota, spare, sim, life"),
    (group(f"[{A}]", "[▸fot]"), "unknown pool 'fot'; write one of fota, spare, sim, life (did you mean fota?)"),
    (group(f"[{A}]", "[fota, ▸fota]"), "pool 'fota' stands here a second time; remove it"),
    (group(f"[{A}]", "[▸[fota]]"), "a pool is named by its name; write one of fota, spare, sim, life"),
    (group(f"[{A}]", "[▸*a]"), "the alias '*a' is not read; write the value itself"),
    (group(f"[{A}]", priority="▸high"), "priority 'high' is not a whole number"),
    (group(f"[{A}]", priority="▸1_0"), "priority '1_0' is not a whole number"),
    (group(f"[{A}]", from_="▸2026-02-30"), "from '2026-02-30' is not in the calendar; write a day such as 2026-12-01"),
    (group(f"[{A}]", from_="▸2026-2-3"), "from '2026-2-3' is not a date; write a day such as 2026-12-01"),
    (group(f"[{A}]", until="▸2026-12-01T00:00:00Z"), "until '2026-12-01T00:00:00Z' is not a date"),
    (group(f"[{A}]", from_="2026-12-01", until="▸2026-12-01"), "until 2026-12-01 is not after from 2026-12-01"),
    (group(f"[{A}]", consent="▸yes"), "consent 'yes' is not known; write lifetime"),
    (group(f"[{A}]", devices_from="▸[x]"), "devices_from cannot be a list; write the path of a file"),
    (group(f"[{A}], ▸device: [1, 2, {{a: b}}]"), "unknown key 'device'; write one of name, licenses"),
    (f"groups: [▸{{licenses: [fota], devices: [{A}]}}]", "the group has no name; add name: a few words"),
    (f"groups: [{{name: ▸' ', licenses: [fota], devices: [{A}]}}]", "name is empty; write a few words"),
    (f'groups: [{{name: ▸"\\e", licenses: [fota], devices: [{A}]}}]', "name '\\x1b' has control characters in it"),
    (f"groups: [▸{{name: g, devices: [{A}]}}]", "the group has no licenses; add licenses: "),
    (group(f"[▸{A}]", "[sim]"), f"device {A} has no ICCID, which pool sim needs; write {{imei: "),
    (group(f"[{{imei: {A}, iccid: {ICCID}}}]", "▸[life]"), "a license of pool life cannot be taken back, and nobody"),
    (group(f"[{A}, ▸{A}]"), f"device {A} stands here for pool fota again, first at inventory.yaml:1:48"),
    (f"groups: []\nprotect: [▸{{imei: {A}}}]", "an entry of protect has no reason; add reason: a few words"),
    ("groups: []\nprotect: [{imei: ▸1, reason: x}]", "imei '1' is not of the right form; write 14 to 16 digits"),
    (f"groups: []\nprotect: [{{reason: x, imei: {A}, until: ▸5}}]", "until '5' is not a date"),
    (
        f"groups: []\nprotect: [{{reason: x, imei: {A}, ▸foo: 5}}]",
        "unknown key 'foo'; write one of imei, reason, until",
    ),
    (f"groups: []\nprotect: [▸{A}]", "an entry of protect is not a mapping"),
    (
        f"groups: []\nprotect: [{{imei: {A}, reason: x}}, ▸{{imei: {A}, reason: y}}]",
        f"device {A} is protected here again, first at inventory.yaml:2:11; remove one of the two",
    ),
    ("groups: []\napprovals: [{refusal: ▸1234567, reason: x}]", "refusal '1234567' is not the hash of a refusal"),
    ("groups: []\napprovals: [{refusal: ▸12345678x, reason: x}]", "refusal '12345678x' is not the hash of a refusal"),
    ("groups: []\napprovals: [▸{refusal: 12345678}]", "an entry of approvals has no reason"),
    ("groups: []\napprovals: [▸12345678]", "an entry of approvals is not a mapping"),
]


@pytest.mark.parametrize(("marked", "expected"), WRONG)
def test_what_is_wrong_is_said_at_its_place(tmp_path: Path, marked: str, expected: str) -> None:
    before, _, after = marked.partition("▸")
    lines = before.split("\n")

    problems = said(tmp_path, before + after)

    assert len(problems) == 1
    assert problems[0].startswith(f"{len(lines)}:{len(lines[-1]) + 1}: {expected}")


def test_a_refusal_is_approved_by_any_form_of_its_hash(tmp_path: Path) -> None:
    hashes = ["12345678", "sha256:ABCDEF12", '"3f9ac1d25be07a44"', "0" * 64, "1e345678"]
    written = "".join(f"  - {{refusal: {digits}, reason: x}}\n" for digits in hashes)
    read = loaded(tmp_path, f"groups: []\napprovals:\n{written}")

    assert [approval.refusal for approval in read.approvals] == [
        "12345678", "abcdef12", "3f9ac1d25be07a44", "0" * 64, "1e345678",
    ]  # fmt: skip


def test_the_same_device_twice_for_one_pool_names_both_places(tmp_path: Path) -> None:
    problems = said(
        tmp_path,
        {
            "fleet/a.yaml": group(f"[{A}, {B}]", "[fota, spare]", until="2026-01-01"),
            "fleet/b.yaml": group(f"[{{imei: {A}, iccid: {ICCID}}}, {C}]", devices_from="list.csv"),
            "fleet/list.csv": f"{C}\n{B}\n",
        },
    )

    again = [("b.yaml:1:48", A, "a.yaml:1:55"), ("list.csv:1:1", C, "b.yaml:1:102"), ("list.csv:2:1", B, "a.yaml:1:72")]
    assert problems == [
        f"fleet/{second}: device {imei} stands here for pool fota again, first at fleet/{first}; remove one of the two"
        for second, imei, first in again
    ]


def test_devices_between_bad_ones_are_looked_at_too(tmp_path: Path) -> None:
    problems = said(tmp_path, group(f"[{A}, x, {A}]"))

    assert [problem.partition(";")[0] for problem in problems] == [
        "1:65: 'x' is not an IMEI",
        f"1:68: device {A} stands here for pool fota again, first at inventory.yaml:1:48",
    ]


def test_consent_to_a_lifetime_license_stands_on_the_group_or_on_each_device(tmp_path: Path) -> None:
    one, other = f"imei: {A}, iccid: {ICCID}", f"imei: {B}, iccid: {ICCID}"

    by_group = loaded(tmp_path, group(f"[{{{one}}}]", "[life]", consent="lifetime"))
    by_device = loaded(tmp_path, group(f"[{{{one}, consent: lifetime}}]", "[life]"))
    problems = said(tmp_path, group(f"[{{{one}, consent: lifetime}}, {{{other}}}]", "[life]"))

    assert wanted(by_group, LIFE) == wanted(by_device, LIFE) == [f"{A}/{ICCID}"]
    assert problems == ["1:121: a license of pool life cannot be taken back; add consent: lifetime to the device"]


def test_two_hundred_problems_are_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    devices = "".join(f"      - {n}x\n      - {{imei: {n}}}\n" for n in range(100))
    problems = said(tmp_path, f"groups:\n  - name: g\n    licenses: [fota]\n    devices:\n{devices}")

    assert [int(problem.partition(":")[0]) for problem in problems] == list(range(5, 205))


def test_more_problems_than_anybody_reads_end_with_their_number(tmp_path: Path) -> None:
    problems = said(tmp_path, {"fleet/a.yaml": group("[" + "x, " * (MOST_PROBLEMS + 50) + "]")})

    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[-1].endswith(": 50 more problems are not shown; mend those above first")


def test_a_wrong_check_digit_is_a_warning(tmp_path: Path) -> None:
    written = (
        group(f"[{A[:-1]}5, {A}, 99000342573053, 9900034257305351]") + f"protect: [{{imei: {B[:-1]}7, reason: x}}]"
    )
    warnings = loaded(tmp_path, written).warnings()

    assert [str(warning) for warning in warnings] == [
        f"inventory.yaml:1:48: the check digit of IMEI {A[:-1]}5 is wrong; compare the IMEI with the device",
        f"inventory.yaml:2:11: the check digit of IMEI {B[:-1]}7 is wrong; compare the IMEI with the device",
    ]
    assert {warning.severity for warning in warnings} == {Severity.WARNING}


def test_devices_of_a_group_that_breaks_off_are_looked_at_all_the_same(tmp_path: Path) -> None:
    wrong = f"{A[:-1]}5"
    (tmp_path / "a.yaml").write_text(group(f"[{wrong}]"))
    (tmp_path / "b.yaml").write_text(f"groups:\n- devices: [{B[:-1]}7, {C}")
    drafted = inventory.draft(LocalFiles(tmp_path, tmp_path), POOLS)
    (tmp_path / "a.yaml").unlink()
    alone = inventory.draft(LocalFiles(tmp_path, tmp_path), POOLS)

    told = [(problem.place, problem.severity) for problem in inventory.with_warnings(drafted)]
    assert told == [
        (Place("a.yaml", 1, 48), Severity.WARNING),
        (Place("b.yaml", 2, 12), Severity.ERROR),
        (Place("b.yaml", 2, 13), Severity.WARNING),
    ]
    assert [problem.place for problem in inventory.with_warnings(alone)] == [place for place, _ in told[1:]]


def test_errors_and_warnings_stand_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(group(f"[x, {A[:-1]}5, y, {B}]") + f"protect: [{{imei: {A}, reason: x}}]")
    draft = inventory.draft(LocalFiles(tmp_path / "a.yaml", tmp_path), POOLS)

    severities = [problem.severity for problem in inventory.with_warnings(draft)]

    assert severities == [Severity.ERROR, Severity.WARNING, Severity.ERROR]


def test_too_many_errors_leave_no_room_for_warnings(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(group(f"[{A[:-1]}5, {'x, ' * (MOST_PROBLEMS + 1)}]"))
    draft = inventory.draft(LocalFiles(tmp_path / "a.yaml", tmp_path), POOLS)

    assert inventory.with_warnings(draft) == draft.problems


def test_the_digest_is_that_of_names_and_contents_wherever_the_inventory_lies(tmp_path: Path) -> None:
    fleet = {"fleet/a.yaml": group(f"[{A}]", devices_from="b.csv"), "fleet/b.csv": B}
    here, there = loaded(tmp_path / "here", fleet), loaded(tmp_path / "the/re", fleet)
    changed = loaded(tmp_path / "changed", {**fleet, "fleet/b.csv": C})
    renamed = loaded(tmp_path / "renamed", {"fleet/c.yaml": fleet["fleet/a.yaml"], "fleet/b.csv": B})

    assert here.info == there.info
    assert here.info.digest.startswith("sha256:")
    assert len({read.info.digest for read in (here, changed, renamed)}) == 3


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_mark_and_line_ends_change_neither_devices_nor_places(tmp_path: Path, end: str, mark: str) -> None:
    lists = f"{mark}{A}{end}{B}{end}"
    table = f"{mark}note,IMEI{end}# x{end}{end}a,{C}{end}"
    yaml = f"{mark}groups:{end}- {{name: g, licenses: [fota], devices_from: a.csv}}{end}"
    more = f"- {{name: h, licenses: [fota], devices_from: b.csv}}{end}"
    read = loaded(tmp_path, {"fleet/a.yaml": yaml + more, "fleet/a.csv": lists, "fleet/b.csv": table})

    assert wanted(read) == [A, B, C]
    assert [str(read.desired(FOTA, NOW).entries[device].place) for device in read.desired(FOTA, NOW).wanted] == [
        "fleet/a.csv:1:1", "fleet/a.csv:2:1", "fleet/b.csv:4:1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"imei,iccid,note\n{A},{ICCID},x\n", [f"{A}/{ICCID}"]),
        (f" Imei , ICCID\n{A},{ICCID}\n", [f"{A}/{ICCID}"]),
        (f'note,iccid,imei\n"a, ""b""",{ICCID},"{A}"\n', [f"{A}/{ICCID}"]),
        (f"# list\n\nimei,iccid\n  # c\n{A},{ICCID}\n{B},{OTHER_ICCID}", [f"{A}/{ICCID}", f"{B}/{OTHER_ICCID}"]),
    ],
)
def test_a_table_of_devices_is_read_by_its_header(tmp_path: Path, content: str, expected: list[str]) -> None:
    yaml = "groups: [{name: g, licenses: [sim], devices_from: a.csv}]"

    assert wanted(loaded(tmp_path, {"fleet/a.yaml": yaml, "fleet/a.csv": content}), SIM) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"{A}\nx\n{B}\n", ["2:1: 'x' is not an IMEI; write 14 to 16 digits"]),
        (f"{A}\n {B}\n", [f"2:1: ' {B}' is not an IMEI; write 14 to 16 digits"]),
        (f"{A}\n\x1b\x00\n", ["2:1: '\\x1b\\x00' is not an IMEI; write 14 to 16 digits"]),
        (f"{A}\r{B}\n", [f"1:1: '{A}\\r{B}' is not an IMEI; write 14 to 16 digits"]),
        (f"note,imei\nä,12\n,\n{A}\n", [
            "2:3: '12' is not an IMEI; write 14 to 16 digits",
            "3:2: '' is not an IMEI; write 14 to 16 digits",
            "4:16: '' is not an IMEI; write 14 to 16 digits",
        ]),
        (f'imei,note,iccid\n{A},"a,b",1\n', ["2:23: '1' is not an ICCID; write 18 to 20 digits"]),
        (f"imei,iccid\n{A},{ICCID},x,y\n", [
            "2:38: there are 4 fields here instead of 2; quote what has commas in it"
        ]),
        (f"{A},{ICCID}\n", [
            "1:17: there are 2 fields here instead of 1; write a header line such as imei,iccid,note"
        ]),
        (f'imei,note\n{A},"a\n{B},b\n', [
            f"2:1: the quotes of '{A},\"a' do not match; write \"…\", with \"\" for a quote inside"
        ]),
        (f"imei,icid\n{A},1\n", [
            "1:6: unknown column 'icid'; write a header line such as imei,iccid,note (did you mean iccid?)"
        ]),
        (f"imei,imei\n{A},{A}\n", ["1:6: the column imei stands here a second time; keep one of the two"]),
        (f"iccid,note\n{A},1\n", ["1:1: there is no column imei; write a header line such as imei,iccid,note"]),
        (b"990003425730534\n\xc3\xa4\xe4\n", ["2:2: this byte is not UTF-8; save the file as UTF-8"]),
    ],
)  # fmt: skip
def test_every_bad_line_of_a_list_is_reported_at_its_place(
    tmp_path: Path, content: str | bytes, expected: list[str]
) -> None:
    yaml = "groups: [{name: g, licenses: [fota], devices_from: a.csv}]"
    problems = said(tmp_path, {"fleet/a.yaml": yaml, "fleet/a.csv": content})

    assert problems == [f"fleet/a.csv:{problem}" for problem in expected]


@pytest.mark.parametrize("content", ["", "# none\n", "imei,note\n", "\n\n"])
def test_a_list_without_devices_is_a_problem(tmp_path: Path, content: str) -> None:
    yaml = "groups: [{name: g, licenses: [fota], devices_from: a.csv}]"

    assert said(tmp_path, {"fleet/a.yaml": yaml, "fleet/a.csv": content}) == [
        "fleet/a.yaml:1:52: devices_from 'a.csv': the file has no devices; add some, or remove the group"
    ]


def test_a_device_is_told_in_its_own_file_whatever_was_told_before(tmp_path: Path) -> None:
    listed = "groups: [{name: g, licenses: [sim], devices_from: c.csv}]"
    problems = said(
        tmp_path,
        {"fleet/a.yaml": group(f"[{A}]", "[sim]"), "fleet/b.yaml": f"\n\n{listed}", "fleet/c.csv": f"# c\n{B}"},
    )

    assert [problem.partition(" has no ICCID")[0] for problem in problems] == [
        f"fleet/a.yaml:1:47: device {A}",
        f"fleet/c.csv:2:1: device {B}",
    ]


def test_a_list_that_stands_twice_for_a_pool_is_told_once_and_not_read_again(tmp_path: Path) -> None:
    groups = "".join(
        f"- {{name: g, licenses: {licenses}, devices_from: {name}}}\n"
        for licenses, name in (("[fota]", "c.csv"), ("[spare]", "./c.csv"), ("[fota]", "x/../c.csv"), ("[]", "c.csv"))
    )
    problems = said(tmp_path, {"fleet/a.yaml": f"groups:\n{groups}", "fleet/c.csv": f"{A}\n{B}"})

    assert [problem.partition("; ")[0] for problem in problems] == [
        "fleet/a.yaml:4:45: the list 'c.csv' stands here for pool fota again, first at fleet/a.yaml:2:45",
        "fleet/a.yaml:5:23: licenses is empty",
    ]


def test_pools_that_a_hint_names_play_no_tricks_and_are_not_endless(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(group(f"[{A}]", "[other]"))
    names = ["\x1b[2J", "x" * 1000, *(f"pool-{number}" for number in range(1000))]
    pools = {name: replace(FOTA, name=printable(name[:64])) for name in names}
    (problem,) = inventory.draft(LocalFiles(tmp_path, tmp_path), pools).problems

    assert problem.hint.isprintable()
    assert problem.hint.startswith("write one of \\x1b[2J, xxx")
    assert " and 952 more" in problem.hint
    assert len(problem.hint) < 1000


def devices_from(folder: Path, name: str) -> list[str]:
    """The problems of a folder whose inventory names a list of devices."""
    yaml = f"groups: [{{name: g, licenses: [fota], devices_from: {name}}}]"
    return said(folder, {"fleet/sub/a.yaml": yaml})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.csv", "there is no such file; create it, or mend the path"),
        ("../../outside.csv", "the file lies outside the inventory's folder; move it into the folder"),
        ("/etc/passwd", "the file lies outside the inventory's folder; move it into the folder"),
        ("leads-out.csv", "the file lies outside the inventory's folder; move it into the folder"),
        ("folder", "this is a folder; name a file"),
        ("outside.csv/x", "the file cannot be read: Not a directory; mend the path or the file"),
        ("pipe", "this is not a regular file; name a file"),
        ("loop.csv", "the link leads back to itself; remove it, or mend its target"),
        ("large.csv", "the file is larger than 256 MB; split it into smaller files"),
    ],
)
def test_a_list_that_cannot_be_read_is_a_problem_where_it_is_named(tmp_path: Path, name: str, why: str) -> None:
    folder = tmp_path / "fleet/.lists"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "outside.csv").write_text(A)
    (folder / "outside.csv").touch()
    (folder / "leads-out.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(folder / "pipe")
    with (folder / "large.csv").open("wb") as large:
        large.truncate(files.LARGEST + 1)

    named = name if name.startswith((".", "/")) else f"../.lists/{name}"

    assert devices_from(tmp_path, named) == [f"fleet/sub/a.yaml:1:52: devices_from '{named}': {why}"]


def test_a_list_may_stand_anywhere_inside_the_folder(tmp_path: Path) -> None:
    yaml = "groups: [{name: g, licenses: [fota], devices_from: ../lists/a.csv}]"

    assert wanted(loaded(tmp_path, {"fleet/sub/a.yaml": yaml, "fleet/lists/a.csv": A})) == [A]


def test_a_folder_without_yaml_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()

    assert said(tmp_path, {}) == ["fleet:1:1: the folder has no YAML files; add one with groups: in it"]


def test_a_folder_in_which_no_file_has_groups_is_a_problem(tmp_path: Path) -> None:
    problems = said(tmp_path, {"fleet/a.yaml": "protect: []", "fleet/b.yaml": "approvals: []"})

    assert problems == ["fleet:1:1: there are no groups; write groups: [] if nothing is wanted"]


def test_an_empty_file_in_a_folder_is_a_problem(tmp_path: Path) -> None:
    problems = said(tmp_path, {"fleet/a.yaml": group(f"[{A}]"), "fleet/b.yaml": "\n"})

    assert problems == ["fleet/b.yaml:1:1: the file is empty; write its content, or delete it"]


@pytest.mark.parametrize("kind", ["missing", "pipe", "loop"])
def test_an_inventory_that_cannot_be_read_is_a_problem(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "fleet"
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "loop":
        path.symlink_to("fleet")

    assert [problem.partition("; ")[0] for problem in said(tmp_path, {})] == [
        {
            "missing": "fleet:1:1: there is no such file",
            "pipe": "fleet:1:1: this is not a regular file",
            "loop": "fleet:1:1: the link leads back to itself",
        }[kind]
    ]


def test_folders_may_lie_deep_in_each_other(tmp_path: Path) -> None:
    deep = tmp_path / "/".join("d" * 480)
    deep.mkdir(parents=True)
    (deep / "a.yaml").write_text(group(f"[{A}]"))
    read = inventory.load(tmp_path, POOLS, tmp_path)

    assert wanted(read) == [A]
    assert len(LocalFiles(tmp_path, tmp_path).folders()) == 481


def test_links_are_followed_to_what_is_not_read_anyway(tmp_path: Path) -> None:
    volume = {"fleet/..data/a.yaml": group(f"[{A}]"), "fleet/..data/sub/b.yaml": group(f"[{B}]")}
    (tmp_path / "fleet/..data").mkdir(parents=True)
    (tmp_path / "fleet/a.yaml").symlink_to("..data/a.yaml")
    (tmp_path / "fleet/sub").symlink_to("..data/sub")

    assert wanted(loaded(tmp_path, volume)) == [A, B]


def test_links_that_lead_out_or_in_circles_are_problems(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside.yaml").write_text(group(f"[{B}]"))
    (folder / "again").symlink_to(".")
    (folder / "dangling.yaml").symlink_to("nowhere.yaml")
    (folder / "file.yaml").symlink_to(tmp_path / "outside.yaml")
    (folder / "folder").symlink_to(tmp_path / "outside")
    (folder / "self.yaml").symlink_to("self.yaml")
    (folder / "unmounted").symlink_to("/nowhere")

    assert said(tmp_path, {"fleet/a.yaml": group(f"[{A}]")}) == [
        "fleet/again:1:1: the link leads to a folder that is read anyway; remove the link",
        "fleet/dangling.yaml:1:1: the link leads nowhere; remove it, or mend its target",
        "fleet/file.yaml:1:1: the file lies outside the inventory's folder; move it into the folder",
        "fleet/folder:1:1: the link leads out of the inventory's folder; move its target into the folder",
        "fleet/self.yaml:1:1: the link leads nowhere; remove it, or mend its target",
        "fleet/unmounted:1:1: the link leads nowhere; remove it, or mend its target",
    ]


def test_a_link_may_lead_to_the_inventory_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.yaml").write_text(group(f"[{A}]"))
    (tmp_path / "fleet").symlink_to("real")
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/inventory.yaml").symlink_to("../real/a.yaml")

    assert wanted(loaded(tmp_path, {})) == [A]
    assert wanted(inventory.load(tmp_path / "settings/inventory.yaml", POOLS, tmp_path)) == [A]


def test_places_are_relative_to_the_settings_folder(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(group(f"[{A}]"))
    read = inventory.load(tmp_path / "fleet.yaml", POOLS, tmp_path / "etc/licensesync")

    assert str(entry(read, A).place) == "../../fleet.yaml:1:48"


def test_a_folder_that_vanishes_while_it_is_read_is_a_problem(tmp_path: Path) -> None:
    names, unreadable = LocalFiles(tmp_path, tmp_path).names()
    with pytest.raises(Unreadable, match="there is no such file"):
        files.read_file(tmp_path / "gone")

    assert (names, unreadable) == ([], [])


def test_a_folder_that_may_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> Iterable[os.DirEntry[str]]:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "fleet").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)

    assert said(tmp_path, {})[0] == "fleet:1:1: the file may not be read; give this user the right to read it"


def test_a_file_of_fifty_megabytes_is_read(tmp_path: Path) -> None:
    head = "groups:\n- name: g\n  licenses: [fota]\n  devices:\n"
    lines = "".join(f"  - {n:015d} # {'x' * 4_000}\n" for n in range(12_500))
    read = loaded(tmp_path, head + lines)

    assert (tmp_path / "inventory.yaml").stat().st_size > 50_000_000
    assert read.info.devices == 12_500
    assert str(entry(read, "000000000012499").place) == "inventory.yaml:12504:5"


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "inventory.yaml").open("wb") as large:
        large.truncate(files.LARGEST + 1)

    with pytest.raises(InventoryError, match=r"^inventory.yaml:1:1: the file is larger than 256 MB; split it"):
        inventory.load(tmp_path / "inventory.yaml", POOLS, tmp_path)


def test_reading_in_a_thread_lets_others_work(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet/a.yaml").write_text(group("[" + ", ".join(f"{n:015d}" for n in range(50_000)) + "]"))
    turns = 0

    reader = Thread(target=inventory.load, args=(tmp_path / "fleet", POOLS, tmp_path))
    reader.start()
    while reader.is_alive():
        turns += 1
        reader.join(0.0001)

    assert turns > 3


IMEIS = st.from_regex(r"[0-9]{14,16}", fullmatch=True)
FORMS = st.sampled_from(
    ["- {}", '- "{}"', "- '{}'  # note", "- {{imei: {}}}", '- {{"imei": "{}", note: x y}}', "- imei: {}"]
)


@given(st.lists(st.tuples(IMEIS, FORMS), min_size=1, max_size=400, unique_by=lambda pair: pair[0]))
def test_each_device_is_wanted_once_in_the_order_of_the_file_at_its_own_line(
    tmp_path_factory: pytest.TempPathFactory, devices: list[tuple[str, str]]
) -> None:
    lines = "".join(f"  {form.format(imei)}\n" for imei, form in devices)
    folder = tmp_path_factory.mktemp("any")
    desired = loaded(folder, f"groups:\n- name: g\n  licenses: [fota]\n  devices:\n{lines}").desired(FOTA, NOW)

    assert list(desired.wanted) == [imei for imei, _ in devices]
    assert [desired.entries[device].place for device in desired.wanted] == [
        Place("inventory.yaml", line, 5) for line in range(5, 5 + len(devices))
    ]


@given(st.from_regex(r"[0-9]{14}", fullmatch=True), st.integers(0, 9))
def test_exactly_one_check_digit_is_right(digits: str, last: int) -> None:
    right = luhn.calc_check_digit(digits)

    assert with_wrong_check_digits([Imei(f"{digits}{last}")]) == ([] if str(last) == right else [0])


@given(st.lists(st.from_regex(r"[0-9]{14,16}", fullmatch=True)))
def test_wrong_check_digits_are_found_among_many(imeis: list[str]) -> None:
    wrong = [index for index, imei in enumerate(imeis) if len(imei) == 15 and not luhn.is_valid(imei)]

    assert with_wrong_check_digits([Imei(imei) for imei in imeis]) == wrong
