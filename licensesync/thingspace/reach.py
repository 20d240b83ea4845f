"""Whether there is a way to the service: its name, its port, its certificate. Nothing is asked of it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from licensesync.errors import LicenseSyncError
from licensesync.thingspace.transport import proxy_for

PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}


class NoWay(LicenseSyncError):
    """The service cannot be reached; the message says which step fails, and what to do."""


@dataclass(frozen=True, slots=True)
class Way:
    """A connection that was made: with whom, or with a proxy before it, and by which TLS.

    `tls` is empty where there is none, or where it begins behind the proxy; `until` is the end of the certificate.
    """

    peer: str
    is_proxy: bool
    tls: str = ""
    until: datetime | None = None


async def way_to(url: str, environ: Mapping[str, str], patience: float) -> Way:
    """A connection to the service is made and given up, within so many seconds.

    Where the environment names a proxy, it is the proxy that is called. Raises NoWay, and LicenseSyncError for a proxy
    that has no address.
    """
    host, port, is_proxy = _next_stop(url, environ)
    peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    context = ssl.create_default_context() if urlsplit(url).scheme == "https" and not is_proxy else None
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except TimeoutError:
        raise NoWay(f"{peer} does not answer within {patience:g} s; {_OPEN}") from None
    except (OSError, UnicodeError) as error:
        raise no_way(error, peer) from error
    with_tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return Way(peer, is_proxy) if with_tls is None else _protected(peer, with_tls)


def no_way(error: OSError | UnicodeError, peer: str) -> NoWay:
    """In words, what an error on the way to `peer` means."""
    match error:
        case ssl.SSLCertVerificationError():
            return NoWay(f"the certificate of {peer} is not accepted: {error.verify_message}; {_TRUST}")
        case ssl.SSLError():
            return NoWay(f"{peer} takes connections and does not speak TLS: {error.reason or error}; {_RIGHT}")
        case socket.gaierror() | UnicodeError():
            why = error.strerror if isinstance(error, OSError) else "it is no name of a host"
            return NoWay(f"the name in {peer} cannot be looked up: {why}; {_NAMES}")
        case _:
            why = os.strerror(error.errno) if error.errno else str(error)
            return NoWay(f"{peer} takes no connection: {why}; {_OPEN}")


_NAMES: Final = "compare it with thingspace.url and https_proxy, and see that this machine can look up names"
_OPEN: Final = "see that a firewall lets this machine through, or name the proxy that does in https_proxy"
_RIGHT: Final = "see that thingspace.url has the right port"
_TRUST: Final = (
    "if a proxy of yours opens TLS, name the file of its authority in SSL_CERT_FILE, else trust nobody there"
)


def _next_stop(url: str, environ: Mapping[str, str]) -> tuple[str, int, bool]:
    """Whom to call, and whether that is a proxy."""
    if proxy := proxy_for(url, environ).address:
        return proxy.host or "", proxy.port or PORTS["http"], True
    service = urlsplit(url)
    return service.hostname or "", service.port or PORTS[service.scheme], False


def _protected(peer: str, tls: ssl.SSLObject) -> Way:
    ends = (tls.getpeercert() or {}).get("notAfter")
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(ends)), UTC) if ends else None
    return Way(peer, is_proxy=False, tls=tls.version() or "TLS", until=until)
