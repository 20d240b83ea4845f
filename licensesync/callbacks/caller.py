"""Who calls: the address at the other end, or the one that a proxy which is trusted names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from licensesync.callers import Network

IP = IPv4Address | IPv6Address

PORT: Final = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")
"""Some proxies write the port of their client along with its address."""


def caller(peer: str | None, forwarded: Iterable[str], trusted: Iterable[Network]) -> IP | None:
    """Whose request it is, by the `X-Forwarded-For` headers where the peer is trusted; None where nobody can tell.

    From the right, the first who is not trusted himself: what stands to the left of him, he may have made up.
    """
    networks = tuple(trusted)
    connected = _address(peer or "")
    if connected is None or not within(connected, networks):
        return connected
    for hop in reversed(",".join(forwarded).split(",")):
        address = _address(hop.strip())
        if address is None:
            break
        if not within(address, networks):
            return address
    return connected


def within(address: IP, networks: Iterable[Network]) -> bool:
    """Whether the address is in one of the networks."""
    return any(address in network for network in networks)


def _address(written: str) -> IP | None:
    """The address; one of IPv4 that is written as one of IPv6 counts as what it is."""
    with_port = PORT.fullmatch(written)
    try:
        address = ip_address((with_port["v6"] or with_port["v4"]) if with_port else written)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
