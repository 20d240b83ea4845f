"""What the settings say of notifications: where a webhook is told of changes of state, in which form, how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from licensesync.values import URL, Section, choice, report_plain_http, span, whole


class NoticeForm(StrEnum):
    """What a webhook is sent: a JSON document of ours, or a text as Slack and those who follow it take it."""

    JSON = "json"
    SLACK = "slack"


@dataclass(frozen=True, slots=True)
class Notifications:
    """`webhook` is None where the address is a secret, and comes as the credential WEBHOOK_URL.

    A state that lasts is told again after `repeat`; a pool is told of as unreadable after so many runs in a row.
    """

    webhook: str | None = None
    form: NoticeForm = NoticeForm.JSON
    repeat: timedelta = timedelta(days=1)
    unreadable_after: int = 3


def read_notifications(written: Section | None, *, insecure: bool) -> Notifications | None:
    """The notifications, None where none are wanted; `insecure` allows plain http beyond this machine."""
    if not written:
        return None
    default = Notifications()
    notifications = Notifications(
        written.get("webhook", URL, None),
        written.get("format", NOTICE_FORM, default.form),
        written.get("repeat", span(), default.repeat),
        written.get("unreadable_after", UNREADABLE_AFTER, default.unreadable_after),
    )
    written.close()
    if notifications.webhook:
        report_plain_http(notifications.webhook, "webhook", written, insecure=insecure)
    return notifications


NOTICE_FORM: Final = choice(NoticeForm)
UNREADABLE_AFTER: Final = whole(1)
