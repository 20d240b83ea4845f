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
    SIM_ASSIGN = "sim-assign"
    SIM_UNASSIGN = "sim-unassign"


READS = frozenset({Call.STATUS, Call.SUBSCRIPTION, Call.DEVICES, Call.LOOKUP})
FOTA_WRITES = frozenset({Call.ASSIGN, Call.REMOVE})
SIM_WRITES = frozenset({Call.SIM_ASSIGN, Call.SIM_UNASSIGN})
SIM = SIM_WRITES | {Call.SKUS}
M2M = SIM | {Call.REGISTER, Call.REGISTRATIONS, Call.DEREGISTER}
NAMING = FOTA_WRITES | {Call.LOOKUP}  # those whose body lists devices by their IMEI alone

WHERE: Mapping[str, frozenset[Call]] = MappingProxyType(
    {"all": frozenset(Call), "reads": READS, "writes": FOTA_WRITES | SIM_WRITES, "fota": READS | FOTA_WRITES}
    | {"m2m": M2M, "sim": SIM}
    | {call.value: frozenset({call}) for call in Call}
)
