"""The FOTA service's requests and answers, in every documented variant of its field names.

Sources: Verizon's Software Management API reference, versions 1 to 3 (status, assign, remove, subscription, devices).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec

from licensesync.errors import UnexpectedReply
from licensesync.model import DeviceId
from licensesync.thingspace.wire import Read, Write, answer_of, moment

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Identifier = Annotated[DeviceId, msgspec.Meta(min_length=1, max_length=64)]

START = "0"
MONTHLY, BY_EVENT = "TS-HFOTA-MRC", "TS-HFOTA-EVNT"


class StatusForm(StrEnum):
    """How the license status call is addressed: Verizon's pages and its SDK disagree."""

    V3_PATH = "v3-path"
    V3_QUERY = "v3-query"
    V1 = "v1"


class License(msgspec.Struct, gc=False):
    """One row of a status page. `assignmentTime` has three forms; see `wire.moment`."""

    deviceId: Identifier  # noqa: N815 - ThingSpace's name
    assignmentTime: str | None = None  # noqa: N815 - ThingSpace's name


class StatusPage(msgspec.Struct, rename="camel", frozen=True, dict=True):
    """One page of who holds a license: `deviceList`, the counts where it has them, and where the next page starts."""

    account_name: str
    has_more_data: bool | str
    total_licenses: Count | None = None
    total_license: Count | None = None
    assigned_licenses: Count | None = None
    last_seen_device_id: int | str | None = None
    device_list: list[License] | None = None

    @cached_property
    def identifiers(self) -> list[DeviceId]:
        """The devices of this page, in the order in which they stand there."""
        return [row.deviceId for row in self.device_list or []]

    @property
    def assigned_on(self) -> Mapping[DeviceId, date]:
        """The day (UTC) on which each device of this page got its license, of those for which it is recorded."""
        times = ((row.deviceId, moment(row.assignmentTime)) for row in self.device_list or [])
        return {device: time.date() for device, time in times if time}

    @property
    def total(self) -> int | None:
        """All licenses bought; the smaller where the two spellings contradict each other."""
        told = [count for count in (self.total_licenses, self.total_license) if count is not None]
        return min(told, default=None)

    @property
    def more(self) -> bool:
        return self.has_more_data is True or str(self.has_more_data).strip().lower() == "true"

    @property
    def cursor(self) -> str:
        """Where the next page starts, as the server says it; `0` where it says nothing."""
        return str(self.last_seen_device_id or START)


class Subscription(msgspec.Struct, rename="camel"):
    """What the account has bought: `TS-HFOTA-MRC` is a number of licenses a month, `TS-HFOTA-EVNT` pay by event."""

    account_name: str | None = None
    purchase_type: str | None = None
    license_count: Count | None = None
    license_used_count: Count | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was bought, in the service's words; there are more than are documented."""
        return tuple(filter(None, (kind.strip() for kind in (self.purchase_type or "").split(","))))

    @property
    def by_event_only(self) -> bool:
        return {kind.upper() for kind in self.kinds} == {BY_EVENT}


class VerdictRow(msgspec.Struct):
    """What the service says of one device in a write. The reason's name is spelled in every way that was seen."""

    deviceId: str  # noqa: N815 - ThingSpace's name
    status: str | None = None
    resultReason: str | None = None  # noqa: N815 - ThingSpace's name
    Reason: str | None = None
    reason: str | None = None
    ResultReason: str | None = None
    nextAttemptTime: str | None = None  # noqa: N815 - ThingSpace's name

    @property
    def words(self) -> str:
        return self.resultReason or self.Reason or self.reason or self.ResultReason or ""


class Verdicts(msgspec.Struct, rename="camel"):
    """The answer to assign and remove: a row a device, in no particular order, perhaps not for each."""

    account_name: str | None = None
    device_list: list[VerdictRow] | None = None


class SeenDevice(msgspec.Struct, rename="camel"):
    """What the device look-up says of one device."""

    device_id: str
    license_assigned: bool | str | None = None
    request_status: str | None = None

    @property
    def holds_license(self) -> bool | None:
        """None where the service does not say, or says that it could not look."""
        if "fail" in (self.request_status or "").lower():
            return None
        written = str(self.license_assigned).strip().lower()
        return {"true": True, "false": False}.get(written)


