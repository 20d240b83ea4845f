"""Finds the long runs of lines in an inventory that name devices in one form, and folds them for the parser.

A parser of YAML needs more than a microsecond for every event. Lines that look alike mean alike: where it says that
the first of a run is an item of a list of devices, so are the others, and it need not see them. Whatever has the least
peculiarity stays for the parser.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import ItemsView, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs do not list what the module offers
from yaml.error import YAMLError
from yaml.events import (
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

FEWEST: Final = 16  # items of a run
MOST: Final = 10_000  # items that are looked at in one go: other threads wait meanwhile
MOST_MISSES: Final = 2_000  # items that begin no run, after which the rest of a file is left to the parser
DEVICES: Final = "devices"
"""The key whose list runs are items of."""
DEEPEST: Final = 20  # levels of a document that is read
BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line, as YAML counts them."""
OTHER: Final = "\0"
"""What stands for a part of an item that no run has: a list, an alias, something with a tag."""


class Record(NamedTuple):
    """A device as a run has it; what it does not have is empty."""

    imei: str
    iccid: str
    note: str
    consent: str


@dataclass(frozen=True, slots=True)
class Run:
    """Items of one form, each of so many lines: the first begins at this line and column, both counted from 0."""

    line: int
    column: int
    items: int
    document: bytes = field(repr=False)
    span: tuple[int, int]
    form: _Form

    @property
    def written(self) -> bytes:
        return self.document[slice(*self.span)]

    @property
    def first(self) -> bytes:
        """The lines of the first item."""
        return b"\n".join([*self.written.split(b"\n", self.form.lines)[: self.form.lines], b""])

    @property
    def is_plain(self) -> bool:
        """Whether every item is an IMEI and nothing else."""
        return self.form.is_plain

    @property
    def lines_left_out(self) -> int:
        return (self.items - 1) * self.form.lines

    @property
    def positions(self) -> range:
        """Where the items begin, line and column packed into one number."""
        first, step = self.line << 32 | self.column, self.form.lines << 32
        return range(first, first + self.items * step, step)

    def imeis(self) -> list[str]:
        """The items of a plain run."""
        text = self.written.decode()
        return self.form.item.findall(text) if "#" in text else text.translate(_BARE).split()

    def records(self) -> list[tuple[str, str, str, str]]:
        """The items of a run of mappings: IMEI, ICCID, note as it is written, consent; empty where there is none."""
        return self.form.item.findall(self.written.decode())

    def scalars(self) -> list[str]:
        """The scalars of the first item, as a parser should see them."""
        found = self.form.item.findall(self.first.decode())[0]
        if self.is_plain:
            return [found]
        record = Record(*found)
        return [text for key, value in record._asdict().items() if value for text in (key, unquoted(value))]


def unquoted(note: str) -> str:
    """What the note of a record says."""
    return note[1:-1] if note.startswith('"') else note.rstrip()


class Folded:
    """A document without what repeats: of every run only its first item is left in `document`."""

    def __init__(self, document: bytes, runs: Sequence[Run]) -> None:
        self.document = document
        self._shifts = list(accumulate((run.lines_left_out for run in runs), initial=0))
        self._starts = [run.line - shift for run, shift in zip(runs, self._shifts, strict=False)]
        self._runs = dict(zip(self._starts, runs, strict=True))

    @property
    def runs(self) -> ItemsView[int, Run]:
        """The runs, each with the line of the folded document at which its first item begins."""
        return self._runs.items()

    def line(self, folded: int) -> int:
        """The line of the whole document that a line of the folded one is."""
        return folded + self._shifts[bisect_left(self._starts, folded)]

    def run_at(self, folded: int) -> Run | None:
        """The run whose first item begins at a line of the folded document."""
        return self._runs.get(folded)

    def next_start(self, folded: int) -> float:
        """The first line of the folded document from this one on at which a run begins; infinite if there is none."""
        found = bisect_left(self._starts, folded)
        return self._starts[found] if found < len(self._starts) else float("inf")


