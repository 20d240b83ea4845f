"""Answers requests: the whole ThingSpace without its sockets."""

import random
from collections.abc import Mapping
from urllib.parse import parse_qsl

import orjson

from licensesync.simulator import refusals
from licensesync.simulator.auth import Credentials, Gate
from licensesync.simulator.calls import M2M, SIM_WRITES, Call
from licensesync.simulator.connectivity import Connectivity
from licensesync.simulator.exchange import Asked, Reply, Route, json_reply, route_of
from licensesync.simulator.fota import Fota
from licensesync.simulator.mischief import Mischief
from licensesync.simulator.quirks import Quirks
from licensesync.simulator.refusals import Refusal
from licensesync.simulator.sim_secure import SimSecure
from licensesync.simulator.state import World


class Service:
    """A request in, a reply out; it never waits, so nothing comes between a call and its effect."""

    def __init__(
        self, world: World, quirks: Quirks, chance: random.Random, credentials: Credentials | None, start: float
    ) -> None:
        self._world = world
        self._gate = Gate(quirks, chance, credentials)
        self._fota = Fota(world, quirks, chance, start)
        self._connectivity = Connectivity(world, quirks)
        self.sim_secure = SimSecure(world, quirks, chance)
        self.mischief = Mischief(quirks, chance, self._gate)

    def settle(self, now: float) -> None:
        """What was due until now takes effect."""
        self._world.settle(now)
        self.sim_secure.settle(now)

    def answer(self, asked: Asked) -> tuple[Call | None, Reply]:
        """Which call it was, and its reply with all that went wrong on the way."""
        self.settle(asked.now)
        route = route_of(asked)
        try:
            if route is None or not self._fota.exists(route):
                raise self._fota.missing() if asked.path.startswith("/api/") else refusals.missing_call(as_xml=True)
            return route.call, self._call(route, asked)
        except Refusal as refusal:
            return route.call if route else None, self.mischief.refusal(refusal)

    def _call(self, route: Route, asked: Asked) -> Reply:
        lost = self.mischief.before(route.call, asked)
        return lost or self.mischief.after(route.call, asked, self._answer(route, asked))

    def _answer(self, route: Route, asked: Asked) -> Reply:
        match route.call:
            case Call.TOKEN:
                return json_reply(self._gate.token(asked.headers, _form(asked), asked.now))
            case Call.REVOKE:
                return Reply(headers=self._gate.revoke(asked.headers, _form(asked)))
            case Call.LOGIN:
                self._gate.check_bearer(asked.headers, "/m2m/v1", asked.now)
                user, password = _login(asked)
                return json_reply(self._gate.login(user, password, asked.now))
            case Call.LOGOUT:
                self._gate.check_bearer(asked.headers, "/m2m/v1", asked.now)
                return json_reply(self._gate.logout(asked.headers, asked.now))
            case call if call in M2M:
                self._gate.check_bearer(asked.headers, "/m2m/v1", asked.now)
                self._gate.use_session(asked.headers, asked.now)
                service = self.sim_secure if call in SIM_WRITES else self._connectivity
                return service.answer(route, asked)
            case _:
                self._gate.check_bearer(asked.headers, f"/fota/{route.version}", asked.now)
                self._gate.check_session(asked.headers, asked.now)
                return self._fota.answer(route, asked)


def _form(asked: Asked) -> Mapping[str, str]:
    return dict(parse_qsl(asked.body.decode(errors="replace")))


def _login(asked: Asked) -> tuple[str, str]:
    if not asked.body:
        raise refusals.uws("INPUT_INVALID.RequestUndefined", "The request is empty.")
    try:
        body = orjson.loads(asked.body)
    except orjson.JSONDecodeError:
        body = None
    said = [body.get(key) for key in ("username", "password")] if isinstance(body, dict) else []
    match said:
        case [str(user), str(password)]:
            return user, password
        case _:
            raise refusals.uws("REQUEST_FAILED.DeserializationFailed", "The request cannot be read.")
