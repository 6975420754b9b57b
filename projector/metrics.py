"""What a projector counts and shows; on 127.0.0.1 as /metrics, /health, /health/live and /ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

_REQUEST_BYTES_MAX: Final = 8 * 1024
_REQUEST_TIMEOUT_S: Final = 5.0
_PREFIX: Final = "ledger_projector_"


class Metrics:
    """Counters and gauges of one projector, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = self._counter("events", "Events folded")
        self.duplicates = self._counter("duplicates", "Events that repeated an earlier one")
        self.batches = self._counter("batches", "Batches written")
        self.poison = self._counter("poison", "Records that froze a license")
        self.unroutable = self._counter("unroutable", "Records whose key is no license's here")
        self.set_aside = self._counter("set_aside", "Records set aside")
        self.mismatches = self._counter(
            "script_mismatches", "Batches refused since the stored position was another one"
        )
        self.trouble = self._counter("read_model_errors", "Calls that the replica failed")
        self.went_back = self._counter("went_back", "Times a stored position went back")
        self.calendar_apart = self._counter(
            "calendar_apart", "Events whose time is more than 60 s from the record's timestamp"
        )
        self.data_keys = self._counter("data_keys", "Data key records taken over")
        self.rebalances = self._counter("rebalances", "Times the assignment was revoked")
        self.position = self._gauge("position", "Next offset to fold")
        self.lag = self._gauge("lag", "Records between the position and the log's end")
        self.level_age = self._gauge(
            "level_age_seconds", "How long ago, on the replica's clock, it last was level"
        )
        self.frozen = self._gauge("frozen_licenses", "Licenses frozen by a poison record")
        self.stopped = self._gauge(
            "stopped", "1 where the partition is stopped until a person looks"
        )

    def forget(self, label: str) -> None:
        """Show a partition no more: it is another process' now."""
        for gauge in (self.position, self.lag, self.level_age, self.frozen, self.stopped):
            with suppress(KeyError):
                gauge.remove(label)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(_PREFIX + name, meaning, registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(_PREFIX + name, meaning, ["partition"], registry=self.registry)


class MetricsServer:
    """A small HTTP server on 127.0.0.1; in the same loop, so that it tells whether that runs.

    `ready`: None, or what is missing.
    """

    def __init__(self, metrics: Metrics, ready: Callable[[], str | None]) -> None:
        self._metrics = metrics
        self._ready = ready
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        """Listen; raises `OSError` where the port is taken."""
        self._server = await asyncio.start_server(
            self._answer, "127.0.0.1", port, limit=_REQUEST_BYTES_MAX
        )

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                request = await reader.readuntil(b"\r\n\r\n")
                path = (request.split(b" ", 2)[1:2] or [b""])[0].partition(b"?")[0]
                status, content_type, body = self._page(path.decode("ascii", "replace"))
                head = (
                    f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    def _page(self, path: str) -> tuple[str, str, bytes]:
        if path == "/metrics":
            text = generate_latest(self._metrics.registry)
            return "200 OK", "text/plain; version=0.0.4; charset=utf-8", text
        if path == "/health/live":
            return "200 OK", "text/plain", b"live\n"
        if path in {"/health", "/health/ready"}:
            missing = self._ready()
            if missing is None:
                return "200 OK", "text/plain", b"ready\n"
            return "503 Service Unavailable", "text/plain", f"{missing}\n".encode()
        return "404 Not Found", "text/plain", b"not found\n"
