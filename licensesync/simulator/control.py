"""Serves /_sim/: what an operator of the simulator sees and switches while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from licensesync.simulator.bought import CARRIER_SERVICE, Sim, Sku, registration_of, sims_of, sku_of
from licensesync.simulator.exchange import Asked, Reply, json_reply
from licensesync.simulator.imeis import is_imei
from licensesync.simulator.quirks import TABLE, Quirks
from licensesync.simulator.refusals import JSON
from licensesync.simulator.requests import Requests
from licensesync.simulator.sendings import Sendings
from licensesync.simulator.state import Account, World
from licensesync.simulator.values import BadValueError

PREFIX = "/_sim/"
HELP = {
    "GET /_sim/world": "every account: counts; licensed, known, unknown, locked, upgraded devices; callbacks; SKUs "
    "with their licensed and pending devices",
    "POST /_sim/add": '{"account"?, "devices": [...]}: somebody else gives these devices licenses',
    "POST /_sim/take": '{"account"?, "devices": [...]}: somebody else takes the licenses of these devices',
    "POST /_sim/lock": '{"account"?, "devices": [...]}: every write to these devices fails',
    "POST /_sim/unlock": '{"account"?, "devices": [...]}: no longer',
    "POST /_sim/upgraded": '{"account"?, "devices": [...]}: upgraded since assignment: they cannot be removed',
    "POST /_sim/unknown": '{"account"?, "devices": [...]}: these are no devices of the account',
    "POST /_sim/known": '{"account"?, "devices": [...]}: these are devices of the account',
    "POST /_sim/total": '{"account"?, "total": N}: so many licenses are bought; fewer than assigned: the oldest go',
    "POST /_sim/callback": '{"account"?, "name"?, "url", "username"?, "password"?}: registered by others; null: ended',
    "POST /_sim/sku": '{"account"?, "sku", "purchased", "assigned"?, "licensed"?: [["IMEI", "ICCID"], ...], '
    '"licenseType"?, "revocable"?}: so many licenses of a SKU; what is not said of one that exists stays',
    "POST /_sim/sim-give": '{"account"?, "sku", "devices": [["IMEI", "ICCID"], ...]}: others assign them licenses',
    "POST /_sim/sim-take": '{"account"?, "sku", "devices": [["IMEI", "ICCID"], ...]}: others take their licenses',
    "GET /_sim/requests": "the requests so far, with what they changed",
    "DELETE /_sim/requests": "forget them",
    "GET /_sim/callbacks": "the callbacks that were sent so far, each time, with the status that answered",
    "DELETE /_sim/callbacks": "forget them",
    "GET /_sim/quirks": "the quirks in force",
    "POST /_sim/quirks": '{"name": "value", ...}: switch quirks',
    "GET /_sim/help": "this, and what each quirk does",
}


class _WrongUseError(ValueError):
    """The request to /_sim/ is not usable; the text says what to write."""


@dataclass(frozen=True)
class Control:
    """The operator's switches. They need no token and always work."""

    world: World
    quirks: Quirks
    requests: Requests
    callbacks: Sendings

    def answer(self, asked: Asked) -> Reply:
        """The reply to a request below /_sim/; the world is changed when it returns."""
        try:
            return self._answer(asked)
        except (_WrongUseError, BadValueError) as problem:
            return Reply(400, orjson.dumps({"error": str(problem)}), JSON)

    def _answer(self, asked: Asked) -> Reply:
        answers: Mapping[str, Callable[[], object]] = {
            "GET /_sim/world": self._world,
            "GET /_sim/requests": lambda: [seen.as_json() for seen in self.requests],
            "DELETE /_sim/requests": self.requests.forget,
            "GET /_sim/callbacks": lambda: [sending.as_json() for sending in self.callbacks],
            "DELETE /_sim/callbacks": self.callbacks.forget,
            "GET /_sim/quirks": self.quirks.in_force,
            "POST /_sim/quirks": lambda: self._switch(_object(asked)),
            "GET /_sim/help": _help,
            "POST /_sim/total": lambda: self._buy(_object(asked), asked.now),
            "POST /_sim/callback": lambda: self._register(_object(asked)),
            "POST /_sim/sku": lambda: self._buy_of_sku(_object(asked), asked.now),
            "POST /_sim/sim-give": lambda: self._give_of_sku(_object(asked), asked.now),
            "POST /_sim/sim-take": lambda: self._take_of_sku(_object(asked), asked.now),
        }
        answer = answers.get(f"{asked.method} {asked.path}")
        return json_reply(answer()) if answer else self._change(asked)

    def _world(self) -> Mapping[str, object]:
        return {
            "accounts": {
                name: {
                    "assigned": account.assigned,
                    "free": account.free,
                    **account.as_json(),
                    "skus": {number: _shown(number, sku) for number, sku in account.skus.items()},
                }
                for name, account in self.world.accounts.items()
            }
        }

    def _switch(self, wanted: Mapping[str, object]) -> object:
        for name, value in wanted.items():
            if not isinstance(value, str | float | bool | int | list):
                raise _WrongUseError(f'{name}: write its value as text, such as {{"{name}": "on"}}')
            self.quirks.set(name, value)
        return self.quirks.in_force()

    def _buy(self, wanted: Mapping[str, object], now: float) -> object:
        total = wanted.get("total")
        if not isinstance(total, int) or isinstance(total, bool) or total < 0:
            raise _WrongUseError('no total; write {"total": 1000}')
        account = self._account(wanted)
        account.buy(total, now)
        return _counts(account)

    def _register(self, wanted: Mapping[str, object]) -> object:
        account, name = self._account(wanted), str(wanted.get("name", CARRIER_SERVICE))
        registration = registration_of({key: wanted.get(key) for key in ("url", "username", "password")})
        if registration:
            account.callbacks[name] = registration
        elif wanted.get("url", "") is None:
            account.callbacks.pop(name, None)
        else:
            raise _WrongUseError('no URL; write {"url": "https://callbacks.example.com/"}, or {"url": null} for none')
        return {"account": account.name, "callbacks": list(account.callbacks)}

    def _buy_of_sku(self, wanted: Mapping[str, object], now: float) -> object:
        account, number = self._account(wanted), wanted.get("sku")
        known = account.skus.get(number) if isinstance(number, str) else None
        said = {key: value for key, value in wanted.items() if key not in {"account", "sku"}}
        sku = sku_of(_with_what_stays(said, known))
        if not isinstance(number, str) or sku is None:
            raise _WrongUseError(
                'no SKU; write {"sku": "SIMSec-IoT", "purchased": 9, "assigned": 7}; assigned counts all licensed'
            )
        account.skus.setdefault(number, Sku(0)).become(sku, now)
        return self._told(account, number)

    def _give_of_sku(self, wanted: Mapping[str, object], now: float) -> object:
        account, number, devices = self._named(wanted)
        sku = account.skus[number]
        if len(devices - sku.licensed) > sku.available:
            raise _WrongUseError(f"only {sku.available} licenses are available; POST {PREFIX}sku buys more")
        for device in sorted(devices):
            sku.give(device, now)
        return self._told(account, number)

    def _take_of_sku(self, wanted: Mapping[str, object], now: float) -> object:
        account, number, devices = self._named(wanted)
        for device in sorted(devices):
            account.skus[number].take(device, now)
        return self._told(account, number)

    def _named(self, wanted: Mapping[str, object]) -> tuple[Account, str, set[Sim]]:
        account, number, devices = self._account(wanted), wanted.get("sku"), sims_of(wanted.get("devices"))
        if not isinstance(number, str) or number not in account.skus:
            raise _WrongUseError(f"unknown SKU {number!r}; write one of {', '.join(account.skus) or 'none yet'}")
        if devices is None:
            raise _WrongUseError('no devices; write {"devices": [["990003425730535", "89148000000800139708"]]}')
        return account, number, devices

    def _told(self, account: Account, number: str) -> object:
        return {"account": account.name, "sku": number, **_shown(number, account.skus[number])}

    def _change(self, asked: Asked) -> Reply:
        changes = _changes(asked.now)
        change = changes.get(asked.path.removeprefix(PREFIX)) if asked.method == "POST" else None
        if change is None:
            return Reply(404, orjson.dumps({"error": f"no such call; GET {PREFIX}help lists them"}), JSON)
        wanted = _object(asked)
        account, devices = self._account(wanted), wanted.get("devices")
        if not isinstance(devices, list) or not all(isinstance(d, str) and is_imei(d) for d in devices):
            raise _WrongUseError('no devices; write {"devices": ["990003425730535"]}')
        for device in devices:
            change(account, device)
        return json_reply(_counts(account))

    def _account(self, wanted: Mapping[str, object]) -> Account:
        name = wanted.get("account", next(iter(self.world.accounts)))
        if name not in self.world.accounts:
            raise _WrongUseError(f"unknown account {name!r}; write one of {', '.join(self.world.accounts)}")
        return self.world.accounts[str(name)]


