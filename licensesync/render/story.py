"""The story of one device for people: a sentence that says it all, then at most a screen that says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

from licensesync.model import (
    Background,
    Held,
    HeldReason,
    Intent,
    LineCommit,
    Naming,
    OutcomeRecord,
    Prospect,
    QuarantineRecord,
    Shelter,
    Standing,
    Story,
    Term,
    Unread,
    Verb,
)
from licensesync.render import summary
from licensesync.render.listings import WHY_HELD
from licensesync.render.page import Page, Style, fit
from licensesync.render.words import clean, counted, moment, stamp

LABEL = 12
SHORT = 10  # what is shown of a commit
WHY: Mapping[HeldReason, str] = {
    **WHY_HELD,
    HeldReason.NO_CAPACITY: "no license is free for it",
    HeldReason.AWAITING_REMOVALS: "it gets one that the removals of this plan free",
    HeldReason.PROTECTED: "the inventory protects it",
    HeldReason.FOREIGN: "it was never managed, and mode managed leaves it alone",
    HeldReason.REFUSED: "the guard refuses the removals of this plan",
    HeldReason.QUARANTINED: "in quarantine after repeated failures",
    HeldReason.IN_FLIGHT: "an earlier request for it is still open",
    HeldReason.STOPPING: "the run was stopped before it was sent",
}
"""Why an action is held, where it is about one device."""
STYLES: Mapping[Intent, Style] = {
    Intent.ASSIGN: Style.YELLOW,
    Intent.REMOVE: Style.RED,
    Intent.HELD: Style.YELLOW,
    Intent.KEPT: Style.GREEN,
}


def text(story: Story, page: Page) -> str:
    """What is known of the device."""
    lines = [*_headlines(story, page)]
    for standing in story.standings:
        lines += ["", *_standing(page, standing)]
    if story.shelter:
        lines += ["", *_told(page, "protection", _protection(story.shelter))]
    if story.unread:
        lines += ["", *_told(page, "not read", _problems(story.unread))]
    return "\n".join([*lines, ""])


def headline(story: Story, standing: Standing) -> str:
    """How the device stands in a pool, in one sentence."""
    name, pool, prospect = _name(story), standing.pool.name, standing.prospect
    if isinstance(prospect, Unread):
        wish = "should hold" if standing.is_wanted else "should not hold"
        return f"{name} {wish} a license of pool {pool}; whether it does was not read"
    why = _why_unwanted(standing.naming)
    if prospect.held:
        return f"{name} {_held_headline(prospect.held, prospect, pool, why)}"
    if prospect.holds is None:
        return f"{name} {_doubtful_headline(prospect, pool, why)}"
    return f"{name} {_certain_headline(prospect, pool, why)}"


def _certain_headline(prospect: Prospect, pool: str, unwanted: str) -> str:
    match prospect.intent:
        case Intent.KEPT:
            return f"holds a license of pool {pool} and keeps it"
        case Intent.ASSIGN:
            return f"lacks a license of pool {pool}; the next run assigns one"
        case Intent.REMOVE:
            return f"will lose its license of pool {pool}: {unwanted}"
        case Intent.NOTHING | Intent.HELD:
            return f"has no license of pool {pool} and needs none: {unwanted}"
        case _:
            assert_never(prospect.intent)


def _doubtful_headline(prospect: Prospect, pool: str, unwanted: str) -> str:
    may = f"may hold a license of pool {pool}, as nobody told how a request ended"
    if prospect.intent is Intent.REMOVE:
        return f"{may}, and will lose it: {unwanted}"
    return f"{may}; the next run asks again"


def _headlines(story: Story, page: Page) -> Iterator[str]:
    for standing in story.standings:
        prospect = standing.prospect
        style = None if isinstance(prospect, Unread) else STYLES.get(prospect.intent)
        yield from page.prose(headline(story, standing), Style.BOLD, *filter(None, [style]))
    if not story.standings:
        yield from page.prose(_without_pools(story), Style.BOLD)


def _without_pools(story: Story) -> str:
    """Of a device that is protected and nothing else; of one that is not even that, nothing is known."""
    if not story.is_known:
        return f"nothing is known of {_name(story)}"
    read = "no license that is known" if story.unread else "no license"
    return f"{_name(story)} has {read} and needs none: no group names it, only protect does"


def _name(story: Story) -> str:
    return str(story.device or story.iccid)


def _held_headline(held: Held, prospect: Prospect, pool: str, unwanted: str) -> str:
    why = f"{_why(held, prospect)}{_until(held)}"
    if prospect.queue:
        return f"waits for a license of pool {pool}: {why}"
    if held.action.verb is Verb.ASSIGN:
        return f"lacks a license of pool {pool}: {why}"
    return f"keeps its license of pool {pool}, though {unwanted}: {why}"


def _why(held: Held, prospect: Prospect) -> str:
    if held.reason is HeldReason.AWAITING_REMOVALS and prospect.refusal:
        return "it would get one that the removals of this plan free, but the guard refuses them"
    return WHY[held.reason]


def _until(held: Held) -> str:
    return f", until {moment(held.until)}" if held.until else ""


def _why_unwanted(naming: Naming | None) -> str:
    if naming is None:
        return "no group names it"
    return f"its group's time {'has not come' if naming.term is Term.NOT_YET else 'is over'}"


def _standing(page: Page, standing: Standing) -> Iterator[str]:
    yield from page.prose(f"{standing.pool.name}: {summary.about(standing.pool)}", Style.DIM)
    yield from _told(page, "inventory", _inventory(standing.naming))
    prospect = standing.prospect
    if isinstance(prospect, Unread):
        yield from _told(page, "service", [f"reading {prospect.reading}: {prospect.problem}"])
        yield from _told(page, "plan", ["none, as nothing is planned for a pool that was not read whole"])
    else:
        yield from _told(page, "service", [_service(prospect)])
        yield from _told(page, "plan", _plan(prospect))
    if standing.background is None:
        yield from _told(page, "ledger", ["there is none yet; licensesync apply begins it"])
    else:
        yield from _background(page, standing.background)


def _told(page: Page, label: str, sentences: Iterable[str]) -> Iterator[str]:
    """A label, and beside it what there is to say."""
    beside = Page(page.colour, page.width - LABEL - 2)
    for number, line in enumerate(line for sentence in sentences for line in beside.prose(sentence)):
        yield f"  {page.paint((label if number == 0 else '').ljust(LABEL), Style.DIM)}{line}"


def _inventory(naming: Naming | None) -> list[str]:
    if naming is None:
        return ["no group names it for this pool"]
    terms = {Term.NOT_YET: "not active yet", Term.ENDED: "over", Term.ACTIVE: "active today"}
    dates = [f"from {naming.since}" if naming.since else "", f"until {naming.until}" if naming.until else ""]
    dated = [*dates, terms[naming.term]] if any(dates) else []
    consent = "consent: lifetime" if naming.consents else ""
    told = [str(naming.place), f"group {naming.group}", f"priority {naming.priority}", *dated, consent]
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
    holds = _HOLDS[prospect.holds]
    return f"{holds}; {counted(now.total, 'license')}, {now.assigned} assigned, {now.free} free"


_HOLDS: Mapping[bool | None, str] = {
    True: "holds a license",
    False: "holds no license",
    None: "a request for it is open, and decides whether it holds a license",
}


def _plan(prospect: Prospect) -> list[str]:
    held = prospect.held
    if held is None:
        return [_PLANS[prospect.intent]]
    told = [f"{held.action.verb} is held as {held.reason}{_until(held)}: {_why(held, prospect)}"]
    if queue := prospect.queue:
        promised = f"; open requests take {counted(queue.promised, 'license')}" if queue.promised else ""
        place = f"number {queue.waiting + 1} of {counted(queue.of, 'device')} that {_waits(queue.of)}"
        told.append(f"{place}; {queue.served} get a license before{promised}")
    return told + (summary.refusal(prospect.refusal) if prospect.refusal else [])


def _waits(number: int) -> str:
    return "waits" if number == 1 else "wait"


_PLANS = {
    Intent.ASSIGN: "assigns a license",
    Intent.REMOVE: "removes its license",
    Intent.KEPT: "nothing to do: it keeps its license",
    Intent.NOTHING: "nothing to do",
    Intent.HELD: "nothing to do",
}


def _background(page: Page, background: Background) -> Iterator[str]:
    managed = "managed: an inventory that was applied named it" if background.managed else "never managed"
    told, last = [f"{managed}; nothing was ever asked for it"], len(background.outcomes)
    if background.outcomes:
        told = [f"{managed}; {_how_many(last, background.of, background.outcomes[-1].device)}:"]
    yield from _told(page, "ledger", told)
    room = page.width - LABEL - 2
    yield from _told(page, "", [fit(clean(_outcome(each)), room) for each in background.outcomes])
    if known := background.quarantine:
        yield from _told(page, "quarantine", _quarantine(known, outlived=background.outlived))


def _how_many(last: int, of: int, device: str) -> str:
    if of <= last:
        return counted(last, "outcome")
    return f"the last {last} of {of} outcomes; licensesync history --device {device} shows all"


def _outcome(record: OutcomeRecord) -> str:
    if record.in_flight:
        return f"{stamp(record.at)} UTC {record.verb} in flight"
    told_by = record.retry_at if record.awaits_callback else None
    promised = f"told by {moment(told_by)}" if told_by else None
    words = ": ".join(filter(None, (record.reason, promised, record.service)))
    return f"{stamp(record.at)} UTC {record.verb} {record.outcome}{f': {words}' if words else ''}"


def _quarantine(known: QuarantineRecord, *, outlived: bool) -> list[str]:
    words = ": ".join(filter(None, (known.reason, known.service)))
    failures = f"{counted(known.failures, 'equal failure')} of {known.verb} in a row"
    told = f"{failures} since {moment(known.since)} ({words})"
    if outlived:
        return [f"{told}; its inventory entry was changed since, so that it counts no more"]
    release = f"licensesync quarantine release {known.iccid or known.device}"
    return [f"{told}; until {moment(known.until)}, or sooner: {release}"]


def _protection(shelter: Shelter) -> list[str]:
    protection = shelter.protection
    until = "" if protection.until is None else f", until {protection.until}"
    over = "" if shelter.lasts else " (over)"
    return [f"{protection.place}{until}{over}: {protection.reason}", *_line(shelter.line)]


def _problems(unread: Iterable[Unread]) -> list[str]:
    """Why other pools were not read, each reason once."""
    pools: dict[str, list[str]] = {}
    for each in unread:
        pools.setdefault(each.problem, []).append(each.pool.name)
    return [f"{', '.join(names)}: {problem}" for problem, names in pools.items()]
