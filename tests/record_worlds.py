"""What a ledger tells, to render: by hand, and anything that hypothesis can think of."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import render_worlds as worlds
from hypothesis import strategies as st
from rich.cells import cell_len

from licensesync.model import (
    Capacity,
    HeldReason,
    OutcomeKind,
    OutcomeRecord,
    PoolRecord,
    PoolStatus,
    QuarantineRecord,
    Reading,
    RunRecord,
    RunVerdict,
    ServiceRecord,
    Status,
    Verb,
)
from licensesync.render.history import PastRun
from licensesync.render.page import Page

PAGE = Page(colour=False, width=80)
WIDE = Page(colour=False, width=200)
RUN = "20261122T150000Z-3f9ac1"
LATER = worlds.NOW + timedelta(minutes=2)
SERVICE = ServiceRecord(
    4711,
    worlds.NOW,
    LATER,
    {"fota": LATER},
    ("inventory.yaml:3:9: unknown pool 'fot'; write fota",),
    worlds.NOW,
)
DONE = {"done": 20, "kept": 990, "held": 3, "pending": 0, "rejected": 0, "failed": 0, "unknown": 0, "foreign": 4}


def run(**changed: Any) -> RunRecord:
    told: dict[str, Any] = {
        "run": RUN,
        "command": "apply",
        "started_at": worlds.NOW,
        "finished_at": LATER,
        "verdict": RunVerdict.DONE,
        "exit": 0,
        "inventory": worlds.INVENTORY,
        "plan": f"sha256:{'cd' * 32}",
    }
    return RunRecord(**{**told, **changed})


def going_on() -> RunRecord:
    return run(finished_at=None, verdict=None, exit=None, plan=None)


def pool(**changed: Any) -> PoolRecord:
    told: dict[str, Any] = {
        "run": RUN,
        "pool": "fota",
        "licenses": "fota 0642233522-00001",
        "mode": "full",
        "reading": Reading.WHOLE,
        "verdict": RunVerdict.DONE,
        "problem": None,
        "read_at": worlds.NOW,
        "capacity": Capacity(9000, 998),
        "waiting": 0,
        "counts": DONE,
        "held": {},
        "refusal": None,
    }
    return PoolRecord(**{**told, **changed})


def unread(problem: str = "HTTP 403") -> PoolRecord:
    """A pool that was not read."""
    return pool(reading=Reading.UNREAD, verdict=RunVerdict.UNREAD, problem=problem, capacity=None, counts={})


def outcome(**changed: Any) -> OutcomeRecord:
    told: dict[str, Any] = {
        "run": RUN,
        "at": worlds.NOW,
        "commit": worlds.INVENTORY.commit,
        "pool": "fota",
        "verb": Verb.ASSIGN,
        "device": "990000000000001",
        "iccid": None,
        "outcome": OutcomeKind.DONE,
        "reason": None,
        "service": None,
        "group": "chicago-meters",
        "place": "inventory/chicago.yaml:2:9",
        "retry_at": None,
        "in_flight": False,
    }
    return OutcomeRecord(**{**told, **changed})


def set_aside(**changed: Any) -> QuarantineRecord:
    told: dict[str, Any] = {
        "pool": "fota",
        "device": "990000000000001",
        "iccid": None,
        "verb": Verb.ASSIGN,
        "reason": "device-not-found",
        "service": "Device Not Found.",
        "failures": 3,
        "since": worlds.NOW,
        "until": worlds.NOW + timedelta(hours=1),
        "group": "chicago-meters",
        "place": "inventory/chicago.yaml:2:9",
    }
    return QuarantineRecord(**{**told, **changed})


def fits(written: str, width: int) -> None:
    """Every line is printable, and none is wider than the page."""
    lines = written.split("\n")
    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines)) <= width


def without_colour(written: str) -> str:
    return re.sub(r"\033\[[0-9;]+m", "", written)


texts = st.sampled_from(worlds.HOSTILE) | st.text(max_size=40)
pages = st.builds(Page, st.just(False), st.integers(80, 200))
counts = st.dictionaries(st.sampled_from([*DONE]), st.integers(0, 10**6))
runs = st.builds(
    RunRecord,
    run=texts,
    command=texts,
    started_at=worlds.times,
    finished_at=st.none() | worlds.times,
    verdict=st.none() | st.sampled_from(RunVerdict),
    exit=st.none() | st.integers(0, 130),
    inventory=st.just(worlds.INVENTORY),
    plan=st.none() | texts,
)
pools = st.builds(
    PoolRecord,
    run=texts,
    pool=texts,
    licenses=texts,
    mode=texts,
    reading=st.sampled_from(Reading),
    verdict=st.none() | st.sampled_from(RunVerdict),
    problem=st.none() | texts,
    read_at=st.none() | worlds.times,
    capacity=st.none() | st.builds(Capacity, st.integers(0, 10**6), st.integers(0, 10**6)),
    waiting=st.integers(0, 10**6),
    counts=counts,
    held=st.dictionaries(st.sampled_from([reason.value for reason in HeldReason]), st.integers(0, 10**6)),
    refusal=st.none() | worlds.refusals,
)
past_runs = st.builds(PastRun, runs, st.lists(pools, max_size=3))
outcomes = st.builds(
    OutcomeRecord,
    run=texts,
    at=worlds.times,
    commit=st.none() | texts,
    pool=texts,
    verb=st.sampled_from(Verb),
    device=texts,
    iccid=st.none() | texts,
    outcome=st.sampled_from(OutcomeKind),
    reason=st.none() | texts,
    service=st.none() | texts,
    group=st.none() | texts,
    place=st.none() | texts,
    retry_at=st.none() | worlds.times,
    in_flight=st.booleans(),
)
statuses = st.builds(
    Status,
    st.lists(st.builds(PoolStatus, texts, st.none() | pools, st.integers(0, 9), st.integers(0, 9)), max_size=4).map(
        tuple
    ),
    st.none() | runs,
    st.none() | st.builds(ServiceRecord, st.integers(1, 99999), worlds.times, st.none() | worlds.times),
)
quarantined = st.builds(
    QuarantineRecord,
    pool=texts,
    device=texts,
    iccid=st.none() | texts,
    verb=st.sampled_from(Verb),
    reason=texts,
    service=st.none() | texts,
    failures=st.integers(0, 10**6),
    since=worlds.times,
    until=worlds.times,
    group=st.none() | texts,
    place=st.none() | texts,
)
