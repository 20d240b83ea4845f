"""`check` and `schema` as processes, problems as text, JSON and annotations, and the example files."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import warm
import yaml
from fleets import clean_environ
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from licensesync import schemas
from licensesync.model import Place, Problem, Severity
from licensesync.render import problems as render

CONFIG = Path(__file__).parents[1] / "config"
GOOD, BAD = "990003425730534", "990003425730535"
ICCID = "89148000001234567890"
SETTINGS = "inventory: inventory.yaml\npools: {fota: {product: fota, account: 0642233522-00001, mode: full}}\n"
SIM_SECURE = (
    "inventory: inventory.yaml\npools: {{sim: {{product: sim-secure, account: 1234-1, sku: SIMSec-IoT, mode: managed, "
    "reading: {{{}}}}}}}\n"
)
GROUP = "groups: [{{name: g, licenses: [fota], devices: [{}]}}]\n"
HINT = "compare the IMEI with the device"


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return asyncio.run(_run(folder, arguments, environ))


async def _run(folder: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    program = await warm.start(arguments, folder, {**clean_environ(), **environ})
    out, err = await program.communicate()
    return subprocess.CompletedProcess(arguments, program.returncode or 0, out.decode(), err.decode())


def world(folder: Path, inventory: str, settings: str = SETTINGS) -> Path:
    (folder / "licensesync.yaml").write_text(settings)
    (folder / "inventory.yaml").write_text(inventory)
    return folder


def test_what_is_in_order_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = run(world(tmp_path, GROUP.format(GOOD)), "check")

    assert (done.returncode, done.stdout, done.stderr) == (0, "1 device, 1 pool: no problems\n", "")


def test_problems_stand_on_standard_output_and_the_exit_is_one(tmp_path: Path) -> None:
    done = run(world(tmp_path, GROUP.format(f"1_000, {BAD}")), "check")

    assert done.returncode == 1
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "inventory.yaml:1:48: '1_000' is not an IMEI; write 14 to 16 digits",
        f"inventory.yaml:1:55: warning: the check digit of IMEI {BAD} is wrong; {HINT}",
        "2 devices, 1 pool: 1 error, 1 warning",
    ]


def test_warnings_are_errors_only_if_asked_for(tmp_path: Path) -> None:
    folder = world(tmp_path, GROUP.format(BAD))

    lenient, strict = run(folder, "check"), run(folder, "check", "--strict", "--format", "json")

    assert (lenient.returncode, strict.returncode) == (0, 1)
    assert lenient.stdout.splitlines()[-1] == "1 device, 1 pool: 1 warning"
    assert [problem["severity"] for problem in json.loads(strict.stdout)["problems"]] == ["error"]


def test_scripts_get_the_documented_json(tmp_path: Path) -> None:
    done = run(world(tmp_path, GROUP.format(f"x, {GOOD}")), "check", "--format", "json")

    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "version": 1,
        "kind": "check",
        "devices": 2,
        "problems": [
            {
                "file": "inventory.yaml",
                "line": 1,
                "column": 48,
                "severity": "error",
                "message": "'x' is not an IMEI",
                "hint": "write 14 to 16 digits",
            }
        ],
    }


def test_annotations_name_files_relative_to_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    world(tmp_path / "a", GROUP.format(f"x, {BAD}"))

    inside, outside = run(tmp_path, "--settings", "a/licensesync.yaml", "check", "--format", "github"), tmp_path / "b"
    outside.mkdir()
    beside = run(outside, "--settings", "../a/licensesync.yaml", "check", "--format", "github")

    assert inside.stdout.splitlines() == [
        "::error file=a/inventory.yaml,line=1,col=48::'x' is not an IMEI; write 14 to 16 digits",
        f"::warning file=a/inventory.yaml,line=1,col=51::the check digit of IMEI {BAD} is wrong; {HINT}",
    ]
    assert beside.stdout.startswith("::error file=../a/inventory.yaml,line=1,col=48::")


def test_two_hundred_different_problems_come_in_order_within_a_second(tmp_path: Path) -> None:
    wrong = ["1_000", "*a", "&a 1", "!t 1", "{imei: 1}", "{foo: 1}", "[1]", "~", "12:30", '"\\e"']
    devices = "".join(f"      - {wrong[n % len(wrong)]}\n" for n in range(200))
    folder = world(tmp_path, f"groups:\n  - name: g\n    licenses: [fota]\n    devices:\n{devices}")

    start = time.monotonic()
    done = run(folder, "check")
    elapsed = time.monotonic() - start

    *problems, verdict = done.stdout.splitlines()
    lines = [int(problem.split(":")[1]) for problem in problems]
    assert lines == sorted(lines)
    assert set(lines) == set(range(5, 205))
    assert verdict.startswith("200 devices, 1 pool: ")
    assert elapsed < 1


def test_broken_settings_and_a_broken_inventory_are_reported_together(tmp_path: Path) -> None:
    settings = "inventory: inventory.yaml\npools: {fota: {product: fota, account: 0642233522-00001}}\nlisten: 1\n"
    done = run(world(tmp_path, GROUP.format("x"), settings), "check")

    assert done.returncode == 1
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [
        "licensesync.yaml:2:15", "licensesync.yaml:3:9", "inventory.yaml:1:48", "1 device, 1 pool",
    ]  # fmt: skip


@pytest.mark.parametrize("settings", ["", "a: [", "pools: 1\ninventory: inventory.yaml\n"])
def test_without_pools_only_the_settings_are_checked(tmp_path: Path, settings: str) -> None:
    done = run(world(tmp_path, GROUP.format("x"), settings), "check", "--format", "json")

    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document["devices"] == 0
    assert {problem["file"] for problem in document["problems"]} == {"licensesync.yaml"}


def test_no_settings_file_is_said_on_standard_error(tmp_path: Path) -> None:
    unnamed, named = run(tmp_path, "check"), run(tmp_path, "--settings", "x/y.yaml", "check")

    assert (unnamed.returncode, unnamed.stdout) == (named.returncode, named.stdout) == (1, "")
    assert unnamed.stderr.startswith("licensesync.yaml:1:1: there is no such settings file; create it, or name")
    assert named.stderr.startswith("x/y.yaml:1:1: there is no such settings file; create it, or mend")


def test_no_settings_file_is_a_problem_for_scripts(tmp_path: Path) -> None:
    done = run(tmp_path, "--settings", "x/y.yaml", "check", "--format", "json")

    (problem,) = json.loads(done.stdout)["problems"]
    assert done.returncode == 1
    assert (problem["file"], problem["line"], problem["column"]) == ("x/y.yaml", 1, 1)


def test_an_inventory_in_git_is_not_checked_silently(tmp_path: Path) -> None:
    done = run(world(tmp_path, "", SETTINGS.replace("inventory.yaml", "{git: {url: 'git@host:fleet.git'}}")), "check")

    assert done.returncode == 1
    assert re.match(
        r"licensesync.yaml:1:1: HEAD of git@host:fleet.git was not fetched into \S+/licensesync-inventory.git yet; "
        "run licensesync plan once, or check a clone of it\n",
        done.stdout,
    )


def test_the_settings_may_be_named_by_the_environment(tmp_path: Path) -> None:
    world(tmp_path, GROUP.format(GOOD))
    (tmp_path / "elsewhere").mkdir()

    done = run(tmp_path / "elsewhere", "check", LICENSESYNC_SETTINGS="../licensesync.yaml")

    assert done.stdout == "1 device, 1 pool: no problems\n"


def test_names_of_files_cannot_forge_lines_or_annotations() -> None:
    place = Place("a\n::error::b,c:d%\x1b[31m\udcff.yaml", 1, 2)
    problem = Problem(place, "100% wrong", "", Severity.ERROR)

    assert render.text([problem], 1, 1).splitlines()[0] == ("a\\n::error::b,c:d%\\x1b[31m\\udcff.yaml:1:2: 100% wrong")
    assert render.github([problem], ".") == (
        "::error file=a\\n%3A%3Aerror%3A%3Ab%2Cc%3Ad%25\\x1b[31m\\udcff.yaml,line=1,col=2::100%25 wrong"
    )
    assert json.loads(render.as_json([problem], 0))["problems"][0]["file"].isprintable()


@given(st.text(), st.text())
def test_an_annotation_is_one_line_whatever_it_says(file: str, message: str) -> None:
    annotation = render.github([Problem(Place(file, 1, 1), message, "")], "folder")

    assert "\n" not in annotation
    assert "\r" not in annotation


def test_the_example_files_pass_the_strict_check() -> None:
    done = run(CONFIG.parent, "check", "--strict")

    assert (done.returncode, done.stdout) == (0, "6 devices, 1 pool: no problems\n")


@pytest.mark.parametrize("name", ["settings", "inventory", "plan", "report"])
def test_schemas_are_printed_as_valid_schemas(tmp_path: Path, name: str) -> None:
    schema = json.loads(run(tmp_path, "schema", name).stdout)

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", ["settings", "inventory"])
def test_the_schemas_beside_the_examples_are_those_that_are_printed(tmp_path: Path, name: str) -> None:
    assert (CONFIG / f"schema/{name}.json").read_text() == run(tmp_path, "schema", name).stdout


EXAMPLES = [(schemas.settings_schema, "licensesync.yaml")] + [
    (schemas.inventory_schema, f"inventory/{name}.yaml") for name in ("chicago", "protection", "rotterdam")
]


@pytest.mark.parametrize(("schema", "name"), EXAMPLES)
def test_the_examples_are_valid_by_the_schema_that_they_name(schema: object, name: str) -> None:
    written = (CONFIG / name).read_text()
    named = written.splitlines()[0].partition("$schema=")[2]
    document = JsonLike(written).get_single_data()

    Draft202012Validator(json.loads((CONFIG / name).parent.joinpath(named).read_text())).validate(document)


class JsonLike(yaml.SafeLoader):
    """Reads YAML as editors do: a date is a text."""


JsonLike.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def valid(schema: Mapping[str, object], document: str) -> bool:
    return Draft202012Validator(schema).is_valid(JsonLike(document).get_single_data())


DEVICE = f'{{imei: "{GOOD}", iccid: "{ICCID}", note: x, consent: lifetime}}'
INVENTORY = (
    f"groups: [{{name: g, licenses: [fota], priority: -1, devices: [{DEVICE}], devices_from: a.csv, from: 2026-01-01, "
    f"until: 2027-01-01, consent: lifetime}}]\nprotect: [{{imei: {GOOD}, reason: x, until: 2027-01-01}}]\n"
    "approvals: [{refusal: 3f9ac1d25be07a44, reason: x, until: 2027-01-01}]\n"
)
EVERYTHING = """\
thingspace: {url: 'https://a', timeout: 1s, concurrency: 1, requests_per_second: 1, insecure: true, batch_size: 1, fota: {status: v1, licenses_path: /x}}
inventory: {git: {url: a, ref: b, path: c, deploy_key: d, fetch_every: 1m, timeout: 1m, verify: {ssh: e}}}
ledger: sqlite:///a.db
keep: 400d
schedule: {every: 15m, jitter: 0s}
listen: 'off'
pools:
  f: {product: fota, account: 12345-1, mode: full, removals: {count: 1, percent: 1, per_day: 1}, reading: {tolerance: 1, reread: 6h}}
  s: {product: sim-secure, account: 12345-1, mode: managed, sku: x, revocable: true, others: 1}