def fold(written: bytes) -> Folded:
    """The document with its runs folded, or as it is: where that spares little, or the parser sees no such items."""
    parts, runs = _parts(written)
    folded = Folded(b"".join(parts), runs)
    if 2 * len(folded.document) < len(written) and _are_items(folded):
        return folded
    return Folded(written, ())


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to write a device: a run of it, one item of it with what it says, and its lines."""

    run: re.Pattern[bytes]
    item: re.Pattern[str]
    lines: int
    is_plain: bool = False


_BARE: Final = str.maketrans("", "", "\"'- ")
_BEGIN: Final = re.compile(rb"^( *+)- (\{ ?imei: |imei: |)([\"']?)[0-9]{14,16}+\3", re.MULTILINE)
_END: Final = " *+(?:(?<= )#[ -~]*+)?+\r?+\n"
_NOTE: Final = r"""((?:"[ !#-\[\]-~]*+"|[A-Za-z0-9][A-Za-z0-9 ._/+-]*+))"""


@cache
def _forms(beginning: bytes, quote: bytes) -> list[_Form]:
    """The ways in which a device may be written that begins so."""
    imei = f"{quote.decode()}([0-9]{{14,16}}+){quote.decode()}"
    iccids = ["()", *(f"iccid: {each}([0-9]{{18,20}}+){each}" for each in ('"', "'", ""))]
    if not beginning:
        return [_form([imei], is_plain=True)]
    if beginning == b"imei: ":
        notes = ["()", f"note: {_NOTE}"]
        return [_form([f"imei: {imei}", iccid, f"{note}()"]) for iccid in iccids for note in notes]
    tail = rf"(?:, ?note: {_NOTE})?+(?:, ?consent: (lifetime))?+ ?\}}"
    return [_form([rf"\{{ ?imei: {imei}{', ?' if ':' in iccid else ''}{iccid}{tail}"]) for iccid in iccids]


def _form(keys: Sequence[str], *, is_plain: bool = False) -> _Form:
    """Keys that stand on lines of their own, those that say nothing on none."""
    lines = "".join(key if key.startswith("()") else f"INDENT{key}{_END}" for key in keys).removeprefix("INDENT")
    once = lines.replace("INDENT", "(?:(?P=indent)  )")
    bare = re.sub(r"(?<!\\)\((?![?])", "(?:", once)  # what a run captures is of no use
    run = f"(?P<indent> *+)- {bare}(?:(?P=indent)- {bare}){{{FEWEST - 1},{MOST - 1}}}(?!(?P=indent) )"
    item = f"^ *+- {lines.replace('INDENT', ' *+')}"
    return _Form(re.compile(run.encode()), re.compile(item, re.MULTILINE), lines.count(_END), is_plain)


def _parts(written: bytes) -> tuple[list[bytes], list[Run]]:
    """What is left of the document, and the runs of which the first items are among it."""
    parts: list[bytes] = []
    runs: list[Run] = []
    line = end = at = misses = 0
    while misses < MOST_MISSES and (begins := _BEGIN.search(written, at)):
        form, lines = _longest(written, begins)
        if form is None:
            misses, at = misses + 1, begins.end()
            continue
        before = written[end : begins.start()]
        line += _breaks(before)
        at = begins.start() + len(lines)
        items = lines.count(b"\n") // form.lines
        runs.append(Run(line, len(begins[1]) + 2, items, written, (begins.start(), at), form))
        parts += [before, runs[-1].first]
        line += items * form.lines
        end = at
    return [*parts, written[end:]], runs


def _longest(written: bytes, begins: re.Match[bytes]) -> tuple[_Form | None, bytes]:
    for form in _forms(begins[2].replace(b"{ ", b"{"), begins[3]):
        if found := form.run.match(written, begins.start()):
            return form, found[0]
    return None, b""


def _breaks(before: bytes) -> int:
    """How many lines end here, as YAML counts them."""
    if before.isascii():
        return before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
    return sum(1 for _ in BREAK.finditer(before.decode(errors="replace")))


def _are_items(folded: Folded) -> bool:
    """Whether the parser sees just the first item of each run where it begins, in a list of devices."""
    seen = _Seen(folded.document, {(line, run.column) for line, run in folded.runs})
    return all(seen.items.get((line, run.column)) == run.scalars() for line, run in folded.runs)


class _Seen:
    """What a parser sees of lists of devices: the scalars of the items at some lines and columns."""

    def __init__(self, document: bytes, wanted: AbstractSet[tuple[int, int]]) -> None:
        self.items: dict[tuple[int, int], list[str]] = {}
        self._wanted = wanted
        self._events: Iterator[Any] = iter(CParser(document).get_event, None)
        try:
            next(self._events)  # the stream
            next(self._events)  # the document
            self._node(next(self._events), "", 0, is_wanted=False)
            ends = [event.__class__ for event in self._events]
        except (YAMLError, StopIteration):
            ends = []
        if ends != [DocumentEndEvent, StreamEndEvent]:  # what is wrong is told of the whole document
            self.items.clear()

    def _node(self, event: Any, key: str, depth: int, *, is_wanted: bool) -> list[str]:
        """The scalars of a node that is the value of a key; those in a mapping only where they are wanted."""
        if depth > DEEPEST:
            raise YAMLError
        texts = [OTHER] if event.anchor or getattr(event, "tag", None) else []
        match event:
            case ScalarEvent():
                texts.append(event.value)
            case MappingStartEvent():
                while (name := next(self._events)).__class__ is not MappingEndEvent:
                    names = self._node(name, "", depth + 1, is_wanted=is_wanted)
                    values = self._node(next(self._events), names[0], depth + 1, is_wanted=is_wanted)
                    texts += [*names, *values] if is_wanted else []
            case SequenceStartEvent():
                while (item := next(self._events)).__class__ is not SequenceEndEvent:
                    place = item.start_mark.line, item.start_mark.column
                    scalars = self._node(item, "", depth + 1, is_wanted=place in self._wanted)
                    if key == DEVICES and place in self._wanted:
                        self.items[place] = scalars
        return texts or [OTHER]
