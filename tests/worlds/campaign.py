"""Plays many seeds on all cores; one that fails is told with its shortest story, and how to play it again.

python -m worlds.campaign --seeds 0:3000 --jobs 2      a campaign
python -m worlds.campaign --replay 1234 --steps        one seed again, step by step
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from worlds.play import Played, play
from worlds.seeds import drawn
from worlds.shrink import shrunk

AT_ONCE = 50
"""Seeds that a process plays before it tells how they went."""

MOST_TOLD = 3
"""Failures of which a story is told: of a hundred with one cause, a few are read."""


@dataclass
class Went:
    """How some seeds went."""

    seeds: int = 0
    seconds: float = 0.0
    figures: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Went) -> None:
        self.seeds += other.seeds
        self.seconds += other.seconds
        self.figures += other.figures
        self.failures += other.failures


@dataclass(frozen=True)
class Failure:
    """A seed that breaks a law."""

    seed: int
    law: str
    broken: str

    @classmethod
    def of(cls, played: Played) -> Failure:
        return cls(played.story.seed, played.law, played.broken)


def campaign(seeds: range, jobs: int, *, until_broken: bool = False) -> Went:
    """All of these seeds, or those up to the first that breaks a law and a few more; so many at once."""
    went = Went()
    if jobs == 1:
        for some in _parts(seeds):
            went.add(_some(some))
            if until_broken and went.failures:
                break
        return went
    with ProcessPoolExecutor(jobs) as workers:
        for part in as_completed([workers.submit(_some, some) for some in _parts(seeds)]):
            went.add(part.result())
            if until_broken and went.failures:
                workers.shutdown(cancel_futures=True)
                break
    return went


def _parts(seeds: range) -> Iterator[range]:
    for start in range(0, len(seeds), AT_ONCE):
        yield seeds[start : start + AT_ONCE]


def _some(seeds: range) -> Went:
    _be_quick_and_quiet()
    went, begun = Went(len(seeds)), time.process_time()
    for seed in seeds:
        played = play(drawn(seed))
        went.figures += played.figures
        if played.law:
            went.failures.append(Failure.of(played))
    went.seconds = time.process_time() - begun
    return went


def _be_quick_and_quiet() -> None:
    gc.set_threshold(50_000)  # a world is gone as a whole
    logging.disable()  # programs that are killed leave much open, of which libraries complain


def _tell(went: Went, *, of_all: bool, most: int) -> None:
    minutes = went.seconds / 60
    print(f"{went.seeds} worlds, {went.seeds / minutes:.0f} a minute of one core")
    for what, count in sorted(went.figures.items()) if of_all else ():
        print(f"  {count:8} {what}")
    by_law = Counter(failure.law for failure in went.failures)
    for law, count in by_law.most_common():
        failed = sorted(failure.seed for failure in went.failures if failure.law == law)
        print(f"{count} seeds break a law ({law}): {', '.join(map(str, failed[:10]))}")
    for failure in sorted(went.failures, key=lambda each: each.seed)[:most]:
        print(f"\nseed {failure.seed}: {failure.broken}\nIts shortest story:")
        print("\n".join(shrunk(drawn(failure.seed)).story.told()))
        print(f"Once more: python -m worlds.campaign --replay {failure.seed} --steps (in tests/)")


def _replay(seed: int, *, steps: bool, shortest: bool) -> Played:
    _be_quick_and_quiet()
    story = drawn(seed)
    played = shrunk(story) if shortest else play(story)
    print("\n".join(played.story.told()))
    if steps:
        print("\n".join(played.told))
    print(played.broken or "all laws hold")
    return played


def _seeds(text: str) -> range:
    start, colon, end = text.partition(":")
    if not (colon and start.isdecimal() and end.isdecimal() and int(start) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds; write from:to, such as 0:3000")
    return range(int(start), int(end))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 where a law was broken."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seeds", default="0:3000", type=_seeds, help="from:to")
    asked.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked.add_argument("--figures", action="store_true", help="all that has happened, counted")
    asked.add_argument("--until-broken", action="store_true", help="stop soon after the first failure")
    asked.add_argument("--replay", type=int, help="play this seed alone")
    asked.add_argument("--steps", action="store_true", help="with --replay: tell every step")
    asked.add_argument("--shortest", action="store_true", help="with --replay: the shortest story that breaks its law")
    told = asked.parse_args(arguments)
    if told.replay is not None:
        return bool(_replay(told.replay, steps=told.steps, shortest=told.shortest).law)
    went = campaign(told.seeds, told.jobs, until_broken=told.until_broken)
    _tell(went, of_all=told.figures, most=1 if told.until_broken else MOST_TOLD)
    return bool(went.failures)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # else a set may have another order the next time
        os.execve(  # noqa: S606 - this very program again
            sys.executable,
            [sys.executable, "-m", "worlds.campaign", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
