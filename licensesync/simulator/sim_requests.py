"""Reads a request to assign or unassign licenses of a SKU: which SKU, and which devices."""

from collections.abc import Mapping
from contextlib import suppress

import orjson

from licensesync.simulator.bought import Sim, is_iccid
from licensesync.simulator.faults import Fault, FaultError
from licensesync.simulator.imeis import is_imei
from licensesync.simulator.uws import unreadable

MOST_DEVICES = 100
_FORMS = {"imei": is_imei, "iccid": is_iccid}


def sku_in(wanted: Mapping[str, object]) -> str:
    number = wanted.get("skuNumber")
    if not isinstance(number, str) or not number:
        raise FaultError(Fault.NO_SKU)
    return number


def sims_in(wanted: Mapping[str, object]) -> list[Sim]:
    """The devices in the order of the request, or the documented refusal."""
    if wanted.get("deviceGroupName"):
        raise FaultError(Fault.BY_GROUP)
    devices = wanted.get("devices") or []
    if not isinstance(devices, list):
        raise unreadable()
    if not devices:
        raise FaultError(Fault.NO_DEVICES)
    if len(devices) > MOST_DEVICES:
        raise FaultError(Fault.TOO_MANY)
    return [_sim(device) for device in devices]


def sims_named(body: bytes) -> tuple[str, ...]:
    """The devices that a request names, whatever became of it; none where they cannot be read."""
    named: list[str] = []
    with suppress(orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        for device in orjson.loads(body)["devices"]:
            ids = {str(each.get("kind")).lower(): str(each.get("id")) for each in device["deviceIds"]}
            named.append(f"{ids.get('imei', '')}/{ids.get('iccid', '')}")
    return tuple(named)


def _sim(device: object) -> Sim:
    if not isinstance(device, dict):
        raise unreadable()
    if not device.get("deviceIds"):
        raise FaultError(Fault.NO_IDENTIFIERS)
    ids = dict(map(_identifier, device["deviceIds"])) if isinstance(device["deviceIds"], list) else {}
    if set(ids) != set(_FORMS):
        raise FaultError(Fault.ODD_IDENTIFIER)
    return Sim(ids["imei"], ids["iccid"])


def _identifier(stated: object) -> tuple[str, str]:
    match stated:
        case {"id": str(text), "kind": str(kind)}:
            form = _FORMS.get(kind.lower())
            if form is None:
                raise FaultError(Fault.ODD_KIND)
            if not form(text):
                raise FaultError(Fault.ODD_IDENTIFIER)
            return kind.lower(), text
        case _:
            raise unreadable()
