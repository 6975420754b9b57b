"""HTTP on sockets: uvicorn, with limits on what comes before a request is one, and our errors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from api.connection import HEAD_S, KEEP_ALIVE_S, BoundedProtocol, Lane
from api.renewal import Held
from api.settings import ApiSettings

BACKLOG: Final = 1024
FINISH_S: Final = 2
"""Requests in progress have this long to end after SIGTERM."""


class Server(uvicorn.Server):
    """A server whose signals are the process' own business, and whose TLS handshakes are bounded.

    A connection comes to `BoundedProtocol` when its handshake is done; until then it has `HEAD_S`.
    """

    lane: Lane | None = None
    """Is shown each whole request first."""

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
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            lane=self.lane,
        )
        return protocol

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def make_server(app: ASGIApp, settings: ApiSettings, lane: Lane | None = None) -> Server:
    """Server of the application; over TLS where the settings have a certificate."""
    http: Any = BoundedProtocol
    server = Server(
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
    server.lane = lane
    return server


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
