"""Knows what else an account has beside FOTA licenses: addresses for callbacks, and licenses by SKU."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SKU_KEYS = {"purchased", "assigned", "licenseType"}
_CALLBACK_KEYS = {"url", "username", "password"}


@dataclass(frozen=True)
class Registration:
    """Where the callbacks of one service go, and what they are sent along with."""

    url: str
    username: str = ""
    password: str = ""

    def as_json(self) -> dict[str, object]:
        return {"url": self.url, "username": self.username, "password": self.password}


@dataclass(frozen=True)
class Sku:
    """How many licenses of a SKU there are."""

    purchased: int
    assigned: int = 0
    kind: str = "Flexible"

    @property
    def available(self) -> int:
        return self.purchased - self.assigned

    def as_json(self) -> dict[str, object]:
        return {"purchased": self.purchased, "assigned": self.assigned, "licenseType": self.kind}


def is_url(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"https?://\S+", text) is not None


def registration_of(stored: object) -> Registration | None:
    """What a file or a request says, or None where it is of another form."""
    if not isinstance(stored, Mapping) or set(stored) - _CALLBACK_KEYS or not is_url(stored.get("url")):
        return None
    said = [stored.get(key) or "" for key in ("username", "password")]
    return Registration(stored["url"], *said) if all(isinstance(text, str) for text in said) else None


def sku_of(stored: object) -> Sku | None:
    """What a file or a request says, or None where it is of another form."""
    if not isinstance(stored, Mapping) or set(stored) - _SKU_KEYS:
        return None
    purchased, assigned = _count(stored.get("purchased")), _count(stored.get("assigned", 0))
    kind = stored.get("licenseType") or "Flexible"
    if purchased is None or assigned is None or assigned > purchased or not isinstance(kind, str):
        return None
    return Sku(purchased, assigned, kind)


def _count(number: object) -> int | None:
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None
