"""What ThingSpace's words about SIM-Secure requests and devices mean: done, rejected, in progress.

One code has three meanings that only its words tell apart:
https://thingspace.verizon.com/documentation/api-documentation.html (security: errors of assign)
"""

from __future__ import annotations

import re
from datetime import datetime

from msgspec import structs

from licensesync.errors import ApiError
from licensesync.model import Action, Outcome, OutcomeKind, OutcomeReason, Pool, Verb, iccid_of, imei_of
from licensesync.thingspace import batch_errors
from licensesync.thingspace.callback_wire import Callback
from licensesync.thingspace.sim_secure_calls import is_same_account

_AT_LEAST_ONE = re.compile(r"at least one device|pending (un)?-?assign", re.IGNORECASE)
_NOT_FOUND = re.compile(r"(no|not|n't)\b.*\b(device|found|exist)|unknown device", re.IGNORECASE)
_ALREADY = {
    Verb.ASSIGN: re.compile(r"already (has|have|had)\b.*\blicen[sc]e|already (licen[sc]ed|assigned)", re.IGNORECASE),
    Verb.REMOVE: re.compile(
        r"(does not|doesn't|do not) have\b.*\blicen[sc]e|no licen[sc]e\b.*\b(attached|assigned|device)"
        r"|licen[sc]e (is )?not assigned|not licen[sc]ed|already (unassigned|removed)",
        re.IGNORECASE,
    ),
}
_ABOUT_SKU = re.compile(r"SKUNumber|Unassign\.NotSupported|\.Action\.|DeviceGroupName", re.IGNORECASE)


def may_be_for_one_device(error: ApiError) -> bool:
    """Whether a batch may have been rejected for one of its devices."""
    return batch_errors.may_be_for_one_device(error) and not _ABOUT_SKU.search(error.code)


def of_error(action: Action, error: ApiError, at: datetime) -> Outcome:
    """The outcome that an error in answer to a request stands for, of the only device in it or of each."""
    if may_be_for_one_device(error):
        return of_words(action, str(error), at)
    return batch_errors.of_error(action, error, at)


def of_words(action: Action, words: str, at: datetime) -> Outcome:
    """The outcome that the service's no to one device stands for: some of them mean that all is as it should be."""
    if _AT_LEAST_ONE.search(words):
        return Outcome(action, OutcomeKind.UNKNOWN, at, OutcomeReason.IN_PROGRESS, words)
    if _ALREADY[action.verb].search(words):
        return Outcome(action, OutcomeKind.DONE, at, OutcomeReason.ALREADY, words)
    if action.verb is Verb.ASSIGN and batch_errors.is_out_of_licenses(words):
        return Outcome(action, OutcomeKind.FAILED, at, OutcomeReason.NO_CAPACITY, words)
    if _NOT_FOUND.search(words):
        return Outcome(action, OutcomeKind.REJECTED, at, OutcomeReason.DEVICE_NOT_FOUND, words)
    return Outcome(action, OutcomeKind.REJECTED, at, OutcomeReason.REJECTED_BY_SERVICE, words)


def of_callback(callback: Callback, promised: Outcome, at: datetime) -> Outcome:
    """How a request ended for the device for which it was promised, by the word of a callback."""
    action = promised.action
    if callback.succeeded:
        return structs.replace(
            promised, kind=OutcomeKind.DONE, at=at, reason=None, service=callback.words or None, retry_at=None
        )
    words = " ".join(filter(None, (callback.code, callback.words))) or "Failed"
    return structs.replace(of_words(action, words, at), request=promised.request)


def is_about(callback: Callback, pool: Pool, promised: Outcome) -> bool:
    """Whether a callback is about this promise: its device, and as far as it names them account, SKU and action."""
    device = promised.action.device
    return (
        callback.imei in {None, imei_of(device)}
        and callback.iccid in {None, iccid_of(device)}
        and (callback.account is None or is_same_account(callback.account, pool.account))
        and (callback.sku is None or callback.sku.casefold() == (pool.sku or "").casefold())
        and (
            callback.action is None or (callback.action.casefold() == "assign") is (promised.action.verb is Verb.ASSIGN)
        )
    )