class SeenDevices(msgspec.Struct, rename="camel"):
    account_name: str | None = None
    device_list: list[SeenDevice] | None = None


Told = TypeVar("Told", StatusPage, Subscription, Verdicts, SeenDevices)

_read_page = answer_of(StatusPage, "FOTA license status")
_read_subscription = answer_of(Subscription, "FOTA subscription")
_read_seen = answer_of(SeenDevices, "FOTA device look-up")


def status_page(account: str, cursor: str, form: StatusForm) -> Read[StatusPage]:
    """One page of license holders with identifiers above `cursor` (`0` for the first)."""
    place, query = {
        StatusForm.V3_PATH: (f"/api/fota/v3/licenses/{_quoted(account)}/index/{_quoted(cursor)}", {}),
        StatusForm.V3_QUERY: (f"/api/fota/v3/licenses/{_quoted(account)}", {"lastSeenDeviceId": cursor}),
        StatusForm.V1: (f"/api/fota/v1/licenses/{_quoted(account)}/index/{_quoted(cursor)}", {}),
    }[form]

    def read(body: bytes) -> StatusPage:
        page = _of_account(_read_page(body), account, "FOTA license status")
        all_together = "".join(page.identifiers)  # a pattern for each of them takes eight times as long
        if not all_together.isascii() or not all_together.isprintable() or " " in all_together:
            raise UnexpectedReply("FOTA license status: an identifier of a device has blanks or control characters")
        if isinstance(page.has_more_data, str) and page.has_more_data.strip().lower() not in {"true", "false"}:
            raise UnexpectedReply(f"FOTA license status: hasMoreData is {page.has_more_data[:20]!r}, not true or false")
        return page

    return Read("FOTA license status", "GET", place, read, query)


def subscription(account: str) -> Read[Subscription]:
    """What the account has bought and uses."""
    return Read(
        "FOTA subscription",
        "GET",
        f"/api/fota/v3/subscriptions/{_quoted(account)}",
        lambda body: _of_account(_read_subscription(body), account, "FOTA subscription"),
    )


def look_up(account: str, devices: Iterable[str], protocol: str | None = None) -> Read[SeenDevices]:
    """Whether these devices (at most 1 000) hold a license.

    Without a protocol the service may leave out devices of another than LWM2M; `all` is in one document of two.
    """
    return Read(
        "FOTA device look-up",
        "POST",
        f"/api/fota/v3/devices/{_quoted(account)}",
        lambda body: _of_account(_read_seen(body), account, "FOTA device look-up"),
        query={"protocol": protocol} if protocol else {},
        body=_device_list(devices),
    )


def assign(account: str, devices: Iterable[str], licenses_path: str) -> Write[Verdicts]:
    """Assign a license to each of these devices (at most 1 000)."""
    return _change("assign", account, devices, licenses_path)


def remove(account: str, devices: Iterable[str], licenses_path: str) -> Write[Verdicts]:
    """Take the license from each of these devices (at most 1 000)."""
    return _change("remove", account, devices, licenses_path)


def _change(verb: str, account: str, devices: Iterable[str], licenses_path: str) -> Write[Verdicts]:
    what, place = f"FOTA {verb}", f"/api/fota/v3{licenses_path}/{_quoted(account)}/{verb}"
    read = answer_of(Verdicts, what)
    return Write(
        what,
        "POST",
        place,
        lambda body: _of_account(read(body), account, what),
        body=_device_list(devices),
    )


def _of_account(told: Told, account: str, what: str) -> Told:
    if told.account_name not in {None, account}:
        raise UnexpectedReply(f"{what}: the answer is about account {told.account_name[:40]!r}, not {account!r}")
    return told


def _device_list(devices: Iterable[str]) -> bytes:
    return msgspec.json.encode({"deviceList": list(devices)})


def _quoted(segment: str) -> str:
    return quote(segment, safe="")
