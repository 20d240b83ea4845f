"""Where ThingSpace sends the callbacks of an account: the request and its answer.

https://thingspace.verizon.com/documentation/api-documentation.html (Connectivity Management, callbacks)
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from licensesync.errors import UnexpectedReply
from licensesync.thingspace.wire import Read, answer_of

CARRIER_SERVICE: Final = "CarrierService"
"""The service whose callbacks tell how requests for SIM-Secure licenses ended."""


class Registration(msgspec.Struct, rename="camel"):
    """One service's address. The name and the password that are answered along with it, in clear, are passed over."""

    service_name: str
    url: str
    account_name: str | None = None

    @property
    def host(self) -> str:
        """Whose address it is, without what may be secret in it; empty where it is no URL."""
        try:
            return urlsplit(self.url).hostname or ""
        except ValueError:
            return ""


WHAT: Final = "callback registrations"
_read = answer_of(list[Registration], WHAT, quote=False)


def registrations(account: str) -> Read[tuple[Registration, ...]]:
    """The addresses that were registered for an account by REST; what SOAP has registered is not told.

    Where there are none, the body of the answer may be empty.
    """

    def read(body: bytes) -> tuple[Registration, ...]:
        told = [] if body.strip() in {b"", b"null"} else _read(body)
        if any(each.account_name not in {None, account} for each in told):
            raise UnexpectedReply(f"{WHAT}: the answer is about another account than {account!r}")
        return tuple(told)

    return Read(WHAT, "GET", f"/api/m2m/v1/callbacks/{quote(account, safe='')}", read)


def of_service(told: tuple[Registration, ...], service: str = CARRIER_SERVICE) -> Registration | None:
    """The registration of a service, if there is one."""
    return next((each for each in told if each.service_name.casefold() == service.casefold()), None)
