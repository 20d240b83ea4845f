"""Where results go: plans and reports on standard output and into files."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE
from typing import Final

from licensesync.cli.streams import print_result
from licensesync.errors import LicenseSyncError
from licensesync.exit_codes import ExitCode
from licensesync.model import Report, RunPlan
from licensesync.render import json, markdown, text
from licensesync.render.page import MIN_WIDTH, Page

EVERYBODY: Final = 0o666  # but for what this user's umask takes away


def text_plan(run_plan: RunPlan, stream_is_terminal: bool) -> str:  # noqa: FBT001 - the one thing that it depends on
    return text.plan(run_plan, colour=_coloured(stream_is_terminal), width=_width(stream_is_terminal))


def print_plan(run_plan: RunPlan, form: str) -> None:
    """The plan on standard output as text, json or markdown."""
    written: dict[str, Callable[[], bytes]] = {
        "text": lambda: text_plan(run_plan, sys.stdout.isatty()).encode(),
        "json": lambda: json.plan(run_plan),
        "markdown": lambda: markdown.plan(run_plan).encode(),
    }
    print_result(written[form]())


def print_report(report: Report, exit_code: ExitCode, form: str) -> None:
    """The report on standard output as text or json."""
    if form == "json":
        print_result(json.report(report, exit_code))
    else:
        on_terminal = sys.stdout.isatty()
        told = text.report(report, exit_code, colour=_coloured(on_terminal), width=_width(on_terminal))
        print_result(told.encode())


def page() -> Page:
    """What text on standard output is written on."""
    on_terminal = sys.stdout.isatty()
    return Page(_coloured(on_terminal), max(_width(on_terminal), MIN_WIDTH))


def must_be_writable(path: Path | None, option: str = "--out") -> None:
    """Raises before any work is done for a file that could not be written after it; `option` named the file."""
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise LicenseSyncError(f"{option} {path}: this file cannot be written; name one in a folder that exists")


def must_be_new(path: Path | None, option: str) -> None:
    """Raises for a file that has contents which a new file would replace."""
    if path is not None and (path.is_file() or (path.is_symlink() and not path.exists())):
        raise _exists(path, option)


def save(path: Path | None, document: bytes, option: str = "--out", *, replacing: bool = True) -> None:
    """The document in the file, whole or not at all where the file is a regular one.

    Unless `replacing`, a file that has come to be there meanwhile stays as it is, and this raises.
    """
    if path is None:
        return
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(document)
        else:
            _save_whole(Path(os.path.realpath(path)), document, replacing=replacing)
    except FileExistsError:
        raise _exists(path, option) from None
    except OSError as error:
        raise LicenseSyncError(f"{option} {path}: {error.strerror}") from error


def _save_whole(path: Path, document: bytes, *, replacing: bool) -> None:
    """What is replaced keeps its rights, as if it were written anew; nobody can tell beforehand where the draft is."""
    draft = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, EVERYBODY), "wb") as file:
            if path.exists():
                os.fchmod(file.fileno(), S_IMODE(path.stat().st_mode))
            file.write(document)
        if not replacing:
            path.touch(exist_ok=False)  # from here on the name is ours: nobody's file is replaced
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _exists(path: Path, option: str) -> LicenseSyncError:
    return LicenseSyncError(f"{option} {path}: this file exists and stays as it is; name another, or write --force")


def _coloured(terminal: bool) -> bool:  # noqa: FBT001 - as above
    return terminal and not os.environ.get("NO_COLOR")


def _width(terminal: bool) -> int:  # noqa: FBT001 - as above
    return shutil.get_terminal_size((80, 24)).columns if terminal else 80
