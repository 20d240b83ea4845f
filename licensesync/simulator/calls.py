"""Names the calls of the service, so that a quirk can say which of them it spoils."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Call(StrEnum):
    TOKEN = "token"  # noqa: S105 - the name of a call
    REVOKE = "revoke"
    LOGIN = "login"
    LOGOUT = "logout"
    STATUS = "status"
    ASSIGN = "assign"
    REMOVE = "remove"
    SUBSCRIPTION = "subscription"
    DEVICES = "devices"
    LOOKUP = "lookup"
    REGISTER = "register"
    REGISTRATIONS = "registrations"
    DEREGISTER = "deregister"
    SKUS = "skus"


READS = frozenset({Call.STATUS, Call.SUBSCRIPTION, Call.DEVICES, Call.LOOKUP})
WRITES = frozenset({Call.ASSIGN, Call.REMOVE})
M2M = frozenset({Call.REGISTER, Call.REGISTRATIONS, Call.DEREGISTER, Call.SKUS})
NAMING = WRITES | {Call.LOOKUP}  # those whose body lists devices

WHERE: Mapping[str, frozenset[Call]] = MappingProxyType(
    {"all": frozenset(Call), "reads": READS, "writes": WRITES, "fota": READS | WRITES, "m2m": M2M}
    | {call.value: frozenset({call}) for call in Call}
)
