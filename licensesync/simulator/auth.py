"""Knows who may come in: bearer tokens, sessions, and users that too many wrong passwords have locked."""

import binascii
import hmac
import random
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from licensesync.simulator import refusals
from licensesync.simulator.calls import Call
from licensesync.simulator.quirks import (
    BEARER_LIFETIME,
    BEARER_REMAINDER,
    LOGIN_REJECTED,
    ONE_SESSION,
    SESSION_FORM,
    SESSION_KEPT_BY_FOTA,
    SESSION_LIFETIME,
    TOKEN_REJECTED,
    Quirks,
)

FAILURES_THAT_LOCK = 5
_STALE = {  # what is wrong with a session: the code of UWS, its text, and what FOTA makes of it
    "absent": ("REQUEST_FAILED.SessionToken.Format", "The SessionToken is missing.", "The Session token is missing."),
    "unknown": (
        "INPUT_INVALID.SessionToken.Invalid",
        "The SessionToken is not valid.",
        "The Session token is not valid.",
    ),
    "expired": ("REQUEST_FAILED.SessionToken.Expired", "The Session has expired.", "The Session has expired."),
}


@dataclass(frozen=True)
class Credentials:
    """The only ones that are accepted."""

    key: str
    secret: str
    user: str
    password: str


@dataclass
class _Bearer:
    token: str
    ends: float


@dataclass
class _Session:
    user: str
    used: float


