"""The figures of the README's section on security are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_listener import door_at

from licensesync.callbacks import listener as callbacks
from licensesync.daemon import listener as pages
from licensesync.remotes import PROTOCOLS
from licensesync.thingspace.transport import LARGEST_BODY
from licensesync.web import Limits

README = (Path(__file__).parent.parent / "README.md").read_text()
SECTION = README.partition("\n## Security\n")[2].partition("\n## ")[0]
CALLBACKS, PAGES = callbacks.LIMITS, Limits(pages.MOST_CONNECTIONS, pages.LONGEST_CONNECTION)


@pytest.mark.parametrize(
    "words",
    [
        f"{PAGES.connections} connections at most, each for one GET or HEAD without a body",
        f"with {PAGES.headers} headers of at most {PAGES.line} bytes, within {PAGES.idle:g} s",
        f"over {CALLBACKS.connections} connections at most: {CALLBACKS.idle:g} s without a request",
        f"{CALLBACKS.request:g} s for one of {callbacks.LARGEST >> 10} KiB",
        f"with {CALLBACKS.headers} headers of at most {CALLBACKS.line} bytes, {CALLBACKS.answer:g} s for its answer",
        f"An answer has {LARGEST_BODY >> 20} MiB at most",
    ],
)
def test_a_limit_is_told_as_it_is(words: str) -> None:
    assert words in re.sub(r"\s+", " ", SECTION)


def test_the_transports_of_git_are_told() -> None:
    told = re.findall(r"remote of a mirror by ([a-z, ]+) only, whatever", SECTION)
    assert [set(re.split(", | and ", words)) for words in told] == [set(PROTOCOLS.split(":"))]


async def test_lines_and_headers_up_to_the_limit_are_taken_and_no_more() -> None:
    async with door_at() as door:
        headers = [f"X-{number}: 1" for number in range(PAGES.headers - 1)]  # and Host
        answers = [
            await door.ask("/healthz", *headers),
            await door.ask("/healthz", *headers, "X-More: 1"),
            await door.ask("/healthz", f"X-Long: {'x' * PAGES.line}"),
            await door.ask("/healthz", f"X-Long: {'x' * (PAGES.line + 1)}"),
        ]
    assert [answer.status for answer in answers] == [200, 400, 200, 400]
