"""The SIM-Secure service's requests and answers.

https://thingspace.verizon.com/documentation/api-documentation.html (security: subscription information)
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from licensesync.errors import UnexpectedReply
from licensesync.thingspace.wire import Read, answer_of

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

WHAT = "SIM-Secure subscriptions"


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


_read = answer_of(Subscriptions, WHAT)


def subscriptions(account: str) -> Read[Subscriptions]:
    """What the account has bought of each SKU. The service may write the account's name without its hyphen."""

    def read(body: bytes) -> Subscriptions:
        told = _read(body)
        if told.account_name is not None and told.account_name.replace("-", "") != account.replace("-", ""):
            raise UnexpectedReply(f"{WHAT}: the answer is about account {told.account_name[:40]!r}, not {account!r}")
        return told

    asked = msgspec.json.encode({"accountName": account})
    return Read(WHAT, "POST", "/api/m2m/v1/accounts/subscriptions/actions/list", read, body=asked)
