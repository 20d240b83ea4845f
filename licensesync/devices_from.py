"""Lists of devices in CSV files: one IMEI a line, or columns with a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import Final

from licensesync.identifiers import ICCID, ICCID_HINT, IMEI, IMEI_HINT
from licensesync.located import BOM
from licensesync.model import Iccid, Imei, Place
from licensesync.problems import Problems, nearest, shown
from licensesync.roster import Roster

COLUMNS: Final = ("imei", "iccid", "note")
HEADER_HINT: Final = "write a header line such as imei,iccid,note"
_PLAIN: Final = re.compile("(?:[0-9]{14,16}+\r?+\n){1,20000}+|[0-9]{14,16}+$")  # as many as others can wait for

_LINE: Final = re.compile("(?m:^).*")
_QUOTE_OR_COMMA: Final = re.compile('[",]')
_FIELDS: Final = {"imei": "([0-9]{14,16})", "iccid": "([0-9]{18,20}|)", "note": '([^",\r]*)'}
AT_ONCE: Final = 2_000  # lines that are taken at once, if they are alike


def read(written: bytes, file: str, roster: Roster, problems: Problems) -> int:
    """Adds the devices of a CSV file to the roster; says how many lines were meant as devices."""
    try:
        text = written.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problems.add(Place(file, line, column), "this byte is not UTF-8", "save the file as UTF-8")
        return 1
    if _is_plain(text):
        imeis = text.split()
        roster.add_plain(imeis, range(0, len(imeis) << 32, 1 << 32))
        return len(imeis)
    return _Table(file, roster, problems).read(text)


def _is_plain(text: str) -> bool:
    at = 0
    while found := _PLAIN.match(text, at):
        at = found.end()
    return at == len(text)


class _Table:
    """The lines of a file, each of them a record: a quote that is not closed spoils one line and not the rest."""

    def __init__(self, file: str, roster: Roster, problems: Problems) -> None:
        self._file = file
        self._roster = roster
        self._problems = problems
        self._columns: tuple[str, ...] = ("imei",)
        self._has_header = False
        self._header_may_come = True
        self._alike: re.Pattern[str] | None = None
        """What a line looks like that needs no second look."""

    def read(self, text: str) -> int:
        devices = first = 0
        for some in _lines(text):
            taken = self._take_alike(some, first) or self._take_each(some, first)
            if taken is None:
                return 1
            devices += taken
            first += len(some)
        return devices

    def _take_alike(self, lines: Sequence[str], first: int) -> int:
        """Takes lines that hold nothing but all their fields, unquoted and right; none of them if one does not."""
        if self._alike is None:
            return 0
        found = list(map(self._alike.fullmatch, lines))
        if not all(found):
            return 0
        fields = zip(*(match.groups() for match in found if match), strict=True)
        named = dict(zip(self._columns, fields, strict=True))
        if "note" in named:
            self._roster.note(len(self._roster), named["note"])
        positions = range(first << 32, first + len(lines) << 32, 1 << 32)
        self._roster.add_named(named["imei"], named.get("iccid", ()), positions)
        return len(lines)

    def _take_each(self, lines: Sequence[str], first: int) -> int | None:
        """How many of these lines were meant as devices; None where the header is of no use."""
        devices = 0
        for number, line in enumerate(lines, first):
            record = line.removesuffix("\r")
            if not record.strip() or record.lstrip().startswith("#"):
                continue
            fields = self._fields(record, number)
            if self._header_may_come and fields and _is_header(fields):
                if not self._take_header(fields, record, number):
                    return None
            else:
                devices += 1
                self._take_device(fields, record, number)
            self._header_may_come = False
        return devices

    def _fields(self, record: str, number: int) -> list[str]:
        """The fields of a line; none if there is a problem with its quotes."""
        if '"' not in record:
            return record.split(",")
        try:
            return next(csv.reader([record], strict=True))
        except csv.Error:
            self._report(
                number, 0, f"the quotes of {shown(record)} do not match", 'write "…", with "" for a quote inside'
            )
            return []

    def _take_header(self, fields: list[str], record: str, number: int) -> bool:
        self._columns = tuple(map(_column, fields))
        self._has_header = True
        problems = len(self._problems)
        seen: set[str] = set()
        places = chain(_starts(record), repeat(len(record)))  # a lone quote hides where the rest of them begin
        for field, column, where in zip(fields, self._columns, places, strict=False):
            if column not in COLUMNS:
                hint = partial(_header_hint, column)
                self._report(number, where, f"unknown column {shown(field)}", hint)
            elif column in seen:
                self._report(number, where, f"the column {column} stands here a second time", "keep one of the two")
            seen.add(column)
        if "imei" not in self._columns:
            self._report(number, 0, "there is no column imei", HEADER_HINT)
        if len(self._problems) != problems:
            return False
        if self._columns[0] != "note":  # which may begin as a comment does
            self._alike = re.compile(",".join(map(_FIELDS.__getitem__, self._columns)) + "\r?")
        return True

    def _take_device(self, fields: list[str], record: str, number: int) -> None:
        if not fields:
            return
        if len(fields) > len(self._columns):
            hint = "quote what has commas in it" if self._has_header else HEADER_HINT
            message = f"there are {len(fields)} fields here instead of {len(self._columns)}"
            self._report(number, _start(record, len(self._columns)), message, hint)
            return
        named = dict(zip(self._columns, fields, strict=False))
        imei, iccid = named.get("imei", ""), named.get("iccid", "")
        if not IMEI.fullmatch(imei):
            where = _start(record, self._columns.index("imei"))
            self._report(number, where, f"{shown(imei)} is not an IMEI", IMEI_HINT)
        elif iccid and not ICCID.fullmatch(iccid):
            where = _start(record, self._columns.index("iccid"))
            self._report(number, where, f"{shown(iccid)} is not an ICCID", ICCID_HINT)
        else:
            note = named.get("note", "")
            self._roster.add(Imei(imei), Iccid(iccid) if iccid else None, number << 32, note=note)

    def _report(self, number: int, column: int, message: str, hint: str | Callable[[], str]) -> None:
        self._problems.add(Place(self._file, number + 1, column + 1), message, hint)


def _is_header(fields: list[str]) -> bool:
    return any(_column(field) in COLUMNS for field in fields)


def _column(field: str) -> str:
    return field.strip().lower()


def _header_hint(column: str) -> str:
    return f"{HEADER_HINT}{nearest(column, COLUMNS)}"


def _lines(text: str) -> Iterator[Sequence[str]]:
    """The lines, so many at a time: all of them at once would take many times as much as the text."""
    rest = map(itemgetter(0), _LINE.finditer(text))
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _start(record: str, index: int) -> int:
    """Where a field begins in its line, quotes included; the end of the line where there is no such field."""
    return next(islice(_starts(record), index, None), len(record))


def _starts(record: str) -> Iterator[int]:
    """Where the fields begin."""
    yield 0
    quoted = False
    for found in _QUOTE_OR_COMMA.finditer(record):
        quoted ^= found[0] == '"'
        if found[0] == "," and not quoted:
            yield found.end()
