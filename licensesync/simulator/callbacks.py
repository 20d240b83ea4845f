"""Writes callbacks: what each of them says, which others come along with it, and when they are due."""

import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count
from uuid import UUID

from licensesync.simulator.bought import Sim
from licensesync.simulator.faults import Fault
from licensesync.simulator.promises import Outcome, Twist
from licensesync.simulator.quirks import Quirks
from licensesync.simulator.sim_quirks import (
    CALLBACK_AFTER,
    CALLBACK_IDS,
    CALLBACK_LATENESS,
    CALLBACK_LETTER_CASE,
    CALLBACK_ORDER,
    UNASSIGN_ACTION,
)
from licensesync.simulator.state import Account

MOST_SENT = 4  # times, of one callback
OTHER_SKU = "SIMSec-IoT-Other"
_SPELLINGS = {
    "ICCID": ("ICCID", "Iccid", "iccId", "iccid"),
    "MDN": ("MDN", "Mdn", "mdn"),
    "IMEI": ("IMEI", "Imei", "imei"),
}
_TOLD_IDS = {"all": ("ICCID", "MDN", "IMEI"), "iccid-only": ("ICCID",), "imei-only": ("IMEI",)}


class Kind(StrEnum):
    """Why a callback is sent: the word about a device, or one of those that should not be there."""

    REAL = "real"
    DOUBLED = "doubled"
    FORGED = "forged"
    FOREIGN = "foreign"
    OTHER_SKU = "other-sku"
    CONTRADICTING = "contradicting"


@dataclass(frozen=True)
class Callback:
    """What is sent about a device, but for the count and the credentials that are added on the way."""

    account: Account
    request: str
    device: Sim
    kind: Kind
    status: str
    body: Mapping[str, object]
    count: int = 1


Parcel = Sequence[Callback]  # those that are sent one after another


class Outbox:
    """The parcels that are to be sent, in the order in which they are due."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Parcel]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._due)

    def put(self, parcel: Parcel, due: float) -> None:
        if parcel:
            heapq.heappush(self._due, (due, next(self._numbers), parcel))

    def until(self, now: float) -> Iterator[Parcel]:
        """Takes out what was due until now."""
        while self._due and self._due[0][0] <= now:
            yield heapq.heappop(self._due)[2]


class Writer:
    """Turns outcomes into parcels."""

    def __init__(self, quirks: Quirks, chance: random.Random) -> None:
        self._quirks, self._chance = quirks, chance

    def in_order(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes in the order in which they are told."""
        shuffled = self._quirks[CALLBACK_ORDER] == "shuffled"
        return self._chance.sample(outcomes, len(outcomes)) if shuffled else list(outcomes)

    def due(self, outcome: Outcome) -> float:
        """When it is to be told."""
        late = Twist.LATE in outcome.promise.twists
        return outcome.promise.due + self._quirks[CALLBACK_AFTER] + (self._quirks[CALLBACK_LATENESS] if late else 0)

    def parcel(self, outcome: Outcome) -> Parcel:
        """What is sent about one device: before the word itself what pretends to be it, after it what repeats it."""
        twists = outcome.promise.twists
        told = _contrary(outcome) if Twist.FALSE in twists else outcome
        before = self._astray(told)
        if Twist.LOST in twists:
            return before
        word = self._write(Kind.REAL, told)
        again = [replace(word, kind=Kind.DOUBLED)] if Twist.DOUBLED in twists else []
        after = [self._write(Kind.CONTRADICTING, _contrary(told))] if Twist.CONTRADICTS in twists else []
        return [*before, word, *again, *after]

    def _astray(self, told: Outcome) -> list[Callback]:
        twists, astray = told.promise.twists, list[Callback]()
        if Twist.FORGED in twists:
            astray.append(self._write(Kind.FORGED, _contrary(told)))
        if Twist.FOREIGN in twists:
            astray.append(self._write(Kind.FOREIGN, self._of_nobody(told)))
        if Twist.OTHER_SKU in twists:
            astray.append(self._write(Kind.OTHER_SKU, _of_another_sku(told)))
        return astray

    def _of_nobody(self, outcome: Outcome) -> Outcome:
        request = str(UUID(int=self._chance.getrandbits(128), version=4))
        return replace(outcome, promise=replace(outcome.promise, request=request))

    def _write(self, kind: Kind, told: Outcome) -> Callback:
        promise, status = told.promise, "Failed" if told.fault else "Success"
        body = {
            "requestId": promise.request,
            "deviceIds": self._ids(promise.device, with_mdn=told.fault is None),
            **(self._fault(told.fault) if told.fault else self._response(told)),
            "comment": "",
            "status": status,
        }
        return Callback(promise.account, promise.request, promise.device, kind, status, body)

    def _ids(self, device: Sim, *, with_mdn: bool) -> list[dict[str, str]]:
        ids = {"ICCID": device.iccid, "MDN": f"555{device.iccid[-8:-1]}", "IMEI": device.imei}
        told = _TOLD_IDS[self._quirks[CALLBACK_IDS]]
        return [{"id": ids[kind], "kind": self._spelt(kind)} for kind in told if with_mdn or kind != "MDN"]

    def _spelt(self, kind: str) -> str:
        return self._chance.choice(_SPELLINGS[kind]) if self._quirks[CALLBACK_LETTER_CASE] == "mixed" else kind

    def _response(self, told: Outcome) -> dict[str, object]:
        promise, action = told.promise, told.promise.deed.value
        if action == "Unassign":
            action = self._quirks[UNASSIGN_ACTION]
        response = {"accountName": promise.account.name, "skuNumber": promise.sku, "action": action}
        kept = {key: value for key, value in response.items() if value != "absent"}
        return {"deviceResponse": {"deviceSkuSubscriptionResponse": kept}}

    def _fault(self, fault: Fault) -> dict[str, object]:
        return {"faultResponse": {"faultcode": fault.code(self._quirks, self._chance), "faultstring": fault.text}}


def _contrary(outcome: Outcome) -> Outcome:
    return replace(outcome, fault=Fault.UNEXPECTED if outcome.fault is None else None)


def _of_another_sku(outcome: Outcome) -> Outcome:
    """A success, for only that names its SKU."""
    others = [number for number in outcome.promise.account.skus if number != outcome.promise.sku]
    return Outcome(replace(outcome.promise, sku=others[0] if others else OTHER_SKU), None)
