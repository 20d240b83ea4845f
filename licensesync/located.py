"""YAML as located values: what was written, and where, with everything refused that hides what is meant.

Small things are read as a tree (`tree`, `Stream.node`). Long lists are walked on the event stream itself, because a
tree of a million devices would cost minutes and gigabytes; runs of lines that look alike are not even parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NoReturn

from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs do not list what the module offers
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

from licensesync.model import Place
from licensesync.problems import Problems, shown
from licensesync.runs import BREAK, DEEPEST, Run, fold

SCALAR: Final[type[Any]] = ScalarEvent  # events whose marks are there, whatever their types say
MAPPING: Final[type[Any]] = MappingStartEvent
TOO_DEEP = (f"this is nested more than {DEEPEST} deep", "write it flatter")
NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
CHUNK: Final = 200  # events that are parsed at once: too few to wake the garbage collector
LONGEST_RECORD: Final = 16  # events of a mapping that is read as a record
MOST_VALUES: Final = 50_000  # of a tree, and keys of one mapping: each takes a hundred times the bytes of its text
BOM: Final = b"\xef\xbb\xbf"
TAG_DIRECTIVE: Final = re.compile(b"(?:(?<![^\r\n])|(?<=\xc2\x85)|(?<=\xe2\x80[\xa8\xa9]))%TAG")
"""Where a line begins so. The parser compares each of them with all before it."""


class Unparsable(Exception):
    """The rest of the file cannot be read; the problem has been reported."""


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as it was written, before anybody takes it for a number, a date or a boolean."""

    value: str
    quoted: bool
    place: Place

    @property
    def is_null(self) -> bool:
        return not self.quoted and self.value in NULLS


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with text keys, each of which stands once."""

    keys: dict[str, Text]
    values: dict[str, Node]
    place: Place


@dataclass(frozen=True, slots=True)
class Refused:
    """Something whose problem has been reported already: nothing more is to be said about it."""

    place: Place


Node = Text | Listing | Table | Refused


def tree(written: bytes, file: str, problems: Problems) -> Node | None:
    """A whole small file, or None if it is empty or cannot be parsed; then there is a problem."""
    try:
        stream = Stream(written, file, problems)
        if not stream.begin():
            return None
        root = stream.node()
        stream.end()
    except Unparsable:
        return None
    return root


def at(file: str, position: int) -> Place:
    """The place that a packed position means."""
    return Place(file, (position >> 32) + 1, (position & 0xFFFF_FFFF) + 1)


def packed(place: Place) -> int:
    """Line and column as one number."""
    return place.line - 1 << 32 | place.column - 1


class Stream:
    """The events of one YAML document, one by one or in runs; the caller takes each node that it comes to."""

    def __init__(self, written: bytes, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self._written = written.removeprefix(BOM)
        self._parsed: list[Any] = []
        self._next = 0
        self._depth = 0
        self._size = 0
        self._error: YAMLError | None = None
        if self._written.startswith((b"\xff\xfe", b"\xfe\xff")):
            self._stop(Place(file, 1, 1), "the file is UTF-16", "save it as UTF-8")
        if b"%TAG" in self._written and (found := TAG_DIRECTIVE.search(self._written)):
            place = self._behind(self._written[: found.start()].decode(errors="replace"))
            self._stop(place, "tags and their directives are not read", "remove this line")
        self._folded = fold(self._written)
        self._unparsed: Iterator[Any] = iter(CParser(self._folded.document).get_event, None)

    def begin(self) -> bool:
        """Goes to the root node; False, with a problem, if there is none."""
        self._take()
        if self._peek().__class__ is StreamEndEvent:
            self.problems.add(Place(self.file, 1, 1), "the file is empty", "write its content, or delete it")
            return False
        self._take()
        return True

    def end(self) -> None:
        """Makes sure that nothing follows the document."""
        self._take()
        follower = self._peek()
        if follower.__class__ is DocumentStartEvent:
            self._stop(self._place(follower), "a second document begins here", "write one document for each file")

    def node(self) -> Node:
        """The next node with everything in it, as a tree."""
        self._size = 0
        return self._node()

    def _node(self) -> Node:
        event = self._take()
        place = self._place(event)
        self._size += 1
        if self._size > MOST_VALUES:
            self._stop(place, f"there are more than {MOST_VALUES} values here", "write less in one place")
        match event:
            case ScalarEvent(tag=None, value=value, implicit=(plain, _)):
                return Text(value, not plain, place)
            case SequenceStartEvent():
                return Listing(tuple(self._node() for _ in self._items()), place)
            case MappingStartEvent():
                return self._table(place)
        return Refused(place)

    def _table(self, place: Place) -> Table:
        keys: dict[str, Text] = {}
        values: dict[str, Node] = {}
        for key in self._keys():
            keys[key.value], values[key.value] = key, self._node()
        return Table(keys, values, place)

    def table(self) -> Iterator[Text] | None:
        """The keys of the next node, if it is a mapping: the caller takes the value of each before the next key."""
        if self._peek().__class__ is not MappingStartEvent:
            return None
        self._take()
        return self._keys()

    def listing(self) -> Iterator[Place] | None:
        """The items of the next node, if it is a list: the caller takes each before the next."""
        if self._peek().__class__ is not SequenceStartEvent:
            return None
        self._take()
        return self._items()

    def skip(self) -> None:
        """Passes over the next node; what is refused anywhere is refused in it too."""
        depth = self._depth
        self._take()
        while self._depth > depth:
            self._take()

    def place(self) -> Place:
        """Where the next node begins."""
        return self._place(self._peek())

    def run(self) -> Run | None:
        """The run of devices that begins with the next node, if one does; it is taken as a whole."""
        run = self._folded.run_at(self._peek().start_mark.line)
        if run:
            self.skip()
        return run

    def texts(self) -> tuple[list[str], list[int]]:
        """The scalars that come next, as far as they are parsed and beyond reproach: texts and packed positions.

        A run is left for `run`.
        """
        line = self._peek().start_mark.line
        end, below = self._folded.next_start(line), self._folded.line(line) - line
        texts: list[str] = []
        positions: list[int] = []
        for event in self._parsed[self._next :]:
            mark = event.start_mark
            if event.__class__ is not SCALAR or event.anchor or event.tag or mark.line >= end:
                break
            texts.append(event.value)
            positions.append(mark.line + below << 32 | mark.column)
        self._next += len(texts)
        return texts, positions

    def record(self, fits: Callable[[dict[str, str]], bool]) -> tuple[dict[str, str], int] | None:
        """The next node, if it is a short mapping of scalars beyond reproach: texts by key, and its packed position.

        Else None, and nothing is taken: then the slow way finds out what is wrong.
        """
        if len(self._parsed) - self._next < LONGEST_RECORD:
            self._parse()
        start = self._peek()
        if start.__class__ is not MAPPING or start.anchor or start.tag or self._folded.run_at(start.start_mark.line):
            return None
        texts: list[str] = []
        for event in self._parsed[self._next + 1 : self._next + LONGEST_RECORD]:
            if event.__class__ is not SCALAR or event.anchor or event.tag:
                break
            texts.append(event.value)
        else:
            return None
        record = dict(zip(texts[::2], texts[1::2], strict=False))
        if event.__class__ is not MappingEndEvent or 2 * len(record) != len(texts) or "<<" in record:
            return None
        if not fits(record):
            return None
        self._next += len(texts) + 2
        mark = start.start_mark
        return record, self._folded.line(mark.line) << 32 | mark.column

    def _keys(self) -> Iterator[Text]:
        seen: dict[str, Place] = {}
        while self._peek().__class__ is not MappingEndEvent:
            if key := self._fit_key(self._node(), seen):
                seen[key.value] = key.place
                if len(seen) > MOST_VALUES:
                    self._stop(key.place, f"there are more than {MOST_VALUES} keys here", "write less in one place")
                yield key
            else:
                self.skip()
        self._take()

    def _fit_key(self, key: Node, seen: dict[str, Place]) -> Text | None:
        """The key, or None if it is refused: then its problem has been reported."""
        match key:
            case Refused():
                return None
            case Listing() | Table():
                self.problems.add(key.place, "a key cannot be a list or a mapping", "write a plain word")
                return None
            case Text(value="<<", quoted=False):
                self.problems.add(key.place, "merge keys are not read", "write the keys themselves")
                return None
        if key.value in seen:
            message = f"the key {shown(key.value)} stands here a second time, first at {seen[key.value]}"
            self.problems.add(key.place, message, "keep one of the two")
            return None
        return key

    def _items(self) -> Iterator[Place]:
        while (event := self._peek()).__class__ is not SequenceEndEvent:
            yield self._place(event)
        self._take()

    def _take(self) -> Any:
        event = self._peek()
        self._next += 1
        match event:
            case MappingStartEvent() | SequenceStartEvent():
                self._depth += 1
                self._screen(event)
            case MappingEndEvent() | SequenceEndEvent():
                self._depth -= 1
            case ScalarEvent() | AliasEvent():
                self._screen(event)
        return event

    def _screen(self, event: Any) -> None:
        """Reports what hides the meaning of what is written."""
        place = self._place(event)
        if self._depth > DEEPEST:
            self._stop(place, *TOO_DEEP)
        if isinstance(event, AliasEvent):
            self.problems.add(place, f"the alias {shown(f'*{event.anchor}')} is not read", "write the value itself")
            return
        if event.anchor:
            self.problems.add(place, f"the anchor {shown(f'&{event.anchor}')} is not read", "remove it")
        if event.tag:
            self.problems.add(place, f"the tag {shown(event.tag)} is not read", "remove it")

    def _peek(self) -> Any:
        if self._next == len(self._parsed):
            self._parse()
        if self._next == len(self._parsed):
            self._report(self._error)
        return self._parsed[self._next]

    def _parse(self) -> None:
        """Parses some events ahead; an error waits until those before it have been taken."""
        del self._parsed[: self._next]
        self._next = 0
        if self._error:
            return
        try:
            self._parsed.extend(islice(self._unparsed, CHUNK))
        except YAMLError as error:
            self._error = error

    def _report(self, error: Any) -> NoReturn:
        if isinstance(error, MarkedYAMLError):
            self._report_syntax(error)
        self._report_encoding(error)

    def _report_syntax(self, error: Any) -> NoReturn:
        text = self._written.decode(errors="replace")
        runs_out = error.problem_mark.index >= len(text)
        mark = error.context_mark if runs_out and error.context_mark else error.problem_mark
        at_end = mark.index >= len(text)
        place = self._behind(text.rstrip()) if at_end else at(self.file, mark.line << 32 | mark.column)
        if "nesting depth" in str(error.problem):  # the parser's own limit, which it meets when it looks far ahead
            self._stop(place, *TOO_DEEP)
        context = f" {error.context}" if error.context else ""
        has_tabs = "\t" in _line(text, mark.line)[: mark.column + 1]
        hint = "indent with blanks, not with tabs" if has_tabs else "mend the quotes, brackets or indentation here"
        self._stop(place, f"this is not YAML: {error.problem}{context}", hint)

    def _report_encoding(self, error: ReaderError) -> NoReturn:
        place = self._behind(self._written[: error.position].decode(errors="ignore"))
        if "control" not in error.reason:
            self._stop(place, "this byte is not UTF-8", "save the file as UTF-8")
        self._stop(place, f"the control character {shown(chr(error.character))} cannot stand in YAML", "remove it")

    def _behind(self, before: str) -> Place:
        line, start = 1, 0
        for found in BREAK.finditer(before):
            line, start = line + 1, found.end()
        return Place(self.file, line, len(before) - start + 1)

    def _place(self, event: Any) -> Place:
        return Place(self.file, self._folded.line(event.start_mark.line) + 1, event.start_mark.column + 1)

    def _stop(self, place: Place, message: str, hint: str) -> NoReturn:
        self.problems.add(place, message, hint)
        raise Unparsable


def _line(text: str, number: int) -> str:
    """The line with this number, counted from 0; the rest of the text where there are not so many."""
    start = 0
    for found in islice(BREAK.finditer(text), number):
        start = found.end()
    end = BREAK.search(text, start)
    return text[start : end.start() if end else None]
