"""The plan and the report as people read them on a terminal or in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len

from licensesync.model import OutcomeKind, Plan, PlanVerdict, PoolReport, Report, RunPlan, RunVerdict, Unread, Verb
from licensesync.render import summary
from licensesync.render.counts import plan_counts
from licensesync.render.listings import Group, Listing, Row, held_listings, plan_listings, trouble_listings
from licensesync.render.page import MIN_WIDTH, VERDICT_STYLES, Page, Style, fit, fit_end
from licensesync.render.words import clean, counted

SHOWN = 20  # devices of one kind: of more, the first groups are shown
GROUPS_SHOWN = 10
FEWEST = 3  # devices of a group, if it has so many

_SIGNS = {Verb.REMOVE: ("-", Style.RED), Verb.ASSIGN: ("+", Style.GREEN)}


def plan(run_plan: RunPlan, *, colour: bool = False, width: int = MIN_WIDTH) -> str:
    """What would be done: pool by pool, then the verdict and the hash."""
    page = Page(colour, max(width, MIN_WIDTH))
    lines = [line for planned in run_plan.pools for line in _planned(page, planned)]
    verdict = page.prose(summary.plan_verdict(run_plan), Style.BOLD, VERDICT_STYLES[run_plan.verdict])
    ending = [*page.prose(summary.inventory(run_plan.inventory)), *verdict, *page.prose(f"plan {run_plan.hash}")]
    return "\n".join([*lines, *ending, ""])


def report(report: Report, exit_code: int, *, colour: bool = False, width: int = MIN_WIDTH) -> str:
    """What was done: pool by pool, with the devices that need a look, then the verdict."""
    page = Page(colour, max(width, MIN_WIDTH))
    lines = [line for pool in report.pools for line in _reported(page, pool, report.run)]
    verdict = page.prose(summary.report_verdict(report, exit_code), Style.BOLD, VERDICT_STYLES[report.verdict])
    ending = [*page.prose(summary.inventory(report.plan.inventory)), *page.prose(f"run {report.run}"), *verdict]
    return "\n".join([*lines, *ending, ""])


def _planned(page: Page, planned: Plan | Unread) -> Iterator[str]:
    yield from _headline(page, planned, planned.verdict)
    if isinstance(planned, Unread):
        yield from _problem(page, planned)
    else:
        counts = plan_counts(planned)
        kept = [f"{counts['kept']} kept", f"{counts['foreign']} foreign"]
        yield from page.prose(summary.capacity(planned), indent=2)
        yield from page.prose(", ".join([*summary.planned_changes(counts), *kept]), indent=2)
        yield from _refusal(page, planned)
        yield from _remarks(page, planned)
        for listing in plan_listings(planned):
            yield from _listing(page, listing)
    yield ""


def _reported(page: Page, pool: PoolReport, run: str) -> Iterator[str]:
    yield from _headline(page, pool.plan, pool.verdict)
    if isinstance(pool.plan, Unread):
        yield from _problem(page, pool.plan)
    else:
        counts = pool.counts
        for kinds in (OutcomeKind, ("kept", "held", "foreign")):
            yield from page.prose(", ".join(f"{counts[kind]} {kind}" for kind in kinds), indent=2)
        yield from _refusal(page, pool.plan)
        yield from _remarks(page, pool.plan)
        yield from page.prose(pool.problem, Style.RED, indent=2) if pool.problem else ()
    for listing in (*trouble_listings(pool, run), *held_listings(pool.held)):
        yield from _listing(page, listing)
    yield ""


def _headline(page: Page, planned: Plan | Unread, verdict: PlanVerdict | RunVerdict) -> list[str]:
    name = page.prose(f"{planned.pool.name}: {verdict}", Style.BOLD, VERDICT_STYLES[verdict])
    return [*name, *page.prose(summary.about(planned.pool), Style.DIM, indent=2)]


def _problem(page: Page, unread: Unread) -> list[str]:
    return page.prose(f"reading {unread.reading}: {unread.problem}", Style.RED, indent=2)


def _refusal(page: Page, plan: Plan) -> list[str]:
    sentences = summary.refusal(plan.refusal) if plan.refusal else []
    return [line for sentence in sentences for line in page.prose(sentence, Style.RED, indent=2)]


def _remarks(page: Page, plan: Plan) -> Iterator[str]:
    for remark in summary.remarks(plan):
        yield from page.prose(remark, Style.YELLOW, indent=2)


def _listing(page: Page, listing: Listing) -> Iterator[str]:
    yield from page.prose(listing.title, Style.BOLD, indent=2)
    if len(listing.entries) <= SHOWN:
        yield from _table(page, listing.rows(SHOWN), indent=4)
        return
    groups = listing.first_groups(GROUPS_SHOWN, max(FEWEST, SHOWN // len(listing.groups)))
    for group in groups:
        devices = f": {group.devices}"
        yield f"    {fit(clean(group.name), page.width - 4 - len(devices)).rstrip()}{devices}"
        yield from _table(page, group.rows, indent=6)
    if left_out := _left_out(listing, groups):
        yield from page.prose(left_out, Style.DIM, indent=4)


def _left_out(listing: Listing, groups: Sequence[Group]) -> str:
    """How much of it is not shown, and the way to all of it."""
    left_out = len(listing.entries) - sum(len(group.rows) for group in groups)
    others = len(listing.entries) - sum(group.devices for group in groups)
    of_others = f", {others} of them in {counted(len(listing.groups) - len(groups), 'more group')}" if others else ""
    return f"… and {left_out} more{of_others}; {listing.how_to_see_all}" if left_out else ""


def _table(page: Page, rows: Sequence[Row], indent: int) -> Iterator[str]:
    """A line for each device, with its note below it."""
    texts = [_Texts(clean(row.device), clean(row.group), clean(row.place)) for row in rows]
    device, group, place = _widths(texts, page.width - indent - 2)
    for row, text in zip(rows, texts, strict=True):
        sign, style = _SIGNS[row.verb]
        shown_place = page.paint(fit_end(text.place, place), Style.DIM)
        cells = [fit(text.device, device), fit(text.group, group), shown_place]
        yield f"{' ' * indent}{page.paint(sign, style)} {'  '.join(filter(None, cells))}"
        yield from page.prose(row.note, indent=indent + 4) if row.note else ()


class _Texts(NamedTuple):
    """The texts of a row, safe to print."""

    device: str
    group: str
    place: str


def _widths(texts: Iterable[_Texts], width: int) -> tuple[int, int, int]:
    """How wide device, group and place may be: where all do not fit, the place keeps up to half of what is left."""
    device, group, place = (max(map(cell_len, column)) for column in zip(*texts, strict=True))
    device = min(device, width // 2)
    left = width - device - len("  ") * 2
    group = min(group, max(left - place, left // 2))
    return device, group, min(place, left - group)
