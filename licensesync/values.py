"""What a written scalar means: whole numbers, durations, dates, choices, or a problem that says what to write."""

from __future__ import annotations

import ipaddress
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from licensesync.located import Listing, Node, Refused, Table, Text
from licensesync.model import Place
from licensesync.problems import Problems, either, listed, nearest, shown

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
D = TypeVar("D")
E = TypeVar("E", bound=StrEnum)

Schema = Mapping[str, object]

WHOLE: Final = re.compile(r"[+-]?(0|[1-9][0-9]{0,14})")
DECIMAL: Final = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")
SPAN: Final = re.compile(r"(0|[1-9][0-9]{0,8})([smhd])")
DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST_SPAN: Final = timedelta(days=36_500)


class Unfit(Exception):
    """What is written is not of the wanted kind; `hint` replaces the kind's own where it is set."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Kind(Generic[T_co]):
    """What may be written for a key: how it is understood, what to write instead, and its JSON Schema."""

    parse: Callable[[Text], T_co]
    hint: str
    schema: Schema


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read(node: Node, kind: Kind[T], problems: Problems, what: str, otherwise: D) -> T | D:
    """What is written there, or `otherwise`: then its problem has been reported."""
    if isinstance(node, Refused):
        return otherwise
    try:
        return kind.parse(_scalar(node))
    except Unfit as unfit:
        problems.add(node.place, f"{what} {unfit.message}", unfit.hint or kind.hint)
        return otherwise


def _scalar(node: Text | Listing | Table) -> Text:
    match node:
        case Listing():
            raise Unfit("cannot be a list")
        case Table():
            raise Unfit("cannot be a mapping")
        case Text(is_null=True):
            raise Unfit("has no value")
        case _:
            return node


def whole(least: int, most: int | None = None) -> Kind[int]:
    """A whole number; the sign is allowed where negative numbers are."""
    limits = f"{least} or more" if most is None else f"from {least} to {most}"

    def parse(text: Text) -> int:
        number = int(_matching(text, WHOLE, "is not a whole number").group())
        if number < least or (most is not None and number > most):
            raise Unfit(f"{shown(text.value)} is out of range")
        return number

    bounds = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return Kind(parse, f"write a whole number {limits}", {"type": "integer", **bounds})


def decimal(most: float | None = None, *, zero: bool = True) -> Kind[float]:
    """A number that may have decimals."""
    limits = ("0" if zero else "more than 0") + (" or more" if most is None else f" to {most:g}")

    def parse(text: Text) -> float:
        number = float(_matching(text, DECIMAL, "is not a number").group())
        if (most is not None and number > most) or (not number and not zero):
            raise Unfit(f"{shown(text.value)} is out of range")
        return number

    bounds: dict[str, object] = {"minimum": 0} if zero else {"exclusiveMinimum": 0}
    return Kind(parse, f"write a number, {limits}", {"type": "number", **bounds, **({"maximum": most} if most else {})})


def _matching(text: Text, pattern: re.Pattern[str], otherwise: str) -> re.Match[str]:
    if text.quoted and pattern.fullmatch(text.value):
        raise Unfit(f"{shown(text.value)} is quoted", "write it without quotes")
    if match := pattern.fullmatch(text.value):
        return match
    raise Unfit(f"{shown(text.value)} {otherwise}")


def _flag(text: Text) -> bool:
    if text.quoted or text.value not in {"true", "false"}:
        raise Unfit(f"{shown(text.value)} is neither true nor false")
    return text.value == "true"


def span(*, zero: bool = False) -> Kind[timedelta]:
    """A duration."""
    schema = {"type": "string", "pattern": f"^{SPAN.pattern}$"}
    return Kind(lambda text: duration(text.value, zero=zero), "write a duration such as 30s, 15m, 2h or 7d", schema)


def duration(written: str, *, zero: bool = False) -> timedelta:
    """What a duration means. Raises Unfit."""
    if not (match := SPAN.fullmatch(written)):
        raise Unfit(f"{shown(written)} is not a duration")
    meant = timedelta(**{UNITS[match[2]]: int(match[1])})
    if meant > LONGEST_SPAN or (not meant and not zero):
        raise Unfit(f"{shown(written)} is out of range")
    return meant


def _day(text: Text) -> date:
    if not DAY.fullmatch(text.value):
        raise Unfit(f"{shown(text.value)} is not a date")
    try:
        return date.fromisoformat(text.value)
    except ValueError:
        raise Unfit(f"{shown(text.value)} is not in the calendar") from None


def choice(choices: type[E]) -> Kind[E]:
    """One of a closed list."""
    words = [str(member) for member in choices]

    def parse(text: Text) -> E:
        if text.value not in words:
            raise Unfit(f"{shown(text.value)} is not known", f"write {either(words)}{nearest(text.value, words)}")
        return choices(text.value)

    return Kind(parse, f"write {either(words)}", {"type": "string", "enum": words})


def worded(pattern: str, hint: str, *, numeric: bool = False) -> Kind[str]:
    """A text of a certain form, exactly as it was written; `numeric` if editors may take it for a number."""
    form = re.compile(pattern)

    def parse(text: Text) -> str:
        if not form.fullmatch(text.value):
            raise Unfit(f"{shown(text.value)} is not of the right form")
        return text.value

    return Kind(parse, hint, {"type": ["string", "integer"] if numeric else "string", "pattern": f"^({pattern})$"})


def _sentence(text: Text) -> str:
    words = " ".join(text.value.split())
    if not words:
        raise Unfit("is empty")
    if not words.isprintable():
        raise Unfit(f"{shown(text.value)} has control characters in it")
    return words


def _path(text: Text) -> str:
    if not text.value.strip() or not text.value.isprintable():
        raise Unfit(f"{shown(text.value)} is not a path")
    return text.value


def _address(text: Text) -> Address:
    host, colon, port = text.value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not (_is_ip(bare) if bare != host else HOST.fullmatch(host)):
        raise Unfit(f"{shown(text.value)} is not an address to listen at")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise Unfit(f"{shown(text.value)} has no port from 0 to 65535")
    return Address(bare, int(port))


def _address_or_off(text: Text) -> Address | None:
    return None if text.value == "off" else _address(text)


def _url(text: Text) -> str:
    """The URL without a slash at its end; what it may hold of secrets is not shown."""
    if not text.value.isprintable() or " " in text.value:
        raise Unfit("has blanks or control characters in it")
    try:
        url = urlsplit(text.value)
        port = url.port
    except ValueError:
        raise Unfit("is not a URL") from None
    if url.username is not None or url.password is not None:
        raise Unfit("holds a user name or a password", "write the URL without them; credentials have their own files")
    if url.query or url.fragment or "?" in text.value or "#" in text.value:
        raise Unfit("has a query or a fragment", "write the URL without what stands after ? or #")
    if url.scheme not in {"http", "https"} or not url.hostname or port == 0:
        raise Unfit(f"{shown(_origin_of(text.value))} is not a URL" if "://" in text.value else "is not a URL")
    if not (HOST.fullmatch(url.hostname) or _is_ip(url.hostname)):
        raise Unfit(f"{shown(_origin_of(text.value))} names no host")
    return text.value.rstrip("/")


def _origin_of(url: str) -> str:
    """The URL up to its host and port: the path of a webhook's address is a secret."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _cron(text: Text) -> str:
    fields = text.value.split()
    if len(fields) != len(CRON_FIELDS):
        raise Unfit(f"{shown(text.value)} has {len(fields)} fields instead of {len(CRON_FIELDS)}")
    for written, (name, least, most, words) in zip(fields, CRON_FIELDS, strict=True):
        if not all(_is_cron_range(part, least, most, words) for part in written.split(",")):
            raise Unfit(f"{shown(text.value)} has no valid {name}: {shown(written)}")
    if fields[4].startswith("*") and not _has_a_day(fields):
        raise Unfit(f"{shown(text.value)} names days that no month of it has")
    return " ".join(fields)


