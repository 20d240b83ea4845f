"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Answers without a server, to the byte; for oddities that no web framework would send.

    aioresponses 0.7.9 does not know the `stream_writer` that aiohttp's responses want since 3.14 (its issue 289).
    """
    with aioresponses() as prepared:
        odd: Any = partial(ClientResponse, stream_writer=Mock())
        monkeypatch.setattr(prepared, "add", partial(prepared.add, response_class=odd))
        yield prepared
