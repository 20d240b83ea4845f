"""What goes over the wire: a request together with how to read its answer, and errors as classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import msgspec

from licensesync.errors import (
    ApiError,
    NoSuchResource,
    RateLimited,
    RequestRejected,
    ServerBroken,
    StaleBearer,
    StaleSession,
    UnexpectedReply,
    Unreachable,
)

T = TypeVar("T")
Answer = TypeVar("Answer")

EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request to ThingSpace and how to read its answer.

    `what` names it in messages and metrics. `path` is below the service's base address and already quoted.
    `read` turns the body of a success into a value, or raises `UnexpectedReply`. Of a `confidential` answer no message
    quotes anything but an error's code.
    """

    what: str
    method: str
    path: str
    read: Callable[[bytes], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    confidential: bool = False


class Read(Call[T]):
    """A call that changes nothing, and may be repeated freely."""


class Write(Call[T]):
    """A call that changes something: repeated only when the service said that it did nothing."""


def answer_of(answer: type[Answer], what: str, *, quote: bool = True) -> Callable[[bytes], Answer]:
    """A reader of JSON bodies of one documented form; anything else is an `UnexpectedReply` that quotes its start.

    With `quote=False` nothing of the body is quoted: some answers hold secrets.
    """
    decoder = msgspec.json.Decoder(answer)

    def read(body: bytes) -> Answer:
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            quoted = f" ({error}): {excerpt(body)}" if quote else ""
            raise UnexpectedReply(f"{what}: the answer is not what Verizon documents{quoted}") from None

    return read


def error_code(body: bytes) -> str:
    """The code of an error, in whatever form the body has it; empty where there is none."""
    return _code_and_words(body)[0]


def excerpt(body: bytes | str) -> str:
    """The start of a foreign body, on one line, without control characters."""
    start = body[: 4 * EXCERPT]
    text = start if isinstance(start, str) else start.decode("utf-8", "replace")
    shown = "".join(char if char.isprintable() else " " for char in text)
    shown = " ".join(shown.split())
    return f"{shown[:EXCERPT]}…" if len(shown) > EXCERPT else shown or "(empty)"


def error_for(what: str, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> ApiError:
    """The error that an answer other than success stands for.

    Verizon answers in several forms: its own errorCode, the gateway's fault (JSON or XML), OAuth's error, HTML of
    proxies, nothing at all. https://thingspace.verizon.com/documentation/api-documentation.html (error tables)
    """
    code, words = _code_and_words(body)
    told = " ".join(part for part in (code, words) if part and part != str(status))
    error = _class_for(status, code, words)
    wait = retry_after(headers, now)
    asked = "" if wait is None else f"; it asks to wait {wait:.0f} s"
    message = f"{what}: HTTP {status} {told}{asked}{_next_step(error, status, headers)}"
    return error(message, status=status, code=code, retry_after=wait)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a `Retry-After` asks for, in either of its forms; None where there is none that makes sense."""
    written = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", written):
        return float(written)
    try:
        at = parsedate_to_datetime(written)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp())


def clock_skew(headers: Mapping[str, str], asked: datetime, answered: datetime) -> float | None:
    """By how many seconds the clock that told when was asked and answered is ahead of the one that wrote `Date`.

    Zero where the service's time may lie between the two; None where there is no time that makes sense.
    """
    try:
        at = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    ahead, behind = (asked - at).total_seconds() - 1, (at - answered).total_seconds()  # Date has whole seconds
    return ahead if ahead > 0 else -behind if behind > 0 else 0.0


def moment(written: str | None) -> datetime | None:
    """A time in any form that ThingSpace is documented to write; None for nonsense, none, 1900 and year 1."""
    found = _MOMENT.fullmatch(written or "")
    if not found:
        return None
    year, month, day, hour, minute, second, fraction = found.groups(default="0")
    microsecond = int(fraction[:6].ljust(6, "0"))
    try:
        return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), microsecond, UTC)
    except ValueError:
        return None


_MOMENT = re.compile(
    r"(?!1900|0001)(\d{4})-(\d\d?)-(\d\d?)[T ](\d\d?):(\d\d?):(\d\d?)(?:\.(\d+))?(?:Z| ?\+0000(?: UTC)?| UTC|)"
)


def _code_and_words(body: bytes) -> tuple[str, str]:
    """The code and the words of an error body in any of its forms; the start of the body where it has none."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _code_and_words_of_xml(body)
    if not isinstance(told, dict):
        return "", excerpt(body)
    told = told["fault"] if isinstance(told.get("fault"), dict) else told
    code = _first_text(told, "errorCode", "code", "error", "responseCode")
    words = _first_text(told, "errorMessage", "message", "error_description", "description")
    return (code, words) if code or words else ("", excerpt(body))


def _first_text(told: dict[str, Any], *names: str) -> str:
    found = next((told[name] for name in names if isinstance(told.get(name), str | int)), "")
    return excerpt(str(found)) if found != "" else ""


def _code_and_words_of_xml(body: bytes) -> tuple[str, str]:
    text = body[:4000].decode("utf-8", "replace")
    code = re.search(r"<(?:\w+:)?code>\s*(\w+)\s*</", text)
    words = re.search(r"<(?:\w+:)?message>([^<]*)</", text)
    if code:
        return code[1], excerpt(words[1]) if words else ""
    return "", excerpt(body)


_STALE_SESSION = re.compile(r"session\b.*\bexpired|UWS verification failure.*(session|common exception)", re.IGNORECASE)


def _class_for(status: int, code: str, words: str) -> type[ApiError]:
    """The first that applies: what the code says counts for more than the status, which Verizon chooses loosely."""
    signs: tuple[tuple[bool, type[ApiError]], ...] = (
        (".SessionToken." in code or bool(_STALE_SESSION.search(words)), StaleSession),
        (status == 429 or bool(re.fullmatch(r"90080\d", code)), RateLimited),
        (status == 401, StaleBearer),
        (status == 404 or code == "900906", NoSuchResource),
        (status == 408, Unreachable),
        (status >= 500 or code.endswith("REQUEST_FAILED.UnexpectedError"), ServerBroken),
        (status < 300, UnexpectedReply),
    )
    return next((error for applies, error in signs if applies), RequestRejected)


def _next_step(error: type[ApiError], status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        host = re.match(
            r"(?:https?:)?//(?:[^/?#]*@)?([\w.:\[\]-]{1,253})(?=[/?#]|$)", headers.get("Location", ""), re.ASCII
        )
        return f"; it redirects to {host[1] if host else 'elsewhere'}, which is never followed; check thingspace.url"
    if error is NoSuchResource:
        return "; check the account's name and thingspace.url"
    if status == 403:
        return "; this user may not use this account or service: check pools.*.account and the rights of the key"
    return ""