def _has_a_day(fields: list[str]) -> bool:
    """Whether one of the days of the month is in one of the months; 29 February is."""
    days, months = (cron_numbers(fields[place], CRON_FIELDS[place]) for place in (2, 3))
    return any(days[0] <= monthrange(2028, month)[1] for month in months)


def _is_cron_range(part: str, least: int, most: int, words: tuple[str, ...]) -> bool:
    match = CRON_RANGE.fullmatch(part.lower())
    if not match:
        return False
    first, last, step = match["first"], match["last"], match["step"]
    ends = [words.index(end) + least if end in words else end for end in (first, last) if end and end != "*"]
    if not all(str(end).isdecimal() and least <= int(end) <= most for end in ends):
        return False
    return (first != "*" or last is None) and [int(end) for end in ends] == sorted(map(int, ends)) and step != "0"


def cron_numbers(written: str, field: CronField) -> list[int]:
    """The numbers that a field of a cron expression, of the right form, stands for."""
    _, least, most, words = field
    numbers: set[int] = set()
    for part in written.lower().split(","):
        match = CRON_RANGE.fullmatch(part)
        if not match:
            raise Unfit(f"{shown(written)} is no field of a cron expression")
        first, last = (_cron_number(match[end], least, words) for end in ("first", "last"))
        step = int(match["step"] or 1)
        end = last if last is not None else most if first is None or match["step"] else first
        numbers.update(range(least if first is None else first, end + 1, step))
    return sorted(numbers)


