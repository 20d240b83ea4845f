"""Seeds of misfortune over real HTTP: a fleet, an inventory that is edited, a line on which things go wrong, runs."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Final

from desks import CREDENTIALS, POOL, Desk, Done, desk_at
from fleets import imeis
from leaks import leaked
from toxic_line import Asked, Toxic, line_to
from toxics import TOXICS

from licensesync.model import Limits, Outcome, OutcomeKind, Pool, Unread, Verb
from licensesync.simulator.requests import Seen
from licensesync.thingspace import client
from licensesync.thingspace.fota import FotaService
from licensesync.thingspace.transport import Bounds

Chance = random.Random

BOUNDS: Final = Bounds(timeout=60, concurrency=4, requests_per_second=5000)
"""Nothing here is endless: a limit of time would only tell how busy the machine is."""

OPEN: Final = {OutcomeKind.PENDING, OutcomeKind.UNKNOWN}
CALM_RUNS: Final = 3
MOST_RUNS: Final = 3

STRIKING: Final = [
    toxic for toxic in TOXICS.values() if not (toxic.endless or toxic.heavy or toxic.tls or toxic.greets)
]
GREETING: Final = [toxic for toxic in TOXICS.values() if toxic.greets and not toxic.tls]

QUIRKS: Final[Mapping[str, Sequence[str]]] = {
    "page-size": ["3", "7", "20"],
    "shuffled-rows": ["on"],
    "profile": ["mixed"],
    "error-503": ["5%", "1x"],
    "error-429": ["5%@writes"],
    "retry-after-429": ["off"],
    "bearer-dies": ["#3", "#7"],
    "session-dies": ["#4", "#9"],
    "lost-before-effect": ["10%"],
    "lost-after-effect": ["10%"],
    "error-500-after-effect": ["10%"],
    "write-rows-lost": ["10%"],
    "odd-status": ["10%"],
    "cut-off": ["5%"],
    "html-200": ["5%"],
    "rows-lost": ["3%"],
    "lookup-rows-lost": ["20%"],
    "fill-order": ["seeded"],
    "counts-absent": ["both"],
    "max-devices": ["7"],
}


@dataclass
class Weather:
    """What befalls requests: chosen by the seed and the request alone, whatever the order in which they come."""

    seed: str
    toxicity: float
    spared: Collection[str] = ()
    calm: bool = False
    asked: Counter[bytes] = field(default_factory=Counter)

    def choose(self, asked: Asked) -> Toxic | None:
        line = f"{asked.method} {asked.path} ".encode() + asked.body
        self.asked[line] += 1
        return self._drawn(line + str(self.asked[line]).encode(), STRIKING)

    def greet(self, caller: int) -> Toxic | None:
        return self._drawn(str(caller).encode(), GREETING) if caller % 5 == 0 else None

    def _drawn(self, what: bytes, toxics: Sequence[Toxic]) -> Toxic | None:
        chance = Chance(hashlib.blake2b(self.seed.encode() + what).digest())
        drawn = None if self.calm or chance.random() >= self.toxicity else chance.choice(toxics)
        return None if drawn is None or drawn.name in self.spared else drawn


@dataclass
class Figures:
    """What has happened in all stories together."""

    runs: int = 0
    unread: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    last_runs: Counter[int] = field(default_factory=Counter)


@dataclass
class Story:
    """One seed of FOTA."""

    seed: int
    desk: Desk
    weather: Weather
    chance: Chance
    devices: list[str]
    figures: Figures
    wanted: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    removed: list[tuple[float, str]] = field(default_factory=list)
    kept: dict[tuple[str, Verb, str], Outcome] = field(default_factory=dict)

    def say(self, what: str) -> None:
        self.told.append(what)

    async def play(self) -> None:
        """Runs in bad weather, each after an edit; between them others change licenses, and hours pass."""
        self.wanted = self._some(self.devices)
        for _ in range(self.chance.randrange(1, MOST_RUNS + 1)):
            await self.run()
            self._meddle()
            self.desk.clock.move(timedelta(minutes=self.chance.choice([0, 15, 600])))
            if self.chance.random() < 0.7:
                self.wanted = self._some(self.devices)

    async def end(self) -> None:
        """All is well from here on: a few runs make the world as it shall be, and then nothing is written any more."""
        self.weather.calm = True
        self.desk.be_kind(*QUIRKS)
        self.desk.clock.move(timedelta(hours=25))
        assert self.desk.line is not None
        async with client.writing(self.desk.line.url, BOUNDS, CREDENTIALS, {}) as writer:
            self.desk.service = FotaService(POOL, writer, cursors=4, now=self.desk.clock)
            for run in range(1, CALM_RUNS + 2):
                done = await self.run()
                assert done is not None, "unread although all is well"
                if not done.writes:
                    break
                assert run <= CALM_RUNS, f"written in run {run} of the calm"
        self.figures.last_runs[run - 1] += 1
        self.assert_kept()
        account = self.desk.account
        wanted = set(self.wanted) | (set(self.desk.protected) & self.desk.holders)
        assert self.desk.holders <= wanted, f"still there: {self.desk.holders - wanted}"
        assert len(self.desk.holders) == min(len(wanted), account.total)

    async def run(self) -> Done | None:
        """One run, held against the world; None where the pool was not read whole."""
        desk, begun = self.desk, len(self.desk.simulator.requests)
        before, wanted = desk.holders, set(self.wanted)
        done = await desk.attempt(self.wanted, batch_size=self.chance.choice([1, 3, 10]), at_once=2)
        self.figures.runs += 1
        writes = [seen for seen in desk.asked_since(begun) if seen.call in {"assign", "remove"}]
        if isinstance(done, Unread):
            self.say(f"unread: {done.problem}")
            self.figures.unread += 1
            assert not writes, "written after a reading that was not whole"
            return None
        self.say(f"{[(each.action.verb, each.action.device, each.kind) for each in done.pool.outcomes]}")
        assert not before & {each.device for each in done.plan.of(Verb.ASSIGN)}, "the reading has missed a holder"
        assert before >= {each.device for each in done.plan.of(Verb.REMOVE)}, "the reading has seen a ghost"
        self._assert_removals_are_allowed(writes, before, wanted)
        for outcome in done.pool.outcomes:
            self.figures.outcomes[outcome.kind] += 1
            if outcome.kind is not OutcomeKind.UNKNOWN:
                as_asked = (outcome.action.device in desk.holders) is (outcome.action.verb is Verb.ASSIGN)
                assert as_asked is (outcome.kind is OutcomeKind.DONE), f"the world denies {outcome}"
        asked = {(seen.call, device) for seen in writes for device in seen.devices}
        ends = Counter((outcome.action.verb.value, outcome.action.device) for outcome in done.pool.outcomes)
        assert asked <= set(ends)
        assert max(ends.values(), default=1) == 1
        self.kept |= {(done.report.run, each.action.verb, each.action.device): each for each in done.pool.outcomes}
        return done

    def assert_kept(self) -> None:
        """Every action that was sent in any run has one row, with its end; those that were unknown then, too."""
        rows = self.desk.rows()
        assert Counter((row.run, row.verb, row.device) for row in rows) == Counter([*self.kept])
        for row in rows:
            told = self.kept[row.run, row.verb, row.device].kind
            assert row.outcome is told or told in OPEN, f"told as {told} and kept as {row}"
            assert row.outcome not in OPEN
            assert not row.in_flight

    def _assert_removals_are_allowed(self, writes: Sequence[Seen], before: set[str], wanted: set[str]) -> None:
        asked = {device for seen in writes if seen.call == "remove" for device in seen.devices}
        assert not asked & wanted, "a desired device was to be removed"
        assert not asked & set(self.desk.protected), "a protected device was to be removed"
        limits = self.desk.service.pool.limits
        assert len(asked) <= min(limits.count, max(5, len(before) * limits.percent // 100))
        self.removed += [(seen.time, device) for seen in writes if seen.call == "remove" for device in seen.effect]
        since = self.desk.clock().timestamp() - timedelta(days=1).total_seconds()
        assert sum(at > since for at, _ in self.removed) <= limits.per_day

    def _some(self, devices: Sequence[str]) -> list[str]:
        return self.chance.sample(devices, self.chance.randrange(1, len(devices) + 1))

    def _meddle(self) -> None:
        """Others give a license or take one."""
        account, now = self.desk.account, self.desk.clock().timestamp()
        if self.chance.random() < 0.3:
            device = self.chance.choice(self.devices)
            if device in account.licensed:
                account.take(device, now)
            elif account.free:
                account.give(device, now)


def _pool(chance: Chance) -> Pool:
    limits = Limits(
        chance.choice([1000, 1000, 6]), chance.choice([100, 100, 40]), per_day=chance.choice([1000, 1000, 8])
    )
    return replace(POOL, limits=limits)


@asynccontextmanager
async def story_of(seed: int, figures: Figures) -> AsyncIterator[Story]:
    """A story that is ready to be played. What it kept and told of holds no secret at its end."""
    chance = Chance(f"toxic story {seed}")
    size = chance.randrange(5, 41)
    devices = imeis(0, size)
    held = chance.randrange(0, size + 1)
    quirks = {name: chance.choice(values) for name, values in QUIRKS.items() if chance.random() < 0.2}
    weather = Weather(f"toxic {seed} ", chance.choice([0.05, 0.15, 0.3]))
    async with line_to("http://127.0.0.1:1") as elsewhere:
        through = partial(line_to, choose=weather.choose, greet=weather.greet, elsewhere=elsewhere.url)
        licenses = held + chance.randrange(0, size)
        async with desk_at(
            patience=BOUNDS.timeout, quirks=quirks, through=through, seed=seed, devices=held, licenses=licenses
        ) as desk:
            desk.service = FotaService(
                _pool(chance), desk.service._client, cursors=chance.choice([1, 4]), now=desk.clock
            )
            desk.protected = chance.sample(devices, chance.choice([0, 0, 2]))
            story = Story(seed, desk, weather, chance, devices, figures)
            story.say(f"{size} devices, {held} of them hold one of {licenses} licenses; {quirks}")
            yield story
            figures.struck += desk.line.struck if desk.line else Counter()
            assert not leaked("\n".join(story.told).encode())
            assert not any(leaked(file.read_bytes()) for file in desk.ledger.parent.iterdir())
        assert elsewhere.callers == 0, "a redirect was followed"