class Gate:
    """The door of the service. Time is passed in; tokens are seeded, so that a day can be repeated."""

    def __init__(self, quirks: Quirks, chance: random.Random, credentials: Credentials | None) -> None:
        self._quirks, self._chance, self._credentials = quirks, chance, credentials
        self._bearers: dict[str, _Bearer] = {}
        self._issued = False
        self._sessions: dict[str, _Session] = {}
        self._ended: set[str] = set()
        self._failures: Counter[str] = Counter()

    def token(self, headers: Mapping[str, str], form: Mapping[str, str], now: float) -> Mapping[str, object]:
        """A bearer token for this key: the same one until it ends, with what is left of its life."""
        key = self._key(headers)
        if "grant_type" not in form:
            raise refusals.oauth(400, "invalid_request", "Missing grant_type parameter value")
        if form["grant_type"] != "client_credentials":
            raise refusals.oauth(400, "unsupported_grant_type", "Unsupported grant_type value")
        bearer = self._bearers.get(key)
        if bearer is None or bearer.ends - now < 1:
            bearer = self._bearers[key] = _Bearer(self._uuid(), now + self._lifetime())
        return {
            "access_token": bearer.token,
            "scope": "am_application_scope default",
            "token_type": "Bearer",
            "expires_in": int(bearer.ends - now),
        }

    def revoke(self, headers: Mapping[str, str], form: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of the answer to a revocation; the next token of this key is a new one."""
        key, token = self._key(headers), form.get("token", "")
        if not token:
            raise refusals.oauth(400, "invalid_request", "Missing token parameter value")
        if (bearer := self._bearers.get(key)) and bearer.token == token:
            del self._bearers[key]
        return {"RevokedAccessToken": token}

    def login(self, user: str, password: str, now: float) -> Mapping[str, object]:
        """A session; after five failures in a row no password is right any more."""
        if self._failures[user] >= FAILURES_THAT_LOCK:
            raise refusals.uws(
                "REQUEST_FAILED.Contact.Locked",
                "The user account is locked after 5 failed logins. Contact Verizon support to unlock it.",
            )
        wanted = self._credentials
        right = wanted is None or (_same(user, wanted.user) and _same(password, wanted.password))
        if not (user and password and right) or self._quirks.happens(LOGIN_REJECTED, Call.LOGIN):
            self._failures[user] += 1
            raise refusals.uws("INPUT_INVALID.Password.Invalid", "The user name or the password is not valid.")
        self._failures[user] = 0
        if self._quirks[ONE_SESSION]:
            for token in [token for token, session in self._sessions.items() if session.user == user]:
                self._end(token)
        token = self._uuid()
        self._sessions[token] = _Session(user, now)
        return {"sessionToken": token}

    def logout(self, headers: Mapping[str, str], now: float) -> Mapping[str, object]:
        """Ends the session and echoes its token."""
        token, stale = self._session(headers, now)
        if stale:
            raise _uws_refusal(stale)
        self._end(token)
        return {"sessionToken": token}

    def check_bearer(self, headers: Mapping[str, str], api: str, now: float) -> None:
        """Refuses a call whose bearer token is missing, unknown or too old."""
        if "Authorization" not in headers:
            raise refusals.gateway(401, "900902", "Missing Credentials", f"Required OAuth credentials for API: {api}")
        scheme, _, token = headers["Authorization"].partition(" ")
        if scheme.lower() != "bearer":
            raise refusals.forbidden()
        if not any(bearer.token == token and bearer.ends > now for bearer in self._bearers.values()):
            raise refusals.gateway(401, "900901", "Invalid Credentials", f"Access failure for API: {api}")

    def use_session(self, headers: Mapping[str, str], now: float) -> None:
        """Refuses a call of UWS itself whose session is missing, unknown or too old; else the session is used."""
        token, stale = self._session(headers, now)
        if stale:
            raise _uws_refusal(stale)
        self._sessions[token].used = now

    def check_session(self, headers: Mapping[str, str], now: float) -> None:
        """Refuses a FOTA call whose session is missing, unknown or too old, in one of the wordings of FOTA."""
        token, stale = self._session(headers, now)
        if stale:
            form = self._quirks[SESSION_FORM]
            form = self._chance.choice(("fota", "uws")) if form == "mixed" else form
            if form == "uws":
                raise _uws_refusal(stale)
            if form == "common":
                raise refusals.Refusal(400, "INVALID_ACCESS", "UWS verification failure (Common exception)")
            raise refusals.invalid(f"UWS verification failure ({_STALE[stale][2]})")
        if self._quirks[SESSION_KEPT_BY_FOTA]:
            self._sessions[token].used = now

    def revoke_all(self) -> None:
        """No bearer token is good any more."""
        self._bearers.clear()

    def end_all_sessions(self) -> None:
        for token in list(self._sessions):
            self._end(token)

    def _key(self, headers: Mapping[str, str]) -> str:
        scheme, _, encoded = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise refusals.gateway(401, "900902", "Missing Credentials", "Required OAuth credentials not provided")
        try:
            key, colon, secret = b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise refusals.oauth(401, "invalid_client", "Client Authentication failed.") from None
        wanted = self._credentials
        right = wanted is None or (_same(key, wanted.key) and _same(secret, wanted.secret))
        if not (key and colon and right) or self._quirks.happens(TOKEN_REJECTED, Call.TOKEN):
            raise refusals.oauth(401, "invalid_client", "Client Authentication failed.")
        return key

    def _lifetime(self) -> float:
        remainder = 0.0 if self._issued else self._quirks[BEARER_REMAINDER]
        self._issued = True
        return remainder or self._quirks[BEARER_LIFETIME]

    def _session(self, headers: Mapping[str, str], now: float) -> tuple[str, str]:
        token = headers.get("VZ-M2M-Token", "")
        session = self._sessions.get(token)
        if session and now - session.used >= self._quirks[SESSION_LIFETIME]:
            self._end(token)
            session = None
        if session:
            return token, ""
        return token, "expired" if token in self._ended else "unknown" if token else "absent"

    def _end(self, token: str) -> None:
        self._sessions.pop(token)
        self._ended.add(token)

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


def _uws_refusal(stale: str) -> refusals.Refusal:
    code, text, _ = _STALE[stale]
    return refusals.uws(code, text)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
