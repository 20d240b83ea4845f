"""What the service manager hears, over a real socket that it may leave unread."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from licensesync.daemon.systemd import Manager, Pulse


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)
        yield ear


def heard(ear: socket.socket) -> list[str]:
    said = []
    with suppress(BlockingIOError):
        while True:
            said.append(ear.recv(4096).decode())
    return said


def test_who_does_not_listen_for_a_while_is_told_the_newest_of_each_kind_in_order(ear: socket.socket) -> None:
    with closing(Manager({"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "1000000"})) as manager:
        pulse = Pulse(manager, iter(range(1000)).__next__)
        for number in range(500):
            manager.status(f"number {number}")
        manager.reloading()
        manager.ready()
        pulse.beat()
        pulse.beat()
        full = heard(ear)
        assert set(full) == {f"STATUS=number {number}" for number in range(len(full))}, "what there was room for"
        assert len(full) < 500
        pulse.beat()
    said = heard(ear)
    assert said[0] == "STATUS=number 499"
    assert [each.partition("=")[0] for each in said[1:]] == ["RELOADING", "READY", "WATCHDOG"]


def test_a_manager_that_is_gone_keeps_nobody(ear: socket.socket, tmp_path: Path) -> None:
    with closing(Manager({"NOTIFY_SOCKET": ear.getsockname()})) as manager:
        manager.ready()
        (tmp_path / "notify").rename(tmp_path / "gone")
        manager.status("alone")
        (tmp_path / "gone").rename(tmp_path / "notify")
        manager.stopping()
    assert heard(ear) == ["READY=1", "STOPPING=1"]


def test_without_a_manager_nothing_is_kept_for_one() -> None:
    with closing(Manager({})) as manager:
        manager.status("alone")
        Pulse(manager, float).beat()
        assert manager.patience is None
