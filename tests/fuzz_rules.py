"""What must hold of any problem, message or value that comes of foreign bytes, and the world that they are read in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec
import yaml

from licensesync import inventory, settings
from licensesync.model import (
    Action,
    DeviceId,
    LineCommit,
    Mode,
    Outcome,
    Place,
    Pool,
    Problem,
    Product,
    Verb,
)
from licensesync.problems import MOST_PROBLEMS, by_place
from licensesync.render import problems as render
from licensesync.runs import BREAK
from licensesync.thingspace import callback_calls, fota_calls, fota_verdicts, sim_secure_calls
from licensesync.values import CRON_FIELDS, cron_numbers

ACCOUNT: Final = "0642233522-00001"
NOW: Final = datetime(2026, 11, 22, 15, tzinfo=UTC)
TODAY: Final = NOW.date()
LONGEST_MESSAGE: Final = 2_000
LIST: Final = "list.csv"
POOLS: Final[Mapping[str, Pool]] = {
    pool.name: pool
    for pool in (
        Pool("fota", Product.FOTA, ACCOUNT, Mode.FULL),
        Pool("other", Product.FOTA, "0642233522-00002", Mode.MANAGED),
        Pool("sim", Product.SIM_SECURE, ACCOUNT, Mode.MANAGED, sku="SIMSec-IoT"),
        Pool("life", Product.SIM_SECURE, ACCOUNT, Mode.ADD_ONLY, sku="SIMSec-IoT-Lt", irrevocable=True),
    )
}
DEVICE: Final = DeviceId("990003425730535")
SIM: Final = DeviceId(f"{DEVICE}/89148000001234567890")

# --- what is asked of problems and messages


def are_told(problems: Sequence[Problem], files: Mapping[str, bytes]) -> None:
    """Each has its place in a file and a message for one line of a terminal; they are sorted, and not too many."""
    assert list(problems) == sorted(problems, key=by_place) or len(problems) > MOST_PROBLEMS
    assert len(problems) <= MOST_PROBLEMS + 1
    lines = {name: _lines(name, written) for name, written in files.items()}
    for problem in problems:
        is_a_message(problem.message)
        is_a_message(problem.hint or "none")
        _is_in(problem.place, lines[problem.place.file])
        _is_about_what_stands_there(problem, lines[problem.place.file])
    for shown in (render.text(problems, 1, 1), render.github(problems, "."), render.as_json(problems, 1)):
        assert shown.replace("\n", "").isprintable()


def is_a_message(message: str, longest: int = LONGEST_MESSAGE) -> None:
    """A sentence that plays no tricks on a terminal."""
    assert message
    assert message.isprintable(), ascii(message)
    assert len(message) <= longest, len(message)


def is_not_in(secret: str, message: str) -> None:
    """Nothing is quoted that is too long to be a word of the message by chance."""
    assert len(secret) < 12 or secret not in message


def _is_in(place: Place, lines: Sequence[str]) -> None:
    assert 1 <= place.line <= len(lines), place
    # As long as the line may be in any of the ways to count it: an undecodable byte is at most three characters.
    assert 1 <= place.column <= 3 * len(lines[place.line - 1]) + 2, place


def _lines(name: str, written: bytes) -> Sequence[str]:
    """The lines of a file, as they are counted there."""
    text = written.decode("utf-8", "replace")
    return text.split("\n") if name == LIST else BREAK.split(text)


def _is_about_what_stands_there(problem: Problem, lines: Sequence[str]) -> None:
    """A device that a problem names stands at its place, or on the lines behind it, unless it is written in escapes."""
    if named := _DEVICE.match(problem.message):
        below = (lines[number] for number in range(problem.place.line - 1, len(lines)))
        assert any(named[1] in line or "\\" in line for line in below), problem


_DEVICE: Final = re.compile("(?:device|the check digit of IMEI) ([0-9]{14,16})")


# --- what is asked of what was understood


def can_be_used(said: settings.Settings) -> None:
    assert said.pools
    said.ledger_path({})
    said.mirror_path({"STATE_DIRECTORY": "/var/lib/licensesync"})
    repr(said)
    if said.schedule.cron:
        for field, of in zip(said.schedule.cron.split(" "), CRON_FIELDS, strict=True):
            assert cron_numbers(field, of)
    if said.callbacks:
        assert said.callbacks.path.startswith("/")
    for number in (said.thingspace.requests_per_second, *(pool.limits.percent for pool in said.pools.values())):
        assert math.isfinite(number)


def is_wanted(said: inventory.Inventory) -> None:
    """All that can be asked about each device has an answer."""
    for pool in POOLS.values():
        desired = said.desired(pool, TODAY)
        named = list(desired.wanted)
        assert len(named) == len(set(named)) == len(desired.wanted)
        assert all(device in desired.wanted for device in named)
        for device in said.named(pool):
            entry = desired.entries[device]
            naming = said.naming(pool, device, TODAY, _unknown)
            assert naming is not None
            assert naming.place == entry.place
            assert said.mark(pool, device)


def is_as_written(said: inventory.Inventory, files: Mapping[str, bytes]) -> None:
    """The devices that the files themselves name are those that PyYAML sees, in their order and at their places."""
    expected = [row for name, written in files.items() for row in _rows_by_pyyaml(name, written)]
    roster = said.roster
    places = [roster.place(row) for row in range(len(roster))]
    listed = [row for row, place in enumerate(places) if PurePosixPath(place.file).suffix != ".csv"]
    assert [(places[row], roster.imei(row), roster.iccid(row)) for row in listed] == expected


def _rows_by_pyyaml(name: str, written: bytes) -> list[tuple[Place, str, str | None]]:
    rows: list[tuple[Place, str, str | None]] = []
    root: Any = yaml.compose(written, Loader=yaml.CBaseLoader)
    for group in _named(root, "groups"):
        for device in _named(group, "devices"):
            place = Place(name, device.start_mark.line + 1, device.start_mark.column + 1)
            if isinstance(device, yaml.ScalarNode):
                rows.append((place, device.value, None))
            else:
                keys = {key.value: value.value for key, value in device.value}
                rows.append((place, keys["imei"], keys.get("iccid")))
    return rows


def _named(node: Any, key: str) -> list[Any]:
    found = {name.value: value for name, value in node.value}.get(key)
    return found.value if isinstance(found, yaml.SequenceNode) else []


def _unknown(place: Place) -> LineCommit | None:
    del place
    return None


def is_usable(told: object) -> None:
    match told:
        case fota_calls.StatusPage():
            assert all(device.isprintable() and " " not in device for device in told.identifiers)
            assert all(isinstance(day, date) for day in told.assigned_on.values())
            assert told.total is None or told.total >= 0
            fota_calls.status_page(ACCOUNT, told.cursor, fota_calls.StatusForm.V3_PATH)
            assert told.more in {True, False}
        case fota_calls.Subscription():
            assert told.by_event_only in {True, False}
        case fota_calls.SeenDevices():
            assert all(seen.holds_license in {True, False, None} for seen in told.device_list or [])
        case fota_calls.Verdicts():
            batch = [Action(verb, DEVICE) for verb in Verb]
            outcomes = fota_verdicts.of_answer(batch, told.device_list or [], NOW, str)
            assert len(outcomes) == len(batch)
            for outcome in outcomes:
                is_an_outcome(outcome)
        case sim_secure_calls.Subscriptions():
            told.of("SIMSec-IoT")
            assert len(told.skus) == len(told.subscription_list or [])
        case sim_secure_calls.Accepted():
            is_a_message(told.request_id)
        case tuple():
            for each in told:
                assert isinstance(each, callback_calls.Registration)
                is_a_message(each.host or "none")
                each.leads_to("https://callbacks.example.com/thingspace")
                each.sends_along("name", "password")
                repr(each)
            callback_calls.of_service(told)


def is_an_outcome(outcome: Outcome) -> None:
    is_a_message(outcome.service or "none")
    assert outcome.retry_at is None or outcome.retry_at.tzinfo is UTC
    msgspec.json.encode(outcome)
