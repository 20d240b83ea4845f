"""How log events become lines: in order, whole, together where many come at once, and never at the cost of a run."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import pytest
import render_worlds as worlds
import structlog

from licensesync import logs
from licensesync.cli.progress import SilentProgress
from licensesync.journal import RunJournal
from licensesync.model import Action, DeviceId, Outcome, OutcomeKind, OutcomeReason, Place, Verb
from licensesync.settings import DeviceLines

RUN = "20261126T030717Z-57080b"


class Stderr(io.StringIO):
    """Standard error that remembers each write to it, and how much of it had come through at each flush."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.flushed = ""

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)

    def flush(self) -> None:
        super().flush()
        self.flushed = self.getvalue()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.flushed.splitlines()]


Logged = Callable[..., Stderr]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logged]:
    """Configures the log, and gives what standard error is from then on."""

    def configured(*, as_json: bool = True, level: str = "info") -> Stderr:
        stream = Stderr()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure(as_json=as_json, level=level)
        return stream

    yield configured
    structlog.reset_defaults()


def journal(devices: DeviceLines = DeviceLines.EACH) -> RunJournal:
    return RunJournal(SilentProgress(), run=RUN, devices=devices)


def done(start: int, end: int) -> list[Outcome]:
    return [worlds.outcome(worlds.assign(number), OutcomeKind.DONE) for number in range(start, end)]


def devices(told: Sequence[dict[str, Any]]) -> list[DeviceId]:
    return [each["device"] for each in told if each["event"] == "device.settled"]


