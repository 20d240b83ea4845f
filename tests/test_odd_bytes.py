"""Bodies that no well-behaved server sends, handed to the client byte by byte."""

from __future__ import annotations

import re

import pytest
from aioresponses import aioresponses
from fleets import ACCOUNT

from licensesync.credentials import Credentials
from licensesync.errors import UnexpectedReply
from licensesync.thingspace import client
from licensesync.thingspace.fota_calls import StatusForm, StatusPage, status_page
from licensesync.thingspace.transport import Bounds

URL = "http://127.0.0.1:1"
GOOD = b'{"accountName":"0642233522-00001","totalLicense":9,"assignedLicenses":0,"hasMoreData":false}'


async def read(answers: aioresponses, body: bytes, content_type: str = "application/json") -> StatusPage:
    answers.post(f"{URL}/api/ts/v1/oauth2/token", body=b'{"access_token":"bearer-1","expires_in":3600}')
    answers.post(f"{URL}/api/m2m/v1/session/login", body=b'{"sessionToken":"session-1"}')
    answers.get(re.compile(r".*/licenses/.*"), body=body, content_type=content_type, repeat=True)
    who = Credentials("key-5f1c2a", "secret-9b7d3e", "user-4c8f6a", "password-1e2d3c")
    async with client.reading(URL, Bounds(5, 1, 1000), who, {}) as reader:
        return await reader.read(status_page(ACCOUNT, "0", StatusForm.V3_PATH))


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD[:-1],
        GOOD + GOOD,
        GOOD + b"\x00",
        GOOD.replace(b"false", b"false,,"),
        GOOD.decode().encode("utf-16"),
        b'{"accountName":"0642233522-00001\xff"}',
        b"[" * 100_000,
        b"\x1f\x8b\x08\x00",
        b"",
    ],
)
async def test_a_body_that_is_not_the_documented_json_is_said_to_be_so(answers: aioresponses, body: bytes) -> None:
    with pytest.raises(UnexpectedReply) as told:
        await read(answers, body)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 500


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=latin-1", "application/octet-stream"])
async def test_what_a_body_is_called_does_not_matter(answers: aioresponses, content_type: str) -> None:
    page = await read(answers, b"\r\n " + GOOD + b"\n\n", content_type)
    assert (page.total, page.assigned_licenses, page.more) == (9, 0, False)
