"""Decides what a page of the license status holds: the truth, and then what the quirks make of it."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from licensesync.simulator import refusals
from licensesync.simulator.answers import Fields, Page, fields_of, status_page
from licensesync.simulator.calls import Call
from licensesync.simulator.exchange import Route
from licensesync.simulator.imeis import is_imei
from licensesync.simulator.quirks import (
    ASSIGNED_DRIFTS,
    ASSIGNED_OFF_BY,
    COUNTS_ABSENT,
    CURSOR_CHECK,
    CURSOR_FORM,
    EMPTY_PAGE,
    LAST_PAGE_LOST,
    PAGE_ORDER,
    PAGE_SIZE,
    REPEATED_CURSOR,
    ROWS_DOUBLED,
    ROWS_LOST,
    SHUFFLED_ROWS,
    WRONG_ACCOUNT,
    WRONG_TYPES,
    Quirks,
)
from licensesync.simulator.state import Account

_START = ("", "0")
OTHER_ACCOUNT = "0999999999-00001"


@dataclass
class _Walk:
    """How far somebody has walked through an account since the last start."""

    pages: int = 0
    last_row: str = ""


class Pages:
    """Makes the pages of the license status, one account's walk beside another's."""

    def __init__(self, quirks: Quirks, chance: random.Random, start: float) -> None:
        self._quirks, self._chance, self._start = quirks, chance, start
        self._walks: dict[str, _Walk] = {}

    def pages_so_far(self, account: Account) -> int:
        """How many pages of the present walk were handed out."""
        return self._walks.setdefault(account.name, _Walk()).pages

    def answer(self, account: Account, route: Route, total: int) -> object:
        """The page that this cursor asks for, as it is written."""
        asked = route.cursor or "0"
        if asked in _START:
            self._walks[account.name] = _Walk()
        walk = self._walks.setdefault(account.name, _Walk())
        walk.pages += 1
        page = self._spoil(self._page(account, asked, total), asked, walk)
        fields = fields_of(self._quirks, self._chance, route.version)
        written = status_page(page, account.since, self._start, fields, self._chance)
        return _with_wrong_types(written, fields, self._quirks[WRONG_TYPES])

    def next_devices(self, account: Account, asked: str, size: int) -> tuple[list[str], str]:
        """Up to so many licensed devices that follow the cursor, and the cursor that follows them."""
        order = self._quirks[PAGE_ORDER]
        if self._quirks[CURSOR_FORM] == "rows":
            if not (asked.isascii() and asked.isdigit()):
                raise refusals.invalid("LastSeenDeviceId Not Valid")
            devices = account.licensed.at(int(asked), size, order)
            return devices, str(int(asked) + len(devices))
        check_cursor(account, asked, self._quirks[CURSOR_CHECK])
        devices = account.licensed.after(None if asked in _START else asked, size, order)
        return devices, devices[-1] if devices else asked

    def _page(self, account: Account, asked: str, total: int) -> Page:
        size = self._quirks[PAGE_SIZE]
        devices, cursor = self.next_devices(account, asked, size)
        more = bool(devices) and bool(self.next_devices(account, cursor, 1)[0])
        if more and self._quirks[LAST_PAGE_LOST].ever:
            last_comes = len(self.next_devices(account, cursor, size + 1)[0]) <= size
            more = not (last_comes and self._quirks.happens(LAST_PAGE_LOST, Call.STATUS))
        return Page(account.name, total, account.assigned, more, cursor, size, devices)

    def _spoil(self, page: Page, asked: str, walk: _Walk) -> Page:
        drift = self._quirks[ASSIGNED_DRIFTS] * (walk.pages - 1)
        page = replace(page, assigned=max((page.assigned or 0) + self._quirks[ASSIGNED_OFF_BY] + drift, 0))
        page = replace(page, devices=self._rows(page, walk))
        if self._quirks.happens(WRONG_ACCOUNT, Call.STATUS):
            page = replace(page, account=OTHER_ACCOUNT)
        if page.more and self._quirks.happens(REPEATED_CURSOR, Call.STATUS):
            page = replace(page, cursor=asked)
        if page.more and self._quirks.happens(EMPTY_PAGE, Call.STATUS):
            page = replace(page, devices=())
        absent = self._quirks[COUNTS_ABSENT]
        if absent in ("total", "both"):
            page = replace(page, total=None)
        return replace(page, assigned=None) if absent in ("assigned", "both") else page

    def _rows(self, page: Page, walk: _Walk) -> Sequence[str]:
        rows = list(page.devices)
        if self._quirks[ROWS_LOST].ever:
            rows = [row for row in rows if not self._quirks.happens(ROWS_LOST, Call.STATUS)]
        if walk.last_row and self._quirks.happens(ROWS_DOUBLED, Call.STATUS):
            rows.insert(0, walk.last_row)
        walk.last_row = page.devices[-1] if page.devices else ""
        if self._quirks[SHUFFLED_ROWS]:
            self._chance.shuffle(rows)
        return rows


def check_cursor(account: Account, asked: str, check: str) -> None:
    """Refuses a cursor that is neither the start nor an IMEI as the quirk wants it."""
    passes = asked in _START or (
        asked.isascii()
        and asked.isdigit()
        and (
            check == "lenient"
            or (check == "account" and is_imei(asked) and account.exists(asked))
            or (check == "licensed" and asked in account.licensed)
        )
    )
    if not passes:
        raise refusals.invalid("LastSeenDeviceId Not Valid")


def _with_wrong_types(written: dict[str, object], fields: Fields, wrong: str) -> object:
    listed = written.get("deviceList")
    rows: list[dict[str, object]] = listed if isinstance(listed, list) else []
    counts = (fields.total, "assignedLicenses")
    wrongly: Mapping[str, Callable[[], object]] = {
        "off": lambda: written,
        "imei-number": lambda: (
            written | {"deviceList": [row | {"deviceId": int(str(row["deviceId"]))} for row in rows]}
        ),
        "imei-null": lambda: written | {"deviceList": [row | {"deviceId": None} for row in rows]},
        "bare-rows": lambda: written | {"deviceList": [row["deviceId"] for row in rows]},
        "list-object": lambda: written | {"deviceList": {str(row["deviceId"]): row for row in rows}},
        "counts-text": lambda: written | {key: f"{written[key]} licenses" for key in counts if key in written},
        "more-maybe": lambda: written | {"hasMoreData": "maybe"},
        "array": lambda: [written],
    }
    return wrongly[wrong]()
