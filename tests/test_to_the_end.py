"""What a command does on the event loop is run to its end, however large its outcome is."""

from __future__ import annotations

import pytest

from licensesync.cli import to_the_end


class Large:
    """What takes long to put in words."""

    def __repr__(self) -> str:
        raise AssertionError("nobody has asked for the words")


def test_an_outcome_comes_back_and_is_not_put_in_words() -> None:
    large = Large()

    async def work() -> Large:
        return large

    assert to_the_end.run(work()) is large


def test_what_goes_wrong_is_raised() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        to_the_end.run(work())
