"""Knows how the several versions of FOTA write the same answer: field names, words, cursors and times."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from licensesync.simulator.quirks import (
    COUNT_FORM,
    CURSOR_AT_END,
    CURSOR_TYPE,
    EMPTY_LIST,
    LETTER_CASE,
    MORE_TYPE,
    PROFILE,
    TIME_FORM,
    UNKNOWN_ANSWER,
    Quirks,
)
from licensesync.simulator.state import DAY, End, Verb, Verdict

SENTINEL = "01-01-1900 0:0:0 +0000 UTC"
_TIMES = ("go", "iso", "sentinel")


@dataclass(frozen=True)
class Fields:
    """How one answer is written."""

    total: str
    cursor: str  # text | number
    at_end: str  # last | zero | absent
    empty: str  # list | null | absent
    more: str  # bool | text
    times: str  # go | iso | iso-short | sentinel | mixed | absent
    counts: str  # licCount | licTotalCount | both | none
    reasons: Mapping[Verb, str]
    words: str  # v1 | v2 | v3
    page_size: bool
    row_times: bool


_SAME_REASON = MappingProxyType({Verb.ASSIGN: "resultReason", Verb.REMOVE: "resultReason"})
_PROFILES: Mapping[str, Fields] = MappingProxyType(
    {
        "v1": Fields(
            total="totalLicenses",
            cursor="number",
            at_end="zero",
            empty="null",
            more="bool",
            times="go",
            counts="licCount",
            reasons=MappingProxyType({Verb.ASSIGN: "Reason", Verb.REMOVE: "Reason"}),
            words="v1",
            page_size=False,
            row_times=False,
        ),
        "v2": Fields(
            total="totalLicense",
            cursor="text",
            at_end="absent",
            empty="absent",
            more="bool",
            times="iso",
            counts="licTotalCount",
            reasons=_SAME_REASON,
            words="v2",
            page_size=True,
            row_times=False,
        ),
        "portal-v3": Fields(
            total="totalLicense",
            cursor="text",
            at_end="last",
            empty="list",
            more="bool",
            times="go",
            counts="licCount",
            reasons=MappingProxyType({Verb.ASSIGN: "Reason", Verb.REMOVE: "resultReason"}),
            words="v3",
            page_size=True,
            row_times=True,
        ),
        "sdk-v3": Fields(
            total="totalLicenses",
            cursor="text",
            at_end="absent",
            empty="absent",
            more="bool",
            times="iso",
            counts="licCount",
            reasons=_SAME_REASON,
            words="v3",
            page_size=True,
            row_times=True,
        ),
    }
)
_BY_VERSION = MappingProxyType({"v1": "v1", "v2": "v2", "v3": "portal-v3"})


@dataclass(frozen=True)
class Page:
    """One page of a status answer before it is written. A count of None is left out."""

    account: str
    total: int | None
    assigned: int | None
    more: bool
    cursor: str
    size: int
    devices: Sequence[str]


def fields_of(quirks: Quirks, chance: random.Random, version: str) -> Fields:
    """How the next answer of this version is written, as the quirks have it."""
    profile = quirks[PROFILE]
    if profile == "mixed":
        fields = _PROFILES[chance.choice(tuple(_PROFILES))]
        fields = replace(
            fields,
            at_end=chance.choice(("last", "zero", "absent")),
            empty=chance.choice(("list", "null", "absent")),
            more=chance.choice(("bool", "text")),
            times="mixed",
            counts=chance.choice(("licCount", "licTotalCount", "both")),
        )
    else:
        fields = _PROFILES[_BY_VERSION[version] if profile == "by-version" else profile]
    return replace(
        fields,
        cursor=_unless_as_profile(quirks[CURSOR_TYPE], fields.cursor),
        at_end=_unless_as_profile(quirks[CURSOR_AT_END], fields.at_end),
        empty=_unless_as_profile(quirks[EMPTY_LIST], fields.empty),
        more=_unless_as_profile(quirks[MORE_TYPE], fields.more),
        times=_unless_as_profile(quirks[TIME_FORM], fields.times),
        counts=_unless_as_profile(quirks[COUNT_FORM], fields.counts),
    )


def _unless_as_profile(quirk: str, profile: str) -> str:
    return profile if quirk == "as-profile" else quirk


def status_page(
    page: Page, since: Mapping[str, float], start: float, fields: Fields, chance: random.Random
) -> dict[str, object]:
    """A page of the status answer. A device that held its license at the start did so since `start`."""
    answer: dict[str, object] = {"accountName": page.account}
    if page.total is not None:
        answer[fields.total] = page.total
    if page.assigned is not None:
        answer["assignedLicenses"] = page.assigned
    answer |= _paging(page, fields)
    times = _Times(fields.times, chance)
    rows = [times.row(device, since.get(device, start)) for device in page.devices]
    return answer | _listed(rows, fields)


def _paging(page: Page, fields: Fields) -> dict[str, object]:
    paging: dict[str, object] = {"hasMoreData": page.more}
    if fields.more == "text":
        paging["hasMoreData"] = "true" if page.more else "false"
    cursor = page.cursor if page.more or fields.at_end == "last" else "0"
    if page.more or fields.at_end != "absent":
        exact = fields.cursor == "number" and str(int(cursor)) == cursor
        paging["lastSeenDeviceId"] = int(cursor) if exact else cursor
    if fields.page_size:
        paging["maxPageSize"] = page.size
    return paging


def _listed(rows: Sequence[object], fields: Fields) -> dict[str, object]:
    if rows or fields.empty == "list":
        return {"deviceList": rows}
    return {"deviceList": None} if fields.empty == "null" else {}


class _Times:
    """Writes assignment times in one form, or each in another; a form is written once for each time."""

    def __init__(self, form: str, chance: random.Random) -> None:
        self._form, self._chance = form, chance
        self._written: dict[tuple[str, float], str] = {}

    def row(self, device: str, moment: float) -> dict[str, object]:
        form = self._chance.choice(_TIMES) if self._form == "mixed" else self._form
        if form == "absent":
            return {"deviceId": device}
        written = self._written.get((form, moment)) or self._write(form, moment)
        return {"deviceId": device, "assignmentTime": written}

    def _write(self, form: str, moment: float) -> str:
        return self._written.setdefault((form, moment), written_time(moment, form))


def written_time(moment: float, form: str = "iso") -> str:
    """A time in one of the documented forms."""
    at = datetime.fromtimestamp(moment, UTC)
    thousandths = f"{at.microsecond // 1000:03d}"
    match form:
        case "go":
            return f"{at:%Y-%m-%d %H:%M:%S}.{thousandths} +0000 UTC"
        case "iso-short":
            return f"{at:%Y-%m-%dT%H:%M:%S}.{thousandths[:2]}Z"
        case "sentinel":
            return SENTINEL
        case _:
            return f"{at:%Y-%m-%dT%H:%M:%S}.{thousandths}Z"


# --- writes

_OK = frozenset({End.ASSIGNED, End.PREEXISTING, End.REMOVED})
_STATUSES = MappingProxyType(
    {
        ("v1", Verb.ASSIGN): ("LicenseAssignSuccess", "LicenseAssignFailed"),
        ("v1", Verb.REMOVE): ("LicenseRemoveSuccess", "LicenseRemoveFailed"),
        ("v2", Verb.ASSIGN): ("Success", "Failure"),
        ("v2", Verb.REMOVE): ("Success", "Failure"),
        ("v3", Verb.ASSIGN): ("LicenseAssignSuccess", "LicenseAssignFailure"),
        ("v3", Verb.REMOVE): ("Success", "Failure"),
    }
)
_REASONS: Mapping[End, str] = MappingProxyType(
    {
        End.ASSIGNED: "Success",
        End.PREEXISTING: "Device license preexisting",
        End.NO_LICENSE_LEFT: "No license available",
        End.REMOVED: "Success",
        End.NOT_LICENSED: "No license attached to device",
        End.UPGRADED: "Device was upgraded since the license was assigned",
        End.LOCKED: "Device is locked",
        End.MALFORMED: "Invalid device id format",
    }
)
_NOT_FOUND = MappingProxyType({"not-found": "Device Not Found. ", "does-not-exist": "Device does not exist."})


def write_answer(
    account: str, total: int, used: int, rows: Sequence[Mapping[str, object]], fields: Fields
) -> dict[str, object]:
    """The answer to a write, around its rows."""
    counts: dict[str, int] = {}
    if fields.counts in ("licCount", "both"):
        counts["licCount"] = used if fields.counts == "both" else total
    if fields.counts in ("licTotalCount", "both"):
        counts["licTotalCount"] = total
    return {"accountName": account, **counts, "licUsedCount": used, "deviceList": rows}


def write_row(verb: Verb, verdict: Verdict, fields: Fields, quirks: Quirks) -> dict[str, object]:
    """The row of one device."""
    good, bad = _STATUSES[fields.words, verb]
    status = "UpgradePending" if verdict.end is End.PENDING else good if verdict.end in _OK else bad
    reason = reason_of(verdict, quirks)
    row: dict[str, object] = {"deviceId": verdict.device, "status": status, fields.reasons[verb]: reason}
    if fields.row_times and verb is Verb.REMOVE:
        written = written_time(verdict.at)
        later = verdict.next_attempt if verdict.end not in _OK else verdict.at
        row |= {"updatedTime": written, "recentAttemptTime": written, "nextAttemptTime": written_time(later)}
    return _in_case(row, fields.reasons[verb], quirks[LETTER_CASE])


def reason_of(verdict: Verdict, quirks: Quirks) -> str:
    if verdict.end is End.PENDING:
        when = datetime.fromtimestamp(verdict.next_attempt, UTC)
        return f"Upgrade pending, the device upgrade is estimated to be scheduled for {when:%d %b %y %H:%M} UTC"
    if verdict.end is End.NOT_FOUND:
        return _NOT_FOUND.get(quirks[UNKNOWN_ANSWER], "Device Not Found. ")
    return _REASONS[verdict.end]


def _in_case(row: dict[str, object], reason_key: str, case: str) -> dict[str, object]:
    match case:
        case "words":
            return row | {"status": str(row["status"]).upper(), reason_key: str(row[reason_key]).upper()}
        case "reason-key":
            return {key.lower() if key == reason_key else key: value for key, value in row.items()}
        case "keys":
            return {key.lower(): value for key, value in row.items()}
        case _:
            return row


# --- devices

_PROTOCOLS = ("LWM2M", "HTTP", "OMADM", "NONE")
PROTOCOL_FILTERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "LWM2M": frozenset({"LWM2M"}),
        "HTTP": frozenset({"HTTP"}),
        "OMD-DM": frozenset({"OMADM"}),
        "OMADM": frozenset({"OMADM"}),
        "OMDADM": frozenset({"OMADM"}),
        "all": frozenset(_PROTOCOLS),
    }
)


def protocol_of(device: str) -> str:
    """Which protocol a device speaks: all sorts of them, but always the same for one device."""
    return _PROTOCOLS[int(device[-3:]) % len(_PROTOCOLS)]


def device_row(device: str, *, licensed: bool | None, now: float) -> dict[str, object]:
    """One device of the list; `licenseAssigned` is left out for None."""
    protocol, seen = protocol_of(device), written_time(now - DAY)
    row: dict[str, object] = {
        "deviceId": device,
        "mdn": f"555{device[-8:-1]}",
        "model": "SIM-1000",
        "make": "Simulated",
        "firmware": "SIM-1000_1.0",
        "fotaEligible": protocol != "NONE",
        "status": "Registered",
        "protocol": protocol,
        "softwareList": [{"name": "SIM-1000_1.0", "version": "1.0", "upgradeTime": "01/01/1900 0:0:0"}],
        "fileList": [],
        "createTime": seen,
        "updateTime": seen,
        "refreshTime": seen,
    }
    return row if licensed is None else row | {"licenseAssigned": licensed}


def device_page(page: Page, rows: Sequence[object], fields: Fields) -> dict[str, object]:
    """A page of the device list."""
    answer = {"accountName": page.account} | _paging(page, fields) | {"maxPageSize": page.size}
    return answer | _listed(rows, fields)
