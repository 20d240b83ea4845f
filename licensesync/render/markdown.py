"""The plan as a comment on a pull request: never too long for one, and with no markup but its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

from licensesync.model import Plan, PlanVerdict, RunPlan, Unread
from licensesync.render import summary
from licensesync.render.counts import plan_counts
from licensesync.render.listings import UNGROUPED, Listing, Rest, Row, plan_listings
from licensesync.render.words import clean, counted

MAX_LENGTH = 60_000

_OPEN_UP_TO = 10  # devices of one kind: more are folded
_GROUPS = 10  # groups that are named of what is left out of one kind
_SIZES = ((0, 0), *((limit, _GROUPS) for limit in (0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)))
"""Devices, and groups of those that are left out, of one kind: the last with which all fits."""

_POOLS_IN_TABLE = 50
_NAME = 120  # characters of a name, as they are written
_SENTENCE = 2000  # characters of a sentence, as they are written
_TABLE_HEAD = """\
| pool | verdict | to remove | to assign | held | kept | foreign | licenses | assigned | free | waiting |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""
_DEVICES_HEAD = "| device | group | place |\n|---|---|---|"
_BLANK = "\n\n"


def plan(run_plan: RunPlan) -> str:
    """The verdict and counts first, then each pool with something to say, the most urgent first."""
    pools = sorted(run_plan.pools, key=lambda planned: list(PlanVerdict).index(planned.verdict))
    head = f"{_head(run_plan)}{_BLANK}{_table(pools)}"
    sections = [section for section in map(_section, pools) if section.says_something]
    attempts = (_BLANK.join([head, *(section.written(*size) for section in sections)]) for size in _SIZES)
    fitting = takewhile(lambda attempt: len(attempt) < MAX_LENGTH, attempts)
    *_, longest = [_cut(head, [section.written(*_SIZES[0]) for section in sections]), *fitting]
    return f"{longest}\n"


def _head(run_plan: RunPlan) -> str:
    return _BLANK.join(
        [
            f"### licensesync plan: {run_plan.verdict}",
            f"**{_safe(summary.plan_verdict(run_plan))}**",
            f"plan `{run_plan.hash}`, {_safe(summary.inventory(run_plan.inventory), _SENTENCE)}",
        ]
    )


def _table(pools: Sequence[Plan | Unread]) -> str:
    left_out = len(pools) - _POOLS_IN_TABLE
    more = ["", f"… and {left_out} more pools; {summary.HOW_TO_SEE_ALL}"] if left_out > 0 else []
    return "\n".join([_TABLE_HEAD, *map(_pool_row, pools[:_POOLS_IN_TABLE]), *more])


def _pool_row(planned: Plan | Unread) -> str:
    named = [_safe(planned.pool.name), planned.verdict]
    if isinstance(planned, Unread):
        return _cells([*named, *["–"] * 9])
    counts, now, then = plan_counts(planned), planned.capacity, planned.forecast
    numbers = [counts[what] for what in ("remove", "assign", "held", "kept", "foreign")]
    changes = [f"{now.assigned} → {then.assigned}", f"{now.free} → {then.free}"]
    return _cells([*named, *map(str, numbers), str(now.total), *changes, str(then.waiting)])


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class _Section:
    """What is said of one pool below the table."""

    title: str
    sentences: Sequence[str]
    listings: Sequence[Listing]

    @property
    def says_something(self) -> bool:
        return bool(self.sentences or self.listings)

    def written(self, limit: int, groups: int) -> str:
        """The section with so many devices of each kind, and so many groups of what is left out."""
        listed = (block for listing in self.listings for block in _listing(listing, limit, groups))
        return _BLANK.join([self.title, *self.sentences, *listed])


def _section(planned: Plan | Unread) -> _Section:
    title = f"#### {_safe(planned.pool.name)}: {planned.verdict}{_BLANK}{_safe(summary.about(planned.pool), _SENTENCE)}"
    if isinstance(planned, Unread):
        problem = f"**reading {planned.reading}**: {_safe(planned.problem, _SENTENCE)}"
        return _Section(title, [problem], [])
    refusal = summary.refusal(planned.refusal) if planned.refusal else []
    quoted = "\n>\n".join(f"> {_safe(sentence, _SENTENCE)}" for sentence in refusal)
    remarks = [_safe(remark, _SENTENCE) for remark in summary.remarks(planned)]
    return _Section(title, [*([quoted] if quoted else []), *remarks], plan_listings(planned))


def _listing(listing: Listing, limit: int, groups: int) -> Iterator[str]:
    rows = listing.rows(limit)
    folded = len(rows) > _OPEN_UP_TO
    yield f"<details><summary>{listing.title}</summary>" if folded else f"**{listing.title}**"
    if rows:
        yield "\n".join([_DEVICES_HEAD, *map(_device_row, rows)])
    if len(rows) < len(listing.entries):
        yield _left_out(listing, listing.rest(limit, groups))
    if folded:
        yield "</details>"


def _left_out(listing: Listing, rest: Rest) -> str:
    """How many devices are not shown, and of which groups."""
    named = [f"{number} {f'of {_safe(name)}' if name else UNGROUPED}" for name, number in rest.named]
    others = [f"{rest.of_other_groups} of {counted(rest.other_groups, 'other group')}"] if rest.other_groups else []
    of_groups = f": {', '.join([*named, *others])}" if named else ""
    return f"… and {rest.devices} more{of_groups}; {listing.how_to_see_all}"


def _device_row(row: Row) -> str:
    noted = f"{row.place}, {row.note}" if row.note else row.place
    return _cells([_safe(row.device), _safe(row.group), _safe(noted)])


def _cut(head: str, sections: Sequence[str]) -> str:
    """As many sections as there is room for."""
    room = MAX_LENGTH - len(head) - 200  # for the sentence about the others
    ends = accumulate(len(section) + len(_BLANK) for section in sections)
    fitting = sum(end <= room for end in ends)
    others = f"… and {len(sections) - fitting} more pools; {summary.HOW_TO_SEE_ALL}"
    return _BLANK.join([head, *sections[:fitting], others])


_MARKUP = re.compile(
    r"[\\`*\[\]<>|~&$@#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.|[!%](?=[\w\"])|(?<=GH)-(?=[0-9])",
    re.IGNORECASE,
)
_BEFORE_NAMES = frozenset("@#:.!%&$~[*-")
"""Of a user, a thread, an address, a milestone: GitHub and GitLab look for these in the finished page.

https://docs.gitlab.com/user/markdown/#gitlab-specific-references
"""
_WHOLE_CHARACTERS = re.compile(r"(?:[^&]|&#[0-9]+;)*")


def _safe(text: str, room: int = _NAME) -> str:
    """Any text as Markdown that shows this text and does nothing else, cut where it has no room."""
    written = _MARKUP.sub(_entity, clean(text)[: room + 1])
    return written if len(written) <= room else f"{_WHOLE_CHARACTERS.findall(written, 0, room - 1)[0]}…"


def _entity(found: re.Match[str]) -> str:
    """A character that means nothing; a space without width keeps what follows from being taken for a name."""
    return f"&#{ord(found[0])};{'&#8203;' if found[0] in _BEFORE_NAMES else ''}"
