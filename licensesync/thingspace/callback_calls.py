"""Where ThingSpace sends the callbacks of an account: the requests and their answers.

https://thingspace.verizon.com/documentation/api-documentation.html (Connectivity Management, callbacks)
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from licensesync.errors import UnexpectedReply
from licensesync.thingspace.sim_secure_calls import is_same_account
from licensesync.thingspace.wire import Read, Write, answer_of

CARRIER_SERVICE: Final = "CarrierService"
"""The service whose callbacks tell how requests for SIM-Secure licenses ended."""


class Registration(msgspec.Struct, rename="camel"):
    """One service's address. The name and the password come along with it in clear: it never shows them."""

    service_name: str
    url: str
    account_name: str | None = None
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.service_name!r}, {self.host!r})"

    def leads_to(self, url: str) -> bool:
        """Whether this is the address at which callbacks are wanted."""
        return self.url.rstrip("/") == url.rstrip("/")

    def sends_along(self, username: str, password: str) -> bool:
        """Whether callbacks come with these, by the word of the service."""
        told = f"{self.username or ''}\n{self.password or ''}"
        return compare_digest(told.encode(), f"{username}\n{password}".encode())

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
        if any(each.account_name is not None and not is_same_account(each.account_name, account) for each in told):
            raise UnexpectedReply(f"{WHAT}: the answer is about another account than {account!r}")
        return tuple(told)

    return Read(WHAT, "GET", _place(account), read, confidential=True)


def register(account: str, url: str, username: str, password: str) -> Write[None]:
    """Callbacks of an account go to this address from now on, with these in clear in each of them."""
    asked = {"name": CARRIER_SERVICE, "url": url, "username": username, "password": password}
    return Write("callback registration", "POST", _place(account), _unread, body=msgspec.json.encode(asked))


def deregister(account: str) -> Write[None]:
    """Callbacks of an account go nowhere any more."""
    place = f"{_place(account)}/name/{CARRIER_SERVICE}"
    return Write("callback deregistration", "DELETE", place, _unread)


def _place(account: str) -> str:
    return f"/api/m2m/v1/callbacks/{quote(account, safe='')}"


def _unread(body: bytes) -> None:
    """Success is all that is asked for; what is registered is told by the list."""
    del body


def of_service(told: tuple[Registration, ...], service: str = CARRIER_SERVICE) -> Registration | None:
    """The registration of a service, if there is one."""
    return next((each for each in told if each.service_name.casefold() == service.casefold()), None)
