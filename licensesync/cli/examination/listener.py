"""Checks the address where the service's health and metrics are shown: free, its own, or somebody else's."""

from __future__ import annotations

import http.client
import ssl
from contextlib import closing
from typing import Final

from licensesync.model import Check
from licensesync.settings import Address

LISTEN: Final = "listen"
PATIENCE: Final = 2.0


def checked(address: Address | None, check: str = LISTEN, *, tls: bool = False) -> Check:
    """By asking who is there: to take the address for a moment would be in the way of a service that starts."""
    if address is None:
        return Check.ok(check, "off")
    try:
        server = _who_answers(address, tls=tls)
    except ConnectionRefusedError:
        return Check.ok(check, f"{address} is free")
    except TimeoutError:
        return Check.warning(
            check,
            f"what is at {address} does not answer within {PATIENCE:g} s",
            f"see the log of the service if it is there, or else write another address at {_setting(check)}:",
        )
    except (http.client.HTTPException, ConnectionError):
        server = ""
    except OSError as error:
        return Check.warning(
            check, f"{address}: {error.strerror}", f"write an address of this machine at {_setting(check)}:"
        )
    if server.startswith("licensesync"):
        return Check.ok(check, f"licensesync serve answers at {address}")
    return Check.warning(
        check,
        f"something else than licensesync is at {address}",
        f"end it, or write another address at {_setting(check)}:",
    )


def _setting(check: str) -> str:
    """The setting that the check is about."""
    return check.replace(" ", ".")


def _who_answers(address: Address, *, tls: bool) -> str:
    """By the word of the server; whose certificate it has is no matter here."""
    with closing(_connection(address, tls=tls)) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().getheader("Server", "")


def _connection(address: Address, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - nothing is told to whoever is there
    return http.client.HTTPSConnection(address.host, address.port, timeout=PATIENCE, context=context)
