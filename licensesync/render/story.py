"""The story of one device: for people at most a screen, for scripts a document."""

from __future__ import annotations

from collections.abc import Iterator

from licensesync.model import (
    Background,
    HeldReason,
    Intent,
    LineCommit,
    Naming,
    OutcomeRecord,
    Place,
    Prospect,
    Protection,
    QuarantineRecord,
    Shelter,
    Standing,
    Story,
    Term,
    Unread,
    Verb,
    iccid_of,
)
from licensesync.render import fields, summary
from licensesync.render.fields import VERSION, document, time, utf8
from licensesync.render.listings import WHY_HELD
from licensesync.render.page import Page, Style
from licensesync.render.words import counted, moment

LABEL = 12
SHORT = 10  # of a commit


def text(story: Story, page: Page) -> str:
    """What is known of the device, a sentence that says it all first."""
    lines: list[str] = []
    for standing in story.standings:
        lines += page.prose(_headline(story, standing), Style.BOLD)
    for standing in story.standings:
        lines += ["", *_standing(page, standing)]
    if story.shelter:
        lines += ["", *_shelter(page, story.shelter)]
    for unread in story.unread:
        lines += ["", *page.prose(f"{unread.pool.name}: was not read: {unread.problem}", Style.YELLOW)]
    return "\n".join([*lines, ""])


def as_json(story: Story) -> bytes:
    """The document of `explain --format json`."""
    return document(
        {
            "version": VERSION,
            "kind": "explanation",
            "device": story.device,
            "iccid": story.iccid,
            "known": story.is_known,
            "protection": _protection_fields(story.shelter) if story.shelter else None,
            "pools": [_standing_fields(story, standing) for standing in story.standings],
            "unread": [{"pool": unread.pool.name, "problem": utf8(unread.problem)} for unread in story.unread],
        }
    )


def _headline(story: Story, standing: Standing) -> str:
    name, pool = str(story.device or story.iccid), standing.pool.name
    prospect = standing.prospect
    if isinstance(prospect, Unread):
        wish = "should hold" if standing.is_wanted else "should not hold"
        return f"{name} {wish} a license of pool {pool}; whether it does was not read"
    match prospect.intent:
        case Intent.KEPT:
            return f"{name} holds a license of pool {pool} and keeps it"
        case Intent.ASSIGN:
            return f"{name} lacks a license of pool {pool}; the next run assigns one"
        case Intent.REMOVE:
            return f"{name} will lose its license of pool {pool}: {_why_unwanted(standing.naming)}"
        case Intent.NOTHING:
            return f"{name} has no license of pool {pool} and needs none: {_why_unwanted(standing.naming)}"
        case Intent.HELD:
            return f"{name} {_held_headline(prospect, pool)}"


def _held_headline(prospect: Prospect, pool: str) -> str:
    held = prospect.held
    if held is None:  # pragma: no cover - an intent of held has one
        return ""
    until = f", until {moment(held.until)}" if held.until else ""
    if prospect.queue:
        return f"waits for a license of pool {pool}: {_WHY_WAITING[held.reason]}"
    if held.action.verb is Verb.ASSIGN:
        return f"lacks a license of pool {pool}, which is held as {held.reason}{until}: {_WHY[held.reason]}"
    return f"keeps its license of pool {pool}, whose removal is held as {held.reason}{until}: {_WHY[held.reason]}"


_WHY = {**WHY_HELD, HeldReason.PROTECTED: "the inventory protects it", HeldReason.FOREIGN: "it was never managed"}
_WHY_WAITING = {
    HeldReason.NO_CAPACITY: "none is free for it",
    HeldReason.AWAITING_REMOVALS: "it gets one that the removals of this plan free",
}


def _why_unwanted(naming: Naming | None) -> str:
    if naming is None:
        return "no group names it"
    return f"its group's time {'has not come' if naming.term is Term.NOT_YET else 'is over'}"


