"""The devices in quarantine, for people and as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence

from licensesync.model import QuarantineRecord
from licensesync.render import fields
from licensesync.render.page import Column, Line, Page
from licensesync.render.words import counted, stamp

COLUMNS = (
    Column("pool", gives=True),
    Column("device"),
    Column("failures", right=True),
    Column("since (UTC)"),
    Column("until (UTC)"),
)


def text(records: Sequence[QuarantineRecord], page: Page) -> str:
    """A table of the devices, each with what the service said of it, and the way out."""
    if not records:
        return "\n".join([*page.prose("no device is in quarantine"), ""])
    devices = counted(len({record.device for record in records}), "device")
    way_out = f"{devices} in quarantine: nothing is sent until then; licensesync quarantine release DEVICE ends it"
    return "\n".join([*page.table(COLUMNS, [_line(record) for record in records]), *page.prose(way_out), ""])


def released(records: Sequence[QuarantineRecord], page: Page) -> str:
    """Which devices were released, and when that takes effect."""
    told = [f"{record.device} is released, pool {record.pool}: {_why(record)}" for record in records]
    lines = [line for sentence in [*told, "the next run asks for them again"] for line in page.prose(sentence)]
    return "\n".join([*lines, ""])


def as_json(records: Sequence[QuarantineRecord]) -> bytes:
    """The document of `quarantine list --format json`, on one line."""
    rows = [_row(record) for record in records]
    return fields.document({"version": fields.VERSION, "kind": "quarantine", "devices": rows})


def _line(record: QuarantineRecord) -> Line:
    cells = [record.pool, record.device, str(record.failures), stamp(record.since), stamp(record.until)]
    notes = [
        _why(record),
        f"ICCID {record.iccid}" if record.iccid else "",
        record.place or "",
    ]
    return Line(cells, "; ".join(filter(None, notes)))


def _why(record: QuarantineRecord) -> str:
    return f"{record.verb} {': '.join(filter(None, [record.reason, record.service]))}"


def _row(record: QuarantineRecord) -> dict[str, object]:
    return {
        "pool": record.pool,
        "device": record.device,
        "iccid": record.iccid,
        "verb": record.verb,
        "reason": record.reason,
        "service": record.service,
        "failures": record.failures,
        "since": fields.time(record.since),
        "until": fields.time(record.until),
        "group": record.group,
        "place": record.place,
    }
