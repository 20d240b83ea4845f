"""Each misfortune of a line by itself: what the client makes of it, in how much time and memory; no secret is told."""

from __future__ import annotations

import asyncio
import ssl
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from desks import CREDENTIALS, Desk, assert_rows_as_reported, desk_at
from fleets import ACCOUNT, imeis
from toxic_line import Asked, Line, Toxic, Turn, line_to
from toxics import TOXICS

from licensesync.errors import (
    ApiError,
    IncompleteObservation,
    RequestRejected,
    ServerBroken,
    UnexpectedReply,
    Unreachable,
)
from licensesync.model import Action, DeviceId, OutcomeKind, OutcomeReason, Verb
from licensesync.simulator.bought import Registration
from licensesync.thingspace import callback_calls, client, fota_calls
from licensesync.thingspace.client import Reader
from licensesync.thingspace.connections import Connections
from licensesync.thingspace.effort import ONCE
from licensesync.thingspace.fota import FotaService
from licensesync.thingspace.transport import LARGEST_BODY, Bounds

TIME: Final = 60.0
"""Seconds after which something goes on for ever; nothing here takes even one, but where it waits for its own limit."""

PATIENCE: Final = 2.0
"""Seconds that the client waits for what never comes."""

LONG: Final = 30.0
"""Seconds that it waits for what comes, though in another form: no machine is so slow."""

LONGEST_MESSAGE: Final = 600
NEW: Final = imeis(500, 503)

LIGHT: Final = [toxic for toxic in TOXICS.values() if not toxic.heavy and not toxic.tls]
HEAVY: Final = [toxic for toxic in TOXICS.values() if toxic.heavy]
OVER_TLS: Final = [toxic for toxic in TOXICS.values() if toxic.tls] + [
    TOXICS[name]
    for name in (
        "reset-at-once",
        "closed-at-once",
        "reset-before",
        "silence",
        "closed-after",
        "reset-in-answer",
        "closed-in-answer",
        "closed-in-head",
        "stuck-in-answer",
        "no-length",
        "no-length-and-cut",
        "no-head",
        "redirect-307",
    )
]

ONE_OF_EACH: Final = (
    "reset-at-once",
    "reset-before",
    "closed-after",
    "stuck-in-answer",
    "length-too-short",
    "chunks-without-end",
    "html-for-json",
    "redirect-302",
    "answer-doubled-while-idle",
    "answer-doubled-later",
    "asked-twice",
    "asked-again",
)

KINDS: Final[dict[str, type[ApiError]]] = {
    "no-length-and-nothing": UnexpectedReply,
    "no-length-and-cut": UnexpectedReply,
    "gzip-cut": UnexpectedReply,
    "html-for-json": UnexpectedReply,
    "switching-protocols": UnexpectedReply,
    "a-hundred-megabytes": UnexpectedReply,
    "a-hundred-megabytes-of-error": ServerBroken,
    "gzip-bomb": UnexpectedReply,
    "deflate-bomb": UnexpectedReply,
    **{name: RequestRejected for name in TOXICS if name.startswith("redirect-")},
}
"""What the client makes of those that it does not take for no answer at all."""

WAITED_FOR: Final = ("silence", "silence-after", "stuck-in-answer", "stuck-in-head", "drip", "hints-for-ever")

ANYHOW: Final = ("brotli-bomb", "zstd-bomb", "answer-doubled-at-once")
"""Whether it can be read depends on what is installed, and on what came first."""


def named(toxics: Sequence[Toxic], always: Container[str] | None = None) -> pytest.MarkDecorator:
    """Each of them; those that are not `always` tried only where there is time."""
    return pytest.mark.parametrize(
        "toxic",
        [
            pytest.param(
                toxic, id=toxic.name, marks=() if always is None or toxic.name in always else pytest.mark.exhaustive
            )
            for toxic in toxics
        ],
    )


class Spell:
    """A toxic that befalls the requests to some address, once it is cast; so many of them, or all."""

    def __init__(self, toxic: Toxic, at: str = "", times: int | None = None) -> None:
        self._toxic = toxic
        self._at = at
        self._left = times
        self.is_cast = False

    def choose(self, asked: Asked) -> Toxic | None:
        return self._struck() if not self._toxic.greets and self._at in asked.path else None

    def greet(self, _: int) -> Toxic | None:
        return self._struck() if self._toxic.greets else None

    def _struck(self) -> Toxic | None:
        if not self.is_cast or self._left == 0:
            return None
        self._left = None if self._left is None else self._left - 1
        return self._toxic


