"""What all tests share."""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import leaks
import pytest
import warm
from aiohttp import ClientResponse
from aioresponses import aioresponses
from hypothesis import HealthCheck, settings

from licensesync import programs

settings.register_profile("usual", max_examples=20)
settings.register_profile(
    "measured",
    max_examples=4,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # which lines are reached is asked, and always the same ones are; whether all is well was asked by "usual"
settings.register_profile("thorough", max_examples=400)
settings.load_profile("usual")

TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Each of several workers compiles its share of the tests for all of them, where they were not compiled before.

    Not earlier, and no others: who measures coverage would not see it, or would see what no test of his uses.
    """
    shared: Mapping[str, Any] = getattr(session.config, "workerinput", {})
    if shared:
        wanted = [session.startpath / argument.partition("::")[0] for argument in session.config.args]
        paths = sorted(path for path in TESTS.rglob("test_*.py") if any(map(path.is_relative_to, wanted)))
        for path in paths[int(shared["workerid"].removeprefix("gw")) :: shared["workercount"]]:
            with suppress(Exception):  # whoever collects it says what is wrong with it
                importlib.import_module(".".join(path.relative_to(TESTS).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, or others would wait for its end."""
    items.sort(key=lambda item: "test_worlds.py" not in item.nodeid)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--toxic-seeds", help="the seeds of tests/test_toxic_campaign.py to be played: 7, or 100-400")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three times as many as there are cores: many a test waits for a service, a signal or a clock."""
    return 3 * len(os.sched_getaffinity(0))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Answers without a server, to the byte; for oddities that no web framework would send.

    aioresponses 0.7.9 does not know the `stream_writer` that aiohttp's responses want since 3.14 (its issue 289).
    """
    with aioresponses() as prepared:
        odd: Any = partial(ClientResponse, stream_writer=Mock())
        monkeypatch.setattr(prepared, "add", partial(prepared.add, response_class=odd))
        yield prepared


@pytest.fixture(autouse=True)
def _not_ending() -> Iterator[None]:
    """A service that has ended in a test's own process does not end what comes after it."""
    yield
    programs.ENDING.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """No test leaves a credential behind: in what it prints, in what its processes print, in any file or ledger."""
    report = yield
    if call.when == "call":
        printed = [report.capstdout.encode(), report.capstderr.encode(), report.caplog.encode(), *warm.PRINTED]
        warm.PRINTED.clear()
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        files = list(leaks.leaking_files(folder)) if isinstance(folder, Path) else []
        if files or any(map(leaks.leaked, printed)):
            report.outcome = "failed"
            report.longrepr = f"a credential was printed, or stands in {files}"
    return report
