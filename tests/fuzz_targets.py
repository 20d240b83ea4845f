"""What reads foreign bytes, one function for each parser: whatever comes is understood, or refused as is documented.

A target takes any bytes and returns, or lets escape what is a mistake of the program. Several inputs in one are parted
by `APART`, which neither YAML nor JSON can have in them.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar, cast

import msgspec
from fuzz_desk import kept_by_a_desk
from fuzz_rules import (
    ACCOUNT,
    DEVICE,
    LIST,
    LONGEST_MESSAGE,
    NOW,
    POOLS,
    SIM,
    are_told,
    can_be_used,
    is_a_message,
    is_an_outcome,
    is_as_written,
    is_not_in,
    is_usable,
    is_wanted,
)

from licensesync import credentials, devices_from, inventory, reviewed, settings
from licensesync.errors import ApiError, CredentialsError, UnexpectedReply
from licensesync.files import Unreadable
from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    InventoryInfo,
    Outcome,
    OutcomeKind,
    Plan,
    Reading,
    RunPlan,
    Unread,
    Verb,
)
from licensesync.problems import Problems
from licensesync.roster import Group, Roster, Span
from licensesync.thingspace import (
    batch_errors,
    callback_calls,
    callback_wire,
    fota_calls,
    sim_secure_calls,
    sim_secure_verdicts,
    wire,
)
from licensesync.thingspace.effort import ONCE
from licensesync.thingspace.login import Logins
from licensesync.thingspace.transport import Transport

T = TypeVar("T")

APART: Final = b"\x1e"
MOST_CALLBACKS: Final = 20


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
    file = folder() / "licensesync.yaml"
    file.write_bytes(written)
    drafted = settings.draft(file)
    assert (drafted.settings is None) == bool(drafted.problems)
    are_told(drafted.problems, {"licensesync.yaml": written})
    if drafted.settings:
        can_be_used(drafted.settings)


def inventory_files(written: bytes) -> None:
    """An inventory is understood, and then as PyYAML reads it, or each of its problems stands at its place."""
    parts = written.split(APART, 2)
    source = Parts(parts)
    drafted = inventory.draft(source, POOLS)
    files = {name: source.read(name) for name in (*source.names()[0], *([LIST] if len(parts) > 1 else []))}
    are_told(drafted.problems, {**files, source.place: b""})
    are_told(inventory.with_warnings(drafted), {**files, source.place: b""})
    if not drafted.problems:
        is_as_written(drafted.inventory, {name: files[name] for name in source.names()[0]})
        is_wanted(drafted.inventory)


def device_list(written: bytes) -> None:
    """A list of devices is understood, or each line of it with which something is wrong is told."""
    roster, problems = Roster(POOLS), Problems()
    meant = devices_from.read(written, LIST, roster, problems)
    roster.enroll(Span(range(len(roster)), LIST, Group("listed", ("fota",))), problems)
    wrong = len(problems)
    assert len(roster) + wrong == meant or (wrong and meant == 1)
    roster.close(problems)
    are_told(problems.in_order(), {LIST: written})
    lines = written.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for row in range(len(roster)):
        assert roster.imei(row).encode() in lines[roster.place(row).line - 1]


def credential_file(written: bytes) -> None:
    """A file with a credential is one that a login can be made with, or it is refused, and nothing of it is told."""
    file = folder() / "credential"
    file.write_bytes(written)
    by_file = {f"{name}_FILE": str(file) for name in credentials.NAMES}
    by_name = {name: os.fsdecode(written) for name in credentials.NAMES}
    for environ in (by_file, by_name):
        try:
            who = credentials.credentials(environ)
        except CredentialsError as error:
            is_a_message(str(error).replace("\n", " "), longest=4 * LONGEST_MESSAGE)
            is_not_in(written.strip().decode("utf-8", "replace"), str(error))
        else:
            Logins(cast(Transport, _Answers([])), who, float)


def reviewed_plan(written: bytes) -> None:
    """A plan that was reviewed is read and compared, or refused."""
    try:
        plan = reviewed.read(written)
    except ValueError as error:
        is_a_message(str(error))
        return
    for line in reviewed.changes(plan, PLAN):
        is_a_message(line)


# --- what ThingSpace says


def answer(written: bytes) -> None:
    """The body of a success, of the call that the first byte chooses, has the documented form or is none."""
    call = CALLS[written[0] % len(CALLS) if written else 0]
    told = _read(call, written[1:])
    if told is not None:
        is_usable(told)


def failure(written: bytes) -> None:
    """Any status with any headers and any body is an error with a message that can be shown, and has its meaning."""
    status, headers, body = _exchange(written)
    error = wire.error_for("FOTA assign", status, headers, body, NOW)
    is_a_message(str(error))
    is_a_message(error.code or "none")
    assert error.retry_after is None or 0 <= error.retry_after < math.inf
    skew = wire.clock_skew(headers, NOW, NOW)
    assert skew is None or math.isfinite(skew)
    for device, verb in ((DEVICE, Verb.ASSIGN), (SIM, Verb.REMOVE)):
        action = Action(verb, device)
        batch_errors.may_be_for_one_device(error)
        is_an_outcome(batch_errors.of_error(action, error, NOW))
        is_an_outcome(sim_secure_verdicts.of_error(action, error, NOW))


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
        is_a_message(str(error))
        return
    callback_wire.matches(received, "name", "password")
    told = received.callback
    assert msgspec.json.decode(msgspec.json.encode(told), type=callback_wire.Callback) == told
    for verb in Verb:
        promised = Outcome(Action(verb, SIM), OutcomeKind.PENDING, NOW, request="c3f3d17c")
        sim_secure_verdicts.is_about(told, POOLS["sim"], promised)
        is_an_outcome(sim_secure_verdicts.of_callback(told, promised, NOW))


def desk(written: bytes) -> None:
    """Callbacks are kept in the ledger, whichever come in whatever order."""
    told: list[callback_wire.Callback] = []
    for body in written.split(APART)[:MOST_CALLBACKS]:
        with suppress(callback_wire.NotACallback):
            told.append(callback_wire.read(body).callback)
    asyncio.run(kept_by_a_desk(folder(), told))


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
    "desk": desk,
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


# --- a service that answers with what it is given


def _read(call: wire.Call[T], body: bytes) -> T | None:
    try:
        return call.read(body)
    except UnexpectedReply as error:
        is_a_message(str(error))
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
            is_a_message(str(error))
            raise error
        try:
            return call.read(told)
        except UnexpectedReply as error:
            is_a_message(str(error))
            is_not_in(told.decode("utf-8", "replace"), str(error))
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


def folder() -> Path:
    """A folder of this process."""
    return Path(_folder_of(os.getpid()).name)


@cache
def _folder_of(process: int) -> TemporaryDirectory[str]:
    """It goes with the process."""
    return TemporaryDirectory(prefix=f"licensesync-fuzz-{process}-")