def _standing(page: Page, standing: Standing) -> Iterator[str]:
    yield from page.prose(f"{standing.pool.name}: {summary.about(standing.pool)}", Style.DIM)
    yield from _told(page, "inventory", _inventory(standing))
    prospect = standing.prospect
    if isinstance(prospect, Unread):
        yield from _told(page, "service", [f"was not asked, or did not tell all: {prospect.problem}"])
    else:
        yield from _told(page, "service", [_service(prospect)])
        yield from _told(page, "plan", _plan(prospect))
    if standing.background:
        yield from _background(page, standing.background)


def _told(page: Page, label: str, sentences: list[str]) -> Iterator[str]:
    """A label, and beside it what there is to say."""
    narrow = Page(page.colour, page.width - LABEL - 2)
    lines = [line for sentence in sentences for line in narrow.prose(sentence)]
    for number, line in enumerate(lines):
        yield f"  {page.paint((label if number == 0 else '').ljust(LABEL), Style.DIM)}{line}"


def _inventory(standing: Standing) -> list[str]:
    naming = standing.naming
    if naming is None:
        return ["no group names it for this pool"]
    dates = [f"from {naming.since}" if naming.since else "", f"until {naming.until}" if naming.until else ""]
    term = {Term.NOT_YET: "not yet active", Term.ENDED: "over", Term.ACTIVE: ""}[naming.term]
    told = [f"{naming.place}", f"group {naming.group}", f"priority {naming.priority}", *dates, term]
    return [", ".join(filter(None, told)), *_line(naming.line)]


def _line(line: LineCommit | None) -> list[str]:
    if line is None:
        return []
    if line.commit is None:
        return ["this line is not committed yet"]
    on = f" on {line.at:%Y-%m-%d}" if line.at else ""
    return [f"line of commit {line.commit[:SHORT]} by {line.author}{on}: {line.summary}"]


def _service(prospect: Prospect) -> str:
    now = prospect.capacity
    holds = "holds a license" if prospect.holds else "holds no license"
    return f"{holds}; {counted(now.total, 'license')}, {now.assigned} assigned, {now.free} free"


def _plan(prospect: Prospect) -> list[str]:
    held = prospect.held
    if held is None:
        return [_PLANS[prospect.intent]]
    until = f", until {moment(held.until)}" if held.until else ""
    told = [f"{held.action.verb} is held as {held.reason}{until}: {_WHY[held.reason]}"]
    if queue := prospect.queue:
        promised = f", {queue.promised} licenses are promised to open requests" if queue.promised else ""
        told.append(f"before it {queue.served} are served and {queue.waiting} wait{promised}")
    if prospect.refusal and held.reason is HeldReason.REFUSED:
        told += summary.refusal(prospect.refusal)
    return told


_PLANS = {
    Intent.ASSIGN: "assigns a license",
    Intent.REMOVE: "removes its license",
    Intent.KEPT: "nothing to do: it keeps its license",
    Intent.NOTHING: "nothing to do",
    Intent.HELD: "",
}


def _background(page: Page, background: Background) -> Iterator[str]:
    managed = "managed: an inventory that was applied named it" if background.managed else "never managed"
    if not background.outcomes:
        yield from _told(page, "ledger", [f"{managed}; nothing was ever asked for it"])
    else:
        last = len(background.outcomes)
        more = f"the last {last} of {background.of}" if background.of > last else f"{counted(last, 'outcome')}"
        yield from _told(page, "ledger", [f"{managed}; {more}:"])
        yield from _told(page, "", [_outcome(each) for each in background.outcomes])
    if known := background.quarantine:
        yield from _told(page, "quarantine", _quarantine(known, outlived=background.outlived))


def _outcome(record: OutcomeRecord) -> str:
    outcome = "in flight" if record.in_flight else record.outcome
    words = ": ".join(filter(None, (None if record.in_flight else record.reason, record.service)))
    commit = f", commit {record.commit[:SHORT]}" if record.commit else ""
    return f"{moment(record.at)} {record.verb} {outcome}{f' ({words})' if words else ''}, run {record.run}{commit}"


