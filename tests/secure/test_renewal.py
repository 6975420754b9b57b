"""A certificate that is renewed on disk is what new connections are shown, without a restart."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from api import renewal
from api.ending import end
from api.renewal import Held, follow
from api.serving import Server, listeners, make_server
from api.settings import ApiSettings
from cli.local.security import Security
from tests.secure.test_api import app, settings

__all__ = ["settings"]


def put(certificate: Path, at: str) -> None:
    """Replace a file as certificate tools do: at once, by another one."""
    new = Path(f"{at}.new")
    shutil.copy(certificate, new)
    os.replace(new, at)  # noqa: PTH105 - as short as it gets


async def shown(port: int) -> bytes:
    """Certificate that a new connection is shown, whoever signed it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return found
    finally:
        writer.transport.abort()


def in_file(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))


class Served:
    """A server whose certificate is followed, with files of its own."""

    def __init__(self, server: Server, settings: ApiSettings) -> None:
        self.server = server
        self.certificate, self.key = settings.certificate_file, settings.key_file
        self.port = settings.own_port or 0

    async def until_shown(self, certificate: Path) -> None:
        async with asyncio.timeout(20):
            while await shown(self.port) != in_file(certificate):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(settings: ApiSettings, folder: Path) -> AsyncIterator[Served]:
    files = {"certificate_file": str(folder / "api.pem"), "key_file": str(folder / "key.pem")}
    put(Path(settings.certificate_file), files["certificate_file"])
    put(Path(settings.key_file), files["key_file"])
    own = replace(settings, **files)
    server = make_server(app, own)  # type: ignore[arg-type]
    tasks = [
        asyncio.create_task(server.serve(list(listeners(own)))),
        asyncio.create_task(follow(server.certificates())),
    ]
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield Served(server, own)
        assert not any(task.done() for task in tasks)
    finally:
        server.should_exit = True
        await tasks[0]
        await end(tasks[1:])


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "LOOK_S", 0.02)


@pytest.fixture
async def served(settings: ApiSettings, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(settings, tmp_path) as found:
        yield found


async def test_a_new_connection_is_shown_the_renewed_one(
    served: Served, secured: Security, strangers: Security
) -> None:
    old, new = secured.certificates, strangers.certificates
    assert await shown(served.port) == in_file(old.certificate("api"))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", served.port, ssl=ssl.create_default_context(cafile=str(old.ca))
    )
    put(new.key("api"), served.key)
    put(new.certificate("api"), served.certificate)
    await served.until_shown(new.certificate("api"))
    # Who came before goes on.
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert b"https" in await asyncio.wait_for(reader.read(), 10)
    writer.transport.abort()


async def test_half_of_a_renewal_changes_nothing(
    served: Served, secured: Security, strangers: Security
) -> None:
    old, new = secured.certificates, strangers.certificates
    put(new.certificate("api"), served.certificate)
    for _ in range(20):
        assert await shown(served.port) == in_file(old.certificate("api"))
        await asyncio.sleep(0.02)
    os.unlink(served.key)  # noqa: PTH108 - nothing waits for it
    assert await shown(served.port) == in_file(old.certificate("api"))
    put(new.key("api"), served.key)
    await served.until_shown(new.certificate("api"))


async def test_it_is_renewed_again_and_again(
    served: Served, secured: Security, strangers: Security
) -> None:
    for each in (strangers, secured, strangers):
        put(each.certificates.certificate("api"), served.certificate)
        put(each.certificates.key("api"), served.key)
        await served.until_shown(each.certificates.certificate("api"))


def test_what_is_held_is_a_certificate_with_its_key(settings: ApiSettings) -> None:
    [held] = make_server(app, settings).certificates()  # type: ignore[arg-type]
    assert isinstance(held, Held)
    assert (held.certificate_file, held.key_file) == (settings.certificate_file, settings.key_file)
    plain = replace(settings, certificate_file="", key_file="")
    assert make_server(app, plain).certificates() == []  # type: ignore[arg-type]
