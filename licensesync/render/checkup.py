"""A check-up as people read it, a line for each check, and as a JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from licensesync.model import Check, Result
from licensesync.render import fields
from licensesync.render.page import Page, Style
from licensesync.render.words import clean, counted

MARKS: Mapping[Result, tuple[str, Style]] = {
    Result.OK: ("ok", Style.GREEN),
    Result.WARNING: ("warning", Style.YELLOW),
    Result.PROBLEM: ("problem", Style.RED),
    Result.SKIPPED: ("not checked", Style.DIM),
}
_MARK_WIDTH = max(len(mark) for mark, _ in MARKS.values())


def text(checks: Sequence[Check], page: Page) -> str:
    """A line for each check, however long: a mark, what was checked, what was found, what to do. Then a sentence."""
    width = max((len(clean(check.check)) for check in checks), default=0)
    return "\n".join([*(_line(check, width, page) for check in checks), _summary(checks), ""])


def document(checks: Sequence[Check]) -> bytes:
    """The document of `doctor --format json`, on one line."""
    rows = [
        {
            "check": fields.utf8(check.check),
            "result": check.result,
            "found": fields.utf8(check.found),
            "do": fields.utf8(check.do),
        }
        for check in checks
    ]
    return fields.document({"version": fields.VERSION, "kind": "doctor", "checks": rows})


def _line(check: Check, width: int, page: Page) -> str:
    mark, style = MARKS[check.result]
    told = "; ".join(filter(None, (clean(check.found), clean(check.do))))
    return f"{page.paint(mark.ljust(_MARK_WIDTH), style)}  {clean(check.check).ljust(width)}  {told}"


def _summary(checks: Sequence[Check]) -> str:
    results = Counter(check.result for check in checks)
    counts = [
        counted(results[Result.PROBLEM], "problem"),
        counted(results[Result.WARNING], "warning"),
        f"{results[Result.SKIPPED]} not checked",
    ]
    left = ", ".join(each for each in counts if not each.startswith("0 ")) or "all is well"
    return f"{counted(len(checks), 'check')}: {left}"