def _cron_number(written: str | None, least: int, words: tuple[str, ...]) -> int | None:
    """The number, None for `*` and nothing."""
    if written is None or written == "*":
        return None
    return words.index(written) + least if written in words else int(written)


CronField = tuple[str, int, int, tuple[str, ...]]
CRON_RANGE: Final = re.compile(
    r"(?P<first>\*|[0-9]{1,2}|[a-z]{3})(-(?P<last>[0-9]{1,2}|[a-z]{3}))?(/(?P<step>[0-9]{1,2}))?"
)
CRON_FIELDS: Final[tuple[CronField, ...]] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
CRON: Final = Kind(_cron, 'write minute, hour, day, month and weekday, such as "*/15 * * * *"', {"type": "string"})
FLAG: Final = Kind(_flag, "write true or false", {"type": "boolean"})
DATE: Final = Kind(_day, "write a day such as 2026-12-01", {"type": "string", "format": "date"})
SENTENCE: Final = Kind(_sentence, "write a few words", {"type": "string", "minLength": 1})
PATH: Final = Kind(_path, "write the path of a file or a folder", {"type": "string", "minLength": 1})
ADDRESS: Final = Kind(_address, "write host:port such as 0.0.0.0:9001", {"type": "string"})
ADDRESS_OR_OFF: Final = Kind(_address_or_off, "write host:port such as 127.0.0.1:9464, or off", {"type": "string"})
URL: Final = Kind(
    _url, "write a URL such as https://thingspace.verizon.com", {"type": "string", "pattern": "^https?://"}
)


class Section:
    """A mapping that is read key by key; what has not been asked for in the end is unknown."""

    def __init__(self, table: Table, problems: Problems, name: str) -> None:
        self.table = table
        self.problems = problems
        self.name = name
        self._asked: list[str] = []

    def __contains__(self, key: str) -> bool:
        self._asked.append(key)
        return key in self.table.values

    def get(self, key: str, kind: Kind[T], otherwise: D) -> T | D:
        """What is written for a key, or `otherwise`: then it is missing, or its problem has been reported."""
        node = self.node(key)
        return otherwise if node is None else read(node, kind, self.problems, key, otherwise)

    def require(self, key: str, kind: Kind[T], otherwise: D) -> T | D:
        """The same, but that it is missing is a problem."""
        if key not in self:
            self.problems.add(
                self.table.place, f"{self.name} has no {key}", kind.hint.replace("write ", f"add {key}: ", 1)
            )
        return self.get(key, kind, otherwise)

    def section(self, key: str) -> Section | None:
        """A mapping inside this one; None if it is missing, or its problem has been reported."""
        node = self.node(key)
        return None if node is None else section(node, self.problems, key)

    def node(self, key: str) -> Node | None:
        return self.table.values[key] if key in self else None

    def place(self, key: str) -> Place:
        """Where the value of a key stands, or would stand."""
        return self.table.values[key].place if key in self else self.table.place

    def close(self) -> None:
        """Reports the keys that nobody asked for."""
        for key in self.table.keys.values():
            if key.value not in self._asked:
                report_unknown(key, self._asked, self.problems)


def section(node: Node, problems: Problems, what: str) -> Section | None:
    """A mapping, or None: then its problem has been reported."""
    if isinstance(node, Table):
        return Section(node, problems, what)
    if not isinstance(node, Refused):
        given = "has no value" if isinstance(node, Text) and node.is_null else "is not a mapping"
        problems.add(node.place, f"{what} {given}", "write its keys below it, each with its value")
    return None


def report_plain_http(url: str, key: str, written: Section, *, insecure: bool) -> None:
    """Plain http would show credentials to whoever listens in between."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname or ""):
        message = f"{key} {shown(_origin_of(url))} is plain http beyond this machine"
        written.problems.add(written.place(key), message, "write https://, or insecure: true below thingspace")


def report_unknown(key: Text, known: Iterable[str], problems: Problems) -> None:
    """Says that there is no such key, and which one may be meant."""
    words = list(dict.fromkeys(known))
    problems.add(
        key.place,
        f"unknown key {shown(key.value)}",
        lambda: f"write one of {listed(words)}{nearest(key.value, words)}",
    )