def test_each_device_of_a_batch_has_its_line_in_order_with_all_that_the_contract_names(logged: Logged) -> None:
    stderr = logged()
    rejected = Outcome(
        Action(Verb.REMOVE, worlds.sim(7), "pumps", Place("a.yaml", 6, 9)),
        OutcomeKind.REJECTED,
        worlds.NOW,
        OutcomeReason.DEVICE_NOT_FOUND,
        'no "such"\ndevice',
    )

    journal().settled(worlds.FOTA, [*done(0, 3), rejected])

    assert devices(stderr.events) == [worlds.imei(number) for number in (0, 1, 2, 7)]
    first, *_, last = stderr.events
    stamp = first.pop("timestamp")
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z", stamp)
    assert timedelta() <= datetime.now(UTC) - datetime.fromisoformat(stamp) < timedelta(minutes=1)
    assert first == {
        "event": "device.settled",
        "level": "info",
        "run": RUN,
        "pool": "fota",
        "device": "990000000000000",
        "verb": "assign",
        "outcome": "done",
        "reason": None,
        "service": None,
        "group": "chicago-meters",
        "place": "inventory/chicago.yaml:1:9",
    }
    assert {**last, "timestamp": None} == {
        "event": "device.settled",
        "level": "warning",
        "timestamp": None,
        "run": RUN,
        "pool": "fota",
        "device": worlds.imei(7),
        "iccid": worlds.sim(7).partition("/")[2],
        "verb": "remove",
        "outcome": "rejected",
        "reason": "device-not-found",
        "service": 'no "such"\ndevice',
        "group": "pumps",
        "place": "a.yaml:6:9",
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_the_lines_of_a_batch_are_written_together_and_before_anything_else_is_done(
    logged: Logged, *, as_json: bool
) -> None:
    stderr = logged(as_json=as_json)
    telling = journal()

    for batch in range(3):
        telling.settled(worlds.FOTA, done(batch * 200, batch * 200 + 200))
        assert len(stderr.flushed.splitlines()) == (batch + 1) * 200
        assert len(stderr.writes) == batch + 1
    assert re.findall("9900000000[0-9]{5}", stderr.flushed) == [worlds.imei(number) for number in range(600)]


def test_never_do_many_lines_wait(logged: Logged) -> None:
    stderr = logged()

    journal().settled(worlds.FOTA, done(0, 5 * logs.TOGETHER + 1))

    assert [write.count("\n") for write in stderr.writes] == [*[logs.TOGETHER] * 5, 1]
    assert devices(stderr.events) == [worlds.imei(number) for number in range(5 * logs.TOGETHER + 1)]


def test_a_single_event_is_written_at_once(logged: Logged) -> None:
    stderr = logged()
    structlog.get_logger().info("run.finished", fresh_at=worlds.NOW)
    (told,) = stderr.events
    assert (told["event"], told["fresh_at"]) == ("run.finished", "2026-11-22T15:00:00Z")


def test_what_was_logged_before_a_mistake_is_written_all_the_same(logged: Logged) -> None:
    stderr = logged()
    log = structlog.get_logger()

    def fail() -> None:
        with logs.together():
            log.info("before")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    log.info("after")
    assert [each["event"] for each in stderr.events] == ["before", "after"]


def test_a_file_name_that_is_no_text_is_no_reason_to_be_silent(logged: Logged) -> None:
    stderr = logged()
    structlog.get_logger().error("x", file=b"caf\xe9".decode(errors="surrogateescape"), number=2**70)
    (told,) = stderr.events
    assert (told["file"], told["number"]) == ("caf?", 2**70)
    assert told["timestamp"].endswith("Z")
    datetime.fromisoformat(told["timestamp"])


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("kind", ["closed", "full", "unread pipe"])
def test_a_log_that_nobody_can_write_ends_no_run(
    logged: Logged, monkeypatch: pytest.MonkeyPatch, kind: str, *, as_json: bool
) -> None:
    stderr = logged(as_json=as_json)
    telling = journal()
    with broken(kind) as stream, monkeypatch.context() as meanwhile:
        meanwhile.setattr(sys, "stderr", stream)
        telling.settled(worlds.FOTA, done(0, 500))
    telling.settled(worlds.FOTA, done(500, 503))
    assert re.findall("9900000000[0-9]{5}", stderr.flushed) == [worlds.imei(number) for number in range(500, 503)]


@contextmanager
def broken(kind: str) -> Iterator[TextIO]:
    """A stream to which nothing can be written."""
    if kind == "closed":
        stream: TextIO = io.StringIO()
        stream.close()
    else:
        reader, writer = os.pipe()
        os.close(reader)
        if kind == "full":
            os.dup2(full := os.open("/dev/full", os.O_WRONLY), writer)
            os.close(full)
        stream = os.fdopen(writer, "w", encoding="utf-8")
    yield stream
    with suppress(OSError):
        stream.close()


def test_who_asks_for_another_form_or_level_gets_it_from_then_on(logged: Logged) -> None:
    streams = []
    for as_json, level in ((True, "info"), (False, "info"), (True, "warning")):
        streams.append(logged(as_json=as_json, level=level))
        journal().settled(worlds.FOTA, done(0, 1))
    assert json.loads(streams[0].flushed)["device"] == worlds.imei(0)
    for_people = (
        rf"[0-9:]{{8}} \[info +\] device.settled +pool=fota device={worlds.imei(0)} verb=assign outcome=done .*\n"
    )
    assert re.fullmatch(for_people, streams[1].flushed)
    assert streams[2].writes == []


@pytest.mark.parametrize("hostile", [*worlds.HOSTILE, "\x7f\U000e0041\ufeff", "caf\udce9 \x9b2J"])
def test_a_line_of_json_shows_what_others_wrote_and_steers_no_terminal_either(logged: Logged, hostile: str) -> None:
    stderr = logged()
    structlog.get_logger().error("x", file=hostile, pump="7 ü 泵")
    (told,) = stderr.events
    assert (told["file"], told["pump"]) == (hostile.encode(errors="replace").decode(), "7 ü 泵")
    assert stderr.flushed.removesuffix("\n").isprintable()
    assert "ü 泵" in stderr.flushed


@pytest.mark.parametrize("hostile", worlds.HOSTILE)
def test_nothing_that_others_wrote_can_steer_the_terminal_of_who_reads_the_log(logged: Logged, hostile: str) -> None:
    stderr = logged(as_json=False)
    rejected = worlds.outcome(worlds.assign(1, hostile), OutcomeKind.REJECTED, hostile)
    journal().settled(worlds.FOTA, [rejected])
    assert all(char.isprintable() or char == "\n" for char in stderr.flushed)
    assert stderr.flushed.count("\n") == 1


@pytest.mark.parametrize("as_json", [True, False])
def test_a_mistake_is_told_with_its_place_and_without_what_variables_hold(logged: Logged, *, as_json: bool) -> None:
    stderr = logged(as_json=as_json)

    def mistaken(password: str) -> None:
        raise ValueError(len(password))

    try:
        mistaken("2-retnuh"[::-1])
    except ValueError:
        structlog.get_logger().error("x", exc_info=True)
    assert "in mistaken" in stderr.flushed
    assert "hunter-2" not in stderr.flushed


def test_by_batches_one_line_tells_of_a_batch_and_who_needs_a_look_has_a_line_of_their_own(logged: Logged) -> None:
    stderr = logged()
    kinds = [*OutcomeKind, OutcomeKind.DONE]
    outcomes = [worlds.outcome(worlds.assign(number), kind) for number, kind in enumerate(kinds)]

    journal(DeviceLines.BATCHES).settled(worlds.FOTA, outcomes)

    *own, batch = stderr.events
    assert [(each["event"], each["level"], each["outcome"], each["device"]) for each in own] == [
        ("device.settled", "warning", outcome.kind, outcome.action.device)
        for outcome in outcomes
        if outcome.kind in {OutcomeKind.REJECTED, OutcomeKind.FAILED, OutcomeKind.UNKNOWN}
    ]
    assert {**batch, "timestamp": None} == {
        "event": "batch.settled",
        "level": "info",
        "timestamp": None,
        "run": RUN,
        "pool": "fota",
        "verb": "assign",
        "devices": 6,
        "outcomes": {"done": 2, "pending": 1, "rejected": 1, "failed": 1, "unknown": 1},
        "first": worlds.imei(0),
        "last": worlds.imei(5),
    }
    assert len(stderr.writes) == 1


def test_by_batches_who_asks_for_warnings_only_still_hears_of_every_device_that_needs_a_look(logged: Logged) -> None:
    stderr = logged(level="warning")
    failed = [worlds.outcome(worlds.assign(number), OutcomeKind.FAILED) for number in range(3)]
    journal(DeviceLines.BATCHES).settled(worlds.FOTA, [*done(10, 90), *failed])
    assert devices(stderr.events) == [worlds.imei(number) for number in range(3)]
    assert len(stderr.events) == 3


@pytest.mark.parametrize("wanted", DeviceLines)
def test_a_batch_of_which_nothing_was_sent_in_the_end_is_not_told_of(logged: Logged, wanted: DeviceLines) -> None:
    stderr = logged()
    journal(wanted).settled(worlds.FOTA, [])
    assert stderr.writes == []


@pytest.mark.parametrize("wanted", DeviceLines)
def test_what_became_of_an_earlier_action_has_its_own_line_in_any_case(logged: Logged, wanted: DeviceLines) -> None:
    stderr = logged()
    for never_told in (True, False):
        journal(wanted).proved(worlds.FOTA, done(4, 5)[0], "earlier", never_told=never_told)
    assert [(each["event"], each["run"], each["device"]) for each in stderr.events] == [
        (event, "earlier", worlds.imei(4)) for event in ("device.settled", "device.proved")
    ]
