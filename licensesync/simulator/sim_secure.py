"""Answers the SIM-Secure calls that assign and unassign licenses of a SKU: refuses at once, or promises."""

import random
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from licensesync.simulator.bought import Deed, Sim, Sku
from licensesync.simulator.callbacks import Outbox, Parcel, Writer
from licensesync.simulator.calls import Call
from licensesync.simulator.exchange import Asked, Reply, Route, json_reply
from licensesync.simulator.faults import Fault, FaultError
from licensesync.simulator.promises import Outcome, Promise, Promises, Twist
from licensesync.simulator.quirks import (
    LATE_EFFECT,
    LOST_LATE_EFFECT,
    POISON_DEVICES,
    STRICT_DEVICES,
    UNKNOWN_DEVICES,
    Quirks,
)
from licensesync.simulator.refusals import Refusal
from licensesync.simulator.sim_quirks import SIM_BATCHES, SIM_ROOM, SIM_TAKES, TWISTS
from licensesync.simulator.sim_requests import sims_in, sku_in
from licensesync.simulator.state import Account, World
from licensesync.simulator.uws import account_named, object_in

_DEEDS = {Call.SIM_ASSIGN: Deed.ASSIGN, Call.SIM_UNASSIGN: Deed.UNASSIGN}


class SimSecure:
    """The SIM-Secure service, for whoever has passed the gate."""

    def __init__(self, world: World, quirks: Quirks, chance: random.Random) -> None:
        self._world, self._quirks, self._chance = world, quirks, chance
        self._promises, self._writer = Promises(), Writer(quirks, _of_its_own(chance))
        self.outbox = Outbox()

    @property
    def is_busy(self) -> bool:
        """Whether something is to be done or to be told."""
        return bool(len(self._promises) or len(self.outbox))

    def settle(self, now: float) -> None:
        """What was due until now is done, and its callbacks are written."""
        self._tell(self._promises.settle(now))

    def answer(self, route: Route, asked: Asked) -> Reply:
        """The id of a request that was accepted, which says nothing about its outcome."""
        try:
            return self._answer(route.call, asked)
        except FaultError as refused:
            code = refused.fault.code(self._quirks, self._chance)
            raise Refusal(400, code, refused.fault.text) from None

    def _answer(self, call: Call, asked: Asked) -> Reply:
        wanted, deed = object_in(asked), _DEEDS[call]
        account, number = account_named(self._world, wanted.get("accountName")), sku_in(wanted)
        devices = sims_in(wanted)
        sku = account.skus.get(number, Sku(0))
        self._check(deed, number, sku, devices)
        faults = self._faults(deed, account, sku, devices)
        self._refuse_whole(faults)
        late = self._quirks.happens(LOST_LATE_EFFECT, call)
        request = str(UUID(int=self._chance.getrandbits(128), version=4))
        for device, fault in zip(devices, faults, strict=True):
            twists = self._twists(call) - ({Twist.EARLY} if late else set())
            due = self._due(asked.now, twists, late=late)
            self._promises.make(Promise(account, number, deed, device, request, due, fault, twists))
        outcomes = self._promises.settle(asked.now)
        effect = tuple(str(outcome.promise.device) for outcome in outcomes if outcome.fault is None)
        reply = json_reply({"requestId": request}, effect=effect, lost=late)
        return replace(reply, first=self._tell(outcomes))

    def _due(self, now: float, twists: frozenset[Twist], *, late: bool) -> float:
        if Twist.EARLY in twists:
            return now
        return now + self._quirks[LATE_EFFECT if late else SIM_TAKES]

    def _check(self, deed: Deed, number: str, sku: Sku, devices: Sequence[Sim]) -> None:
        if any(device.imei in self._quirks[POISON_DEVICES] for device in devices):
            raise FaultError(Fault.ODD_IDENTIFIER)
        if deed is Deed.UNASSIGN and not sku.may_be_unassigned(number):
            raise FaultError(Fault.NOT_REVOCABLE)
        if deed is Deed.ASSIGN and self._in_need(sku, devices) > sku.available:
            raise FaultError(Fault.NO_LICENSE_LEFT)

    def _in_need(self, sku: Sku, devices: Sequence[Sim]) -> int:
        if self._quirks[SIM_ROOM] == "all":
            return len(devices)
        return len(set(devices) - sku.licensed - set(sku.pending))

    def _faults(self, deed: Deed, account: Account, sku: Sku, devices: Sequence[Sim]) -> list[Fault | None]:
        """What is wrong with each device before anything is done."""
        return [
            Fault.PENDING if device in devices[:at] else self._fault(deed, account, sku, device)
            for at, device in enumerate(devices)
        ]

    def _fault(self, deed: Deed, account: Account, sku: Sku, device: Sim) -> Fault | None:
        if device in sku.pending:
            return Fault.PENDING
        licensed = device in sku.licensed
        if not licensed and self._is_absent(account, device.imei):
            return Fault.NOT_FOUND
        if deed is Deed.ASSIGN:
            return Fault.ALREADY_LICENSED if licensed else None
        return None if licensed else Fault.NOT_LICENSED

    def _is_absent(self, account: Account, imei: str) -> bool:
        declared = imei in self._quirks[UNKNOWN_DEVICES] or not account.exists(imei)
        return declared or (self._quirks[STRICT_DEVICES] and not account.has_seen(imei))

    def _refuse_whole(self, faults: Sequence[Fault | None]) -> None:
        batches = self._quirks[SIM_BATCHES]
        batches = self._chance.choice(("per-device", "whole")) if batches == "mixed" else batches
        found = [fault for fault in faults if fault]
        if batches == "per-device" or not found:
            return
        alone = len(faults) == 1
        licensed = Fault.ALREADY_LICENSED in found or Fault.PENDING in found
        raise FaultError(Fault.PENDING if licensed and not alone else found[0])

    def _twists(self, call: Call) -> frozenset[Twist]:
        return frozenset(Twist(quirk.name) for quirk in TWISTS if self._quirks.happens(quirk, call))

    def _tell(self, outcomes: Sequence[Outcome]) -> tuple[Parcel, ...]:
        """Writes the callbacks, and gives back those that come before the answer."""
        first: list[Parcel] = []
        for outcome in self._writer.in_order(outcomes):
            parcel = self._writer.parcel(outcome)
            if Twist.EARLY in outcome.promise.twists:
                first.append(parcel)
            else:
                self.outbox.put(parcel, self._writer.due(outcome))
        return tuple(first)


def _of_its_own(chance: random.Random) -> random.Random:
    """Callbacks are written when they are due; a chance of their own keeps the answers of a seed what they are."""
    return random.Random(f"callbacks {chance.getstate()}")  # noqa: S311 - a day that can be repeated, not a secret
