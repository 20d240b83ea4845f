"""Lists the ways in which SIM-Secure and its callbacks misbehave."""

from licensesync.simulator import values
from licensesync.simulator.entries import Entries
from licensesync.simulator.values import Quirk

_NEW = Entries()
TABLE = _NEW.table

# --- where callbacks go
CALLBACK_BY_SOAP = _NEW.switch(
    "callback-by-soap", "The SOAP API holds the callbacks: not listed, and no registration is accepted."
)
CALLBACK_AGAIN = _NEW.choice(
    "callback-again", "A registration of a service that is registered: replaces it, or is refused.",
    *("replaces", "refused"),
)  # fmt: skip
NO_CALLBACKS = _NEW.choice(
    "no-callbacks", "The list of callbacks when there are none: an empty body, or an empty list.", "empty", "list"
)
CALLBACKS_TO = _NEW.enter(
    Quirk(
        "callbacks-to",
        "All callbacks go here instead; off: where they are registered to go, if that is this machine.",
        *("a URL on this machine, or off", values.loopback, "off", "off"),
    )
)

# --- counts
PENDING_COUNTS = _NEW.choice(
    "pending-counts",
    "Licenses whose assignment is pending: in neither count, counted as assigned, or still as available.",
    *("apart", "assigned", "free"),
)
AVAILABLE_OFF_BY = _NEW.change(
    "available-off-by", "licenseAvailable of a SKU is not what purchased and assigned leave, but so many more or less."
)

# --- what becomes of a request
SIM_ERROR_PREFIX = _NEW.choice(
    "sim-error-prefix", "Whether a code of SIM-Secure begins with UnifiedWebService.; mixed: seeded, each time.",
    *("plain", "uws", "mixed"), unkind="mixed", kind="uws",
)  # fmt: skip
SIM_BATCHES = _NEW.choice(
    "sim-batches",
    "A device that cannot be done: fails by its own callback, or the whole request is refused; mixed: seeded.",
    *("per-device", "whole", "mixed"),
    unkind="mixed",
)
SIM_ROOM = _NEW.choice(
    "sim-room",
    "Which devices of an assignment need a license that is available: all, or those without one.",
    *("all", "new"),
)
SIM_TAKES = _NEW.seconds("sim-takes", "How long an accepted request is pending.", unkind="0.2", kind="0")

# --- how callbacks are sent
CALLBACK_AFTER = _NEW.seconds(
    "callback-after", "How long after the effect its callback is sent.", unkind="0.1", kind="0.02"
)
CALLBACK_RETRY_AFTER = _NEW.seconds(
    "callback-retry-after",
    "How long after a callback that was not answered 2xx it is sent again, at most three times.",
    unkind="1",
    kind="300",
)
CALLBACK_ORDER = _NEW.choice(
    "callback-order", "The order in which the callbacks of a request are sent.", "as-asked", "shuffled",
    unkind="shuffled",
)  # fmt: skip
CALLBACK_LOST = _NEW.dose("callback-lost", "A device's callback never arrives; the effect is what it is.", "sim")
CALLBACK_DOUBLED = _NEW.dose("callback-doubled", "A device's callback arrives twice.", "sim", unkind="10%")
CALLBACK_LATE = _NEW.dose("callback-late", "A device's callback is late, see callback-lateness.", "sim")
CALLBACK_LATENESS = _NEW.seconds("callback-lateness", "How late a late callback is.", unkind="2", kind="2")
CALLBACK_EARLY = _NEW.dose(
    "callback-early", "A device's callback arrives, and its effect is there, before the answer to the request.", "sim"
)
CALLBACK_FAILED = _NEW.dose(
    "callback-failed", "The carrier fails: nothing is done for a device, and its callback says so.", "sim"
)

# --- callbacks that say what is not so
CALLBACK_CONTRADICTS = _NEW.dose(
    "callback-contradicts", "A device's callback is followed by another that says the opposite.", "sim"
)
CALLBACK_FALSE = _NEW.dose("callback-false", "A device's callback says the opposite of what was done.", "sim")
CALLBACK_FORGED = _NEW.dose(
    "callback-forged", "A device's callback comes with another: a wrong password, and the opposite word.", "sim"
)
CALLBACK_FOREIGN = _NEW.dose(
    "callback-foreign", "A device's callback comes with another for a request that nobody made.", "sim"
)
CALLBACK_OTHER_SKU = _NEW.dose(
    "callback-other-sku", "A device's callback comes with another that names another SKU.", "sim"
)

# --- how callbacks are written
CALLBACK_LETTER_CASE = _NEW.choice(
    "callback-letter-case", "How the kinds of ids are spelt: ICCID, MDN and IMEI, or anyhow.", "documented", "mixed",
    unkind="mixed",
)  # fmt: skip
CALLBACK_IDS = _NEW.choice("callback-ids", "Which ids a callback has.", "all", "iccid-only", "imei-only")
UNASSIGN_ACTION = _NEW.choice(
    "unassign-action", "The action of a callback about an unassignment.", "Unassign", "UnAssign", "Remove", "absent"
)

TWISTS = (
    CALLBACK_LOST,
    CALLBACK_DOUBLED,
    CALLBACK_LATE,
    CALLBACK_EARLY,
    CALLBACK_FAILED,
    CALLBACK_CONTRADICTS,
    CALLBACK_FALSE,
    CALLBACK_FORGED,
    CALLBACK_FOREIGN,
    CALLBACK_OTHER_SKU,
)