callbacks: {listen: '0.0.0.0:9001', public_url: 'https://a/b', register: true, timeout: 30m, take_over: true, tls: {certificate: c, key: k}, sources: [10.0.0.1], trusted_proxies: [10.0.0.0/8]}
notifications: {webhook: 'https://a', format: slack, repeat: 1d, unreadable_after: 1}
logs: {devices: batches}
"""  # noqa: E501  # each section on one line
LOCAL = "inventory: {path: inventory.yaml, require_clean: true}"


def keys_of(schema: object) -> set[str]:
    """All keys that a schema describes."""
    if isinstance(schema, list):
        return {key for item in schema for key in keys_of(item)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own | {key for part in schema.values() for key in keys_of(part)}


def test_what_uses_every_key_of_the_schemas_passes_the_check(tmp_path: Path) -> None:
    local = re.sub("(?m)^inventory: .*$", LOCAL, EVERYTHING)
    written = {"settings": EVERYTHING, "inventory": INVENTORY}
    assert valid(schemas.settings_schema(), local)
    for name, schema in (("settings", schemas.settings_schema()), ("inventory", schemas.inventory_schema())):
        assert valid(schema, written[name])
        missing = {key for key in keys_of(schema) if f"{key}:" not in written[name] + LOCAL}
        assert missing <= {"cron", "gpg"}  # every and ssh exclude them

    settings = local.replace("  f:", "  fota:")
    (tmp_path / "a.csv").write_text("990003473429898")
    done = run(world(tmp_path, INVENTORY, settings), "check")

    assert done.stdout == "2 devices, 2 pools: no problems\n"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (SETTINGS, True),
        (SETTINGS + "schedule: {cron: '* * * * *'}", True),
        (SETTINGS + "listn: off", False),
        (SETTINGS.replace("full", "all"), False),
        (SETTINGS.replace("mode: full", "mode: full, sku: x"), False),
        (SETTINGS.replace("product: fota", "product: sim-secure, sku: x"), False),
        (SETTINGS.replace("mode: full", "mode: full, reading: {reread: 6h}"), True),
        (SETTINGS.replace("mode: full", "mode: full, reading: {reread: 6}"), False),
        (SIM_SECURE.format("tolerance: 1"), True),
        (SIM_SECURE.format("reread: 6h"), False),
        (SETTINGS + "schedule: {every: 5m, cron: '* * * * *'}", False),
        ("inventory: i\npools: {}", False),
    ],
)
def test_editors_see_what_check_sees_in_settings(document: str, *, expected: bool) -> None:
    assert valid(schemas.settings_schema(), document) is expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (GROUP.format(GOOD), True),
        (GROUP.format(f'"{GOOD}"'), True),
        (GROUP.format("'1_000'"), False),
        (GROUP.format("{imei: 123456789012345, serial: 1}"), False),
        ("groups: [{name: g, licenses: [fota]}]", False),
        ("groups: []\nprotect: [{imei: 123456789012345}]", False),
        ("groups: []\napprovals: [{refusal: '123', reason: x}]", False),
    ],
)
def test_editors_see_what_check_sees_in_an_inventory(document: str, *, expected: bool) -> None:
    assert valid(schemas.inventory_schema(), document) is expected
