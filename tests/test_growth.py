"""What is twice as long takes twice the work and twice the memory to read, whatever stands in it.

Work is counted in calls of functions, those that are built in too: the same on any machine. What such a call does by
itself is seen by `-m exhaustive` alone, which compares the time of a process with that for four times as much.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final

import pytest
from fuzz_rules import POOLS, TODAY
from fuzz_targets import APART, CALLS, PLAN, TARGETS, Parts, failure, login
from growth_shapes import SHAPES, Shape

from licensesync import credentials, devices_from, inventory, reviewed, settings
from licensesync.errors import CredentialsError, UnexpectedReply
from licensesync.problems import Problems
from licensesync.roster import Roster
from licensesync.thingspace import callback_wire

Reader = Callable[[bytes], Sequence[object]]

PARTS: Final = 25
"""Parts of a document whose work is counted."""

MORE_WORK: Final = 2.5
"""Times as much for twice as much: what is sorted takes a little more than twice."""

MORE_MEMORY: Final = 16
"""Bytes for each byte; what has 50 bytes of its own for each short line of the file would take more."""

FEW_AND_MORE: Final = (100, 400)
"""Parts of documents whose memory is compared."""

FOR_A_PROBLEM: Final = 1_000
"""Bytes, for each of those that are kept: no more than ten thousand are."""

BOUNDED: Final = {"unknown pools", "one pool again and again", "a note that is a list"}
"""What takes much for each byte until it is refused, which is seen by `-m exhaustive`."""

ALL: Final = [(target, shape) for target, shapes in SHAPES.items() for shape in shapes]


def test_every_target_has_its_shapes() -> None:
    assert SHAPES.keys() == READERS.keys() == TARGETS.keys() - {"desk"}  # which reads callbacks


@pytest.mark.parametrize(("target", "shape"), ALL)
def test_what_is_twice_as_long_takes_twice_the_work(target: str, shape: str) -> None:
    read, make = READERS[target], SHAPES[target][shape]
    read(make(2))  # what is done but once
    least, less, more = (work(read, make(count * PARTS)) for count in (1, 2, 4))
    assert more - less <= MORE_WORK * (less - least) + 500


def work(read: Reader, written: bytes) -> int:
    """How many functions are called, those that are built in too, and how often generators go on."""
    called = 0

    def call(frame: FrameType, event: str, argument: object) -> None:
        nonlocal called
        del frame, argument
        called += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(call)
    try:
        read(written)
    finally:
        sys.setprofile(before)
    return called


def _settings(written: bytes) -> Sequence[object]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "licensesync.yaml"
        file.write_bytes(written)
        return settings.draft(file).problems


def _inventory(written: bytes) -> Sequence[object]:
    drafted = inventory.draft(Parts(written.split(APART, 2)), POOLS)
    for pool in () if drafted.problems else POOLS.values():
        wanted = drafted.inventory.desired(pool, TODAY)
        assert all(device in wanted.wanted and wanted.entries[device] for device in wanted.wanted)
    return inventory.with_warnings(drafted)


def _list(written: bytes) -> Sequence[object]:
    roster, problems = Roster(POOLS), Problems()
    devices_from.read(written, "list.csv", roster, problems)
    return problems.in_order()


def _credential(written: bytes) -> Sequence[object]:
    with suppress(CredentialsError):
        credentials.credentials({name: os.fsdecode(written) for name in credentials.NAMES})
    return ()


def _plan(written: bytes) -> Sequence[object]:
    with suppress(ValueError):
        return reviewed.changes(reviewed.read(written), PLAN)
    return ()


def _answer(written: bytes) -> Sequence[object]:
    with suppress(UnexpectedReply):
        CALLS[written[0]].read(written[1:])
    return ()


def _failure(written: bytes) -> Sequence[object]:
    failure(written)
    return ()


def _login(written: bytes) -> Sequence[object]:
    login(written)
    return ()


def _callback(written: bytes) -> Sequence[object]:
    with suppress(callback_wire.NotACallback):
        callback_wire.read(written)
    return ()


READERS: Final[Mapping[str, Reader]] = {
    "settings": _settings,
    "inventory": _inventory,
    "list": _list,
    "credential": _credential,
    "plan": _plan,
    "answer": _answer,
    "failure": _failure,
    "login": _login,
    "callback": _callback,
}
"""The parsers, without all that a target asks of their answers; the value is what was complained of."""


@pytest.mark.parametrize(("target", "shape"), [(target, shape) for target, shape in ALL if shape not in BOUNDED])
def test_what_is_longer_takes_a_few_times_its_length_more_of_memory(target: str, shape: str) -> None:
    read, make = READERS[target], SHAPES[target][shape]
    read(make(2))  # what is remembered for good
    few, many = map(make, FEW_AND_MORE)
    (less, told), (more, told_more) = memory(read, few), memory(read, many)
    for_problems = FOR_A_PROBLEM * (told_more - told)
    assert more - less <= MORE_MEMORY * (len(many) - len(few)) + for_problems + 20_000


def memory(read: Reader, written: bytes) -> tuple[int, int]:
    """The most that Python has held meanwhile, and how many problems there were.

    What the parser of YAML itself holds is not seen here.
    """
    tracemalloc.start()
    try:
        told = len(read(written))
        return tracemalloc.get_traced_memory()[1], told
    finally:
        tracemalloc.stop()


@pytest.mark.exhaustive
@pytest.mark.parametrize(("target", "shape"), ALL)
def test_what_is_four_times_as_long_takes_no_more_than_eight_times_as_long_to_read(target: str, shape: str) -> None:
    read, make = READERS[target], SHAPES[target][shape]
    count = _worth_a_look(read, make)
    one, four = make(count), make(4 * count)
    assert min(_seconds(read, four) for _ in range(3)) < 8 * max(_seconds(read, one) for _ in range(3)) + 0.01


def _worth_a_look(read: Reader, make: Shape) -> int:
    """So many parts that a clock tells something."""
    count = 500
    while count < 30_000 and _seconds(read, make(count)) < 0.02:
        count *= 2
    return count


def _seconds(read: Reader, written: bytes) -> float:
    began = time.process_time()
    read(written)
    return time.process_time() - began


@pytest.mark.exhaustive
@pytest.mark.parametrize(("target", "shape"), ALL)
def test_what_is_large_takes_a_few_times_its_size_of_a_process(target: str, shape: str) -> None:
    """With all that libraries hold beside Python, and more than what is bounded takes: problems, values of a tree."""
    written = SHAPES[target][shape](10_000)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "written"
        file.write_bytes(written)
        took = int(subprocess.check_output([sys.executable, __file__, target, str(file)]))
    assert took <= 2**25 + MORE_MEMORY * len(written)


def _taken(target: str, written: bytes) -> int:
    """The bytes by which this process has grown to read this, at most."""
    READERS[target](SHAPES[target][next(iter(SHAPES[target]))](2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    READERS[target](written)
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


if __name__ == "__main__":
    print(_taken(sys.argv[1], Path(sys.argv[2]).read_bytes()))
