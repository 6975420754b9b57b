"""HTTP on sockets: uvicorn, with limits on what comes before a request is one, and our errors."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.exchange import BODY_S, JSON_API
from api.problems import malformed
from api.renewal import Held
from api.settings import ApiSettings

HEAD_BYTES_MAX: Final = 32 * 1024
"""Of a request's line and headers, before the gate's own limit can be told."""
HEAD_S: Final = 10.0
BODY_MAX_S: Final = BODY_S + 5.0
KEEP_ALIVE_S: Final = 75
CONNECTIONS_MAX: Final = 8192
BACKLOG: Final = 1024
FINISH_S: Final = 2
"""Requests in progress have this long to end after SIGTERM."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose request heads are bounded in size and time."""

    _head_bytes = 0
    _in_head = False
    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; too many are closed at once."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._impatience = self.loop.call_later(HEAD_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._be_patient()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that does not end is refused."""
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Begin a request's head."""
        super().on_message_begin()
        self._in_head = True
        self._be_patient()
        self._impatience = self.loop.call_later(HEAD_S, self.transport.abort)

    def on_headers_complete(self) -> None:
        """End a request's head; its body has its own time, which who reads it may cut shorter."""
        self._in_head = False
        self._be_patient()
        self._impatience = self.loop.call_later(BODY_MAX_S, self.transport.abort)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._be_patient()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form that clients can read."""
        body = malformed("REQUEST_INVALID", msg).document(secrets.token_hex(16))
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {JSON_API}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _be_patient(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None


class Server(uvicorn.Server):
    """A server whose signals are the process' own business, and whose TLS handshakes are bounded.

    A connection comes to `BoundedProtocol` when its handshake is done; until then it has `HEAD_S`.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the sockets."""
        config, loop = self.config, asyncio.get_running_loop()
        await self.lifespan.startup()
        self.servers: list[asyncio.Server] = [
            await loop.create_server(
                self._connection,
                sock=each,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=HEAD_S if config.ssl else None,
                ssl_shutdown_timeout=FINISH_S if config.ssl else None,
            )
            for each in sockets or ()
        ]
        self.started = True

    def certificates(self) -> list[Held]:
        """What it is known by to its clients, to be renewed; none without TLS."""
        config = self.config
        if not config.loaded:
            config.load()
        certificate, key = config.ssl_certfile, config.ssl_keyfile
        if config.ssl is None:
            return []
        return [
            Held(
                context=config.ssl,
                certificate_file=str(certificate or ""),
                key_file=str(key or ""),
            )
        ]

    def _connection(self) -> asyncio.Protocol:
        made: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = made(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def make_server(app: ASGIApp, settings: ApiSettings) -> Server:
    """Server of the application; over TLS where the settings have a certificate."""
    http: Any = BoundedProtocol
    return Server(
        uvicorn.Config(
            app,
            http=http,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=FINISH_S,
            ssl_certfile=settings.certificate_file or None,
            ssl_keyfile=settings.key_file or None,
        )
    )


def listeners(settings: ApiSettings) -> Sequence[socket.socket]:
    """Sockets to listen on: the shared one, and this worker's own. Raises `OSError`."""
    sockets = []
    if settings.shared_fd is not None:
        sockets.append(socket.socket(fileno=settings.shared_fd))
    elif settings.port is not None:
        sockets.append(_bound(settings.host, settings.port))
    if settings.own_port is not None:
        sockets.append(_bound("127.0.0.1", settings.own_port))
    return sockets


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener
