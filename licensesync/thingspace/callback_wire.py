"""What a callback says: how the service's request for one device ended, or that it is no callback at all.

https://thingspace.verizon.com/documentation/api-documentation.html (security: callbacks; callback errors)
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from licensesync.identifiers import ICCID, IMEI
from licensesync.model import Iccid, Imei
from licensesync.thingspace.wire import excerpt

LONGEST: Final = 100
"""Characters of what names something: a request, an account, a SKU."""

MOST_IDS: Final = 20
ENDINGS: Final = {"success": True, "failed": False, "failure": False}
"""The documentation has both words for a failure."""


class NotACallback(ValueError):
    """This is not of the documented form. The message says in what, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Callback:
    """How a request ended for one device, which has an IMEI, an ICCID or both.

    What is not told is None or empty. `code` and `words` are on one line each; `count` is how often it has been sent.
    """

    request: str
    imei: Imei | None
    iccid: Iccid | None
    succeeded: bool
    account: str | None
    sku: str | None
    action: str | None
    code: str
    words: str
    count: int


@dataclass(frozen=True, slots=True)
class Received:
    """A callback, and with which name and password it came."""

    callback: Callback
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)


class _DeviceId(msgspec.Struct):
    id: str
    kind: str


class _Subscription(msgspec.Struct, rename="camel"):
    account_name: str | None = None
    sku_number: str | None = None
    action: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    device_sku_subscription_response: _Subscription | None = None


class _Fault(msgspec.Struct):
    faultcode: str | None = None
    faultstring: str | None = None


class _Body(msgspec.Struct, rename="camel"):
    request_id: str
    device_ids: Annotated[list[_DeviceId], msgspec.Meta(max_length=MOST_IDS)]
    status: str
    device_response: _Response | None = None
    fault_response: _Fault | None = None
    comment: str | None = None
    callback_count: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    username: str | None = None
    password: str | None = None


_decoder = msgspec.json.Decoder(_Body)


def read(body: bytes) -> Received:
    """What came. Raises NotACallback."""
    try:
        told = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NotACallback("the body is not JSON of the documented form") from None
    return Received(_callback(told), told.username, told.password)


def matches(received: Received, username: str, password: str) -> bool:
    """Whether it came with this name and this password; how long that takes does not tell how much of them is right."""
    is_name = hmac.compare_digest(_bytes(received.username), _bytes(username))
    is_password = hmac.compare_digest(_bytes(received.password), _bytes(password))
    has_both = received.username is not None and received.password is not None
    return is_name & is_password & has_both


def _bytes(text: str | None) -> bytes:
    return (text or "").encode("utf-8", "surrogatepass")


def _callback(told: _Body) -> Callback:
    ended = ENDINGS.get(told.status.casefold())
    if ended is None:
        raise NotACallback("its status is neither Success nor Failed")
    imei = _the_one((each.id for each in told.device_ids if each.kind.casefold() == "imei"), IMEI, "IMEI")
    iccid = _the_one((each.id for each in told.device_ids if each.kind.casefold() == "iccid"), ICCID, "ICCID")
    if imei is None and iccid is None:
        raise NotACallback("it names no device by IMEI or ICCID")
    fault = told.fault_response or _Fault()
    if ended and (fault.faultcode or fault.faultstring):
        raise NotACallback("it tells of a success and of a fault")
    response = told.device_response or _Response()
    of = response.device_sku_subscription_response or _Subscription()
    return Callback(
        _fit(told.request_id, "request"),
        None if imei is None else Imei(imei),
        None if iccid is None else Iccid(iccid),
        ended,
        _named(of.account_name, "account"),
        _named(of.sku_number, "SKU"),
        _named(of.action, "action"),
        _line(fault.faultcode),
        _line(fault.faultstring or told.comment),
        1 if told.callback_count is None else told.callback_count,
    )


def _the_one(ids: Iterable[str], form: re.Pattern[str], what: str) -> str | None:
    """The one identifier of a kind, which may be said more than once."""
    told = set(ids)
    if len(told) > 1:
        raise NotACallback(f"it names two {what}s")
    if any(not form.fullmatch(each) for each in told):
        raise NotACallback(f"it names an {what} that can be none")
    return next(iter(told), None)


def _named(text: str | None, what: str) -> str | None:
    return _fit(text, what) if text else None


def _fit(text: str, what: str) -> str:
    if len(text) > LONGEST or not text.strip() or not text.isprintable():
        raise NotACallback(f"what it calls its {what} can be none")
    return text


def _line(text: str | None) -> str:
    return excerpt(text) if text and text.strip() else ""
