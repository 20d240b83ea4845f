"""Keeps the batches of a run beside it: in a thread, in the order in which they come, together what waits together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from licensesync.ledger.book import Book
from licensesync.ledger.earlier import Earlier
from licensesync.model import Action, Outcome, Pool

T = TypeVar("T")


@contextmanager
def beside(book: Book, shown: Callable[[Pool, Earlier], None]) -> Iterator[Keeper]:
    """Keeps batches in this book, which nobody else may use meanwhile; what was begun is kept when the block ends.

    `shown` is told of each earlier action that an outcome has shown the end of.
    """
    with ThreadPoolExecutor(1, "ledger") as thread:
        yield Keeper(book, shown, thread)


class Keeper:
    """Returns from each method when what it was given is durable. Raises LedgerError where that cannot be.

    The disk needs as long for one batch as for several: those that come while it is busy share the next transaction.
    """

    def __init__(self, book: Book, shown: Callable[[Pool, Earlier], None], thread: ThreadPoolExecutor) -> None:
        self._book = book
        self._shown = shown
        self._thread = thread
        self._waiting: deque[_Note[Any]] = deque()

    async def sent(self, pool: Pool, batch: Sequence[Action]) -> None:
        note = _Note(partial(self._book.sent, pool, batch))
        await self._kept(note)

    async def settled(self, pool: Pool, batch: Sequence[Action], outcomes: Sequence[Outcome]) -> None:
        note = _Note(partial(self._book.settled, pool, batch, outcomes))
        note.written.set_running_or_notify_cancel()  # kept even if nobody waits for it any more
        for earlier in await self._kept(note):
            self._shown(pool, earlier)

    async def _kept(self, note: _Note[T]) -> T:
        self._waiting.append(note)
        asyncio.get_running_loop().run_in_executor(self._thread, self._keep_what_waits)
        return await asyncio.wrap_future(note.written)

    def _keep_what_waits(self) -> None:
        """In the thread. A batch for which nobody waits any more is not sent, and not kept as sent."""
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        notes = [note for note in taken if note.written.running() or note.written.set_running_or_notify_cancel()]
        if not notes:
            return
        try:
            with self._book.transaction():
                values = [note.write() for note in notes]
        except Exception as error:  # noqa: BLE001 - whoever waits gets it, whatever it is
            for note in notes:
                note.written.set_exception(error)
        else:
            for note, value in zip(notes, values, strict=True):
                note.written.set_result(value)


@dataclass(frozen=True, slots=True, eq=False)
class _Note(Generic[T]):
    """Something to be kept, and where its value goes once it is."""

    write: Callable[[], T]
    written: Future[T] = field(default_factory=Future)
