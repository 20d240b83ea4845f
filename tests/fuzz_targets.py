"""What reads foreign bytes, one function for each parser: whatever comes is understood, or refused as is documented.

A target takes any bytes and returns, or lets escape what is a mistake of the program. Several inputs in one are parted
by `APART`, which neither YAML nor JSON can have in them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any, Final, TypeVar, cast

import msgspec
import yaml

from licensesync import credentials, devices_from, inventory, reviewed, settings
from licensesync.errors import ApiError, CredentialsError, UnexpectedReply
from licensesync.files import Unreadable
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    InventoryInfo,
    LineCommit,
    Mode,
    Outcome,
    OutcomeKind,
    Place,
    Plan,
    Pool,
    Problem,
    Product,
    Reading,
    RunPlan,
    Unread,
    Verb,
)
from licensesync.problems import MOST_PROBLEMS, Problems, by_place
from licensesync.render import problems as render
from licensesync.roster import Group, Roster, Span
from licensesync.runs import BREAK
from licensesync.thingspace import (
    batch_errors,
    callback_calls,
    callback_wire,
    fota_calls,
    fota_verdicts,
    sim_secure_calls,
    sim_secure_verdicts,
    wire,
)
from licensesync.thingspace.effort import ONCE
from licensesync.thingspace.login import Logins
from licensesync.thingspace.transport import Transport
from licensesync.values import CRON_FIELDS, cron_numbers

T = TypeVar("T")

APART: Final = b"\x1e"
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


@dataclass(frozen=True)
class Parts:
    """The files of an inventory: what stands before the first `APART`, between it and the second, and behind that."""

    parts: Sequence[bytes]
    place: str = "."
    yaml_files: Sequence[str] = ("inventory.yaml", "more/fleet.yml")

    def place_of(self, name: str) -> str:
        return name

    def names(self) -> tuple[list[str], list[Unreadable]]:
        return [*self.yaml_files[: max(1, len(self.parts) - 1)]], []

    def read(self, name: str) -> bytes:
        known = dict(zip(("inventory.yaml", LIST, "more/fleet.yml"), self.parts, strict=False))
        if name not in known:
            raise Unreadable(name, "there is no such file", "create it")
        return known[name]


# --- what people write


def settings_file(written: bytes) -> None:
    """A settings file is understood, or each of its problems stands at its place."""
    file = _folder() / "licensesync.yaml"
    file.write_bytes(written)
    drafted = settings.draft(file)
    assert (drafted.settings is None) == bool(drafted.problems)
    _are_told(drafted.problems, {"licensesync.yaml": written})
    if drafted.settings:
        _can_be_used(drafted.settings)


def inventory_files(written: bytes) -> None:
    """An inventory is understood, and then as PyYAML reads it, or each of its problems stands at its place."""
    parts = written.split(APART, 2)
    source = Parts(parts)
    drafted = inventory.draft(source, POOLS)
    files = {name: source.read(name) for name in (*source.names()[0], *([LIST] if len(parts) > 1 else []))}
    _are_told(drafted.problems, {**files, source.place: b""})
    _are_told(inventory.with_warnings(drafted), {**files, source.place: b""})
    if not drafted.problems:
        _is_as_written(drafted.inventory, {name: files[name] for name in source.names()[0]})
        _is_wanted(drafted.inventory)


def device_list(written: bytes) -> None:
    """A list of devices is understood, or each line of it with which something is wrong is told."""
    roster, problems = Roster(POOLS), Problems()
    meant = devices_from.read(written, LIST, roster, problems)
    roster.enroll(Span(range(len(roster)), LIST, Group("listed", ("fota",))), problems)
    wrong = len(problems)
    assert len(roster) + wrong == meant or (wrong and meant == 1)
    roster.close(problems)
    _are_told(problems.in_order(), {LIST: written})
    lines = written.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for row in range(len(roster)):
        assert roster.imei(row).encode() in lines[roster.place(row).line - 1]


def credential_file(written: bytes) -> None:
    """A file with a credential is one that a login can be made with, or it is refused, and nothing of it is told."""
    file = _folder() / "credential"
    file.write_bytes(written)
    by_file = {f"{name}_FILE": str(file) for name in credentials.NAMES}
    by_name = {name: os.fsdecode(written) for name in credentials.NAMES}
    for environ in (by_file, by_name):
        try:
            who = credentials.credentials(environ)
        except CredentialsError as error:
            _is_a_message(str(error).replace("\n", " "), longest=4 * LONGEST_MESSAGE)
            _is_not_in(written.strip().decode("utf-8", "replace"), str(error))
        else:
            Logins(cast(Transport, _Answers([])), who, float)


def reviewed_plan(written: bytes) -> None:
    """A plan that was reviewed is read and compared, or refused."""
    try:
        plan = reviewed.read(written)
    except ValueError as error:
        _is_a_message(str(error))
        return
    for line in reviewed.changes(plan, PLAN):
        _is_a_message(line)


# --- what ThingSpace says


def answer(written: bytes) -> None:
    """The body of a success, of the call that the first byte chooses, has the documented form or is none."""
    call = CALLS[written[0] % len(CALLS) if written else 0]
    told = _read(call, written[1:])
    if told is not None:
        _is_usable(told)


def failure(written: bytes) -> None:
    """Any status with any headers and any body is an error with a message that can be shown, and has its meaning."""
    status, headers, body = _exchange(written)
    error = wire.error_for("FOTA assign", status, headers, body, NOW)
    _is_a_message(str(error))
    _is_a_message(error.code or "none")
    assert error.retry_after is None or 0 <= error.retry_after < math.inf
    skew = wire.clock_skew(headers, NOW, NOW)
    assert skew is None or math.isfinite(skew)
    for device, verb in ((DEVICE, Verb.ASSIGN), (SIM, Verb.REMOVE)):
        action = Action(verb, device)
        batch_errors.may_be_for_one_device(error)
        _is_an_outcome(batch_errors.of_error(action, error, NOW))
        _is_an_outcome(sim_secure_verdicts.of_error(action, error, NOW))


def login(written: bytes) -> None:
    """The answers to the two logins are tokens that a header can carry, or an error that quotes nothing of them."""
    answers = _Answers(written.split(APART))
    who = credentials.Credentials("key", "secret", "user", "password")
    logins = Logins(cast(Transport, answers), who, lambda: 0.0, effort=ONCE)
    with suppress(ApiError):
        for token in _done(logins.tokens()):
            assert token.isascii()
            assert token.isprintable()
            assert " " not in token


def callback(written: bytes) -> None:
    """The body of a callback has the documented form, and settles a promise, or it is none."""
    try:
        received = callback_wire.read(written)
    except callback_wire.NotACallback as error:
        _is_a_message(str(error))
        return
    callback_wire.matches(received, "name", "password")
    told = received.callback
    assert msgspec.json.decode(msgspec.json.encode(told), type=callback_wire.Callback) == told
    for verb in Verb:
        promised = Outcome(Action(verb, SIM), OutcomeKind.PENDING, NOW, request="c3f3d17c")
        sim_secure_verdicts.is_about(told, POOLS["sim"], promised)
        _is_an_outcome(sim_secure_verdicts.of_callback(told, promised, NOW))


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "settings": settings_file,
    "inventory": inventory_files,
    "list": device_list,
    "credential": credential_file,
    "plan": reviewed_plan,
    "answer": answer,
    "failure": failure,
    "login": login,
    "callback": callback,
}

CALLS: Final[Sequence[wire.Call[Any]]] = (
    *(fota_calls.status_page(ACCOUNT, "0", form) for form in fota_calls.StatusForm),
    fota_calls.subscription(ACCOUNT),
    fota_calls.look_up(ACCOUNT, [DEVICE]),
    fota_calls.assign(ACCOUNT, [DEVICE], "/licenses"),
    fota_calls.remove(ACCOUNT, [DEVICE], "/licenses"),
    sim_secure_calls.subscriptions(ACCOUNT),
    sim_secure_calls.assign(ACCOUNT, "SIMSec-IoT", [SIM]),
    callback_calls.registrations(ACCOUNT),
)

PLAN: Final = RunPlan(
    InventoryInfo(devices=2, digest="sha256:ab"),
    NOW,
    (
        Plan(
            POOLS["fota"],
            Capacity(9, 1),
            (Action(Verb.REMOVE, DeviceId("990000473475988")), Action(Verb.ASSIGN, DEVICE)),
        ),
        Unread(POOLS["sim"], Reading.PARTIAL, "3 licenses are assigned by nobody knows whom"),
    ),
)


# --- what is asked of problems and messages


def _are_told(problems: Sequence[Problem], files: Mapping[str, bytes]) -> None:
    """Each has its place in a file and a message for one line of a terminal; they are sorted, and not too many."""
    assert list(problems) == sorted(problems, key=by_place) or len(problems) > MOST_PROBLEMS
    assert len(problems) <= MOST_PROBLEMS + 1
    lines = {name: _lines(name, written) for name, written in files.items()}
    for problem in problems:
        _is_a_message(problem.message)
        _is_a_message(problem.hint or "none")
        _is_in(problem.place, lines[problem.place.file])
        _is_about_what_stands_there(problem, lines[problem.place.file])
    for shown in (render.text(problems, 1, 1), render.github(problems, "."), render.as_json(problems, 1)):
        assert shown.replace("\n", "").isprintable()


def _is_a_message(message: str, longest: int = LONGEST_MESSAGE) -> None:
    """A sentence that plays no tricks on a terminal."""
    assert message
    assert message.isprintable(), ascii(message)
    assert len(message) <= longest, len(message)


def _is_not_in(secret: str, message: str) -> None:
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


def _can_be_used(said: settings.Settings) -> None:
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


def _is_wanted(said: inventory.Inventory) -> None:
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


def _is_as_written(said: inventory.Inventory, files: Mapping[str, bytes]) -> None:
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


def _is_usable(told: object) -> None:
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
                _is_an_outcome(outcome)
        case sim_secure_calls.Subscriptions():
            told.of("SIMSec-IoT")
            assert len(told.skus) == len(told.subscription_list or [])
        case sim_secure_calls.Accepted():
            _is_a_message(told.request_id)
        case tuple():
            for each in told:
                assert isinstance(each, callback_calls.Registration)
                _is_a_message(each.host or "none")
                each.leads_to("https://callbacks.example.com/thingspace")
                each.sends_along("name", "password")
                repr(each)
            callback_calls.of_service(told)


def _is_an_outcome(outcome: Outcome) -> None:
    _is_a_message(outcome.service or "none")
    assert outcome.retry_at is None or outcome.retry_at.tzinfo is UTC
    msgspec.json.encode(outcome)


# --- a service that answers with what it is given


def _read(call: wire.Call[T], body: bytes) -> T | None:
    try:
        return call.read(body)
    except UnexpectedReply as error:
        _is_a_message(str(error))
        return None


def _exchange(written: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """A status, the headers that are looked at, and a body, out of one input."""
    digits, retry, day, location, body = [*written.split(APART, 4), b"", b"", b"", b""][:5]
    headers = {"Retry-After": retry, "Date": day, "Location": location}
    status = 300 + int(digits) % 300 if digits.isdigit() and len(digits) < 5 else 400
    return status, {name: value.decode("latin-1") for name, value in headers.items() if value}, body


class _Answers:
    """A transport whose service gives these answers, one after the other; those with a status in front are failures."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = [*answers]

    async def send(self, call: wire.Call[T], headers: Mapping[str, str]) -> T:
        del headers
        told = self._answers.pop(0) if self._answers else b""
        if told[:3].isdigit():
            error = wire.error_for(call.what, 300 + int(told[:3]) % 300, {}, told[3:], NOW)
            _is_a_message(str(error))
            raise error
        try:
            return call.read(told)
        except UnexpectedReply as error:
            _is_a_message(str(error))
            _is_not_in(told.decode("utf-8", "replace"), str(error))
            raise

    def keep_secret(self, *secrets: str) -> None:
        assert all(isinstance(secret, str) for secret in secrets)


def _done(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never has to wait."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("it waits")


_FOLDERS: dict[int, Path] = {}


def _folder() -> Path:
    """A folder of this process."""
    return _FOLDERS.setdefault(os.getpid(), Path(mkdtemp(prefix="licensesync-fuzz-")))