def _help() -> object:
    return {"calls": HELP, "quirks": {quirk.name: quirk.help for quirk in TABLE.values()}}


def _shown(number: str, sku: Sku) -> Mapping[str, object]:
    return {**sku.as_json(number), "pending": sku.pending_as_json()}


def _with_what_stays(said: Mapping[str, object], known: Sku | None) -> Mapping[str, object]:
    """What was said of a SKU, and for the rest what is known of it."""
    if known is None:
        return said
    licensed = said.get("licensed", sorted(known.licensed))
    named = licensed if isinstance(licensed, list) else []
    stays = {"licenseType": known.kind, "revocable": known.revocable, "assigned": known.others + len(named)}
    return {**stays, **said, "licensed": licensed}


def _counts(account: Account) -> object:
    return {"account": account.name, "total": account.total, "assigned": account.assigned}


def _changes(now: float) -> Mapping[str, Callable[[Account, str], None]]:
    return {
        "add": lambda account, device: account.give(device, now),
        "take": lambda account, device: account.take(device, now),
        "lock": lambda account, device: account.locked.add(device),
        "unlock": lambda account, device: account.locked.discard(device),
        "upgraded": lambda account, device: account.upgraded.add(device),
        "unknown": lambda account, device: account.unknown.add(device),
        "known": _declare_known,
    }


def _declare_known(account: Account, device: str) -> None:
    account.unknown.discard(device)
    if device not in account.licensed:
        account.known.add(device)


def _object(asked: Asked) -> Mapping[str, object]:
    try:
        wanted = orjson.loads(asked.body)
    except orjson.JSONDecodeError:
        wanted = None
    if not isinstance(wanted, dict):
        raise _WrongUseError("the body is not a JSON object")
    return wanted
