"""Knows what goes in and out of the service: a request that was understood, and an answer to be sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson

from licensesync.simulator.callbacks import Parcel
from licensesync.simulator.calls import Call
from licensesync.simulator.refusals import JSON


@dataclass(frozen=True)
class Asked:
    """A request. Header names are case-insensitive in `headers`; `path` is decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: float


@dataclass(frozen=True)
class Route:
    """Which call a request is, and what its path says."""

    call: Call
    version: str = ""
    account: str = ""
    cursor: str | None = None
    form: str = ""  # of a status call: path | query
    alias: bool = False  # /firmware/licenses/
    name: str = ""  # of a service that sends callbacks


@dataclass(frozen=True)
class Reply:
    """What is sent, and how: a lost one is not sent at all, a cut one only half."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    cut: bool = False
    delay: float = 0.0
    effect: tuple[str, ...] = ()  # devices whose license it changed
    first: tuple[Parcel, ...] = ()  # callbacks that come before it

    def instead(self, status: int = 200, body: bytes = b"", content_type: str = JSON) -> "Reply":
        """Another answer for the same effect."""
        return replace(self, status=status, body=body, content_type=content_type)


def json_reply(
    answer: object, *, headers: Mapping[str, str] | None = None, effect: tuple[str, ...] = (), lost: bool = False
) -> Reply:
    return Reply(body=orjson.dumps(answer), headers=dict(headers or {}), effect=effect, lost=lost)


def devices_in(body: bytes) -> tuple[str, ...]:
    """The devices that a request names, whatever became of it; none where they cannot be read."""
    try:
        listed = orjson.loads(body)["deviceList"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return ()
    return tuple(filter(lambda device: isinstance(device, str), listed)) if isinstance(listed, list) else ()


_FOTA = r"/api/fota/(?P<version>v[123])"
_LICENSES = _FOTA + r"(?P<alias>/firmware)?/licenses/(?P<account>[^/]+)"
_CALLBACKS = r"/api/m2m/v1/callbacks/(?P<account>[^/]+)"
_ROUTES = tuple(
    (method, re.compile(pattern), call)
    for method, pattern, call in (
        ("POST", r"/api/ts/v1/oauth2/token", Call.TOKEN),
        ("POST", r"/api/ts/v1/oauth2/revoke", Call.REVOKE),
        ("POST", r"/api/m2m/v1/session/login", Call.LOGIN),
        ("POST", r"/api/m2m/v1/session/logout", Call.LOGOUT),
        ("GET", _LICENSES + r"/index/(?P<cursor>[^/]+)", Call.STATUS),
        ("GET", _LICENSES, Call.STATUS),
        ("POST", _LICENSES + r"/assign", Call.ASSIGN),
        ("POST", _LICENSES + r"/remove", Call.REMOVE),
        ("GET", _FOTA + r"/subscriptions/(?P<account>[^/]+)", Call.SUBSCRIPTION),
        ("GET", r"/api/fota/(?P<version>v3)/devices/(?P<account>[^/]+)", Call.DEVICES),
        ("POST", r"/api/fota/(?P<version>v3)/devices/(?P<account>[^/]+)", Call.LOOKUP),
        ("POST", _CALLBACKS, Call.REGISTER),
        ("GET", _CALLBACKS, Call.REGISTRATIONS),
        ("DELETE", _CALLBACKS + r"/name/(?P<name>[^/]+)", Call.DEREGISTER),
        ("POST", r"/api/m2m/v1/accounts/subscriptions/actions/list", Call.SKUS),
        ("POST", r"/api/m2m/v1/devices/license/actions/assign", Call.SIM_ASSIGN),
        ("DELETE", r"/api/m2m/v1/devices/license/actions/assign", Call.SIM_UNASSIGN),
    )
)


def route_of(asked: Asked) -> Route | None:
    """The call that this request is, if there is such a call."""
    for method, pattern, call in _ROUTES:
        if method == asked.method and (match := pattern.fullmatch(asked.path)):
            said = match.groupdict()
            in_path = said.get("cursor")
            return Route(
                call,
                version=said.get("version") or "",
                account=said.get("account") or "",
                cursor=in_path or asked.query.get("lastSeenDeviceId"),
                form="path" if in_path else "query",
                alias=bool(said.get("alias")),
                name=said.get("name") or "",
            )
    return None
