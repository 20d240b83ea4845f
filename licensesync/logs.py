"""How log events become lines on standard error: one JSON object a line, or lines for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog

from licensesync.render.words import clean, visible

TOGETHER: Final = 256
"""Lines that are written together at most: what waits to be written takes little memory, however many there are."""


def configure(*, as_json: bool, level: str) -> None:
    """Log events from `level` on go to standard error: one JSON object a line, or lines for people."""
    for_people: list[Any] = [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        _for_a_person,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=15,
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,  # others show variables, which may hold secrets
        ),
    ]
    for_programs: list[Any] = [_stamped, _with_its_traceback, _as_json]
    structlog.configure(
        processors=[structlog.processors.add_log_level, *(for_programs if as_json else for_people)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_CurrentStderr,
        cache_logger_on_first_use=True,
    )


@contextmanager
def together() -> Iterator[None]:
    """What is logged meanwhile is written together, at the latest at the end of the block."""
    lines: list[str] = []
    before = _waiting.set(lines)
    try:
        yield
    finally:
        _waiting.reset(before)
        _write(lines)


_waiting: ContextVar[list[str] | None] = ContextVar("lines that wait for others", default=None)


class _CurrentStderr:
    """Writes to whatever standard error is at that moment, so that a progress display can keep its place below."""

    def __init__(self, *_names: object) -> None:
        pass

    def msg(self, line: str) -> None:
        lines = _waiting.get()
        if lines is None:
            _write([line])
            return
        lines.append(line)
        if len(lines) == TOGETHER:
            _write(lines)
            lines.clear()

    debug = info = warning = error = msg


def _write(lines: list[str]) -> None:
    """A log that nobody can write any more ends no run: its outcomes stand in the report."""
    if lines:
        with suppress(OSError, ValueError):
            sys.stderr.write("\n".join([*lines, ""]))
            sys.stderr.flush()


def _for_a_person(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A person knows which run this is, needs no list of what there is not, and has a terminal that can be steered."""
    return {
        key: clean(value) if isinstance(value, str) else value
        for key, value in event.items()
        if value is not None and key != "run"
    }


def _stamped(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    event["timestamp"] = datetime.now(UTC)  # written by orjson in a fifth of the time of isoformat()
    return event


def _with_its_traceback(logger: object, method: str, event: dict[str, Any]) -> Any:
    """Most events have none, and are spared the search for it."""
    return structlog.processors.format_exc_info(logger, method, event) if "exc_info" in event else event


def _as_json(_logger: object, _method: str, event: dict[str, Any]) -> str:
    try:
        line = orjson.dumps(event, str, orjson.OPT_UTC_Z)
    except TypeError:  # the name of a file that is no text
        line = json.dumps(event, default=_as_text, ensure_ascii=False).encode(errors="replace")
    return visible(line).decode()


def _as_text(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
