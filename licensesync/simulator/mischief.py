"""Decides what goes wrong around a call: what is refused before it, and what happens to its answer after it."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from licensesync.simulator import refusals
from licensesync.simulator.auth import Gate
from licensesync.simulator.calls import Call
from licensesync.simulator.exchange import Asked, Reply
from licensesync.simulator.quirks import (
    BEARER_DIES,
    CUT_OFF,
    DELAY,
    DELAYED,
    EMPTY_200,
    ERROR_429,
    ERROR_500,
    ERROR_500_AFTER_EFFECT,
    ERROR_502,
    ERROR_503,
    FORBIDDEN,
    GATEWAY_SHAPE,
    HTML_200,
    LOGIN_HICCUP,
    LOST_AFTER_EFFECT,
    LOST_BEFORE_EFFECT,
    REDIRECT,
    REDIRECT_TO,
    RETRY_AFTER,
    RETRY_AFTER_429,
    RETRY_AFTER_503,
    SERVICE_SHAPE,
    SESSION_DIES,
    TRUNCATED_JSON,
    Quirks,
)
from licensesync.simulator.refusals import Refusal, Source
from licensesync.simulator.values import Dose, Quirk

ELSEWHERE = "/_sim/elsewhere"
_SPARED_FOR = 3  # answers that a request gets in peace after chance has spoiled one
_HTML = b"<!DOCTYPE html><html><body><h1>Please log in to the network</h1></body></html>"

Key = tuple[str, str, str, bytes]


class Mischief:
    """What goes wrong around calls. What chance spoils once, it does not spoil again at once.

    So a client that repeats a request always gets through, however unkind the day; `on`, `2x` and `#3` spare nobody.
    """

    def __init__(self, quirks: Quirks, chance: random.Random, gate: Gate) -> None:
        self._quirks, self._chance, self._gate = quirks, chance, gate
        self._spared: dict[Key, int] = {}
        self.host = ""

    def before(self, call: Call, asked: Asked) -> Reply | None:
        """Refuses the call, loses it, or lets it pass; nothing of the world has changed then."""
        if self._strikes(LOST_BEFORE_EFFECT, call, asked):
            return Reply(lost=True)
        for quirk, refuse in self._refusals():
            if self._strikes(quirk, call, asked):
                raise refuse(asked)
        if self._strikes(BEARER_DIES, call, asked):
            self._gate.revoke_all()
        if self._strikes(SESSION_DIES, call, asked):
            self._gate.end_all_sessions()
        return None

    def after(self, call: Call, asked: Asked, reply: Reply) -> Reply:
        """The answer as it reaches the client; all that the call does is done."""
        if self._strikes(DELAYED, call, asked):
            reply = replace(reply, delay=self._quirks[DELAY])
        spoiled = self._spoiled(call, asked, reply)
        if spoiled is None:
            self._forgive(asked)
        return spoiled or reply

    def refusal(self, refusal: Refusal) -> Reply:
        """The answer that a refusal is, in the shape that the quirks want."""
        shape = self._shape(refusal)
        body, content_type = refusal.body(shape)
        return Reply(refusal.status, body, content_type, refusal.headers)

    def _refusals(self) -> tuple[tuple[Quirk[Dose], Callable[[Asked], Refusal]], ...]:
        return (
            (ERROR_503, self._unavailable),
            (ERROR_500, lambda _: refusals.gateway(500, "500", "Internal Server Error")),
            (ERROR_502, lambda _: Refusal(502, "502", "Bad Gateway", source=Source.FIXED, own_shape="html")),
            (ERROR_429, self._too_many),
            (LOGIN_HICCUP, lambda _: refusals.uws("REQUEST_FAILED.UnexpectedError", "An unexpected error occurred.")),
            (FORBIDDEN, lambda _: refusals.forbidden()),
            (REDIRECT, self._redirect),
        )

    def _spoiled(self, call: Call, asked: Asked, reply: Reply) -> Reply | None:
        for quirk, spoil in _SPOILERS:
            if self._strikes(quirk, call, asked):
                return spoil(reply)
        return None

    def _strikes(self, quirk: Quirk[Dose], call: Call, asked: Asked) -> bool:
        by_chance = 0 < self._quirks[quirk].chance < 1
        key = _key(asked)
        if by_chance and key in self._spared:
            return False
        strikes = self._quirks.happens(quirk, call)
        if strikes and by_chance:
            self._spared[key] = _SPARED_FOR
        return strikes

    def _forgive(self, asked: Asked) -> None:
        key = _key(asked)
        if key in self._spared:
            self._spared[key] -= 1
            if not self._spared[key]:
                del self._spared[key]

    def _shape(self, refusal: Refusal) -> str:
        wanted = self._quirks[GATEWAY_SHAPE]
        if refusal.source is Source.SERVICE:
            return self._quirks[SERVICE_SHAPE]
        if refusal.source is not Source.GATEWAY or wanted == "documented":
            return refusal.shape
        if wanted == "mixed":
            telling = refusal.status == 400
            return self._chance.choice(refusals.SHAPES_WITH_CODE if telling else refusals.GATEWAY_SHAPES)
        return wanted

    def _unavailable(self, asked: Asked) -> Refusal:
        text = "The service is temporarily unavailable"
        headers = self._retry_after(self._quirks[RETRY_AFTER_503], asked.now)
        return Refusal(503, "303001", text, source=Source.GATEWAY, headers=headers)

    def _too_many(self, asked: Asked) -> Refusal:
        headers = self._retry_after(self._quirks[RETRY_AFTER_429], asked.now)
        return Refusal(429, "900802", "Message throttled out", source=Source.GATEWAY, headers=headers)

    def _retry_after(self, seconds: int, now: float) -> dict[str, str]:
        form = self._quirks[RETRY_AFTER]
        form = self._chance.choice(("seconds", "date")) if form == "mixed" else form
        if not seconds or form == "absent":
            return {}
        at = datetime.fromtimestamp(now, UTC) + timedelta(seconds=seconds)
        return {"Retry-After": str(seconds) if form == "seconds" else format_datetime(at, usegmt=True)}

    def _redirect(self, _: Asked) -> Refusal:
        to = self._quirks[REDIRECT_TO] or f"http://{self.host}{ELSEWHERE}"
        return Refusal(
            307, "307", "Temporary Redirect", source=Source.FIXED, own_shape="empty", headers={"Location": to}
        )


def _key(asked: Asked) -> Key:
    return asked.method, asked.path, str(sorted(asked.query.items())), asked.body


def _error_500(reply: Reply) -> Reply:
    return reply.instead(500, *refusals.gateway(500, "500", "Internal Server Error").body("fault"))


_SPOILERS: tuple[tuple[Quirk[Dose], Callable[[Reply], Reply]], ...] = (
    (LOST_AFTER_EFFECT, lambda reply: replace(reply, lost=True)),
    (ERROR_500_AFTER_EFFECT, _error_500),
    (CUT_OFF, lambda reply: replace(reply, cut=True)),
    (TRUNCATED_JSON, lambda reply: reply.instead(body=reply.body[: len(reply.body) * 2 // 3])),
    (HTML_200, lambda reply: reply.instead(body=_HTML, content_type="text/html")),
    (EMPTY_200, lambda reply: reply.instead()),
)
