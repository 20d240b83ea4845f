"""What must hold in every world, whatever happens: held against what really was at the service, after every step."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Final, NamedTuple

from licensesync.model import Mode, Plan, Report
from licensesync.simulator.calls import Call
from licensesync.simulator.exchange import Asked, Reply, devices_in
from licensesync.simulator.quirks import ASSIGNED_DRIFTS, ASSIGNED_OFF_BY
from licensesync.simulator.sim_quirks import PENDING_COUNTS
from worlds.office import FOTA, SIM, Force, Office
from worlds.program import Program
from worlds.service import WRITES, Line, ThingSpace
from worlds.walk import Walk
from worlds.wanted import Wanted

DAY: Final = timedelta(hours=24)
MOST_REJECTED: Final = 2
ASSIGNS: Final = frozenset({Call.ASSIGN, Call.SIM_ASSIGN})
SIM_CALLS: Final = frozenset({Call.SIM_ASSIGN, Call.SIM_UNASSIGN})
COUNTING: Final = {FOTA: frozenset({Call.STATUS, Call.SUBSCRIPTION}), SIM: frozenset({Call.SKUS})}
REJECTED: Final = (b"Password.Invalid", b"invalid_client")
WHOLE: Final = "no write after a reading that was not whole"
ASSIGNED: Final = re.compile(rb'"licenseAssigned":(\d+)')
LOCKED_OUT: Final = b"Contact.Locked"


class Broken(AssertionError):
    """A law does not hold."""

    def __init__(self, law: str, how: str) -> None:
        super().__init__(f"{law}: {how}")
        self.law = law


@dataclass
class Going:
    """A run that goes on, as the service sees it."""

    program: Program
    run: str
    force: Force
    today: date
    removed_before: Counter[str]
    """How many licenses of each pool were taken in the 24 hours before it."""
    walk: Walk | None = None
    counted: dict[str, int] = field(default_factory=dict)
    """For each pool, how many licenses the service has told to be free, at most, since the last count of this kind."""
    recounted: dict[str, set[str]] = field(default_factory=dict)
    sent: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """By pool and verb, the devices for which something was asked."""
    observed: dict[str, int] = field(default_factory=dict)
    agreed: bool = False
    """Whether the service's count of SIM-Secure licenses, as it came last, is what the ledger knows."""

    def has_written(self, pool: str) -> bool:
        return any(of_pool == pool for of_pool, _ in self.sent)


