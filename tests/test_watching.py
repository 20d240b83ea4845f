"""Who watches files ends when it is told to, whatever happens to the files in that very moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from licensesync.daemon import watching
from licensesync.daemon.watching import Place


async def test_a_change_in_the_moment_of_the_end_keeps_nobody_watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Callable[[], None]] = []

    async def hears(_places: Mapping[Path, Place], changed: Callable[[], None]) -> None:
        told.append(changed)
        await asyncio.Event().wait()

    monkeypatch.setattr(watching, "_watch", hears)
    monkeypatch.setattr(watching, "SETTLES", 0)
    heard = asyncio.Event()
    watcher = asyncio.create_task(watching.watch(tmp_path / "licensesync.yaml", [], heard.set))
    async with asyncio.timeout(10):
        await heard.wait()
    await asyncio.sleep(0.2)  # it waits for the next change
    told[0]()
    watcher.cancel()
    assert await asyncio.wait({watcher}, timeout=2) == ({watcher}, set())
