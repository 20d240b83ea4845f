"""Many seeds of misfortune with SIM-Secure promises: whatever was lost, forged or killed, both sides agree at last.

Each seed is an account at a simulator, an inventory that is edited, and runs and services that are killed (`kill -9`)
at moments of chance, while answers and callbacks go astray. Then all is kind again.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from fleets import CREDENTIALS, Ended, Fleet, fleet_of, some_of
from ledgers import UNLIMITED, query
from promise_worlds import (
    HEARD,
    SKU_NUMBER,
    Heard,
    Row,
    free_port,
    holders_of,
    inventory,
    ledger_of,
    names,
    rows_of,
    settings,
    sims,
    sku_of,
)
from warm import Program

from licensesync.simulator.bought import Deed, Sim, Sku
from licensesync.simulator.quirks import find

AT_ONCE: Final = 4
"""Seeds that are played at the same time."""

DEVICES: Final = 30
TIMEOUT: Final = 1.0
"""Seconds after which a promise is overdue."""

LONGEST: Final = 3.0
"""Seconds after which a program is killed that makes no more requests."""

PATIENCE: Final = 60.0
IN_VAIN: Final = 3
"""So many runs in a row that settle nothing and change nothing: it will never come to an end."""

OPEN: Final = {"pending", "unknown"}
DEEDS: Final = {"assign": Deed.ASSIGN, "remove": Deed.UNASSIGN}
WRITES: Final = "sim-assign+sim-unassign"
FOTA: Final = '  fota:\n    product: fota\n    account: "0642233522-00001"\n    mode: full\n' + UNLIMITED

Chance = random.Random
End = tuple[str, str]
"""A request and a device of it."""


def _some(most: float, where: str = "") -> Callable[[Chance], str]:
    return lambda chance: f"{chance.uniform(0.02, most):.3f}{where}"


def _one(*words: str) -> Callable[[Chance], str]:
    return lambda chance: chance.choice(words)


MISFORTUNES: Final[dict[str, Callable[[Chance], str]]] = {
    "callback-lost": _some(0.5),
    "callback-doubled": _some(0.5),
    "callback-late": _some(0.5),
    "callback-lateness": _one("0.3", "0.8", "1.2", "2"),
    "callback-early": _some(0.5),
    "callback-order": _one("shuffled"),
    "callback-failed": _some(0.3),
    "callback-contradicts": _some(0.3),
    "callback-forged": _some(0.6),
    "callback-foreign": _some(0.5),
    "callback-other-sku": _some(0.5),
    "callback-letter-case": _one("mixed"),
    "callback-ids": _one("iccid-only", "imei-only"),
    "callback-after": _one("0", "0.1", "0.4"),
    "unassign-action": _one("UnAssign", "Remove", "absent"),
    "sim-batches": _one("whole", "mixed"),
    "sim-room": _one("new"),
    "sim-takes": _one("0.1", "0.4", "1.3"),
    "sim-error-prefix": _one("plain", "mixed"),
    "pending-counts": _one("assigned", "free"),
    "no-callbacks": _one("list"),
    "lost-after-effect": _some(0.3, f"@{WRITES}"),
    "lost-before-effect": _some(0.2, f"@{WRITES}"),
    "error-503": _some(0.2, f"@{WRITES}+skus"),
    "error-500-after-effect": _some(0.3, f"@{WRITES}"),
}

EVERYWHERE: Final = {"callback-forged"}


@dataclass
class Figures:
    """What has happened in all seeds together."""

    kills: int = 0
    runs: int = 0
    last_runs: Counter[int] = field(default_factory=Counter)
    callbacks: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    short: int = 0
    foretold: int = 0
    misled: int = 0

    def add(self, story: Story) -> None:
        self.kills += story.kills
        self.runs += story.runs
        self.last_runs[story.last_runs] += 1
        self.callbacks += Counter(each.kind for each in story.fleet.simulator.callbacks)
        heard = [each for each in story.fleet.simulator.callbacks if each.answered == 200]
        self.answered += Counter(each.kind for each in heard)
        self.changes += len(story.sku.history)
        self.short += len(story.wanted) > story.room
        self.foretold += story.foretold is not None
        self.misled += bool(story._lies()[1])


@dataclass
class Story:
    """One seed: its fleet, its inventory, and all that has happened."""

    seed: int
    fleet: Fleet
    heard: Heard
    devices: list[Sim]
    others: int
    pools: str
    chance: Chance = field(init=False)
    priorities: dict[Sim, int] = field(default_factory=dict)
    """The devices of the inventory, in its order."""
    came: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    kills: int = 0
    runs: int = 0
    last_runs: int = 0
    foretold: set[str] | None = None

    def __post_init__(self) -> None:
        self.chance = Chance(f"story {self.seed}")
        self.begun = time.monotonic()

    @property
    def sku(self) -> Sku:
        return sku_of(self.fleet)

    @property
    def room(self) -> int:
        """How many licenses there are for us."""
        return self.sku.purchased - self.others

    @property
    def wanted(self) -> list[Sim]:
        """The devices of the inventory: who is served first is first."""
        return sorted(self.priorities, key=lambda device: -self.priorities[device])

    def say(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self.begun:6.2f} {what}")

    # The inventory

    def edit(self) -> None:
        """Some devices come, some leave, some get another priority; somebody is always wanted."""
        before = set(self.priorities)
        for device in self.chance.sample(self.devices, self.chance.randrange(1, DEVICES // 2)):
            if device in self.priorities and self.chance.random() < 0.7:
                del self.priorities[device]
            else:
                self.priorities[device] = self.chance.choice([0, 0, 5, 10])
        if not self.priorities:
            self.priorities[self.devices[0]] = 0
        after = set(self.priorities)
        self.came.update(names(after - before))
        self.left.update(names(before - after))
        by_priority: dict[int, list[Sim]] = {}
        for device, priority in self.priorities.items():
            by_priority.setdefault(priority, []).append(device)
        self.priorities = {device: priority for priority, group in by_priority.items() for device in group}
        inventory(self.fleet, by_priority, self.pools)
        self.say(f"the inventory has {len(after)} devices: {len(after - before)} came, {len(before - after)} left")

    # Fortune

    def be_unkind(self) -> None:
        """Each misfortune is there or not; some devices are unknown or locked."""
        chosen = {
            name: draw(self.chance) if name in EVERYWHERE or self.chance.random() < 0.45 else find(name).kind
            for name, draw in MISFORTUNES.items()
        }
        chosen["callback-retry-after"] = "0.2"
        odd = self.chance.choice([0, 0, 1, 3]) if self.pools == "sim" else 0  # FOTA waits a day for such a device
        unknown, locked = (self.chance.sample(self.devices, odd) for _ in range(2))
        chosen["unknown-devices"] = ",".join(device.imei for device in unknown) or "off"
        self.fleet.account.locked.clear()
        self.fleet.account.locked.update(device.imei for device in locked)
        for name, value in chosen.items():
            self.fleet.simulator.quirks.set(name, value)
        self.say(f"unkind: { {name: value for name, value in chosen.items() if value != find(name).kind} }")

    def be_kind(self) -> None:
        for name in (*MISFORTUNES, "unknown-devices"):
            self.fleet.simulator.quirks.set(name, find(name).kind)
        self.fleet.account.locked.clear()
        self.say("all is kind from here on")

    # Runs

    async def play(self) -> None:
        """A few rounds of misfortune, each killed or ended before the next."""
        for _ in range(self.chance.randrange(2, 5)):
            self.be_unkind()
            self.edit()
            await self._round()

    async def _round(self) -> None:
        serve, wait, apply = ["serve"], ["apply", "--yes", "--wait", "1s"], ["apply", "--yes"]
        first, *beside = self.chance.choice([[serve], [serve], [wait], [wait], [apply], [serve, wait]])
        running = [await self.start(*first)]
        if beside:
            await self._asked(1, running[0][1])  # it listens: whoever comes later leaves that to it
            running += [await self.start(*arguments) for arguments in beside]
        await asyncio.gather(*(self._until_killed(*each) for each in running))

    async def _until_killed(self, program: Program, ended: asyncio.Task[Ended], arguments: Sequence[str]) -> None:
        """A service is always killed; a run is killed, or comes to its end before that."""
        if arguments[0] == "serve" or self.chance.random() < 0.7:
            await self._moment(ended, 2 * TIMEOUT if arguments[0] == "serve" else TIMEOUT)
            if program.returncode is None:
                program.kill()
        self._learn(await ended, arguments)

    async def _moment(self, ended: asyncio.Task[Ended], longest: float) -> None:
        """Once the simulator has seen so many requests more, and a little later."""
        requests, after = self.chance.randrange(1, 16), self.chance.uniform(0, longest)
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST):
                await self._asked(requests, ended)
        await asyncio.wait({ended}, timeout=after)

    async def _asked(self, requests: int, ended: asyncio.Task[Ended]) -> None:
        """The simulator has seen so many requests more, or whoever makes them has ended."""
        until = len(self.fleet.simulator.requests) + requests
        while len(self.fleet.simulator.requests) < until and not ended.done():
            await asyncio.sleep(0.005)

    async def start(self, *arguments: str) -> tuple[Program, asyncio.Task[Ended], Sequence[str]]:
        self.runs += 1
        program = await self.fleet.start(*arguments, environ=HEARD)
        self.say(f"{' '.join(arguments)} is started ({program.pid})")
        return program, asyncio.create_task(_ended(program)), arguments

    async def run(self, *arguments: str) -> Ended:
        """Run it to its end."""
        _, ended, arguments_ = await self.start(*arguments)
        self._learn(await ended, arguments_)
        return ended.result()

    def _learn(self, ended: Ended, arguments: Sequence[str]) -> None:
        self.kills += ended.code == -9
        what = "is killed" if ended.code == -9 else f"ends with {ended.code}"
        self.say(f"{' '.join(arguments)} {what}: {_digest(ended)}")
        assert ended.code in {-9, 0, 2, 4, 5, 6}, ended.err[-3000:]
        written = f"{ended.out}{ended.err}"
        assert not any(secret in written for secret in (*HEARD.values(), *CREDENTIALS.values()))
        assert not _mistakes(ended.err.splitlines())

    # The end

    async def end(self) -> None:
        """All that is under way arrives, quarantine ends, and runs settle what was left open."""
        self.be_kind()
        if self.chance.random() < 0.5:
            self.edit()
        await self.drained()
        self.foretold = self._foretell()
        self.say(f"at the service {sorted(names(self.sku.licensed))}; open {sorted(self._doubtful())}")
        await self._release()
        in_vain, stands = 0, self._stands()
        while in_vain < IN_VAIN:
            self.last_runs += 1
            ended = await self.run("apply", "--yes", "--wait", "5s", "--format", "json")
            if ended.code == 0 and self._is_over(ended.document):
                return
            before, stands = stands, self._stands()
            in_vain = in_vain + 1 if stands == before else 0
        self.say("it never came to an end")

    def _stands(self) -> tuple[int, list[int]]:
        """How far it is: what was done at the service, and what is left open."""
        return len(self.sku.history), [row.id for row in rows_of(self.fleet.folder) if _is_open(row)]

    async def drained(self) -> None:
        """Nothing is pending at the service, and no callback is on its way."""
        post = self.fleet.simulator.post
        async with asyncio.timeout(PATIENCE):
            while post.service.sim_secure.is_busy or post._under_way:
                await asyncio.sleep(0.02)

    async def _release(self) -> None:
        devices = query(
            ledger_of(self.fleet.folder), "SELECT DISTINCT device FROM hard_failures WHERE until IS NOT NULL"
        )
        if devices:
            ended = await self.run("quarantine", "release", *(device.partition("/")[0] for (device,) in devices))
            assert ended.code == 0, ended.err

    def _is_over(self, report: Any) -> bool:
        """That run had nothing to do, and nothing of earlier ones is open."""
        nothing_sent = not any(pool["outcomes"] for pool in report["pools"])
        return nothing_sent and not any(_is_open(row) for row in rows_of(self.fleet.folder))

    def _doubtful(self) -> set[str]:
        return {row.device for row in rows_of(self.fleet.folder) if _is_open(row)}

    def _foretell(self) -> set[str] | None:
        """Who is to hold a license at the end; None where a callback that was kept may still change what is open.

        Who holds one keeps it, and the rest goes by priority and order, to whomever it was promised before.
        """
        rows = rows_of(self.fleet.folder)
        requests = {row.request for row in rows if row.request}
        if any(
            request in requests
            for (request,) in query(ledger_of(self.fleet.folder), "SELECT request FROM stray_callbacks")
        ):
            return None
        wanted = list(map(str, self.wanted))
        served = {each for each in wanted if each in names(self.sku.licensed)}
        waiting = [each for each in wanted if each not in served]
        return served | set(waiting[: max(0, self.room - len(served))])

    # What must hold

    async def check(self) -> None:
        """All must hold; but who was told only that something is so which is not (by the service itself, whose true
        word was lost in a kill) cannot know better.
        """
        self._check_history()
        self._check_forgeries()
        believed, alone = self._lies()
        if not alone:
            self._check_agreement()
            await self._check_plan()
            self._check_rows(believed)
        assert not [path.name for path in self.fleet.folder.iterdir() if _holds_a_secret(path)]

    def _check_agreement(self) -> None:
        """Inventory, world and ledger agree, within what was bought."""
        licensed, wanted = names(self.sku.licensed), names(self.wanted)
        assert licensed <= wanted, f"not wanted: {licensed - wanted}"
        assert len(licensed) == min(len(wanted), self.room), f"{len(licensed)} of {len(wanted)} in {self.room}"
        holders, doubtful = holders_of(self.fleet.folder), self._doubtful()
        assert holders - doubtful <= licensed <= holders | doubtful
        if doubtful:
            assert len(licensed) == self.room, "while a license is free, the doubtful are asked for again"
        if self.foretold is not None:
            assert licensed == self.foretold, f"in vain {self.foretold - licensed}, instead {licensed - self.foretold}"
        if "fota" in self.pools:
            assert self.fleet.holders == {device.imei for device in self.wanted}

    def _check_history(self) -> None:
        """No device was assigned or removed more often than people have wanted that."""
        per_device: dict[str, list[Deed]] = {}
        for change in self.sku.history:
            per_device.setdefault(str(change.device), []).append(change.deed)
        for device, deeds in per_device.items():
            assert deeds[0] is Deed.ASSIGN
            assert all(one is not next_one for one, next_one in pairwise(deeds)), f"{device}: {deeds}"
            assert deeds.count(Deed.ASSIGN) <= self.came[device], (
                f"{device} was assigned {deeds.count(Deed.ASSIGN)} times"
            )
            assert deeds.count(Deed.UNASSIGN) <= self.left[device], f"{device} was removed too often"

    def _check_rows(self, believed: set[End]) -> None:
        """What the ledger says of each request is what the world has done for it."""
        rows = rows_of(self.fleet.folder)
        done = {(change.request, str(change.device)): change.deed for change in self.sku.history}
        spared = {device for _, device in believed}
        wrong = [row for row in rows if row.device not in spared and not _is_true(row, rows, done)]
        assert not wrong, f"the world says otherwise: {wrong}"
        kept = {(row.request, row.device) for row in rows}
        unnamed = Counter((end[1], deed) for end, deed in done.items() if end not in kept and end[1] not in spared)
        nameless = [row for row in rows if not row.request and row.outcome in {"done", "unknown"}]
        proved = Counter((row.device, DEEDS[row.verb]) for row in nameless)
        assert unnamed <= proved, f"the ledger does not know of {unnamed - proved}"
        assert query(ledger_of(self.fleet.folder), "PRAGMA integrity_check") == [("ok",)]

    def _lies(self) -> tuple[set[End], set[End]]:
        """The ends of which a contradicting word has arrived, before or after the true one, and where it came alone."""
        heard: dict[str, set[End]] = {"true": set(), "contradicting": set()}
        for each in self.fleet.simulator.callbacks.of("real", "doubled", "contradicting"):
            if each.answered == 200:
                heard["contradicting" if each.kind == "contradicting" else "true"].add((each.request, each.device))
        return heard["contradicting"], heard["contradicting"] - heard["true"]

    def _check_forgeries(self) -> None:
        """Whoever has forged a callback got the answer that everybody gets."""
        forged = self.fleet.simulator.callbacks.of("forged", "foreign", "other-sku")
        assert {each.answered for each in forged} <= {200, None}

    async def _check_plan(self) -> None:
        ended = await self.run("plan", "--detailed-exitcode", "--format", "json")
        assert ended.code == 0, ended.out
        assert {pool["reading"] for pool in ended.document["pools"]} == {"whole"}
        assert ended.document["verdict"] == "in-step"


def _is_open(row: Row) -> bool:
    return row.outcome in OPEN and not _is_superseded(row)


def _is_superseded(row: Row) -> bool:
    """How it ended, nobody can tell any more, and the row says so."""
    return (row.outcome, row.reason) == ("unknown", "superseded")


def _is_true(row: Row, rows: Sequence[Row], done: Mapping[End, Deed]) -> bool:
    """Whether a row tells what its request did: done for what was done, or was so before; else that nothing was."""
    if row.request is None or _is_superseded(row) or _is_open(row):
        return True
    deed = done.get((row.request, row.device))
    if deed is not None:
        return row.outcome == "done" and DEEDS[row.verb] is deed
    later = [each for each in rows if each.id > row.id and (each.device, each.verb) == (row.device, row.verb)]
    return row.outcome != "done" or row.reason is not None or any(each.reason == "already" for each in later)


def _mistakes(lines: Sequence[str]) -> list[str]:
    """What was written for something that no misfortune explains.

    A connection that comes in the moment in which the listener closes is dropped by Python with a warning
    (https://github.com/python/cpython/issues/109564).
    """
    errors = [line for line in lines if '"level":"error"' in line and '"event":"pool.read"' not in line]
    ends = [line for before, line in pairwise(lines) if "Traceback" in line and "Exception ignored in" not in before]
    return errors + ends


def _holds_a_secret(path: Path) -> bool:
    return path.is_file() and any(secret.encode() in path.read_bytes() for secret in HEARD.values())


async def _ended(program: Program) -> Ended:
    out, err = await program.communicate()
    return Ended(program.returncode or 0, out.decode(), err.decode())


def _digest(ended: Ended) -> str:
    """The events of a run in short."""
    told: list[str] = []
    for line in ended.err.splitlines():
        if not line.startswith("{") or not line.endswith("}"):
            told.append(line[:300])
            continue
        event = json.loads(line)
        if event["event"] in QUIET:
            continue
        words = [f"{key}={event[key]}" for key in TELLING if event.get(key) not in (None, "", "sim", {})]
        told.append(f"{event.get('timestamp', '')[17:23]} {event['event']} {' '.join(words)}")
    return "".join(f"\n         {each}" for each in told)


QUIET: Final = {"run.started", "inventory.loaded", "serve.started", "callbacks.listening"}
TELLING: Final = (
    *("reception", "pool", "reading", "verdict", "devices", "assigned", "free", "assign", "remove", "held", "verb"),
    *("device", "outcome", "reason", "count", "problem", "exit"),
)


@asynccontextmanager
async def _begun(seed: int, folder: Path) -> AsyncIterator[Story]:
    """An account with licenses for all or for some of the devices; nobody of ours has one yet."""
    folder.mkdir()
    chance = Chance(f"world {seed}")
    others = chance.choice([0, 0, 3])
    room = chance.choice([DEVICES, *range(3, 25)])
    with_fota = chance.random() < 0.2
    async with fleet_of(folder, seed=seed, page_size=20) as fleet:
        fleet.account.skus[SKU_NUMBER] = Sku(room + others, others)
        heard = Heard(free_port())
        settings(
            fleet,
            heard,
            batch_size=chance.randrange(3, 21),
            others=others,
            every="1s",
            more=FOTA if with_fota else "",
        )
        devices = sims(0, DEVICES)
        yield Story(seed, fleet, heard, devices, others, "fota, sim" if with_fota else "sim")


async def _played(seed: int, folder: Path, room: asyncio.Semaphore, figures: Figures) -> None:
    async with room, _begun(seed, folder) as story:
        try:
            await story.play()
            await story.end()
            await story.check()
        except Exception as error:
            error.add_note("\n".join([f"seed {seed}:", *story.told]))
            raise
        figures.add(story)


def _failures(played: Iterable[asyncio.Task[None]]) -> list[BaseException]:
    return [error for each in played if (error := each.exception())]


SEEDS: Final = [range(4), *(range(start, start + 28) for start in range(4, 200, 28))]


@pytest.mark.parametrize("seeds", some_of(SEEDS, 1), ids=lambda seeds: f"seeds-{seeds[0]}-to-{seeds[-1]}")
async def test_after_any_misfortunes_and_kills_ledger_service_and_inventory_agree(tmp_path: Path, seeds: range) -> None:
    """Several seeds at once; one that fails does not stop the others."""
    room, figures = asyncio.Semaphore(AT_ONCE), Figures()
    played = [asyncio.create_task(_played(seed, tmp_path / f"seed-{seed}", room, figures)) for seed in seeds]
    await asyncio.wait(played)
    print(figures)
    failures = _failures(played)
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(seeds)} seeds", failures)
    assert figures.kills >= len(seeds) / 2
    assert figures.answered["forged"] > 0
