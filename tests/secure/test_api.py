"""The API's sockets over TLS: answers, refusals in plain, and the limits on what comes slowly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from api.connection import HEAD_BYTES_MAX
from api.serving import listeners, make_server
from api.settings import ApiSettings, read_api_settings
from cli.local.security import Security
from cli.web import ApiUnavailable, call
from ledger.connections import client_context
from tests.ports import free_ports

OK = 200


async def app(scope: dict[str, object], receive: object, send: object) -> None:
    """Say how it was reached."""
    body = f'{{"scheme": "{scope["scheme"]}"}}'.encode()
    await send({"type": "http.response.start", "status": OK, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": body})  # type: ignore[operator]


@pytest.fixture
def settings(secured: Security) -> ApiSettings:
    return read_api_settings(
        {
            **secured.environment(),
            "LEDGER_LOCAL": "1",
            "LEDGER_KAFKA": "127.0.0.1:1",
            "LEDGER_REPLICAS": "rediss://127.0.0.1:1/0",
            "LEDGER_PEPPER": "5e" * 32,
            "LEDGER_SEAL_KEYS": f"k1:{'5e' * 32}",
            "LEDGER_API_TOKEN_DIGESTS": "5e" * 32,
            "LEDGER_API_OWN_PORT": str(free_ports(1)[0]),
        }
    )


@asynccontextmanager
async def served(settings: ApiSettings) -> AsyncIterator[int]:
    """The port of a server that serves."""
    server = make_server(app, settings)  # type: ignore[arg-type]
    serving = asyncio.create_task(server.serve(list(listeners(settings))))
    while not server.started:
        await asyncio.sleep(0.01)
    assert settings.own_port is not None
    try:
        yield settings.own_port
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def port(settings: ApiSettings) -> AsyncIterator[int]:
    async with served(settings) as found:
        yield found


async def test_it_answers_whoever_trusts_the_ca(
    port: int, secured: Security, strangers: Security
) -> None:
    ca, other = str(secured.certificates.ca), str(strangers.certificates.ca)
    for host in ("127.0.0.1", "localhost"):
        url = f"https://{host}:{port}/"
        assert await asyncio.to_thread(call, url, ca_file=ca) == (OK, {"scheme": "https"})
    with pytest.raises(ApiUnavailable, match=r"not trusted.*LEDGER_API_CA_FILE"):
        await asyncio.to_thread(call, f"https://127.0.0.1:{port}/", ca_file=other)
    with pytest.raises(ApiUnavailable):
        await asyncio.to_thread(call, f"http://127.0.0.1:{port}/")


async def _connected(
    port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=tls)


async def _ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes."""
    async with asyncio.timeout(10):
        with suppress(ConnectionResetError):
            return await reader.read()
    return b""


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: a\r\n"])
async def test_a_head_that_does_not_end_is_cut_off(
    settings: ApiSettings, secured: Security, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.connection.HEAD_S", 0.5)
    await _cut_off(settings, client_context(str(secured.certificates.ca)), sent)


async def test_a_handshake_that_does_not_end_is_cut_off(
    settings: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.serving.HEAD_S", 0.5)
    await _cut_off(settings, None, b"")


async def _cut_off(settings: ApiSettings, tls: ssl.SSLContext | None, sent: bytes) -> None:
    async with served(settings) as port:
        reader, writer = await _connected(port, tls)
        try:
            writer.write(sent)
            assert await _ended(reader) == b""
        finally:
            writer.transport.abort()


async def test_too_large_a_head_is_refused(port: int, secured: Security) -> None:
    reader, writer = await _connected(port, client_context(str(secured.certificates.ca)))
    try:
        writer.write(b"GET / HTTP/1.1\r\nx: " + b"x" * (HEAD_BYTES_MAX + 1))
        assert (await _ended(reader)).startswith(b"HTTP/1.1 400")
    finally:
        writer.transport.abort()
