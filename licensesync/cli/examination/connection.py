"""Checks the way to the service, before anything is asked of it: a login that cannot arrive is not tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from licensesync.cli.examination.told import with_advice
from licensesync.errors import LicenseSyncError
from licensesync.model import Check
from licensesync.settings import ThingSpace
from licensesync.thingspace import reach
from licensesync.thingspace.reach import Way
from licensesync.values import is_loopback

CONNECTION: Final = "connection"


async def checked(thingspace: ThingSpace, environ: Mapping[str, str]) -> Check:
    """By one connection, to the service or to the proxy before it."""
    try:
        way = await reach.way_to(thingspace.url, environ, thingspace.timeout.total_seconds())
    except LicenseSyncError as error:
        return with_advice(CONNECTION, error)
    url = urlsplit(thingspace.url)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        found = f"{_in_words(way)}; what is sent is not encrypted, credentials included"
        return Check.warning(CONNECTION, found, "write https:// in thingspace.url, and remove insecure")
    return Check.ok(CONNECTION, _in_words(way))


def _in_words(way: Way) -> str:
    """Such as `thingspace.verizon.com:443 by TLSv1.3, with a certificate that is good until 2027-03-01`."""
    if way.is_proxy:
        return f"the proxy {way.peer} takes connections"
    if not way.tls:
        return f"{way.peer} takes connections, without TLS"
    until = f", with a certificate that is good until {way.until:%Y-%m-%d}" if way.until else ""
    return f"{way.peer} by {way.tls}{until}"