@dataclass
class Ward:
    """A desk that is logged in at a service behind a line, and somebody who reads there and asks only once."""

    desk: Desk
    line: Line
    reader: Reader

    def asked(self, end: str) -> int:
        """How many requests have come to addresses with this end."""
        return sum(asked.path.endswith(end) for asked in self.line.heard)


@asynccontextmanager
async def ward(spell: Spell, *, patience: float = LONG, tls: ssl.SSLContext | None = None) -> AsyncIterator[Ward]:
    """A ward on which the spell is cast. Elsewhere is a place at which nobody may knock."""
    async with asyncio.timeout(TIME), line_to("http://127.0.0.1:1") as elsewhere:
        through = partial(line_to, choose=spell.choose, greet=spell.greet, tls=tls, elsewhere=elsewhere.url)
        async with desk_at(patience=patience, devices=5, through=through) as desk:
            assert desk.line is not None
            asks = client.reading(desk.line.url, Bounds(patience, 4, 5000), CREDENTIALS, {}, effort=ONCE)
            async with asks as reader:
                await desk.service._client.log_in()
                await reader.log_in()
                spell.is_cast = True
                yield Ward(desk, desk.line, reader)
        assert elsewhere.callers == 0, "a redirect was followed"


def assigns(*devices: str) -> list[Action]:
    return [Action(Verb.ASSIGN, DeviceId(device)) for device in devices]


async def told_by(awaitable: Awaitable[Any]) -> ApiError | None:
    """The error that it raises."""
    try:
        await awaitable
    except ApiError as error:
        return error
    return None


def assert_tells_no_secret(text: str, line: Line) -> None:
    """Not even a part of one: a quotation may end in the middle."""
    carried = [asked.headers for asked in line.heard]
    tokens = {each.get("authorization", "").rpartition(" ")[2] for each in carried}
    tokens |= {each.get("vz-m2m-token", "") for each in carried}
    secrets = {*tokens, CREDENTIALS.secret, CREDENTIALS.password} - {""}
    assert len(secrets) >= 4
    parts = {secret[at : at + 6] for secret in secrets for at in range(len(secret) - 5)}
    assert not [part for part in parts if part in text]


async def assert_is_endured(toxic: Toxic, tls: ssl.SSLContext | None = None) -> None:
    """A write under this toxic is sent once and is unknown unless its answer came; a read fails in the same way."""
    kind = KINDS.get(toxic.name, Unreachable)
    async with ward(Spell(toxic), patience=PATIENCE if toxic.endless else LONG, tls=tls) as it:
        outcome, *others = await it.desk.service.submit(assigns(*NEW))
        reading = await told_by(it.reader.read(fota_calls.subscription(ACCOUNT)))

        assert {(each.kind, each.reason) for each in others} == {(outcome.kind, outcome.reason)}
        assert it.asked("/assign") == (not toxic.greets)
        assert it.desk.holders & set(NEW) == (set(NEW) if toxic.passes else set())
        assert len(outcome.service or "") < LONGEST_MESSAGE
        assert_tells_no_secret(f"{outcome.service} {''.join(traceback.format_exception(reading))}", it.line)
        if toxic.name in ANYHOW:
            assert outcome.kind in {OutcomeKind.DONE, OutcomeKind.UNKNOWN}
            return
        assert isinstance(reading, kind) if toxic.spoils else reading is None
        if toxic.name in WAITED_FOR:
            assert outcome.service == f"FOTA assign: no answer within {PATIENCE:g} s"
        if not toxic.spoils:
            assert outcome.kind is OutcomeKind.DONE
        elif kind is RequestRejected:
            assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, OutcomeReason.ACCOUNT_REJECTED)
        else:
            assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, OutcomeReason.NO_ANSWER)


@named(LIGHT)
async def test_a_write_is_sent_once_and_unknown_unless_its_answer_came_and_no_secret_is_told(toxic: Toxic) -> None:
    await assert_is_endured(toxic)


