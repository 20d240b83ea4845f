"""Seeds of misfortune over real HTTP with SIM-Secure, whose requests end by callbacks."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

from desks import CREDENTIALS, Done
from leaks import leaked
from promise_desks import PromiseDesk, promise_desk, sims
from toxic_line import line_to
from toxic_stories import BOUNDS, CALM_RUNS, MOST_RUNS, OPEN, Figures, Weather

from licensesync.model import DeviceId, OutcomeKind, Unread, Verb
from licensesync.simulator.quirks import find
from licensesync.thingspace import client

Chance = random.Random

WRITES: Final = {"sim-assign", "sim-unassign"}

DOUBLED_REQUESTS: Final = ("asked-twice", "asked-again")
"""Where somebody between makes a request twice, the answer to the second says that its devices had a license before.

They are taken for some of the others, if there are any, and the pool is not read whole until its holders are imported.
"""

QUIRKS: Final[Mapping[str, Sequence[str]]] = {
    "sim-batches": ["whole", "mixed"],
    "sim-room": ["new"],
    "sim-error-prefix": ["mixed"],
    "callback-doubled": ["10%"],
    "callback-early": ["10%"],
    "callback-order": ["shuffled"],
    "callback-letter-case": ["mixed"],
    "callback-forged": ["20%"],
    "pending-counts": ["assigned", "free"],
    "lost-after-effect": ["10%"],
    "lost-before-effect": ["10%"],
    "error-500-after-effect": ["10%"],
    "error-503": ["5%@skus"],
}


@dataclass
class PromiseStory:
    """One seed of SIM-Secure."""

    desk: PromiseDesk
    weather: Weather
    chance: Chance
    devices: list[DeviceId]
    figures: Figures
    wanted: list[DeviceId] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def play(self) -> None:
        """Runs in bad weather, each after an edit."""
        for _ in range(self.chance.randrange(1, MOST_RUNS + 1)):
            self.wanted = self.chance.sample(self.devices, self.chance.randrange(1, len(self.devices) + 1))
            await self.run()
            await self.arrived()

    async def end(self) -> None:
        """All is well from here on: a few runs make the world as it shall be, and then nothing is written any more."""
        self.weather.calm = True
        self.desk.patience = timedelta(0)  # whatever callbacks there were have come
        for name in QUIRKS:
            self.desk.simulator.quirks.set(name, find(name).kind)
        assert self.desk.line is not None
        async with client.writing(self.desk.line.url, BOUNDS, CREDENTIALS, {}) as self.desk.client:
            longest = CALM_RUNS + len(self.desk.known.open_since)  # each is asked again, one in a run if one is free
            for run in range(1, longest + 2):
                done = await self.run()
                await self.arrived()
                assert done is not None, "unread although all is well"
                if not done.pool.outcomes:
                    break
                assert run <= longest, f"written in run {run} of the calm"
        self.figures.last_runs[run - 1] += 1
        free = self.desk.sku.purchased - self.desk.sku.others
        assert self.desk.holders <= set(self.wanted), f"still there: {self.desk.holders - set(self.wanted)}"
        assert len(self.desk.holders) == min(len(self.wanted), free)
        known = self.desk.known
        assert known.holders == self.desk.holders, f"known: {known}; in the world: {self.desk.holders}"
        self.assert_kept()

    async def arrived(self) -> None:
        """All that was promised is done, and all callbacks have come."""
        post = self.desk.simulator.post
        async with asyncio.timeout(BOUNDS.timeout):
            while post.service.sim_secure.is_busy or post._under_way:
                await asyncio.sleep(0.005)
        await self.desk.is_settled()

    async def run(self) -> Done | None:
        """One run, held against the world; None where the pool was not read whole."""
        desk, begun = self.desk, len(self.desk.simulator.requests)
        done = await desk.attempt(self.wanted, batch_size=self.chance.choice([1, 3, 10]))
        self.figures.runs += 1
        writes = [seen for seen in list(desk.simulator.requests)[begun:] if seen.call in WRITES]
        if isinstance(done, Unread):
            self.told.append(f"unread: {done.problem}")
            self.figures.unread += 1
            assert not writes, "written after a reading that was not whole"
            return None
        ends = Counter(each.action.device for each in done.pool.outcomes)
        kinds = [(each.action.verb, each.action.device, each.kind, each.reason) for each in done.pool.outcomes]
        self.told.append(f"{kinds}")
        assert max(ends.values(), default=1) == 1
        self.figures.outcomes += Counter(each.kind for each in done.pool.outcomes)
        asked = {(seen.call == "sim-assign", device) for seen in writes for device in seen.devices}
        assert asked <= {(each.action.verb is Verb.ASSIGN, each.action.device) for each in done.pool.outcomes}
        assert not {device for assigns, device in asked if not assigns} & set(self.wanted)
        return done

    def assert_kept(self) -> None:
        """Nobody holds a license twice; what is kept as done was done, and nothing is left open."""
        last = {f"{row.device}/{row.iccid}": row for row in self.desk.rows()}
        for device, row in last.items():
            assert row.outcome not in OPEN, f"left open: {row}"
            if row.outcome is OutcomeKind.DONE:
                assert (device in self.desk.holders) is (row.verb is Verb.ASSIGN), f"the world denies {row}"


@asynccontextmanager
async def promise_story_of(seed: int, figures: Figures) -> AsyncIterator[PromiseStory]:
    """A story that is ready to be played. What it kept and told of holds no secret at its end."""
    chance = Chance(f"toxic promise {seed}")
    size = chance.randrange(5, 21)
    quirks = {name: chance.choice(values) for name, values in QUIRKS.items() if chance.random() < 0.2}
    quirks["callback-retry-after"] = "0.2"  # on a busy machine one may not be answered in time
    others = chance.choice([0, 0, 3])
    spared = DOUBLED_REQUESTS if others else ()
    weather = Weather(f"toxic promise {seed} ", chance.choice([0.1, 0.3, 0.5]), spared)
    async with line_to("http://127.0.0.1:1") as elsewhere:
        weather.calm = True  # the registration of callbacks is another story
        through = partial(line_to, choose=weather.choose, greet=weather.greet, elsewhere=elsewhere.url)
        async with promise_desk(
            purchased=others + chance.randrange(3, size + 3),
            others=others,
            quirks=quirks,
            seed=seed,
            limit=BOUNDS.timeout,
            through=through,
        ) as desk:
            weather.calm = False
            story = PromiseStory(desk, weather, chance, sims(0, size), figures)
            story.told.append(f"{size} devices, {desk.sku.purchased} licenses, {others} of them others'; {quirks}")
            yield story
            figures.struck += desk.line.struck if desk.line else Counter()
            assert not leaked("\n".join(story.told).encode())
        assert elsewhere.callers == 0, "a redirect was followed"
