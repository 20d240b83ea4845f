"""What the JSON documents share: how a document, a list and the contract's recurring fields are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

import orjson

from licensesync.model import Capacity, InventoryInfo, Refusal, RunRecord
from licensesync.render.counts import as_configured
from licensesync.render.words import visible

VERSION = 1

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
_ROWS_AT_ONCE = 10_000  # a million rows are never all in memory as objects


def document(content: Mapping[str, object]) -> bytes:
    """A whole document, on one line."""
    return visible(orjson.dumps(content, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE))


def rows(rows: Iterable[Mapping[str, object]]) -> orjson.Fragment:
    """A list inside a document."""
    return orjson.Fragment(b"[%s]" % b"".join(listed(rows)))


def listed(rows: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    """What stands between the brackets of a list, part by part."""
    remaining = iter(rows)
    comma = b""
    while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
        yield comma + visible(orjson.dumps(chunk, option=_OPTIONS)[1:-1])
        comma = b","


def inventory(inventory: InventoryInfo) -> dict[str, object]:
    return {
        "commit": inventory.commit,
        "dirty": inventory.dirty,
        "devices": inventory.devices,
        "digest": inventory.digest,
        "author": utf8(inventory.author) if inventory.author else None,
    }


def run(run: RunRecord) -> dict[str, object]:
    return {
        "run": run.run,
        "command": run.command,
        "started_at": time(run.started_at),
        "finished_at": time(run.finished_at) if run.finished_at else None,
        "verdict": run.verdict,
        "exit": run.exit,
        "commit": run.inventory.commit,
        "plan": run.plan,
    }


def capacity(capacity: Capacity) -> dict[str, int]:
    return {"total": capacity.total, "assigned": capacity.assigned, "free": capacity.free}


def refusal(refusal: Refusal) -> dict[str, object]:
    return {
        "rule": refusal.rule,
        "setting": as_configured(refusal.setting),
        "limit": refusal.limit,
        "asked": refusal.asked,
        "hash": refusal.hash,
        "next_step": utf8(refusal.next_step),
    }


def time(moment: datetime) -> datetime:
    """In UTC: what orjson then writes with `Z` and whole seconds."""
    return moment.astimezone(UTC)


def utf8(text: str) -> str:
    """Text that can be encoded: the name of a file need not be."""
    return text if text.isascii() else text.encode(errors="replace").decode()
