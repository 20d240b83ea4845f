"""Checks the address where the service's health and metrics are shown: free, its own, or somebody else's."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import Final

from licensesync.model import Check
from licensesync.settings import Address

LISTEN: Final = "listen"
PATIENCE: Final = 2.0


def checked(address: Address | None) -> Check:
    """By asking who is there: to take the address for a moment would be in the way of a service that starts."""
    if address is None:
        return Check.ok(LISTEN, "off")
    try:
        server = _who_answers(address)
    except ConnectionRefusedError:
        return Check.ok(LISTEN, f"{address} is free")
    except TimeoutError:
        return Check.warning(
            LISTEN,
            f"what is at {address} does not answer within {PATIENCE:g} s",
            "see the log of the service if it is there, or else write another address at listen:",
        )
    except (http.client.HTTPException, ConnectionError):
        server = ""
    except OSError as error:
        return Check.warning(LISTEN, f"{address}: {error.strerror}", "write an address of this machine at listen:")
    if server.startswith("licensesync"):
        return Check.ok(LISTEN, f"licensesync serve answers at {address}")
    return Check.warning(
        LISTEN, f"something else than licensesync is at {address}", "end it, or write another address at listen:"
    )


def _who_answers(address: Address) -> str:
    with closing(http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().getheader("Server", "")
