"""The contract's closed lists and identifiers."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

Imei = NewType("Imei", str)
Iccid = NewType("Iccid", str)
DeviceId = NewType("DeviceId", str)
"""What a product calls a device, as one text: an IMEI, or for SIM-Secure `IMEI/ICCID`."""


def imei_of(device: DeviceId) -> Imei:
    """The IMEI in a device's identifier."""
    return Imei(device.partition("/")[0])


def iccid_of(device: DeviceId) -> Iccid | None:
    """The ICCID in a device's identifier, or None where the product knows devices by IMEI alone."""
    return Iccid(device.partition("/")[2]) or None


class Product(StrEnum):
    FOTA = "fota"
    SIM_SECURE = "sim-secure"

    @property
    def needs_iccid(self) -> bool:
        """Whether this product knows a device by IMEI and ICCID together."""
        return self is Product.SIM_SECURE

    @property
    def is_listed(self) -> bool:
        """Whether the service can list who holds a license; of other products the ledger must remember it."""
        return self is not Product.SIM_SECURE

    def identify(self, imei: Imei, iccid: Iccid | None) -> DeviceId:
        """The identifier that this product has for a device."""
        return DeviceId(f"{imei}/{iccid}") if self.needs_iccid else DeviceId(imei)


class Mode(StrEnum):
    """Which removals a pool allows at all."""

    ADD_ONLY = "add-only"
    MANAGED = "managed"
    FULL = "full"


class Verb(StrEnum):
    ASSIGN = "assign"
    REMOVE = "remove"


class HeldReason(StrEnum):
    """Why an action is not asked for."""

    NO_CAPACITY = "no-capacity"
    AWAITING_REMOVALS = "awaiting-removals"
    PROTECTED = "protected"
    FOREIGN = "foreign"
    MODE = "mode"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    IN_FLIGHT = "in-flight"
    IRREVOCABLE = "irrevocable"
    SERVER_WILL_RETRY = "server-will-retry"
    NO_REMOVALS = "no-removals"
    STOPPING = "stopping"


WAITING = frozenset({HeldReason.NO_CAPACITY, HeldReason.AWAITING_REMOVALS})
"""Why a device that should have a license has to wait for one."""


class Reading(StrEnum):
    """How much of a pool was read."""

    WHOLE = "whole"
    PARTIAL = "partial"
    UNREAD = "unread"


class Rule(StrEnum):
    """The rules by which the guard may refuse removals."""

    COUNT = "count"
    PERCENT = "percent"
    PER_DAY = "per_day"
    EMPTY = "empty"


class OutcomeKind(StrEnum):
    """How a run ended for a device whose action was sent."""

    DONE = "done"
    PENDING = "pending"
    REJECTED = "rejected"
    FAILED = "failed"
    UNKNOWN = "unknown"


class OutcomeReason(StrEnum):
    """The fixed words that say why an outcome is what it is."""

    ALREADY = "already"
    DEVICE_NOT_FOUND = "device-not-found"
    UPGRADE_PENDING = "upgrade-pending"
    IN_PROGRESS = "in-progress"
    NO_CALLBACK = "no-callback"
    CONTRADICTED = "contradicted"
    SUPERSEDED = "superseded"
    NO_CAPACITY = "no-capacity"
    NO_ANSWER = "no-answer"
    NO_ROW = "no-row"
    UNDOCUMENTED_WORD = "undocumented-word"
    NO_EFFECT = "no-effect"
    REJECTED_BY_SERVICE = "rejected-by-service"
    ACCOUNT_REJECTED = "account-rejected"
    RATE_LIMITED = "rate-limited"
    NOT_LOGGED_IN = "not-logged-in"
    CREDENTIALS_REJECTED = "credentials-rejected"


class PlanVerdict(StrEnum):
    """In the order in which they win."""

    UNREAD = "unread"
    REFUSED = "refused"
    CHANGES = "changes"
    IN_STEP = "in-step"


class RunVerdict(StrEnum):
    """In the order in which they win."""

    UNREAD = "unread"
    REFUSED = "refused"
    INCOMPLETE = "incomplete"
    STOPPED = "stopped"
    DONE = "done"
    IN_STEP = "in-step"


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
