"""The way to the service: each step that can fail has its words, and nothing is asked on it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from licensesync.thingspace.reach import NoWay, way_to


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that says nothing: its port, and what each caller has said."""
    heard: list[bytes] = []
    over = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heard.append(await reader.read())
        except ConnectionError:
            heard.append(b"")
        finally:
            writer.transport.abort()
            over.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], heard
        await over.wait()


@pytest.fixture
def certified(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS, for localhost; its authority is in `authority.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


async def why_not(url: str, patience: float = 10) -> str:
    with pytest.raises(NoWay) as no_way:
        await way_to(url, {}, patience)
    return str(no_way.value)


async def test_a_certificate_is_trusted_or_not_and_its_end_is_told(
    certified: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(certified) as (port, heard):
        untrusted = await why_not(f"https://localhost:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        other_name = await why_not(f"https://127.0.0.1:{port}")
        way = await way_to(f"https://localhost:{port}", {}, 10)
    assert untrusted.startswith(
        f"the certificate of localhost:{port} is not accepted: unable to get local issuer certificate"
    )
    assert "SSL_CERT_FILE" in untrusted
    assert "IP address mismatch" in other_name
    assert (way.peer, way.is_proxy, way.tls) == (f"localhost:{port}", False, "TLSv1.3")
    assert way.until is not None
    assert heard == [b""]


async def test_a_name_a_port_and_a_listener_without_tls_each_fail_in_their_own_words() -> None:
    async with listening() as (port, _):
        deaf = await why_not(f"https://127.0.0.1:{port}", patience=0.05)
    refused = await why_not(f"http://127.0.0.1:{port}")
    async with await asyncio.start_server(_speaks_http, "127.0.0.1", 0) as server:
        plain_port = server.sockets[0].getsockname()[1]
        plain = await why_not(f"https://127.0.0.1:{plain_port}")
    assert deaf.startswith(f"127.0.0.1:{port} does not answer within 0.05 s; ")
    assert refused.startswith(f"127.0.0.1:{port} takes no connection: Connection refused; ")
    assert plain.startswith(f"127.0.0.1:{plain_port} takes connections and does not speak TLS: ")
    for name in ("thingspace.invalid", f"{'x' * 64}.example.com"):
        assert (await why_not(f"https://{name}")).startswith(f"the name in {name}:443 cannot be looked up: ")


async def test_a_proxy_of_the_environment_is_called_and_nothing_behind_it() -> None:
    async with listening() as (port, heard):
        way = await way_to("https://thingspace.invalid", {"HTTPS_PROXY": f"http://user:pass@127.0.0.1:{port}"}, 10)
    assert (way.peer, way.is_proxy, way.tls, way.until) == (f"127.0.0.1:{port}", True, "", None)
    assert heard == [b""]


async def _speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()
