"""Knows every way in which SIM-Secure says no, at once or by a callback."""

import random
from enum import Enum

from licensesync.simulator.quirks import Quirks
from licensesync.simulator.sim_quirks import SIM_ERROR_PREFIX

_UWS = "UnifiedWebService."
_UNSUCCESSFUL = "REQUEST_FAILED.CarrierRequestUnsuccessful"  # one code for many things, told apart by its text


class Fault(Enum):
    """A code without the prefix of UWS (some have another, as documented), and its text."""

    ALREADY_LICENSED = (_UNSUCCESSFUL, "REQUEST FAILED: Device already has license assigned.")
    NOT_LICENSED = (_UNSUCCESSFUL, "REQUEST FAILED: Device does not have license assigned.")
    PENDING = (
        _UNSUCCESSFUL,
        "REQUEST FAILED: At least one device is in Assigned, Pending Assignment or Pending UnAssignment state.",
    )
    NOT_FOUND = (_UNSUCCESSFUL, "REQUEST FAILED: No device found for the given IMEI and ICCID.")
    LOCKED = (_UNSUCCESSFUL, "REQUEST FAILED: The device is locked.")
    UNEXPECTED = ("REQUEST_FAILED.UnexpectedError", "REQUEST FAILED: An unexpected error occurred.")
    NO_LICENSE_LEFT = (
        "INPUT_INVALID.InsufficientLicense.Invalid",
        "The number of devices is more than the number of licenses that are available.",
    )
    NOT_REVOCABLE = ("INPUT_INVALID.Unassign.NotSupported", "Unassign is not supported for a lifetime SKU.")
    TOO_MANY = ("INPUT_INVALID.NumberofDevices", "No more than 100 devices are allowed in a request.")
    NO_DEVICES = ("INPUT_INVALID.DeviceNotDefined", "The devices are not defined.")
    NO_IDENTIFIERS = (
        "CarrierService.INPUT_INVALID.DeviceIdentifierCollection.Null",
        "The collection of device identifiers is null.",
    )
    ODD_KIND = ("INPUT_INVALID.Device.Kind.Invalid", "The kind of a device identifier is not valid.")
    ODD_IDENTIFIER = ("INPUT_INVALID.Device.Identifier.Invalid", "A device identifier is missing or not valid.")
    NO_SKU = ("Carrier.Service.INPUT_INVALID.SKUNumber.NotDefined", "The SKU number is not defined.")
    BY_GROUP = ("Carrier.Service.INPUT_INVALID.DeviceGroupName.NotSupported", "A device group is not supported.")

    @property
    def text(self) -> str:
        return self.value[1]

    def code(self, quirks: Quirks, chance: random.Random) -> str:
        """Its code with the prefix of the day."""
        code, prefix = self.value[0], quirks[SIM_ERROR_PREFIX]
        prefix = chance.choice(("plain", "uws")) if prefix == "mixed" else prefix
        return code if prefix == "plain" or code.startswith("Carrier") else _UWS + code


class FaultError(Exception):
    """A request is refused whole."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault
