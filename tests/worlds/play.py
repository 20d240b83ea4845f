"""Plays a story to its end: all that happens, then kindness, and what the world must have come to."""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from unittest.mock import patch

import structlog

from licensesync.ledger import logins
from licensesync.model import Report, Unread
from worlds import ledger
from worlds.clock import Clock, lived
from worlds.laws import Broken, Laws
from worlds.office import FOTA, SIM, Office
from worlds.program import TROUBLE, Program, make_room
from worlds.service import Fleet, ThingSpace
from worlds.story import (
    DAY,
    Approval,
    ClockSet,
    Edit,
    Event,
    Fortune,
    Others,
    Password,
    Purchase,
    Restart,
    Run,
    Story,
    Wait,
    Wish,
)

SETTLES: Final = 12.0
"""Seconds in which all that is under way at the service arrives, or is given up."""

LONG: Final = 12 * DAY
"""After so long no quarantine, no promise and no approval of the past is in the way, even by a clock that was wrong."""

MOST_RUNS: Final = 3


@dataclass
class Played:
    """How a story ended: with a law that was broken, or well."""

    story: Story
    figures: Counter[str] = field(default_factory=Counter)
    law: str = ""
    broken: str = ""
    told: list[str] = field(default_factory=list)


class Life:
    """One story, as it goes on."""

    def __init__(self, story: Story, clock: Clock, path: Path) -> None:
        self.story, self.clock = story, clock
        fleet = Fleet.of(story.beginning.devices)
        self.office = Office(story.beginning, fleet, clock, path)
        self.laws = Laws(self.office)
        self.thingspace = ThingSpace(story, fleet, clock, self.laws)
        self.laws.watch(self.thingspace)
        self.told: list[str] = []
        self._service: Program | None = None
        self._imported = False

    async def play(self) -> None:
        """Raises Broken."""
        post = asyncio.create_task(self.thingspace.deliver())
        try:
            for event in self.story.events:
                await self._goes_on(event)
            await self._comes_to_an_end()
        finally:
            await self._stop_service()
            post.cancel()
            await asyncio.wait({post})
        if not post.cancelled():
            post.result()

    async def _goes_on(self, event: Event) -> Report | None:
        self.told.append(f"{self.clock.here:%d %H:%M:%S} {event}")
        report = await self._happens(event)
        if self.laws.broken:
            raise self.laws.broken
        if self._service and self._service.failures:
            raise self._service.failures[0]
        return report

    async def _happens(self, event: Event) -> Report | None:
        match event:
            case Run():
                return await self._run(event)
            case Restart():
                await self._stop_service()
            case Wait(seconds):
                await self._wait(seconds)
            case _:
                self._changes(event)
        return None

    def _changes(self, event: Event) -> None:
        """What takes no time."""
        match event:
            case Edit():
                self.office.edit(event)
            case Approval(until):
                self.office.approve(until)
            case Others():
                self._others_change(event)
            case Purchase(licenses):
                self.thingspace.account.buy(licenses, self.clock.now)
                self.laws.changed()
            case Fortune():
                self.thingspace.become(event)
            case ClockSet(ahead):
                self.clock.is_set(ahead)
            case Password(known):
                self.thingspace.quirks.set("login-rejected", "off" if known else "on")
                self.office.passwords += known

    def _others_change(self, others: Others) -> None:
        self.thingspace.others_change(others.gives, others.takes)
        sku = self.thingspace.sku
        sku.others = max(0, min(sku.others + others.sims, sku.purchased - len(sku.licensed)))

    async def _run(self, run: Run) -> Report | None:
        program = await self._program(run)
        report = await program.make(run)
        self.told += [f"      {each}" for each in program.told]
        self.laws.figures.update(each for each in program.told if each.startswith(TROUBLE))
        self.laws.figures["runs that the ledger ended"] += any(each.startswith("LedgerError") for each in program.told)
        program.told.clear()
        if report is not None:
            self.told += [f"    = {line}" for line in _lines(report)]
        await self._settles()
        if run.apply:
            await program.end()
        return report

    async def _program(self, run: Run) -> Program:
        if run.apply:
            return Program(self.office, self.thingspace, self.laws, "apply")
        if self._service is None or not self._service.is_usable:
            await self._stop_service()
            self._service = Program(self.office, self.thingspace, self.laws, "serve")
            self._service.start()
            await asyncio.sleep(0)
        return self._service

    async def _stop_service(self) -> None:
        if self._service:
            await self._service.end()
        self._service = None

    async def _settles(self) -> None:
        """What is under way arrives, if it ever does."""
        until = self.clock.now + SETTLES
        while self.thingspace.is_busy and self.clock.now < until:
            await asyncio.sleep(0.5)

    async def _wait(self, seconds: float) -> None:
        """What is under way arrives first; then hours are gone at once."""
        until = self.clock.now + seconds
        await self._settles()
        self.clock.passes(max(0.0, until - self.clock.now))
        self.thingspace.settle()
        await asyncio.sleep(1.5 if self._sims else 0.0)
        await self._settles()

    @property
    def _sims(self) -> bool:
        return self.story.beginning.sim is not None

    # The end

    async def _comes_to_an_end(self) -> None:
        """Fortune turns; then three runs at most bring the world to what is desired, and no more is written."""
        for event in self._last_events():
            await self._goes_on(event)
        self.office.be_generous()
        if self.story.beginning.sim:
            self.thingspace.sku.others = self.story.beginning.sim.others
        before, lacking, runs, most = self.laws.states[-1], "", -1, MOST_RUNS + self._runs_that_ask_again()
        while runs < most:
            writes = self.laws.writes
            report = await self._goes_on(Run())
            if self._has_imported(report):
                continue
            runs += 1
            lacking = self._lacking(report, before)
            if self.laws.writes == writes and not lacking:
                self._nothing_is_left_open()
                self.laws.figures[f"in step after {runs} runs"] += 1
                return
        lacking = lacking or f"run {most + 1} still writes"
        raise Broken(f"when misfortune ends, at most {MOST_RUNS} runs bring the world to what is desired", lacking)

    def _nothing_is_left_open(self) -> None:
        """A whole reading tells of every FOTA action what became of it."""
        query = "SELECT verb, device FROM outcomes WHERE iccid IS NULL AND outcome IN ('unknown', 'pending')"
        if left := self.office.look(query):
            raise Broken("when misfortune ends, the ledger knows the end of every FOTA action", f"{left}")

    def _runs_that_ask_again(self) -> int:
        """Of SIM-Secure requests whose end nobody knows, a run asks again for as many as licenses are free."""
        sku = self.thingspace.sku
        return -(-self.laws.sims_in_doubt() // sku.available) if sku.available else 0

    def _has_imported(self, report: Report | None) -> bool:
        """Where nobody knows any more who holds SIM-Secure licenses, somebody asks the SIMs, and imports that list."""
        plans = [] if report is None or self._imported else [each.plan for each in report.pools]
        for plan in plans:
            if isinstance(plan, Unread) and plan.pool.name == SIM:
                self._imported = True
                self.laws.figures["imports"] += 1
                if not any(map(_may_lose_count, self.story.events)):
                    raise Broken("without misfortune the ledger knows who holds a license", plan.problem)
                self.office.import_list(self.thingspace.sku.licensed)
        return any(isinstance(plan, Unread) and plan.pool.name == SIM for plan in plans)

    def _last_events(self) -> tuple[Event, ...]:
        """Somebody is wanted in each pool: that nobody is, the guard refuses for good."""
        edit, beginning = self.office.force.edit, self.story.beginning
        fota = tuple(replace(wish, until=None) for wish in edit.fota) or (Wish(0),) * (beginning.mode is not None)
        sim = tuple(replace(wish, until=None) for wish in edit.sim) or (Wish(0),) * (beginning.sim is not None)
        return (
            Fortune(),
            ClockSet(0.0),
            Password(known=True),
            Wait(60.0),
            Restart(),
            Wait(LONG),
            replace(edit, fota=fota, sim=sim, bold=False),
        )

    def _lacking(self, report: Report | None, before: dict[str, frozenset[str]]) -> str:
        """What is not as it should be at the end; empty where all is."""
        if report is None:
            return "there was no run"
        unread = [each.plan.problem for each in report.pools if isinstance(each.plan, Unread)]
        wrong = [self._wrong(pool, before[pool]) for pool in self.office.settings.pools]
        return "; ".join(filter(None, [*unread, *wrong]))

    def _wrong(self, pool: str, before: frozenset[str]) -> str:
        force, today = self.office.force, self.clock.here.date()
        desired, held = self.laws.wanted.desired(pool, force, today), self.laws.states[-1][pool]
        wanted = self.laws.wanted
        surplus = wanted.removable(pool, held - desired.keys(), self.laws.managed[pool])
        if surplus:
            return f"{pool}: {sorted(surplus)} still hold a license"
        if kept_back := before - held - wanted.removable(pool, before - desired.keys(), self.laws.named[pool]):
            return f"{pool}: {sorted(kept_back)} lost a license"
        waiting = {device: rank for device, rank in desired.items() if device not in held}
        if waiting and self._is_free(pool):
            return f"{pool}: {sorted(waiting)} wait although a license is free"
        behind = [device for device in held - before if any(desired[device] > rank for rank in waiting.values())]
        return f"{pool}: {sorted(behind)} were served before {sorted(waiting)}" if behind else ""

    def _is_free(self, pool: str) -> bool:
        """Whether a license could be had now."""
        return (self.thingspace.account.free if pool == FOTA else self.thingspace.sku.available) > 0


def play(story: Story) -> Played:
    """The story, to its end or to where a law is broken."""
    random.seed(story.seed)  # for the pauses before requests are repeated
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    lives: list[Life] = []

    async def live(clock: Clock) -> None:
        with ledger.empty() as path:
            lives.append(Life(story, clock, path))
            await lives[0].play()

    broken: Broken | None = None
    with patch.dict(logins._SLOW, n=2):  # to guess a password is no part of any story
        try:
            lived(live)
        except Exception as error:
            if not lives:  # nothing has happened yet
                raise
            broken = _law_broken_by(error, lives)
        finally:
            make_room()
    life = lives[0]
    return Played(story, life.laws.figures, "" if broken is None else broken.law, str(broken or ""), life.told)


def _law_broken_by(error: Exception, lives: Sequence[Life]) -> Broken:
    """What was broken first: a program may have lived with it, or come to its end by it."""
    if lives and lives[0].laws.broken:
        return lives[0].laws.broken
    if isinstance(error, Broken):
        return error
    return Broken("no program ends with a traceback", "".join(traceback.format_exception(error)))


def _may_lose_count(event: Event) -> bool:
    """Whether the ledger may not know who holds SIM-Secure licenses after it."""
    match event:
        case Fortune(quirks, _, _, doubled):
            return bool(quirks) or doubled
        case Run():
            return event.apply or bool(event.troubles)
        case Others():
            return event.sims != 0
        case _:
            return False


def _lines(report: Report) -> list[str]:
    lines = [f"{report.run} {report.verdict}"]
    for pool in report.pools:
        if isinstance(pool.plan, Unread):
            lines.append(f"{pool.plan.pool.name} {pool.plan.reading}: {pool.plan.problem}")
            continue
        lines.append(f"{pool.plan.pool.name} {pool.verdict} {pool.plan.capacity} held {pool.plan.reasons}")
        lines += [
            f"  {each.action.verb} {each.action.device} {each.kind} {each.reason or ''}" for each in pool.outcomes
        ]
    return lines
