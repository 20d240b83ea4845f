"""Answers the Connectivity Management calls: callback registration, and the counts of licenses by SKU."""

from collections.abc import Mapping

from licensesync.simulator import refusals
from licensesync.simulator.addresses import is_url
from licensesync.simulator.bought import Sku, registration_of
from licensesync.simulator.calls import Call
from licensesync.simulator.exchange import Asked, Reply, Route, json_reply
from licensesync.simulator.quirks import Quirks
from licensesync.simulator.sim_quirks import (
    AVAILABLE_OFF_BY,
    CALLBACK_AGAIN,
    CALLBACK_BY_SOAP,
    NO_CALLBACKS,
    PENDING_COUNTS,
)
from licensesync.simulator.state import Account, World
from licensesync.simulator.uws import account_named, object_in


class Connectivity:
    """The connectivity service, for whoever has passed the gate. Nobody documents the codes of its refusals."""

    def __init__(self, world: World, quirks: Quirks) -> None:
        self._world, self._quirks = world, quirks

    def answer(self, route: Route, asked: Asked) -> Reply:
        match route.call:
            case Call.REGISTER:
                return self._register(self._account(route.account), object_in(asked))
            case Call.REGISTRATIONS:
                return self._registrations(self._account(route.account))
            case Call.DEREGISTER:
                return self._deregister(self._account(route.account), route.name)
            case _:
                return self._subscriptions(object_in(asked))

    def _account(self, name: object) -> Account:
        return account_named(self._world, name)

    # --- callbacks

    def _register(self, account: Account, wanted: Mapping[str, object]) -> Reply:
        name, url = wanted.get("name"), wanted.get("url")
        registration = registration_of({key: wanted.get(key) for key in ("url", "username", "password")})
        if not isinstance(name, str) or not name:
            raise refusals.uws("INPUT_INVALID.ServiceName.NotDefined", "The name of the service is missing.")
        if not is_url(url) or registration is None:
            raise refusals.uws("INPUT_INVALID.CallbackUrl.Invalid", "The callback URL is not valid.")
        if self._quirks[CALLBACK_BY_SOAP]:
            raise refusals.uws("REQUEST_FAILED.CallbackAlreadyRegistered", f"{name} is registered by the SOAP API.")
        if name in account.callbacks and self._quirks[CALLBACK_AGAIN] == "refused":
            raise refusals.uws("REQUEST_FAILED.CallbackAlreadyRegistered", f"{name} is registered already.")
        account.callbacks[name] = registration
        return _echo(account, name)

    def _registrations(self, account: Account) -> Reply:
        """With passwords in clear, as the real one; what SOAP holds is not shown."""
        if not account.callbacks and self._quirks[NO_CALLBACKS] == "empty":
            return Reply()
        return json_reply(
            [
                {"accountName": account.name, "serviceName": name, **registration.as_json()}
                for name, registration in account.callbacks.items()
            ]
        )

    def _deregister(self, account: Account, name: str) -> Reply:
        if name not in account.callbacks:
            raise refusals.uws("REQUEST_FAILED.CallbackNotRegistered", f"{name} is not registered.")
        del account.callbacks[name]
        return _echo(account, name)

    # --- licenses by SKU

    def _subscriptions(self, wanted: Mapping[str, object]) -> Reply:
        account, sku = self._account(wanted.get("accountName")), wanted.get("skuNumber")
        rows = [self._counts(number, bought) for number, bought in account.skus.items() if sku in (None, number)]
        return json_reply({"accountName": wanted.get("accountName"), "subscriptionList": rows})

    def _counts(self, number: str, bought: Sku) -> Mapping[str, object]:
        pending, counted = bought.on_their_way, self._quirks[PENDING_COUNTS]
        available = bought.available + (pending if counted == "free" else 0) + self._quirks[AVAILABLE_OFF_BY]
        return {
            "skuNumber": number,
            "licenseType": bought.kind,
            "licensePurchased": bought.purchased,
            "licenseAssigned": bought.assigned + (pending if counted == "assigned" else 0),
            "licenseAvailable": max(available, 0),
        }


def _echo(account: Account, service: str) -> Reply:
    return json_reply({"accountName": account.name, "serviceName": service})
