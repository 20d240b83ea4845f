"""How far a run is: bars on a terminal, silence elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, TextIO

from licensesync.model import Verb
from licensesync.render.words import clean

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
        self._bars = progress.Progress(*columns, console=screen, transient=True, redirect_stdout=False)
        self._shown: dict[tuple[str, str], progress.TaskID] = {}
        self._reached: dict[tuple[str, str], int] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
