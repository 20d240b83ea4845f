"""Many seeds of toxic lines over real HTTP: no run does harm, and once all is well again the world is as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import pytest
from fleets import some_of
from toxic_promises import promise_story_of
from toxic_stories import Figures, story_of

AT_ONCE: Final = 4
"""Stories that are played at the same time: most of their time is spent waiting before something is asked again."""

TOGETHER: Final = 10
"""Seeds in one test."""

ALWAYS: Final = {"fota": 20, "promises": 2}
"""So many tests of each kind are run every time, the others where there is time."""

TESTS: Final = 300


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Seeds come a few in one test, or alone those that were asked for."""
    kind = metafunc.function.__name__.rpartition("_")[2]
    given = metafunc.config.getoption("--toxic-seeds")
    first, _, last = (given or f"0-{TESTS * TOGETHER - 1}").partition("-")
    seeds = range(int(first), int(last or first) + 1)
    chunks = [seeds[at : at + TOGETHER] for at in range(0, len(seeds), TOGETHER)]
    metafunc.parametrize(
        "seeds",
        some_of(chunks, len(chunks) if given else ALWAYS[kind]),
        ids=[f"{each[0]}-{each[-1]}" for each in chunks],
    )


class Story(Protocol):
    """What a seed is about."""

    told: list[str]

    async def play(self) -> None: ...
    async def end(self) -> None: ...


STORIES: Final[Mapping[str, Callable[[int, Figures], AbstractAsyncContextManager[Story]]]] = {
    "fota": story_of,
    "promises": promise_story_of,
}


async def played(kind: str, seeds: Iterable[int]) -> Figures:
    """All stories to their end; a failure tells what has happened, and how to have it once more."""
    places = asyncio.Semaphore(AT_ONCE)
    figures = Figures()
    async with asyncio.TaskGroup() as playing:
        for seed in seeds:
            playing.create_task(_played(kind, seed, figures, places))
    return figures


async def _played(kind: str, seed: int, figures: Figures, places: asyncio.Semaphore) -> None:
    async with places, STORIES[kind](seed, figures) as story:
        try:
            await story.play()
            await story.end()
        except Exception as error:
            once_more = f"pytest tests/test_toxic_campaign.py -k {kind} --toxic-seeds {seed}"
            error.add_note("\n".join([f"seed {seed}; once more: {once_more}", *story.told]))
            raise


async def test_a_toxic_line_does_no_harm_and_leaves_nothing_behind_with_fota(seeds: range) -> None:
    figures = await played("fota", seeds)
    assert sum(figures.last_runs.values()) == len(seeds)


async def test_a_toxic_line_does_no_harm_and_leaves_nothing_behind_with_promises(seeds: range) -> None:
    figures = await played("promises", seeds)
    assert sum(figures.last_runs.values()) == len(seeds)
