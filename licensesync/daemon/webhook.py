"""A webhook: the form of a message to it, and the way there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from licensesync.alarms import Notice, Stage
from licensesync.credentials import webhook_credentials
from licensesync.errors import LicenseSyncError
from licensesync.notices import NoticeForm, Notifications
from licensesync.render.words import clean
from licensesync.thingspace.transport import USER_AGENT, proxy_for
from licensesync.thingspace.wire import retry_after
from licensesync.values import is_loopback

PATIENCE: Final = 10.0
"""Seconds that a webhook has to answer."""

LONGEST: Final = 3000
"""Characters of a message: what is longer is cut, as Slack would."""

SIGNS: Final[Mapping[Stage, str]] = {
    Stage.RAISED: ":warning:",
    Stage.LASTING: ":hourglass:",
    Stage.RECOVERED: ":white_check_mark:",
}

APART: Final = "\u200b"
STEERING: Final = ((r"&", "&amp;"), (r"<", "&lt;"), (r">", "&gt;"), (r"(?<!\w)@", f"@{APART}"), (r"\]\(", f"]{APART}("))

UNFIT: Final = frozenset({400, 413, 422})
"""Answers by which a webhook says that it does not take this one message."""

BUSY: Final = frozenset({429, 503})
"""Answers by which it may say in `Retry-After` how long it wants to be left alone."""


class Undelivered(LicenseSyncError):
    """A message did not reach its webhook; this names its host and nothing else of its address.

    `unfit` says that the webhook does not take this message, and may well take another; `retry_after` is for how many
    seconds it asked to be left alone, 0 if it did not.
    """

    def __init__(self, message: str, *, unfit: bool = False, retry_after: float = 0) -> None:
        super().__init__(message)
        self.unfit = unfit
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where messages go. The address may be a secret."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    form: NoticeForm

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


def message(notice: Notice, form: NoticeForm) -> Mapping[str, object]:
    """What the webhook is sent."""
    return FORMS[form](notice)


def _json(notice: Notice) -> Mapping[str, object]:
    return {
        "version": 1,
        "kind": "notification",
        "alarm": notice.subject.alarm,
        "stage": notice.stage,
        "pool": notice.subject.pool or None,
        "text": clean(notice.what.text)[:LONGEST],
        "since": _rfc3339(notice.since),
        "run": notice.occasion.run,
        "commit": notice.occasion.commit,
        "author": notice.occasion.author,
    }


def _slack(notice: Notice) -> Mapping[str, object]:
    """https://docs.slack.dev/messaging/formatting-message-text/: three characters steer it, and must be escaped.

    Those who follow it take Markdown and `@all` in a text as well: what has no width keeps these apart.
    """
    whose = f"{notice.subject.pool}: " if notice.subject.pool else ""
    lasting = f" (since {_rfc3339(notice.since)})" if notice.stage is Stage.LASTING else ""
    seen = notice.occasion
    at = f", at {seen.commit[:10]}" if seen.commit else ""
    by = f" by {seen.author}" if seen.commit and seen.author else ""
    told = clean(f"licensesync {whose}{notice.what.text}{lasting}{at}{by}")[:LONGEST]
    for written, harmless in STEERING:
        told = re.sub(written, harmless, told)
    return {"text": f"{SIGNS[notice.stage]} {told}"}


FORMS: Final[Mapping[NoticeForm, Callable[[Notice], Mapping[str, object]]]] = {
    NoticeForm.JSON: _json,
    NoticeForm.SLACK: _slack,
}


def _rfc3339(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def webhook(wanted: Notifications, environ: Mapping[str, str], *, insecure: bool) -> Webhook:
    """Raises LicenseSyncError if there is no address that may be used."""
    secret = webhook_credentials(environ)
    url = wanted.webhook or secret.url
    if not url:
        raise Undelivered("there is no webhook; write notifications.webhook, or give WEBHOOK_URL")
    if not _is_fit(url, insecure=insecure):
        raise Undelivered(
            "WEBHOOK_URL is no https address; write the one that the webhook's service shows, without a user"
        )
    return Webhook(url, secret.token, wanted.form)


def _is_fit(url: str, *, insecure: bool) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_private = parts.scheme == "https" or insecure or is_loopback(parts.hostname or "")
    has_host = bool(parts.hostname) and parts.username is None and port != 0
    return parts.scheme in {"http", "https"} and has_host and is_private


async def post(to: Webhook, body: Mapping[str, object], environ: Mapping[str, str]) -> None:
    """Sends a message; raises Undelivered. A redirect is not followed: it could lead the token elsewhere."""
    headers = {"User-Agent": USER_AGENT} | ({"Authorization": f"Bearer {to.token}"} if to.token else {})
    proxy = proxy_for(to.url, environ)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(
                to.url,
                json=body,
                headers={**headers, **proxy.request_headers},
                proxy=proxy.address,
                proxy_headers=proxy.connect_headers,
                allow_redirects=False,
            ) as answer,
        ):
            status, asked = answer.status, retry_after(answer.headers, datetime.now(UTC)) or 0
    except TimeoutError:
        raise Undelivered(f"{to.host} did not answer within {PATIENCE:.0f} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:  # their words may have the address
        raise Undelivered(f"{to.host} cannot be reached: {type(error).__name__}") from None
    if status in UNFIT:
        words = f"{to.host} answered {status}, it does not take this message"
        raise Undelivered(f"{words}; see whether {to.form} is the notifications.format that it wants", unfit=True)
    if status in BUSY:
        raise Undelivered(f"{to.host} answered {status}: it is too busy, and is asked again later", retry_after=asked)
    if not 200 <= status < 300:
        raise Undelivered(f"{to.host} answered {status}; see whether its address and WEBHOOK_TOKEN are right")
