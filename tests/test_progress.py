"""How far a run is, on a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import pytest
import render_worlds as worlds
import structlog
import typer

from licensesync import logs
from licensesync.cli.progress import Progress, SilentProgress, TerminalProgress, progress_on
from licensesync.journal import RunJournal
from licensesync.model import OutcomeKind, Verb

ESCAPE = re.compile(r"\033\[[0-9;?]*[A-Za-z]")
SHOW_CURSOR = "\033[?25h"


@dataclass
class Terminal:
    """A terminal of 100 columns: what the program writes to, and what was written."""

    stream: TextIO
    other_end: int

    def written(self) -> str:
        """All that was written; it can be asked once."""
        self.stream.close()
        seen = b""
        while piece := self._piece():
            seen += piece
        return seen.decode()

    def _piece(self) -> bytes:
        try:
            return os.read(self.other_end, 65536)
        except OSError:  # the way in which Linux says that nobody writes any more
            return b""

    def lines(self) -> list[str]:
        """What a reader saw, refresh by refresh."""
        return [ESCAPE.sub("", line).strip() for line in re.split(r"[\r\n]+", self.written())]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    for variable in ("NO_COLOR", "FORCE_COLOR", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:  # noqa: PTH123  it has no path
        yield Terminal(stream, ours)
    os.close(ours)


def seen(lines: list[str], start: str, end: str) -> bool:
    return any(line.startswith(start) and re.search(rf" {end}( +[-0-9]+:[-0-9:]+)?$", line) for line in lines)


def test_a_terminal_gets_bars_and_anything_else_silence(terminal: Terminal) -> None:
    assert isinstance(progress_on(terminal.stream), TerminalProgress)
    assert isinstance(progress_on(io.StringIO()), SilentProgress)


def test_reading_removing_and_assigning_are_shown_with_counts_and_time_left(terminal: Terminal) -> None:
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("fota", 300, 1000)
        progress.reading("fota", 1000, 1000)
        progress.reading("sim", 20, 80)
        progress.sending("fota", Verb.REMOVE, 4, 8)
        progress.sending("fota", Verb.ASSIGN, 200, 600)
    lines = terminal.lines()
    assert seen(lines, "fota: reading", "1000/1000")
    assert seen(lines, "sim: reading", "20/80")
    assert seen(lines, "fota: removing", "4/8")
    assert seen(lines, "fota: assigning", "200/600")


def test_a_pool_of_unknown_size_is_read_to_its_end_when_sending_starts(terminal: Terminal) -> None:
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("fota", 300, None)
        progress.reading("sim", 20, None)
        progress.sending("fota", Verb.ASSIGN, 0, 600)
    lines = terminal.lines()
    assert seen(lines, "fota: reading", r"300/300")
    assert seen(lines, "sim: reading", r"20/\?")


def test_a_pool_that_was_not_seen_to_be_read_can_be_sent_to(terminal: Terminal) -> None:
    with TerminalProgress(terminal.stream) as progress:
        progress.sending("fota", Verb.ASSIGN, 20, 60)
    lines = terminal.lines()
    assert seen(lines, "fota: assigning", "20/60")
    assert not any("reading" in line for line in lines)


def test_a_reading_that_starts_again_starts_from_its_new_count(terminal: Terminal) -> None:
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("fota", 1000, 1000)
        progress.reading("fota", 10, 1000)
    assert seen(terminal.lines(), "fota: reading", "10/1000 -:--:--")


def test_logs_stand_on_lines_of_their_own_while_bars_are_shown(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("fota", 300, 1000)
        sys.stderr.write("\033[32minfo\033[0m pool.read")
        sys.stderr.write(" pool=fota [bold]\n")
        print("warning", file=sys.stderr)
    assert sys.stderr is terminal.stream
    lines = terminal.lines()
    assert "info pool.read pool=fota [bold]" in lines
    assert "warning" in lines


def test_a_batch_of_log_lines_stands_above_the_bars_line_by_line(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    with TerminalProgress(terminal.stream) as progress:
        logs.configure(as_json=True, level="info")
        progress.sending("fota", Verb.ASSIGN, 0, 40)
        outcomes = [worlds.outcome(worlds.assign(number, "[bold]"), OutcomeKind.DONE) for number in range(40)]
        RunJournal(progress).settled(worlds.FOTA, outcomes)
        progress.sending("fota", Verb.ASSIGN, 40, 40)
    structlog.reset_defaults()
    lines = terminal.lines()
    told = "".join(line for line in lines if not line.startswith("fota: "))
    assert re.findall(r'"device":"([0-9]+)"', told) == [worlds.imei(number) for number in range(40)]
    assert told.count('"group":"[bold]"') == 40
    assert seen(lines, "fota: assigning", "40/40")


def test_what_was_begun_on_standard_error_stands_above_the_bars_at_the_end(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("fota", 300, 1000)
        sys.stderr.write("no end")
    assert "no end" in terminal.lines()


def test_standard_error_is_a_terminal_still_while_bars_are_shown(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    with TerminalProgress(terminal.stream):
        assert sys.stderr.isatty()
        assert sys.stderr.fileno() == terminal.stream.fileno()
        typer.secho("stopping", err=True, fg="cyan")
    assert "\033[36mstopping\033[0m" in terminal.written()


def test_a_long_line_is_not_cut_at_the_width_of_the_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("fota", 300, 1000)
        print("x" * 450, file=sys.stderr)
    assert "x" * 450 + "\r\n" in terminal.written()


def test_results_on_standard_output_are_left_alone(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("fota", 300, 1000)
        print("{}")
    assert capsys.readouterr().out == "{}\n"


def test_the_cursor_is_given_back_even_if_the_run_breaks(terminal: Terminal) -> None:
    with pytest.raises(KeyboardInterrupt), TerminalProgress(terminal.stream):
        raise KeyboardInterrupt
    assert SHOW_CURSOR in terminal.written()


def test_the_bars_are_gone_when_all_is_done(terminal: Terminal) -> None:
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("fota", 300, 1000)
    last = terminal.written().rpartition("300/1000")[2]
    assert "\033[1A\033[2K" in last, "a line up, and wiped"


def test_a_pool_name_is_shown_as_it_is_written_and_steers_nothing(terminal: Terminal) -> None:
    with TerminalProgress(terminal.stream) as progress:
        progress.reading("[red]a\033[2Jb{0}", 1, 2)
    written = terminal.written()
    assert "[red]a[2Jb{0}: reading" in ESCAPE.sub("", written)
    assert "\033[2J" not in written


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    silent: Progress = SilentProgress()
    with silent as progress:
        progress.reading("fota", 300, 1000)
        progress.sending("fota", Verb.REMOVE, 4, 8)
    assert capsys.readouterr() == ("", "")
