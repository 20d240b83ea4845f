"""What takes long is done in a thread, which nobody leaves behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from licensesync.aside import AT_ONCE, aside, let_go


async def test_the_loop_goes_on_while_something_takes_long() -> None:
    loops_turn = threading.Event()
    asyncio.get_running_loop().call_later(0.01, loops_turn.set)
    assert await aside(loops_turn.wait, 30)


async def test_what_goes_wrong_in_the_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await aside(divmod, 1, 0)


async def test_who_is_cancelled_waits_for_the_end_of_the_thread() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(30)
        ended.set()
        raise ValueError

    task = asyncio.create_task(aside(work))
    assert await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.05)
    assert not done
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_set_is_let_go_of_to_the_last_thing() -> None:
    things = set(range(2 * AT_ONCE + 1))
    await let_go(things)
    assert things == set()


async def test_what_others_may_use_is_left_as_it_is() -> None:
    things = frozenset({1})
    await let_go(things)
    assert things == {1}
