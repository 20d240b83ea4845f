"""The YAML files of an inventory: groups with their devices, protection and approvals, into a roster."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from itertools import compress, count
from typing import Final

from licensesync import devices_from
from licensesync.files import Source, Unreadable
from licensesync.identifiers import ICCID, ICCID_HINT, IMEI, IMEI_HINT, are_imeis
from licensesync.located import Listing, Node, Refused, Stream, Table, Text, Unparsable, at, packed
from licensesync.model import Approval, Iccid, Imei, Place, Pool, Protection
from licensesync.problems import Problems, either, listed, nearest, shown
from licensesync.roster import Group, Roster, Span
from licensesync.runs import Run, unquoted
from licensesync.values import (
    DATE,
    PATH,
    SENTENCE,
    Kind,
    Section,
    Unfit,
    choice,
    report_unknown,
    section,
    whole,
    worded,
)

GROUP_KEYS: Final = ("name", "licenses", "priority", "devices", "devices_from", "from", "until", "consent")
PARTS: Final = ("groups", "protect", "approvals")
CUT_SHORT: Final = Group("", ())
"""What is known of a group in which the rest of a file cannot be read: its devices have their places, and no pool."""
DEVICE_KEYS: Final = frozenset({"imei", "iccid", "note", "consent"})


class Consent(StrEnum):
    """What an owner may agree to, which cannot be undone."""

    LIFETIME = "lifetime"


def _refusal(text: Text) -> str:
    digits = text.value.lower().removeprefix("sha256:")
    if not 8 <= len(digits) <= 64 or not set(digits) <= set("0123456789abcdef"):
        raise Unfit(f"{shown(text.value)} is not the hash of a refusal")
    return digits


IMEI_KIND: Final = worded(IMEI.pattern, IMEI_HINT, numeric=True)
ICCID_KIND: Final = worded(ICCID.pattern, ICCID_HINT, numeric=True)
CONSENT: Final = choice(Consent)
PRIORITY: Final = whole(-1_000_000_000, 1_000_000_000)
REFUSAL: Final = Kind(
    _refusal,
    "write the 8 to 64 hex digits that the refusal shows",
    {"type": ["string", "integer"], "pattern": "^(sha256:)?[0-9a-fA-F]{8,64}$"},
)


@dataclass(eq=False)
class Reader:
    """Reads one file after the other; what has been read stands in its fields."""

    source: Source
    pools: Mapping[str, Pool]
    problems: Problems = field(default_factory=Problems)
    protected: dict[Imei, Protection] = field(default_factory=dict)
    approvals: list[Approval] = field(default_factory=list)
    digests: dict[str, bytes] = field(default_factory=dict)
    entries: int = 0
    has_groups: bool = False

    def __post_init__(self) -> None:
        self.roster = Roster(self.pools)
        self._pool_names = [pool.name for pool in self.pools.values()]  # fit to be shown, which keys need not be
        self._lists: dict[tuple[str, str], Place] = {}
        """Where a list was named first for a pool."""

    def read(self, name: str) -> None:
        """Reads a YAML file and the lists that it names."""
        file = self.source.place_of(name)
        try:
            written = self.content(name)
        except Unreadable as unreadable:
            self.problems.add(Place(file, 1, 1), unreadable.message, unreadable.hint)
            return
        with suppress(Unparsable):
            stream = Stream(written, file, self.problems)
            if stream.begin():
                self._document(stream, name)
                stream.end()

    def content(self, name: str) -> bytes:
        """The content of a file, whose digest is kept. Raises Unreadable."""
        written = self.source.read(name)
        self.digests[name] = sha256(written).digest()
        return written

    def _document(self, stream: Stream, name: str) -> None:
        place = stream.place()
        keys = stream.table()
        if keys is None:
            if not isinstance(stream.node(), Refused):
                self.problems.add(place, "an inventory is a mapping", f"write {either(PARTS)}, each with a list")
            return
        for key in keys:
            match key.value:
                case "groups":
                    self.has_groups = True
                    for _ in self._list(stream, key):
                        self._group(stream, name)
                case "protect":
                    for _ in self._list(stream, key):
                        self._protection(stream.node())
                case "approvals":
                    for _ in self._list(stream, key):
                        self._approval(stream.node())
                case _:
                    report_unknown(key, PARTS, self.problems)
                    stream.skip()

    def _list(self, stream: Stream, key: Text) -> Iterator[Place]:
        items = stream.listing()
        if items is not None:
            return items
        node = stream.node()
        if not isinstance(node, Refused):
            given = "has no value" if isinstance(node, Text) and node.is_null else "is not a list"
            self.problems.add(node.place, f"{key.value} {given}", f"write a list, or {key.value}: [] for none")
        return iter(())

    def _group(self, stream: Stream, name: str) -> None:
        place, first, entries = stream.place(), len(self.roster), self.entries
        try:
            head = self._head(stream)
        except Unparsable:
            self.roster.enroll(Span(range(first, len(self.roster)), stream.file, CUT_SHORT), self.problems)
            raise
        if head is None:
            return
        group = self._described(head)
        if first < len(self.roster):
            self._enroll(Span(range(first, len(self.roster)), stream.file, group), head)
        if "devices_from" in head:
            self._devices_from(head, group, name)
        elif entries == self.entries and "devices" not in head:
            self.problems.add(place, "the group has no devices", "add devices: or devices_from:, or remove the group")

    def _head(self, stream: Stream) -> Section | None:
        """What a group says but for its devices, which go into the roster as they come."""
        place = stream.place()
        keys = stream.table()
        if keys is None:
            return section(stream.node(), self.problems, "a group")
        head = Table({}, {}, place)
        for key in keys:
            if key.value == "devices" and (items := stream.listing()) is not None:
                self._devices(stream, items)
            elif key.value in GROUP_KEYS:
                head.keys[key.value], head.values[key.value] = key, stream.node()
            else:
                report_unknown(key, GROUP_KEYS, self.problems)
                stream.skip()
        self._reject_devices(head)
        return Section(head, self.problems, "the group")

    def _reject_devices(self, head: Table) -> None:
        """Reports what stands in the place of a list of devices; nothing at all is reported with the whole group."""
        node = head.values.get("devices")
        if isinstance(node, Text) and node.is_null:
            del head.values["devices"]
        elif node:
            self._reject(node, "devices is not a list", 'write one line for each, such as - "990003425730535"')

    def _devices(self, stream: Stream, items: Iterator[Place]) -> None:
        for _ in items:
            if run := stream.run():
                self._take_run(run)
                continue
            texts, positions = stream.texts()
            self._take_plain(texts, positions, stream.file)
            records = self._take_records(stream)
            if not texts and not records:
                self._take_device(stream.node())

    def _take_run(self, run: Run) -> None:
        """Takes devices whose form has been looked at."""
        self.entries += run.items
        if run.is_plain:
            self.roster.add_plain(run.imeis(), run.positions)
            return
        first = len(self.roster)
        imeis, iccids, notes, consents = zip(*run.records(), strict=True)
        self.roster.add_named(imeis, iccids, run.positions)
        if any(notes):
            self.roster.note(first, map(unquoted, notes))
        self.roster.consenting.update(compress(count(first), consents))

    def _take_plain(self, texts: list[str], positions: list[int], file: str) -> None:
        self.entries += len(texts)
        if are_imeis(texts):
            self.roster.add_plain(texts, positions)
            return
        for text, position in zip(texts, positions, strict=True):
            if IMEI.fullmatch(text):
                self.roster.add(Imei(text), None, position)
            else:
                self.problems.add(at(file, position), f"{shown(text)} is not an IMEI", IMEI_HINT)

    def _take_records(self, stream: Stream) -> int:
        """Takes the devices that are written as mappings, as long as nothing is wrong with them."""
        before = len(self.roster)
        while found := stream.record(_is_device):
            device, position = found
            iccid = device.get("iccid")
            consent, note = "consent" in device, device.get("note", "")
            self.roster.add(Imei(device["imei"]), Iccid(iccid) if iccid else None, position, consent=consent, note=note)
        self.entries += len(self.roster) - before
        return len(self.roster) - before

    def _take_device(self, node: Node) -> None:
        """Takes the device with which something is wrong, or which is written in an unusual way."""
        if isinstance(node, Text):
            self._take_plain([node.value], [packed(node.place)], node.place.file)
            return
        self.entries += 1
        if not isinstance(node, Table):
            self._reject(node, "a device cannot be a list", 'write "990003425730535" or {imei: …, iccid: …}')
            return
        device = Section(node, self.problems, "the device")
        imei = device.require("imei", IMEI_KIND, None)
        iccid = device.get("iccid", ICCID_KIND, None)
        note = _words(device.node("note"))
        consent = device.get("consent", CONSENT, None) is not None
        device.close()
        if imei:
            known_as = (Imei(imei), Iccid(iccid) if iccid else None)
            self.roster.add(*known_as, packed(node.place), consent=consent, note=note)

    def _described(self, head: Section) -> Group:
        since, until = head.get("from", DATE, None), head.get("until", DATE, None)
        if since and until and since >= until:
            message = f"until {until} is not after from {since}"
            self.problems.add(
                head.place("until"), message, "write a later day: until is the first day without a license"
            )
        return Group(
            head.require("name", SENTENCE, ""),
            self._licenses(head),
            head.get("priority", PRIORITY, 0),
            since,
            until,
            head.get("consent", CONSENT, None) is not None,
        )

    def _licenses(self, head: Section) -> tuple[str, ...]:
        hint = f"write a list of pools, out of {listed(self._pool_names)}"
        node = head.node("licenses")
        if node is None:
            self.problems.add(
                head.table.place, "the group has no licenses", hint.replace("write ", "add licenses: ", 1)
            )
            return ()
        if not isinstance(node, Listing):
            self._reject(node, "licenses is not a list", hint)
            return ()
        if not node.items:
            self.problems.add(node.place, "licenses is empty", hint)
        licenses: dict[str, None] = {}
        for item in node.items:
            name = self._pool(item)
            if name in licenses:
                self.problems.add(item.place, f"pool {shown(name)} stands here a second time", "remove it")
            elif name:
                licenses[name] = None
        return tuple(licenses)

    def _pool(self, item: Node) -> str:
        """The pool that an item of `licenses` names, or nothing: then its problem has been reported."""
        if not isinstance(item, Text):
            self._reject(item, "a pool is named by its name", f"write {either(self._pool_names)}")
            return ""
        if item.value in self.pools:
            return item.value
        names = self._pool_names
        self.problems.add(
            item.place,
            f"unknown pool {shown(item.value)}",
            lambda: f"write {either(names)}{nearest(item.value, names)}",
        )
        return ""

    def _enroll(self, span: Span, head: Section) -> None:
        self.roster.enroll(span, self.problems)
        lifetime = [name for name in span.group.licenses if self.pools[name].irrevocable]
        if not lifetime or span.group.consents:
            return
        bold = [row for row in span.rows if row not in self.roster.consenting]
        what = f"a license of pool {lifetime[0]} cannot be taken back"
        if len(bold) == len(span.rows):
            hint = f"add consent: {Consent.LIFETIME} to the group or to the device"
            self.problems.add(head.place("licenses"), f"{what}, and nobody consents to it", hint)
            return
        for row in bold:
            self.problems.add(self.roster.place(row), f"{what}", f"add consent: {Consent.LIFETIME} to the device")

    def _devices_from(self, head: Section, group: Group, name: str) -> None:
        written = head.get("devices_from", PATH, None)
        if written is None:
            return
        place, first = head.place("devices_from"), len(self.roster)
        named = posixpath.normpath(posixpath.join(posixpath.dirname(name), written))
        if self._was_taken(named, group, place):
            return
        try:
            content = self.content(named)
        except Unreadable as unreadable:
            self.problems.add(place, f"devices_from {shown(written)}: {unreadable.message}", unreadable.hint)
            return
        file = self.source.place_of(named)
        devices = devices_from.read(content, file, self.roster, self.problems)
        self.entries += devices
        if not devices:
            self.problems.add(
                place, f"devices_from {shown(written)}: the file has no devices", "add some, or remove the group"
            )
        if first < len(self.roster):
            self._enroll(Span(range(first, len(self.roster)), file, group), head)

    def _was_taken(self, name: str, group: Group, place: Place) -> bool:
        """Whether a list was taken for one of a group's pools before: then each of its devices would stand twice."""
        for pool in group.licenses or ("",):
            first = self._lists.setdefault((name, pool), place)
            if first != place:
                if pool:
                    message = (
                        f"the list {shown(name)} stands here for pool {self.pools[pool].name} again, first at {first}"
                    )
                    self.problems.add(place, message, "remove one of the two")
                return True
        return False

    def _protection(self, node: Node) -> None:
        written = section(node, self.problems, "an entry of protect")
        if not written:
            return
        imei = written.require("imei", IMEI_KIND, None)
        reason = written.require("reason", SENTENCE, "")
        until = written.get("until", DATE, None)
        written.close()
        if imei:
            first = self.protected.setdefault(Imei(imei), Protection(reason, node.place, until))
            if first.place != node.place:
                message = f"device {imei} is protected here again, first at {first.place}"
                self.problems.add(node.place, message, "remove one of the two")

    def _approval(self, node: Node) -> None:
        written = section(node, self.problems, "an entry of approvals")
        if not written:
            return
        refusal = written.require("refusal", REFUSAL, "")
        reason = written.require("reason", SENTENCE, "")
        until = written.get("until", DATE, None)
        written.close()
        self.approvals.append(Approval(refusal, reason, node.place, until))

    def _reject(self, node: Node, message: str, hint: str) -> None:
        if not isinstance(node, Refused):
            self.problems.add(node.place, message, hint)


def _words(note: Node | None) -> str:
    """What a note says, however it is written."""
    match note:
        case Text(value=value):
            return value
        case Listing(items=items):
            return f"[{', '.join(map(_words, items))}]"
        case Table(values=values):
            return f"{{{', '.join(f'{key}: {_words(value)}' for key, value in sorted(values.items()))}}}"
        case _:
            return ""


def _is_device(record: dict[str, str]) -> bool:
    """Whether a mapping is a device in good order."""
    return (
        IMEI.fullmatch(record.get("imei", "")) is not None
        and ("iccid" not in record or ICCID.fullmatch(record["iccid"]) is not None)
        and record.get("consent", Consent.LIFETIME) == Consent.LIFETIME
        and record.keys() <= DEVICE_KEYS
    )
