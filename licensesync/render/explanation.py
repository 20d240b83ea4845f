"""The story of one device as a JSON document."""

from __future__ import annotations

from collections.abc import Mapping

from licensesync.model import (
    Background,
    LineCommit,
    Naming,
    OutcomeRecord,
    Place,
    Prospect,
    QuarantineRecord,
    Reading,
    Shelter,
    Standing,
    Story,
    Unread,
    iccid_of,
)
from licensesync.render.fields import VERSION, capacity, document, refusal, time, utf8
from licensesync.render.story import headline


def as_json(story: Story) -> bytes:
    """The document of `explain --format json`, on one line."""
    return document(
        {
            "version": VERSION,
            "kind": "explanation",
            "device": story.device,
            "iccid": story.iccid,
            "known": story.is_known,
            "protection": _protection(story.shelter) if story.shelter else None,
            "pools": [_standing(story, standing) for standing in story.standings],
            "unread": [{"pool": unread.pool.name, "problem": utf8(unread.problem)} for unread in story.unread],
        }
    )


def _protection(shelter: Shelter) -> dict[str, object]:
    protection = shelter.protection
    return {
        "place": _place(protection.place),
        "reason": utf8(protection.reason),
        "until": protection.until,
        "active": shelter.lasts,
        "line": _line(shelter.line),
    }


def _standing(story: Story, standing: Standing) -> dict[str, object]:
    naming, prospect, background = standing.naming, standing.prospect, standing.background
    if isinstance(prospect, Unread):
        read: dict[str, object] = {"reading": prospect.reading, "problem": utf8(prospect.problem), **_NO_PROSPECT}
    else:
        read = {"reading": Reading.WHOLE, "problem": None, **_prospect(prospect)}
    return {
        "pool": standing.pool.name,
        "iccid": iccid_of(standing.device),
        "summary": utf8(headline(story, standing)),
        "inventory": _naming(naming) if naming else None,
        **read,
        **(_background(background) if background else _NO_BACKGROUND),
    }


def _naming(naming: Naming) -> dict[str, object]:
    return {
        "place": _place(naming.place),
        "group": utf8(naming.group),
        "priority": naming.priority,
        "from": naming.since,
        "until": naming.until,
        "active": naming.is_active,
        "consent": naming.consents,
        "line": _line(naming.line),
    }


def _line(line: LineCommit | None) -> dict[str, object] | None:
    if line is None:
        return None
    at = time(line.at) if line.at else None
    return {"commit": line.commit, "author": utf8(line.author), "at": at, "summary": utf8(line.summary)}


_NO_PROSPECT = dict.fromkeys(("holds", "capacity", "intent", "reason", "until", "queue", "refusal"))


def _prospect(prospect: Prospect) -> dict[str, object]:
    held, queue = prospect.held, prospect.queue
    return {
        "holds": prospect.holds,
        "capacity": capacity(prospect.capacity),
        "intent": prospect.intent,
        "reason": held.reason if held else None,
        "until": time(held.until) if held and held.until else None,
        "queue": {"position": queue.waiting + 1, "of": queue.of, "served_before": queue.served} if queue else None,
        "refusal": refusal(prospect.refusal) if prospect.refusal else None,
    }


_NO_BACKGROUND: Mapping[str, object] = {"managed": None, "outcomes": [], "outcomes_in_all": 0, "quarantine": None}


def _background(background: Background) -> dict[str, object]:
    known = background.quarantine
    return {
        "managed": background.managed,
        "outcomes": [_outcome(each) for each in background.outcomes],
        "outcomes_in_all": background.of,
        "quarantine": _quarantine(known) if known and not background.outlived else None,
    }


def _outcome(record: OutcomeRecord) -> dict[str, object]:
    return {
        "run": record.run,
        "at": time(record.at),
        "commit": record.commit,
        "verb": record.verb,
        "outcome": record.outcome,
        "reason": record.reason,
        "service": None if record.service is None else utf8(record.service),
    }


def _quarantine(record: QuarantineRecord) -> dict[str, object]:
    return {
        "verb": record.verb,
        "reason": record.reason,
        "service": None if record.service is None else utf8(record.service),
        "failures": record.failures,
        "since": time(record.since),
        "until": time(record.until),
    }


def _place(place: Place) -> str:
    return utf8(str(place))
