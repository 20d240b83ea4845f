"""What the settings say of callbacks: where they are listened for, and whose are taken."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from licensesync.located import Listing, Node, Refused, Text
from licensesync.problems import shown
from licensesync.values import (
    ADDRESS,
    FLAG,
    PATH,
    URL,
    Address,
    Kind,
    Section,
    Unfit,
    is_loopback,
    read,
    report_plain_http,
    span,
)

Network = IPv4Network | IPv6Network

LISTEN: Final = Address("0.0.0.0", 9001)  # noqa: S104  # it is Verizon that calls, from outside
TIMEOUT: Final = timedelta(minutes=30)
MAPPED: Final = IPv6Network("::ffff:0:0/96")
DOCUMENTED: Final = tuple(
    IPv4Network(address)
    for address in (
        "3.87.163.45",
        "3.91.119.203",
        "54.197.62.209",
        "35.165.205.14",
        "54.200.43.232",
        "34.216.81.234",
        "137.117.33.109",
        "168.62.173.153",
        "68.128.212.217",
    )
)
"""From where ThingSpace calls, by its pages about callbacks: what one of them leaves out another has.

https://thingspace.verizon.com/documentation/api-documentation.html (Connectivity Management and FOTA, callbacks)
"""


class Sources(StrEnum):
    """Whose callbacks are taken, in a word: anybody's, or those from the addresses that Verizon documents."""

    OFF = "off"
    DOCUMENTED = "documented"


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a certificate with its chain and of its key; their paths are absolute."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Callbacks:
    """With `take_over` the registration of somebody else may be replaced; where `sources` is None, anybody may call."""

    public_url: str
    listen: Address = LISTEN
    register: bool = True
    timeout: timedelta = TIMEOUT
    take_over: bool = False
    tls: Tls | None = None
    sources: tuple[Network, ...] | None = None
    trusted_proxies: tuple[Network, ...] = ()

    @property
    def path(self) -> str:
        """Where the listener answers."""
        return urlsplit(self.public_url).path or "/"


def read_callbacks(written: Section | None, folder: Path, *, insecure: bool) -> Callbacks | None:
    """The callbacks, None where they are not written of; `insecure` allows plain http beyond this machine."""
    if not written:
        return None
    default = Callbacks("")
    callbacks = Callbacks(
        written.require("public_url", URL, ""),
        written.get("listen", ADDRESS, default.listen),
        written.get("register", FLAG, default.register),
        written.get("timeout", span(), default.timeout),
        written.get("take_over", FLAG, default.take_over),
        _tls(written.section("tls"), folder),
        trusted_proxies=_networks(written.node("trusted_proxies"), "trusted_proxies", LISTED, written),
    )
    callbacks = replace(callbacks, sources=_sources(callbacks, written))
    if callbacks.take_over and not callbacks.register:
        message = "take_over registers an address, which register: false does not allow"
        written.problems.add(written.place("take_over"), message, "remove one of the two")
    written.close()
    report_plain_http(callbacks.public_url, "public_url", written, insecure=insecure)
    return callbacks


def _tls(written: Section | None, folder: Path) -> Tls | None:
    if not written:
        return None
    paths = (written.require(key, PEM, "") for key in ("certificate", "key"))
    tls = Tls(*(Path(os.path.normpath(folder / path)) for path in paths))
    written.close()
    return tls


def _sources(callbacks: Callbacks, written: Section) -> tuple[Network, ...] | None:
    """As written; else the documented ones where whoever calls is seen as who he is."""
    node = written.node("sources")
    if node is None:
        is_seen = "tls" in written and "trusted_proxies" not in written and not is_loopback(_host(callbacks))
        return DOCUMENTED if is_seen else None
    if isinstance(node, Text):
        meant = read(node, SOURCES, written.problems, "sources", Sources.OFF)
        if meant is Sources.DOCUMENTED:
            _report_unseen(callbacks, written)
        return DOCUMENTED if meant is Sources.DOCUMENTED else None
    if isinstance(node, Listing) and not node.items:
        written.problems.add(node.place, "sources is empty: nobody's callbacks would be taken", NAMED)
    return _networks(node, "sources", NAMED, written)


def _host(callbacks: Callbacks) -> str:
    return urlsplit(callbacks.public_url).hostname or ""


def _report_unseen(callbacks: Callbacks, written: Section) -> None:
    """Behind what ends TLS before the listener every callback would seem to come from there, and none be taken."""
    is_behind = callbacks.public_url.startswith("https:") and "tls" not in written
    if is_behind and "trusted_proxies" not in written:
        message = "sources are not seen where public_url is https and the listener has no tls: a proxy is before it"
        written.problems.add(written.place("sources"), message, "add trusted_proxies: and its addresses, or tls:")


def _networks(node: Node | None, key: str, hint: str, written: Section) -> tuple[Network, ...]:
    if node is None or isinstance(node, Refused):
        return ()
    if not isinstance(node, Listing):
        written.problems.add(node.place, f"{key} is not a list", hint)
        return ()
    networks = (read(item, NETWORK, written.problems, f"{key}:", None) for item in node.items)
    return tuple(network for network in networks if network is not None)


def _network(text: Text) -> Network:
    try:
        network = ipaddress.ip_network(text.value, strict=False)
        address = ipaddress.ip_address(text.value.partition("/")[0])
    except ValueError:
        raise Unfit(f"{shown(text.value)} is neither an IP address nor a network") from None
    if "%" in text.value:
        raise Unfit(f"{shown(text.value)} names an interface", "write the address alone")
    if address != network.network_address:
        raise Unfit(f"{shown(text.value)} is an address inside a network", f"write {network}, or {address} alone")
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        within = IPv4Network((network.network_address.packed[12:], network.prefixlen - 96))
        raise Unfit(f"{shown(text.value)} is IPv4 written as IPv6", f"write {within}")
    return network


def _source(text: Text) -> Sources:
    if text.value not in [*Sources]:
        raise Unfit(f"{shown(text.value)} is not known")
    return Sources(text.value)


LISTED: Final = "write addresses and networks such as [192.0.2.7, 198.51.100.0/24]"
NAMED: Final = f"write off, documented, or {LISTED.removeprefix('write ')}"
PEM: Final = Kind(PATH.parse, "write the path of a PEM file", PATH.schema)
NETWORK: Final = Kind(_network, "write an address or a network such as 198.51.100.0/24", {"type": "string"})
SOURCES: Final = Kind(_source, NAMED, {"type": "string", "enum": [*Sources]})