def _quarantine(known: QuarantineRecord, *, outlived: bool) -> list[str]:
    words = ": ".join(filter(None, (known.reason, known.service)))
    told = f"{counted(known.failures, 'equal failure')} in a row since {moment(known.since)} ({words})"
    if outlived:
        return [f"{told}; its inventory entry was changed since, so that it counts no more"]
    release = f"licensesync quarantine release {known.iccid or known.device}"
    return [f"{told}; until {moment(known.until)}, or sooner: {release}"]


def _shelter(page: Page, shelter: Shelter) -> Iterator[str]:
    protection = shelter.protection
    until = f", until {protection.until}" if protection.until else ""
    sentence = f"protected at {protection.place}{until}: {protection.reason}"
    for told in (sentence, *_line(shelter.line)):
        yield from page.prose(told)


def _protection_fields(shelter: Shelter) -> dict[str, object]:
    protection: Protection = shelter.protection
    return {
        "place": _place(protection.place),
        "reason": utf8(protection.reason),
        "until": None if protection.until is None else str(protection.until),
        "line": _line_fields(shelter.line),
    }


def _standing_fields(story: Story, standing: Standing) -> dict[str, object]:
    prospect, naming = standing.prospect, standing.naming
    unread = prospect if isinstance(prospect, Unread) else None
    return {
        "pool": standing.pool.name,
        "iccid": iccid_of(standing.device),
        "summary": utf8(_headline(story, standing)),
        "inventory": _naming_fields(naming) if naming else None,
        "reading": unread.reading if unread else "whole",
        "problem": utf8(unread.problem) if unread else None,
        **(_no_prospect() if isinstance(prospect, Unread) else _prospect_fields(prospect)),
        **_background_fields(standing.background or Background()),
    }


def _naming_fields(naming: Naming) -> dict[str, object]:
    return {
        "place": _place(naming.place),
        "group": utf8(naming.group),
        "priority": naming.priority,
        "from": None if naming.since is None else str(naming.since),
        "until": None if naming.until is None else str(naming.until),
        "active": naming.term is Term.ACTIVE,
        "line": _line_fields(naming.line),
    }


def _line_fields(line: LineCommit | None) -> dict[str, object] | None:
    if line is None:
        return None
    at = time(line.at) if line.at else None
    return {"commit": line.commit, "author": utf8(line.author), "at": at, "summary": utf8(line.summary)}


def _no_prospect() -> dict[str, object]:
    return dict.fromkeys(("holds", "capacity", "intent", "reason", "until", "before", "refusal"))


def _prospect_fields(prospect: Prospect) -> dict[str, object]:
    held, queue = prospect.held, prospect.queue
    return {
        "holds": prospect.holds,
        "capacity": fields.capacity(prospect.capacity),
        "intent": prospect.intent,
        "reason": held.reason if held else None,
        "until": time(held.until) if held and held.until else None,
        "before": {"served": queue.served, "waiting": queue.waiting} if queue else None,
        "refusal": fields.refusal(prospect.refusal) if prospect.refusal else None,
    }


def _background_fields(background: Background) -> dict[str, object]:
    known = background.quarantine
    return {
        "managed": background.managed,
        "outcomes": [
            {
                "run": each.run,
                "at": time(each.at),
                "commit": each.commit,
                "verb": each.verb,
                "outcome": each.outcome,
                "reason": each.reason,
                "service": None if each.service is None else utf8(each.service),
            }
            for each in background.outcomes
        ],
        "outcomes_in_all": background.of,
        "quarantine": {"reason": known.reason, "failures": known.failures, "until": time(known.until)}
        if known and not background.outlived
        else None,
    }


def _place(place: Place) -> str:
    return utf8(str(place))
