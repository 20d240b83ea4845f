"""The SIM-Secure service's requests and answers.

https://thingspace.verizon.com/documentation/api-documentation.html (security: licenses, subscription
information)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from licensesync.errors import UnexpectedReply
from licensesync.model import DeviceId, iccid_of, imei_of
from licensesync.thingspace.wire import Read, Write, answer_of

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
RequestId = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,100}$")]

WHAT: Final = "SIM-Secure subscriptions"
LICENSES: Final = "/api/m2m/v1/devices/license/actions/assign"
MOST_DEVICES: Final = 100


class SkuCounts(msgspec.Struct, rename="camel"):
    """What was bought of a SKU. The three counts need not add up: licenses on their way may be in none of them."""

    sku_number: str
    license_type: str | None = None
    license_purchased: Count | None = None
    license_assigned: Count | None = None
    license_available: Count | None = None


class Subscriptions(msgspec.Struct, rename="camel"):
    account_name: str | None = None
    subscription_list: list[SkuCounts] | None = None

    def of(self, sku: str | None) -> SkuCounts | None:
        """The counts of a SKU, if the account has bought any of it."""
        wanted = (sku or "").casefold()
        return next((each for each in self.subscription_list or [] if each.sku_number.casefold() == wanted), None)

    @property
    def skus(self) -> tuple[str, ...]:
        return tuple(each.sku_number for each in self.subscription_list or [])


class Accepted(msgspec.Struct, rename="camel"):
    """The answer to assign and unassign: what became of each device is told by callbacks that name this request."""

    request_id: RequestId


_read = answer_of(Subscriptions, WHAT)


def subscriptions(account: str) -> Read[Subscriptions]:
    """What the account has bought of each SKU. The service may write the account's name without its hyphen."""

    def read(body: bytes) -> Subscriptions:
        told = _read(body)
        if told.account_name is not None and not is_same_account(told.account_name, account):
            raise UnexpectedReply(f"{WHAT}: the answer is about account {told.account_name[:40]!r}, not {account!r}")
        return told

    asked = msgspec.json.encode({"accountName": account})
    return Read(WHAT, "POST", "/api/m2m/v1/accounts/subscriptions/actions/list", read, body=asked)


def assign(account: str, sku: str, devices: Iterable[DeviceId]) -> Write[Accepted]:
    """Assign a license of a SKU to each of these devices (at most 100)."""
    return _change("SIM-Secure assign", "POST", account, sku, devices)


def unassign(account: str, sku: str, devices: Iterable[DeviceId]) -> Write[Accepted]:
    """Take the license of a SKU from each of these devices (at most 100): a DELETE with the same body."""
    return _change("SIM-Secure unassign", "DELETE", account, sku, devices)


def is_same_account(told: str, account: str) -> bool:
    """Whether this is the name of an account, with or without its hyphen."""
    return told.replace("-", "") == account.replace("-", "")


def _change(what: str, method: str, account: str, sku: str, devices: Iterable[DeviceId]) -> Write[Accepted]:
    asked = {"accountName": account, "skuNumber": sku, "devices": [{"deviceIds": _ids(each)} for each in devices]}
    return Write(what, method, LICENSES, answer_of(Accepted, what), body=msgspec.json.encode(asked))


def _ids(device: DeviceId) -> list[dict[str, str]]:
    """Both identifiers, the IMEI first, as it is documented."""
    return [{"id": imei_of(device), "kind": "imei"}, {"id": iccid_of(device) or "", "kind": "iccid"}]
