"""What client and webhook alike tell whom: nothing to a service that nobody vouches for, nothing that others wrote."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from licensesync.daemon import webhook
from licensesync.daemon.webhook import Undelivered, Webhook
from licensesync.errors import RequestRejected, Unconnected
from licensesync.notices import NoticeForm
from licensesync.thingspace import transport
from licensesync.thingspace.transport import Bounds
from licensesync.thingspace.wire import Read

CALL = Read("it", "GET", "/", bytes)


@asynccontextmanager
async def impostor(authority: trustme.CA, name: str) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An https address of a server with a certificate for this name, and what is said to it."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1024))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    async with await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}", heard


@pytest.mark.parametrize("kind", ["of nobody's authority", "of another name"])
async def test_a_service_with_a_certificate_that_does_not_count_is_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    authority = trustme.CA()
    if kind == "of another name":
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    name = "elsewhere.example.com" if kind == "of another name" else "localhost"
    async with impostor(authority, name) as (url, heard):
        async with transport.opened(url, Bounds(), os.environ) as way:
            with pytest.raises(Unconnected, match="certificate"):
                await way.send(CALL, {"Authorization": "Bearer secret"})
        with pytest.raises(Undelivered):
            await webhook.post(Webhook(url, "secret", NoticeForm.JSON), {"text": "words"}, {})
    assert heard == []


async def test_no_login_that_others_keep_for_a_host_is_sent_and_no_redirect_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 307 No\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with transport.opened(url, Bounds(), os.environ) as way:
            with pytest.raises(RequestRejected):
                await way.send(CALL, {})
        with pytest.raises(Undelivered, match="answered 307"):
            await webhook.post(Webhook(url, "", NoticeForm.JSON), {"text": "words"}, {})
    assert [request.split(b" ")[1] for request in heard] == [b"/", b"/"]
    assert not [request for request in heard if b"authorization" in request.lower()]
