"""Knows which texts are URLs, and which of them never leave this machine."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_url(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"https?://\S+", text) is not None


def is_loopback(url: str) -> bool:
    """Whether it is this machine that answers there: localhost, 127.0.0.0/8 or ::1, by its name."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