class Laws:
    """Sees all that arrives at the service, and what the ledger says of it. Every method raises Broken."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.wanted = Wanted(office)
        self.thingspace: ThingSpace
        self.going: Going | None = None
        self.writes = 0
        self.figures: Counter[str] = Counter()
        self.states: list[dict[str, frozenset[str]]] = []
        """Who has held a license of each pool, one state after the other."""
        self.removals: list[tuple[datetime, str]] = []
        """When which pool lost a license by what a program asked for."""
        self.named: dict[str, set[str]] = {FOTA: set(), SIM: set()}
        """Devices that any inventory in force has named for a pool."""
        self.managed: dict[str, set[str]] = {FOTA: set(), SIM: set()}
        """Those of which a run has said to its end that it knows them."""
        self.broken: Broken | None = None
        self._met: dict[str, int] = {}
        """The number of the state of the world that each run met when it began."""
        self._free_then: dict[str, int] = {}
        self._told_free: dict[int, dict[str, int]] = {}
        """By answer, how many licenses were free when it was given: others may take them before it arrives."""
        self._seen_done: set[Row] = set()
        self._rejected: Counter[str] = Counter()
        self._password = 0

    def watch(self, thingspace: ThingSpace) -> None:
        self.thingspace = thingspace
        self.states.append(self._state())

    # Runs

    def begins(self, program: Program, run: str) -> None:
        self.figures[f"runs of {program.command}"] += 1
        self._law(self.going is None, "one run at a time", f"{run} begins while another goes on")
        now, force = self.office.clock.here, self.office.force
        self.going = Going(
            program, run, force, now.date(), Counter(pool for at, pool in self.removals if at > now - DAY)
        )
        self._met[run] = len(self.states) - 1
        if self.office.beginning.sim:
            self.going.observed[SIM] = self._sims_observed()
        for pool in self.named:
            self.named[pool] |= self.wanted.named(pool, force)

    def ends(self, report: Report | None) -> None:
        going, self.going = self.going, None
        self._measure(report)
        if going is not None:
            self._learn_managed(going, report)
            self._each_action_has_one_outcome(going)
            self._nothing_done_is_denied()
            self._commit_is_told(going)

    def _learn_managed(self, going: Going, report: Report | None) -> None:
        for each in report.pools if report else ():
            if isinstance(each.plan, Plan):
                self.managed[each.plan.pool.name] |= self.wanted.named(each.plan.pool.name, going.force)

    def _measure(self, report: Report | None) -> None:
        if report is None:
            self.figures["runs without an end"] += 1
            return
        for pool in report.pools:
            self.figures[f"pools {pool.verdict}"] += 1
            self.figures.update(f"{each.action.verb} {each.kind}" for each in pool.outcomes)
            self.figures.update(f"held {each.reason}" for each in getattr(pool.plan, "held", ()))

    # Requests

    def arrives(self, line: Line, call: Call | None, asked: Asked) -> None:
        going = self.going
        if call is Call.STATUS and going and _is_start(asked) and not going.has_written(FOTA):  # later ones only count
            going.walk = Walk(set(self.states[-1][FOTA]))
        self._free_then = {pool: self._free(pool) for pool in COUNTING}
        if call in WRITES:
            self.writes += 1
            self._write(line, call, asked)

    def is_answered(self, call: Call | None, reply: Reply) -> None:
        self._told_free[id(reply)] = self._free_then
        if call in {Call.REMOVE, Call.SIM_UNASSIGN}:
            self.took_effect()
        else:
            self.changed()
        self._login(call, reply)

    def is_delivered(self, call: Call | None, reply: Reply) -> None:
        going, free = self.going, self._told_free[id(reply)]
        if going is None or reply.status >= 300:
            return
        if call is Call.STATUS and going.walk and not going.has_written(FOTA):
            going.walk.comes(reply, self.states[-1][FOTA])
            going.observed[FOTA] = len(going.walk.seen)
        if call is Call.SKUS and not going.has_written(SIM):
            going.agreed = self._agrees(reply)
        for pool, calls in COUNTING.items():
            if call in calls:
                _counted(going, pool, free[pool])

    def changed(self) -> None:
        state = self._state()
        if state != self.states[-1]:
            self.states.append(state)

    def took_effect(self) -> None:
        before = self.states[-1]
        self.changed()
        for pool, holders in before.items():
            self._lost(pool, holders - self.states[-1][pool])

    def _state(self) -> dict[str, frozenset[str]]:
        licensed = frozenset(self.thingspace.account.licensed)
        return {FOTA: licensed, SIM: frozenset(map(str, self.thingspace.sku.licensed))}

    def _lost(self, pool: str, devices: frozenset[str]) -> None:
        self.removals += [(self.office.clock.here, pool)] * len(devices)

    def _free(self, pool: str) -> int:
        if pool == FOTA:
            account = self.thingspace.account
            off = self.thingspace.quirks[ASSIGNED_OFF_BY] + self.thingspace.quirks[ASSIGNED_DRIFTS] * len(
                self.office.fleet.imeis
            )
            return max(0, account.total - account.assigned + abs(off))
        sku = self.thingspace.sku
        return sku.available + (sku.on_their_way if self.thingspace.quirks[PENDING_COUNTS] == "free" else 0)

    # Laws

    def _write(self, line: Line, call: Call, asked: Asked) -> None:
        going = self.going
        self._law(
            going is not None and going.program is line.program, "one run at a time", f"{call} outside of the run"
        )
        if going is None:
            return
        self._nothing_done_is_denied()  # what this request will make true was not so before
        pool = SIM if call in SIM_CALLS else FOTA
        devices = self._devices(pool, asked)
        already = going.sent.setdefault((pool, "assign" if call in ASSIGNS else "remove"), set())
        fresh = devices - already
        already |= devices
        if pool == FOTA:
            self._reading_was_whole(going)
        elif not (going.has_written(SIM) and already != devices):
            self._law(going.agreed, WHOLE, "the service counts other SIM-Secure licenses than the ledger knows of")
        if call in ASSIGNS:
            self._is_desired(going, pool, devices)
            self._is_within_what_is_free(going, pool, fresh - self.states[-1][pool])
        else:
            self._may_be_removed(going, pool, devices)
            self._guard_lets_it_pass(going, pool, already)

    def _devices(self, pool: str, asked: Asked) -> set[str]:
        if pool == FOTA:
            return set(devices_in(asked.body))
        return {str(sim) for sim in self.thingspace.fleet.sims if sim.iccid.encode() in asked.body}

    def _reading_was_whole(self, going: Going) -> None:
        law = WHOLE
        if going.walk is None:
            self._law(False, law, "this run has not read the pool")
            return
        lacking, counts = going.walk.lacking, going.walk.counts
        lied = max(0, -self.thingspace.quirks[ASSIGNED_OFF_BY]) + (self.thingspace.quirks[ASSIGNED_DRIFTS] != 0)
        self._law(len(lacking) <= lied, law, f"{sorted(lacking)} held a license all the time, and were not seen")
        self._law(len(counts) <= 1, law, f"the service's count changed meanwhile: {counts}")

    def _is_desired(self, going: Going, pool: str, devices: set[str]) -> None:
        desired = self.wanted.desired(pool, going.force, going.today)
        self._law(devices <= desired.keys(), "only the desired are assigned", f"{sorted(devices - desired.keys())}")
        if pool == SIM and self.office.beginning.sim and self.office.beginning.sim.lifetime:
            self._law(not going.force.edit.bold, "no lifetime license without consent", f"{sorted(devices)}")

    def _may_be_removed(self, going: Going, pool: str, devices: set[str]) -> None:
        desired = self.wanted.desired(pool, going.force, going.today)
        kept = devices & desired.keys()
        self._law(not kept, "never a removal of a desired device", f"{sorted(kept)}")
        protected = {each for each in devices if self.wanted.is_protected(going.force, going.today, each)}
        self._law(not protected, "never a removal of a protected device", f"{sorted(protected)}")
        self._law(going.program.wish.removals, "--no-removals removes nothing", f"{sorted(devices)}")
        mode = self.wanted.mode(pool)
        self._law(mode is not Mode.ADD_ONLY, "add-only removes nothing", f"{sorted(devices)}")
        foreign = devices - self.named[pool] if mode is Mode.MANAGED else set()
        self._law(not foreign, "managed removes nobody foreign", f"{sorted(foreign)}")
        sim = self.office.beginning.sim
        self._law(
            not (pool == SIM and sim and sim.lifetime), "a lifetime license is never removed", f"{sorted(devices)}"
        )

    def _guard_lets_it_pass(self, going: Going, pool: str, devices: set[str]) -> None:
        limits = going.program._settings.pools[pool].limits
        observed = going.observed.get(pool, 0)
        most = max(5, floor(observed * Fraction(str(limits.percent)) / 100))
        asked = len(devices)
        of_day = going.removed_before[pool]
        if (
            asked <= min(limits.count, most)
            and asked + of_day <= limits.per_day
            and self.wanted.desired(pool, going.force, going.today)
        ):
            return
        approved = [
            each.devices for each in going.force.approved.values() if self.wanted.lasts(each.until, going.today)
        ]
        lifted = going.program.lifted
        approved += [lifted[2]] if lifted and lifted[0] == pool else []
        law = "no removals beyond what the guard or an approval has let pass, summed over 24 h"
        how = f"{asked} of {observed} after {of_day} in the past 24 h; {limits}"
        self._law(any(devices <= each for each in approved), law, how)

    def _is_within_what_is_free(self, going: Going, pool: str, fresh: set[str]) -> None:
        asked = going.recounted.setdefault(pool, set())
        asked |= fresh
        free = going.counted.get(pool, 0)
        self._law(
            len(asked) <= free, "never more assigned than free", f"{len(asked)} asked for, {free} told to be free"
        )

    def _login(self, call: Call | None, reply: Reply) -> None:
        if call not in {Call.TOKEN, Call.LOGIN}:
            return
        if self._password != self.office.passwords:
            self._password = self.office.passwords
            self._rejected.clear()
        self._law(LOCKED_OUT not in reply.body, "no more than two rejected logins in a row", "the user is locked")
        if reply.status < 300:
            self._rejected[call] = 0
        elif any(word in reply.body for word in REJECTED):
            self._rejected[call] += 1
            self.figures["logins rejected"] += 1
        self._law(
            self._rejected[call] <= MOST_REJECTED, "no more than two rejected logins in a row", f"{self._rejected}"
        )

    def _each_action_has_one_outcome(self, going: Going) -> None:
        rows = self._rows(going.run)
        kept = Counter((row.pool, row.verb, row.device) for row in rows)
        law = "every action has exactly one outcome"
        twice = [each for each, number in kept.items() if number > 1]
        self._law(not twice, law, f"more than one for {twice}")
        for (pool, verb), devices in going.sent.items():
            lacking = [each for each in devices if (pool, verb, each) not in kept]
            self._law(not lacking, law, f"none for {verb} of {lacking} from {pool}, which was sent")

    def _nothing_done_is_denied(self) -> None:
        """Whoever was assigned a license has held it at some time since that run began, and the other way round."""
        for row in self._rows():
            if row.outcome != "done" or row in self._seen_done:
                continue
            held, since = row.verb == "assign", self._met.get(row.run, 0)
            fits = any((row.device in state[row.pool]) is held for state in self.states[since:])
            self._law(fits, "no outcome `done` that the world denies", f"{row}")
            self._seen_done.add(row)

    def _commit_is_told(self, going: Going) -> None:
        ((told,),) = self.office.look('SELECT "commit" FROM runs WHERE run = ?', going.run)
        self._law(told == going.force.info.commit, "every run has its commit", f"{told} for {going.force.info.commit}")

    def _law(self, holds: object, law: str, how: str) -> None:
        """Raises Broken, and remembers it: who hears of it may be somebody who lives with anything."""
        if not holds:
            self.broken = self.broken or Broken(law, how)
            raise self.broken

    def _rows(self, run: str | None = None) -> list[Row]:
        query = (
            "SELECT run, pool, CASE WHEN iccid IS NULL THEN device ELSE device || '/' || iccid END,"
            " verb, outcome, reason"
            " FROM outcomes JOIN pool_runs ON pool_run_id = pool_runs.id JOIN runs ON run_id = runs.id"
            " WHERE run = ifnull(?, run)"
        )
        return [Row._make(row) for row in self.office.look(query, run)]

    def _agrees(self, reply: Reply) -> bool:
        """Whether as many SIM-Secure licenses are assigned as the ledger knows, give or take what is still open."""
        told, sim = ASSIGNED.search(reply.body), self.office.beginning.sim
        ((holders, found, still_open),) = self.office.look(
            "SELECT (SELECT count(*) FROM holders), (SELECT count(*) FROM found_holders),"
            " (SELECT count(DISTINCT device) FROM outcomes WHERE iccid IS NOT NULL"
            " AND outcome IN ('unknown', 'pending') AND reason IS NOT 'superseded')"
        )
        known = holders + max(0, (sim.others if sim else 0) - found)
        return told is not None and abs(int(told[1]) - known) <= still_open

    def sims_in_doubt(self) -> int:
        """Of how many devices the ledger does not know what became of a SIM-Secure request."""
        ((count,),) = self.office.look(
            "SELECT count(DISTINCT device) FROM outcomes"
            " WHERE iccid IS NOT NULL AND outcome IN ('unknown', 'pending') AND reason IS NOT 'superseded'"
        )
        return int(count)

    def _sims_observed(self) -> int:
        """How many devices hold a license, or perhaps do, by the ledger."""
        ((count,),) = self.office.look(
            "SELECT count(*) FROM (SELECT device FROM holders UNION SELECT device || '/' || iccid FROM outcomes"
            " WHERE iccid IS NOT NULL AND outcome IN ('unknown', 'pending'))"
        )
        return int(count)


class Row(NamedTuple):
    """What the ledger says of one action."""

    run: str
    pool: str
    device: str
    verb: str
    outcome: str
    reason: str | None


def _is_start(asked: Asked) -> bool:
    """Whether this asks for the first page."""
    cursor = asked.query.get("lastSeenDeviceId") or asked.path.rpartition("/index/")[2]
    return ("/index/" not in asked.path and "lastSeenDeviceId" not in asked.query) or not cursor.strip("0")


def _counted(going: Going, pool: str, free: int) -> None:
    """The program knows by now how many licenses are free; what it asks for from here on is for these."""
    if going.recounted.get(pool):
        going.counted[pool] = 0
    going.recounted[pool] = set()
    going.counted[pool] = max(going.counted.get(pool, 0), free)