@named(OVER_TLS)
async def test_over_tls_it_is_the_same(toxic: Toxic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await assert_is_endured(toxic, certified(tmp_path, monkeypatch))


def certified(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's side of TLS, for localhost, by an authority that is trusted from now on."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@named(HEAVY, ("a-hundred-megabytes", "a-hundred-megabytes-of-error", "gzip-bomb", "brotli-bomb", "zstd-bomb"))
async def test_an_answer_without_measure_fills_no_memory(toxic: Toxic) -> None:
    tracemalloc.start()
    try:
        await assert_is_endured(toxic)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * LARGEST_BODY


async def test_of_an_error_only_the_beginning_is_read() -> None:
    async with ward(Spell(TOXICS["a-hundred-megabytes-of-error"])) as it:
        tracemalloc.start()
        try:
            error = await told_by(it.reader.read(fota_calls.subscription(ACCOUNT)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert isinstance(error, ServerBroken)
    assert peak < LARGEST_BODY / 4


@named(LIGHT, ONE_OF_EACH)
async def test_what_befalls_a_write_is_looked_up_and_ends_as_the_world_has_it(toxic: Toxic) -> None:
    wanted = [*imeis(0, 5), *NEW]
    spell = Spell(toxic, "" if toxic.greets else "/assign", times=1)
    async with ward(spell, patience=PATIENCE if toxic.endless else LONG) as it:
        spell.is_cast = not toxic.greets

        def cast() -> None:
            spell.is_cast = True

        done = await it.desk.run(wanted, once_planned=cast)

        rejected = KINDS.get(toxic.name) is RequestRejected
        assert {each.kind for each in done.pool.outcomes} == {OutcomeKind.FAILED if rejected else OutcomeKind.DONE}
        assert it.desk.holders == set(imeis(0, 5) if rejected else wanted)
        assert it.asked("/assign") <= 2
        assert_rows_as_reported(it.desk, done)
        assert (await it.desk.run(wanted)).pool.outcomes == () if not rejected else True


# --- an answer too many


DOUBLED: Final = [TOXICS[f"answer-doubled-{when}"] for when in ("at-once", "while-idle", "later")]


@named(DOUBLED)
async def test_an_answer_too_many_is_not_the_answer_to_the_next_request(toxic: Toxic) -> None:
    one, other = NEW[:2]
    async with ward(Spell(toxic)) as it:
        service = it.desk.service
        for verb, device in ((Verb.ASSIGN, one), (Verb.ASSIGN, other), (Verb.REMOVE, one), (Verb.REMOVE, one)):
            (outcome,) = await service.submit([Action(verb, DeviceId(device))])
            assert outcome.kind is OutcomeKind.DONE or toxic.spoils
            seen = await _answered(service, device)
            assert seen in {None, device in it.desk.holders}


async def _answered(service: FotaService, device: str) -> bool | None:
    try:
        return (await service.look_up([DeviceId(device)]))[DeviceId(device)]
    except Unreachable:
        return None


@named(DOUBLED)
async def test_a_list_among_whose_pages_are_answers_too_many_is_read_right_or_not_at_all(toxic: Toxic) -> None:
    async with ward(Spell(toxic, "/index/")) as it:
        for device in imeis(600, 690):
            it.desk.account.give(device, 0.0)
        try:
            observed = await it.desk.service.observe([], lambda _, __: None)
        except IncompleteObservation:
            return
        assert observed.holders == it.desk.holders


async def test_a_connection_on_which_something_came_unasked_is_not_used_again() -> None:
    async with asyncio.timeout(TIME), line_to("http://127.0.0.1:1", choose=lambda _: _unasked) as line:
        connections = Connections(LONG, 4, {}, None)
        async with connections.kept() as session:
            async with session.get(line.url) as answer:
                assert await answer.text() == "first"
            ((idle, _),) = next(iter(session.connector._conns.values()))  # type: ignore[union-attr]
            while not idle.should_close:
                await asyncio.sleep(0.001)
            async with session.get(line.url) as answer:
                assert await answer.text() == "first"
    assert line.callers == 2


async def _twice(turn: Turn) -> None:
    for text in (b"first", b"again"):
        await turn.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + text)
        await asyncio.sleep(0.01)


_unasked = Toxic("unasked", _twice)


async def test_an_answer_that_ends_before_it_begins_is_not_the_word_that_there_is_nothing() -> None:
    spell = Spell(TOXICS["no-length-and-nothing"], "/callbacks/")
    async with ward(spell) as it:
        it.desk.account.callbacks["CarrierService"] = Registration("https://somebody.example/")
        call = callback_calls.registrations(ACCOUNT)
        error = await told_by(it.reader.read(call))
        spell.is_cast = False
        (registered,) = await it.reader.read(call)
    assert isinstance(error, UnexpectedReply)
    assert registered.host == "somebody.example"


async def test_a_success_is_a_success_only_by_its_status() -> None:
    async with ward(Spell(TOXICS["switching-protocols"], "/callbacks/")) as it:
        call = callback_calls.register(ACCOUNT, "https://ours.example/", "user", "password")
        error = await told_by(it.desk.service._client.write(call))
    assert isinstance(error, UnexpectedReply)
