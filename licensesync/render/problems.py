"""Problems for people, for scripts and for pull requests."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from typing import Final

from licensesync.model import Problem, Severity
from licensesync.problems import printable


def text(problems: Sequence[Problem], devices: int, pools: int) -> str:
    """A line for each problem, then a sentence."""
    lines = [_line(problem) for problem in problems]
    return "\n".join([*lines, f"{_count(devices, 'device')}, {_count(pools, 'pool')}: {verdict(problems)}"])


def as_json(problems: Sequence[Problem], devices: int) -> str:
    """The document that the contract describes."""
    rows = [
        {
            "file": printable(problem.place.file),
            "line": problem.place.line,
            "column": problem.place.column,
            "severity": problem.severity,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in problems
    ]
    return json.dumps({"version": 1, "kind": "check", "devices": devices, "problems": rows}, indent=2)


def github(problems: Sequence[Problem], folder: str) -> str:
    """Annotations for a pull request; `folder` leads from the repository's root to the settings file's folder."""
    return "\n".join(_annotation(problem, folder) for problem in problems)


def verdict(problems: Sequence[Problem]) -> str:
    """How many there are of each kind."""
    counts = [(sum(problem.severity is severity for problem in problems), severity) for severity in Severity]
    return ", ".join(_count(number, severity) for number, severity in counts if number) or "no problems"


def _line(problem: Problem) -> str:
    place = f"{printable(problem.place.file)}:{problem.place.line}:{problem.place.column}"
    mark = "warning: " if problem.severity is Severity.WARNING else ""
    return f"{place}: {mark}{_said(problem)}"


def _said(problem: Problem) -> str:
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message


def _annotation(problem: Problem, folder: str) -> str:
    path = printable(posixpath.normpath(posixpath.join(folder, problem.place.file)))
    place = f"file={path.translate(_IN_PROPERTY)},line={problem.place.line},col={problem.place.column}"
    return f"::{problem.severity} {place}::{_said(problem).translate(_IN_MESSAGE)}"


_IN_MESSAGE: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTY: Final = _IN_MESSAGE | str.maketrans({":": "%3A", ",": "%2C"})


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
