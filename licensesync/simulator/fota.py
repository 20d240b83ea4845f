"""Answers the FOTA calls: license status, assign, remove, subscription, device list and look-up."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from licensesync.simulator import refusals
from licensesync.simulator.answers import (
    PROTOCOL_FILTERS,
    Fields,
    Page,
    device_page,
    device_row,
    fields_of,
    protocol_of,
    write_answer,
    write_row,
    written_time,
)
from licensesync.simulator.calls import Call
from licensesync.simulator.exchange import Asked, Reply, Route, json_reply
from licensesync.simulator.imeis import imei_of, is_imei
from licensesync.simulator.pages import OTHER_ACCOUNT, Pages, check_cursor
from licensesync.simulator.quirks import (
    ACCOUNT_TROUBLE,
    CURSOR_CHECK,
    DEVCE_LIST,
    EXTRA_ROWS,
    FALSE_FAILURE,
    FALSE_SUCCESS,
    FILL_ORDER,
    FIRMWARE_ALIAS,
    LATE_EFFECT,
    LIST_LAG,
    LOOKUP_CALL,
    LOOKUP_FILTER,
    LOOKUP_LAG,
    LOOKUP_ROWS_LOST,
    LOST_LATE_EFFECT,
    MALFORMED_ANSWER,
    MAX_DEVICES,
    MISSING_CALL,
    ODD_STATUS,
    OTHERS_BEFORE_WRITE,
    OTHERS_IN_WALK,
    OVER_ALLOCATION,
    PAGE_SIZE,
    PENDING_TAKES,
    POISON_DEVICES,
    PURCHASE_TYPE,
    ROWS_CONTRADICT,
    STATUS_FORM,
    STRICT_DEVICES,
    SUBSCRIPTION_CALL,
    SUBSCRIPTION_OFF_BY,
    UNKNOWN_ANSWER,
    UNKNOWN_DEVICES,
    UPGRADE_PENDING,
    WRITE_ROWS_LOST,
    WRONG_ACCOUNT,
    Quirks,
)
from licensesync.simulator.state import Account, Circumstances, End, Verb, Verdict, World, is_account_name

LOOKUP_CAP = 1000  # devices in one look-up
_OTHERS_BODY = 99_000_000_000_000  # devices that somebody else brings along
_ODD_STATUSES = ("Accepted", "LicenseAssignQueued", "Deferred", "")
_EFFECT_OF = {Verb.ASSIGN: End.ASSIGNED, Verb.REMOVE: End.REMOVED}
_EFFECTS = frozenset(_EFFECT_OF.values())
_PURCHASES = {
    "mrc": "TS-HFOTA-MRC",
    "both": "TS-HFOTA-EVNT,TS-HFOTA-MRC",
    "bundle": "TS-HFOTA-MRC,TSS-IOT-INTLG-CUSTOM-SWMT",
    "event": "TS-HFOTA-EVNT",
    "event-refused": "TS-HFOTA-EVNT",
}


class Fota:
    """The software management service, for whoever has passed the gate."""

    def __init__(self, world: World, quirks: Quirks, chance: random.Random, start: float) -> None:
        self._world, self._quirks, self._chance = world, quirks, chance
        self._pages = Pages(quirks, chance, start)
        self._others = 0

    def exists(self, route: Route) -> bool:
        """Whether there is such a call today."""
        status_form = self._quirks[STATUS_FORM]
        if route.alias and not self._quirks[FIRMWARE_ALIAS]:
            return False
        if route.call is Call.STATUS and route.version == "v1":
            return route.form == "path"
        return route.call is not Call.STATUS or status_form in ("both", route.form)

    def missing(self) -> refusals.Refusal:
        return refusals.missing_call(as_xml=self._quirks[MISSING_CALL] == "404")

    def answer(self, route: Route, asked: Asked) -> Reply:
        account = self._account(route.account)
        match route.call:
            case Call.STATUS:
                return self._status(account, route, asked)
            case Call.ASSIGN:
                return self._write(Verb.ASSIGN, account, route, asked)
            case Call.REMOVE:
                return self._write(Verb.REMOVE, account, route, asked)
            case Call.SUBSCRIPTION:
                return self._subscription(account, route, asked)
            case Call.DEVICES:
                return self._devices(account, route, asked)
            case _:
                return self._look_up(account, asked)

    # --- who and how many

    def _account(self, name: str) -> Account:
        trouble = self._quirks[ACCOUNT_TROUBLE]
        if not is_account_name(name):
            raise refusals.invalid("Invalid account name format")
        if name not in self._world.accounts or trouble == "not-found":
            raise refusals.invalid(f"UWS verification failure (Could not find account {name})")
        match trouble:
            case "inactive":
                raise refusals.invalid("Inactive account")
            case "forbidden":
                raise refusals.Refusal(403, "INVALID_ACCOUNT", "The user has no access to this account")
            case "broken":
                raise refusals.Refusal(500, "INACTIVE_ACCOUNT", "Inactive account")
            case _:
                return self._world.accounts[name]

    def _has_licenses(self) -> bool:
        return not self._quirks[PURCHASE_TYPE].startswith("event")

    def _total(self, account: Account) -> int:
        return account.total if self._has_licenses() else 0

    def _refuse_event_accounts(self) -> None:
        if self._quirks[PURCHASE_TYPE] == "event-refused":
            raise refusals.invalid("The account has no monthly license subscription")

    def _is_absent(self, account: Account, device: str) -> bool:
        declared = device in self._quirks[UNKNOWN_DEVICES] or not account.exists(device)
        return declared or (self._quirks[STRICT_DEVICES] and not account.has_seen(device))

    # --- reading

    def _status(self, account: Account, route: Route, asked: Asked) -> Reply:
        self._refuse_event_accounts()
        listed = account.as_of(asked.now - self._quirks[LIST_LAG]) if self._quirks[LIST_LAG] else account
        answer = self._pages.answer(listed, route, self._total(account))
        others = self._quirks[OTHERS_IN_WALK]
        if others.after and self._pages.pages_so_far(account) == others.after:
            self._meddle(account, others.change, asked.now)
            if not others.again:
                self._quirks.once(OTHERS_IN_WALK)
        return json_reply(answer)

    def _subscription(self, account: Account, route: Route, asked: Asked) -> Reply:
        _refuse_if_down(self._quirks[SUBSCRIPTION_CALL])
        if self._quirks[SUBSCRIPTION_CALL] == "fieldless":
            return json_reply({})
        used = account.assigned + self._quirks[SUBSCRIPTION_OFF_BY] if self._has_licenses() else 0
        form = fields_of(self._quirks, self._chance, route.version).times
        return json_reply(
            {
                "accountName": self._name(account, Call.SUBSCRIPTION),
                "purchaseType": _PURCHASES[self._quirks[PURCHASE_TYPE]],
                "licenseCount": self._total(account),
                "licenseUsedCount": max(used, 0),
                "updateTime": written_time(asked.now, "go" if form == "go" else "iso"),
            }
        )

    # --- writing

    def _write(self, verb: Verb, account: Account, route: Route, asked: Asked) -> Reply:
        self._refuse_event_accounts()
        devices = self._devices_of(asked, lenient=self._quirks[DEVCE_LIST])
        self._check_batch(account, devices)
        if change := self._quirks[OTHERS_BEFORE_WRITE]:
            self._meddle(account, change, asked.now)
            self._quirks.once(OTHERS_BEFORE_WRITE)
        late = self._quirks.happens(LOST_LATE_EFFECT, route.call)
        found = self._circumstances(verb, account, devices, asked.now, late=late)
        if verb is Verb.ASSIGN and self._quirks[OVER_ALLOCATION] == "whole":
            self._check_room(account, devices, found.total)
        verdicts = account.write(verb, devices, self._order(devices), found)
        fields = fields_of(self._quirks, self._chance, route.version)
        rows = self._rows(verb, verdicts, fields)
        return json_reply(
            write_answer(self._name(account, route.call), found.total, account.assigned, rows, fields),
            effect=tuple(v.device for v in verdicts if v.end in _EFFECTS and v.device not in found.feigned),
            lost=late,
        )

    def _name(self, account: Account, call: Call) -> str:
        return OTHER_ACCOUNT if self._quirks.happens(WRONG_ACCOUNT, call) else account.name

    def _check_batch(self, account: Account, devices: Sequence[str]) -> None:
        most = self._quirks[MAX_DEVICES]
        if most and len(devices) > most:
            raise refusals.uws(
                "INPUT_INVALID.NumberofDevices", f"No more than {most} devices are allowed in a request."
            )
        malformed = self._quirks[MALFORMED_ANSWER] == "whole" and not all(map(is_imei, devices))
        if malformed or self._quirks[POISON_DEVICES].intersection(devices):
            raise refusals.invalid("Invalid device id format")
        if self._quirks[UNKNOWN_ANSWER] == "whole" and any(self._is_absent(account, device) for device in devices):
            raise refusals.invalid("Device Not Found. ")

    def _check_room(self, account: Account, devices: Sequence[str], total: int) -> None:
        new = {device for device in devices if device not in account.licensed}
        if len(new) > total - account.assigned:
            raise refusals.invalid("Not enough licenses available for the account")

    def _circumstances(
        self, verb: Verb, account: Account, devices: Sequence[str], now: float, *, late: bool
    ) -> Circumstances:
        takes = self._quirks[LATE_EFFECT] if late else self._quirks[PENDING_TAKES]
        call = Call(verb.value)
        postponed = devices if late else filter(lambda _: self._quirks.happens(UPGRADE_PENDING, call), devices)
        return Circumstances(
            now,
            self._total(account),
            lambda device: self._is_absent(account, device),
            frozenset(postponed),
            None if takes is None else now + takes,
            frozenset(device for device in devices if self._quirks.happens(FALSE_SUCCESS, call)),
        )

    def _order(self, devices: Sequence[str]) -> Sequence[int]:
        places = list(range(len(devices)))
        if self._quirks[FILL_ORDER] == "seeded":
            self._chance.shuffle(places)
        return places

    def _rows(self, verb: Verb, verdicts: Sequence[Verdict], fields: Fields) -> list[Mapping[str, object]]:
        call = Call(verb.value)
        extra = [Verdict(self._stranger(), End.NOT_FOUND, 0.0, 0.0) for _ in range(self._quirks[EXTRA_ROWS])]
        rows: list[Mapping[str, object]] = []
        for verdict in (*verdicts, *extra):
            told = replace(verdict, end=End.LOCKED) if self._is_denied(verdict, call) else verdict
            row = write_row(verb, told, fields, self._quirks)
            if self._quirks.happens(ODD_STATUS, call):
                row |= {key: self._chance.choice(_ODD_STATUSES) for key in row if key == "status"}
            if not self._quirks.happens(WRITE_ROWS_LOST, call):
                rows.append(row)
            if self._quirks.happens(ROWS_CONTRADICT, call):
                opposite = End.LOCKED if told.end in _EFFECTS else _EFFECT_OF[verb]
                place = len(rows) - self._chance.randrange(2)
                rows.insert(place, write_row(verb, replace(told, end=opposite), fields, self._quirks))
        return rows

    def _is_denied(self, verdict: Verdict, call: Call) -> bool:
        return verdict.end in _EFFECTS and self._quirks.happens(FALSE_FAILURE, call)

    # --- devices

    def _devices(self, account: Account, route: Route, asked: Asked) -> Reply:
        _refuse_if_down(self._quirks[LOOKUP_CALL])
        cursor = route.cursor or "0"
        check_cursor(account, cursor, self._quirks[CURSOR_CHECK])
        size, wanted = self._quirks[PAGE_SIZE], _protocols(asked)
        found: list[str] = []
        at: str | None = None if cursor == "0" else cursor
        while len(found) <= size and (ahead := _devices_after(account, at, size + 1)):
            found += [device for device in ahead if protocol_of(device) in wanted]
            at = ahead[-1]
        devices, more = found[:size], len(found) > size
        page = Page(account.name, None, None, more, devices[-1] if devices else cursor, size, devices)
        rows = [
            device_row(device, licensed=self._licensed(account, device, asked), now=asked.now) for device in devices
        ]
        return json_reply(device_page(page, rows, fields_of(self._quirks, self._chance, route.version)))

    def _look_up(self, account: Account, asked: Asked) -> Reply:
        _refuse_if_down(self._quirks[LOOKUP_CALL])
        devices = self._devices_of(asked, lenient=False)
        if len(devices) > LOOKUP_CAP:
            raise refusals.invalid(f"Index exceeds number of devices in list: at most {LOOKUP_CAP}")
        if not all(map(is_imei, devices)):
            raise refusals.invalid("Invalid device id format")
        wanted = _protocols(asked) if self._quirks[LOOKUP_FILTER] else PROTOCOL_FILTERS["all"]
        shown = [
            device
            for device in devices
            if protocol_of(device) in wanted and not self._quirks.happens(LOOKUP_ROWS_LOST, Call.LOOKUP)
        ]
        rows = [self._look_up_row(account, device, asked) for device in shown]
        name = self._name(account, Call.LOOKUP)
        return json_reply({"accountName": name, "deviceCount": len(rows), "deviceList": rows})

    def _look_up_row(self, account: Account, device: str, asked: Asked) -> Mapping[str, object]:
        if self._is_absent(account, device):
            return {"deviceId": device, "requestStatus": "Failure", "resultReason": "Device Not Found. "}
        row = device_row(device, licensed=self._licensed(account, device, asked), now=asked.now)
        times = {"statusTime": row["updateTime"], "lastConnectionTime": row["updateTime"]}
        return {"requestStatus": "Success", "resultReason": "Success"} | row | times

    def _licensed(self, account: Account, device: str, asked: Asked) -> bool | None:
        if self._quirks[LOOKUP_CALL] == "fieldless":
            return None
        return account.held_license_at(device, asked.now - self._quirks[LOOKUP_LAG])

    def _devices_of(self, asked: Asked, *, lenient: bool) -> list[str]:
        try:
            body = orjson.loads(asked.body)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise refusals.invalid("Input binding error")
        devices = body.get("deviceList", body.get("devceList", []) if lenient else []) or []
        if not isinstance(devices, list) or not all(isinstance(device, str) for device in devices):
            raise refusals.invalid("Input binding error")
        if not devices:
            raise refusals.invalid("Device list is empty")
        return devices

    # --- other people

    def _meddle(self, account: Account, change: int, now: float) -> None:
        for _ in range(min(change, account.free)):
            account.give(self._stranger(), now)
        if change < 0:
            held = list(account.licensed)
            for device in self._chance.sample(held, min(-change, len(held))):
                account.take(device, now)

    def _stranger(self) -> str:
        self._others += 1
        return imei_of(_OTHERS_BODY + self._others)


def _refuse_if_down(state: str) -> None:
    if state == "503":
        raise refusals.gateway(503, "303001", "The service is temporarily unavailable")
    if state == "404":
        raise refusals.missing_call(as_xml=True)


def _protocols(asked: Asked) -> frozenset[str]:
    wanted = asked.query.get("protocol", "LWM2M")
    if wanted not in PROTOCOL_FILTERS:
        raise refusals.invalid("Invalid protocol")
    return PROTOCOL_FILTERS[wanted]


def _devices_after(account: Account, cursor: str | None, size: int) -> list[str]:
    both = account.licensed.after(cursor, size) + account.known.after(cursor, size)
    return sorted(both, key=int)[:size]
