"""How far a run is: bars on a terminal, silence elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from licensesync.model import Verb
from licensesync.render.words import clean

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

_READING = "reading"
_SENDING = {Verb.REMOVE: "removing", Verb.ASSIGN: "assigning"}


class Progress(Protocol):
    """What a run tells of its progress; shown between `with` and its end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def reading(self, pool: str, seen: int, expected: int | None) -> None:
        """So many devices have been read; the service's own count says how many there are, once it is known."""

    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None:
        """So many actions have an outcome."""


def progress_on(stream: TextIO) -> Progress:
    """Bars if the stream is a terminal."""
    return TerminalProgress(stream) if stream.isatty() else SilentProgress()


class SilentProgress:
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def reading(self, pool: str, seen: int, expected: int | None) -> None:
        pass

    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None:
        pass


class TerminalProgress:
    """A bar for each pool and what is being done with it; gone when all is done.

    While they are shown, what others write to `sys.stderr` stands above the bars. `sys.stdout` is left alone.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich import console, progress

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        screen = console.Console(file=stream)
        self._bars = progress.Progress(
            *columns, console=screen, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._above = AboveBars(screen, stream)
        self._redirected = ExitStack()
        self._shown: dict[tuple[str, str], progress.TaskID] = {}
        self._reached: dict[tuple[str, str], int] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        self._redirected.enter_context(redirect_stderr(self._above))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # the terminal has gone
            self._above.flush()
        self._redirected.close()
        self._bars.stop()

    def reading(self, pool: str, seen: int, expected: int | None) -> None:
        self._show(pool, _READING, seen, expected)

    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None:
        if (read := self._reached.get((pool, _READING))) is not None:
            self._show(pool, _READING, read, read)
        self._show(pool, _SENDING[verb], settled, of)

    def _show(self, pool: str, doing: str, reached: int, expected: int | None) -> None:
        bar = pool, doing
        if bar not in self._shown:
            self._shown[bar] = self._bars.add_task(f"{clean(pool)}: {doing}", total=expected)
        elif reached < self._reached[bar]:  # it starts again
            self._bars.reset(self._shown[bar])
        self._bars.update(self._shown[bar], completed=reached, total=expected)
        self._reached[bar] = reached


class AboveBars(io.TextIOBase):
    """A stream whose lines stand above bars, as they were written.

    That of rich takes each line apart and puts it together again, which costs eight times as much.
    """

    def __init__(self, screen: Console, stream: TextIO) -> None:
        self._screen = screen
        self._stream = stream
        self._begun = ""

    def write(self, text: str) -> int:
        whole, end, self._begun = (self._begun + text).rpartition("\n")
        if end:
            self._screen.print(_AsItIs(whole + end), end="", soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        """What was begun gets a line of its own: the bars stand below."""
        if self._begun:
            self.write("\n")

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


class _AsItIs:
    """Text that rich writes without a look at it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        yield Segment(self._text)
