"""An inventory as text: the devices that hold licenses now, so that a plan has nothing to do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from licensesync.identifiers import ICCID, IMEI
from licensesync.model import DeviceId, Observed, Pool, iccid_of, imei_of
from licensesync.render.words import counted, moment

MARGIN = "      - "
NOT_PLAIN = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True)
class Holdings:
    """Who holds a license of a pool, and since which day (UTC) where the service has recorded one."""

    pool: Pool
    observed: Observed
    since: Mapping[DeviceId, date]


def text(holdings: Sequence[Holdings], made_at: datetime) -> str:
    """The YAML of an inventory that names every holder: devices with licenses of the same pools share a group.

    What an inventory cannot name stands at the end as comments; see `unnameable`.
    """
    groups = _groups(holdings)
    lines = [*_head(holdings, made_at), "groups:" if groups else "groups: []"]
    for held, devices in groups.items():
        lines += _group([holdings[number] for number in held], devices)
    return "\n".join([*lines, *_left_out(holdings), ""])


def unnameable(holdings: Sequence[Holdings]) -> list[DeviceId]:
    """The holders whose identifiers are none that an inventory can name."""
    return sorted({each for held in holdings for each in held.observed.holders if not _is_nameable(each)})


def _groups(holdings: Sequence[Holdings]) -> dict[tuple[int, ...], list[DeviceId]]:
    """The devices, sorted, that hold licenses of the same pools, by the numbers of these pools.

    A device that one product knows by its IMEI and another by its SIM as well is one entry of both.
    """
    pools: defaultdict[DeviceId, tuple[int, ...]] = defaultdict(tuple)
    for number, held in enumerate(holdings):
        for device in held.observed.holders:
            pools[device] += (number,)
    for device in sorted(device for device in pools if iccid_of(device)):
        by_imei_alone = pools.pop(DeviceId(imei_of(device)), ())
        pools[device] = tuple(sorted({*pools[device], *by_imei_alone}))
    groups: defaultdict[tuple[int, ...], list[DeviceId]] = defaultdict(list)
    for device in sorted(filter(_is_nameable, pools)):
        groups[pools[device]].append(device)
    return dict(sorted(groups.items()))


def _is_nameable(device: DeviceId) -> bool:
    iccid = iccid_of(device)
    return IMEI.fullmatch(imei_of(device)) is not None and (iccid is None or ICCID.fullmatch(iccid) is not None)


def _head(holdings: Sequence[Holdings], made_at: datetime) -> Iterator[str]:
    yield f"# Who held a license on {moment(made_at)}, written by licensesync import."
    for held in holdings:
        holders, total = len(held.observed.holders), held.observed.capacity.total
        licenses = f"{counted(holders, 'device')}, {counted(total, 'license')}"
        yield f"# Pool {_visible(held.pool.name)}, account {_visible(held.pool.account)}: {licenses}."


def _group(held: Sequence[Holdings], devices: Sequence[DeviceId]) -> Iterator[str]:
    names = [each.pool.name for each in held]
    yield f"  - name: {_scalar(' + '.join(names))}"
    yield f"    licenses: [{', '.join(map(_scalar, names))}]"
    if any(each.pool.irrevocable for each in held):
        yield "    consent: lifetime  # as these devices hold their licenses for life already"
    yield "    devices:"
    entries = [f"{MARGIN}{_entry(device)}" for device in devices]
    width = max(map(len, entries))
    for device, entry in zip(devices, entries, strict=True):
        since = _since(held, device)
        yield f"{entry:{width}}  # since {since}" if since else entry


def _entry(device: DeviceId) -> str:
    iccid = iccid_of(device)
    return f'{{imei: "{imei_of(device)}", iccid: "{iccid}"}}' if iccid else f'"{device}"'


def _left_out(holdings: Sequence[Holdings]) -> Iterator[str]:
    devices = unnameable(holdings)
    if devices:
        yield "# An inventory cannot name these, as they are not 14 to 16 digits: a plan is not in step with them."
    for device in devices:
        held = [each for each in holdings if device in each.observed.holders]
        since = _since(held, device)
        pools = ", ".join(_visible(each.pool.name) for each in held)
        yield f'#     "{_visible(device)}"  of {pools}' + (f", since {since}" if since else "")


def _since(held: Sequence[Holdings], device: DeviceId) -> str:
    """The day of the assignment, or for each pool its own where they differ; empty where none is recorded."""
    known_as = [each.pool.product.identify(imei_of(device), iccid_of(device)) for each in held]
    days = [each.since.get(name) for each, name in zip(held, known_as, strict=True)]
    if days[0] and days.count(days[0]) == len(days):
        return days[0].isoformat()
    named = zip((each.pool.name for each in held), days, strict=True)
    return ", ".join(f"{day.isoformat()} ({_visible(name)})" for name, day in named if day)


def _scalar(text: str) -> str:
    """The text in YAML: bare where nothing could take it for anything but text."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text) and text.lower() not in NOT_PLAIN:
        return text
    return f'"{_visible(text)}"'


def _visible(text: str) -> str:
    r"""The text in printable ASCII, so that it ends no comment and steers no terminal; quotes as they are in `"…"`."""
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
